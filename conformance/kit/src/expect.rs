//! Failures that are known, in a file: one line a check, with the reason, and `#` before what is for people only.
//!
//! ```text
//! # lines of: check id, "part of the message" if only that failure is known, reason
//! rec.call.truncated "goes on" issue 12: close is not awaited
//! hs.call.retry      issue 31: RETRY is not implemented
//! ```
//!
//! A check that fails in another way, and one that passes, are no known failures any more.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use anyhow::{Context as _, bail, ensure};

use crate::check::Outcome;
use crate::report::RunReport;

/// Why a check is known to fail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expected {
    /// What the message of the failure contains. Empty: whatever it says.
    pub message: String,
    /// Why, for people.
    pub reason: String,
    /// `known.txt:3`: the line to remove when it is not true any more.
    pub place: String,
}

impl Expected {
    /// Whether it is this failure that is known.
    pub fn covers(&self, message: &str) -> bool {
        message.contains(&self.message)
    }

    /// What a result says that failed as it was known to.
    pub(crate) fn declared(&self, message: &str) -> String {
        format!("{message}{REASON}{})", self.reason)
    }
}

/// What stands between a message and the reason of its failure.
const REASON: &str = " (expected: ";

/// The message and the reason of a result that failed as it was known to.
pub(crate) fn message_and_reason(declared: &str) -> (&str, &str) {
    let (message, reason) = declared.rsplit_once(REASON).unwrap_or((declared, ""));
    (message, reason.strip_suffix(')').unwrap_or(reason))
}

/// Reads the lines of a file; `known` are the ids of the checks that can be run.
pub fn parse(text: &str, file: &str, known: &[&str]) -> anyhow::Result<BTreeMap<String, Expected>> {
    let mut expected = BTreeMap::new();
    for (number, line) in text.lines().enumerate() {
        let line = line.trim();
        if !line.is_empty() && !line.starts_with('#') {
            let place = format!("{file}:{}", number + 1);
            let parsed = parse_line(line, place);
            let (id, known_failure) = parsed.with_context(|| format!("line {}", number + 1))?;
            ensure!(known.contains(&id), "line {}: there is no check {id} for these targets", number + 1);
            let before = expected.insert(id.to_owned(), known_failure);
            ensure!(before.is_none(), "line {}: {id} has a line already", number + 1);
        }
    }
    Ok(expected)
}

fn parse_line(line: &str, place: String) -> anyhow::Result<(&str, Expected)> {
    let Some((id, rest)) = line.split_once(char::is_whitespace) else {
        bail!("a check id and a reason are needed");
    };
    let rest = rest.trim();
    let (message, reason) = match rest.strip_prefix('"') {
        Some(quoted) => quoted.split_once('"').context("the part of the message has no second quote")?,
        None => ("", rest),
    };
    let reason = reason.trim();
    ensure!(!reason.is_empty(), "{id} has no reason");
    Ok((id, Expected { message: message.to_owned(), reason: reason.to_owned(), place }))
}

/// The failures of a run as such a file. Reasons that were given stay; new ones are for a person to write.
pub fn render(report: &RunReport, before: &BTreeMap<String, Expected>) -> String {
    let mut text = format!("# Failures of {}: check id, part of the message, reason\n", report.target);
    let failures = report.results.iter().filter(|r| matches!(r.outcome, Outcome::Fail | Outcome::Xfail));
    for result in failures {
        let line = match before.get(&result.id).filter(|_| result.outcome == Outcome::Xfail) {
            Some(Expected { message, reason, .. }) if message.is_empty() => reason.clone(),
            Some(Expected { message, reason, .. }) => format!("\"{message}\" {reason}"),
            None => format!("\"{}\" TODO: why", part_of(&result.message)),
        };
        writeln!(text, "{} {line}", result.id).expect("writing to a String");
    }
    text
}

/// The longest piece of a message that is the same in every run: without digits and quotes.
fn part_of(message: &str) -> &str {
    let particular = |c: char| c.is_ascii_digit() || c == '"' || c == '\n';
    message.split(particular).max_by_key(|piece| piece.trim().len()).unwrap_or_default().trim()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::sample;

    #[test]
    fn lines_are_read_and_bad_ones_are_named() {
        let known = ["a.b", "c.d"];
        let read = parse("# x\n\na.b because\nc.d \"goes on\"  later", "known.txt", &known).unwrap();
        let because =
            Expected { message: String::new(), reason: "because".into(), place: "known.txt:3".into() };
        assert_eq!(read["a.b"], because);
        assert!(read["c.d"].covers("it goes on") && !read["c.d"].covers("it stops"));
        for wrong in ["a.b", "a.b \"x\"", "a.b \"x reason", "e.f because", "a.b one\na.b two"] {
            assert!(parse(wrong, "", &known).is_err(), "{wrong}");
        }
    }

    #[test]
    fn reasons_stay_with_the_failures_that_they_are_of() {
        let mut report = sample::report();
        report.results.retain(|result| result.outcome == Outcome::Fail);
        report.results.truncate(1);
        let id = report.results[0].id.clone();
        let before = |message: &str| {
            let known = Expected {
                message: message.to_owned(),
                reason: "because".to_owned(),
                place: "known.txt:1".to_owned(),
            };
            BTreeMap::from([(id.clone(), known)])
        };
        // It fails in another way than the one that was known: nobody has said why yet.
        let line = |report: &RunReport, message: &str| {
            render(report, &before(message)).lines().last().unwrap_or_default().to_owned()
        };
        assert!(line(&report, "goes on").ends_with("TODO: why"));
        report.results[0].outcome = Outcome::Xfail;
        assert_eq!(line(&report, "goes on"), format!("{id} \"goes on\" because"));
        assert_eq!(line(&report, ""), format!("{id} because"));
    }

    /// What would fail to be covered in the next run, or could not be read, is not proposed.
    #[test]
    fn the_piece_that_is_the_same_in_every_run_is_proposed() {
        assert_eq!(part_of("status 404 where the check wants 200"), "where the check wants");
        assert_eq!(part_of("it said \"no such folder\" in 3 ms"), "no such folder");
        assert_eq!(part_of("a line\nanother, longer\n1"), "another, longer");
        assert_eq!(part_of("1\"2\n"), "");
    }

    #[test]
    fn what_is_written_can_be_read() {
        let report = sample::report();
        let text = render(&report, &BTreeMap::new());
        let ids: Vec<&str> = report.results.iter().map(|result| result.id.as_str()).collect();
        let read = parse(&text, "", &ids).unwrap();
        let failed: Vec<_> = report.results.iter().filter(|r| r.outcome == Outcome::Fail).collect();
        assert!(!failed.is_empty());
        for result in failed {
            assert!(read[&result.id].covers(&result.message), "{text}");
        }
    }
}
