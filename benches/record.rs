//! Sealing and opening records, beside AES and HMAC alone.

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use meshproof_benches::providers;
use meshproof_proto::crypto::Secret;
use meshproof_proto::record::{Opener, Sealer};
use std::hint::black_box;

/// Records in one run.
const RUN: usize = 16;

fn record(c: &mut Criterion) {
    for provider in providers() {
        let mut group = c.benchmark_group(format!("record/{}", provider.name()));
        for size in [64_usize, 1_024, 16_384, 65_535] {
            group.throughput(Throughput::Bytes(size as u64));
            let mut data = vec![0x5A; size];
            let (aes, hmac) = (provider.ctr_key(&[1; 16]), provider.mac_key(&[2; 32]));
            group.bench_function(BenchmarkId::new("aes-128-ctr alone", size), |b| {
                b.iter(|| aes.apply(&[3; 16], black_box(&mut data)));
            });
            group.bench_function(BenchmarkId::new("hmac-sha256 alone", size), |b| {
                b.iter(|| hmac.mac(&[black_box(&data)]));
            });
            // Sixteen records at a time, as a transfer has them.
            let content = vec![0x5A; RUN * size];
            group.throughput(Throughput::Bytes((RUN * size) as u64));
            group.bench_function(BenchmarkId::new("seal", size), |b| {
                let mut sealer = Sealer::new(provider, Secret::new([4; 32])).with_record_size(size);
                let mut out = Vec::with_capacity(RUN * (size + 64));
                b.iter(|| {
                    out.clear();
                    sealer.seal(black_box(&content), &mut out).expect("an open direction");
                });
            });
            group.bench_function(BenchmarkId::new("seal and open", size), |b| {
                let mut sealer = Sealer::new(provider, Secret::new([4; 32])).with_record_size(size);
                let mut opener = Opener::new(provider, Secret::new([4; 32]));
                let mut out = Vec::with_capacity(RUN * (size + 64));
                b.iter(|| {
                    out.clear();
                    sealer.seal(black_box(&content), &mut out).expect("an open direction");
                    opener.push(&out);
                    while opener.next().expect("a good record").is_some() {}
                });
            });
        }
        group.finish();
    }
}

criterion_group!(benches, record);
criterion_main!(benches);
