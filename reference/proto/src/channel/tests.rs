//! Two ends of a channel, without sockets.

use super::*;
use crate::crypto::{DEFAULT, RUSTCRYPTO};
use crate::handshake::tests::{NOW, world};
use crate::test_keys::Script;

fn pair() -> [Channel; 2] {
    let world = world(DEFAULT, RUSTCRYPTO);
    let vouched = world.target.verify(&world.initiator, &world.verifier, NOW).unwrap();
    let (one, two) = (Box::new(Script::new(1)), Box::new(Script::new(2)));
    [
        Channel::initiate(world.initiator, &world.target, vouched, NOW, one).unwrap(),
        Channel::accept(AwaitM1::new(world.responder, world.verifier), NOW, two),
    ]
}

/// What comes out of one end: bytes and events.
fn drain(channel: &mut Channel) -> (Vec<u8>, Vec<Event>) {
    let (mut bytes, mut events) = (Vec::new(), Vec::new());
    loop {
        match channel.poll_output() {
            Output::Transmit(more) => bytes.extend(more),
            Output::Event(event) => events.push(event),
            Output::Wait(_) | Output::Close => return (bytes, events),
        }
    }
}

/// Carries bytes to and fro until nothing moves; the events of both ends.
fn settle(ends: &mut [Channel; 2], now: UnixTime) -> [Vec<Event>; 2] {
    let mut events = [Vec::new(), Vec::new()];
    loop {
        let mut moved = false;
        for end in 0..2 {
            let (bytes, more) = drain(&mut ends[end]);
            events[end].extend(more);
            if !bytes.is_empty() {
                ends[1 - end].handle_input(now, &bytes);
                moved = true;
            }
        }
        if !moved {
            return events;
        }
    }
}

fn failed_with(events: &[Event], requirement: req::Requirement) -> bool {
    matches!(events.last(), Some(Event::Failed(failure)) if failure.error.is(requirement))
}

#[test]
fn data_goes_both_ways_and_ends_are_told_apart() {
    let mut ends = pair();
    let [left, right] = settle(&mut ends, NOW);
    assert!(matches!((&left[..], &right[..]), ([Event::Established(_)], [Event::Established(_)])));
    ends[0].send(b"to the responder").unwrap();
    ends[1].send(b"to the initiator").unwrap();
    ends[0].close();
    let [left, right] = settle(&mut ends, NOW);
    assert!(matches!(&left[..], [Event::Data(data)] if data == b"to the initiator"));
    assert!(matches!(&right[..], [Event::Data(data), Event::PeerClosed] if data == b"to the responder"));
    ends[1].handle_fin(); // after close_notify: no truncation, and our direction goes on
    ends[1].send(b"still here").unwrap();
    let [left, right] = settle(&mut ends, NOW);
    assert!(right.is_empty() && matches!(&left[..], [Event::Data(data)] if data == b"still here"));
    ends[0].handle_fin(); // without close_notify
    assert!(failed_with(&drain(&mut ends[0]).1, req::REC_016));
}

#[test]
fn a_handshake_has_thirty_seconds() {
    for mut end in pair() {
        drain(&mut end);
        end.handle_timeout(NOW.plus(DEADLINE - 1));
        assert!(drain(&mut end).1.is_empty());
        end.handle_timeout(NOW.plus(DEADLINE));
        let (bytes, events) = drain(&mut end);
        assert!(bytes.is_empty() && failed_with(&events, req::HSK_005));
    }
}

#[test]
fn both_ends_stop_when_the_ticket_does() {
    for late in 0..2 {
        let mut ends = pair();
        settle(&mut ends, NOW);
        pass(&mut ends, NOW, 599);
        ends[late].send(b"in time").unwrap();
        ends[late].handle_timeout(NOW.plus(600));
        assert!(ends[late].send(b"too late").is_err());
        let events = settle(&mut ends, NOW);
        assert!(failed_with(&events[late], req::HSK_042));
        // The other end sees an end, not a truncation.
        assert!(matches!(events[1 - late].last(), Some(Event::PeerClosed)));
    }
}

#[test]
fn an_m3_that_comes_after_the_ticket_opens_nothing() {
    let late = NOW.plus(590);
    let world = world(DEFAULT, DEFAULT);
    let vouched = world.target.verify(&world.initiator, &world.verifier, late).unwrap();
    let (one, two) = (Box::new(Script::new(1)), Box::new(Script::new(2)));
    let mut ends = [
        Channel::initiate(world.initiator, &world.target, vouched, late, one).unwrap(),
        Channel::accept(AwaitM1::new(world.responder, world.verifier), late, two),
    ];
    let (m1, _) = drain(&mut ends[0]);
    ends[1].handle_input(late, &m1);
    let (m2, _) = drain(&mut ends[1]);
    ends[0].handle_input(late, &m2);
    let (m3, _) = drain(&mut ends[0]);
    ends[1].handle_input(late.plus(15), &m3);
    let (bytes, events) = drain(&mut ends[1]);
    assert!(bytes.is_empty() && failed_with(&events, req::HSK_042));
}

/// An established pair whose clock has come to `now`, without anything having been said meanwhile but what the channels
/// say by themselves.
fn pass(ends: &mut [Channel; 2], from: UnixTime, seconds: u64) {
    for second in 1..=seconds {
        let now = from.plus(second);
        for end in &mut *ends {
            end.handle_timeout(now);
        }
        for events in settle(ends, now) {
            assert!(events.is_empty(), "{second}: {events:?}");
        }
    }
}

#[test]
fn channels_keep_each_other_alive_and_notice_silence() {
    let mut ends = pair();
    settle(&mut ends, NOW);
    pass(&mut ends, NOW, 590);
    let mut ends = pair();
    settle(&mut ends, NOW);
    // Nothing arrives any more.
    let mut last_sent = NOW;
    for second in 1..90 {
        let now = NOW.plus(second);
        ends[0].handle_timeout(now);
        let (bytes, events) = drain(&mut ends[0]);
        assert!(events.is_empty());
        if !bytes.is_empty() {
            assert!(now.distance(last_sent) <= 25);
            last_sent = now;
        }
    }
    ends[0].handle_timeout(NOW.plus(90));
    assert!(failed_with(&drain(&mut ends[0]).1, req::REC_019));
}

#[test]
fn a_new_ticket_carries_a_channel_on() {
    let world = world(DEFAULT, RUSTCRYPTO);
    let mut ends = pair();
    settle(&mut ends, NOW);
    let later = NOW.plus(500);
    pass(&mut ends, NOW, 500);
    let (ticket, vouched) = world.renewed(later);
    ends[0].renew(&ticket, &vouched).unwrap();
    assert!(ends[1].renew(&ticket, &vouched).is_err(), "the initiator renews");
    let [left, right] = settle(&mut ends, later);
    assert!(left.is_empty() && matches!(&right[..], [Event::Renewed(_)]));
    pass(&mut ends, later, 599);
    ends[0].send(b"still here").unwrap();
    let [_, right] = settle(&mut ends, later.plus(599));
    assert!(matches!(&right[..], [Event::Data(data)] if data == b"still here"));
    for end in &mut ends {
        end.handle_timeout(later.plus(600));
    }
    let [left, right] = settle(&mut ends, later.plus(600));
    assert!(failed_with(&left, req::HSK_042) && failed_with(&right, req::HSK_042));
}

#[test]
fn a_ticket_of_others_ends_the_channel_in_order() {
    let world = world(DEFAULT, RUSTCRYPTO);
    let mut ends = pair();
    settle(&mut ends, NOW);
    let (mut ticket, vouched) = world.renewed(NOW);
    let at = ticket.len() / 2;
    ticket[at] ^= 1;
    ends[0].send(b"before").unwrap();
    ends[0].renew(&ticket, &vouched).unwrap();
    let [left, right] = settle(&mut ends, NOW);
    assert!(matches!(&right[0], Event::Data(data) if data == b"before"));
    assert!(failed_with(&right, req::HSK_054));
    assert!(matches!(left.last(), Some(Event::PeerClosed)), "no truncation");
}

/// HSK-054: an issuer's key that was replaced since does not carry a channel on.
#[test]
fn a_ticket_by_a_key_that_is_not_trusted_any_more_ends_the_channel() {
    struct Now(Arc<Verifier>);
    impl CurrentVerifier for Now {
        fn current(&self) -> Arc<Verifier> {
            self.0.clone()
        }
    }
    let world = world(DEFAULT, DEFAULT);
    let vouched = world.target.verify(&world.initiator, &world.verifier, NOW).unwrap();
    for is_trusted in [true, false] {
        let nobody = || Verifier::new(DEFAULT, crate::ticket::device_audience(world.target.device));
        let current = if is_trusted { world.verifier.clone() } else { Arc::new(nobody()) };
        let start = AwaitM1::new(world.responder.clone(), world.verifier.clone());
        let (one, two) = (Box::new(Script::new(1)), Box::new(Script::new(2)));
        let mut ends = [
            Channel::initiate(world.initiator.clone(), &world.target, vouched.clone(), NOW, one).unwrap(),
            Channel::accept(start.trusting(Arc::new(Now(current))), NOW, two),
        ];
        settle(&mut ends, NOW);
        let (ticket, vouched) = world.renewed(NOW);
        ends[0].renew(&ticket, &vouched).unwrap();
        let [_, right] = settle(&mut ends, NOW);
        assert_eq!(failed_with(&right, req::HSK_054), !is_trusted);
    }
}

#[test]
fn no_channel_lives_longer_than_a_day() {
    let world = world(DEFAULT, RUSTCRYPTO);
    let mut ends = pair();
    settle(&mut ends, NOW);
    let mut now = NOW;
    while now < NOW.plus(24 * 3_600 - 10) {
        now = now.plus(10);
        ends.iter_mut().for_each(|end| end.handle_timeout(now));
        if now.distance(NOW).is_multiple_of(500) {
            let (ticket, vouched) = world.renewed(now);
            ends[0].renew(&ticket, &vouched).unwrap();
        }
        settle(&mut ends, now);
    }
    ends[0].handle_timeout(now.plus(9));
    assert!(ends[0].send(b"in time").is_ok());
    ends[0].handle_timeout(now.plus(10));
    assert!(failed_with(&settle(&mut ends, now)[0], req::HSK_056));
}

/// What comes of a part of a message and the end of the connection: nobody is established by it, and nothing is answered.
fn cut(mut end: Channel, part: &[u8]) -> Option<Event> {
    drain(&mut end);
    end.handle_input(NOW, part);
    let (answer, events) = drain(&mut end);
    assert!(answer.is_empty() && events.is_empty(), "{} bytes: {events:?}", part.len());
    end.handle_fin();
    let (answer, mut events) = drain(&mut end);
    assert!(answer.is_empty() && events.len() == 1, "{} bytes: {events:?}", part.len());
    assert!(matches!(end.poll_output(), Output::Close));
    events.pop()
}

/// What one end has to say, given to the other: all of it.
fn carry(from: usize, ends: &mut [Channel; 2]) -> Vec<u8> {
    let (bytes, _) = drain(&mut ends[from]);
    ends[1 - from].handle_input(NOW, &bytes);
    bytes
}

#[test]
fn a_cut_at_every_byte_of_every_message_of_the_handshake() {
    let world = world(DEFAULT, DEFAULT);
    let vouched = world.target.verify(&world.initiator, &world.verifier, NOW).unwrap();
    let initiator = || {
        let (device, vouched) = (world.initiator.clone(), vouched.clone());
        Channel::initiate(device, &world.target, vouched, NOW, Box::new(Script::new(1))).unwrap()
    };
    let responder = || {
        let start = AwaitM1::new(world.responder.clone(), world.verifier.clone());
        Channel::accept(start, NOW, Box::new(Script::new(2)))
    };
    let hung_up = |event| matches!(event, Some(Event::HungUp));

    let mut ends = [initiator(), responder()];
    let messages: Vec<_> = [0, 1, 0].map(|from| carry(from, &mut ends)).into();
    assert!(ends.iter_mut().all(|end| end.send(b"open").is_ok()), "uncut they establish a channel");

    for at in 0..messages[0].len() {
        assert!(hung_up(cut(responder(), &messages[0][..at])), "M1, cut at {at}");
    }
    // Whatever M2 it is that is cut: half a message is not looked into.
    let answers = [(2, &messages[1][4..]), (4, &[7; 40][..]), (5, &[7; 64]), (6, &[])];
    for (kind, body) in answers {
        let [.., high, middle, low] = body.len().to_be_bytes();
        let message = [&[kind, high, middle, low], body].concat();
        for at in 0..message.len() {
            assert!(hung_up(cut(initiator(), &message[..at])), "message {kind}, cut at {at}");
        }
    }
    for at in 0..messages[2].len() {
        let mut ends = [initiator(), responder()];
        carry(0, &mut ends);
        carry(1, &mut ends);
        let (m3, _) = drain(&mut ends[0]);
        assert_eq!(m3.len(), messages[2].len());
        let [_, responder] = ends;
        assert!(hung_up(cut(responder, &m3[..at])), "M3, cut at {at}");
    }
}

/// Of the ends of streams of records [`crate::record`] has more.
#[test]
fn a_cut_at_every_byte_of_the_first_record() {
    let length = b"a record".len() + 1 + 35;
    for at in 0..length {
        let mut ends = pair();
        for from in [0, 1, 0] {
            carry(from, &mut ends);
        }
        drain(&mut ends[1]);
        ends[1].send(b"a record").unwrap();
        let (record, _) = drain(&mut ends[1]);
        assert_eq!(record.len(), length);
        let [initiator, _] = ends;
        let event = cut(initiator, &record[..at]).unwrap();
        assert!(failed_with(&[event], req::REC_016), "cut at {at}");
    }
}

/// REC-019: a byte now and then is no sign of life, in an open channel as little as in a handshake.
#[test]
fn who_says_one_record_byte_by_byte_is_silent() {
    let mut ends = pair();
    settle(&mut ends, NOW);
    ends[1].send(&[1; 1_000]).unwrap();
    let (record, _) = drain(&mut ends[1]);
    for (second, byte) in (1..90).zip(&record) {
        ends[0].handle_input(NOW.plus(second), &[*byte]);
        assert!(drain(&mut ends[0]).1.is_empty(), "{second}");
    }
    ends[0].handle_input(NOW.plus(90), &record[89..]);
    let (_, events) = drain(&mut ends[0]);
    assert!(failed_with(&events, req::REC_019), "all of it comes too late: {events:?}");
}
