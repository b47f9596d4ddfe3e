//! M1 from an initiator who has a key, seals what it likes, and may have a ticket for it: the reference and the kit's
//! oracle have to answer with the same frame, for the same reason.

use std::sync::{Arc, LazyLock};

use meshproof_kit::oracle::crypto::{oaep_encrypt, public_key_from_spki, spki};
use meshproof_kit::oracle::handshake::{
    Answer as Wanted, Ephemeral, HYBRID, LABEL_I, LABEL_R, M1Fields, Responder, SUITE, X25519,
};
use meshproof_kit::oracle::ticket::Issuer;
use meshproof_kit::target::fixture::PeerFixture;
use meshproof_kit::vectors::fixtures::{self, ISSUER_A, ISSUER_EVIL, KEY_1024, KEY_3072, KEY_X, KEY_Y};
use meshproof_proto::codec::Id;
use meshproof_proto::crypto::{DEFAULT, Spki};
use meshproof_proto::handshake::frame::{Frame, FrameType};
use meshproof_proto::handshake::{Answer, AwaitM1, Device, Suite, Suites};
use meshproof_proto::ticket::{Verifier, device_audience};
use meshproof_proto::time::UnixTime;

use crate::draw::Draw;
use crate::ticket::change;
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
    let ours = frame.map_err(|error| (error.requirement().map(|rule| rule.id), Vec::new())).and_then(|frame| {
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
        change(draw, &mut ticket);
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
    let ephemeral = Ephemeral { x25519: [6; 32], kem: vec![8; 64] };
    for _ in 0..draw.below(3) {
        match draw.below(13) {
            0 => fields.version = u16::from(draw.byte()),
            1 | 2 => {
                let known = [SUITE, X25519, HYBRID, 0x0999, 0];
                fields.suites = (0..draw.below(10)).map(|_| *draw.pick(&known)).collect();
                fields.share = ephemeral.initiator_share(&fields.suites);
            }
            3 => fields.rdv_token = draw.array(),
            4 => fields.cookie = vec![1; *draw.pick(&[0, 1, 39, 40, 41])],
            5 => {
                fields.share = draw.bytes(64).to_vec();
            }
            6 => {
                let label = *draw.pick(&[LABEL_I, LABEL_R]);
                fields.ct_r = oaep_encrypt(&responder, label, draw.bytes(40), &[5; 32]);
            }
            7 => draw.edit(&mut fields.ct_r),
            8 => fields.time = fixtures::NOW - 400 + draw.pick(&[0, 99, 100, 101, 699, 700, 701, 800]),
            9 => {
                let keys = [&KEY_X, &KEY_Y, &KEY_3072, &KEY_1024];
                fields.spki_i = spki(&draw.pick(&keys).private.to_public_key());
                if draw.one_in(4) {
                    draw.edit(&mut fields.spki_i);
                }
            }
            10 => fields.params = draw.bytes(20).to_vec(),
            11 => draw.edit(&mut fields.ticket),
            _ => {
                let bytes = draw.array::<8>();
                let change = Box::new(move |text: &mut Vec<u8>| {
                    Draw(&bytes).edit(text);
                    text.resize(text.len().max(4), 0); // the kit writes the length there
                });
                let forge = &mut fields.forge;
                *match draw.below(7) {
                    0 => &mut forge.fields,
                    1 => &mut forge.plaintext,
                    2 => &mut forge.sealed,
                    3 => &mut forge.before_mac,
                    4 => &mut forge.mac1,
                    5 => &mut forge.after,
                    _ => {
                        forge.trailing = bytes.to_vec();
                        continue;
                    }
                } = Some(change);
            }
        }
    }
    fields.build().frame
}
