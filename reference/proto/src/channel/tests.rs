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

/// Whatever message is cut wherever: nobody is established by it, nothing is answered, and what was established before
/// reports a truncation.
#[test]
fn a_cut_at_every_byte_of_every_message() {
    let whole = |from: usize, ends: &mut [Channel; 2]| {
        let (bytes, _) = drain(&mut ends[from]);
        ends[1 - from].handle_input(NOW, &bytes);
        bytes.len()
    };
    // The messages in the order in which they are sent: who sends, and how long it is.
    let senders = [0, 1, 0, 1];
    let mut lengths = Vec::new();
    let mut ends = pair();
    for from in senders {
        if lengths.len() == 3 {
            drain(&mut ends[1]);
            ends[1].send(b"a record").unwrap();
        }
        lengths.push(whole(from, &mut ends));
    }
    for (message, length) in lengths.iter().enumerate() {
        // Every byte of the short ones, and of the long ones those where something begins or ends.
        let interesting =
            |at: &usize| *length < 100 || *at < 80 || at.is_multiple_of(61) || *at + 60 > *length;
        for cut in (0..*length).filter(interesting) {
            let mut ends = pair();
            for from in &senders[..message] {
                whole(*from, &mut ends);
            }
            if message == 3 {
                drain(&mut ends[1]);
                ends[1].send(b"a record").unwrap();
            }
            let (bytes, _) = drain(&mut ends[senders[message]]);
            let other = &mut ends[1 - senders[message]];
            drain(other);
            other.handle_input(NOW, &bytes[..cut]);
            other.handle_fin();
            let (answer, events) = drain(other);
            assert!(answer.is_empty(), "message {message}, cut at {cut}");
            let right = match &events[..] {
                [Event::HungUp] => message < 3,
                [Event::Failed(failure)] => message == 3 && failure.error.is(req::REC_016),
                _ => false,
            };
            assert!(right, "message {message}, cut at {cut}: {events:?}");
        }
    }
}
