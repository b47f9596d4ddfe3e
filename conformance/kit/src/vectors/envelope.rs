//! The file format: Wycheproof's envelope, printed with keys in an order that a person can read.

use serde_json::{Map, Value, json};

/// One file of `vectors/`.
pub(super) struct File {
    /// The folder: `ticket`.
    pub(super) part: &'static str,
    /// The name without extension: `verify`.
    pub(super) name: &'static str,
    /// What is tested, in words.
    pub(super) algorithm: &'static str,
    /// What a reader has to know.
    pub(super) header: &'static [&'static str],
    /// Groups of tests that share fields.
    pub(super) groups: Vec<Group>,
}

/// Tests that share fields.
pub(super) struct Group {
    /// The type, such as `TicketVerify`.
    pub(super) kind: &'static str,
    /// The shared fields.
    pub(super) fields: Value,
    /// The tests.
    pub(super) tests: Vec<Test>,
}

/// One test.
pub(super) struct Test {
    id: String,
    comment: String,
    reqs: Vec<String>,
    twin: Option<String>,
    inputs: Value,
    valid: bool,
    reason: Option<String>,
    expect: Value,
    intermediates: Value,
}

impl Test {
    /// A test that an implementation has to accept.
    pub(super) fn valid(id: &str, comment: &str, reqs: &[&str], inputs: Value) -> Self {
        Self {
            id: id.to_owned(),
            comment: comment.to_owned(),
            reqs: reqs.iter().map(|id| (*id).to_owned()).collect(),
            twin: None,
            inputs,
            valid: true,
            reason: None,
            expect: Value::Null,
            intermediates: Value::Null,
        }
    }

    /// A test that an implementation has to refuse, beside the valid one it differs from in one thing. An empty reason
    /// leaves the reason open: several rules are broken, and the specification does not say which comes first.
    pub(super) fn invalid(
        id: &str,
        twin: &str,
        comment: &str,
        reqs: &[&str],
        reason: &str,
        inputs: Value,
    ) -> Self {
        Self {
            twin: Some(twin.to_owned()),
            valid: false,
            reason: (!reason.is_empty()).then(|| reason.to_owned()),
            ..Self::valid(id, comment, reqs, inputs)
        }
    }

    /// What has to come out.
    #[must_use]
    pub(super) fn expect(self, expect: Value) -> Self {
        Self { expect, ..self }
    }

    /// Values on the way, for whoever looks for a mistake.
    #[must_use]
    pub(super) fn intermediates(self, intermediates: Value) -> Self {
        Self { intermediates, ..self }
    }

    fn json(&self, number: usize) -> Value {
        let mut test = object(json!({
            "tcId": number,
            "id": self.id,
            "comment": self.comment,
            "reqs": self.reqs,
            "result": if self.valid { "valid" } else { "invalid" },
        }));
        test.extend(object(self.inputs.clone()));
        let optional = [
            ("twin", json!(self.twin)),
            ("reason", json!(self.reason)),
            ("expect", self.expect.clone()),
            ("intermediates", self.intermediates.clone()),
        ];
        for (name, value) in optional {
            if !value.is_null() {
                test.insert(name.to_owned(), value);
            }
        }
        Value::Object(test)
    }
}

impl File {
    /// The path below `vectors/`.
    pub(super) fn path(&self) -> String {
        format!("{}/{}.json", self.part, self.name)
    }

    /// The bytes of the file.
    pub(super) fn bytes(&self) -> Vec<u8> {
        let mut number = 0;
        let mut groups = Vec::new();
        for group in &self.groups {
            let mut fields = object(group.fields.clone());
            fields.insert("type".to_owned(), json!(group.kind));
            fields.insert("source".to_owned(), json!({"name": "meshproof-kit", "version": "0.1.0"}));
            let mut tests = Vec::new();
            for test in &group.tests {
                number += 1;
                tests.push(test.json(number));
            }
            fields.insert("tests".to_owned(), json!(tests));
            groups.push(Value::Object(fields));
        }
        let file = json!({
            "algorithm": self.algorithm,
            "schema": format!("../schema/{}.json", self.part),
            "generatorVersion": "0.1.0",
            "numberOfTests": number,
            "header": self.header,
            "notes": {},
            "testGroups": groups,
        });
        let mut text = String::new();
        print(&file, 0, &mut text);
        text.push('\n');
        text.into_bytes()
    }
}

/// Keys come in this order, and after `type` and before `result` all others by the alphabet.
const FIRST: [&str; 16] = [
    "algorithm",
    "schema",
    "generatorVersion",
    "numberOfTests",
    "header",
    "notes",
    "tcId",
    "id",
    "comment",
    "reqs",
    "twin",
    "type",
    "source",
    "name",
    "version",
    "now",
];
const LAST: [&str; 6] = ["result", "reason", "expect", "intermediates", "tests", "testGroups"];

/// Pretty JSON of its own, because the order of `serde_json`'s keys depends on features that another crate may switch.
fn print(value: &Value, indent: usize, text: &mut String) {
    let line = |text: &mut String, indent: usize| {
        text.push('\n');
        text.extend(std::iter::repeat_n(' ', indent));
    };
    match value {
        Value::Object(fields) if !fields.is_empty() => {
            let mut keys: Vec<&String> = fields.keys().collect();
            keys.sort_by_key(|key| (rank(key), (*key).clone()));
            text.push('{');
            for (i, key) in keys.into_iter().enumerate() {
                text.push_str(if i == 0 { "" } else { "," });
                line(text, indent + 2);
                text.push_str(&json!(key).to_string());
                text.push_str(": ");
                print(&fields[key], indent + 2, text);
            }
            line(text, indent);
            text.push('}');
        }
        // Lists of plain values stay on one line.
        Value::Array(items) if items.iter().any(serde_json::Value::is_object) => {
            text.push('[');
            for (i, item) in items.iter().enumerate() {
                text.push_str(if i == 0 { "" } else { "," });
                line(text, indent + 2);
                print(item, indent + 2, text);
            }
            line(text, indent);
            text.push(']');
        }
        plain => text.push_str(&plain.to_string()),
    }
}

fn rank(key: &str) -> usize {
    let last = LAST.iter().position(|known| *known == key).map(|place| FIRST.len() + 1 + place);
    FIRST.iter().position(|known| *known == key).or(last).unwrap_or(FIRST.len())
}

fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(fields) => fields,
        _ => Map::new(),
    }
}
