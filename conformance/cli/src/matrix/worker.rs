//! Processes that run one mutant after another: what takes long to start is started once.
//!
//! Both sides speak lines of JSON over standard input and output: `{"mutant", "checks", "seed", "how"}`, and in answer
//! `{"results": [[check, outcome, message], ...]}` or `{"error"}`. `how` is one of [`How`]; without a mutant it is the
//! implementation without a fault.

use std::io::{BufRead as _, Write as _};
use std::process::Stdio;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use anyhow::{Context as _, bail};
use meshproof_kit::check::{Check, Context, Outcome, Role};
use meshproof_kit::checks;
use meshproof_kit::report::CheckResult;
use meshproof_kit::run::{Filter, Options, Quiet, run};
use meshproof_kit::target::Targets;
use meshproof_kit::target::world::World;
use meshproof_proto::requirement::Fault;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::runtime::Runtime;

use super::Mutant;
use crate::commands::{runtime, self_test};
use crate::embedded::Embedded;

/// How long what a mutant left running may go on.
const LEAVING: Duration = Duration::from_millis(500);

/// How long a worker that has nothing more to do has for its end.
const ENDING: Duration = Duration::from_secs(5);

/// What checks are run on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum How {
    /// An implementation of its own, and their valid twins with them.
    WithTwins,
    /// An implementation of its own. A failure is one whatever the twin does.
    Alone,
    /// The cloud that the worker keeps from one mutant to the next.
    Kept,
}

impl How {
    const ALL: [Self; 3] = [Self::WithTwins, Self::Alone, Self::Kept];

    fn name(self) -> &'static str {
        match self {
            Self::WithTwins => "with-twins",
            Self::Alone => "alone",
            Self::Kept => "kept",
        }
    }
}

/// The other process, as this one sees it.
pub(super) struct Worker {
    process: Child,
    orders: ChildStdin,
    answers: Lines<BufReader<ChildStdout>>,
}

impl Worker {
    /// Starts this program once more.
    pub(super) fn start() -> anyhow::Result<Self> {
        let program = std::env::current_exe().context("cannot find this program")?;
        let mut process = Command::new(program)
            .arg("worker")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .context("cannot start this program again")?;
        let orders = process.stdin.take().context("no standard input")?;
        let answers = BufReader::new(process.stdout.take().context("no standard output")?).lines();
        Ok(Self { process, orders, answers })
    }

    /// Lets it end by itself, so that it takes away what it has written.
    pub(super) async fn end(self) {
        let Self { mut process, orders, answers: _answers } = self;
        drop(orders);
        // One that does not end is killed when it is dropped.
        let _ = tokio::time::timeout(ENDING, process.wait()).await;
    }

    /// The results of these checks on the mutant.
    pub(super) async fn run(
        &mut self,
        fault: Option<Fault>,
        checks: &[&Check],
        seed: u64,
        how: How,
    ) -> anyhow::Result<Vec<CheckResult>> {
        let ids: Vec<&str> = checks.iter().map(|check| check.id.as_str()).collect();
        let mutant = fault.map(|fault| fault.to_string());
        let order = json!({"mutant": mutant, "checks": ids, "seed": seed, "how": how.name()});
        self.orders.write_all(format!("{order}\n").as_bytes()).await.context("the worker is gone")?;
        let line = self.answers.next_line().await?.context("the worker ended")?;
        let answer: Value = serde_json::from_str(&line).context("the worker's answer is no JSON")?;
        if let Some(error) = answer["error"].as_str() {
            bail!("{error}");
        }
        let found = answer["results"].as_array().context("the worker's answer has no results")?.iter();
        let found = found.map(|result| {
            let (id, outcome) = (result[0].as_str()?, result[1].as_str()?);
            let check = checks.iter().find(|check| check.id == id)?;
            let outcome = Outcome::ALL.into_iter().find(|known| known.name() == outcome)?;
            Some(CheckResult::new(check, outcome, result[2].as_str().unwrap_or_default()))
        });
        found.collect::<Option<_>>().context("the worker's answer has a result that this kit does not know")
    }
}

/// Carries out what comes on standard input, to its end.
pub(crate) fn serve() -> anyhow::Result<u8> {
    let mut bench =
        Bench { runtime: runtime()?, kept: None, live: checks::live(), all: LazyLock::new(checks::all) };
    for line in std::io::stdin().lock().lines() {
        let order = serde_json::from_str(&line?).context("an order is no JSON")?;
        let answer = match bench.carry_out(&order) {
            Ok(results) => json!({"results": results}),
            Err(error) => json!({"error": format!("{error:#}")}),
        };
        let mut out = std::io::stdout().lock();
        writeln!(out, "{answer}")?;
        out.flush()?;
    }
    // Nothing that is still running is waited for: what it has written goes, and it with this process.
    drop(bench.kept);
    bench.runtime.shutdown_background();
    Ok(0)
}

/// What stays from one mutant to the next.
struct Bench {
    runtime: Runtime,
    kept: Option<(Embedded, Targets)>,
    live: Vec<Check>,
    /// With the vectors, which take long to read, and which most workers have nothing to do with.
    all: LazyLock<Vec<Check>>,
}

impl Bench {
    fn carry_out(&mut self, order: &Value) -> anyhow::Result<Vec<Value>> {
        let named = |name: &str| Fault::by_name(name).with_context(|| format!("there is no mutant {name}"));
        let fault = order["mutant"].as_str().map(named).transpose()?;
        let ids: Vec<&str> =
            order["checks"].as_array().context("no checks")?.iter().filter_map(Value::as_str).collect();
        let vectors = ids.iter().any(|id| id.starts_with("vector."));
        let all: &[Check] = if vectors { &self.all } else { &self.live };
        let how = How::ALL.into_iter().find(|how| order["how"] == how.name()).context("no such way")?;
        let seed = order["seed"].as_u64().context("no seed")?;
        // Nobody reads what the checks saw of a mutant.
        let options = Options { seed, evidence: false, ..Options::default() };
        let selected = if how == How::WithTwins {
            Filter::new(ids.iter().map(|id| format!("={id}"))).select(all)
        } else {
            let named = all.iter().filter(|check| ids.contains(&check.id.as_str()));
            let mut selected: Vec<Check> = named.cloned().collect();
            selected.iter_mut().for_each(|check| check.twin = None);
            selected
        };
        let alone =
            || self_test::run_checks(&selected, &options, fault, self_test::MUTANT_PATIENCE, Arc::new(Quiet));
        let results = match how {
            How::Kept => {
                self.keep(options.seed)?;
                let (_, targets) = self.kept.as_ref().context("nothing is kept")?;
                let _planted = fault.map(Mutant::plant);
                let running = run(&selected, targets.clone(), &options, Arc::new(Quiet));
                self.runtime.block_on(running).results
            }
            How::Alone => self.runtime.block_on(alone())?.results,
            How::WithTwins => {
                let runtime = runtime()?;
                let report = runtime.block_on(alone());
                runtime.shutdown_timeout(LEAVING);
                report?.results
            }
        };
        Ok(results.iter().map(|one| json!([one.id, one.outcome.name(), one.message])).collect())
    }

    /// Makes the cloud that is kept, and without a fault what the checks need to begin with: users, devices, their keys.
    fn keep(&mut self, seed: u64) -> anyhow::Result<()> {
        if self.kept.is_none() {
            self.kept = Some(self.runtime.block_on(async {
                let embedded = Embedded::start(&[Role::Cloud].into()).await?;
                let targets = embedded.targets(self_test::MUTANT_PATIENCE)?;
                // Why it fails, if it does, the checks will say.
                let _ = World::get(&Context::new(Arc::new(targets.clone()), seed, "set up")).await;
                anyhow::Ok((embedded, targets))
            })?);
        }
        Ok(())
    }
}
