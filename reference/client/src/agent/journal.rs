//! What a person may ask for later (`mesh log`): noted while it happens, written in batches.

use std::sync::{Arc, Mutex, PoisonError};

use meshproof_proto::codec::Id;
use meshproof_proto::sync::PortablePath;

use super::Agent;
use crate::error::Result;
use crate::sync::journal::{Event, Happened};
use crate::sync::{Index, Progress, Report, Skipped};

/// So many events are written together.
const BATCH: usize = 256;

/// Notes what happens, and tells somebody else.
pub struct Journal {
    watch: Arc<dyn Progress>,
    index: Arc<Index>,
    waiting: Mutex<Vec<Event>>,
}

impl Agent {
    /// Notes what happens from now on, and tells `watch`.
    pub fn journal(&self, watch: Arc<dyn Progress>) -> Arc<Journal> {
        Arc::new(Journal { watch, index: self.index.clone(), waiting: Mutex::default() })
    }

    /// The last events, the oldest of them first.
    pub fn events(&self, most: usize) -> Result<Vec<Event>> {
        self.index.journal(most)
    }
}

impl Journal {
    /// A round, or something else without a session, failed.
    pub fn failed(&self, peer: Option<Id>, why: &str) {
        self.note(Happened::Failed, (None, peer), None, why.to_owned());
        self.flush();
    }

    /// Writes what was noted.
    pub fn flush(&self) {
        let events = std::mem::take(&mut *self.waiting.lock().unwrap_or_else(PoisonError::into_inner));
        if !events.is_empty()
            && let Err(error) = self.index.note(&events)
        {
            tracing::warn!("the log: {error}");
        }
    }

    fn note(&self, kind: Happened, who: (Option<Id>, Option<Id>), path: Option<String>, text: String) {
        let event = Event { time: crate::now().0, kind, folder: who.0, peer: who.1, path, text };
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.push(event);
        let full = waiting.len() >= BATCH;
        drop(waiting);
        if full {
            self.flush();
        }
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        self.flush();
    }
}

impl Progress for Journal {
    fn hashed(&self, folder: Id, bytes: u64) {
        self.watch.hashed(folder, bytes);
    }

    fn expected(&self, peer: Id, files: u64, bytes: u64) {
        self.watch.expected(peer, files, bytes);
    }

    fn received(&self, peer: Id, files: u64, bytes: u64) {
        self.watch.received(peer, files, bytes);
    }

    fn sent(&self, peer: Id, bytes: u64) {
        self.watch.sent(peer, bytes);
    }

    fn skipped(&self, folder: Id, skipped: &Skipped) {
        let (path, why) = (Some(skipped.path.clone()), skipped.reason.to_string());
        self.note(Happened::LeftOut, (Some(folder), None), path, why);
        self.watch.skipped(folder, skipped);
    }

    fn placed(&self, folder: Id, path: &PortablePath) {
        self.note(Happened::Received, (Some(folder), None), Some(path.as_str().into()), String::new());
        self.watch.placed(folder, path);
    }

    fn removed(&self, folder: Id, path: &PortablePath) {
        self.note(Happened::Deleted, (Some(folder), None), Some(path.as_str().into()), String::new());
        self.watch.removed(folder, path);
    }

    fn conflict(&self, folder: Id, kept: &PortablePath) {
        let text = "two devices changed one file; this is the other content".into();
        self.note(Happened::Conflict, (Some(folder), None), Some(kept.as_str().into()), text);
        self.watch.conflict(folder, kept);
    }

    fn ended(&self, peer: Id, result: &Result<Report>) {
        match result {
            Ok(report) if report.files_received + report.deleted + report.bytes_sent > 0 => {
                let text = format!(
                    "received {} files, {} bytes; sent {} bytes; deleted {}",
                    report.files_received, report.bytes_received, report.bytes_sent, report.deleted
                );
                self.note(Happened::Synced, (None, Some(peer)), None, text);
            }
            Ok(_) => {}
            Err(error) => self.note(Happened::Failed, (None, Some(peer)), None, error.to_string()),
        }
        self.flush();
        self.watch.ended(peer, result);
    }
}
