//! M1 from an initiator who has a key, seals what it likes, and may have a ticket for it: the reference and the kit's
//! oracle have to answer with the same frame, for the same reason.

use std::sync::{Arc, LazyLock};

use meshproof_kit::fuzz::{Draw, change_m1, change_ticket};
use meshproof_kit::oracle::crypto::public_key_from_spki;
use meshproof_kit::oracle::handshake::{Answer as Wanted, HYBRID, M1Fields, Responder, SUITE, X25519};
use meshproof_kit::oracle::ticket::Issuer;
use meshproof_kit::target::fixture::PeerFixture;
use meshproof_kit::vectors::fixtures::{self, ISSUER_A, ISSUER_EVIL, KEY_Y};
use meshproof_proto::codec::Id;
use meshproof_proto::crypto::{DEFAULT, Spki};
use meshproof_proto::handshake::frame::{Frame, FrameType};
use meshproof_proto::handshake::{Answer, AwaitM1, Device, Suite, Suites};
use meshproof_proto::ticket::{Verifier, device_audience};
use meshproof_proto::time::UnixTime;

use crate::world::Counter;

/// The rendezvous token that the relayed responder expects.
const TOKEN: [u8; 16] = [0x52; 16];

struct World {
    device: Arc<Device>,
    verifier: Arc<Verifier>,
}

static WORLD: LazyLock<World> = LazyLock::new(|| {
    let id = Id(PeerFixture::DEVICE_Y);
    let device = Device::load(DEFAULT, id, &KEY_Y.pkcs8(), &mut Counter(1)).expect("a test key");
    let suites = [HYBRID, X25519, SUITE].into_iter().filter_map(Suite::from_number).collect::<Vec<_>>();
    let mut verifier = Verifier::new(DEFAULT, device_audience(id));
    let key = Spki::parse(&ISSUER_A.spki()).expect("a test key");
    verifier.trust(PeerFixture::ISSUER, &[key]).expect("a test key");
    World { device: Arc::new(device.with_suites(Suites::only(&suites))), verifier: Arc::new(verifier) }
});

/// Whether it was answered with M2.
pub fn handshake_m1(data: &[u8]) -> bool {
    let mut draw = Draw(data);
    let relayed = draw.one_in(4);
    let m1 = write(&mut draw, relayed);

    let oracle = Responder {
        key: KEY_Y.private.clone(),
        device: fixtures::DEVICE_Y.to_owned(),
        issuers: vec![Issuer {
            name: PeerFixture::ISSUER.to_owned(),
            keys: vec![public_key_from_spki(&ISSUER_A.spki()).expect("a test key")],
        }],
        now: fixtures::NOW,
        suites: vec![SUITE, X25519, HYBRID],
        rdv_token: relayed.then(|| TOKEN.to_vec()),
        cookies: Vec::new(),
    };
    let mut bytes = m1.clone();
    let frame = match Frame::take(&mut bytes, &[FrameType::M1]) {
        // More could come, or has come: the oracle is given one whole frame.
        Ok(None) => return false,
        Ok(Some(_)) if !bytes.is_empty() => return false,
        Ok(Some(frame)) => Ok(frame),
        Err(error) => Err(error),
    };
    let ours =
        frame.map_err(|error| (error.requirement().map(|rule| rule.id), Vec::new())).and_then(|frame| {
            let start = AwaitM1::new(WORLD.device.clone(), WORLD.verifier.clone());
            let start = if relayed { start.relayed(TOKEN) } else { start };
            match start.handle(&frame, UnixTime(fixtures::NOW), &mut Counter(7)) {
                Ok(Answer::M2(next, _)) => Ok((next.suite().number(), next.claimed_initiator().to_string())),
                Ok(Answer::Retry(..)) => panic!("HSK-050: a cookie is asked for without a guard"),
                Err(failure) => {
                    Err((failure.error.requirement().map(|rule| rule.id), failure.answer.unwrap_or_default()))
                }
            }
        });
    let theirs = match oracle.read_m1(&m1) {
        Ok(Wanted::M2 { pair, suite, .. }) => Ok((suite, pair.initiator)),
        Ok(_) => panic!("the oracle answers a good M1 with something else than M2"),
        Err(failure) => {
            let answer = match failure.answer {
                Wanted::Refuse { frame, .. } => frame,
                Wanted::NoCommonSuite => vec![6, 0, 0, 0],
                _ => Vec::new(),
            };
            Err((Some(failure.rejection.requirement), answer))
        }
    };
    assert_eq!(ours, theirs, "the reference says the left of this M1");
    ours.is_ok()
}

fn write(draw: &mut Draw<'_>, relayed: bool) -> Vec<u8> {
    let fixture = PeerFixture::get();
    let mut ticket = fixture.pair_ticket([9; 16], fixtures::NOW);
    for _ in 0..draw.below(3) {
        change_ticket(draw, &mut ticket, fixtures::NOW);
    }
    let issuer = if draw.one_in(16) { &ISSUER_EVIL } else { &ISSUER_A };
    let responder = fixture.key_y.to_public_key();
    let mut fields = M1Fields::new(&responder, [3; 32], [4; 32], &[5; 32]);
    fields.time = fixtures::NOW;
    fields.spki_i = fixture.spki_x();
    fields.ticket = ticket.issue(&issuer.private).into_bytes();
    if relayed {
        fields.rdv_token = TOKEN;
    }
    for _ in 0..draw.below(3) {
        change_m1(draw, &mut fields, &responder, fixtures::NOW);
    }
    fields.build().frame
}
