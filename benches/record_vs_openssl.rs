//! One thread, records of 16 KiB: sealing and opening beside OpenSSL's stitched AES-128-CBC-HMAC-SHA256, in turns in one
//! run. `cargo run --release -p meshproof-benches --bin record-vs-openssl`

use std::hint::black_box;
use std::process::Command;
use std::time::{Duration, Instant};

use meshproof_benches::providers;
use meshproof_proto::crypto::{Provider, Secret};
use meshproof_proto::record::{Opener, Sealer};

/// Content of a record, in bytes.
const RECORD: usize = 16_384;
/// Records in one run.
const RUN: usize = 64;
/// How often each is measured; the median counts.
const ROUNDS: usize = 7;
const TIME: Duration = Duration::from_secs(1);

fn main() {
    let mut rows: Vec<(String, Vec<f64>)> = Vec::new();
    let mut add = |round: usize, at: usize, name: &str, value: f64| {
        if round == 0 {
            rows.push((name.to_owned(), Vec::new()));
        }
        rows[at].1.push(value);
    };
    for round in 0..ROUNDS {
        eprintln!("round {} of {ROUNDS}", round + 1);
        let Some(openssl) = openssl() else {
            eprintln!("`openssl speed -evp aes-128-cbc-hmac-sha256` gave no figure");
            std::process::exit(2);
        };
        add(round, 0, "openssl AES-128-CBC-HMAC-SHA256", openssl);
        let mut at = 1;
        for provider in providers() {
            for (what, value) in [("seal", seal(provider)), ("open", open(provider))] {
                add(round, at, &format!("{} {what}", provider.name()), value);
                at += 1;
            }
        }
    }
    let mut medians = rows.into_iter().map(|(name, mut values)| {
        values.sort_by(f64::total_cmp);
        (name, values[values.len() / 2])
    });
    let (name, base) = medians.next().expect("OpenSSL comes first");
    println!("{name:34} {:>8} {:>6}", "MB/s", "ratio");
    println!("{name:34} {base:8.0} {:6.2}", 1.0);
    for (name, value) in medians {
        println!("{name:34} {value:8.0} {:6.2}", value / base);
    }
}

/// MB/s of content, over runs of [`RUN`] records.
fn rate(mut run: impl FnMut() -> Duration) -> f64 {
    let (mut spent, mut runs) = (Duration::ZERO, 0.0);
    while spent < TIME {
        spent += run();
        runs += 1.0;
    }
    #[expect(clippy::cast_precision_loss, reason = "a megabyte is exact")]
    let bytes = (RUN * RECORD) as f64;
    runs * bytes / spent.as_secs_f64() / 1e6
}

fn secret() -> Secret {
    Secret::new([4; 32])
}

fn seal(provider: &'static dyn Provider) -> f64 {
    let content = vec![0x5a; RUN * RECORD];
    let mut sealer = Sealer::new(provider, secret()).with_record_size(RECORD);
    let mut out = Vec::with_capacity(2 * content.len());
    rate(|| {
        out.clear();
        let began = Instant::now();
        sealer.seal(black_box(&content), &mut out).expect("an open direction");
        began.elapsed()
    })
}

/// What is opened is sealed outside of the measured time.
fn open(provider: &'static dyn Provider) -> f64 {
    let content = vec![0x5a; RUN * RECORD];
    let mut sealer = Sealer::new(provider, secret()).with_record_size(RECORD);
    let mut opener = Opener::new(provider, secret());
    let mut out = Vec::with_capacity(2 * content.len());
    rate(|| {
        out.clear();
        sealer.seal(&content, &mut out).expect("an open direction");
        let began = Instant::now();
        opener.push(&out);
        while opener.next().expect("a good record").is_some() {}
        began.elapsed()
    })
}

/// The last figure of the last line is kB/s.
fn openssl() -> Option<f64> {
    let args = ["speed", "-evp", "aes-128-cbc-hmac-sha256", "-bytes", "16384", "-seconds", "1"];
    let output = Command::new("openssl").args(args).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    let last = text.lines().last()?.split_whitespace().last()?;
    Some(last.trim_end_matches('k').parse::<f64>().ok()? / 1_000.0)
}
