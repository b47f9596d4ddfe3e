//! Passes, and what a JOIN costs a relay beside the HMACs in it. How fast bytes are forwarded: `relay_vs_peers.py`.

use criterion::{Criterion, criterion_group, criterion_main};
use meshproof_benches::{NOW, criterion, providers};
use meshproof_proto::crypto::Secret;
use meshproof_proto::relay::{Account, ConnectionId, Limits, Pass, RelayKey, Side, Switchboard};
use std::hint::black_box;

const ADDRESS: &str = "relay.example:8444";

fn relay(c: &mut Criterion) {
    let mut group = c.benchmark_group("relay");
    for provider in providers() {
        let name = provider.name();
        let key = RelayKey::new(Secret::new([1; 32]));
        let pass = |circuit: u64, side| {
            let mut id = [0; 16];
            id[..8].copy_from_slice(&circuit.to_be_bytes());
            Pass { circuit: id, side, expires: NOW.plus(60), account: Account(id) }
        };
        group.bench_function(format!("hmac-sha256 of 64 bytes by {name}"), |b| {
            b.iter(|| provider.mac_key(black_box(&[2; 32])).mac(&[&[3; 64]]));
        });
        group.bench_function(format!("seal a pass by {name}"), |b| {
            b.iter(|| key.seal(provider, ADDRESS, black_box(&pass(1, Side::Caller))));
        });
        group.bench_function(format!("join and leave by {name}"), |b| {
            // Beside 10,000 others.
            let limits =
                Limits { connections: usize::MAX, account_connections: 64, quota: u64::MAX, rate: 0 };
            let mut board = Switchboard::new(provider, vec![key.clone()], ADDRESS.to_owned(), limits);
            for circuit in 0..10_000 {
                let sealed = key.seal(provider, ADDRESS, &pass(circuit, Side::Caller));
                board.join(NOW, ConnectionId(circuit), &sealed).expect("a good pass");
            }
            let mut next = 10_000;
            b.iter_batched(
                || {
                    next += 1;
                    (next, key.seal(provider, ADDRESS, &pass(next, Side::Caller)))
                },
                |(id, sealed)| {
                    board.join(NOW, ConnectionId(id), black_box(&sealed)).expect("a good pass");
                    board.leave(ConnectionId(id));
                },
                criterion::BatchSize::SmallInput,
            );
        });
    }
    group.finish();
}

criterion_group! { name = benches; config = criterion(); targets = relay }
criterion_main!(benches);
