//! The summary for a terminal.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};

use super::{CheckResult, Counts, KillMatrix, KillVerdict, Proof, RunReport, short_seconds, utc};
use crate::catalog::{Catalog, SPEC_VERSION};
use crate::check::Outcome;

/// What a person wants to know when the run is over: what is wrong first, then the totals.
pub fn summary(report: &RunReport) -> String {
    let mut text = String::new();
    write(&mut text, report).expect("writing to a String");
    text
}

fn write(out: &mut String, report: &RunReport) -> fmt::Result {
    for result in report.results.iter().filter(|result| result.outcome.needs_attention()) {
        attention(out, result)?;
    }
    parts(out, report)?;
    untested(out, report)?;
    requirements(out, report)?;
    if let Some(matrix) = &report.kill_matrix {
        mutants(out, matrix)?;
    }
    writeln!(out)?;
    let verdict = report.verdict().to_uppercase() + &report.advice();
    writeln!(out, "{}: {verdict}; {}", report.target, totals(&report.counts()))?;
    writeln!(
        out,
        "specification {SPEC_VERSION}, kit {}, seed {}, {}, took {}",
        report.kit_version,
        report.seed,
        utc(report.started),
        short_seconds(report.seconds)
    )
}

/// A check that did not pass, with the sentences of the specification it cites.
fn attention(out: &mut String, result: &CheckResult) -> fmt::Result {
    writeln!(out, "{:10} {}", result.outcome.name().to_uppercase(), result.id)?;
    wrap(out, "           ", &result.title)?;
    for line in result.message.lines() {
        wrap(out, "           -> ", line)?;
    }
    for id in &result.reqs {
        match Catalog::embedded().get(id) {
            Some(requirement) => {
                wrap(out, &format!("           {id} "), &requirement.sentence)?;
                writeln!(out, "           spec/{}:{}", requirement.document, requirement.line)?;
            }
            None => writeln!(out, "           {id}")?,
        }
    }
    writeln!(out)
}

fn parts(out: &mut String, report: &RunReport) -> fmt::Result {
    let columns = [Outcome::Pass, Outcome::Fail, Outcome::Warn, Outcome::NotApplicable, Outcome::Blocked];
    writeln!(out, "part         checks    pass    fail    warn     n/a blocked")?;
    for (part, counts) in report.counts_by_part() {
        write!(out, "{part:12}{:7}", counts.total())?;
        for outcome in columns {
            write!(out, "{:>8}", dash(counts.of(outcome)))?;
        }
        let rest: Vec<String> = counts
            .present()
            .filter(|(outcome, _)| !columns.contains(outcome))
            .map(|(outcome, count)| format!("  {count} {outcome}"))
            .collect();
        writeln!(out, "{}", rest.concat())?;
    }
    Ok(())
}

/// What was not tested, and why: what a target does not have is counted, and named.
fn untested(out: &mut String, report: &RunReport) -> fmt::Result {
    let mut reasons: BTreeMap<&str, usize> = BTreeMap::new();
    for result in report.results.iter().filter(|result| result.outcome == Outcome::NotApplicable) {
        *reasons.entry(result.message.lines().next().unwrap_or_default()).or_default() += 1;
    }
    if report.left_out > 0 {
        reasons.insert("not selected", report.left_out);
    }
    if !reasons.is_empty() {
        writeln!(out, "\nnot tested:")?;
    }
    for (reason, count) in reasons {
        wrap(out, &format!("{count:6}  "), reason)?;
    }
    Ok(())
}

/// How much of the specification this run is about.
fn requirements(out: &mut String, report: &RunReport) -> fmt::Result {
    let catalog = Catalog::embedded();
    let (all, (tested, excluded)) = (catalog.requirements().len(), report.tested(catalog));
    write!(out, "\nrequirements: {tested} of {all} tested")?;
    let here = all - tested - excluded;
    if here > 0 {
        write!(out, ", {here} not in this run")?;
    }
    writeln!(out, "; {excluded} excluded from testing, each with a reason (`meshproof coverage`)")
}

fn mutants(out: &mut String, matrix: &KillMatrix) -> fmt::Result {
    let killed = matrix.count(KillVerdict::Killed);
    let by_others = matrix.count(KillVerdict::KilledByOthers);
    let survived = matrix.count(KillVerdict::Survived);
    write!(out, "\nmutants: {} planted, {killed} killed", matrix.rows.len())?;
    if by_others > 0 {
        write!(out, ", {by_others} killed by checks of other requirements")?;
    }
    writeln!(out, ", {survived} survived")?;
    if let Some(proof) = matrix.proof {
        writeln!(out, "  {}", proved(&proof))?;
    }
    for row in matrix.survivors() {
        let expected =
            if row.expected.is_empty() { "no check cites it".to_owned() } else { row.expected.join(" ") };
        writeln!(out, "  SURVIVED {} ({expected})", row.mutant)?;
    }
    for one in matrix.unproven() {
        writeln!(out, "  NEVER KILLED {}: no mutant makes it fail", one.check)?;
    }
    let excused = matrix.unkilled.len() - matrix.unproven().count();
    if excused > 0 {
        writeln!(out, "  {excused} checks that no mutant kills have a reason")?;
    }
    Ok(())
}

/// How a matrix that repeats the committed table was come by.
pub(super) fn proved(proof: &Proof) -> String {
    let Proof { tried, repeated, alone, anew } = *proof;
    let mut text =
        format!("by {repeated} of {tried} kills of spec/kills.txt, one at least for each mutant and check");
    if alone > 0 {
        write!(text, "; {alone} mutants tried once more alone").expect("writing to a String");
    }
    if anew > 0 {
        write!(text, "; {anew} run on all that has to find them").expect("writing to a String");
    }
    text
}

fn totals(counts: &Counts) -> String {
    let present: Vec<String> =
        counts.present().map(|(outcome, count)| format!("{count} {outcome}")).collect();
    if present.is_empty() {
        "no check ran".to_owned()
    } else {
        format!("{} checks: {}", counts.total(), present.join(", "))
    }
}

fn dash(count: usize) -> String {
    if count == 0 { "-".to_owned() } else { count.to_string() }
}

/// Writes words in lines of at most 110 columns, the first behind `lead`, the others as far in.
fn wrap(out: &mut String, lead: &str, text: &str) -> fmt::Result {
    let mut line = lead.to_owned();
    let mut empty = true;
    for word in text.split_whitespace() {
        if !empty && line.chars().count() + 1 + word.chars().count() > 110 {
            writeln!(out, "{line}")?;
            line = " ".repeat(lead.chars().count());
            empty = true;
        }
        if !empty {
            line.push(' ');
        }
        line.push_str(word);
        empty = false;
    }
    if empty { Ok(()) } else { writeln!(out, "{line}") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::sample;

    #[test]
    fn the_summary_reads_well() {
        // Lines of the specification move; what is said about them does not.
        let text = summary(&sample::report());
        let moving =
            |line: &&str| line.trim_start().starts_with("spec/") || line.starts_with("requirements: ");
        let still: Vec<&str> = text.lines().filter(|line| !moving(line)).collect();
        insta::assert_snapshot!(still.join("\n"));
        let catalog = Catalog::embedded().requirements();
        let excluded = catalog.iter().filter(|requirement| requirement.excluded.is_some()).count();
        let all = catalog.len();
        let words = format!(
            "requirements: 9 of {all} tested, {} not in this run; {excluded} excluded from testing, each with a reason",
            all - 9 - excluded
        );
        assert!(text.contains(&words), "{text}");
    }

    #[test]
    fn wrapping_keeps_every_word() {
        let mut out = String::new();
        let words = "word ".repeat(100);
        wrap(&mut out, "  lead ", &words).expect("writing to a String");
        assert_eq!(out.matches("word").count(), 100);
        assert!(out.lines().all(|line| line.len() <= 110), "{out}");
        assert!(out.lines().skip(1).all(|line| line.starts_with("       word")), "{out}");
    }
}
