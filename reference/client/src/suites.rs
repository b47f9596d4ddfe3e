//! The strongest suite in which this device was established with each other: neither goes below it by itself
//! (HSK-045, HSK-046).

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use meshproof_proto::codec::Id;
use meshproof_proto::handshake::{Suite, SuiteMemory};

use crate::error::Result;
use crate::home::Home;

const FILE: &str = "suites.json";

/// A memory of suites, kept in the state directory if it has one.
#[derive(Default)]
pub struct SuiteBook {
    home: Option<Home>,
    known: Mutex<BTreeMap<String, u16>>,
}

impl SuiteBook {
    /// The memory of a state directory.
    pub fn open(home: &Home) -> Result<Self> {
        let known = home.read_json(FILE)?.unwrap_or_default();
        Ok(Self { home: Some(home.clone()), known: Mutex::new(known) })
    }

    /// The weakest suite to use with a device.
    pub fn floor(&self, device: Id) -> Suite {
        self.strongest(device).unwrap_or(Suite::Baseline)
    }

    /// A channel with `device` was established.
    pub fn established(&self, device: Id, suite: Suite) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let before = known.get(&device.to_string()).copied().and_then(Suite::from_number);
        if before.is_none_or(|before| before < suite) {
            known.insert(device.to_string(), suite.number());
            self.keep(&known);
        }
    }

    /// Forgets a device, when a person says so. `false`: nothing was known of it.
    pub fn forget(&self, device: Id) -> bool {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let found = known.remove(&device.to_string()).is_some();
        if found {
            self.keep(&known);
        }
        found
    }

    /// A memory that cannot be written holds until the program ends.
    fn keep(&self, known: &BTreeMap<String, u16>) {
        if let Some(Err(error)) = self.home.as_ref().map(|home| home.write_json(FILE, known)) {
            tracing::warn!("remembering a suite: {error}");
        }
    }
}

impl SuiteMemory for SuiteBook {
    fn strongest(&self, initiator: Id) -> Option<Suite> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.get(&initiator.to_string()).copied().and_then(Suite::from_number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_many_at_once_the_strongest_stays() {
        let (book, device) = (&SuiteBook::default(), Id([1; 16]));
        for _ in 0..200 {
            std::thread::scope(|scope| {
                for suite in [Suite::Baseline, Suite::Hybrid, Suite::X25519] {
                    scope.spawn(move || book.established(device, suite));
                }
            });
            assert_eq!(book.floor(device), Suite::Hybrid);
            book.forget(device);
        }
    }

    #[test]
    fn a_stronger_suite_is_remembered_over_a_restart_until_it_is_forgotten() {
        let directory = tempfile::tempdir().unwrap();
        let home = Home::open(directory.path()).unwrap();
        let (a, b) = (Id([1; 16]), Id([2; 16]));
        let book = SuiteBook::open(&home).unwrap();
        book.established(a, Suite::Hybrid);
        book.established(a, Suite::X25519);
        let book = SuiteBook::open(&home).unwrap();
        assert_eq!((book.floor(a), book.floor(b)), (Suite::Hybrid, Suite::Baseline));
        assert!(book.forget(a) && !book.forget(b));
        assert_eq!(SuiteBook::open(&home).unwrap().floor(a), Suite::Baseline);
    }
}
