//! One large content, chunk by chunk, from one peer or several at once: each session asks its peer for chunks that nobody
//! asked for, and at the end for those that others asked for and did not get. A peer helps if it says that the content
//! has the same chunks; so what it gives is judged by what it said itself (SYN-072), and no peer answers for another.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use meshproof_proto::requirement::{self as req, demand};
use meshproof_proto::storage::MediaHash;
use meshproof_proto::sync::Chunk;

use super::plan::Plan;
use super::temp::TempFile;
use crate::error::Result;

/// What those who get it have in common.
pub(super) struct Together {
    plan: Plan,
    shared: Mutex<Work>,
}

struct Work {
    /// Until all of it is there, or it was given up.
    file: Option<TempFile>,
    members: BTreeSet<u64>,
    /// Chunks that nobody asked for.
    todo: VecDeque<usize>,
    /// Who asked for those that are not there.
    asked: BTreeMap<usize, Vec<u64>>,
    /// Whether others, before, may have given what is in the file.
    is_shared: bool,
}

impl Together {
    /// What lacks has to come from the peers of the members, of which this is the first.
    pub(super) fn new(
        plan: Plan,
        lacks: &VecDeque<Range<u64>>,
        file: TempFile,
        is_shared: bool,
        member: u64,
    ) -> Arc<Self> {
        let todo = lacks.iter().filter_map(|range| plan.number(range.start)).collect();
        let (file, members) = (Some(file), BTreeSet::from([member]));
        let shared = Work { file, members, todo, asked: BTreeMap::new(), is_shared };
        Arc::new(Self { plan, shared: Mutex::new(shared) })
    }

    /// Joins with a peer that says that these are the chunks. `false`: they are not, or it is too late.
    pub(super) fn join(&self, chunks: &[Chunk], member: u64) -> bool {
        let mut shared = self.lock();
        shared.file.is_some() && self.plan.chunks() == chunks && shared.members.insert(member)
    }

    /// The next chunk for the peer of this member. `None`: nothing now.
    pub(super) fn next(&self, member: u64) -> Option<Range<u64>> {
        let mut shared = self.lock();
        shared.file.as_ref()?;
        let number = if let Some(number) = shared.todo.pop_front() {
            number
        } else {
            // Once more: whose answer comes first counts, and nobody waits for another's peer.
            let others = shared.asked.iter().filter(|(_, by)| !by.contains(&member));
            *others.min_by_key(|(_, by)| by.len())?.0
        };
        shared.asked.entry(number).or_default().push(member);
        Some(self.plan.range(number))
    }

    /// Puts a chunk that is what it should be into its place.
    fn put(&self, number: usize, bytes: &[u8]) -> Result<()> {
        let mut shared = self.lock();
        // Else another was faster.
        if shared.lacks(number)
            && let Some(file) = &mut shared.file
        {
            file.write_at(self.plan.range(number).start, bytes)?;
            if shared.asked.remove(&number).is_none() {
                shared.todo.retain(|lacking| *lacking != number);
            }
        }
        Ok(())
    }

    /// Gives what is at the beginning of a file: so many bytes of it.
    pub(super) fn give(&self, file: &mut TempFile, bytes: u64) -> Result<()> {
        let mut buffer = Vec::new();
        for (number, chunk) in self.plan.chunks().iter().enumerate() {
            let Range { start, end } = self.plan.range(number);
            if end > bytes {
                break;
            }
            buffer.resize(chunk.length as usize, 0);
            let lacks = self.lock().lacks(number);
            if lacks && file.read_at(start, &mut buffer) && MediaHash::of(&buffer) == chunk.hash {
                self.put(number, &buffer)?;
            }
        }
        Ok(())
    }

    /// The file, if all of it is there, for whoever asks first.
    pub(super) fn take(&self) -> Option<(TempFile, bool)> {
        let mut shared = self.lock();
        let complete = shared.todo.is_empty() && shared.asked.is_empty();
        let is_shared = shared.is_shared;
        shared.file.take_if(|_| complete).map(|file| (file, is_shared))
    }

    /// This member asks for nothing more: others do, for what it did not get.
    pub(super) fn leave(&self, member: u64) {
        let mut shared = self.lock();
        let Work { members, todo, asked, .. } = &mut *shared;
        members.remove(&member);
        asked.retain(|number, by| {
            by.retain(|other| *other != member);
            if by.is_empty() {
                todo.push_back(*number);
            }
            !by.is_empty()
        });
    }

    /// Whether there is nobody any more.
    pub(super) fn is_left(&self) -> bool {
        self.lock().members.is_empty()
    }

    /// Whether somebody took the file.
    pub(super) fn is_over(&self) -> bool {
        self.lock().file.is_none()
    }

    /// How many bytes nobody asked for.
    pub(super) fn to_come(&self) -> u64 {
        let shared = self.lock();
        shared.todo.iter().map(|number| self.plan.range(*number)).map(|range| range.end - range.start).sum()
    }

    /// The chunks.
    pub(super) fn chunks(&self) -> &[Chunk] {
        self.plan.chunks()
    }

    fn lock(&self) -> MutexGuard<'_, Work> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Work {
    fn lacks(&self, number: usize) -> bool {
        self.asked.contains_key(&number) || self.todo.contains(&number)
    }
}

/// The part of one session, with what came of chunks of which more is to come.
pub(super) struct Helper {
    pub(super) together: Arc<Together>,
    filling: HashMap<usize, Filling>,
}

struct Filling {
    bytes: Vec<u8>,
    /// How many bytes have not come yet.
    left: usize,
}

impl Helper {
    pub(super) fn new(together: Arc<Together>) -> Self {
        Self { together, filling: HashMap::new() }
    }

    /// How many bytes of incomplete chunks came.
    pub(super) fn held(&self) -> u64 {
        self.filling.values().map(|filling| (filling.bytes.len() - filling.left) as u64).sum()
    }

    /// Takes bytes that came. A chunk is written when it is complete and verified.
    pub(super) fn take(&mut self, offset: u64, content: &[u8]) -> Result<()> {
        // Chunks are asked for one by one, so what comes is of one.
        let plan = &self.together.plan;
        let Some(number) = plan.number(offset) else { return Ok(()) };
        let (chunk, start) = (plan.chunks()[number], plan.range(number).start);
        let length = chunk.length as usize;
        let filling =
            self.filling.entry(number).or_insert_with(|| Filling { bytes: vec![0; length], left: length });
        let at = usize::try_from(offset - start).unwrap_or(usize::MAX);
        let Some(place) = at.checked_add(content.len()).and_then(|end| filling.bytes.get_mut(at..end)) else {
            return Ok(());
        };
        place.copy_from_slice(content);
        filling.left = filling.left.saturating_sub(content.len());
        if filling.left > 0 {
            return Ok(());
        }
        let Some(filling) = self.filling.remove(&number) else { return Ok(()) };
        demand(MediaHash::of(&filling.bytes) == chunk.hash, req::SYN_072)?;
        self.together.put(number, &filling.bytes)
    }
}
