//! Who keeps what: before a device removes what its user does not choose any more, another one has to say that it keeps the same
//! (`spec/sync.md`, section 4.8).
//!
//! ```text
//!  what is to go --> REQUEST that asks who keeps it, for each content --> BLOCK: kept, or not --> what is kept goes --> DONE
//! ```

use std::collections::{BTreeSet, HashMap, VecDeque};

use meshproof_proto::codec::Id;
use meshproof_proto::requirement::{self as req, demand, deviates};
use meshproof_proto::storage::MediaHash;
use meshproof_proto::sync::message::{Request, WHO_KEEPS};
use meshproof_proto::sync::{Context, Entry, Item, Kind, Message, Tree};

use super::Folder;
use super::ignore::Rules;
use crate::error::Result;

/// How many questions are unanswered.
const WINDOW: usize = 1_024;

/// The contents that others have to keep before the entry may go from this disk. What has no bytes is in the entry itself.
pub(super) fn contents(entry: &Entry) -> Vec<MediaHash> {
    if entry.is_gone() {
        return Vec::new();
    }
    entry.living().filter_map(|content| hash_of(content.kind)).collect()
}

/// Whether this is one of the living contents of the entry, so that who keeps those keeps it.
pub(super) fn is_living(entry: &Entry, kind: Kind) -> bool {
    !entry.is_gone() && entry.living().any(|content| content.kind == kind)
}

fn hash_of(kind: Kind) -> Option<MediaHash> {
    match kind {
        Kind::File { size, hash } | Kind::Link { size, hash } if size > 0 => Some(hash),
        _ => None,
    }
}

/// What somebody keeps of a folder, as far as it was asked.
#[derive(Default)]
pub(super) struct Keeper {
    has: Has,
    kept: BTreeSet<MediaHash>,
}

/// Which entries it has as they are here.
#[derive(Default)]
enum Has {
    #[default]
    Nothing,
    /// Those that are in this context.
    Seen(Context),
    /// All but these.
    AllBut(BTreeSet<Id>),
}

impl Keeper {
    /// A peer that has seen this, and that nobody asked yet. The default is one that keeps nothing.
    pub(super) fn peer(seen: Context) -> Self {
        Self { has: Has::Seen(seen), ..Self::default() }
    }

    /// The cloud, that lacks the states of these entries and has these contents.
    pub(super) fn cloud(lacks: BTreeSet<Id>, kept: BTreeSet<MediaHash>) -> Self {
        Self { has: Has::AllBut(lacks), kept }
    }

    /// It keeps this.
    pub(super) fn note(&mut self, hash: MediaHash) {
        self.kept.insert(hash);
    }

    /// Whether it has the entry as it is here, so that it is worth while to ask about it.
    pub(super) fn knows(&self, entry: &Entry) -> bool {
        match &self.has {
            Has::Nothing => false,
            Has::Seen(seen) => seen.covers(&entry.version),
            Has::AllBut(lacks) => !lacks.contains(&entry.id),
        }
    }

    /// SYN-150: whether it has the entry as it is here, and said that it keeps all its contents. What was deleted needs nobody.
    pub(super) fn keeps(&self, entry: &Entry) -> bool {
        let kept = || contents(entry).iter().all(|hash| self.kept.contains(hash));
        entry.is_gone() || self.knows(entry) && kept()
    }
}

/// The questions of a session.
#[derive(Default)]
pub(super) struct Questions {
    /// With the numbers of the folders.
    queue: VecDeque<(usize, MediaHash)>,
    asked: HashMap<u32, (usize, MediaHash)>,
}

impl Questions {
    /// Asks, soon, whether the peer keeps these contents of a folder.
    pub(super) fn ask(&mut self, folder: usize, hashes: BTreeSet<MediaHash>) {
        self.queue.extend(hashes.into_iter().map(|hash| (folder, hash)));
    }

    /// Asks nothing more.
    pub(super) fn give_up(&mut self) {
        self.queue.clear();
    }

    /// Writes as many as may be under way to `out`; `number` numbers requests.
    pub(super) fn write(&mut self, folders: &[&Folder], mut number: impl FnMut() -> u32, out: &mut Vec<u8>) {
        while self.asked.len() < WINDOW
            && let Some((folder, hash)) = self.queue.pop_front()
        {
            let (request, id) = (number(), folders[folder].id());
            Message::Request(Request { request, folder: id, hash, offset: WHO_KEEPS, length: 0 }).write(out);
            self.asked.insert(request, (folder, hash));
        }
    }

    /// The question that a BLOCK answers, if it answers one; and whether the peer keeps that.
    pub(super) fn answer(
        &mut self,
        request: u32,
        content: Option<&Vec<u8>>,
    ) -> Result<Option<(usize, MediaHash, bool)>> {
        let Some((folder, hash)) = self.asked.remove(&request) else { return Ok(None) };
        demand(content.is_none_or(Vec::is_empty), req::SYN_030)?;
        Ok(Some((folder, hash, content.is_some())))
    }

    /// Whether nothing is to be asked or answered of a folder.
    pub(super) fn is_over(&self, folder: usize) -> bool {
        !self.queue.iter().chain(self.asked.values()).any(|(of, _)| *of == folder)
    }

    /// Whether all that was asked has been answered.
    pub(super) fn is_answered(&self) -> bool {
        self.asked.is_empty()
    }
}

/// SYN-151: what this device keeps of a folder.
pub(super) struct Kept {
    /// How often the folder had been written when this was found out.
    writes: u64,
    /// Of each content whether it is at all the paths that show it.
    kept: HashMap<MediaHash, bool>,
}

impl Kept {
    /// What is on disk where the view shows it, and chosen.
    pub(super) fn of(folder: &Folder) -> Result<Self> {
        let _lock = folder.lock();
        let (index, id) = (folder.index(), folder.id());
        let (rules, records) = (Rules::of(folder)?, index.records(id)?);
        let mut kept = HashMap::new();
        for item in Tree::of(&index.entries(id)?).items {
            let Some(hash) = hash_of(item.kind) else { continue };
            let is_here = records.get(item.path.as_str()).is_some_and(|record| record.entry == item)
                || is_kept_link(folder, id, &item)?;
            *kept.entry(hash).or_insert(true) &= is_here && !rules.ignore_item(&item);
        }
        Ok(Self { writes: folder.writes(), kept })
    }

    /// Whether this is true no more.
    pub(super) fn is_old(&self, folder: &Folder) -> bool {
        self.writes != folder.writes()
    }

    /// Whether the content is kept.
    pub(super) fn has(&self, hash: &MediaHash) -> bool {
        self.kept.get(hash).copied().unwrap_or(false) || deviates(req::SYN_151)
    }
}

/// A link that is not made here is kept nevertheless.
fn is_kept_link(folder: &Folder, id: Id, item: &Item) -> Result<bool> {
    match item.kind {
        Kind::Link { hash, .. } => Ok(folder.index().kept_link(id, &hash)?.is_some()),
        _ => Ok(false),
    }
}

#[cfg(test)]
mod tests {
    use super::super::fetch::Fetch;
    use super::*;

    /// Who is asked what it keeps, and says nothing, is given up as soon as one who gives no content (HSK-066).
    #[test]
    fn an_answer_about_what_is_kept_is_owed() {
        let fetch = Fetch::new(Vec::new());
        let mut questions = Questions::default();
        let hash = MediaHash::of(b"content");
        questions.ask(0, BTreeSet::from([hash]));
        assert!(!fetch.is_owed(&questions), "it was not asked yet");
        questions.asked.extend(questions.queue.pop_front().map(|asked| (7, asked)));
        assert!(fetch.is_owed(&questions));
        assert_eq!(questions.answer(7, None).unwrap(), Some((0, hash, false)));
        assert!(!fetch.is_owed(&questions));
    }
}
