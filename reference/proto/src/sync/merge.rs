//! Operation *Merge* (`spec/sync.md`, section 4.3): one entry out of two of one identifier. No clock takes part.
//!
//! It is the least upper bound in a lattice: commutative, associative and idempotent, so devices that saw the same
//! changes have the same entry, in whatever order they met.

use alloc::vec::Vec;

use super::entry::{Content, Context, Entry, MAX_CONTENTS, Place};
use super::proof::{MAX_PROOFS, join};
use crate::requirement::{self as req, deviates};

/// What `mine` and `theirs`, of one identifier, are together. `None` if no entry can say it (SYN-016), or theirs is to be
/// ignored (SYN-160).
///
/// The contexts are what each side has seen of the whole folder: of use where one side collected a deletion and wrote
/// again at the same place, empty if unknown.
pub fn merge(mine: &Entry, theirs: &Entry, contexts: (&Context, &Context)) -> Option<Entry> {
    if theirs.overdone().is_some() {
        return None;
    }
    let version = mine.version.join(&theirs.version).or_else(|| full(mine))?;
    let seen_here =
        |content: &Content| mine.version.has(content.stamp.dot()) || contexts.0.has(content.stamp.dot());
    let seen_there =
        |content: &Content| theirs.version.has(content.stamp.dot()) || contexts.1.has(content.stamp.dot());
    let mut contents: Vec<Content> = Vec::new();
    for content in &mine.contents {
        match theirs.contents.iter().find(|other| other.stamp == content.stamp) {
            Some(other) => contents.push(both(content, other)),
            None if !seen_there(content) => contents.push(content.clone()),
            None => {}
        }
    }
    for content in &theirs.contents {
        let is_here = mine.contents.iter().any(|other| other.stamp == content.stamp);
        if !is_here && !seen_here(content) {
            contents.push(content.clone());
        }
    }
    if contents.is_empty() {
        // Only if a peer says that it saw a content which it neither has nor replaced.
        contents = mine.contents.iter().chain(&theirs.contents).max().cloned().into_iter().collect();
    }
    if deviates(req::SYN_037) && contents.len() > 1 {
        contents.drain(..contents.len() - 1); // the last that came, whatever else was written
    }
    contents.sort();
    let proofs = join(&mine.proofs, &theirs.proofs);
    let place = place(&mine.place, &theirs.place);
    let mut entry = Entry { id: mine.id, place, contents, version, proofs };
    entry.prune();
    let fits = entry.contents.len() <= MAX_CONTENTS && entry.proofs.len() <= MAX_PROOFS;
    (fits || deviates(req::SYN_016)).then_some(entry)
}

/// The later place (SYN-020); deleted from there if either side says so.
fn place(mine: &Place, theirs: &Place) -> Place {
    if mine.stamp == theirs.stamp {
        let gone = mine.gone || theirs.gone;
        return Place { gone, ..mine.max(theirs).clone() };
    }
    if deviates(req::SYN_020) { mine.min(theirs).clone() } else { mine.max(theirs).clone() }
}

/// One content on both sides; deleted if either says so.
fn both(mine: &Content, theirs: &Content) -> Content {
    Content { gone: mine.gone || theirs.gone, ..mine.max(theirs).clone() }
}

/// Without SYN-016, the version stays what it was.
fn full(mine: &Entry) -> Option<super::Version> {
    deviates(req::SYN_016).then(|| mine.version.clone())
}
