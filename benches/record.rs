//! Sealing and opening records of each size, beside AES and HMAC alone and beside one after the other.
//!
//! ring has HMAC and no AES in counter mode, so it stands beside HMAC only.

use std::hint::black_box;
use std::time::{Duration, Instant};

use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use meshproof_benches::{criterion, providers};
use meshproof_proto::crypto::{Provider, Secret};
use meshproof_proto::record::{MAX_CONTENT, Opener, Sealer};

/// The last is the longest content of a record.
const SIZES: [usize; 6] = [64, 256, 1_024, 4_096, 16_384, MAX_CONTENT];
/// How much is sealed at a time, in bytes: two records at least, as a transfer has them.
const RUN: usize = 256 * 1024;

fn record(c: &mut Criterion) {
    let mut group = c.benchmark_group("record");
    for size in SIZES {
        group.throughput(Throughput::Bytes(size as u64));
        for provider in providers() {
            alone(&mut group, provider, size);
        }
        ring(&mut group, size);
        let records = (RUN / size).max(2);
        group.throughput(Throughput::Bytes((records * size) as u64));
        for provider in providers() {
            whole(&mut group, provider, size, records);
        }
    }
    group.finish();
}

type Group<'a> = BenchmarkGroup<'a, WallTime>;

fn id(work: &str, who: &str, size: usize) -> BenchmarkId {
    BenchmarkId::new(format!("{work} by {who}"), size)
}

/// The primitives.
fn alone(group: &mut Group<'_>, provider: &'static dyn Provider, size: usize) {
    let name = provider.name();
    let mut data = vec![0x5A; size];
    let (aes, hmac) = (provider.ctr_key(&[1; 16]), provider.mac_key(&[2; 32]));
    group.bench_function(id("aes-128-ctr", name, size), |b| {
        b.iter(|| aes.apply(&[3; 16], black_box(&mut data)));
    });
    group.bench_function(id("hmac-sha256", name, size), |b| b.iter(|| hmac.mac(&[black_box(&data)])));
    group.bench_function(id("aes, then hmac", name, size), |b| {
        b.iter(|| {
            aes.apply(&[3; 16], black_box(&mut data));
            hmac.mac(&[&data])
        });
    });
    if name == "aws-lc" {
        // RustCrypto has no second lane.
        let other = data.clone();
        group.throughput(Throughput::Bytes(2 * size as u64));
        group.bench_function(id("hmac-sha256", "two lanes", size), |b| {
            b.iter(|| hmac.mac_pair([&[0; 8], &[1; 8]], [black_box(&data), black_box(&other)]));
        });
        group.throughput(Throughput::Bytes(size as u64));
    }
}

fn ring(group: &mut Group<'_>, size: usize) {
    let data = vec![0x5A; size];
    let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, &[2; 32]);
    group.bench_function(id("hmac-sha256", "ring", size), |b| {
        b.iter(|| ring::hmac::sign(&key, black_box(&data)));
    });
}

/// Records.
fn whole(group: &mut Group<'_>, provider: &'static dyn Provider, size: usize, records: usize) {
    let content = vec![0x5A; records * size];
    let secret = || Secret::new([4; 32]);
    let mut out = Vec::with_capacity(records * (size + 64));
    group.bench_function(id("seal", provider.name(), size), |b| {
        let mut sealer = Sealer::new(provider, secret()).with_record_size(size);
        b.iter(|| {
            out.clear();
            sealer.seal(black_box(&content), &mut out).expect("an open direction");
        });
    });
    group.bench_function(id("open", provider.name(), size), |b| {
        // Records open in their order and once, so each run is sealed for itself, outside of what is measured.
        let mut sealer = Sealer::new(provider, secret()).with_record_size(size);
        let mut opener = Opener::new(provider, secret());
        b.iter_custom(|runs| {
            let mut spent = Duration::ZERO;
            for _ in 0..runs {
                out.clear();
                sealer.seal(&content, &mut out).expect("an open direction");
                let began = Instant::now();
                opener.push(&out);
                while opener.next().expect("a good record").is_some() {}
                spent += began.elapsed();
            }
            spent
        });
    });
}

criterion_group! { name = benches; config = criterion(); targets = record }
criterion_main!(benches);
