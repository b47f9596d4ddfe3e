//! Syncing with the cloud's copy of a folder (`spec/sync.md`, section 4.10): it is a peer that nobody trusts, and that cannot be
//! asked for what it has to say. Who speaks to it is [`Source`]'s business.

use std::collections::{BTreeSet, VecDeque};
use std::path::PathBuf;

use meshproof_proto::codec::Id;
use meshproof_proto::requirement::{self as req, demand};
use meshproof_proto::storage::MediaHash;
use meshproof_proto::sync::manifest::WHOLE;
use meshproof_proto::sync::{Entry, Item, Kind};

use super::apply::Apply;
use super::fetch::copy_local;
use super::keepers::Keeper;
use super::progress::{NoProgress, Progress, Report, SkipReason};
use super::temp::{Ready, TempFile};
use super::{Direction, Folder, disk, only, part};
use crate::error::Result;

/// How many contents are under way at once.
const AT_ONCE: usize = 16;
/// How many bytes stay free on a disk for other things.
const RESERVE: u64 = 64 * 1024 * 1024;

/// Who gives contents.
pub trait Source {
    /// Gets contents into files, behind what is in them already. One answer to each.
    fn fetch(&self, wanted: &[Wanted]) -> Vec<Result<Got>>;
}

/// A content, and where it has to go.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// Its hash.
    pub hash: MediaHash,
    /// In bytes.
    pub size: u64,
    /// The file. It is there.
    pub to: PathBuf,
}

/// What came of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Got {
    /// Bytes, as many as were wanted.
    Bytes,
    /// It is not there.
    Nothing,
    /// Bytes of something else.
    Wrong,
}

/// What became of states, and of contents.
#[derive(Debug, Default)]
pub struct Fetched {
    /// As of a session.
    pub report: Report,
    /// Contents of which other bytes came (STO-052).
    pub wrong: Vec<(String, MediaHash)>,
}

/// Takes over states that the cloud showed (SYN-085). Says of each whether all of it is here now, or why it is not believed.
pub fn take_states(folder: &Folder, shown: &[Entry], report: &mut Report) -> Result<Vec<Result<bool>>> {
    super::take::take_states(folder, shown, report)
}

/// All that the cloud shows was taken over: a device that lost its past goes on (SYN-140). One that takes nothing has to wait.
pub fn all_taken(folder: &Folder) -> Result<()> {
    if folder.direction() == Direction::SendOnly {
        return Ok(());
    }
    super::take::look_again(folder)
}

/// The cloud shows nothing of the folder. A device that lost its past goes on, if no other device gives anything either: it would
/// wait for ever.
pub fn nothing_shown(folder: &Folder) -> Result<()> {
    if folder.is_given_nothing() { super::take::look_again(folder) } else { Ok(()) }
}

/// Believes of the own head what the cloud shows of it: an index that is older than that is made anew (SYN-058).
pub fn check_own_head(folder: &Folder, head: meshproof_proto::sync::Head) -> Result<()> {
    let (id, digests) = (folder.id(), meshproof_proto::sync::Digests::default());
    let mut state = meshproof_proto::sync::State { folder: id, complete: false, heads: vec![head], digests };
    super::take::check_state(folder, None, &mut state)
}

/// Whether the writer, whose card is here, said so (SYN-055, SYN-058). `None`: there is no card.
pub fn check_head(folder: &Folder, head: meshproof_proto::sync::Head) -> Result<Option<()>> {
    match super::writers::check_heads(folder, None, vec![head])? {
        super::writers::Heads::Seen(heads) => Ok(heads.first().map(drop)),
        super::writers::Heads::LostPast(_) => Ok(None),
    }
}

/// Brings the disk to the view, with contents that `source` has.
pub fn fetch(folder: &Folder, source: &dyn Source, progress: &dyn Progress) -> Result<Fetched> {
    let mut apply = Apply::new(folder, progress);
    let mut fetched = Fetched::default();
    let result = fetch_all(&mut apply, folder, source, progress, &mut fetched);
    if result.is_err() {
        // What is complete and verified stays.
        apply.commit(&mut fetched.report)?;
    }
    result.map(|()| fetched)
}

fn fetch_all(
    apply: &mut Apply<'_>,
    folder: &Folder,
    source: &dyn Source,
    progress: &dyn Progress,
    fetched: &mut Fetched,
) -> Result<()> {
    let mut queue: VecDeque<Item> = apply.plan(&mut fetched.report)?.into();
    while !queue.is_empty() {
        let mut asked: Vec<(Item, TempFile, Wanted)> = Vec::new();
        let mut ready: Vec<(Item, Result<Ready, SkipReason>)> = Vec::new();
        while let Some(item) = queue.pop_front() {
            let (Kind::File { size, hash } | Kind::Link { size, hash }) = item.kind else { continue };
            if let Some(copy) = copy_local(folder, &item, size, &hash)? {
                ready.push((item, Ok(copy)));
                break; // one at a time: copies take room as well
            }
            if let Some(free) = disk::free(folder.root()).filter(|free| *free < size.saturating_add(RESERVE))
            {
                ready.push((item, Err(SkipReason::NoRoom(size.saturating_add(RESERVE), free))));
                continue;
            }
            let place = format!("cloud {}", item.path.as_str());
            let opened = (size > WHOLE).then(|| part::open(folder.root(), &place, &hash)).flatten();
            let file = opened.map_or_else(|| folder.temp_file(), |part| Ok(part.file))?;
            let wanted = Wanted { hash, size, to: file.path().to_owned() };
            asked.push((item, file, wanted));
            if asked.len() >= AT_ONCE {
                break;
            }
        }
        let wanted: Vec<Wanted> = asked.iter().map(|(_, _, wanted)| wanted.clone()).collect();
        let answers = if wanted.is_empty() { Vec::new() } else { source.fetch(&wanted) };
        for ((item, mut file, wanted), got) in asked.into_iter().zip(answers) {
            file.is_begun();
            match got? {
                Got::Nothing => ready.push((item, Err(SkipReason::Elsewhere))),
                Got::Bytes if demand(file.hash_all(wanted.size)? == wanted.hash, req::STO_052).is_ok() => {
                    fetched.report.bytes_received += wanted.size;
                    let finished = file.finish(item.mode, item.mtime)?;
                    ready.push((item, Ok(finished)));
                }
                Got::Bytes | Got::Wrong => {
                    file.discard();
                    fetched.wrong.push((item.path.as_str().to_owned(), wanted.hash));
                    ready.push((item, Err(SkipReason::Elsewhere)));
                }
            }
        }
        for (item, ready) in ready {
            let path = item.path.clone();
            match ready {
                Ok(content) => {
                    fetched.report.files_received += 1;
                    progress.received(Id::default(), 1, content.seen.size);
                    apply.stage(item, content, &mut fetched.report)?;
                }
                Err(reason) => apply.leave(&path, reason, &mut fetched.report),
            }
            if apply.waited_for(&path, &mut fetched.report)? {
                queue.extend(apply.plan(&mut fetched.report)?);
            }
        }
    }
    // What the cloud keeps is asked for itself.
    apply.finish(&Keeper::default(), &mut fetched.report)
}

/// The contents that the cloud has to keep before what is not chosen any more may go (SYN-150).
pub fn to_give_up(folder: &Folder) -> Result<Vec<MediaHash>> {
    if only::patterns(folder.root())?.is_empty() {
        return Ok(Vec::new());
    }
    let mut apply = Apply::new(folder, &NoProgress);
    apply.plan(&mut Report::default())?;
    Ok(apply.to_give_up(&cloud(folder, BTreeSet::new())?)?.into_iter().collect())
}

/// Removes what is not chosen any more and of which the cloud has the entries, and these contents.
pub fn give_up(folder: &Folder, kept: BTreeSet<MediaHash>, progress: &dyn Progress) -> Result<()> {
    let mut apply = Apply::new(folder, progress);
    let mut report = Report::default();
    apply.plan(&mut report)?;
    apply.finish(&cloud(folder, kept)?, &mut report)
}

fn cloud(folder: &Folder, kept: BTreeSet<MediaHash>) -> Result<Keeper> {
    let all = folder.index().unsent(folder.id(), Id::default(), usize::MAX)?;
    Ok(Keeper::cloud(all.into_iter().collect(), kept))
}
