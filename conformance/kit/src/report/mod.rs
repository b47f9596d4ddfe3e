//! What a run found, and the forms in which it is handed out.

mod badge;
mod compare;
mod files;
mod html;
mod json;
mod junit;
mod kill;
mod summary;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use serde::Serialize;

use crate::catalog::{Catalog, Level, Part};
use crate::check::{Check, Outcome, Role};
use crate::evidence::Exhibit;

pub use badge::badge;
pub use compare::{Results, compare};
pub use files::{Written, prepare, write_all};
pub use html::html;
pub use json::json;
pub use junit::junit;
pub use kill::{KillMatrix, KillRow, KillVerdict, Proof, Unkilled};
pub use summary::summary;

/// Everything a run found.
#[derive(Clone, Debug, Serialize)]
pub struct RunReport {
    /// Version of the specification.
    pub spec_version: String,
    /// Version of the kit.
    pub kit_version: String,
    /// What was tested.
    pub target: String,
    /// The seed that repeats the run.
    pub seed: u64,
    /// When it started, in seconds since 1970.
    pub started: u64,
    /// How long it took.
    pub seconds: f64,
    /// How many checks for the targets were not selected.
    pub left_out: usize,
    /// The version whose set was scored, if not everything was.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub set: Option<String>,
    /// The file of the failures that were declared, if there was one.
    #[serde(skip)]
    pub expectations: Option<String>,
    /// One result a check.
    pub results: Vec<CheckResult>,
    /// What the checks find in implementations with one planted fault each.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kill_matrix: Option<KillMatrix>,
    /// A demonstration, step by step.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mission: Option<Mission>,
}

/// What became of one check.
#[derive(Clone, Debug, Serialize)]
pub struct CheckResult {
    /// The check.
    pub id: String,
    /// The part it is about.
    pub part: Part,
    /// What it talked to.
    pub role: Role,
    /// What its failure weighs.
    pub level: Level,
    /// The requirements it cites.
    pub reqs: Vec<String>,
    /// What it does.
    pub title: String,
    /// How it ended.
    pub outcome: Outcome,
    /// Why, unless it passed.
    pub message: String,
    /// How long it took.
    pub seconds: f64,
    /// What it saw, unless it passed.
    pub evidence: Vec<Exhibit>,
}

impl CheckResult {
    /// The result of a check, without time and evidence.
    pub fn new(check: &Check, outcome: Outcome, message: &str) -> Self {
        CheckResult {
            id: check.id.clone(),
            part: check.part,
            role: check.role,
            level: check.level(),
            reqs: check.reqs.clone(),
            title: check.title.clone(),
            outcome,
            message: message.to_owned(),
            seconds: 0.0,
            evidence: Vec::new(),
        }
    }
}

/// A demonstration that the parts work together, shown in the report and not judged.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Mission {
    /// What it is: `Two devices synchronise a folder`.
    pub title: String,
    /// What happened, in order.
    pub steps: Vec<MissionStep>,
}

/// A step of a [`Mission`].
#[derive(Clone, Debug, Serialize)]
pub struct MissionStep {
    /// `Alice claims her laptop`.
    pub name: String,
    /// What came of it.
    pub detail: String,
    /// How long it took.
    pub seconds: f64,
    /// Whether it went as it should.
    pub ok: bool,
}

/// What a whole run says of the target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Conclusion {
    /// All that ran passed, and nothing was left open.
    Conformant,
    /// The same but for failures that were declared.
    #[serde(rename = "conformant-but-for-expected")]
    ButForExpected,
    /// A MUST is broken, or a declared failure is stale.
    NonConformant,
    /// No fault was found, but not everything could be found out.
    Incomplete,
    /// The kit is at fault, so the run says nothing.
    KitFault,
}

impl Conclusion {
    /// The exit code of a run. 2 is for wrong usage, which never gets this far.
    pub fn exit_code(self) -> u8 {
        match self {
            Conclusion::Conformant | Conclusion::ButForExpected => 0,
            Conclusion::NonConformant => 1,
            Conclusion::Incomplete => 3,
            Conclusion::KitFault => 4,
        }
    }

    /// In words; those for people are [`RunReport::verdict`], which says how much there is to it.
    fn words(self) -> &'static str {
        match self {
            Conclusion::Conformant | Conclusion::ButForExpected => "conformant",
            Conclusion::NonConformant => "not conformant",
            Conclusion::Incomplete => "incomplete",
            Conclusion::KitFault => "fault in the kit",
        }
    }
}

impl RunReport {
    /// What the run says of the target.
    ///
    /// A fault of the kit outweighs everything, for then no other result can be relied on. A surviving mutant is a
    /// fault of the kit as well: its checks miss what they claim to find. So is a check that no mutant can make fail.
    pub fn conclusion(&self) -> Conclusion {
        let counts = self.counts();
        let open = self.kill_matrix.as_ref().is_some_and(|matrix| !matrix.is_closed());
        if counts.of(Outcome::KitError) > 0 || open {
            Conclusion::KitFault
        } else if counts.of(Outcome::Fail) + counts.of(Outcome::Xpass) > 0 {
            Conclusion::NonConformant
        } else {
            self.of_implementation()
        }
    }

    /// The conclusion of a run in which nothing failed that was not known to.
    fn of_implementation(&self) -> Conclusion {
        let counts = self.counts();
        if counts.of(Outcome::Blocked) > 0 || counts.ran() == 0 {
            Conclusion::Incomplete
        } else if counts.of(Outcome::Xfail) > 0 {
            Conclusion::ButForExpected
        } else {
            Conclusion::Conformant
        }
    }

    /// The conclusion in words. What was not tested, or is known to fail, is never called conformant without saying so.
    pub fn verdict(&self) -> String {
        let untested = self.untested();
        let conforms = matches!(self.without_stale(), Conclusion::Conformant | Conclusion::ButForExpected);
        let tested = if conforms && untested > 0 {
            format!(" in what was tested; {untested} checks were not")
        } else {
            String::new()
        };
        self.short_of_stale() + &tested + &self.stale()
    }

    /// The same without what was not tested, where that is told beside it.
    fn short_verdict(&self) -> String {
        self.short_of_stale() + &self.stale()
    }

    /// What is to be done, if it is nothing but to remove what is not true any more.
    fn advice(&self) -> String {
        let file = self.expectations.as_deref().unwrap_or("the expectations");
        let lines = if self.counts().of(Outcome::Xpass) == 1 { "this line" } else { "these lines" };
        if self.stale().is_empty() { String::new() } else { format!(": remove {lines} from {file}") }
    }

    /// The conclusion if declarations that are stale were not there.
    fn without_stale(&self) -> Conclusion {
        match self.conclusion() {
            Conclusion::NonConformant if self.counts().of(Outcome::Fail) == 0 => self.of_implementation(),
            conclusion => conclusion,
        }
    }

    /// How many failures that were declared do not happen, where nothing else is wrong.
    fn stale(&self) -> String {
        let stale = self.counts().of(Outcome::Xpass);
        if self.conclusion() == self.without_stale() {
            return String::new();
        }
        match stale {
            1 => ", but 1 expectation is stale".to_owned(),
            _ => format!(", but {stale} expectations are stale"),
        }
    }

    fn short_of_stale(&self) -> String {
        let conclusion = self.without_stale();
        let mut verdict = conclusion.words().to_owned();
        if let Some(version) = self.set.as_ref().filter(|_| conclusion != Conclusion::KitFault) {
            write!(verdict, " to the set of {version}").expect("writing to a String");
        }
        if conclusion == Conclusion::ButForExpected {
            let known = self.counts().of(Outcome::Xfail);
            let failures = if known == 1 { "failure" } else { "failures" };
            write!(verdict, " but for {known} expected {failures}").expect("writing to a String");
        }
        verdict
    }

    /// How many requirements the checks that ran cite, and how many of the others nothing tests, each for a reason that the
    /// specification gives.
    fn tested(&self, catalog: &Catalog) -> (usize, usize) {
        let ran: BTreeSet<&str> = self
            .results
            .iter()
            .filter(|result| {
                !matches!(
                    result.outcome,
                    Outcome::NotApplicable | Outcome::AddedAfter | Outcome::Blocked | Outcome::KitError
                )
            })
            .flat_map(|result| result.reqs.iter().map(String::as_str))
            .collect();
        let (tested, others): (Vec<_>, Vec<_>) =
            catalog.requirements().iter().partition(|requirement| ran.contains(requirement.id.as_str()));
        (tested.len(), others.iter().filter(|requirement| requirement.excluded.is_some()).count())
    }

    /// How many checks for the targets said nothing about them.
    fn untested(&self) -> usize {
        self.left_out + self.counts().of(Outcome::NotApplicable)
    }

    /// How many checks ended how.
    pub fn counts(&self) -> Counts {
        Counts::of_results(&self.results)
    }

    /// The same part by part; parts without checks are left out.
    pub fn counts_by_part(&self) -> Vec<(Part, Counts)> {
        Part::ALL
            .into_iter()
            .map(|part| (part, Counts::of_results(self.results.iter().filter(|result| result.part == part))))
            .filter(|(_, counts)| counts.total() > 0)
            .collect()
    }
}

/// How many checks ended how.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts(BTreeMap<Outcome, usize>);

impl Counts {
    fn of_results<'a>(results: impl IntoIterator<Item = &'a CheckResult>) -> Self {
        let mut counts = BTreeMap::new();
        for result in results {
            *counts.entry(result.outcome).or_default() += 1;
        }
        Counts(counts)
    }

    /// How many ended like this.
    pub fn of(&self, outcome: Outcome) -> usize {
        self.0.get(&outcome).copied().unwrap_or(0)
    }

    /// How many there were.
    pub fn total(&self) -> usize {
        self.0.values().sum()
    }

    /// How many said something about the target.
    pub fn ran(&self) -> usize {
        self.total()
            - self.of(Outcome::NotApplicable)
            - self.of(Outcome::AddedAfter)
            - self.of(Outcome::Blocked)
            - self.of(Outcome::KitError)
    }

    /// The outcomes that occurred, with their numbers.
    pub fn present(&self) -> impl Iterator<Item = (Outcome, usize)> + '_ {
        Outcome::ALL.into_iter().map(|outcome| (outcome, self.of(outcome))).filter(|(_, count)| *count > 0)
    }
}

/// A time for people: `2026-11-22 10:13:37 UTC`.
pub(crate) fn utc(seconds: u64) -> String {
    let (days, rest) = (seconds / 86_400, seconds % 86_400);
    // Civil date from days, after Howard Hinnant: years begin in March, so that the leap day ends them.
    let shifted = days + 719_468;
    let era = shifted / 146_097;
    let day_of_era = shifted % 146_097;
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02} {:02}:{:02}:{:02} UTC", rest / 3600, rest / 60 % 60, rest % 60)
}

/// A duration for people: `1.24 s`, `13 ms`.
pub(crate) fn short_seconds(seconds: f64) -> String {
    if seconds >= 1.0 { format!("{seconds:.2} s") } else { format!("{:.0} ms", seconds * 1000.0) }
}

#[cfg(test)]
pub(crate) mod sample;

#[cfg(test)]
mod tests {
    use super::*;
    use Outcome::{Blocked, Fail, KitError, NotApplicable, Pass, Warn, Xfail, Xpass};

    #[test]
    fn dates() {
        assert_eq!(utc(0), "1970-01-01 00:00:00 UTC");
        assert_eq!(utc(951_782_400), "2000-02-29 00:00:00 UTC");
        assert_eq!(utc(1_795_342_417), "2026-11-22 10:13:37 UTC");
    }

    #[test]
    fn conclusions_weigh_the_worst() {
        let report = |outcomes: &[Outcome]| {
            let mut report = sample::report();
            report.kill_matrix = None;
            let one = report.results[0].clone();
            report.results = outcomes.iter().map(|&outcome| CheckResult { outcome, ..one.clone() }).collect();
            report.conclusion().exit_code()
        };
        assert_eq!(report(&[Pass, Warn, Xfail, NotApplicable]), 0);
        assert_eq!(report(&[Pass, Xpass]), 1);
        assert_eq!(report(&[Pass, Blocked, Fail]), 1);
        assert_eq!(report(&[Pass, Blocked]), 3);
        assert_eq!(report(&[]), 3);
        assert_eq!(report(&[NotApplicable]), 3);
        assert_eq!(report(&[Fail, KitError]), 4);
    }

    #[test]
    fn what_is_known_to_fail_is_said_wherever_there_is_a_verdict() {
        let mut report = sample::report();
        (report.kill_matrix, report.set) = (None, None);
        let one = report.results[0].clone();
        let outcomes = [Pass, Pass, Xfail, Xfail];
        report.results = outcomes.iter().map(|&outcome| CheckResult { outcome, ..one.clone() }).collect();
        let text = "conformant but for 2 expected failures";
        assert_eq!(report.verdict(), text);
        assert!(badge(&report).contains(&format!(">{text}, 2 of 4 checks passed<")), "{}", badge(&report));
        let page = html(&report, "report".as_ref()).expect("the template renders");
        assert!(page.contains("2 of 4 checks that apply passed, and 2 failed as declared."), "{page}");
        assert!(!page.contains("All 4 checks"), "{page}");
        let document = json(&report).expect("a document");
        assert!(document.contains("\"conclusion\": \"conformant-but-for-expected\""), "{document}");
        assert!(summary(&report).contains(&text.to_uppercase()), "{}", summary(&report));
        let document = junit(&report).expect("a document");
        assert!(
            document.contains("skipped=\"2\"") || document.matches("<skipped").count() == 2,
            "{document}"
        );
        assert_eq!(report.conclusion().exit_code(), 0);
    }

    #[test]
    fn a_stale_expectation_is_named_as_what_it_is() {
        let mut report = sample::report();
        (report.kill_matrix, report.set) = (None, None);
        (report.left_out, report.expectations) = (0, Some("Known.txt".to_owned()));
        report.results.retain(|result| result.outcome == Pass);
        report.results[0].outcome = Xpass;
        let text = summary(&report);
        let line = ": CONFORMANT, BUT 1 EXPECTATION IS STALE: remove this line from Known.txt; ";
        assert!(text.contains(line), "{text}");
        assert_eq!(report.conclusion().exit_code(), 1);
    }

    #[test]
    fn what_failed_as_declared_is_shown_with_its_reason() {
        let mut report = sample::report();
        report.kill_matrix = None;
        let known = crate::expect::parse("a issue <31>", "known.txt", &["a"]).expect("a good line");
        report.results[0].outcome = Xfail;
        report.results[0].message = known["a"].declared("status 401 (of 3)");
        let page = html(&report, "my-report".as_ref()).expect("the template renders");
        let (_, section) = page.split_once("<section id=\"declared\">").expect("a section");
        let (section, _) = section.split_once("</section>").expect("its end");
        for text in [report.results[0].id.as_str(), ">status 401 (of 3)<", "issue &#60;31&#62;"] {
            assert!(section.contains(text), "{text}: {section}");
        }
        report.results[0].outcome = Pass;
        let page = html(&report, "my-report".as_ref()).expect("the template renders");
        assert!(!page.contains("id=\"declared\""), "nothing was declared");
    }

    #[test]
    fn words_leave_out_nothing_and_add_nothing() {
        let verdict = |outcomes: &[Outcome]| {
            let mut report = RunReport { kill_matrix: None, left_out: 0, set: None, ..sample::report() };
            let one = report.results[0].clone();
            report.results = outcomes.iter().map(|&outcome| CheckResult { outcome, ..one.clone() }).collect();
            report.verdict()
        };
        assert_eq!(verdict(&[Pass, Pass]), "conformant");
        assert_eq!(verdict(&[Pass, Xfail]), "conformant but for 1 expected failure");
        assert_eq!(verdict(&[Pass, NotApplicable]), "conformant in what was tested; 1 checks were not");
        // The implementation is what it should be; who wrote down what is wrong with it has to do something.
        assert_eq!(verdict(&[Pass, Xpass]), "conformant, but 1 expectation is stale");
        assert_eq!(
            verdict(&[Pass, Xfail, Xpass, Xpass]),
            "conformant but for 1 expected failure, but 2 expectations are stale"
        );
        assert_eq!(
            verdict(&[NotApplicable, Xpass]),
            "conformant in what was tested; 1 checks were not, but 1 expectation is stale"
        );
        assert_eq!(verdict(&[Blocked, Xpass]), "incomplete, but 1 expectation is stale");
        assert_eq!(verdict(&[Fail, Xpass]), "not conformant");
        // What is known excuses nothing else.
        assert_eq!(verdict(&[Pass, Xfail, Fail]), "not conformant");
        assert_eq!(verdict(&[NotApplicable, Fail]), "not conformant");
    }
}
