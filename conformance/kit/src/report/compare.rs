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

/// The comparison as Markdown: conclusions, parts, and each check that does not end alike.
pub fn compare(all: &[Results]) -> String {
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
    let differing: Vec<(String, Vec<String>)> = ids
        .into_iter()
        .map(|id| (id, outcomes.iter().map(|of| of.get(id).copied().unwrap_or("-")).collect::<Vec<_>>()))
        .filter(|(_, ends)| ends.windows(2).any(|two| two[0] != two[1]))
        .map(|(id, ends)| (id.to_owned(), ends.into_iter().map(str::to_owned).collect()))
        .collect();
    if differing.is_empty() {
        writeln!(out, "\nAll {total} checks end alike.").expect("writing to a String");
    } else {
        table(&mut out, "check", all.len(), differing);
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
        let text = compare(&[parse(&one), parse(&other)]);
        assert!(text.contains("- B: another, "), "{text}");
        assert_eq!(text.lines().filter(|line| line.contains(&format!("| {changed} "))).count(), 1, "{text}");
        assert!(text.contains("blocked |"), "{text}");
        let alike = compare(&[parse(&one), parse(&one)]);
        assert!(alike.contains("checks end alike"), "{alike}");
        assert!(Results::parse("{}").is_err());
    }
}
