//! `spec/openapi.yaml` against itself, and against the paths and methods that the cloud has.

use std::collections::BTreeSet;

use reqwest::Method;
use serde_json::Value;

use crate::common::{Answer, World};
use crate::contract::{CONTRACT, members, validator};

/// All values below `value` with where they are.
fn walk<'a>(value: &'a Value, pointer: &str, visit: &mut impl FnMut(&str, &'a Value)) {
    visit(pointer, value);
    for (name, member) in members(value) {
        walk(member, &format!("{pointer}/{name}"), visit);
    }
    for (at, item) in value.as_array().into_iter().flatten().enumerate() {
        walk(item, &format!("{pointer}/{at}"), visit);
    }
}

/// A path with something of the right form in place of each parameter.
fn filled(template: &str) -> String {
    let hash = "0".repeat(64);
    template
        .split('/')
        .map(|segment| match segment {
            "{hash}" => hash.as_str(),
            _ if segment.starts_with('{') => &hash[..32],
            _ => segment,
        })
        .collect::<Vec<_>>()
        .join("/")
}

#[tokio::test]
async fn every_path_has_the_methods_of_the_file_and_no_other() {
    let world = World::new().await;
    let mut described: Vec<(String, BTreeSet<String>)> = Vec::new();
    for (path, method, _) in CONTRACT.operations() {
        let method = method.to_uppercase();
        match described.last_mut().filter(|(last, _)| *last == path) {
            Some((_, methods)) => drop(methods.insert(method)),
            None => described.push((path, [method].into())),
        }
    }
    assert!(described.len() > 20, "openapi.yaml has only {} paths", described.len());
    for (path, mut methods) in described {
        if methods.contains("GET") {
            methods.insert("HEAD".into());
        }
        // A method that nobody has shows those that the path has.
        let unknown = Method::from_bytes(b"MESHPROOF").unwrap();
        let answer = Answer::of(world.http.request(unknown, world.url(&filled(&path)))).await;
        assert_eq!(answer.status, 405, "the router does not know {path}");
        let allow = answer.headers["allow"].to_str().unwrap();
        let allowed: BTreeSet<String> = allow.split(',').map(|method| method.trim().to_owned()).collect();
        assert_eq!(allowed, methods, "{path}: left what the router has, right what openapi.yaml has");
    }
}

#[test]
fn examples_fit_their_schemas() {
    let document = &CONTRACT.document;
    let mut examples = 0;
    walk(&document["components"]["schemas"], "", &mut |pointer, schema| {
        for example in schema["examples"].as_array().into_iter().flatten() {
            let faults: Vec<String> =
                validator(document, schema).iter_errors(example).map(|e| e.to_string()).collect();
            assert!(faults.is_empty(), "an example of {pointer}: {faults:?}");
            examples += 1;
        }
    });
    assert!(examples > 20, "openapi.yaml has only {examples} examples");
}

#[test]
fn requests_are_closed_and_components_are_used() {
    let document = &CONTRACT.document;
    for (path, method, operation) in CONTRACT.operations() {
        let body = CONTRACT.resolve(&operation["requestBody"]);
        if let Some(schema) = body["content"]["application/json"].get("schema") {
            assert_eq!(CONTRACT.resolve(schema)["additionalProperties"], false, "{method} {path}");
        }
        assert!(operation["operationId"].is_string(), "{method} {path} has no operationId");
    }
    let mut used = BTreeSet::new();
    walk(document, "", &mut |_, value| {
        if let Some(target) = value["$ref"].as_str() {
            assert!(document.pointer(&target[1..]).is_some(), "{target} does not exist");
            used.insert(target.to_owned());
        }
    });
    for (kind, components) in members(&document["components"]).filter(|(kind, _)| *kind != "securitySchemes")
    {
        for (name, _) in members(components) {
            assert!(used.contains(&format!("#/components/{kind}/{name}")), "nobody uses {kind}/{name}");
        }
    }
}
