//! Operation *Merge* (`spec/sync.md`, section 4.3): which of two entries for one path wins. No clock takes part.

use alloc::format;
use alloc::string::{String, ToString};

use super::{Entry, PortablePath};
use crate::error::Error;
use crate::requirement::{self as req, deviates};

/// What to do with a received entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Merge {
    /// Nothing: what is here is as new.
    Keep,
    /// The received entry replaces what is here.
    Take(Entry),
    /// Both sides changed it. The entry, with the version of both, is the result; the own content won.
    KeepJoined(Entry),
    /// Both sides changed it, the received content won, and the own content was the same or a deletion.
    TakeJoined(Entry),
    /// No version can say what both sides did: the received entry is to be ignored (SYN-016).
    Refuse,
    /// Both sides changed it differently.
    Conflict {
        /// The result, with the version of both.
        winner: Entry,
        /// The losing side's entry, which is kept under [`conflict_path`].
        loser: Entry,
        /// Whether the received content won.
        theirs: bool,
    },
}

/// Merges the received entry `theirs` into `mine`, which is for the same path.
pub fn merge(mine: &Entry, theirs: &Entry) -> Merge {
    if mine.version.dominates(&theirs.version) {
        return Merge::Keep;
    }
    if theirs.version.dominates(&mine.version) {
        return Merge::Take(theirs.clone());
    }
    let Some(version) = mine.version.join(&theirs.version) else { return Merge::Refuse };
    let joined = |entry: &Entry| Entry { version: version.clone(), ..entry.clone() };
    let they_win = wins(theirs, mine);
    let (winner, loser) = if they_win { (theirs, mine) } else { (mine, theirs) };
    if loser.is_deleted() || mine.same_content(theirs) {
        return if they_win { Merge::TakeJoined(joined(winner)) } else { Merge::KeepJoined(joined(winner)) };
    }
    Merge::Conflict { winner: joined(winner), loser: loser.clone(), theirs: they_win }
}

/// Whether `a` wins over `b`, when neither saw the other: SYN-022, then SYN-020.
fn wins(a: &Entry, b: &Entry) -> bool {
    let edit_first = a.is_deleted() != b.is_deleted() && !deviates(req::SYN_022);
    if edit_first { b.is_deleted() } else { (a.lamport, a.writer) > (b.lamport, b.writer) }
}

/// Where the content of a losing file is kept (SYN-021).
///
/// # Errors
/// If the name gets too long to be portable.
pub fn conflict_path(loser: &Entry) -> Result<PortablePath, Error> {
    let path = loser.path.as_str();
    let (directory, name) = path.rsplit_once('/').map_or(("", path), |(directory, name)| (directory, name));
    let writer: String = loser.writer.to_string().chars().take(8).collect();
    let mark = format!(" (conflict {writer} {})", loser.lamport);
    let marked = match name.rsplit_once('.') {
        Some((stem, extension)) if !stem.is_empty() => format!("{stem}{mark}.{extension}"),
        _ => format!("{name}{mark}"),
    };
    let path = if directory.is_empty() { marked } else { format!("{directory}/{marked}") };
    PortablePath::parse(&path)
}
