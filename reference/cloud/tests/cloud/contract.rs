//! `spec/openapi.yaml` as a judge: each answer that the tests of this crate see has to be one that it describes.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use jsonschema::Validator;
use reqwest::header::HeaderMap;
use reqwest::{Method, StatusCode};
use serde_json::{Map, Value, json};

/// What the file says, and a validator for each schema that was asked for.
pub(crate) struct Contract {
    pub(crate) document: Value,
    /// From path template, method, status and media type to the validator of the body.
    bodies: BTreeMap<String, Validator>,
}

pub(crate) static CONTRACT: LazyLock<Contract> = LazyLock::new(Contract::read);

impl Contract {
    fn read() -> Self {
        let text = include_str!("../../../../spec/openapi.yaml");
        let document: Value = serde_yaml_ng::from_str(text).expect("spec/openapi.yaml is YAML");
        let mut closed = document.clone();
        close(&mut closed);
        let mut contract = Self { document, bodies: BTreeMap::new() };
        let mut bodies = BTreeMap::new();
        for (path, method, operation) in contract.operations() {
            for (status, response) in members(&operation["responses"]) {
                for (kind, content) in members(&contract.resolve(response)["content"]) {
                    if let Some(schema) = content.get("schema") {
                        let key = format!("{path} {method} {status} {kind}");
                        bodies.insert(key, validator(&closed, schema));
                    }
                }
            }
        }
        contract.bodies = bodies;
        contract
    }

    /// Every path template with a method in lower case, and what is said of the two.
    pub(crate) fn operations(&self) -> Vec<(String, String, Value)> {
        let mut operations = Vec::new();
        for (path, item) in members(&self.document["paths"]) {
            for (method, operation) in members(item).filter(|(name, _)| *name != "parameters") {
                operations.push((path.clone(), method.clone(), operation.clone()));
            }
        }
        operations
    }

    /// What `#/...` in `$ref` stands for, or the value itself.
    pub(crate) fn resolve<'a>(&'a self, value: &'a Value) -> &'a Value {
        let target = value["$ref"].as_str().and_then(|target| target.strip_prefix('#'));
        target.map_or(value, |target| {
            self.document.pointer(target).unwrap_or_else(|| panic!("{target} is not in openapi.yaml"))
        })
    }

    /// Panics unless the file has this answer to this request.
    #[track_caller]
    pub(crate) fn check(
        &self,
        method: &Method,
        path: &str,
        status: StatusCode,
        headers: &HeaderMap,
        body: &[u8],
    ) {
        let what = format!("{method} {path}, answered with {}", status.as_u16());
        let Some(template) = self.template(path) else {
            assert_eq!(status, 404, "{what}: openapi.yaml has no such path");
            return;
        };
        let named = if method == Method::HEAD { "get".into() } else { method.as_str().to_lowercase() };
        let operation = &self.document["paths"][template][&named];
        let response = self.resolve(&operation["responses"][status.as_str()]);
        if response.is_null() && status == StatusCode::NOT_FOUND {
            return; // the path of a service that does not run here
        }
        if method == Method::OPTIONS || status == StatusCode::NOT_MODIFIED {
            return; // graph.md, section 4.10
        }
        if !operation.is_object() {
            assert_eq!(status, 405, "{what}: openapi.yaml has no such method"); // `Allow`: see openapi.rs
            return;
        }
        assert!(response.is_object(), "{what}: openapi.yaml has no such status there");
        for (name, _) in members(&response["headers"]) {
            assert!(headers.contains_key(name.as_str()), "{what}: there is no {name}");
        }
        if method == Method::HEAD || response.get("content").is_none() {
            assert!(body.is_empty(), "{what}: a body where none is described");
            return;
        }
        let kind = headers["content-type"].to_str().unwrap();
        assert!(response["content"].get(kind).is_some(), "{what}: {kind} is not described");
        if let Some(validator) = self.bodies.get(&format!("{template} {named} {} {kind}", status.as_str())) {
            let body: Value = serde_json::from_slice(body).unwrap_or_else(|e| panic!("{what}: {e}"));
            let faults: Vec<String> =
                validator.iter_errors(&body).map(|e| format!("{}: {e}", e.instance_path())).collect();
            assert!(faults.is_empty(), "{what}: {faults:#?}\n{body:#}");
        }
    }

    /// The template that a path fits; literal segments go before parameters.
    fn template(&self, path: &str) -> Option<&str> {
        let fits = |template: &&String| {
            let (mut have, mut want) = (path.split('/'), template.split('/'));
            loop {
                match (have.next(), want.next()) {
                    (None, None) => return true,
                    (Some(have), Some(want))
                        if have == want || (want.starts_with('{') && !have.is_empty()) => {}
                    _ => return false,
                }
            }
        };
        let templates = members(&self.document["paths"]).map(|(template, _)| template).filter(fits);
        templates.min_by_key(|template| template.matches('{').count()).map(String::as_str)
    }
}

/// The members of an object; none of what is no object.
pub(crate) fn members(value: &Value) -> impl Iterator<Item = (&String, &Value)> {
    value.as_object().into_iter().flat_map(Map::iter)
}

/// A validator of a schema that may refer to components of the document.
pub(crate) fn validator(document: &Value, schema: &Value) -> Validator {
    let mut root = schema.as_object().cloned().unwrap_or_default();
    root.insert("components".into(), document["components"].clone());
    root.insert("$schema".into(), "https://json-schema.org/draft/2020-12/schema".into());
    jsonschema::validator_for(&Value::Object(root)).unwrap_or_else(|e| panic!("{schema}: {e}"))
}

/// Takes every object schema for complete: what the reference sends and the file does not name is a fault of one of them.
fn close(value: &mut Value) {
    match value {
        Value::Object(members) => {
            if members.get("type") == Some(&json!("object")) && members.contains_key("properties") {
                members.entry("additionalProperties").or_insert(json!(false));
            }
            members.values_mut().for_each(close);
        }
        Value::Array(items) => items.iter_mut().for_each(close),
        _ => {}
    }
}
