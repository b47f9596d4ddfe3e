//! Whether a session gets on (HSK-066), so that one that never ends takes nobody's place for ever.
//!
//! The threads of the session tell what they wait for; who watches looks now and then. What they do themselves, and the waiting
//! that limits of bandwidth impose, is nobody's fault.

use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;

/// How long a peer may take for the next sign that it gets on with an answer.
const ANSWER: Duration = Duration::from_mins(2);
/// How long if it may have to look through its files first.
const WORK: Duration = Duration::from_mins(10);
/// How many bytes of a message, or sent, count as much as a whole one.
const ENOUGH: u64 = 1_024;
/// How often it is looked.
const LOOK: Duration = Duration::from_secs(5);

/// What a session is doing.
#[derive(Debug, Default)]
pub struct Pulse {
    beats: AtomicU64,
    /// Bytes since the last beat.
    bytes: AtomicU64,
    waits: AtomicU8,
    /// Whether the sending thread has work of its own.
    sends: AtomicBool,
}

/// What the session waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Waits {
    /// It works.
    Not,
    /// For bytes that it asked for.
    Answer,
    /// For anything else.
    Peer,
}

impl Pulse {
    /// A message came.
    pub(super) fn beat(&self) {
        self.beats.fetch_add(1, Ordering::Relaxed);
        self.bytes.store(0, Ordering::Relaxed);
    }

    /// So many bytes came.
    pub(super) fn came(&self, bytes: usize) {
        if self.bytes.fetch_add(bytes as u64, Ordering::Relaxed) + bytes as u64 >= ENOUGH {
            self.beat();
        }
    }

    /// The session waits for the peer, which has only to read what was `asked` for.
    pub(super) fn waits(&self, asked: bool) {
        let waits = if asked { Waits::Answer } else { Waits::Peer };
        self.waits.store(waits as u8, Ordering::Relaxed);
    }

    /// The session goes on.
    pub(super) fn works(&self) {
        self.waits.store(Waits::Not as u8, Ordering::Relaxed);
    }

    /// The sending thread has something to do, or waits for the session or the peer again.
    pub(super) fn sends(&self, sends: bool) {
        self.sends.store(sends, Ordering::Relaxed);
    }

    /// Ends when the session gets on no more.
    pub async fn stops(&self) {
        let mut watch = Watch { beats: 0, since: Instant::now() };
        while !watch.look(self, Instant::now()) {
            tokio::time::sleep(LOOK).await;
        }
    }

    fn waits_for(&self) -> Waits {
        match self.waits.load(Ordering::Relaxed) {
            answer if answer == Waits::Answer as u8 => Waits::Answer,
            // Who sends to a peer that waits for it is not waiting.
            peer if peer == Waits::Peer as u8 && !self.sends.load(Ordering::Relaxed) => Waits::Peer,
            _ => Waits::Not,
        }
    }
}

struct Watch {
    beats: u64,
    /// Since when nothing was seen to go on.
    since: Instant,
}

impl Watch {
    fn look(&mut self, pulse: &Pulse, now: Instant) -> bool {
        let (beats, waits) = (pulse.beats.load(Ordering::Relaxed), pulse.waits_for());
        let limit = match waits {
            Waits::Answer => ANSWER,
            Waits::Peer => WORK,
            Waits::Not => Duration::MAX,
        };
        if beats != self.beats || waits == Waits::Not {
            (self.beats, self.since) = (beats, now);
        }
        now - self.since >= limit
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether it is given up after so many seconds, of which `each` does something.
    fn given_up_after(pulse: &Pulse, most: u64, each: impl Fn(u64)) -> Option<u64> {
        let begin = Instant::now();
        let mut watch = Watch { beats: 0, since: begin };
        (0..most).step_by(5).find(|second| {
            each(*second);
            watch.look(pulse, begin + Duration::from_secs(*second))
        })
    }

    #[test]
    fn who_does_not_answer_is_given_up() {
        let pulse = Pulse::default();
        pulse.waits(true);
        assert_eq!(given_up_after(&pulse, 1_000, |_| {}), Some(120));
        pulse.waits(false);
        assert_eq!(given_up_after(&pulse, 1_000, |_| {}), Some(600), "it may have to look through its files");
    }

    #[test]
    fn a_message_or_a_part_of_one_is_progress_and_less_is_not() {
        let pulse = Pulse::default();
        pulse.waits(true);
        let every = |period: u64, what: &dyn Fn()| {
            given_up_after(&pulse, 20_000, |second| {
                if second % period == 0 {
                    what();
                }
            })
        };
        assert_eq!(every(115, &|| pulse.beat()), None);
        assert_eq!(every(115, &|| pulse.came(1_024)), None);
        assert_eq!(every(10, &|| pulse.came(100)), None, "1,024 bytes in 110 seconds");
        assert!(every(115, &|| pulse.came(200)).is_some(), "1,024 bytes in 690 seconds");
    }

    #[test]
    fn own_work_is_nobodys_fault() {
        let pulse = Pulse::default();
        assert_eq!(given_up_after(&pulse, 100_000, |_| {}), None, "it hashes, or waits for a limit");
        pulse.waits(false);
        pulse.sends(true);
        assert_eq!(given_up_after(&pulse, 100_000, |_| {}), None, "it sends slowly");
        pulse.sends(false);
        assert!(given_up_after(&pulse, 1_000, |_| {}).is_some(), "the peer takes nothing");
        pulse.sends(true);
        pulse.waits(true);
        assert!(given_up_after(&pulse, 1_000, |_| {}).is_some(), "what was asked for comes nevertheless");
        pulse.works();
        assert_eq!(given_up_after(&pulse, 100_000, |_| {}), None);
    }
}
