//! Both roles against each other, over every pair of providers. Rules one by one are tested by `vectors/handshake/`.

use alloc::string::ToString;
use alloc::sync::Arc;
use alloc::vec::Vec;

use super::frame::Frame;
use super::*;
use crate::crypto::{DEFAULT, RUSTCRYPTO};
use crate::requirement as req;
use crate::test_keys::{DEVICE_X, DEVICE_Y, ISSUER_A, Script, pkcs8};
use crate::ticket::{self, Attributes, Claim, KeyBinding, Subject, Ticket, Verifier};
use crate::time::UnixTime;

pub(crate) const NOW: UnixTime = UnixTime(1_211_000_000);
const X: Id = Id([2; 16]);
const Y: Id = Id([3; 16]);
const USER: Id = Id([1; 16]);

pub(crate) struct World {
    pub(crate) initiator: Arc<Device>,
    pub(crate) responder: Arc<Device>,
    pub(crate) verifier: Arc<Verifier>,
    pub(crate) target: Target,
}

pub(crate) fn world(left: &'static dyn Provider, right: &'static dyn Provider) -> World {
    let entropy = &mut Script::new(7);
    let initiator = Device::load(left, X, &pkcs8(DEVICE_X), entropy).unwrap();
    let responder = Device::load(right, Y, &pkcs8(DEVICE_Y), entropy).unwrap();
    let issuer = ticket::Issuer::new(DEFAULT, DEFAULT.private_key(&pkcs8(ISSUER_A)).unwrap());
    let mut verifier = Verifier::new(right, ticket::device_audience(Y));
    verifier.trust("urn:meshproof:test", &[issuer.key().spki().clone()]).unwrap();
    let ticket = issuer
        .issue(&Ticket {
            id: Id([9; 16]),
            issue_instant: NOW,
            issuer: "urn:meshproof:test".to_string(),
            subject: Subject::Device(X),
            confirmation: Some(initiator.spki().clone()),
            not_before: NOW,
            not_on_or_after: NOW.plus(600),
            audience: ticket::device_audience(Y),
            authn: None,
            authz: Vec::new(),
            attributes: Attributes {
                keys: alloc::vec![KeyBinding {
                    device: Y,
                    fingerprint: responder.spki().fingerprint(DEFAULT)
                }],
                claims: [X, Y].map(|device| Claim { device, user: USER }).to_vec(),
                mappings: Vec::new(),
            },
        })
        .unwrap();
    let target = Target { device: Y, key: responder.spki().clone(), ticket };
    World {
        initiator: Arc::new(initiator),
        responder: Arc::new(responder),
        verifier: Arc::new(verifier),
        target,
    }
}

fn frame(mut bytes: Vec<u8>, awaited: &[frame::FrameType]) -> Frame {
    Frame::take(&mut bytes, awaited).unwrap().unwrap()
}

fn m1(world: &World, now: UnixTime) -> (AwaitM2, Frame) {
    let (state, bytes) = start(world.initiator.clone(), &world.target, now, &mut Script::new(11)).unwrap();
    (state, frame(bytes, AwaitM1::AWAITS))
}

fn respond(world: &World, m1: &Frame, now: UnixTime) -> Result<(AwaitM3, Vec<u8>), Failure> {
    AwaitM1::new(world.responder.clone(), world.verifier.clone()).handle(m1, now, &mut Script::new(12))
}

#[test]
fn both_sides_agree() {
    for left in [DEFAULT, RUSTCRYPTO] {
        for right in [DEFAULT, RUSTCRYPTO] {
            let world = world(left, right);
            let (await_m2, m1) = m1(&world, NOW);
            let (await_m3, m2) = respond(&world, &m1, NOW).unwrap();
            let (mine, m3) = await_m2.handle(&frame(m2, AwaitM2::AWAITS)).unwrap();
            let admission = await_m3.handle(&frame(m3, AwaitM3::AWAITS)).unwrap();
            let theirs = admission.established;
            assert_eq!(mine.transcript, theirs.transcript);
            assert_eq!(mine.traffic.initiator, theirs.traffic.initiator);
            assert_eq!(mine.traffic.responder, theirs.traffic.responder);
            assert_ne!(mine.traffic.initiator, mine.traffic.responder);
            assert_eq!((theirs.initiator, theirs.responder), (X, Y));
            assert_eq!(admission.grounds.user, Some(USER));
            assert_eq!(admission.ends, NOW.plus(600));
        }
    }
}

#[test]
fn an_expired_ticket_is_refused_and_the_initiator_learns_it() {
    let world = world(DEFAULT, DEFAULT);
    let late = NOW.plus(600);
    let (await_m2, m1) = m1(&world, late);
    let failure = respond(&world, &m1, late).err().unwrap();
    assert!(failure.error.is(req::HSK_022));
    let answer = frame(failure.answer.unwrap(), AwaitM2::AWAITS);
    let failure = await_m2.handle(&answer).err().unwrap();
    assert_eq!(failure.refused, Some(Refusal::TicketExpired));
}

#[test]
fn every_changed_byte_of_every_message_fails() {
    let world = world(DEFAULT, DEFAULT);
    let (_, good_m1) = m1(&world, NOW);
    for at in 0..good_m1.bytes.len() {
        let mut bytes = good_m1.bytes.clone();
        bytes[at] ^= 1;
        // A frame of another type or length is not even complete.
        if let Ok(Some(changed)) = Frame::take(&mut bytes, AwaitM1::AWAITS) {
            let failure = respond(&world, &changed, NOW).err();
            assert!(failure.is_some_and(|f| f.answer.is_none()), "M1 byte {at}: silence");
        }
    }
    let (_, good_m2) = respond(&world, &good_m1, NOW).unwrap();
    for at in frame::HEADER..good_m2.len() {
        let (await_m2, _) = start(world.initiator.clone(), &world.target, NOW, &mut Script::new(11)).unwrap();
        let mut bytes = good_m2.clone();
        bytes[at] ^= 1;
        let changed = frame(bytes, AwaitM2::AWAITS);
        assert!(await_m2.handle(&changed).is_err(), "M2 byte {at}");
    }
}

#[test]
fn a_message_of_another_handshake_does_not_fit() {
    let world = world(DEFAULT, DEFAULT);
    let (_, m1) = m1(&world, NOW);
    let (_, other_m2) = respond(&world, &m1, NOW).unwrap();
    let (await_m2, _) = start(world.initiator.clone(), &world.target, NOW, &mut Script::new(99)).unwrap();
    let failure = await_m2.handle(&frame(other_m2, AwaitM2::AWAITS)).err().unwrap();
    assert!(failure.error.is(req::HSK_032));
}

#[test]
fn an_initiator_believes_only_a_ticket_of_its_own_for_this_responder() {
    let World { initiator, responder, verifier, target } = world(DEFAULT, DEFAULT);
    let verify =
        |target: &Target, device: &Device| target.verify(device, &verifier, NOW).map(|v| v.grounds.user);
    assert_eq!(verify(&target, &initiator), Ok(Some(USER)));
    let other_key = Target { key: initiator.spki().clone(), ..target.clone() };
    assert!(verify(&other_key, &initiator).unwrap_err().is(req::TKT_033));
    assert!(verify(&target, &responder).unwrap_err().is(req::TKT_025));
    let entropy = &mut Script::new(1);
    let renamed = Device::load(DEFAULT, Id([9; 16]), &pkcs8(DEVICE_X), entropy).unwrap();
    assert!(verify(&target, &renamed).unwrap_err().is(req::HSK_039));
}
