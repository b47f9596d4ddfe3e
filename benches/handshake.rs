//! A whole mutual handshake beside the two RSA private operations that it contains.

use criterion::{Criterion, criterion_group, criterion_main};
use meshproof_benches::{Counter, NOW, World, pkcs8, providers};
use meshproof_proto::handshake::frame::Frame;
use meshproof_proto::handshake::{Answer, AwaitM1, AwaitM2, AwaitM3, Heard, Suite, Suites, start};

fn handshake(c: &mut Criterion) {
    for provider in providers() {
        let mut group = c.benchmark_group(format!("handshake/{}", provider.name()));
        let key =
            provider.private_key(&pkcs8(include_str!("../vectors/keys/device-x.pem"))).expect("a test key");
        let public = provider.public_key(key.spki()).expect("a test key");
        let ciphertext = public.encrypt(b"label", &[7; 32], &mut Counter(4));
        group.bench_function("two rsa-2048 private operations", |b| {
            let decrypt = || key.decrypt(b"label", &ciphertext, &mut Counter(5)).expect("a good ciphertext");
            b.iter(|| (decrypt(), decrypt()));
        });
        for suite in Suite::ALL {
            let world = World::with_suites(provider, &Suites::only(&[suite]));
            let name = format!("mutual, suite {:#06x}", suite.number());
            group.bench_function(name, |b| b.iter(|| run(&world)));
        }
        group.finish();
    }
}

fn run(world: &World) {
    let frame =
        |mut bytes, awaited| Frame::take(&mut bytes, awaited).expect("a frame").expect("a whole frame");
    let entropy = &mut Counter(6);
    let (await_m2, m1) = start(world.initiator.clone(), &world.target, NOW, entropy).expect("M1");
    let responder = AwaitM1::new(world.responder.clone(), world.verifier.clone());
    let answer = responder.handle(&frame(m1, AwaitM1::AWAITS), NOW, entropy).expect("M2");
    let Answer::M2(await_m3, m2) = answer else { unreachable!("nobody asks for a cookie") };
    let heard = await_m2.handle(&frame(m2, AwaitM2::AWAITS)).expect("M3");
    let Heard::Established(mine, m3) = heard else { unreachable!("nobody asks for a cookie") };
    let theirs = await_m3.handle(&frame(m3, AwaitM3::AWAITS)).expect("established");
    assert_eq!(mine.transcript, theirs.established.transcript);
}

criterion_group!(benches, handshake);
criterion_main!(benches);
