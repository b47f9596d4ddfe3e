//! `meshproof fuzz`: sessions with an implementation that keep the protocol but for one place.
//!
//! A *case* is a few bytes, drawn from the seed and the number of the run; the files of this module make a session of them,
//! and know by the oracle what the implementation must not accept. After each case an honest session is tried: who answers
//! that no more is dead or hangs.
//!
//! | file | what is fuzzed |
//! |---|---|
//! | [`peer`] | a device: M1, M3, records, messages of sync |
//! | [`relay`] | a relay: passes and pings |
//! | [`cloud`] | a cloud: requests, as [`request`] makes them |
//! | [`shim`] | a library: vectors with one input changed |
//! | [`messages`] | fields and bytes with one thing changed, for all of these and for the targets of `fuzz/` |

mod cloud;
mod draw;
mod messages;
mod peer;
mod relay;
pub mod request;
mod shim;

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::check::{Context, Stop};
use crate::evidence::Exhibit;
use crate::oracle::crypto::{from_hex, hex};
use crate::target::Targets;
use crate::target::shim::ProcessShim;

pub use draw::{Dice, Draw};
pub use messages::{change_entry, change_m1, change_proofs, change_ticket, good_entries, records};

/// How long a case is, in bytes.
const CASE: usize = 96;
/// Memory is not compared before so many runs: what an implementation sets up once is there by then.
const SETTLED: u64 = 20;

/// How long to fuzz, and what to look at.
#[derive(Clone, Debug)]
pub struct Limits {
    /// The seed of all cases.
    pub seed: u64,
    /// The number of the first run.
    pub first: u64,
    /// At most so many runs.
    pub runs: u64,
    /// Not longer than this.
    pub lasting: Duration,
    /// A process whose memory is watched, beside that of a shim.
    pub pid: Option<u32>,
    /// How much it may grow, in bytes.
    pub growth: u64,
}

/// What is fuzzed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Subject {
    /// A device.
    Peer,
    /// A relay.
    Relay,
    /// A cloud.
    Cloud,
    /// What is behind a shim.
    Shim,
}

/// What was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum What {
    /// It is not there any more, or says that it failed.
    Crash,
    /// It does not answer any more.
    Hang,
    /// It took more and more memory.
    Growth,
    /// It accepted what must be rejected, or answered otherwise than the specification says.
    Accepted,
}

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            What::Crash => "crash",
            What::Hang => "hang",
            What::Growth => "growth",
            What::Accepted => "accepted",
        })
    }
}

/// One session, to be repeated.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Case {
    /// With what.
    pub subject: Subject,
    /// The seed.
    pub seed: u64,
    /// The number of the run.
    pub run: u64,
    /// The bytes, in hexadecimal.
    pub case: String,
}

/// A case that went wrong.
#[derive(Clone, Debug)]
pub struct Finding {
    /// The case.
    pub case: Case,
    /// What it did.
    pub what: What,
    /// In words.
    pub message: String,
    /// What went over the wire.
    pub evidence: Vec<Exhibit>,
}

/// What came of all runs.
#[derive(Clone, Debug)]
pub struct Fuzzed {
    /// How many there were.
    pub runs: u64,
    /// Of these, how many the implementation refused as it must.
    pub refused: u64,
    /// The first that went wrong.
    pub finding: Option<Finding>,
}

/// How one session ended.
enum Ended {
    /// It was to be refused, and was.
    Refused,
    /// Nothing was wrong with it, or nothing that can be told.
    Fine,
}

/// A session that went wrong.
struct Wrong(What, String);

impl Wrong {
    fn accepted(text: impl Into<String>) -> Self {
        Wrong(What::Accepted, text.into())
    }
}

impl From<Stop> for Wrong {
    /// The implementation did something else than the specification says, or nothing.
    fn from(stop: Stop) -> Self {
        match stop {
            Stop::Fail(text) => Wrong(What::Accepted, text),
            Stop::Blocked(text) | Stop::NotApplicable(text) | Stop::KitError(text) => Wrong(What::Hang, text),
        }
    }
}

/// What there is to fuzz, in turns.
struct Subjects {
    targets: Arc<Targets>,
    shim: Option<shim::Fuzzed>,
    cloud: cloud::Sessions,
    all: Vec<Subject>,
}

impl Subjects {
    fn new(targets: Targets, shim: Option<ProcessShim>) -> Self {
        let there = [
            (Subject::Peer, targets.peer.is_some()),
            (Subject::Relay, targets.relay.is_some()),
            (Subject::Cloud, targets.cloud.is_some()),
            (Subject::Shim, shim.is_some()),
        ];
        let all = there.into_iter().filter(|(_, there)| *there).map(|(subject, _)| subject).collect();
        Subjects {
            targets: Arc::new(targets),
            shim: shim.map(shim::Fuzzed::new),
            cloud: cloud::Sessions::default(),
            all,
        }
    }

    /// One session and an honest one after it.
    async fn run(&mut self, case: &Case) -> Result<Ended, Finding> {
        let bytes = from_hex(&case.case).unwrap_or_default();
        let context = Context::new(Arc::clone(&self.targets), case.seed, &format!("fuzz {}", case.run));
        context
            .note("case", format!("{:?}, seed {}, run {}: {}", case.subject, case.seed, case.run, case.case));
        let mut draw = Draw(&bytes);
        let ran = match case.subject {
            Subject::Peer => peer::session(&context, &mut draw).await,
            Subject::Relay => relay::session(&context, &mut draw).await,
            Subject::Cloud => self.cloud.session(&context, &mut draw).await,
            Subject::Shim => match &mut self.shim {
                Some(shim) => shim.session(&context, &mut draw),
                None => Ok(Ended::Fine),
            },
        };
        // Who fell over says so by what comes after: a hang may be a crash.
        let after = match case.subject {
            Subject::Peer => peer::probe(&context).await,
            Subject::Relay => relay::probe(&context).await,
            Subject::Cloud => cloud::probe(&context).await,
            Subject::Shim => Ok(()),
        };
        let finding = |Wrong(what, message)| Finding {
            case: case.clone(),
            what,
            message,
            evidence: context.exhibits(),
        };
        match (ran, after) {
            (Err(wrong), Ok(())) => Err(finding(wrong)),
            (Err(Wrong(_, first)), Err(Wrong(what, after))) => {
                Err(finding(Wrong(what, format!("{first}; then {after}"))))
            }
            (Ok(_), Err(after)) => Err(finding(after)),
            (Ok(ended), Ok(())) => Ok(ended),
        }
    }

    /// Memory of the processes that are watched, in bytes.
    fn memory(&self, pid: Option<u32>) -> Option<u64> {
        let pids = [pid, self.shim.as_ref().and_then(shim::Fuzzed::pid)];
        let known: Vec<u64> = pids.into_iter().flatten().filter_map(resident).collect();
        (!known.is_empty()).then(|| known.iter().sum())
    }
}

/// Fuzzes all targets that there are, in turns, until something is found or a limit is reached.
///
/// # Errors
/// If a target does not do what is honest before anything was changed: there is nothing to fuzz.
pub async fn fuzz(targets: Targets, shim: Option<ProcessShim>, limits: &Limits) -> anyhow::Result<Fuzzed> {
    let mut subjects = Subjects::new(targets, shim);
    anyhow::ensure!(!subjects.all.is_empty(), "there is nothing to fuzz");
    for subject in subjects.all.clone() {
        let context = Context::new(Arc::clone(&subjects.targets), limits.seed, "fuzz begins");
        let honest = match subject {
            Subject::Peer => peer::probe(&context).await,
            Subject::Relay => relay::probe(&context).await,
            Subject::Cloud => cloud::probe(&context).await,
            Subject::Shim => subjects.shim.as_mut().map_or(Ok(()), shim::Fuzzed::probe),
        };
        honest.map_err(|Wrong(_, text)| anyhow::anyhow!("before anything was fuzzed: {text}"))?;
    }
    let began = Instant::now();
    let (mut runs, mut refused, mut settled) = (0, 0, None);
    while runs < limits.runs && began.elapsed() < limits.lasting {
        let run = limits.first + runs;
        let subject = subjects.all[usize::try_from(run).unwrap_or_default() % subjects.all.len()];
        let case = Case { subject, seed: limits.seed, run, case: hex(&bytes_of(limits.seed, run)) };
        runs += 1;
        match subjects.run(&case).await {
            Ok(Ended::Refused) => refused += 1,
            Ok(Ended::Fine) => {}
            Err(finding) => return Ok(Fuzzed { runs, refused, finding: Some(finding) }),
        }
        if runs < SETTLED {
            continue;
        }
        let now = subjects.memory(limits.pid);
        let before = *settled.get_or_insert(now);
        if let (Some(before), Some(now)) = (before, now)
            && now > before.saturating_add(limits.growth)
        {
            let message = format!("{before} bytes of memory after {SETTLED} runs, {now} after {runs}");
            let finding = Finding { case, what: What::Growth, message, evidence: Vec::new() };
            return Ok(Fuzzed { runs, refused, finding: Some(finding) });
        }
    }
    Ok(Fuzzed { runs, refused, finding: None })
}

/// One case again.
pub async fn replay(targets: Targets, shim: Option<ProcessShim>, case: &Case) -> Fuzzed {
    match Subjects::new(targets, shim).run(case).await {
        Ok(ended) => Fuzzed { runs: 1, refused: u64::from(matches!(ended, Ended::Refused)), finding: None },
        Err(finding) => Fuzzed { runs: 1, refused: 0, finding: Some(finding) },
    }
}

fn bytes_of(seed: u64, run: u64) -> Vec<u8> {
    Dice(seed ^ run.wrapping_mul(0xD6E8_FEB8_6659_FD93)).bytes(CASE)
}

/// What a process has in memory, where `/proc` says so.
fn resident(pid: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    Some(line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()? * 1_024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_case_is_the_same_again() {
        assert_eq!(bytes_of(1, 7), bytes_of(1, 7));
        assert_ne!(bytes_of(1, 7), bytes_of(1, 8));
        assert_ne!(bytes_of(1, 7), bytes_of(2, 7));
    }

    #[test]
    fn this_process_has_memory() {
        let here = resident(std::process::id());
        assert!(!cfg!(target_os = "linux") || here.is_some_and(|bytes| bytes > 100_000), "{here:?}");
        assert_eq!(resident(u32::MAX), None);
    }
}
