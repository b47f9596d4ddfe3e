//! `report.html`: one page that needs no other file, for people.
//!
//! This file turns a [`RunReport`] into what `templates/report.html` shows; the template holds no decisions.

use std::path::Path;

use askama::Template;

use super::summary::proved;
use super::{
    CheckResult, Conclusion, Counts, KillMatrix, KillVerdict, Mission, RunReport, short_seconds, utc,
};
use crate::catalog::{Catalog, Part, Requirement, SPEC_VERSION};
use crate::check::{Outcome, Role};
use crate::evidence::{Exhibit, file_name};
use crate::expect::message_and_reason;

/// The report as an HTML page.
///
/// It names files below `folder`, in which it is to be.
pub fn html(report: &RunReport, folder: &Path) -> anyhow::Result<String> {
    Ok(Page::new(report, folder).render()?)
}

#[derive(Template)]
#[template(path = "report.html")]
struct Page<'a> {
    target: &'a str,
    spec_version: &'static str,
    set: Option<&'a str>,
    kit_version: &'a str,
    seed: u64,
    started: String,
    took: String,
    verdict: String,
    verdict_class: &'static str,
    verdict_sentence: String,
    tiles: Vec<Tile>,
    attention: Vec<Shown<'a>>,
    declared: Vec<Declared<'a>>,
    /// Planted faults that nothing found.
    unfound: Vec<KillLine<'a>>,
    /// Checks that no planted fault makes fail, and that nobody excuses.
    unproven: Vec<&'a str>,
    /// How many cards these three are.
    findings: usize,
    parts: Vec<PartRow>,
    mission: Option<MissionView<'a>>,
    groups: Vec<Group<'a>>,
    kill: Option<KillView<'a>>,
    slowest: Vec<Slow<'a>>,
    checks: Vec<Shown<'a>>,
}

/// A big number at the top.
struct Tile {
    number: String,
    label: &'static str,
    class: &'static str,
}

/// A check as the page shows it.
struct Shown<'a> {
    id: &'a str,
    title: &'a str,
    role: Role,
    class: &'static str,
    took: String,
    message: &'a str,
    requirements: Vec<Cited<'a>>,
    /// Where its evidence is, below `evidence/`.
    folder: String,
    /// The file that does it again, for who stands where the run was started.
    replay: String,
    evidence: Vec<Piece<'a>>,
}

/// A failure that was known.
struct Declared<'a> {
    id: &'a str,
    title: &'a str,
    message: &'a str,
    reason: &'a str,
}

/// The begin of an exhibit.
struct Piece<'a> {
    name: &'a str,
    /// Where all of it is, below the folder of the check.
    file: String,
    text: &'a str,
    /// How many characters are left out.
    more: usize,
}

/// A requirement below a check.
struct Cited<'a> {
    id: &'a str,
    sentence: String,
    place: String,
}

struct PartRow {
    part: Part,
    total: usize,
    passed: usize,
    segments: Vec<Segment>,
    words: String,
}

/// A piece of a bar, in hundredths of its width.
struct Segment {
    x: String,
    width: String,
    class: &'static str,
}

struct Group<'a> {
    part: Part,
    document: String,
    rows: Vec<RequirementRow<'a>>,
}

struct RequirementRow<'a> {
    id: &'a str,
    level: String,
    binding: bool,
    sentence: String,
    why: Option<String>,
    excluded: Option<String>,
    error: Option<&'a str>,
    place: String,
    /// The worst outcome of what tests it; `untested` if nothing did.
    class: &'static str,
    chips: Vec<Chip<'a>>,
    vectors: usize,
    vectors_passed: usize,
}

/// The name of a check with its outcome.
struct Chip<'a> {
    id: &'a str,
    class: &'static str,
    /// Whether it is among the findings.
    found: bool,
}

struct MissionView<'a> {
    mission: &'a Mission,
    steps: Vec<Step<'a>>,
}

struct Step<'a> {
    name: &'a str,
    detail: &'a str,
    took: String,
    ok: bool,
}

struct KillView<'a> {
    total: usize,
    killed: usize,
    by_others: usize,
    survived: usize,
    /// How it was found, if not by running everything.
    proof: Option<String>,
    rows: Vec<KillLine<'a>>,
    /// Each check with the mutants that it fails on.
    checks: Vec<KillsOf<'a>>,
    unkilled: &'a [super::Unkilled],
}

struct KillsOf<'a> {
    check: &'a str,
    mutants: Vec<&'a str>,
    more: usize,
}

struct KillLine<'a> {
    mutant: &'a str,
    requirement: &'a str,
    sentence: String,
    verdict: &'static str,
    class: &'static str,
    /// The killers that cite the requirement come first and are marked.
    killers: Vec<(&'a str, bool)>,
    more: usize,
    expected: &'a [String],
}

struct Slow<'a> {
    id: &'a str,
    took: String,
    width: String,
}

/// How many killers a row names before it counts them.
const KILLERS_SHOWN: usize = 6;
/// How much of an exhibit the page has; all of it is beside the page.
const INLINE: usize = 6_000;
/// How many of the slowest checks are listed.
const SLOWEST_SHOWN: usize = 10;

impl<'a> Page<'a> {
    fn new(report: &'a RunReport, folder: &Path) -> Self {
        let catalog = Catalog::embedded();
        let counts = report.counts();
        let conclusion = report.conclusion();
        let mut slowest: Vec<&CheckResult> = report.results.iter().collect();
        slowest.sort_by(|a, b| b.seconds.total_cmp(&a.seconds));
        slowest.truncate(SLOWEST_SHOWN);
        let attention: Vec<Shown<'_>> =
            attention(report).into_iter().map(|result| shown(result, catalog, folder)).collect();
        let matrix = report.kill_matrix.as_ref();
        let unfound: Vec<KillLine<'_>> = matrix.into_iter().flat_map(|one| unfound(one, catalog)).collect();
        let unproven: Vec<&str> =
            matrix.into_iter().flat_map(KillMatrix::unproven).map(|one| one.check.as_str()).collect();
        let longest = slowest.first().map_or(1.0, |result| result.seconds.max(f64::EPSILON));
        Page {
            target: &report.target,
            spec_version: SPEC_VERSION,
            set: report.set.as_deref(),
            kit_version: &report.kit_version,
            seed: report.seed,
            started: utc(report.started),
            took: short_seconds(report.seconds),
            verdict: report.verdict(),
            verdict_class: match conclusion {
                Conclusion::Conformant => "pass",
                Conclusion::ButForExpected => "warn",
                Conclusion::NonConformant => "fail",
                Conclusion::Incomplete => "blocked",
                Conclusion::KitFault => "kit-error",
            },
            verdict_sentence: sentence(&counts, report),
            tiles: tiles(&counts, report, catalog),
            findings: attention.len() + unfound.len() + unproven.len(),
            attention,
            declared: declared(report),
            unfound,
            unproven,
            parts: report
                .counts_by_part()
                .into_iter()
                .map(|(part, counts)| part_row(part, &counts))
                .collect(),
            mission: report.mission.as_ref().map(mission_view),
            groups: groups(report, catalog),
            kill: report.kill_matrix.as_ref().map(|matrix| KillView {
                total: matrix.rows.len(),
                killed: matrix.count(KillVerdict::Killed),
                by_others: matrix.count(KillVerdict::KilledByOthers),
                survived: matrix.count(KillVerdict::Survived),
                proof: matrix.proof.as_ref().map(proved),
                rows: kill_lines(matrix, catalog),
                checks: kills_of(matrix),
                unkilled: &matrix.unkilled,
            }),
            slowest: slowest
                .into_iter()
                .map(|result| Slow {
                    id: &result.id,
                    took: short_seconds(result.seconds),
                    width: format!("{:.1}", 100.0 * result.seconds / longest),
                })
                .collect(),
            checks: report.results.iter().map(|result| shown(result, catalog, folder)).collect(),
        }
    }
}

fn sentence(counts: &Counts, report: &RunReport) -> String {
    let open = counts.of(Outcome::Blocked);
    let failed = counts.of(Outcome::Fail);
    let checks = |n: usize| if n == 1 { "1 check".to_owned() } else { format!("{n} checks") };
    match report.conclusion() {
        Conclusion::Conformant => format!("All {} that apply passed.", checks(counts.ran())),
        Conclusion::ButForExpected => {
            let (passed, known) = (counts.of(Outcome::Pass), counts.of(Outcome::Xfail));
            format!("{passed} of {} that apply passed, and {known} failed as declared.", checks(counts.ran()))
        }
        Conclusion::NonConformant if failed > 0 => {
            format!("{} of {} failed.", failed, checks(counts.total()))
        }
        Conclusion::NonConformant => {
            "A failure that was declared does not happen any more; remove its declaration.".to_owned()
        }
        Conclusion::Incomplete if counts.ran() == 0 => "No check ran.".to_owned(),
        Conclusion::Incomplete => format!("No fault was found, but {} could not be decided.", checks(open)),
        Conclusion::KitFault if counts.of(Outcome::KitError) == 0 => {
            "A planted fault was not found, or a check found none: the kit misses something.".to_owned()
        }
        Conclusion::KitFault => {
            "The kit itself failed, so this run says nothing reliable about the target.".to_owned()
        }
    }
}

fn tiles(counts: &Counts, report: &RunReport, catalog: &Catalog) -> Vec<Tile> {
    let (tested, excluded) = report.tested(catalog);
    let tile = |number: String, label, class| {
        let class = if number == "0" { "none" } else { class };
        Tile { number, label, class }
    };
    let mut tiles = vec![
        tile(counts.of(Outcome::Pass).to_string(), "passed", "pass"),
        tile(counts.of(Outcome::Fail).to_string(), "failed", "fail"),
        tile(counts.of(Outcome::Warn).to_string(), "warnings", "warn"),
        tile(counts.of(Outcome::Blocked).to_string(), "undecided", "blocked"),
        tile(format!("{tested}/{}", catalog.requirements().len()), "requirements tested", "plain"),
        tile(excluded.to_string(), "excluded, with a reason", "plain"),
    ];
    let known = counts.of(Outcome::Xfail);
    if known > 0 {
        tiles.push(tile(known.to_string(), "failed as declared", "xfail"));
    }
    if let Some(matrix) = &report.kill_matrix {
        let found = matrix.rows.len() - matrix.count(KillVerdict::Survived);
        tiles.push(tile(format!("{found}/{}", matrix.rows.len()), "planted faults found", "plain"));
    }
    tiles.push(tile(short_seconds(report.seconds), "run time", "plain"));
    tiles
}

fn shown<'a>(result: &'a CheckResult, catalog: &Catalog, folder: &Path) -> Shown<'a> {
    let evidence = file_name(&result.id);
    Shown {
        id: &result.id,
        title: &result.title,
        role: result.role,
        class: result.outcome.name(),
        took: short_seconds(result.seconds),
        message: &result.message,
        requirements: result
            .reqs
            .iter()
            .map(|id| match catalog.get(id) {
                Some(requirement) => {
                    Cited { id, sentence: inline(&requirement.sentence), place: place(requirement) }
                }
                None => Cited { id, sentence: String::new(), place: String::new() },
            })
            .collect(),
        replay: folder.join("evidence").join(&evidence).join("replay.json").display().to_string(),
        folder: evidence,
        evidence: result.evidence.iter().enumerate().map(piece).collect(),
    }
}

fn piece((number, exhibit): (usize, &Exhibit)) -> Piece<'_> {
    let text = exhibit.text.get(..exhibit.text.floor_char_boundary(INLINE)).unwrap_or_default();
    Piece {
        name: &exhibit.name,
        file: exhibit.file_name(number),
        text,
        more: exhibit.text.len() - text.len(),
    }
}

/// What failed as somebody had written down that it would.
fn declared(report: &RunReport) -> Vec<Declared<'_>> {
    let failed = report.results.iter().filter(|result| result.outcome == Outcome::Xfail);
    let declared = failed.map(|result| {
        let (message, reason) = message_and_reason(&result.message);
        Declared { id: &result.id, title: &result.title, message, reason }
    });
    declared.collect()
}

/// What a reader has to look at, the worst first.
fn attention(report: &RunReport) -> Vec<&CheckResult> {
    use Outcome::{Blocked, Fail, KitError, Warn, Xpass};
    let order = [KitError, Fail, Xpass, Warn, Blocked];
    let of = |outcome| report.results.iter().filter(move |result| result.outcome == outcome);
    order.into_iter().flat_map(of).collect()
}

fn unfound<'a>(matrix: &'a KillMatrix, catalog: &Catalog) -> Vec<KillLine<'a>> {
    let mut lines = kill_lines(matrix, catalog);
    lines.retain(|line| line.class == "fail");
    lines
}

fn place(requirement: &Requirement) -> String {
    format!("spec/{}:{}", requirement.document, requirement.line)
}

fn part_row(part: Part, counts: &Counts) -> PartRow {
    let total = counts.total();
    let percent = |count: usize| {
        // Counts of checks are far below the 2^32 that f64 holds exactly.
        100.0 * f64::from(u32::try_from(count).unwrap_or(u32::MAX))
            / f64::from(u32::try_from(total).unwrap_or(1))
    };
    let mut before = 0;
    let segments = counts
        .present()
        .map(|(outcome, count)| {
            let x = format!("{:.3}", percent(before));
            before += count;
            Segment { x, width: format!("{:.3}", percent(count)), class: outcome.name() }
        })
        .collect();
    let words: Vec<String> = counts.present().map(|(outcome, count)| format!("{count} {outcome}")).collect();
    PartRow { part, total, passed: counts.of(Outcome::Pass), segments, words: words.join(", ") }
}

fn groups<'a>(report: &'a RunReport, catalog: &'static Catalog) -> Vec<Group<'a>> {
    Part::ALL
        .into_iter()
        .map(|part| Group {
            part,
            document: format!("spec/{part}.md"),
            rows: catalog
                .requirements()
                .iter()
                .filter(|requirement| requirement.part == part)
                .map(|requirement| requirement_row(requirement, report))
                .collect(),
        })
        .filter(|group| !group.rows.is_empty())
        .collect()
}

fn requirement_row<'a>(requirement: &'static Requirement, report: &'a RunReport) -> RequirementRow<'a> {
    let citing: Vec<&CheckResult> =
        report.results.iter().filter(|result| result.reqs.contains(&requirement.id)).collect();
    let (vectors, others): (Vec<_>, Vec<_>) = citing.iter().partition(|result| result.role == Role::Vectors);
    // Passing vectors are many and alike: they are counted. Everything else is named.
    let (passed, notable): (Vec<_>, Vec<_>) =
        vectors.iter().partition(|result: &&&CheckResult| result.outcome == Outcome::Pass);
    RequirementRow {
        id: &requirement.id,
        level: requirement.level.to_string(),
        binding: requirement.level.is_binding(),
        sentence: inline(&requirement.sentence),
        why: requirement.why.as_deref().map(inline),
        excluded: requirement.excluded.as_deref().map(inline),
        error: requirement.error.as_deref(),
        place: place(requirement),
        class: worst(&citing),
        chips: others
            .iter()
            .chain(&notable)
            .map(|result| {
                let found = result.outcome.needs_attention();
                Chip { id: &result.id, class: result.outcome.name(), found }
            })
            .collect(),
        vectors: vectors.len(),
        vectors_passed: passed.len(),
    }
}

fn worst(results: &[&CheckResult]) -> &'static str {
    use Outcome::{Blocked, Fail, KitError, NotApplicable, Pass, Warn, Xfail, Xpass};
    [KitError, Fail, Xpass, Warn, Xfail, Pass, Blocked, NotApplicable]
        .into_iter()
        .find(|outcome| results.iter().any(|result| result.outcome == *outcome))
        .map_or("untested", Outcome::name)
}

fn mission_view(mission: &Mission) -> MissionView<'_> {
    let steps = mission
        .steps
        .iter()
        .map(|step| Step {
            name: &step.name,
            detail: &step.detail,
            took: short_seconds(step.seconds),
            ok: step.ok,
        })
        .collect();
    MissionView { mission, steps }
}

fn kills_of(matrix: &KillMatrix) -> Vec<KillsOf<'_>> {
    let lines = matrix.killers().into_iter().map(|(check, mut mutants)| {
        let more = mutants.len().saturating_sub(KILLERS_SHOWN);
        mutants.truncate(KILLERS_SHOWN);
        KillsOf { check, mutants, more }
    });
    lines.collect()
}

fn kill_lines<'a>(matrix: &'a KillMatrix, catalog: &Catalog) -> Vec<KillLine<'a>> {
    matrix
        .rows
        .iter()
        .map(|row| {
            let mut killers: Vec<(&str, bool)> =
                row.killed_by.iter().map(|id| (id.as_str(), row.expected.contains(id))).collect();
            killers.sort_by_key(|(_, expected)| !expected);
            let more = killers.len().saturating_sub(KILLERS_SHOWN);
            killers.truncate(KILLERS_SHOWN);
            KillLine {
                mutant: &row.mutant,
                requirement: &row.requirement,
                sentence: sentence_of(row, catalog),
                verdict: row.verdict.words(),
                class: match row.verdict {
                    KillVerdict::Killed => "pass",
                    KillVerdict::KilledByOthers => "warn",
                    KillVerdict::Survived => "fail",
                },
                killers,
                more,
                expected: &row.expected,
            }
        })
        .collect()
}

/// What the mutant does: the sentence that it leaves out. What is against a rule stands below the row without it.
fn sentence_of(row: &super::KillRow, catalog: &Catalog) -> String {
    let sentence = catalog.get(&row.requirement).map(|requirement| inline(&requirement.sentence));
    match sentence {
        Some(_) if row.mutant.starts_with("against:") && row.verdict != KillVerdict::Survived => {
            "refuses what keeps it".to_owned()
        }
        Some(sentence) => sentence,
        None => String::new(),
    }
}

/// The inline Markdown of the specification as HTML: emphasis, code, links (their text only). Everything is escaped.
fn inline(markdown: &str) -> String {
    let mut html = String::new();
    for (number, piece) in markdown.split('`').enumerate() {
        if number % 2 == 1 {
            html.push_str("<code>");
            escape(&mut html, piece);
            html.push_str("</code>");
            continue;
        }
        let mut emphasis = false;
        for c in without_links(piece).chars() {
            if c == '*' {
                html.push_str(if emphasis { "</em>" } else { "<em>" });
                emphasis = !emphasis;
            } else {
                escape(&mut html, c.encode_utf8(&mut [0; 4]));
            }
        }
        if emphasis {
            html.push_str("</em>");
        }
    }
    html
}

fn without_links(text: &str) -> String {
    let mut plain = String::new();
    let mut rest = text;
    while let Some((before, link)) = rest.split_once('[') {
        let Some((name, after)) = link.split_once("](") else { break };
        let Some((_, after)) = after.split_once(')') else { break };
        plain.push_str(before);
        plain.push_str(name);
        rest = after;
    }
    plain + rest
}

fn escape(html: &mut String, text: &str) {
    for c in text.chars() {
        match c {
            '&' => html.push_str("&amp;"),
            '<' => html.push_str("&lt;"),
            '>' => html.push_str("&gt;"),
            '"' => html.push_str("&quot;"),
            '\'' => html.push_str("&#39;"),
            c => html.push(c),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::sample;

    #[test]
    fn markdown_becomes_escaped_html() {
        assert_eq!(
            inline("A *relying <b>* MUST `a < b` see [sync.md](sync.md), x"),
            "A <em>relying &lt;b&gt;</em> MUST <code>a &lt; b</code> see sync.md, x"
        );
        assert_eq!(inline("an * alone"), "an <em> alone</em>");
        assert_eq!(inline("a [bracket"), "a [bracket");
    }

    /// `MESHPROOF_SAMPLE=folder cargo test -p meshproof-kit sample_page` leaves the page there to look at.
    #[test]
    fn sample_page_is_whole_and_escaped() {
        let mut report = sample::report();
        report.results[0].message = "<script>alert(1)</script>".to_owned();
        let page = html(&report, "my report".as_ref()).expect("the template renders");
        assert!(!page.contains("<script>alert"));
        assert!(page.ends_with("</html>\n") || page.ends_with("</html>"));
        for tag in ["section", "details", "table", "tr", "td", "svg", "div", "code", "em", "ul", "li", "ol"] {
            let opened =
                page.matches(&format!("<{tag}>")).count() + page.matches(&format!("<{tag} ")).count();
            assert_eq!(opened, page.matches(&format!("</{tag}>")).count(), "<{tag}> is not balanced");
        }
        for away in ["http://", "https://", "src=", "@import", "url("] {
            assert!(!page.contains(away), "the page reaches out: {away}");
        }
        if let Some(folder) = std::env::var_os("MESHPROOF_SAMPLE") {
            crate::report::write_all(&sample::full(), folder.as_ref()).expect("the folder can be written");
        }
    }
}
