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

const ISSUER: &str = "urn:meshproof:test";

impl World {
    /// A new ticket for the same two, from now on.
    pub(crate) fn renewed(&self, now: UnixTime) -> (Vec<u8>, Vouched) {
        let ticket = pair_ticket(self.initiator.spki(), self.responder.spki(), now);
        let target = Target { ticket: ticket.clone(), ..self.target.clone() };
        let vouched = target.verify(&self.initiator, &self.verifier, now).unwrap();
        (ticket, vouched)
    }
}

fn issuer() -> ticket::Issuer {
    ticket::Issuer::new(DEFAULT, DEFAULT.private_key(&pkcs8(ISSUER_A)).unwrap())
}

fn pair_ticket(initiator: &Spki, responder: &Spki, now: UnixTime) -> Vec<u8> {
    let attributes = Attributes {
        keys: alloc::vec![KeyBinding { device: Y, fingerprint: responder.fingerprint(DEFAULT) }],
        claims: [X, Y].map(|device| Claim { device, user: USER }).to_vec(),
        mappings: Vec::new(),
    };
    let ticket = Ticket {
        id: Id([9; 16]),
        issue_instant: now,
        issuer: ISSUER.to_string(),
        subject: Subject::Device(X),
        confirmation: Some(initiator.clone()),
        not_before: now,
        not_on_or_after: now.plus(600),
        audience: ticket::device_audience(Y),
        authn: None,
        authz: Vec::new(),
        attributes,
    };
    issuer().issue(&ticket).unwrap()
}

pub(crate) fn world(left: &'static dyn Provider, right: &'static dyn Provider) -> World {
    let entropy = &mut Script::new(7);
    let initiator = Device::load(left, X, &pkcs8(DEVICE_X), entropy).unwrap();
    let responder = Device::load(right, Y, &pkcs8(DEVICE_Y), entropy).unwrap();
    let mut verifier = Verifier::new(right, ticket::device_audience(Y));
    verifier.trust(ISSUER, &[issuer().key().spki().clone()]).unwrap();
    let ticket = pair_ticket(initiator.spki(), responder.spki(), NOW);
    let target = Target::new(Y, responder.spki().clone(), ticket);
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

fn awaiting(world: &World) -> AwaitM1 {
    AwaitM1::new(world.responder.clone(), world.verifier.clone())
}

fn respond_with(start: AwaitM1, m1: &Frame, now: UnixTime) -> Result<(Box<AwaitM3>, Vec<u8>), Failure> {
    match start.handle(m1, now, &mut Script::new(12))? {
        Answer::M2(next, m2) => Ok((next, m2)),
        Answer::Retry(..) => panic!("nobody asked for a cookie"),
    }
}

fn respond(world: &World, m1: &Frame, now: UnixTime) -> Result<(Box<AwaitM3>, Vec<u8>), Failure> {
    respond_with(awaiting(world), m1, now)
}

fn hear(state: AwaitM2, m2: Vec<u8>) -> Result<(Box<Established>, Vec<u8>), Failure> {
    match state.handle(&frame(m2, AwaitM2::AWAITS))? {
        Heard::Established(established, m3) => Ok((established, m3)),
        Heard::Retry(..) => panic!("nobody asked for a cookie"),
    }
}

#[test]
fn both_sides_agree() {
    for left in [DEFAULT, RUSTCRYPTO] {
        for right in [DEFAULT, RUSTCRYPTO] {
            let world = world(left, right);
            let (await_m2, m1) = m1(&world, NOW);
            let (await_m3, m2) = respond(&world, &m1, NOW).unwrap();
            let (mine, m3) = hear(await_m2, m2).unwrap();
            let admission = await_m3.handle(&frame(m3, AwaitM3::AWAITS)).unwrap();
            let theirs = admission.established;
            assert_eq!((mine.suite, theirs.suite), (Suite::Hybrid, Suite::Hybrid));
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
    let failure = hear(await_m2, other_m2).err().unwrap();
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

/// Both ends with these suites; the suite they agree on.
fn agree(left: Suites, right: Suites, floor: Suite) -> Result<Suite, Failure> {
    let World { initiator, responder, verifier, mut target } = world(DEFAULT, RUSTCRYPTO);
    let initiator = Arc::new(Arc::into_inner(initiator).unwrap().with_suites(left));
    let responder = Arc::new(Arc::into_inner(responder).unwrap().with_suites(right));
    target.floor = floor;
    let (await_m2, m1) = start(initiator, &target, NOW, &mut Script::new(11))?;
    let m1 = frame(m1, AwaitM1::AWAITS);
    let (await_m3, m2) = respond_with(AwaitM1::new(responder, verifier), &m1, NOW)?;
    let (mine, m3) = hear(await_m2, m2)?;
    let theirs = await_m3.handle(&frame(m3, AwaitM3::AWAITS))?.established;
    assert_eq!((mine.suite, mine.transcript), (theirs.suite, theirs.transcript));
    Ok(mine.suite)
}

#[test]
fn the_strongest_common_suite_is_chosen() {
    let all = Suites::default();
    for suite in Suite::ALL {
        assert_eq!(agree(all.clone(), Suites::only(&[suite]), Suite::Baseline).unwrap(), suite);
        assert_eq!(agree(Suites::only(&[suite]), all.clone(), Suite::Baseline).unwrap(), suite);
    }
    assert_eq!(agree(all.clone(), all.clone(), Suite::Baseline).unwrap(), Suite::Hybrid);
    let none = agree(Suites::only(&[Suite::X25519]), Suites::only(&[Suite::Baseline]), Suite::Baseline);
    assert!(none.unwrap_err().error.is(req::HSK_015));
    let below = agree(all.clone(), Suites::only(&[Suite::Baseline]), Suite::X25519);
    assert!(below.unwrap_err().error.is(req::HSK_015), "HSK-046: nothing below the floor is offered");
    assert!(agree(Suites::only(&[Suite::Baseline]), all, Suite::X25519).is_err());
}

struct Remembers(Suite);

impl SuiteMemory for Remembers {
    fn strongest(&self, _: Id) -> Option<Suite> {
        Some(self.0)
    }
}

#[test]
fn a_responder_remembers_a_stronger_suite() {
    let world = world(DEFAULT, DEFAULT);
    let weak = Device::load(DEFAULT, X, &pkcs8(DEVICE_X), &mut Script::new(7)).unwrap();
    let weak = Arc::new(weak.with_suites(Suites::only(&[Suite::X25519])));
    let m1 =
        || frame(start(weak.clone(), &world.target, NOW, &mut Script::new(11)).unwrap().1, AwaitM1::AWAITS);
    let after = |suite| awaiting(&world).remembering(Arc::new(Remembers(suite)));
    assert!(respond_with(after(Suite::X25519), &m1(), NOW).is_ok());
    let failure = respond_with(after(Suite::Hybrid), &m1(), NOW).err().unwrap();
    assert!(failure.error.is(req::HSK_045) && failure.refused == Some(Refusal::NotAuthorised));
}

struct Locked(std::sync::Mutex<guard::Guard>);

impl guard::SharedGuard for Locked {
    fn locked(&self, with: &mut dyn FnMut(&mut guard::Guard)) {
        with(&mut self.0.lock().unwrap());
    }
}

/// An M1 that passes `mac1` and that nobody can open.
fn forged(world: &World, m1: &Frame) -> Frame {
    let mut bytes = m1.bytes.clone();
    let length = bytes.len() - messages::MAC1;
    bytes[length - 1] ^= 1;
    let mac1 = messages::mac1(DEFAULT, world.responder.spki(), &bytes[..length]);
    bytes[length..].copy_from_slice(&mac1);
    Frame { kind: m1.kind, bytes }
}

#[test]
fn under_load_a_cookie_comes_first_and_a_replay_goes_nowhere() {
    let world = world(DEFAULT, RUSTCRYPTO);
    let small = guard::Allowance { per_source: 1, per_source_rate: 0, all: 4, all_rate: 0 };
    let guard = Arc::new(Locked(guard::Guard::new(DEFAULT, small, &mut Script::new(3)).into()));
    let from = |source: u8| awaiting(&world).behind(guard.clone(), alloc::vec![source]);
    let (await_m2, first) = m1(&world, NOW);
    let forged = forged(&world, &first);
    for source in 0..3 {
        assert!(respond_with(from(source), &forged, NOW).err().unwrap().error.is(req::HSK_018));
    }
    assert!(matches!(from(0).handle(&forged, NOW, &mut Script::new(12)), Ok(Answer::Retry(..))));

    let Ok(Answer::Retry(await_m1, retry)) = from(9).handle(&first, NOW, &mut Script::new(12)) else {
        panic!("three of four are gone: a cookie comes first")
    };
    let Ok(Heard::Retry(await_m2, second)) = await_m2.handle(&frame(retry.clone(), AwaitM2::AWAITS)) else {
        panic!("the first RETRY is answered")
    };
    let second = frame(second, AwaitM1::AWAITS);
    assert!(respond_with(from(8), &second, NOW).err().unwrap().error.is(req::HSK_050), "another source");
    assert!(respond(&world, &second, NOW).err().unwrap().error.is(req::HSK_050), "who gave out none");
    let (await_m3, m2) = respond_with(await_m1, &second, NOW).unwrap();
    let replayed = respond_with(from(9), &second, NOW).err().unwrap();
    assert!(replayed.error.is(req::HSK_051));
    let (mine, m3) = hear(*await_m2, m2).unwrap();
    let theirs = await_m3.handle(&frame(m3, AwaitM3::AWAITS)).unwrap().established;
    assert_eq!(mine.transcript, theirs.transcript);
    assert_eq!(theirs.suite, Suite::Hybrid);
}

#[test]
fn a_second_retry_is_the_end() {
    let world = world(DEFAULT, DEFAULT);
    let (await_m2, _) = m1(&world, NOW);
    let retry = || frame(messages::write_retry(&[5; 40]), AwaitM2::AWAITS);
    let Ok(Heard::Retry(await_m2, _)) = await_m2.handle(&retry()) else { panic!("the first is answered") };
    assert!(await_m2.handle(&retry()).err().unwrap().error.is(req::HSK_048));
}

#[test]
fn a_relayed_connection_is_for_one_token() {
    let World { initiator, responder, verifier, mut target } = world(DEFAULT, DEFAULT);
    target.rdv_token = [6; 16];
    let m1 = start(initiator, &target, NOW, &mut Script::new(11)).unwrap().1;
    let m1 = frame(m1, AwaitM1::AWAITS);
    let relayed = |token| AwaitM1::new(responder.clone(), verifier.clone()).relayed(token);
    assert!(respond_with(relayed([6; 16]), &m1, NOW).is_ok());
    assert!(respond_with(relayed([7; 16]), &m1, NOW).err().unwrap().error.is(req::HSK_053));
}
