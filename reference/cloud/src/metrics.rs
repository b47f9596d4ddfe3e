//! What is counted and timed, for the whole process, in the text format of Prometheus.
//!
//! Label values are route templates, status codes, methods and requirement ids: all from small sets, none from what a
//! client sent.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Upper bounds of the buckets, in seconds.
const BOUNDS: [f64; 12] = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0];

static REQUESTS: Counters = Counters::new();
static REQUEST_SECONDS: Histograms = Histograms::new();
static OPEN_REQUESTS: AtomicI64 = AtomicI64::new(0);
static WAITING_POLLS: AtomicI64 = AtomicI64::new(0);
static REFUSALS: Counters = Counters::new();
static TICKETS_ISSUED: AtomicU64 = AtomicU64::new(0);
static TICKETS_VERIFIED: AtomicU64 = AtomicU64::new(0);
static STORE_SECONDS: Histograms = Histograms::new();
static OPEN_CIRCUITS: AtomicI64 = AtomicI64::new(0);
static CIRCUITS: AtomicU64 = AtomicU64::new(0);
static RELAYED_BYTES: AtomicU64 = AtomicU64::new(0);
static BLOB_SECONDS: Histograms = Histograms::new();

/// Counts something as there until this is dropped.
pub(crate) struct Present(&'static AtomicI64);

/// A request that waits for its answer.
pub(crate) fn open_request() -> Present {
    Present::new(&OPEN_REQUESTS)
}

/// A poll, or a stream, that waits for a change.
pub(crate) fn waiting_poll() -> Present {
    Present::new(&WAITING_POLLS)
}

impl Present {
    fn new(gauge: &'static AtomicI64) -> Self {
        gauge.fetch_add(1, Ordering::Relaxed);
        Self(gauge)
    }
}

impl Drop for Present {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A circuit of the relay.
pub(crate) fn open_circuit() -> Present {
    CIRCUITS.fetch_add(1, Ordering::Relaxed);
    Present::new(&OPEN_CIRCUITS)
}

/// So many bytes went through the relay.
pub(crate) fn relayed(bytes: u64) {
    RELAYED_BYTES.fetch_add(bytes, Ordering::Relaxed);
}

/// A request was answered. `route` is the template of its path.
pub(crate) fn request(method: &str, route: &str, status: u16, took: Duration) {
    REQUESTS.add(&format!("method=\"{method}\",route=\"{route}\",status=\"{status}\""));
    REQUEST_SECONDS.observe(&format!("method=\"{method}\",route=\"{route}\""), took);
}

/// A request was refused.
pub(crate) fn refusal(requirement: &str) {
    REFUSALS.add(&format!("requirement=\"{requirement}\""));
}

/// A ticket was signed.
pub(crate) fn ticket_issued() {
    TICKETS_ISSUED.fetch_add(1, Ordering::Relaxed);
}

/// So many tickets of a set were verified.
pub(crate) fn tickets_verified(count: usize) {
    TICKETS_VERIFIED.fetch_add(count as u64, Ordering::Relaxed);
}

/// Times a transaction of the store: `read` or `write`.
pub(crate) fn store<T>(operation: &'static str, work: impl FnOnce() -> T) -> T {
    let started = Instant::now();
    let done = work();
    STORE_SECONDS.observe(&format!("operation=\"{operation}\""), started.elapsed());
    done
}

/// Bytes were stored or read: `open`, `read` and `write` of a piece, `keep` of all.
pub(crate) fn blob(operation: &'static str, took: Duration) {
    BLOB_SECONDS.observe(&format!("operation=\"{operation}\""), took);
}

/// All of it.
pub(crate) fn render() -> String {
    let mut out = String::new();
    let version = env!("CARGO_PKG_VERSION");
    header(&mut out, "meshd_build_info", "gauge", "The version that runs.");
    let _ = writeln!(out, "meshd_build_info{{version=\"{version}\"}} 1");
    REQUESTS.render(&mut out, "meshd_requests_total", "Requests that were answered.");
    REQUEST_SECONDS.render(
        &mut out,
        "meshd_request_seconds",
        "Time from a request's header to its answer's.",
    );
    REFUSALS.render(&mut out, "meshd_refusals_total", "Refusals, by the requirement of the specification.");
    STORE_SECONDS.render(&mut out, "meshd_store_seconds", "Time of transactions of the store.");
    BLOB_SECONDS.render(&mut out, "meshd_blob_seconds", "Time of operations on stored bytes.");
    for (name, kind, help, value) in [
        (
            "meshd_requests_open",
            "gauge",
            "Requests that wait for their answer.",
            OPEN_REQUESTS.load(Ordering::Relaxed),
        ),
        (
            "meshd_polls_waiting",
            "gauge",
            "Polls and streams of queues that wait for a change.",
            WAITING_POLLS.load(Ordering::Relaxed),
        ),
        ("meshd_tickets_issued_total", "counter", "Tickets that were signed.", signed(&TICKETS_ISSUED)),
        ("meshd_tickets_verified_total", "counter", "Tickets that were accepted.", signed(&TICKETS_VERIFIED)),
        (
            "meshd_relay_circuits_open",
            "gauge",
            "Circuits of the relay.",
            OPEN_CIRCUITS.load(Ordering::Relaxed),
        ),
        ("meshd_relay_circuits_total", "counter", "Circuits that were joined.", signed(&CIRCUITS)),
        ("meshd_relay_bytes_total", "counter", "Bytes that the relay read.", signed(&RELAYED_BYTES)),
    ] {
        header(&mut out, name, kind, help);
        let _ = writeln!(out, "{name} {value}");
    }
    out
}

fn signed(value: &AtomicU64) -> i64 {
    i64::try_from(value.load(Ordering::Relaxed)).unwrap_or(i64::MAX)
}

fn header(out: &mut String, name: &str, kind: &str, help: &str) {
    let _ = writeln!(out, "# HELP {name} {help}\n# TYPE {name} {kind}");
}

/// Counters, by their labels.
struct Counters(Mutex<BTreeMap<String, u64>>);

impl Counters {
    const fn new() -> Self {
        Self(Mutex::new(BTreeMap::new()))
    }

    fn add(&self, labels: &str) {
        let mut counters = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match counters.get_mut(labels) {
            Some(count) => *count += 1,
            None => drop(counters.insert(labels.to_owned(), 1)),
        }
    }

    fn render(&self, out: &mut String, name: &str, help: &str) {
        header(out, name, "counter", help);
        for (labels, count) in &*self.0.lock().unwrap_or_else(PoisonError::into_inner) {
            let _ = writeln!(out, "{name}{{{labels}}} {count}");
        }
    }
}

/// Distributions of durations, by their labels.
struct Histograms(Mutex<BTreeMap<String, Histogram>>);

#[derive(Default)]
struct Histogram {
    /// How many were in each bucket and not in one before; the last has all above the bounds.
    counts: [u64; BOUNDS.len() + 1],
    sum: Duration,
}

impl Histograms {
    const fn new() -> Self {
        Self(Mutex::new(BTreeMap::new()))
    }

    fn observe(&self, labels: &str, took: Duration) {
        let seconds = took.as_secs_f64();
        let bucket = BOUNDS.iter().position(|bound| seconds <= *bound).unwrap_or(BOUNDS.len());
        let mut histograms = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !histograms.contains_key(labels) {
            histograms.insert(labels.to_owned(), Histogram::default());
        }
        if let Some(histogram) = histograms.get_mut(labels) {
            histogram.counts[bucket] += 1;
            histogram.sum += took;
        }
    }

    fn render(&self, out: &mut String, name: &str, help: &str) {
        header(out, name, "histogram", help);
        for (labels, histogram) in &*self.0.lock().unwrap_or_else(PoisonError::into_inner) {
            let mut below = 0;
            for (bound, count) in
                BOUNDS.iter().map(f64::to_string).chain(["+Inf".into()]).zip(histogram.counts)
            {
                below += count;
                let _ = writeln!(out, "{name}_bucket{{{labels},le=\"{bound}\"}} {below}");
            }
            let _ = writeln!(out, "{name}_sum{{{labels}}} {}", histogram.sum.as_secs_f64());
            let _ = writeln!(out, "{name}_count{{{labels}}} {below}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn histograms_are_cumulative() {
        let histograms = Histograms::new();
        for millis in [0, 2, 2, 700, 9_000] {
            histograms.observe("a=\"b\"", Duration::from_millis(millis));
        }
        let mut out = String::new();
        histograms.render(&mut out, "x", "Help.");
        for line in [
            "# TYPE x histogram",
            "x_bucket{a=\"b\",le=\"0.0005\"} 1",
            "x_bucket{a=\"b\",le=\"0.0025\"} 3",
            "x_bucket{a=\"b\",le=\"1\"} 4",
            "x_bucket{a=\"b\",le=\"5\"} 4",
            "x_bucket{a=\"b\",le=\"+Inf\"} 5",
            "x_sum{a=\"b\"} 9.704",
            "x_count{a=\"b\"} 5",
        ] {
            assert!(out.lines().any(|l| l == line), "{line}\n{out}");
        }
    }
}
