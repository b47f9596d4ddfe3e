//! `results.json`, for programs. Its form is `schema/results.schema.json`.

use serde::Serialize;

use super::{Conclusion, RunReport};

#[derive(Serialize)]
struct Document<'a> {
    schema: &'static str,
    conclusion: Conclusion,
    exit_code: u8,
    #[serde(flatten)]
    report: &'a RunReport,
}

/// The report as JSON.
pub fn json(report: &RunReport) -> anyhow::Result<String> {
    let conclusion = report.conclusion();
    let document =
        Document { schema: "meshproof-results/1", conclusion, exit_code: conclusion.exit_code(), report };
    Ok(serde_json::to_string_pretty(&document)? + "\n")
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::report::sample;

    /// The schema is small enough to be checked by hand: types, required members, enumerations, nothing unnamed.
    fn conforms(value: &Value, schema: &Value, root: &Value, path: &str) {
        if let Some(reference) = schema["$ref"].as_str() {
            let target = root.pointer(reference.trim_start_matches('#'));
            return conforms(value, target.unwrap_or_else(|| panic!("no {reference}")), root, path);
        }
        let right = match schema["type"].as_str() {
            Some("object") => value.is_object(),
            Some("array") => value.is_array(),
            Some("string") => value.is_string(),
            Some("integer") => value.is_u64(),
            Some("number") => value.is_number(),
            Some("boolean") => value.is_boolean(),
            other => panic!("{path}: the schema has the type {other:?}"),
        };
        assert!(right, "{path} is {value}, and its schema says {}", schema["type"]);
        if let Some(allowed) = schema["enum"].as_array() {
            assert!(allowed.contains(value), "{path} is {value}, which is none of {allowed:?}");
        }
        for (member, value) in value.as_object().into_iter().flatten() {
            let known = schema["properties"].get(member);
            conforms(
                value,
                known.unwrap_or_else(|| panic!("{path}.{member} is not in the schema")),
                root,
                &format!("{path}.{member}"),
            );
        }
        for member in schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
            assert!(value.get(member).is_some(), "{path} has no {member}");
        }
        for (number, item) in value.as_array().into_iter().flatten().enumerate() {
            conforms(item, &schema["items"], root, &format!("{path}[{number}]"));
        }
    }

    #[test]
    fn results_conform_to_the_published_schema() {
        let schema: Value = serde_json::from_str(include_str!("../../schema/results.schema.json"))
            .expect("the schema is JSON");
        let text = json(&sample::report()).expect("a document");
        let document: Value = serde_json::from_str(&text).expect("what was written is JSON");
        conforms(&document, &schema, &schema, "results");
        for check in crate::checks::all() {
            let role = serde_json::to_value(check.role).expect("a role");
            conforms(&role, &schema["$defs"]["result"]["properties"]["role"], &schema, &check.id);
        }
        assert_eq!(document["conclusion"], "kit-fault");
        assert_eq!(document["exit_code"], 4);
    }
}
