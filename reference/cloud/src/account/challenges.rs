//! Challenges that wait for their answers.
//!
//! They are kept in memory: anybody may ask for one, so none is worth a write to disk. There is a bound to their
//! number; when it is reached the oldest go.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use meshproof_proto::codec::{Id, hex};
use meshproof_proto::error::Error as RuleError;
use meshproof_proto::identity::{CHALLENGE_LIFETIME, Challenge};
use meshproof_proto::requirement::{self as req, Requirement, demand};
use meshproof_proto::time::UnixTime;
use serde_json::{Value, json};

const MAX_WAITING: usize = 100_000;

/// The challenges of both purposes.
#[derive(Default)]
pub(crate) struct Challenges {
    waiting: Mutex<Waiting>,
}

#[derive(Default)]
struct Waiting {
    /// By the challenge, for devices that sign in.
    sign_in: Bounded<[u8; 16]>,
    /// By the device, for devices that are being claimed.
    claims: Bounded<Id>,
}

/// A challenge that was handed out.
struct Issued {
    device: Id,
    challenge: Challenge,
    at: UnixTime,
    used: bool,
}

impl Challenges {
    /// Keeps a challenge for a device that wants to sign in.
    pub(crate) fn add_sign_in(&self, device: Id, challenge: Challenge, at: UnixTime) {
        let issued = Issued { device, challenge, at, used: false };
        self.lock().sign_in.insert(issued.challenge.id, issued);
    }

    /// Keeps the challenge of a claim, in place of an earlier one.
    pub(crate) fn add_claim(&self, device: Id, challenge: Challenge, at: UnixTime) {
        self.lock().claims.insert(device, Issued { device, challenge, at, used: false });
    }

    /// Takes the answer to a device's challenge. Right or wrong, it was the only one (IDN-011).
    ///
    /// # Errors
    /// IDN-011, IDN-012, IDN-010.
    pub(crate) fn answer_sign_in(
        &self,
        device: Id,
        challenge: &[u8; 16],
        answer: &[u8],
        now: UnixTime,
    ) -> Result<(), RuleError> {
        let mut waiting = self.lock();
        let issued = waiting.sign_in.get_mut(challenge).filter(|issued| issued.device == device);
        // A challenge that was never handed out has no right answer.
        let issued = issued.ok_or(RuleError::from(req::IDN_010))?;
        demand(!std::mem::replace(&mut issued.used, true), req::IDN_011)?;
        issued.check(answer, now, req::IDN_012, req::IDN_010)
    }

    /// Takes the answer to the challenge of a claim. A wrong one may be followed by the right one: GPH-032 has the
    /// device pending *until* its proof is right.
    ///
    /// # Errors
    /// GPH-033
    pub(crate) fn answer_claim(&self, device: Id, answer: &[u8], now: UnixTime) -> Result<(), RuleError> {
        let mut waiting = self.lock();
        let issued = waiting.claims.get_mut(&device).ok_or(RuleError::from(req::GPH_033))?;
        issued.check(answer, now, req::GPH_033, req::GPH_033)?;
        waiting.claims.remove(&device);
        Ok(())
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Issued {
    fn check(
        &self,
        answer: &[u8],
        now: UnixTime,
        late: Requirement,
        wrong: Requirement,
    ) -> Result<(), RuleError> {
        demand(now <= self.at.plus(CHALLENGE_LIFETIME), late)?; // IDN-012
        demand(self.challenge.accepts(answer), wrong) // IDN-010, GPH-033
    }
}

/// A map that forgets its oldest keys.
struct Bounded<K> {
    values: HashMap<K, Issued>,
    order: VecDeque<K>,
}

impl<K> Default for Bounded<K> {
    fn default() -> Self {
        Self { values: HashMap::new(), order: VecDeque::new() }
    }
}

impl<K: Copy + Eq + std::hash::Hash> Bounded<K> {
    fn insert(&mut self, key: K, value: Issued) {
        // Twice the lifetime, so that a late answer is told from an unknown one.
        let stale = |issued: &Issued| issued.at.plus(2 * CHALLENGE_LIFETIME) < value.at;
        while let Some(oldest) = self.order.front() {
            let goes = self.order.len() >= MAX_WAITING || self.values.get(oldest).is_none_or(stale);
            if !goes {
                break;
            }
            self.values.remove(oldest);
            self.order.pop_front();
        }
        self.values.insert(key, value);
        self.order.push_back(key);
    }

    fn get_mut(&mut self, key: &K) -> Option<&mut Issued> {
        self.values.get_mut(key)
    }

    fn remove(&mut self, key: &K) {
        self.values.remove(key);
    }
}

/// What the device gets (`spec/identity.md`, section 3).
pub(crate) fn representation(challenge: &Challenge) -> Value {
    json!({ "challenge": hex(&challenge.id), "ciphertext": STANDARD.encode(&challenge.ciphertext) })
}
