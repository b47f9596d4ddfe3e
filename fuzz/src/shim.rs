//! Lines of a shim: whatever a program writes, the kit judges it, and nothing but the right answer passes; whatever a
//! request says, the oracle answers it.

use meshproof_kit::fuzz::Draw;
use meshproof_kit::target::shim::{Answer, Outcome};
use meshproof_kit::vectors::{self, VectorTest, Verdict, reader};
use serde_json::{Value, json};

use crate::plant::{LENIENT_SHIM, planted};

/// The first two bytes choose a vector, the next one whether the answer or the request is changed. Whether an answer passed.
pub fn shim(data: &[u8]) -> bool {
    let mut draw = Draw(data);
    let tests = cheap();
    let test = tests[draw.below(tests.len())];
    if draw.one_in(2) {
        let mut request = vectors::request(test);
        for _ in 0..=draw.below(3) {
            change(&mut draw, &mut request);
        }
        return reader::answer(&request).outcome == Outcome::Accept;
    }
    let right = right(test);
    let mut line = right.to_string().into_bytes();
    match draw.below(4) {
        0 => draw.edit(&mut line),
        1 => {
            let mut answer = right.clone();
            change(&mut draw, &mut answer);
            line = answer.to_string().into_bytes();
        }
        2 => line = draw.0.to_vec(),
        _ => {}
    }
    let Some(answer) = read(&line) else { return false };
    let passes = vectors::judge(test, &answer) == Verdict::Pass;
    let said = serde_json::from_slice::<Value>(&line).unwrap_or_default();
    let wanted = if test.expected.valid { "accept" } else { "reject" };
    assert!(!passes || said["outcome"] == wanted, "{} passes with {said}", test.id);
    for (name, value) in
        test.expected.output.as_object().into_iter().flatten().filter(|_| test.expected.valid)
    {
        assert!(!passes || said["output"][name] == *value, "{} passes with another {name}: {said}", test.id);
    }
    passes
}

/// As the kit reads a line of a process.
fn read(line: &[u8]) -> Option<Answer> {
    if planted(LENIENT_SHIM) && line.windows(6).any(|word| word == b"accept") {
        let mut answer: Value = serde_json::from_slice(line).ok()?;
        answer["outcome"] = "accept".into();
        return serde_json::from_value(answer).ok();
    }
    serde_json::from_slice(std::str::from_utf8(line).ok()?.as_bytes()).ok()
}

/// The vectors that the oracle answers without a private RSA operation.
fn cheap() -> &'static [&'static VectorTest] {
    static CHEAP: std::sync::LazyLock<Vec<&'static VectorTest>> = std::sync::LazyLock::new(|| {
        let costly = ["HandshakeM1", "HandshakeM2", "HandshakeRetry", "TicketIssue"];
        vectors::all().iter().filter(|test| !costly.contains(&test.kind.as_str())).collect()
    });
    &CHEAP
}

fn right(test: &VectorTest) -> Value {
    let outcome = if test.expected.valid { "accept" } else { "reject" };
    json!({"outcome": outcome, "reason": test.expected.reason, "output": test.expected.output})
}

/// Changes one value somewhere.
fn change(draw: &mut Draw<'_>, value: &mut Value) {
    match value {
        Value::Object(members) if !members.is_empty() && !draw.one_in(8) => {
            let at = draw.below(members.len());
            if let Some(inner) = members.values_mut().nth(at) {
                change(draw, inner);
            }
        }
        Value::Array(items) if !items.is_empty() && !draw.one_in(8) => {
            let at = draw.below(items.len());
            change(draw, &mut items[at]);
        }
        Value::String(text) if !draw.one_in(4) => {
            let mut bytes = std::mem::take(text).into_bytes();
            draw.edit(&mut bytes);
            *text = String::from_utf8_lossy(&bytes).into_owned();
        }
        _ => {
            let odd = [
                Value::Null,
                json!(0),
                json!(-1),
                json!(u64::MAX),
                json!(1.5),
                json!(""),
                json!("accept"),
                json!("reject"),
                json!([]),
                json!({}),
                json!([[]]),
                json!("00"),
                json!("\u{e9}\u{e9}"),
                json!(true),
            ];
            *value = draw.pick(&odd).clone();
        }
    }
}
