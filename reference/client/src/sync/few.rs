//! The view of a few entries, found out without all the others, where that can be: so that one change costs about as much in a
//! large folder as in a small one.
//!
//! What an entry shows depends on others only where names clash, where directories move or go, and where somebody else is in
//! what is deleted. Wherever that may be, the answer is `None`, and the view is found out from all entries ([`Tree::of`]).
//!
//! [`Tree::of`]: meshproof_proto::sync::Tree::of

use meshproof_proto::codec::Id;
use meshproof_proto::sync::{Entry, Item, Kind, PortablePath, ROOT};

use super::Folder;
use super::index::Record;
use crate::error::Result;

/// What a few entries show, and what of them is on disk.
#[derive(Debug, Default)]
pub(super) struct Few {
    pub(super) items: Vec<Item>,
    pub(super) records: Vec<Record>,
}

/// The view of these entries, if all else is on disk as it should be. `None`: it takes all entries to say.
pub(super) fn view_of(folder: &Folder, ids: &[Id]) -> Result<Option<Few>> {
    // A name that was given because another was taken, or a content beside another: more than one entry has a say.
    if folder.index().has_odd(folder.id())? {
        return Ok(None);
    }
    let mut few = Few::default();
    for id in ids {
        let Some(entry) = folder.index().entry(folder.id(), *id)? else { return Ok(None) };
        if !add(folder, ids, &entry, &mut few)? {
            return Ok(None);
        }
    }
    Ok(Some(few))
}

/// `false`: others have a say in what this entry shows.
fn add(folder: &Folder, ids: &[Id], entry: &Entry, few: &mut Few) -> Result<bool> {
    let (index, id) = (folder.index(), folder.id());
    let [content] = entry.contents.as_slice() else { return Ok(false) };
    let mut records = index.records_of(id, entry.id)?;
    let record = records.pop();
    let is_directory = content.kind == Kind::Directory;
    let was_directory = record.as_ref().is_some_and(|record| record.entry.kind == Kind::Directory);
    let parent = entry.place.parent;
    if !records.is_empty() || is_directory != was_directory && record.is_some() {
        return Ok(false);
    }
    if index.is_shared(id, entry)? {
        return Ok(false);
    }
    let above = match directory(folder, ids, parent)? {
        Above::Folder => None,
        Above::Directory(path) => Some(path),
        Above::Unclear => return Ok(false),
    };
    if entry.is_gone() {
        few.records.extend(record);
        return Ok(!is_directory);
    }
    if content.gone || (record.is_none() || !is_directory) && index.has_children(id, entry.id)? {
        return Ok(false);
    }
    let Some(path) = PortablePath::join(above.as_ref(), &entry.place.name) else { return Ok(false) };
    if index.get(id, path.as_str())?.is_some_and(|at| at.entry.id != entry.id) {
        return Ok(false);
    }
    if let Some(before) = record.as_ref().map(|record| &record.entry.path).filter(|before| **before != path) {
        // A file got another name: nobody else waits for the one that it had.
        let (above, name) = before.split();
        let above = match above {
            None => Some(ROOT),
            Some(above) => index.get(id, above.as_str())?.map(|record| record.entry.id),
        };
        let Some(above) = above.filter(|_| !is_directory) else { return Ok(false) };
        if index.is_claimed(id, above, &name, entry.id)? {
            return Ok(false);
        }
    }
    few.items.push(Item {
        path,
        id: entry.id,
        kind: content.kind,
        mode: content.mode,
        mtime: content.mtime,
        stamp: content.stamp,
        place: entry.place.stamp,
        copy: false,
        renamed: false,
    });
    few.records.extend(record);
    Ok(true)
}

/// What something is in.
enum Above {
    /// The folder itself.
    Folder,
    /// A directory that is on disk as it should be.
    Directory(PortablePath),
    /// It is not so simple.
    Unclear,
}

fn directory(folder: &Folder, ids: &[Id], directory: Id) -> Result<Above> {
    if directory == ROOT {
        return Ok(Above::Folder);
    }
    let (index, id) = (folder.index(), folder.id());
    let is_simple = index.entry(id, directory)?.is_some_and(|entry| {
        !entry.is_gone() && entry.contents.len() == 1 && entry.contents[0].kind == Kind::Directory
    });
    if !is_simple || ids.contains(&directory) {
        return Ok(Above::Unclear);
    }
    let records = index.records_of(id, directory)?;
    Ok(match records.as_slice() {
        [record] if record.entry.kind == Kind::Directory => Above::Directory(record.entry.path.clone()),
        _ => Above::Unclear,
    })
}
