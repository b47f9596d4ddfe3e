//! Which of the paths that are new are those that are gone, under another name.

use std::collections::{BTreeMap, HashMap, HashSet};

use meshproof_proto::storage::MediaHash;
use meshproof_proto::sync::Kind;

use super::changes::Found;
use super::index::Record;
use super::scan::State;

/// From where what is at a path came.
pub(super) type Moves = HashMap<String, String>;

/// Pairs new paths with gone ones: files of the same content, directories of the same inode or with the same files in them.
pub(super) fn find_moves(found: &Found, records: &BTreeMap<String, Record>, gone: &[&Record]) -> Moves {
    let mut moves = Moves::new();
    if gone.is_empty() {
        return moves;
    }
    let mut by_inode: HashMap<u64, &Record> = HashMap::new();
    let mut by_content: HashMap<(u64, MediaHash), Vec<&Record>> = HashMap::new();
    for &record in gone {
        if let Some(seen) = record.seen.filter(|seen| seen.inode != 0) {
            by_inode.insert(seen.inode, record);
        }
        if let Kind::File { size: size @ 1.., hash } = record.entry.kind {
            by_content.entry((size, hash)).or_default().push(record);
        }
    }
    let is_new = |path: &str, state: &State| match records.get(path) {
        Some(record) => (record.entry.kind == Kind::Directory) != matches!(state, State::Directory { .. }),
        None => true,
    };
    let new: Vec<(&str, &State)> = found
        .iter()
        .filter(|(path, (_, state))| is_new(path, state))
        .map(|(path, (_, state))| (path.as_str(), state))
        .collect();
    let mut used: HashSet<&str> = HashSet::new();
    for &(path, state) in &new {
        let from = match *state {
            State::Directory { seen, .. } => {
                by_inode.get(&seen.inode).filter(|from| from.entry.kind == Kind::Directory)
            }
            State::File { hash, seen, .. } => by_inode.get(&seen.inode).filter(|from| {
                let same = Kind::File { size: seen.size, hash };
                from.entry.kind == same && from.seen.is_some_and(|before| before.mtime == seen.mtime)
            }),
            State::Link { hash, size, seen } => {
                by_inode.get(&seen.inode).filter(|from| from.entry.kind == Kind::Link { size, hash })
            }
        };
        if let Some(from) = from.copied()
            && used.insert(from.entry.path.as_str())
        {
            moves.insert(path.to_owned(), from.entry.path.as_str().to_owned());
        }
    }
    let paired: HashSet<String> = moves.keys().cloned().collect();
    for &(path, state) in new.iter().filter(|(path, _)| !paired.contains(*path)) {
        let State::File { hash, seen, .. } = *state else { continue };
        let Some(candidates) = by_content.get(&(seen.size, hash)) else { continue };
        let free = || candidates.iter().filter(|from| !used.contains(from.entry.path.as_str()));
        let same_name = free().find(|from| base(from.entry.path.as_str()) == base(path));
        if let Some(from) = same_name.or_else(|| free().next()).copied() {
            used.insert(from.entry.path.as_str());
            moves.insert(path.to_owned(), from.entry.path.as_str().to_owned());
        }
    }
    directories_of_moved_files(&new, gone, &mut moves);
    moves
}

/// A directory that is new has the place of the gone one from which most of its files came.
fn directories_of_moved_files(new: &[(&str, &State)], gone: &[&Record], moves: &mut Moves) {
    let gone: HashSet<&str> = gone
        .iter()
        .filter(|record| record.entry.kind == Kind::Directory)
        .map(|record| record.entry.path.as_str())
        .filter(|path| !moves.values().any(|from| from == path))
        .collect();
    if gone.is_empty() {
        return;
    }
    let mut votes: BTreeMap<String, BTreeMap<String, usize>> = BTreeMap::new();
    for (to, from) in moves.iter() {
        if let ((Some(to), name), (Some(from), before)) = (split(to), split(from))
            && name == before
        {
            *votes.entry(to.to_owned()).or_default().entry(from.to_owned()).or_default() += 1;
        }
    }
    let mut used: HashSet<String> = HashSet::new();
    for (path, state) in new {
        if !matches!(state, State::Directory { .. }) || moves.contains_key(*path) {
            continue;
        }
        let Some(votes) = votes.get(*path) else { continue };
        let best = votes.iter().filter(|(from, _)| gone.contains(from.as_str()) && !used.contains(*from));
        if let Some((from, _)) = best.max_by_key(|(_, count)| **count) {
            used.insert(from.clone());
            moves.insert((*path).to_owned(), from.clone());
        }
    }
}

fn split(path: &str) -> (Option<&str>, &str) {
    path.rsplit_once('/').map_or((None, path), |(parent, name)| (Some(parent), name))
}

fn base(path: &str) -> &str {
    split(path).1
}
