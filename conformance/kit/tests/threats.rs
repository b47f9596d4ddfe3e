//! `spec/threats.md` names requirements, checks and tests; all of them exist, and those that stand together belong together.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use meshproof_kit::catalog::{Catalog, Part};
use meshproof_kit::checks;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn document() -> String {
    fs::read_to_string(root().join("spec/threats.md")).expect("spec/threats.md")
}

/// A point of a tree.
struct Node {
    /// Where its text begins.
    line: usize,
    depth: usize,
    text: String,
    leaf: bool,
}

/// The points of all trees, each with the lines it goes on in.
fn nodes(text: &str) -> Vec<Node> {
    let mut nodes: Vec<Node> = Vec::new();
    let mut open = false;
    for (number, line) in text.lines().enumerate() {
        let words = line.trim_start();
        let depth = line.len() - words.len();
        if let Some(words) = words.strip_prefix("- ") {
            if let Some(before) = nodes.last_mut().filter(|before| open && before.depth < depth) {
                before.leaf = false;
            }
            nodes.push(Node { line: number + 1, depth, text: words.to_owned(), leaf: true });
            open = true;
        } else if words.is_empty() || depth == 0 {
            open = false;
        } else if let Some(node) = nodes.last_mut().filter(|_| open) {
            node.text.push(' ');
            node.text.push_str(words);
        }
    }
    nodes
}

/// The requirement ids in a text: `TKT-014`, and not a part of `RUSTSEC-2023-0071`.
fn ids(text: &str) -> BTreeSet<&str> {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '-');
    words.filter(|word| word.len() == 7 && Part::of_requirement(word).is_some()).collect()
}

/// What stands between backticks: names of checks have a dot, names of tests have `::`.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

fn is_check(word: &&str) -> bool {
    word.contains('.') && !word.contains(['/', ':', ' '])
}

/// What is wrong with the document, a line each.
fn problems(text: &str) -> Vec<String> {
    let catalog = Catalog::embedded();
    let checks: BTreeMap<String, BTreeSet<String>> = checks::all()
        .into_iter()
        .map(|check| (check.id.clone(), check.reqs.iter().cloned().collect()))
        .collect();
    let mut wrong = Vec::new();
    for id in ids(text) {
        if catalog.get(id).is_none() {
            wrong.push(format!("there is no requirement {id}"));
        }
    }
    for node in nodes(text) {
        let (ids, open) = (ids(&node.text), node.text.contains("Open"));
        let mut shown = false;
        for check in quoted(&node.text).filter(is_check) {
            match checks.get(check) {
                None => wrong.push(format!("{}: there is no check {check}", node.line)),
                Some(cited) if ids.iter().any(|id| cited.contains(*id)) => shown = true,
                Some(cited) => wrong.push(format!("{}: {check} is about {cited:?}", node.line)),
            }
        }
        for test in quoted(&node.text).filter(|word| word.contains("::")) {
            let (file, name) = test.split_once("::").unwrap_or_default();
            let source = fs::read_to_string(root().join(file)).unwrap_or_default();
            if source.contains(&format!("fn {name}(")) {
                shown = true;
            } else {
                wrong.push(format!("{}: there is no test {test}", node.line));
            }
        }
        if node.leaf && !open && (ids.is_empty() || !shown) {
            wrong.push(format!("{}: a leaf that says neither what stops it nor that it is open", node.line));
        }
    }
    wrong
}

#[test]
fn what_stops_an_attack_exists() {
    let text = document();
    let wrong = problems(&text);
    assert!(wrong.is_empty(), "spec/threats.md:\n{}", wrong.join("\n"));
    assert!(nodes(&text).iter().filter(|node| node.leaf).count() > 80, "the trees were not read");
}

/// The limits of `reference/HARDENING.md`: each rule and check exists, and the check that refuses one more cites the rule.
#[test]
fn limits_are_checked() {
    let text = fs::read_to_string(root().join("reference/HARDENING.md")).expect("reference/HARDENING.md");
    let table = text.split_once("| rule | limit |").map(|(_, table)| table).expect("the table of limits");
    let checks: BTreeMap<String, BTreeSet<String>> = checks::all()
        .into_iter()
        .map(|check| (check.id.clone(), check.reqs.iter().cloned().collect()))
        .collect();
    let mut seen = 0;
    for row in table.lines().filter(|line| line.starts_with("| ")) {
        let cells: Vec<&str> = row.split(" |").collect();
        let rule = cells[0].trim_start_matches('|').trim();
        assert!(rule.is_empty() || Catalog::embedded().get(rule).is_some(), "{row}");
        for cell in &cells[3..] {
            for check in quoted(cell).filter(is_check) {
                let cited = checks.get(check).unwrap_or_else(|| panic!("there is no check {check}"));
                // What passes with the largest value need not cite anything.
                assert!(cited.contains(rule) || cell == &cells[3], "{check} does not cite {rule}");
                seen += 1;
            }
        }
    }
    assert!(seen > 20, "the table was not read");
}

/// A reader that understands nothing would find nothing wrong.
#[test]
fn each_mistake_is_found() {
    let right = "- way: TKT-014. Checks: `vector.ticket.verify.expired-at-boundary`\n";
    assert!(problems(right).is_empty());
    for wrong in [
        "- way\n",
        "- way: TKT-014\n",
        "- way\n  - deeper\n",
        "- way: TKT-999. Checks: `vector.ticket.verify.expired-at-boundary`\n",
        "- way: TKT-014. Checks: `vector.ticket.verify.no-such`\n",
        "- way: TKT-014. Checks: `rec.mac.first-byte`\n",
        "- way: TKT-014. Tests: `reference/proto/src/record/tests.rs::no_such`\n",
        "- way: TKT-014. Checks:\n\n  `vector.ticket.verify.expired-at-boundary`\n",
    ] {
        assert!(!problems(wrong).is_empty(), "{wrong}");
    }
}

/// The attackers of the table are those of the sections, and nobody is without a tree.
#[test]
fn every_attacker_has_a_section() {
    let text = document();
    let rows = text.lines().filter(|line| line.starts_with("| ")).skip(1);
    let attackers: Vec<&str> = rows.filter_map(|row| row.split('|').nth(1)).map(str::trim).collect();
    let sections: Vec<String> = text
        .lines()
        .filter_map(|line| line.strip_prefix("## ")?.split_once(". "))
        .map(|(_, name)| name.to_lowercase())
        .collect();
    assert_eq!(attackers, sections);
}
