//! Runs checks against targets and draws the conclusions that no single check can.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tokio::sync::{Mutex, Semaphore};
use tokio::task::JoinSet;

use crate::catalog::{FrozenSet, Level, Part, SPEC_VERSION};
use crate::check::{Check, Context, Outcome, Role, Stop, Verdict};
use crate::edit::Script;
use crate::expect::Expected;
use crate::report::{CheckResult, RunReport};
use crate::target::Targets;
use crate::text::one_line;

/// How to run.
#[derive(Clone, Debug)]
pub struct Options {
    /// How many checks run at once.
    pub jobs: usize,
    /// Where the randomness of all checks comes from; a report names it.
    pub seed: u64,
    /// Checks that are known to fail, with the reason.
    pub expected_failures: BTreeMap<String, Expected>,
    /// Whether evidence shows tickets, tokens and keys.
    pub show_secrets: bool,
    /// Whether what a check that did not pass saw is made readable.
    pub evidence: bool,
    /// How many checks for the targets were left out by choice; a report says so.
    pub left_out: usize,
    /// What is scored; everything if none is given.
    pub set: Option<Arc<FrozenSet>>,
    /// What one check sends, changed.
    pub script: Option<Arc<Script>>,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            jobs: 8,
            seed: 1,
            expected_failures: BTreeMap::new(),
            show_secrets: false,
            evidence: true,
            left_out: 0,
            set: None,
            script: None,
        }
    }
}

/// Told what happens while it happens, from several tasks at once.
pub trait Progress: Send + Sync {
    /// So many checks will run.
    fn planned(&self, _checks: usize) {}
    /// This check starts.
    fn started(&self, _check: &Check) {}
    /// This check ended. Its outcome may yet become blocked, if its valid twin does not pass.
    fn finished(&self, _result: &CheckResult) {}
}

/// Tells nobody.
#[derive(Clone, Copy, Debug, Default)]
pub struct Quiet;

impl Progress for Quiet {}

/// Which checks to run. An empty filter selects all.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// Parts of check ids, requirement ids, names of parts, or `=` and a whole check id; one that matches is enough.
    pub any: Vec<String>,
}

impl Filter {
    /// A filter of several words.
    pub fn new<S: Into<String>>(words: impl IntoIterator<Item = S>) -> Self {
        Filter { any: words.into_iter().map(Into::into).collect() }
    }

    /// Whether this check is selected for its own sake.
    pub fn matches(&self, check: &Check) -> bool {
        let matches = |word: &String| {
            if let Some(id) = word.strip_prefix('=') {
                return check.id == id;
            }
            Part::from_name(word).map_or_else(
                || {
                    check.id.contains(word.as_str())
                        || check.reqs.iter().any(|id| id.eq_ignore_ascii_case(word))
                },
                |part| check.part == part,
            )
        };
        self.any.is_empty() || self.any.iter().any(matches)
    }

    /// The selected checks, with the valid twins their verdicts rest on.
    pub fn select(&self, checks: &[Check]) -> Vec<Check> {
        let mut wanted: BTreeSet<&str> =
            checks.iter().filter(|check| self.matches(check)).map(|check| check.id.as_str()).collect();
        loop {
            let twins: Vec<&str> = checks
                .iter()
                .filter(|check| wanted.contains(check.id.as_str()))
                .filter_map(|check| check.twin.as_deref())
                .filter(|twin| !wanted.contains(twin))
                .collect();
            if twins.is_empty() {
                break;
            }
            wanted.extend(twins);
        }
        checks.iter().filter(|check| wanted.contains(check.id.as_str())).cloned().collect()
    }
}

/// How many checks of a peer run at once.
const PEER_JOBS: usize = 4;

/// Runs `checks` and reports. The results are in the order of the checks, whatever order they ended in.
pub async fn run(
    checks: &[Check],
    targets: Targets,
    options: &Options,
    progress: Arc<dyn Progress>,
) -> RunReport {
    let started = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let clock = Instant::now();
    let targets = Arc::new(targets);
    let places = Arc::new(Semaphore::new(options.jobs.max(1)));
    // A peer bounds the handshakes of one source (HSK-008), and a connection that the kit has left may still count.
    let peer_places = Arc::new(Semaphore::new(options.jobs.clamp(1, PEER_JOBS)));
    let things: BTreeMap<&str, Arc<Mutex<()>>> =
        checks.iter().filter_map(|check| check.turn).map(|thing| (thing, Arc::default())).collect();
    progress.planned(checks.len());
    let mut tasks = JoinSet::new();
    for (place, check) in checks.iter().cloned().enumerate() {
        let targets = Arc::clone(&targets);
        let places = Arc::clone(if check.role == Role::Peer { &peer_places } else { &places });
        let (options, progress) = (options.clone(), Arc::clone(&progress));
        let thing = check.turn.and_then(|thing| things.get(thing).cloned());
        tasks.spawn(async move {
            // First the thing, then the place, so that nobody who waits for a thing holds a place.
            let _thing = match &thing {
                Some(thing) => Some(thing.lock().await),
                None => None,
            };
            let _place = places.acquire().await;
            progress.started(&check);
            let result = run_one(&check, &targets, &options).await;
            progress.finished(&result);
            (place, result)
        });
    }
    let mut results: Vec<Option<CheckResult>> = checks.iter().map(|_| None).collect();
    while let Some(joined) = tasks.join_next().await {
        // `run_one` contains the panics of checks; a progress bar that panics costs its check the result.
        if let Ok((place, result)) = joined {
            results[place] = Some(result);
        }
    }
    let mut results: Vec<CheckResult> = checks
        .iter()
        .zip(results)
        .map(|(check, result)| {
            result.unwrap_or_else(|| {
                CheckResult::new(check, Outcome::KitError, "the progress callback panicked")
            })
        })
        .collect();
    let twins: BTreeMap<&str, &str> =
        checks.iter().filter_map(|check| Some((check.id.as_str(), check.twin.as_deref()?))).collect();
    doubt_refusals(&mut results, &twins);
    count_evasions(&mut results);
    if let Some(set) = &options.set {
        set_aside(&mut results, set);
    }
    RunReport {
        spec_version: SPEC_VERSION.to_owned(),
        kit_version: env!("CARGO_PKG_VERSION").to_owned(),
        target: one_line(&targets.description),
        seed: options.seed,
        started,
        seconds: clock.elapsed().as_secs_f64(),
        left_out: options.left_out,
        set: options.set.as_ref().map(|set| set.version.clone()),
        expectations: None,
        results,
        kill_matrix: None,
        mission: None,
    }
}

/// A passed negative check is blocked unless its valid twin passed: a target that refuses everything has shown nothing.
fn doubt_refusals(results: &mut [CheckResult], twins: &BTreeMap<&str, &str>) {
    let passed: BTreeSet<String> = results
        .iter()
        .filter(|result| matches!(result.outcome, Outcome::Pass | Outcome::Xpass))
        .map(|result| result.id.clone())
        .collect();
    for result in results.iter_mut().filter(|result| result.outcome == Outcome::Pass) {
        if let Some(twin) = twins.get(result.id.as_str()).filter(|twin| !passed.contains(**twin)) {
            result.outcome = Outcome::Blocked;
            result.message =
                format!("as it should be, which proves nothing, for the valid twin {twin} did not pass");
        }
    }
}

/// A shim that answers some vectors of a group has to answer them all: `unsupported` is no way out of a hard one.
fn count_evasions(results: &mut [CheckResult]) {
    let group = |result: &CheckResult| result.id.split('.').take(3).collect::<Vec<_>>().join(".");
    let of_shim = |result: &&CheckResult| result.role == Role::Vectors;
    let answered: BTreeSet<String> = results
        .iter()
        .filter(of_shim)
        .filter(|result| !matches!(result.outcome, Outcome::NotApplicable | Outcome::KitError))
        .map(group)
        .collect();
    for result in results.iter_mut().filter(|result| result.role == Role::Vectors) {
        if result.outcome == Outcome::NotApplicable && answered.contains(&group(result)) {
            result.outcome = Outcome::Fail;
            "unsupported, though other vectors of its group are answered".clone_into(&mut result.message);
        }
    }
}

/// What came after the version is shown with how it ended, and not scored. The kit's own faults stay faults.
fn set_aside(results: &mut [CheckResult], set: &FrozenSet) {
    for result in results.iter_mut().filter(|result| result.outcome != Outcome::KitError) {
        if let Some(why) = set.added_after(&result.id, &result.reqs) {
            let ended = format!("{why}; it ended as {}", result.outcome);
            let message = std::mem::take(&mut result.message);
            result.message = if message.is_empty() { ended } else { format!("{ended}: {message}") };
            result.outcome = Outcome::AddedAfter;
        }
    }
}

async fn run_one(check: &Check, targets: &Arc<Targets>, options: &Options) -> CheckResult {
    let script = options.script.clone().filter(|script| script.is_for(&check.id));
    let context = Context::new(Arc::clone(targets), options.seed, &check.id).edited(script);
    let clock = Instant::now();
    // A task of its own, so that a panic is the end of this check only.
    let starting = (check.clone(), context.clone());
    let mut task = tokio::spawn(async move { starting.0.start(starting.1).await });
    let verdict = match tokio::time::timeout(check.deadline, &mut task).await {
        Ok(Ok(verdict)) => verdict,
        Ok(Err(error)) => Err(Stop::KitError(panic_text(error))),
        Err(_) => {
            task.abort();
            Err(Stop::Blocked(format!("not done after {} s", check.deadline.as_secs())))
        }
    };
    let verdict = verdict.map_err(Stop::printable);
    let expected = options.expected_failures.get(&check.id);
    let (outcome, message) = conclude(verdict, check.level(), expected);
    let mut result = CheckResult::new(check, outcome, &message);
    result.seconds = Duration::as_secs_f64(&clock.elapsed());
    if options.evidence && outcome != Outcome::Pass {
        let exhibits = context.exhibits();
        result.evidence = if options.show_secrets {
            exhibits
        } else {
            exhibits.into_iter().map(crate::evidence::Exhibit::redacted).collect()
        };
    }
    result
}

fn conclude(verdict: Verdict, level: Level, expected: Option<&Expected>) -> (Outcome, String) {
    match (verdict, expected) {
        (Ok(()), None) => (Outcome::Pass, String::new()),
        (Ok(()), Some(Expected { reason, place, .. })) => {
            (Outcome::Xpass, format!("passes, though {place} expects it to fail: {reason}"))
        }
        (Err(Stop::Fail(message)), Some(expected)) if expected.covers(&message) => {
            (Outcome::Xfail, expected.declared(&message))
        }
        (Err(Stop::Fail(message)), _) if level.is_binding() => (Outcome::Fail, message),
        (Err(Stop::Fail(message)), _) => (Outcome::Warn, message),
        (Err(Stop::Blocked(message)), _) => (Outcome::Blocked, message),
        (Err(Stop::NotApplicable(message)), _) => (Outcome::NotApplicable, message),
        (Err(Stop::KitError(message)), _) => (Outcome::KitError, message),
    }
}

fn panic_text(error: tokio::task::JoinError) -> String {
    match error.try_into_panic() {
        Ok(panic) => {
            let text = panic
                .downcast_ref::<String>()
                .map(String::as_str)
                .or_else(|| panic.downcast_ref::<&str>().copied())
                .unwrap_or("no text");
            format!("the check panicked: {text}")
        }
        Err(error) => format!("the check was lost: {error}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(id: &str, verdict: impl Fn() -> Verdict + Send + Sync + 'static) -> Check {
        Check::new(Role::Peer, Part::Handshake, id, &["HSK-014"], id, move |_| {
            let verdict = verdict();
            async move { verdict }
        })
    }

    async fn outcomes(checks: &[Check], options: &Options) -> Vec<(String, Outcome, String)> {
        let report = run(checks, Targets::default(), options, Arc::new(Quiet)).await;
        report.results.into_iter().map(|r| (r.id, r.outcome, r.message)).collect()
    }

    #[tokio::test]
    async fn a_panic_is_a_kit_error_and_the_others_go_on() {
        let checks = [
            check("a", || panic!("boo")),
            check("b", || Ok(())),
            check("c", || Err(Stop::Fail("no".into()))),
        ];
        let found = outcomes(&checks, &Options::default()).await;
        assert_eq!(found[0].1, Outcome::KitError);
        assert_eq!(found[0].2, "the check panicked: boo");
        assert_eq!((found[1].1, found[2].1), (Outcome::Pass, Outcome::Fail));
    }

    #[tokio::test(start_paused = true)]
    async fn a_check_that_hangs_is_blocked() {
        let hangs = Check::new(Role::Peer, Part::Handshake, "a", &[], "a", |_| std::future::pending());
        assert_eq!(
            outcomes(&[hangs], &Options::default()).await[0],
            ("a".into(), Outcome::Blocked, "not done after 60 s".into())
        );
    }

    #[tokio::test]
    async fn a_refusal_proves_nothing_without_its_twin() {
        let checks = [
            check("bad-twin", || Err(Stop::Fail("refused".into()))),
            check("good-twin", || Ok(())),
            check("doubted", || Ok(())).twin("bad-twin"),
            check("believed", || Ok(())).twin("good-twin"),
            check("alone", || Ok(())).twin("not-run"),
        ];
        let found = outcomes(&checks, &Options::default()).await;
        assert_eq!(found[2].1, Outcome::Blocked);
        assert_eq!(found[3].1, Outcome::Pass);
        assert_eq!(found[4].1, Outcome::Blocked);
    }

    #[tokio::test]
    async fn unsupported_is_no_way_out_of_some_vectors_of_a_group() {
        let vector = |id: &str, verdict: fn() -> Verdict| {
            Check::new(Role::Vectors, Part::Ticket, id, &["TKT-014"], id, move |_| async move { verdict() })
        };
        let evades = || Err(Stop::NotApplicable("unsupported".into()));
        let checks = [
            vector("vector.ticket.verify.good", || Ok(())),
            vector("vector.ticket.verify.hard", evades),
            vector("vector.ticket.set.good", evades),
        ];
        let found = outcomes(&checks, &Options::default()).await;
        assert_eq!(
            [found[0].1, found[1].1, found[2].1],
            [Outcome::Pass, Outcome::Fail, Outcome::NotApplicable]
        );
    }

    #[tokio::test]
    async fn expectations_turn_fail_and_pass_around() {
        let options = Options {
            expected_failures: crate::expect::parse(
                "a known\nb known\nc \"yes\" known",
                "known.txt",
                &["a", "b", "c"],
            )
            .expect("good lines"),
            ..Options::default()
        };
        let no = || Err(Stop::Fail("no".into()));
        let checks = [check("a", no), check("b", || Ok(())), check("c", no)];
        let found = outcomes(&checks, &options).await;
        assert_eq!([found[0].1, found[1].1, found[2].1], [Outcome::Xfail, Outcome::Xpass, Outcome::Fail]);
        // Whoever has to remove the line knows where it is.
        let report = run(&checks, Targets::default(), &options, Arc::new(Quiet)).await;
        assert_eq!(report.results[1].message, "passes, though known.txt:2 expects it to fail: known");
    }

    #[tokio::test]
    async fn what_a_target_says_reaches_no_terminal_as_it_is() {
        let words = || Err(Stop::Fail("the name is \u{1b}[2J\r\"a\u{9b}8m and that".into()));
        let targets =
            Targets { description: "a\u{1b}]0;b\u{7}\nhs.m1 all is well".to_owned(), ..Targets::default() };
        let report = run(&[check("a", words)], targets, &Options::default(), Arc::new(Quiet)).await;
        let written = crate::expect::render(&report, &BTreeMap::new());
        for text in [crate::report::summary(&report), written.clone()] {
            let acts = text.chars().find(|c| c.is_control() && *c != '\n');
            assert_eq!(acts, None, "{text:?}");
        }
        // What was written is the same failure in the next run, and the name of the target no line of its own.
        let known = crate::expect::parse(&written, "", &["a"]).expect("good lines");
        let options = Options { expected_failures: known, ..Options::default() };
        assert_eq!(outcomes(&[check("a", words)], &options).await[0].1, Outcome::Xfail);
    }

    #[tokio::test]
    async fn evidence_is_of_what_did_not_pass_and_has_secrets_only_if_asked() {
        let noting = |id: &str, verdict: fn() -> Verdict| {
            Check::new(Role::Peer, Part::Handshake, id, &["HSK-014"], id, move |context| async move {
                context.note("request", "authorization: Bearer abc");
                verdict()
            })
        };
        let checks = [noting("a", || Ok(())), noting("b", || Err(Stop::Fail("no".into())))];
        for show_secrets in [false, true] {
            let options = Options { show_secrets, ..Options::default() };
            let report = run(&checks, Targets::default(), &options, Arc::new(Quiet)).await;
            assert_eq!(report.results[0].evidence, []);
            let [kept] = &report.results[1].evidence[..] else { panic!("one exhibit") };
            assert_eq!(kept.text.contains("abc"), show_secrets, "{}", kept.text);
        }
        let options = Options { evidence: false, ..Options::default() };
        let report = run(&checks, Targets::default(), &options, Arc::new(Quiet)).await;
        assert_eq!((report.results[1].outcome, &report.results[1].evidence[..]), (Outcome::Fail, &[][..]));
    }

    #[tokio::test]
    async fn what_came_after_the_set_is_not_scored() {
        let set = FrozenSet::parse("0.1", "requirement HSK-014\ncheck old\n");
        let options = Options { set: Some(Arc::new(set)), ..Options::default() };
        let checks = [check("old", || Ok(())), check("new", || Err(Stop::Fail("no".into())))];
        let report = run(&checks, Targets::default(), &options, Arc::new(Quiet)).await;
        assert_eq!(report.results[0].outcome, Outcome::Pass);
        assert_eq!(report.results[1].outcome, Outcome::AddedAfter);
        assert_eq!(report.results[1].message, "the check is later than version 0.1; it ended as fail: no");
        assert_eq!((report.conclusion().exit_code(), report.counts().ran()), (0, 1));
        assert!(report.verdict().starts_with("conformant to the set of 0.1"), "{}", report.verdict());
    }

    #[test]
    fn a_filter_takes_ids_requirements_and_parts_and_brings_the_twins() {
        let checks = [
            check("hs.baseline", || Ok(())),
            check("hs.m1.mac1", || Ok(())).twin("hs.baseline"),
            check("hs.m3", || Ok(())),
        ];
        let selected = |word: &str| -> Vec<String> {
            Filter::new([word]).select(&checks).into_iter().map(|check| check.id).collect()
        };
        assert_eq!(selected("mac1"), ["hs.baseline", "hs.m1.mac1"]);
        assert_eq!(selected("hsk-014").len(), 3);
        assert_eq!(selected("handshake").len(), 3);
        assert_eq!(selected("record").len(), 0);
        assert_eq!(selected("=hs.m3"), ["hs.m3"]);
        assert_eq!(selected("=hs.m").len(), 0);
    }

    #[test]
    fn seeds_repeat_and_differ_by_check() {
        let draw = |seed, id| Context::new(Arc::default(), seed, id).random::<40>();
        assert_eq!(draw(1, "a"), draw(1, "a"));
        assert_ne!(draw(1, "a"), draw(2, "a"));
        assert_ne!(draw(1, "a"), draw(1, "b"));
    }
}
