//! A whole mutual handshake, the work of both sides, beside the two RSA private operations that it contains and beside
//! mutual TLS 1.3 with certificates of the same size.

use criterion::{Criterion, criterion_group, criterion_main};
use meshproof_benches::tls::{EXCHANGES, Tls};
use meshproof_benches::{Counter, World, criterion, pkcs8, providers};
use meshproof_proto::handshake::{Suite, Suites};

fn handshake(c: &mut Criterion) {
    let mut group = c.benchmark_group("handshake");
    for provider in providers() {
        let name = provider.name();
        let key =
            provider.private_key(&pkcs8(include_str!("../vectors/keys/device-x.pem"))).expect("a test key");
        let public = provider.public_key(key.spki()).expect("a test key");
        let ciphertext = public.encrypt(b"label", &[7; 32], &mut Counter(4));
        group.bench_function(format!("two rsa-2048 decryptions by {name}"), |b| {
            let decrypt = || key.decrypt(b"label", &ciphertext, &mut Counter(5)).expect("a good ciphertext");
            b.iter(|| (decrypt(), decrypt()));
        });
        for suite in Suite::ALL {
            let world = World::with_suites(provider, &Suites::only(&[suite]));
            group.bench_function(format!("mutual {:#06x} by {name}", suite.number()), |b| {
                b.iter(|| world.handshake());
            });
        }
        // Beside those of the same provider.
        if name == "aws-lc" {
            for (exchange, exchange_group) in EXCHANGES {
                let tls = Tls::new(exchange_group);
                group.bench_function(format!("mutual tls 1.3, {exchange} by rustls"), |b| {
                    b.iter(|| tls.handshake());
                });
            }
        }
    }
    group.finish();
}

criterion_group! { name = benches; config = criterion(); targets = handshake }
criterion_main!(benches);
