//! How fast an implementation is: each kind of work beside the bare library functions that it consists of, in turns, on
//! one thread. Speed is no requirement, so nothing here is judged; ratios of one run are all that is worth comparing.

mod baseline;
mod machine;
mod svg;
mod table;

use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use serde::Serialize;
use serde_json::{Value, json};

use crate::target::shim::{Answer, Outcome, Shim};

pub use baseline::answer as baseline;
pub use machine::Machine;
pub use svg::svg;
pub use table::table;

/// What the implementation is measured beside.
pub const BESIDE: &str = "aws-lc-rs alone";
/// How often each work is measured; the median counts.
pub const ROUNDS: usize = 5;

/// The sizes of records and of what is hashed and encrypted, in bytes. The last is the longest content of a record.
const SIZES: [u64; 4] = [64, 1_024, 16_384, 65_535];
/// The size of RSA keys, in bits.
const KEY: u64 = 2_048;

/// In what work is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Unit {
    /// Bytes of content.
    Bytes,
    /// Whole operations.
    Operations,
}

impl Unit {
    fn name(self) -> &'static str {
        match self {
            Unit::Bytes => "bytes",
            Unit::Operations => "operations",
        }
    }
}

/// One thing to measure: a name of `vectors/README.md`, and the size of one operation, in bytes; for RSA of the key, in
/// bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Work {
    /// The name.
    pub work: &'static str,
    /// The size.
    pub size: u64,
    /// In what it is counted.
    pub unit: Unit,
}

impl Work {
    /// The request to a shim.
    pub fn request(self, slice: Duration) -> Value {
        json!({"op": "bench", "work": self.work, "size": self.size, "seconds": slice.as_secs_f64()})
    }
}

/// Everything that is measured, in the order of the table.
pub fn works() -> Vec<Work> {
    let sized = ["aes-128-ctr", "hmac-sha256", "seal", "open"]
        .into_iter()
        .flat_map(|work| SIZES.map(|size| Work { work, size, unit: Unit::Bytes }));
    let whole = ["rsa-oaep-decrypt", "handshake-0101", "handshake-0201", "handshake-0301"].map(|work| Work {
        work,
        size: KEY,
        unit: Unit::Operations,
    });
    sized.chain(whole).collect()
}

/// How much was done in what time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Measured {
    /// Bytes or operations.
    pub count: u64,
    /// What they took.
    pub time: Duration,
}

impl Measured {
    /// Repeats `run`, which does `count` bytes or operations and says how long they took, for about `seconds`.
    pub fn repeating(seconds: f64, count: u64, mut run: impl FnMut() -> Duration) -> Self {
        let enough = Duration::try_from_secs_f64(seconds).unwrap_or_default();
        let (mut measured, began) = (Self { count: 0, time: Duration::ZERO }, Instant::now());
        // What is prepared outside of the measured time counts against the patience of who asked.
        while measured.count == 0 || measured.time < enough && began.elapsed() < 3 * enough {
            measured.time += run();
            measured.count += count;
        }
        measured
    }

    /// As a shim answers.
    pub fn answer(self, unit: Unit) -> Answer {
        let nanoseconds = u64::try_from(self.time.as_nanos()).unwrap_or(u64::MAX);
        Answer::accept(json!({(unit.name()): self.count, "nanoseconds": nanoseconds}))
    }

    /// From the output of a shim that took `elapsed` in all.
    fn read(output: &Value, unit: Unit, elapsed: Duration) -> anyhow::Result<Self> {
        let number = |name: &str| {
            let number = output[name].as_u64().filter(|number| *number > 0);
            number.with_context(|| format!("the output has no number {name:?} above 0"))
        };
        let time = Duration::from_nanos(number("nanoseconds")?);
        ensure!(time <= elapsed, "it says {time:?}, and its answer took {elapsed:?}");
        Ok(Self { count: number(unit.name())?, time })
    }

    #[expect(clippy::cast_precision_loss, reason = "a rate is no exact number")]
    fn per_second(self) -> f64 {
        self.count as f64 / self.time.as_secs_f64()
    }
}

/// Figures of one work. Rates are in bytes or operations a second.
#[derive(Clone, Debug, Serialize)]
pub struct Figures {
    /// Of the implementation: the median.
    pub rate: f64,
    /// Of what it is measured beside: the median.
    pub beside: f64,
    /// The median of the ratios of the rounds.
    pub ratio: f64,
    /// The lowest of them.
    pub lowest: f64,
    /// The highest.
    pub highest: f64,
}

impl Figures {
    fn of(rounds: &[[f64; 2]]) -> Self {
        let sorted = |value: fn(&[f64; 2]) -> f64| {
            let mut values: Vec<f64> = rounds.iter().map(value).collect();
            values.sort_by(f64::total_cmp);
            values
        };
        let ratios = sorted(|[rate, beside]| rate / beside);
        let middle = rounds.len() / 2;
        Self {
            rate: sorted(|round| round[0])[middle],
            beside: sorted(|round| round[1])[middle],
            ratio: ratios[middle],
            lowest: ratios[0],
            highest: ratios[ratios.len() - 1],
        }
    }
}

/// What became of one work.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Found {
    /// It was measured.
    Figures(Figures),
    /// The implementation does not do it, or does not measure it.
    Unsupported,
    /// The shim failed.
    Failed(String),
}

/// One line of the table.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// What was measured.
    #[serde(flatten)]
    pub work: Work,
    /// What became of it.
    pub found: Found,
}

/// A whole run.
#[derive(Clone, Debug, Serialize)]
pub struct BenchReport {
    /// What was measured.
    pub target: String,
    /// Beside what.
    pub beside: &'static str,
    /// Where.
    pub machine: Machine,
    /// How often, in turns.
    pub rounds: usize,
    /// Whether the kit was built without optimisation, so that what runs inside it is slower than it is.
    pub unoptimised: bool,
    /// The table.
    pub rows: Vec<Row>,
}

impl BenchReport {
    /// 0: there are figures. 3: the shim failed, or measured nothing.
    pub fn exit_code(&self) -> u8 {
        let failed = self.rows.iter().any(|row| matches!(row.found, Found::Failed(_)));
        let measured = self.rows.iter().any(|row| matches!(row.found, Found::Figures(_)));
        if failed || !measured { 3 } else { 0 }
    }
}

/// Measures everything, for about `budget` in all. `progress` is told what comes next.
///
/// # Errors
/// A fault of the kit: what the implementation is measured beside did not run.
pub fn run(
    target: &str,
    shim: &mut dyn Shim,
    budget: Duration,
    progress: &mut dyn FnMut(Work),
) -> anyhow::Result<BenchReport> {
    let works = works();
    let slices = u32::try_from(works.len() * ROUNDS * 2).unwrap_or(u32::MAX);
    let slice = budget / slices;
    let mut machine = Machine::here();
    let mut rows = Vec::new();
    for work in works {
        progress(work);
        rows.push(Row { work, found: measure(work, shim, slice)? });
    }
    machine.load_after = machine::load();
    let unoptimised = cfg!(debug_assertions);
    Ok(BenchReport { target: target.to_owned(), beside: BESIDE, machine, rounds: ROUNDS, unoptimised, rows })
}

fn measure(work: Work, shim: &mut dyn Shim, slice: Duration) -> anyhow::Result<Found> {
    let beside = || ask(&mut baseline, work, slice)?.context("the kit does not know its own work");
    let mut rounds = Vec::new();
    for round in 0..ROUNDS {
        // Who comes first changes, so that nobody always has the colder processor.
        let before = if round % 2 == 0 { Some(beside()?) } else { None };
        let rate = match ask(shim, work, slice) {
            Ok(Some(rate)) => rate,
            Ok(None) => return Ok(Found::Unsupported),
            Err(error) => return Ok(Found::Failed(format!("{error:#}"))),
        };
        let beside = match before {
            Some(rate) => rate,
            None => beside()?,
        };
        rounds.push([rate, beside]);
    }
    Ok(Found::Figures(Figures::of(&rounds)))
}

/// A rate a second. `None`: unsupported.
fn ask(shim: &mut dyn Shim, work: Work, slice: Duration) -> anyhow::Result<Option<f64>> {
    let began = Instant::now();
    let answer = shim.call(&work.request(slice))?;
    match answer.outcome {
        Outcome::Accept => {
            Measured::read(&answer.output, work.unit, began.elapsed()).map(|found| Some(found.per_second()))
        }
        Outcome::Unsupported => Ok(None),
        Outcome::Reject | Outcome::Error => {
            bail!("{}", answer.detail.unwrap_or_else(|| "it does not say why".to_owned()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHORT: Duration = Duration::from_micros(10);

    fn run_with(mut shim: impl FnMut(&Value) -> Answer + Send) -> BenchReport {
        run("a shim in this process", &mut shim, SHORT, &mut |_| ()).expect("the kit's own work runs")
    }

    #[test]
    fn the_baseline_does_everything_and_is_measured_beside_itself() {
        let report = run_with(baseline);
        assert_eq!(report.exit_code(), 0);
        assert_eq!(report.rows.len(), 20);
        for row in &report.rows {
            let Found::Figures(figures) = &row.found else { panic!("{row:?}") };
            assert!(
                figures.rate > 0.0 && figures.lowest <= figures.ratio && figures.ratio <= figures.highest
            );
        }
        let (table, svg) = (table(&report), svg(&report));
        assert_eq!(table.lines().filter(|line| line.starts_with("| ")).count(), 21, "{table}");
        assert_eq!(svg.matches("<rect class=\"bar\"").count(), 20);
        assert!(table.contains("Beside two RSA decryptions: "), "{table}");
    }

    #[test]
    fn a_long_bar_is_as_long_as_it_is() {
        let mut report = run_with(baseline);
        let bars = |report: &BenchReport| -> Vec<f64> {
            let svg = svg(report);
            let bars = svg.lines().filter_map(|line| line.strip_prefix("<rect class=\"bar\""));
            let width = bars.filter_map(|bar| bar.split("width=\"").nth(1)?.split('"').next());
            width.map(|width| width.parse().expect("a number")).collect()
        };
        for (number, row) in report.rows.iter_mut().enumerate() {
            let Found::Figures(figures) = &mut row.found else { panic!("{row:?}") };
            figures.ratio = if number == 0 { 6.0 } else { 2.0 };
            (figures.lowest, figures.highest) = (figures.ratio, figures.ratio);
        }
        let bars = bars(&report);
        assert!((bars[0] / bars[1] - 3.0).abs() < 0.01, "{bars:?}");
        assert!(bars[0] <= 450.1, "{bars:?}");
    }

    #[test]
    fn who_measures_nothing_has_no_figures_and_who_fails_says_so() {
        let idle = run_with(|_| Answer::unsupported());
        assert!(idle.rows.iter().all(|row| matches!(row.found, Found::Unsupported)));
        assert_eq!(idle.exit_code(), 3);
        let broken = run_with(|request| {
            if request["work"] == "seal" { Answer::error("no <memory>") } else { baseline(request) }
        });
        assert_eq!(broken.exit_code(), 3);
        assert!(table(&broken).contains("no <memory>"));
        assert!(svg(&broken).contains("no &lt;memory&gt;"));
    }

    #[test]
    fn an_answer_has_to_be_one() {
        let works = works();
        let request = works[0].request(Duration::from_millis(80));
        assert_eq!(request, json!({"op": "bench", "work": "aes-128-ctr", "size": 64, "seconds": 0.08}));
        let read = |output| Measured::read(&output, Unit::Bytes, Duration::from_micros(1));
        assert!(read(json!({"bytes": 5, "nanoseconds": 1_000})).is_ok());
        for wrong in [
            json!({"bytes": 5, "nanoseconds": 1_001}),
            json!({"bytes": 5, "nanoseconds": 0}),
            json!({"bytes": 0, "nanoseconds": 1_000}),
            json!({"bytes": 5}),
            json!({"operations": 5, "nanoseconds": 1_000}),
        ] {
            assert!(read(wrong.clone()).is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_median_counts() {
        let figures = Figures::of(&[[1.0, 2.0], [9.0, 3.0], [2.0, 1.0]]);
        assert_eq!((figures.rate, figures.beside, figures.ratio), (2.0, 2.0, 2.0));
        assert_eq!((figures.lowest, figures.highest), (0.5, 3.0));
    }
}
