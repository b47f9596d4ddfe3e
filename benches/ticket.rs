//! Verifying a ticket beside the bare RSA verification that it contains.

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use meshproof_benches::{NOW, World, criterion, pkcs8, providers};
use meshproof_proto::handshake::Suites;
use meshproof_proto::ticket::Presenter;

fn ticket(c: &mut Criterion) {
    let mut group = c.benchmark_group("ticket");
    for provider in providers() {
        let name = provider.name();
        let world = World::with_suites(provider, &Suites::default());
        let key =
            provider.private_key(&pkcs8(include_str!("../vectors/keys/issuer-a.pem"))).expect("a test key");
        let public = provider.public_key(key.spki()).expect("a test key");
        let signature = key.sign(b"message");
        group.bench_function(format!("rsa-2048 verify by {name}"), |b| {
            b.iter(|| assert!(public.verify(black_box(b"message"), &signature)));
        });
        group.bench_function(format!("verify a ticket by {name}"), |b| {
            let verify =
                || world.verifier.verify(black_box(&world.target.ticket), NOW, Presenter::CheckedByCaller);
            b.iter(|| verify().expect("a good ticket"));
        });
    }
    group.finish();
}

criterion_group! { name = benches; config = criterion(); targets = ticket }
criterion_main!(benches);
