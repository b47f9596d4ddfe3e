//! Processes that run one mutant after another: what takes long to start is started once.
//!
//! Both sides speak lines of JSON over standard input and output: `{"mutant", "checks", "seed"}`, and in answer
//! `{"results": [[check, outcome, message], ...]}` or `{"error"}`.

use std::io::{BufRead as _, Write as _};
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use meshproof_kit::check::{Check, Outcome};
use meshproof_kit::checks;
use meshproof_kit::report::CheckResult;
use meshproof_kit::run::{Filter, Options, Quiet};
use meshproof_proto::requirement::Fault;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

use crate::commands::{runtime, self_test};

/// How long what a mutant left running may go on.
const LEAVING: Duration = Duration::from_millis(500);

/// The other process, as this one sees it.
pub(super) struct Worker {
    _process: Child,
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
        Ok(Self { _process: process, orders, answers })
    }

    /// The results of these checks on the mutant, in an implementation of its own.
    pub(super) async fn run(
        &mut self,
        fault: Fault,
        checks: &[&Check],
        seed: u64,
    ) -> anyhow::Result<Vec<CheckResult>> {
        let ids: Vec<&str> = checks.iter().map(|check| check.id.as_str()).collect();
        let order = json!({"mutant": fault.to_string(), "checks": ids, "seed": seed});
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
    let all = checks::live();
    for line in std::io::stdin().lock().lines() {
        let order = serde_json::from_str(&line?).context("an order is no JSON")?;
        let answer = match carry_out(&order, &all) {
            Ok(results) => json!({"results": results}),
            Err(error) => json!({"error": format!("{error:#}")}),
        };
        let mut out = std::io::stdout().lock();
        writeln!(out, "{answer}")?;
        out.flush()?;
    }
    Ok(0)
}

fn carry_out(order: &Value, all: &[Check]) -> anyhow::Result<Vec<Value>> {
    let name = order["mutant"].as_str().context("no mutant")?;
    let fault = Fault::by_name(name).with_context(|| format!("there is no mutant {name}"))?;
    let ids = order["checks"].as_array().context("no checks")?.iter().filter_map(Value::as_str);
    let selected = Filter::new(ids.map(|id| format!("={id}"))).select(all);
    let options = Options { seed: order["seed"].as_u64().context("no seed")?, ..Options::default() };
    let runtime = runtime()?;
    let report = runtime.block_on(self_test::run_checks(&selected, &options, Some(fault), Arc::new(Quiet)));
    runtime.shutdown_timeout(LEAVING);
    let results = report?.results;
    Ok(results.iter().map(|one| json!([one.id, one.outcome.name(), one.message])).collect())
}
