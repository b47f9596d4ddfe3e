//! The smallest input on which two implementations still disagree as they did: what is left is what it is about.
//!
//! Members, elements, bytes and digits are taken out, large pieces first, as long as the difference stays the same one.

use serde_json::Value;

/// More attempts than this are not made.
const ATTEMPTS: usize = 6_000;

/// A smaller input, and how it was found.
#[derive(Clone, Debug, PartialEq)]
pub struct Minimised {
    /// The input.
    pub input: Value,
    /// How many inputs were tried.
    pub tried: usize,
    /// Whether nothing more can be taken out, one piece at a time.
    pub complete: bool,
}

/// Makes `input` smaller for as long as `same` says that it shows the same. `same(input)` has to be true.
pub fn minimise(input: &Value, mut same: impl FnMut(&Value) -> bool) -> Minimised {
    let mut found = Minimised { input: input.clone(), tried: 0, complete: false };
    loop {
        let before = size(&found.input);
        let mut paths = Vec::new();
        list(&found.input, String::new(), &mut paths);
        // What holds others comes first: it may take them all with it.
        for path in paths {
            // Something above it may be gone.
            if found.input.pointer(&path).is_some() {
                shrink(&mut found, &path, &mut same);
            }
            if found.tried >= ATTEMPTS {
                return found;
            }
        }
        if size(&found.input) == before {
            found.complete = true;
            return found;
        }
    }
}

/// The size that is made smaller: the length of the text.
pub fn size(value: &Value) -> usize {
    value.to_string().len()
}

fn list(value: &Value, path: String, paths: &mut Vec<String>) {
    match value {
        Value::Object(members) => {
            for (name, value) in members {
                list(value, format!("{path}/{}", name.replace('~', "~0").replace('/', "~1")), paths);
            }
        }
        Value::Array(items) => {
            for (number, value) in items.iter().enumerate() {
                list(value, format!("{path}/{number}"), paths);
            }
        }
        _ => {}
    }
    paths.insert(0, path);
}

/// Takes pieces out of the value at `path`.
fn shrink(found: &mut Minimised, path: &str, same: &mut impl FnMut(&Value) -> bool) {
    let Some(value) = found.input.pointer(path).cloned() else { return };
    match value {
        Value::Object(members) => {
            for name in members.keys() {
                attempt(found, path, same, |value| {
                    value.as_object_mut().is_some_and(|members| members.remove(name).is_some())
                });
            }
        }
        Value::Array(items) => pieces(found, path, same, items.len(), 1, |value, from, to| {
            value.as_array_mut().map(|items| items.drain(from..to.min(items.len())).count())
        }),
        Value::String(text) => {
            let digits = text.bytes().all(|b| b.is_ascii_hexdigit()) && text.len().is_multiple_of(2);
            let piece = if digits { 2 } else { 1 };
            let letters = text.chars().count();
            pieces(found, path, same, letters, piece, |value, from, to| {
                let text = value.as_str()?.to_owned();
                let left: String = text
                    .chars()
                    .enumerate()
                    .filter(|(at, _)| !(from..to).contains(at))
                    .map(|(_, c)| c)
                    .collect();
                let taken = text.len() - left.len();
                *value = Value::String(left);
                Some(taken)
            });
            if digits {
                zeros(found, path, same);
            }
        }
        Value::Number(number) if number.as_u64().is_some_and(|number| number > 9) => {
            attempt(found, path, same, |value| {
                *value = 0.into();
                true
            });
        }
        _ => {}
    }
}

/// Takes out halves, quarters, and so on down to single pieces.
fn pieces(
    found: &mut Minimised,
    path: &str,
    same: &mut impl FnMut(&Value) -> bool,
    length: usize,
    piece: usize,
    take: impl Fn(&mut Value, usize, usize) -> Option<usize>,
) {
    let (mut length, mut step) = (length, length.next_multiple_of(piece).max(piece));
    while length > 0 && found.tried < ATTEMPTS {
        let mut from = 0;
        while from < length && found.tried < ATTEMPTS {
            let taken = step.min(length - from);
            let done =
                attempt(found, path, same, |value| take(value, from, from + taken).is_some_and(|n| n > 0));
            if done {
                length -= taken;
            } else {
                from += taken;
            }
        }
        if step == piece {
            return;
        }
        step = (step / 2).next_multiple_of(piece);
    }
}

/// Bytes that cannot be taken out become zeros where that changes nothing: what is left stands out.
fn zeros(found: &mut Minimised, path: &str, same: &mut impl FnMut(&Value) -> bool) {
    let all = |value: &mut Value| {
        let Some(text) = value.as_str() else { return false };
        let zeros = "0".repeat(text.len());
        let differs = text != zeros;
        *value = Value::String(zeros);
        differs
    };
    attempt(found, path, same, all);
}

/// Keeps a change if the input still shows the same.
fn attempt(
    found: &mut Minimised,
    path: &str,
    same: &mut impl FnMut(&Value) -> bool,
    change: impl Fn(&mut Value) -> bool,
) -> bool {
    let mut input = found.input.clone();
    let changed = input.pointer_mut(path).is_some_and(change);
    if !changed || found.tried >= ATTEMPTS {
        return false;
    }
    found.tried += 1;
    let kept = same(&input);
    if kept {
        found.input = input;
    }
    kept
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_does_not_matter_is_gone() {
        let input =
            json!({"a": {"b": "00112233445566778899", "c": 77}, "list": [1, 2, 3, 4], "text": "hello world"});
        // It is about the byte 55, an element 3 and the letters "wo".
        let same = |value: &Value| {
            let text =
                |path: &str| value.pointer(path).and_then(Value::as_str).unwrap_or_default().to_owned();
            let bytes = text("/a/b");
            let has = |byte: &str| bytes.as_bytes().chunks(2).any(|two| two == byte.as_bytes());
            let three = value["list"].as_array().is_some_and(|items| items.contains(&json!(3)));
            has("55") && three && text("/text").contains("wo")
        };
        let found = minimise(&input, same);
        assert_eq!(found.input, json!({"a": {"b": "55"}, "list": [3], "text": "wo"}));
        assert!(found.complete && found.tried < 200, "{} tries", found.tried);
    }

    #[test]
    fn what_cannot_be_taken_out_becomes_zeros() {
        let same = |value: &Value| value["x"].as_str().is_some_and(|text| text.len() == 6);
        assert_eq!(minimise(&json!({"x": "a1b2c3"}), same).input, json!({"x": "000000"}));
    }
}
