//! `spec/kills.txt` read back, and a choice of its kills that comes to every mutant and to every check.

use std::collections::{BTreeMap, BTreeSet};

use meshproof_kit::check::{Check, Role};
use meshproof_proto::requirement::Fault;

/// The committed tables.
pub(super) struct Table {
    rows: Vec<Row>,
    /// Checks that nothing kills, as the table says with a reason.
    pub(super) excused: BTreeSet<String>,
    /// Over-strict mutants that no valid twin comes to.
    pub(super) unreached: Vec<String>,
}

/// What is recorded of a mutant.
struct Row {
    fault: Fault,
    /// The checks that failed and were meant to.
    meant: Vec<String>,
    /// The other checks that failed.
    others: Vec<String>,
}

/// Kills of one mutant that show that the table still holds.
pub(super) struct Chosen<'a> {
    pub(super) fault: Fault,
    /// The checks that fail on it.
    pub(super) checks: Vec<&'a Check>,
    /// The checks that were meant to find it when the table was written.
    pub(super) meant: Vec<String>,
}

impl Table {
    /// The one of this repository.
    pub(super) fn committed() -> Self {
        Self::parse(include_str!("../../spec/kills.txt"))
    }

    /// Reads what `KillMatrix::render` writes. Mutants that are no more are left out.
    fn parse(text: &str) -> Self {
        let mut table = Self { rows: Vec::new(), excused: BTreeSet::new(), unreached: Vec::new() };
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            if let Some((check, _)) = line.split_once(" ! ") {
                table.excused.insert(check.to_owned());
            } else if let Some(mutants) = line.strip_prefix("unreached: ") {
                table.unreached = mutants.split_whitespace().map(str::to_owned).collect();
            } else if let Some((mutant, checks)) = line.split_once(": ") {
                let (meant, others) = checks.split_once("+ ").unwrap_or((checks, ""));
                let words = |list: &str| list.split_whitespace().map(str::to_owned).collect();
                if let Some(fault) = Fault::by_name(mutant) {
                    table.rows.push(Row { fault, meant: words(meant), others: words(others) });
                }
            }
        }
        table
    }

    /// Few kills, the same ones each time: every mutant has one at least, by a check that is meant to find it if there is
    /// one, and every check that has ever killed anything has one.
    pub(super) fn choose<'a>(&self, all: &'a [Check]) -> Vec<Chosen<'a>> {
        let known: BTreeMap<&str, &Check> = all.iter().map(|check| (check.id.as_str(), check)).collect();
        let checks = |list: &[String]| -> Vec<&'a Check> {
            list.iter().filter_map(|id| known.get(id.as_str()).copied()).collect()
        };
        let mut cover = Cover { chosen: vec![Vec::new(); self.rows.len()], used: BTreeSet::new() };
        let candidates: Vec<(Vec<&Check>, Vec<&Check>)> =
            self.rows.iter().map(|row| (checks(&row.meant), checks(&row.others))).collect();

        // Mutants first, those that few checks find before the others. A vector costs less than a conversation.
        let mut order: Vec<usize> = (0..self.rows.len()).collect();
        order.sort_by_key(|row| candidates[*row].0.len());
        for row in order {
            let (meant, others) = &candidates[row];
            let found = if meant.is_empty() { others } else { meant };
            let cost =
                |check: &&&Check| (cover.used.contains(check.id.as_str()), check.role != Role::Vectors);
            if let Some(check) = found.iter().min_by_key(cost) {
                cover.take(row, check);
            }
        }
        // Then the checks that are left: where their like is run anyway, or else where most of them are at once.
        let mut homes: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
        for (row, (meant, others)) in candidates.iter().enumerate() {
            for check in meant.iter().chain(others) {
                homes.entry(&check.id).or_default().push(row);
            }
        }
        let mut left: Vec<&Check> =
            all.iter().filter(|check| homes.contains_key(check.id.as_str())).collect();
        left.retain(|check| !cover.settle(check, &homes[check.id.as_str()]));
        while !left.is_empty() {
            let mut gains: BTreeMap<usize, usize> = BTreeMap::new();
            for row in left.iter().flat_map(|check| &homes[check.id.as_str()]) {
                *gains.entry(*row).or_default() += 1;
            }
            let best = gains.into_iter().max_by_key(|(row, gain)| (*gain, std::cmp::Reverse(*row)));
            let Some((best, _)) = best else { break };
            left.retain(|check| {
                let here = homes[check.id.as_str()].contains(&best);
                if here {
                    cover.take(best, check);
                }
                !here
            });
        }
        let rows = self.rows.iter().zip(cover.chosen).filter(|(_, checks)| !checks.is_empty());
        rows.map(|(row, checks)| Chosen { fault: row.fault, checks, meant: row.meant.clone() }).collect()
    }
}

/// What is chosen so far, row by row.
struct Cover<'a> {
    chosen: Vec<Vec<&'a Check>>,
    used: BTreeSet<&'a str>,
}

impl<'a> Cover<'a> {
    fn take(&mut self, row: usize, check: &'a Check) {
        self.chosen[row].push(check);
        self.used.insert(&check.id);
    }

    /// Puts a check where it costs nothing but itself; whether it has a place now.
    fn settle(&mut self, check: &'a Check, homes: &[usize]) -> bool {
        if self.used.contains(check.id.as_str()) {
            return true;
        }
        let vector = check.role == Role::Vectors;
        let alike = |row: &&usize| vector || self.chosen[**row].iter().any(|other| other.role == check.role);
        let Some(row) = homes.iter().filter(alike).min_by_key(|row| self.chosen[**row].len()).copied() else {
            return false;
        };
        self.take(row, check);
        true
    }
}

#[cfg(test)]
mod tests {
    use meshproof_kit::catalog::Part;
    use meshproof_kit::check::Context;

    use super::*;

    fn check(id: &str, role: Role) -> Check {
        Check::new(role, Part::Ticket, id, &[], id, |_: Context| async { Ok(()) })
    }

    fn pairs(table: &str, all: &[Check]) -> Vec<String> {
        let chosen = Table::parse(table).choose(all);
        let line = |one: &Chosen<'_>| {
            let ids: Vec<&str> = one.checks.iter().map(|check| check.id.as_str()).collect();
            format!("{}: {}", one.fault, ids.join(" "))
        };
        chosen.iter().map(line).collect()
    }

    #[test]
    fn every_mutant_and_every_check_has_a_kill_and_few_have_two() {
        let [vector, live] = [Role::Vectors, Role::Cloud];
        let all = [check("v.a", vector), check("v.b", vector), check("l.a", live), check("l.b", live)];
        let table = "# words\nTKT-014: l.a v.a\nTKT-015: v.a + l.b\nTKT-099: v.a\nagainst:TKT-014: l.a gone\n\
                     all: + v.b\nunreached: against:TKT-015\nv.a < TKT-014\nv.c ! why\n";
        assert_eq!(
            pairs(table, &all),
            ["TKT-014: v.a", "TKT-015: v.a l.b", "against:TKT-014: l.a", "all: v.b"]
        );
        assert_eq!(Table::parse(table).excused, BTreeSet::from(["v.c".to_owned()]));
    }

    #[test]
    fn the_committed_table_is_covered() {
        let all = meshproof_kit::checks::all();
        let table = Table::committed();
        let chosen = table.choose(&all);
        assert_eq!(chosen.len(), table.rows.len(), "a mutant of the table without a check of today");
        let used: BTreeSet<&str> =
            chosen.iter().flat_map(|one| &one.checks).map(|check| check.id.as_str()).collect();
        let kills: usize = chosen.iter().map(|one| one.checks.len()).sum();
        let recorded: BTreeSet<&String> =
            table.rows.iter().flat_map(|row| row.meant.iter().chain(&row.others)).collect();
        let known = all.iter().filter(|check| recorded.contains(&check.id)).count();
        assert_eq!(used.len(), known);
        assert!(kills < known + known / 10, "{kills} kills for {known} checks");
    }
}
