//! Several reports side by side: who passes what.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use anyhow::{Context as _, ensure};
use serde::Deserialize;

/// As much of `results.json` as a comparison needs.
#[derive(Debug, Deserialize)]
pub struct Results {
    schema: String,
    /// What was tested.
    pub target: String,
    spec_version: String,
    kit_version: String,
    conclusion: String,
    #[serde(rename = "results")]
    rows: Vec<Row>,
}

#[derive(Debug, Deserialize)]
struct Row {
    id: String,
    part: String,
    outcome: String,
}

impl Results {
    /// Reads a `results.json`.
    pub fn parse(text: &str) -> anyhow::Result<Self> {
        let results: Self = serde_json::from_str(text).context("this is no results.json")?;
        ensure!(results.schema == "meshproof-results/1", "this is a {:?}", results.schema);
        Ok(results)
    }

    fn outcomes(&self) -> BTreeMap<&str, &str> {
        self.rows.iter().map(|row| (row.id.as_str(), row.outcome.as_str())).collect()
    }

    /// `passed/ran` of a part.
    fn of_part(&self, part: &str) -> String {
        let of_part = || self.rows.iter().filter(|row| row.part == part);
        let passed = of_part().filter(|row| row.outcome == "pass").count();
        let ran = of_part()
            .filter(|row| !["not-applicable", "added-after"].contains(&row.outcome.as_str()))
            .count();
        if ran == 0 { "-".to_owned() } else { format!("{passed}/{ran}") }
    }
}

/// The comparison as Markdown: conclusions, parts, and each check that does not end alike. What not all reports have is
/// counted, for it says what was chosen and nothing of an implementation; `everything` shows it.
pub fn compare(all: &[Results], everything: bool) -> String {
    let mut out = String::new();
    for (number, results) in all.iter().enumerate() {
        let Results { target, conclusion, spec_version, kit_version, .. } = results;
        writeln!(
            out,
            "- {}: {target}, {conclusion} (specification {spec_version}, kit {kit_version})",
            letter(number)
        )
        .expect("writing to a String");
    }
    let mut parts: Vec<&str> = Vec::new();
    for row in all.iter().flat_map(|results| &results.rows) {
        if !parts.contains(&row.part.as_str()) {
            parts.push(&row.part);
        }
    }
    let parts = parts
        .iter()
        .map(|part| (part.to_string(), all.iter().map(|results| results.of_part(part)).collect::<Vec<_>>()));
    table(&mut out, "part", all.len(), parts.collect());

    let outcomes: Vec<_> = all.iter().map(Results::outcomes).collect();
    let mut ids: Vec<&str> = outcomes.iter().flat_map(|of| of.keys().copied()).collect();
    ids.sort_unstable();
    ids.dedup();
    let total = ids.len();
    let in_all = ids.iter().filter(|id| outcomes.iter().all(|of| of.contains_key(**id))).count();
    let differing: Vec<(String, Vec<String>)> = ids
        .into_iter()
        .filter(|id| everything || outcomes.iter().all(|of| of.contains_key(id)))
        .map(|id| (id, outcomes.iter().map(|of| of.get(id).copied().unwrap_or("-")).collect::<Vec<_>>()))
        .filter(|(_, ends)| ends.windows(2).any(|two| two[0] != two[1]))
        .map(|(id, ends)| (id.to_owned(), ends.into_iter().map(str::to_owned).collect()))
        .collect();
    let words = match in_all {
        0 => "\nNo check is in all of them.\n".to_owned(),
        1 => "\nThe one check that is in all of them ends alike.\n".to_owned(),
        _ if in_all == total => format!("\nAll {total} checks end alike.\n"),
        _ => format!("\nThe {in_all} checks that are in all of them end alike.\n"),
    };
    if differing.is_empty() {
        out.push_str(&words);
    } else {
        table(&mut out, "check", all.len(), differing);
    }
    if !everything && in_all < total {
        let left_out = total - in_all;
        writeln!(out, "\n{left_out} checks that are not in all of them are left out: --all shows them.")
            .expect("writing to a String");
    }
    out
}

fn letter(number: usize) -> char {
    char::from(b'A' + u8::try_from(number % 26).unwrap_or_default())
}

fn table(out: &mut String, first: &str, columns: usize, rows: Vec<(String, Vec<String>)>) {
    out.push('\n');
    let heads: Vec<String> = (0..columns).map(|number| letter(number).to_string()).collect();
    let wide = rows.iter().map(|(name, _)| name.len()).max().unwrap_or(0).max(first.len());
    let mut row = |name: &str, cells: &[String]| {
        write!(out, "| {name:wide$} |").expect("writing to a String");
        for cell in cells {
            write!(out, " {cell:>14} |").expect("writing to a String");
        }
        out.push('\n');
    };
    row(first, &heads);
    row(&"-".repeat(wide), &vec!["-".repeat(14); columns]);
    for (name, cells) in rows {
        row(&name, &cells);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::Outcome;
    use crate::report::{json, sample};

    #[test]
    fn what_differs_is_named_and_what_does_not_is_counted() {
        let one = sample::report();
        let mut other = sample::report();
        other.target = "another".to_owned();
        let changed = other.results[0].id.clone();
        other.results[0].outcome = Outcome::Blocked;
        let parse = |report| Results::parse(&json(report).unwrap()).unwrap();
        let text = compare(&[parse(&one), parse(&other)], false);
        assert!(text.contains("- B: another, "), "{text}");
        assert_eq!(text.lines().filter(|line| line.contains(&format!("| {changed} "))).count(), 1, "{text}");
        assert!(text.contains("blocked |"), "{text}");
        let alike = compare(&[parse(&one), parse(&one)], false);
        assert!(alike.contains("checks end alike"), "{alike}");
        // A report of some checks beside one of all.
        let mut some = sample::report();
        some.results.truncate(2);
        some.results[0].outcome = Outcome::Blocked;
        let filtered = compare(&[parse(&one), parse(&some)], false);
        let rows = |text: &str| text.lines().filter(|line| line.contains(" | ")).count();
        let left_out = one.results.len() - 2;
        assert!(filtered.contains(&format!("\n{left_out} checks that are not in all of them")), "{filtered}");
        let all = compare(&[parse(&one), parse(&some)], true);
        assert_eq!(rows(&all), rows(&filtered) + left_out, "{filtered}{all}");
        assert!(!all.contains("left out"), "{all}");
        assert!(Results::parse("{}").is_err());
    }
}
