//! A file on its way that takes more than one answer.
//!
//! ```text
//!  Asked --MANIFEST--> Chunks     some of it is here, or others get it
//!  Whole ------------> complete   nothing of it is here, and nobody else got it when it began
//!  Whole --others have chunks, the same MANIFEST, nothing unanswered--> Chunks
//! ```

use std::collections::{BTreeMap, VecDeque};
use std::fs::File;
use std::ops::Range;
use std::sync::Arc;

use meshproof_proto::requirement::{self as req, demand};
use meshproof_proto::storage::MediaHash;
use meshproof_proto::sync::Chunk;
use meshproof_proto::sync::manifest::WHOLE;
use meshproof_proto::sync::message::MAX_REQUEST;

use super::claims::{Key, Member};
use super::fetch::{Fetched, Want};
use super::plan::{Plan, has_old_version};
use super::temp::TempFile;
use super::together::{Helper, Together};
use super::{Folder, part};
use crate::error::Result;

pub(super) struct Receiving {
    pub(super) want: Want,
    pub(super) hash: MediaHash,
    size: u64,
    key: Key,
    /// What has to be asked for.
    todo: VecDeque<Range<u64>>,
    unanswered: usize,
    gathering: Gathering,
    /// Whether the peer does not have it any more.
    gone: bool,
}

/// How what comes is put together.
enum Gathering {
    /// Waiting for the chunks. There were so many bytes of the content, and these files of what was to be here before.
    Asked { file: TempFile, had: u64, superseded: Vec<File> },
    /// In order. These parts came before those in front of them.
    Whole { file: TempFile, early: BTreeMap<u64, Vec<u8>>, joins: Joins },
    /// Chunk by chunk.
    Chunks(Helper),
    /// It failed.
    Over,
}

/// Whether who gets the whole joins those who get chunks.
enum Joins {
    /// There were none.
    Not,
    /// The peer is asked for the chunks.
    Asks,
    /// These, when nothing is unanswered.
    Soon(Arc<Together>),
    /// The peer has other chunks.
    Never,
}

/// What has become of a file.
#[allow(clippy::large_enum_variant)] // it is taken apart at once
pub(super) enum Step {
    /// It goes on.
    On(Receiving),
    /// It ended.
    Ended(Fetched),
}

impl Receiving {
    pub(super) fn new(
        folder: &Folder,
        want: Want,
        (size, hash): (u64, MediaHash),
        alone: bool,
    ) -> Result<Self> {
        let key = Key::of(&want.theirs, hash);
        let is_large = size > WHOLE;
        let (root, place) = (folder.root(), want.theirs.path.as_str());
        let open = || part::open(root, place, &hash).or_else(|| part::open_another(root, place, &hash));
        let part = is_large.then(open).flatten();
        let (mut file, had, superseded) = match part {
            Some(part) => (part.file, part.had, part.superseded),
            None => (folder.temp_file()?, 0, Vec::new()),
        };
        let by_chunks =
            is_large && (had > 0 || !superseded.is_empty() || !alone || has_old_version(folder, &want)?);
        let (todo, gathering) = if by_chunks {
            (VecDeque::new(), Gathering::Asked { file, had, superseded })
        } else {
            file.expects(size);
            (
                VecDeque::from([0..size; 1]),
                Gathering::Whole { file, early: BTreeMap::new(), joins: Joins::Not },
            )
        };
        let todo = if size > 0 { todo } else { VecDeque::new() };
        Ok(Self { want, hash, size, key, todo, unanswered: 0, gathering, gone: false })
    }

    /// Whether the chunks are to be asked for: before all else, or because others get chunks now.
    pub(super) fn asks_for_chunks(&mut self, member: &Member) -> bool {
        match &mut self.gathering {
            Gathering::Asked { .. } => true,
            Gathering::Whole { joins: joins @ Joins::Not, .. }
                if self.size > WHOLE && !self.todo.is_empty() =>
            {
                let others = member.opened(&self.key).is_some();
                if others {
                    *joins = Joins::Asks;
                }
                others
            }
            _ => false,
        }
    }

    /// The next to ask for: from where on, and how much.
    pub(super) fn next(&mut self, member: &Member) -> Option<(u64, u32)> {
        match &self.gathering {
            Gathering::Whole { joins: Joins::Soon(_), .. } => return None,
            Gathering::Chunks(helper) if self.todo.is_empty() && !self.gone => {
                self.todo.extend(helper.together.next(member.number()));
            }
            _ => {}
        }
        let range = self.todo.front_mut()?;
        let length = u32::try_from(range.end - range.start).unwrap_or(u32::MAX).min(MAX_REQUEST);
        let offset = range.start;
        range.start += u64::from(length);
        if range.is_empty() {
            self.todo.pop_front();
        }
        self.unanswered += 1;
        Some((offset, length))
    }

    /// How many bytes are to be asked for.
    pub(super) fn to_come(&self) -> u64 {
        let asked: u64 = self.todo.iter().map(|range| range.end - range.start).sum();
        match &self.gathering {
            Gathering::Asked { .. } => self.size,
            Gathering::Whole { .. } | Gathering::Over => asked,
            Gathering::Chunks(helper) => asked + helper.together.to_come(),
        }
    }

    /// How many bytes came and wait for others.
    pub(super) fn held(&self) -> u64 {
        match &self.gathering {
            Gathering::Asked { .. } | Gathering::Over => 0,
            Gathering::Whole { early, .. } => early.values().map(|content| content.len() as u64).sum(),
            Gathering::Chunks(helper) => helper.held(),
        }
    }

    /// Takes bytes that came. `None`: the peer does not have them any more.
    pub(super) fn take(&mut self, offset: u64, content: Option<Vec<u8>>) -> Result<()> {
        self.unanswered -= 1;
        let Some(content) = content else {
            self.gone = true;
            self.todo.clear();
            return Ok(());
        };
        match &mut self.gathering {
            Gathering::Asked { .. } | Gathering::Over => Ok(()),
            Gathering::Chunks(helper) => helper.take(offset, &content),
            Gathering::Whole { file, early, .. } => {
                if offset != file.written() {
                    early.insert(offset, content);
                    return Ok(());
                }
                file.write(&content)?;
                while let Some(next) = early.remove(&file.written()) {
                    file.write(&next)?;
                }
                Ok(())
            }
        }
    }

    /// The chunks came, or the peer does not tell them.
    pub(super) fn told(
        &mut self,
        chunks: Option<Vec<Chunk>>,
        folder: &Folder,
        member: &Member,
    ) -> Result<()> {
        let same = |others: &Arc<Together>| {
            chunks.as_ref().is_some_and(|chunks| others.join(chunks, member.number()))
        };
        let joined = member.opened(&self.key).filter(same);
        self.gathering = match (std::mem::replace(&mut self.gathering, Gathering::Over), joined) {
            (Gathering::Whole { file, early, .. }, joined) => {
                Gathering::Whole { file, early, joins: joined.map_or(Joins::Never, Joins::Soon) }
            }
            (Gathering::Asked { mut file, had, .. }, Some(others)) => {
                others.give(&mut file, had)?;
                Gathering::Chunks(Helper::new(others))
            }
            (Gathering::Asked { file, had, superseded }, None) => {
                if let Some(chunks) = chunks {
                    self.plan(chunks, (file, had, superseded), folder, member)?
                } else {
                    // What was here stays for a peer that tells the chunks.
                    self.todo = VecDeque::from([0..self.size; 1]);
                    Gathering::Whole {
                        file: folder.temp_file()?,
                        early: BTreeMap::new(),
                        joins: Joins::Never,
                    }
                }
            }
            (gathering, _) => gathering,
        };
        Ok(())
    }

    /// Takes over the chunks. What `file` has of an earlier session, and what is in other files, need not come.
    fn plan(
        &self,
        chunks: Vec<Chunk>,
        (mut file, had, mut sources): (TempFile, u64, Vec<File>),
        folder: &Folder,
        member: &Member,
    ) -> Result<Gathering> {
        let mut is_shared = had > 0;
        let mut plan = Plan::new(chunks, self.size)?;
        if !plan.fits(&mut file, had) {
            // What others gave stays as it is, and is read.
            let place = self.want.theirs.path.as_str();
            let beside = part::open_beside(folder.root(), place, &self.hash, &plan.sum());
            let (other, had) = match beside {
                Some(beside) => {
                    sources.extend(beside.superseded);
                    (beside.file, beside.had)
                }
                None => (folder.temp_file()?, 0),
            };
            sources.extend(std::mem::replace(&mut file, other).into_source());
            is_shared = false;
            plan.fits(&mut file, had);
        }
        let filled = plan.fill(&mut file, folder, &self.want, sources);
        if filled.is_err() && !is_shared {
            // No room, most likely: what was put together gives its own back.
            let _ = file.clear();
        }
        // Who gets the whole comes from the beginning.
        let lacks = filled?;
        let lacks: VecDeque<_> = if member.is_joint() { lacks.into_iter().rev().collect() } else { lacks };
        let together = Together::new(plan, &lacks, file, is_shared, member.number());
        member.open(&self.key, &together);
        Ok(Gathering::Chunks(Helper::new(together)))
    }

    /// What has become of it, after anything came or others did something.
    pub(super) fn step(mut self, folder: &Folder, member: &Member) -> Result<Step> {
        if member.is_here(&self.key) {
            drop(self.gathering);
            part::give_up(folder.root(), self.want.theirs.path.as_str());
            return Ok(Step::Ended(Fetched::Elsewhere(self.want)));
        }
        if self.gone {
            if self.unanswered > 0 {
                return Ok(Step::On(self));
            }
            member.release(&self.key);
            return Ok(Step::Ended(Fetched::Gone(self.want)));
        }
        self.gathering = match std::mem::replace(&mut self.gathering, Gathering::Over) {
            Gathering::Whole { mut file, joins: Joins::Soon(others), .. } if self.unanswered == 0 => {
                let written = file.written();
                others.give(&mut file, written)?;
                self.todo.clear();
                Gathering::Chunks(Helper::new(others))
            }
            gathering => gathering,
        };
        match self.gathering {
            Gathering::Whole { mut file, early, .. } if self.unanswered == 0 && self.todo.is_empty() => {
                for (_, rest) in early {
                    file.write(&rest)?;
                }
                let hash = file.hash();
                Self::end(self.want, (self.hash, hash), file, true)
            }
            Gathering::Chunks(helper) => {
                let Some((mut file, is_shared)) = helper.together.take() else {
                    if helper.together.is_over() {
                        return Ok(Step::Ended(Fetched::Elsewhere(self.want)));
                    }
                    return Ok(Step::On(Self { gathering: Gathering::Chunks(helper), ..self }));
                };
                let hash = file.hash_all(self.size)?;
                if hash == self.hash {
                    folder.index().remember(folder.id(), &hash, helper.together.chunks())?;
                }
                Self::end(self.want, (self.hash, hash), file, !is_shared)
            }
            gathering => Ok(Step::On(Self { gathering, ..self })),
        }
    }

    /// All of it came. What is not the content goes, if it is `own`: if nobody else gave anything of it.
    fn end(want: Want, (hash, found): (MediaHash, MediaHash), file: TempFile, own: bool) -> Result<Step> {
        if let Err(error) = demand(found == hash, req::SYN_030) {
            if own {
                file.discard();
            }
            return Err(error.into());
        }
        let ready = file.finish(want.theirs.mode, want.theirs.mtime)?;
        Ok(Step::Ended(Fetched::Complete(want, ready)))
    }
}
