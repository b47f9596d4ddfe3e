//! A whole mutual handshake, the work of both sides, beside the two RSA private operations that it contains, beside all
//! operations with private and public keys that its suite asks for, and beside mutual TLS 1.3 with certificates of the same size.

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use meshproof_benches::tls::{EXCHANGES, Tls};
use meshproof_benches::{Counter, World, criterion, pkcs8, providers};
use meshproof_proto::crypto::{PrivateKey, Provider, PublicKey, Secret};
use meshproof_proto::handshake::{Suite, Suites};

fn handshake(c: &mut Criterion) {
    let mut group = c.benchmark_group("handshake");
    for provider in providers() {
        let name = provider.name();
        let bare = Bare::new(provider);
        group.bench_function(format!("two rsa-2048 decryptions by {name}"), |b| {
            b.iter(|| (bare.decrypt(), bare.decrypt()));
        });
        for suite in Suite::ALL {
            let world = World::with_suites(provider, &Suites::only(&[suite]));
            group.bench_function(format!("mutual {:#06x} by {name}", suite.number()), |b| {
                b.iter(|| world.handshake());
            });
            group.bench_function(
                format!("public-key operations of {:#06x} by {name}", suite.number()),
                |b| {
                    b.iter(|| bare.operations(suite));
                },
            );
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

/// What a handshake cannot do without, with keys that are loaded.
struct Bare {
    provider: &'static dyn Provider,
    private: Box<dyn PrivateKey>,
    public: Box<dyn PublicKey>,
    ciphertext: Vec<u8>,
    signature: Vec<u8>,
}

impl Bare {
    fn new(provider: &'static dyn Provider) -> Self {
        let pem = include_str!("../vectors/keys/device-x.pem");
        let private = provider.private_key(&pkcs8(pem)).expect("a test key");
        let public = provider.public_key(private.spki()).expect("a test key");
        let ciphertext = public.encrypt(b"label", &[7; 32], &mut Counter(4));
        let signature = private.sign(b"message");
        Self { provider, private, public, ciphertext, signature }
    }

    fn decrypt(&self) {
        let plaintext = self.private.decrypt(b"label", black_box(&self.ciphertext), &mut Counter(5));
        assert!(black_box(plaintext).is_some());
    }

    /// Each side decrypts and encrypts once, and the ticket is verified. From 0x0201 on each makes an X25519 key and agrees with
    /// the other's; in 0x0301 there is one ML-KEM key pair, one encapsulation and one decapsulation.
    fn operations(&self, suite: Suite) {
        for side in [1, 2] {
            self.decrypt();
            black_box(self.public.encrypt(b"label", &[7; 32], &mut Counter(4)));
            if suite >= Suite::X25519 {
                let key = self.provider.x25519_key(black_box(&Secret::new([side; 32])));
                assert!(black_box(key.agree(black_box(&key.public()))).is_some());
            }
        }
        assert!(self.public.verify(black_box(b"message"), &self.signature));
        if suite >= Suite::Hybrid {
            let key = self.provider.kem_key(&mut Counter(6));
            let encapsulated = self.provider.kem_encapsulate(&key.encapsulation_key(), &mut Counter(7));
            let (ciphertext, _) = encapsulated.expect("a good key");
            black_box(key.decapsulate(&ciphertext));
        }
    }
}

criterion_group! { name = benches; config = criterion(); targets = handshake }
criterion_main!(benches);
