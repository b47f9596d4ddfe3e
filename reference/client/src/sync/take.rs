//! Taking over what a peer has: its entries become part of the own ones. What is on disk follows later.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use meshproof_proto::codec::Id;
use meshproof_proto::requirement::{self as req, deviates};
use meshproof_proto::sync::digest::{BUCKETS, bucket};
use meshproof_proto::sync::tree::holding;
use meshproof_proto::sync::{Digests, Entry, Fork, Head, ROOT, State, merge};

use super::Folder;
use super::folder::Size;
use super::forks::note_fork;
use super::index::Batch;
use super::past::Past;
use super::progress::{NoProgress, Report, SkipReason, Skipped};
use super::scan::scan;
use super::upload::size_of;
use super::writers::{Heads, check_entries, check_heads, seen, sift_entries};
use crate::error::{Error, Result};

/// Which buckets are to be sent.
pub(super) type Differing = [bool; BUCKETS];

/// Where two states differ. Without SYN-043, everywhere.
pub(super) fn differing(mine: &Digests, theirs: &Digests) -> Differing {
    let mut differing = [true; BUCKETS];
    for ((differs, mine), theirs) in differing.iter_mut().zip(&mine.0).zip(&theirs.0) {
        *differs = mine != theirs || deviates(req::SYN_043);
    }
    differing
}

/// What this device says of a folder.
pub(super) fn state(folder: &Folder, gives: bool) -> Result<State> {
    let _lock = folder.lock();
    let (index, id) = (folder.index(), folder.id());
    Ok(State { folder: id, complete: gives, heads: index.heads(id)?, digests: index.digests(id)? })
}

/// Leaves of the peer's heads those that hold. If it saw changes of this device that this device does not know, the index is
/// not the one that it was: all that is here becomes a change of its own with the next scan.
pub(super) fn check_state(folder: &Folder, peer: Option<Id>, theirs: &mut State) -> Result<()> {
    let _lock = folder.lock();
    match check_heads(folder, peer, std::mem::take(&mut theirs.heads))? {
        Heads::Seen(heads) => {
            theirs.heads = heads;
            Ok(())
        }
        Heads::LostPast(counter) => Err(begin_anew(folder, counter)?),
    }
}

/// Makes the index anew: others saw changes of this device up to `counter` that it does not know of. The caller holds the folder's
/// lock. Returns what to say.
pub(super) fn begin_anew(folder: &Folder, counter: u64) -> Result<Error> {
    folder.begin(Past::Anew, counter)?;
    Ok(Error::usage(
        "the index of this device was older than what others saw of it, and is made anew: sync again",
    ))
}

/// Merges the entries of a peer's INDEX (SYN-020). `differing` are the buckets that it had to fill.
pub(super) fn take(
    folder: &Folder,
    peer: Id,
    theirs: &State,
    differing: &Differing,
    received: Vec<Entry>,
    report: &mut Report,
) -> Result<()> {
    let lock = folder.lock();
    let (index, id) = (folder.index(), folder.id());
    let mut own: HashMap<Id, Entry> = HashMap::new();
    for (number, _) in (0_u8..=u8::MAX).zip(differing).filter(|(_, differs)| **differs) {
        own.extend(index.bucket(id, number)?.into_iter().map(|entry| (entry.id, entry)));
    }
    let known = |entry: Id| match own.get(&entry) {
        None if !differing[usize::from(bucket(entry))] => index.entry(id, entry).ok().flatten(),
        known => known.cloned(),
    };
    let unknown = check_entries(folder, peer, &received, known)?;
    let checked = received.into_iter().zip(unknown).collect();
    merge_all(folder, Some((peer, theirs)), (&own, differing), checked, report)?;
    drop(lock);
    // Who keeps its changes to itself gave nothing.
    if theirs.complete { look_again(folder) } else { Ok(()) }
}

/// SYN-140: a device that began anew has now all that a peer, or the cloud, has. What is on its disk is the same, or something new
/// beside it.
pub(super) fn look_again(folder: &Folder) -> Result<()> {
    let (index, id) = (folder.index(), folder.id());
    if index.past(id)? == Past::Anew {
        folder.write(&Batch { past: Some(Past::Lost), ..Batch::default() })?;
        scan(folder, &NoProgress)?;
    }
    Ok(())
}

/// Merges states that the cloud shows, as the entries of a peer whose STATE is not complete (SYN-085). Says of each whether all
/// of it is here now, or why it is not believed. These may be a part of what it shows: [`look_again`] is for the end.
pub(super) fn take_states(
    folder: &Folder,
    shown: &[Entry],
    report: &mut Report,
) -> Result<Vec<Result<bool>>> {
    let lock = folder.lock();
    let (index, id) = (folder.index(), folder.id());
    let own = |entry: Id| index.entry(id, entry).ok().flatten();
    let mut sifted = sift_entries(folder, shown, own)?;
    if deviates(req::SYN_086) {
        sifted.iter_mut().for_each(|sifted| *sifted = Ok(None));
    }
    let good: Vec<(Entry, Option<Id>)> = shown
        .iter()
        .zip(&sifted)
        .filter_map(|(entry, sifted)| Some((entry.clone(), *sifted.as_ref().ok()?)))
        .collect();
    if !deviates(req::SYN_085) {
        merge_all(folder, None, (&HashMap::new(), &[false; BUCKETS]), good, report)?;
    }
    drop(lock);
    let context = index.context(id, folder.device())?;
    let is_here = |entry: &Entry, unknown: Option<Id>| -> Result<bool> {
        let own = index.entry(id, entry.id)?;
        let has_all = |own: Entry| own.version.dominates(&entry.version);
        Ok(unknown.is_none() && own.map_or_else(|| context.covers(&entry.version), has_all))
    };
    let all = shown.iter().zip(sifted);
    Ok(all.map(|(entry, sifted)| sifted.and_then(|unknown| is_here(entry, unknown))).collect())
}

/// Merges entries, each with its writer that is not known, if there is one. `own` has the entries of the buckets that differ.
fn merge_all(
    folder: &Folder,
    from: Option<(Id, &State)>,
    (own, differing): (&HashMap<Id, Entry>, &Differing),
    received: Vec<(Entry, Option<Id>)>,
    report: &mut Report,
) -> Result<()> {
    let (index, id) = (folder.index(), folder.id());
    let mut context = index.context(id, folder.device())?;
    let their_context = from.map(|(_, theirs)| seen(&theirs.heads)).unwrap_or_default();
    let complete = from.is_some_and(|(_, theirs)| theirs.complete);
    let mut clock = index.clock(id)?;
    let mut batch = Batch::default();
    let bytes = received.iter().map(|(entry, _)| size_of(entry) as u64).sum();
    let mut room = Room(folder.room(Size { entries: received.len() as u64, bytes })?);
    let mut listed = HashSet::new();
    let mut refused = false;
    let mut forgotten = BTreeMap::new();
    for (entry, unknown) in received {
        if let Some(writer) = unknown {
            refused = true;
            let path = entry.place.name.as_str().to_owned();
            let fork = own.get(&entry.id).and_then(|own| Fork::of(own, &entry));
            let reason = match &fork {
                Some(_) => SkipReason::Forked(writer),
                None => SkipReason::UnknownWriter(writer),
            };
            report.skipped.push((id, Skipped { path, reason }));
            if let Some(fork) = fork {
                note_fork(folder, &fork)?;
            }
            listed.insert(entry.id);
            continue;
        }
        if let Some(writer) = entry.overdone() {
            refused = true;
            tracing::warn!(%writer, entry = %entry.id, requirement = req::SYN_160.id, "ignored: it deletes too much at once");
            let path = entry.place.name.as_str().to_owned();
            report.skipped.push((id, Skipped { path, reason: SkipReason::Overdone(writer) }));
            listed.insert(entry.id);
            continue;
        }
        clock.lamport = clock.lamport.max(entry.lamport());
        listed.insert(entry.id);
        let mine = match own.get(&entry.id) {
            Some(mine) => Some(mine.clone()),
            None if differing[usize::from(bucket(entry.id))] => None,
            None => index.entry(id, entry.id)?,
        };
        match mine {
            // SYN-046: it was here, it was deleted, and all who knew of it knew that.
            None if context.covers(&entry.version) && !deviates(req::SYN_046) => {
                forgotten.insert(entry.id, entry);
            }
            None if deviates(req::SYN_040) && !is_known(&entry, own, folder)? => {}
            None if room.takes(None, &entry) => batch.entries.push(entry),
            None => {
                refused = true;
                let path = entry.place.name.as_str().to_owned();
                report.skipped.push((id, Skipped { path, reason: SkipReason::TooMany }));
            }
            Some(mine) => match merge(&mine, &entry, (&context, &their_context)) {
                Some(merged) if merged == mine => {}
                Some(merged) if room.takes(Some(&mine), &merged) => batch.entries.push(merged),
                merged => {
                    refused = true;
                    let reason = if merged.is_some() { SkipReason::TooMany } else { SkipReason::Unmergeable };
                    let path = mine.place.name.as_str().to_owned();
                    report.skipped.push((id, Skipped { path, reason }));
                }
            },
        }
    }
    if complete || deviates(req::SYN_048) {
        // SYN-045: what the peer saw and does not have any more was deleted, however long ago.
        let seen = own.values().filter(|entry| {
            !listed.contains(&entry.id) && their_context.covers(&entry.version) && !deviates(req::SYN_045)
        });
        forgotten.extend(seen.map(|entry| (entry.id, entry.clone())));
    }
    forget(folder, forgotten, &mut batch)?;
    if let Some((peer, theirs)) = from {
        if complete && !refused {
            let is_news =
                |head: &&Head| context.0.get(&head.device).is_none_or(|counter| *counter < head.counter);
            batch.heads = theirs.heads.iter().filter(is_news).copied().collect();
            context.join(&their_context);
            batch.contexts.push((folder.device(), context));
            batch.met = Some(peer);
        }
        batch.contexts.push((peer, their_context));
    }
    batch.clock = Some(clock);
    batch.unsettles = !batch.entries.is_empty();
    if !batch.forgotten.is_empty() {
        batch.settled = Some(false);
    }
    folder.write(&batch)
}

/// What a folder may keep more (SYN-116).
struct Room(Size);

impl Room {
    /// Whether there is room for an entry, of which there was this `before`.
    fn takes(&mut self, before: Option<&Entry>, after: &Entry) -> bool {
        let grows = size_of(after).saturating_sub(before.map_or(0, size_of)) as u64;
        let Size { entries, bytes } = self.0;
        let left = (entries.checked_sub(u64::from(before.is_none())), bytes.checked_sub(grows));
        let (Some(entries), Some(bytes)) = left else { return false };
        self.0 = Size { entries, bytes };
        true
    }
}

/// Forgets these entries, but for directories that living entries are in: those are taken, or stay.
fn forget(folder: &Folder, forgotten: BTreeMap<Id, Entry>, batch: &mut Batch) -> Result<()> {
    if forgotten.is_empty() {
        return Ok(());
    }
    let own = folder.index().entries(folder.id())?;
    let mut all: BTreeMap<Id, &Entry> = own.iter().map(|entry| (entry.id, entry)).collect();
    let is_own: BTreeSet<Id> = all.keys().copied().collect();
    all.extend(forgotten.iter().map(|(id, entry)| (*id, entry)));
    all.extend(batch.entries.iter().map(|entry| (entry.id, entry)));
    let needed = holding(&all, &forgotten.keys().copied().collect());
    for (id, entry) in forgotten {
        match (needed.contains(&id), is_own.contains(&id)) {
            (true, false) => batch.entries.push(entry),
            (false, true) => batch.forgotten.push(id),
            _ => {}
        }
    }
    Ok(())
}

/// Whether the directory of an entry is known, as an implementation without SYN-040 would ask.
fn is_known(entry: &Entry, own: &HashMap<Id, Entry>, folder: &Folder) -> Result<bool> {
    let parent = entry.place.parent;
    Ok(parent == ROOT || own.contains_key(&parent) || folder.index().entry(folder.id(), parent)?.is_some())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use meshproof_proto::crypto::{DEFAULT, Secret};
    use meshproof_proto::sync::entry::new_id;
    use meshproof_proto::sync::{Content, Kind, Name, Stamp};

    use super::*;
    use crate::sync::{Direction, Index, Signer};

    const FOLDER: Id = Id([7; 16]);

    /// Directories that the signer made, each a change of its own.
    fn entries(writer: Id, numbers: std::ops::Range<u64>) -> Vec<Entry> {
        let key = DEFAULT.signing_key(&Secret::new([1; 32]));
        let entry = |number: u64| {
            let name = Name::parse(&format!("directory {number}")).unwrap();
            let stamp = Stamp { lamport: 1, writer, counter: number + 1 };
            let content = Content { stamp, kind: Kind::Directory, mode: 0o755, mtime: 0, gone: false };
            let mut entry = Entry::new(new_id(ROOT, &name, 0), (ROOT, name), content).unwrap();
            entry.sign(FOLDER, &*key);
            entry
        };
        let mut entries: Vec<Entry> = numbers.map(entry).collect();
        entries.sort_by_key(|entry| entry.id);
        entries
    }

    #[test]
    fn a_folder_keeps_no_more_entries_than_it_may() {
        let (home, writer) = (tempfile::tempdir().unwrap(), Id([1; 16]));
        let root = home.path().join("folder");
        std::fs::create_dir(&root).unwrap();
        let index = Arc::new(Index::open(&home.path().join("index.db")).unwrap());
        let signer = Arc::new(Signer::new(DEFAULT, writer, &Secret::new([1; 32])));
        let folder = Folder::open(FOLDER, signer, &root, Direction::Both, index).unwrap();
        let folder = folder.with_most(Size { entries: 10, bytes: 1_000_000 });
        let theirs = State { folder: FOLDER, complete: true, heads: Vec::new(), digests: Digests::default() };
        let take = |received: Vec<Entry>| {
            let mut report = Report::default();
            take(&folder, Id([2; 16]), &theirs, &[true; BUCKETS], received, &mut report).unwrap();
            let reasons = report.skipped.iter().map(|(_, skipped)| skipped.reason.clone());
            reasons.filter(|reason| *reason == SkipReason::TooMany).count()
        };
        assert_eq!(take(entries(writer, 0..6)), 0);
        // Session after session brings others.
        assert_eq!([take(entries(writer, 6..12)), take(entries(writer, 12..18))], [2, 6]);
        assert_eq!(folder.index().entries(FOLDER).unwrap().len(), 10);
        assert_eq!(take(entries(writer, 0..6)), 0, "what is here may come again");
    }
}
