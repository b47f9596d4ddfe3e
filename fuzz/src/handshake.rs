//! Handshakes under attack: raw bytes, and a puppeteer between two honest devices.

use arbitrary::{Arbitrary, Unstructured};
use meshproof_kit::oracle::handshake::{Answer, HYBRID, Responder, SUITE, X25519};
use meshproof_kit::vectors::fixtures::KEY_Y;
use meshproof_proto::channel::{Channel, Event, Output, Peer};
use meshproof_proto::handshake::AwaitM1;

use crate::world::{Counter, NOW, WORLD};

/// Whoever has neither key nor ticket gets nothing out of either role but silence or a refusal.
///
/// Whether the responder answered at all.
pub fn handshake(data: &[u8]) -> bool {
    let mut answered = false;
    for (mut channel, name) in [(responder(), "responder"), (initiator(), "initiator")] {
        let mut said = drain(&mut channel).bytes; // the initiator's M1
        if name == "initiator" {
            said.clear();
        }
        for piece in data.chunks(7) {
            channel.handle_input(NOW, piece);
        }
        channel.handle_fin();
        let end = drain(&mut channel);
        assert!(end.peer.is_none(), "{name} accepted garbage");
        let refusal = if name == "responder" { refusal(data) } else { Vec::new() };
        assert_eq!(end.bytes, refusal, "HSK-006: the {name} answers, and the oracle says the right");
        answered |= !end.bytes.is_empty();
    }
    answered
}

/// What the oracle answers: the vectors are written to the responder's key and hold tickets of an issuer that it does not
/// trust.
fn refusal(data: &[u8]) -> Vec<u8> {
    let [1, high, middle, low, ..] = data else { return Vec::new() };
    let length = usize::from(*high) << 16 | usize::from(*middle) << 8 | usize::from(*low);
    let Some(m1) = data.get(..4 + length) else { return Vec::new() };
    let responder = Responder {
        key: KEY_Y.private.clone(),
        device: WORLD.responder.id().to_string(),
        issuers: Vec::new(),
        now: NOW.0,
        suites: vec![SUITE, X25519, HYBRID],
        rdv_token: None,
        cookies: Vec::new(),
    };
    match responder.read_m1(m1).map_err(|failure| failure.answer) {
        Ok(_) => panic!("a ticket of nobody that is trusted was good"),
        Err(Answer::Refuse { frame, .. }) => frame,
        Err(Answer::NoCommonSuite) => vec![6, 0, 0, 0],
        Err(_) => Vec::new(),
    }
}

/// What a puppeteer does with the messages that pass.
#[derive(Clone, Debug, Arbitrary)]
struct Trace {
    /// One step for each message that passes, as long as they last.
    steps: Vec<Step>,
}

/// What is done with one message.
#[derive(Clone, Debug, Arbitrary)]
enum Step {
    /// It passes.
    Pass,
    /// One byte is changed: where, and by which bits.
    Change(u16, u8),
    /// It is cut short here.
    Cut(u16),
    /// It comes twice.
    Repeat,
    /// It goes back to its sender.
    Reflect,
    /// An earlier message comes instead.
    Replay(u8),
    /// It is lost.
    Drop,
    /// Bytes are put before it.
    Inject(Vec<u8>),
    /// A frame of this type and the right length follows it.
    Follow(u8),
}

/// Whatever the puppeteer does, a device that accepts has a partner that was in the same handshake, and what arrives is
/// what was sent, in order, and complete if the end was seen.
///
/// Whether both accepted.
pub fn handshake_puppet(data: &[u8]) -> bool {
    let trace = Trace::arbitrary_take_rest(Unstructured::new(data)).unwrap_or(Trace { steps: Vec::new() });
    let mut sides = [initiator(), responder()];
    let mut ends = [End::default(), End::default()];
    let mut seen: Vec<Vec<u8>> = Vec::new();
    let mut steps = trace.steps.iter().take(16);
    let texts: [&[u8]; 2] = [b"from the initiator", b"from the responder"];
    for _ in 0..12 {
        for side in 0..2 {
            let before = ends[side].peer.is_some();
            let more = drain(&mut sides[side]);
            let message = more.bytes.clone();
            ends[side].absorb(more);
            if !before && ends[side].peer.is_some() {
                // Errors after a failure are the channel's to report.
                let _ = sides[side].send(texts[side]);
                sides[side].close();
            }
            if message.is_empty() {
                continue;
            }
            seen.push(message.clone());
            for (to, bytes) in tamper(steps.next(), side, message, &seen) {
                sides[to].handle_input(NOW, &bytes);
            }
        }
    }
    for (side, channel) in sides.iter_mut().enumerate() {
        channel.handle_fin();
        ends[side].absorb(drain(channel));
    }
    check(&ends, texts);
    ends.iter().all(|end| end.peer.is_some())
}

/// Who gets what instead of the other side getting `message`.
fn tamper(step: Option<&Step>, from: usize, message: Vec<u8>, seen: &[Vec<u8>]) -> Vec<(usize, Vec<u8>)> {
    let to = 1 - from;
    let changed = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut bytes = message.clone();
        change(&mut bytes);
        vec![(to, bytes)]
    };
    match step {
        None | Some(Step::Pass) => vec![(to, message)],
        Some(Step::Change(at, bits)) => changed(&|bytes| {
            let at = usize::from(*at) % bytes.len();
            bytes[at] ^= bits;
        }),
        Some(Step::Cut(at)) => changed(&|bytes| bytes.truncate(usize::from(*at) % bytes.len())),
        Some(Step::Repeat) => vec![(to, message.clone()), (to, message)],
        Some(Step::Reflect) => vec![(from, message)],
        Some(Step::Replay(which)) => vec![(to, seen[usize::from(*which) % seen.len()].clone())],
        Some(Step::Drop) => Vec::new(),
        Some(Step::Inject(bytes)) => vec![(to, bytes.clone()), (to, message)],
        Some(Step::Follow(kind)) => {
            let length = [32, 40, 64, 0][usize::from(kind / 8) % 4];
            let frame = [&[1 + kind % 6, 0, 0, length][..], &vec![0; usize::from(length)]].concat();
            vec![(to, message), (to, frame)]
        }
    }
}

fn check(ends: &[End; 2], texts: [&[u8]; 2]) {
    for (side, end) in ends.iter().enumerate() {
        let other = &ends[1 - side];
        let Some(peer) = &end.peer else {
            assert!(end.data.is_empty() && !end.complete, "data without a handshake");
            continue;
        };
        // The initiator's acceptance is of an M2 that only the responder can write; the responder may still wait
        // for M3. The responder's acceptance is of an M3 that only the initiator can write, who accepted before.
        if let Some(partner) = &other.peer {
            assert_eq!(peer.transcript, partner.transcript, "two devices accepted different handshakes");
        } else {
            assert_eq!(side, 0, "the responder accepted and the initiator did not");
        }
        let sent = texts[1 - side];
        assert!(sent.starts_with(&end.data), "the data is not what was sent");
        assert!(!end.complete || end.data == sent, "REC-016: cut short and taken for complete");
    }
}

/// What came out of one side.
#[derive(Default)]
struct End {
    bytes: Vec<u8>,
    peer: Option<Peer>,
    data: Vec<u8>,
    complete: bool,
}

impl End {
    fn absorb(&mut self, more: Self) {
        self.peer = self.peer.take().or(more.peer);
        self.data.extend(more.data);
        self.complete |= more.complete;
    }
}

fn drain(channel: &mut Channel) -> End {
    let mut end = End::default();
    loop {
        match channel.poll_output() {
            Output::Transmit(bytes) => end.bytes.extend(bytes),
            Output::Event(Event::Established(peer)) => end.peer = Some(peer),
            Output::Event(Event::Data(data)) => end.data.extend(data),
            Output::Event(Event::PeerClosed) => end.complete = true,
            Output::Event(Event::Renewed(_) | Event::HungUp | Event::Failed(_)) => {}
            Output::Wait(_) | Output::Close => return end,
        }
    }
}

fn initiator() -> Channel {
    let w = &*WORLD;
    let entropy = Box::new(Counter(2));
    Channel::initiate(w.initiator.clone(), &w.target, w.vouched.clone(), NOW, entropy).expect("a good target")
}

fn responder() -> Channel {
    let w = &*WORLD;
    Channel::accept(AwaitM1::new(w.responder.clone(), w.verifier.clone()), NOW, Box::new(Counter(3)))
}
