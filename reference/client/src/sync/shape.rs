//! The structure of a folder on disk: directories are made, and what has another name gets it.
//!
//! A directory is renamed as a whole, with all that is in it, unless something in it is ignored where it is and would not be where it
//! goes, or the other way round: a peer that renames takes nothing in, and leaves nothing out. Then the directory stays, what belongs to the
//! folder moves out of it one by one, and the index has it twice: under its new name, and as left over under the old one.

use std::collections::HashMap;

use meshproof_proto::codec::Id;
use meshproof_proto::storage::MediaHash;
use meshproof_proto::sync::{Item, Kind, PortablePath};

use super::apply::{Apply, is_reserved, update_metadata};
use super::changes::is_left_over;
use super::disk::{self, Found};
use super::folder::ASIDE;
use super::ignore::Rules;
use super::index::Record;
use super::link;
use super::progress::{Report, SkipReason};
use super::temp::rename_new;
use crate::error::{Error, Result};

impl Apply<'_> {
    /// Makes the disk have the structure of these items, as far as no content is needed. Returns those whose content is.
    pub(super) fn shape(&mut self, items: Vec<Item>, report: &mut Report) -> Result<Vec<Item>> {
        self.match_up();
        let mut wanted = Vec::new();
        // A directory before what is in it.
        for item in items {
            if is_reserved(item.path.as_str()) {
                self.leave(&item.path, SkipReason::InTheWay, report);
                continue;
            }
            let here = self.becomes.get(item.path.as_str()).copied();
            let shaped = match here.filter(|number| !self.taken_away.contains(number)) {
                Some(number) => self.change(&item, number, report),
                None => self.make(&item, report),
            };
            match shaped {
                Ok(Shaped::Done) => {}
                Ok(Shaped::WantsContent) => wanted.push(item),
                Ok(Shaped::Left(reason)) => self.leave(&item.path, reason, report),
                Err(error) => self.forgive(&item.path, error, report)?,
            }
        }
        // What could not get out of the way and to its place again.
        let aside = self.disk.range(ASIDE.to_owned()..).take_while(|(path, _)| path.starts_with(ASIDE));
        for path in aside.map(|(path, _)| path.clone()).collect::<Vec<_>>() {
            self.take_away(&path)?;
        }
        Ok(wanted)
    }

    /// Finds out which thing on disk becomes which item: the one with the content, or else with the identity.
    fn match_up(&mut self) {
        let mut by_content: HashMap<(Id, (Id, u64)), usize> = HashMap::new();
        let mut by_entry: HashMap<(Id, bool), usize> = HashMap::new();
        // What is ignored stays what and where it is.
        for (number, record) in
            self.disk.values().filter(|(_, record)| !self.is_protected(record.entry.path.as_str()))
        {
            let item = &record.entry;
            let is_directory = item.kind == Kind::Directory;
            if !is_directory {
                by_content.insert((item.id, item.stamp.dot()), *number);
            }
            if !item.copy {
                by_entry.insert((item.id, is_directory), *number);
            }
        }
        self.becomes.clear();
        let mut used = vec![false; self.paths.len()];
        let mut rest = Vec::new();
        for (path, item) in &self.items {
            let same = (item.kind != Kind::Directory).then(|| by_content.get(&(item.id, item.stamp.dot())));
            match same.flatten() {
                Some(number) => {
                    used[*number] = true;
                    self.becomes.insert(path.clone(), *number);
                }
                None => rest.push((path, item)),
            }
        }
        for (path, item) in rest.into_iter().filter(|(_, item)| !item.copy) {
            if let Some(number) = by_entry.get(&(item.id, item.kind == Kind::Directory))
                && !std::mem::replace(&mut used[*number], true)
            {
                self.becomes.insert(path.clone(), *number);
            }
        }
    }

    /// Something that is here becomes the item.
    fn change(&mut self, item: &Item, number: usize, report: &mut Report) -> Result<Shaped> {
        let path = item.path.as_str();
        if self.paths[number] != path {
            if let Some(reason) = self.rename(number, &item.path)? {
                return Ok(Shaped::Left(reason));
            }
            if self.taken_away.contains(&number) {
                return self.make(item, report); // a link that leads out from here, or a directory that stays
            }
            self.note(item, report);
        }
        let Some((_, record)) = self.disk.get(path).cloned() else { return Ok(Shaped::Done) };
        if record.entry == *item {
            return Ok(Shaped::Done);
        }
        if record.entry.kind != item.kind {
            return self.want(item);
        }
        let mut seen = record.seen;
        let is_link = matches!(item.kind, Kind::Link { .. });
        let other_time = item.kind != Kind::Directory && record.entry.mtime != item.mtime;
        if !is_link && (record.entry.mode != item.mode || other_time) {
            let target = self.folder.root().join(path);
            match disk::look(self.folder.root(), &item.path)? {
                Found::File { seen: now, .. } if record.seen == Some(now) => {}
                Found::Directory { .. } if item.kind == Kind::Directory => {}
                _ => return Ok(Shaped::Left(SkipReason::Busy)),
            }
            seen = Some(update_metadata(&target, item)?);
        }
        self.put(Record { entry: item.clone(), seen });
        Ok(Shaped::Done)
    }

    /// Nothing here becomes the item.
    fn make(&mut self, item: &Item, report: &mut Report) -> Result<Shaped> {
        let path = item.path.as_str();
        if self.disk.contains_key(path)
            && let Some(reason) = self.put_aside(path, item.kind == Kind::Directory)?
        {
            return Ok(Shaped::Left(reason));
        }
        if item.kind != Kind::Directory {
            return self.want(item);
        }
        let target = self.folder.root().join(path);
        match disk::look(self.folder.root(), &item.path)? {
            Found::Directory { .. } => {}
            Found::Nothing => {
                std::fs::create_dir(&target).map_err(Error::io("making the directory", &target))?;
                self.directories.changed(&target);
                self.note(item, report);
            }
            _ => return Ok(Shaped::Left(SkipReason::InTheWay)),
        }
        let seen = update_metadata(&target, item)?;
        self.put(Record { entry: item.clone(), seen: Some(seen) });
        Ok(Shaped::Done)
    }

    /// Gives what has this number the name `to`; a directory that has to stay is in `taken_away` then. `Some`: why not.
    fn rename(&mut self, number: usize, to: &PortablePath) -> Result<Option<SkipReason>> {
        let is_directory = self.is_directory(&self.paths[number]);
        if self.disk.contains_key(to.as_str())
            && let Some(reason) = self.put_aside(to.as_str(), is_directory)?
        {
            return Ok(Some(reason));
        }
        // It may have been in what got out of the way.
        let from = self.paths[number].clone();
        if is_directory && self.is_left(to.as_str()) {
            return self.leave_directory(&from);
        }
        let root = self.folder.root();
        match disk::look(root, to)? {
            Found::Nothing => {}
            _ => return Ok(Some(SkipReason::InTheWay)),
        }
        if is_directory && !self.goes_as_a_whole(&from, Some(to.as_str())) {
            return self.leave_directory(&from);
        }
        self.rename_on_disk(&from, to.as_str())
    }

    /// Something else, perhaps a directory, belongs to the place of what is here: it gets out of the way until its own turn. A directory
    /// that has to stay makes room in the index only, for another directory.
    fn put_aside(&mut self, path: &str, for_directory: bool) -> Result<Option<SkipReason>> {
        if self.is_protected(path) {
            return Ok(Some(SkipReason::InTheWay));
        }
        if for_directory && self.is_left(path) {
            return Ok(None);
        }
        if self.is_directory(path) && !self.goes_as_a_whole(path, None) {
            return if for_directory { self.leave_directory(path) } else { Ok(Some(SkipReason::InTheWay)) };
        }
        let aside = self.folder.aside();
        self.rename_on_disk(path, &aside.to_string_lossy())
    }

    /// Whether all that is on disk in the directory may go with it: to a path where the same is ignored, or, if none is given, aside, where
    /// only what is known belongs.
    fn goes_as_a_whole(&self, from: &str, to: Option<&str>) -> bool {
        // Nothing that is ignored is aside.
        if self.rules.are(&Rules::default()) || from.starts_with(ASIDE) {
            return true;
        }
        let mut rest = vec![String::new()];
        while let Some(directory) = rest.pop() {
            let Ok(names) = std::fs::read_dir(self.folder.root().join(format!("{from}{directory}"))) else {
                return false;
            };
            for name in names {
                let Ok((name, kind)) = name.and_then(|name| Ok((name.file_name(), name.file_type()?))) else {
                    return false;
                };
                let (below, is_directory) = (format!("{directory}/{}", name.display()), kind.is_dir());
                let here = format!("{from}{below}");
                let is_ignored = self.rules.ignore(&here, is_directory);
                let goes = match to {
                    Some(to) => self.rules.ignore(&format!("{to}{below}"), is_directory) == is_ignored,
                    None => !is_ignored && self.disk.contains_key(&here),
                };
                if !goes {
                    return false;
                }
                // What is in something ignored is ignored.
                if is_directory && !is_ignored {
                    rest.push(below);
                }
            }
        }
        true
    }

    /// The directory stays, as left over: what goes moves out of it by itself.
    fn leave_directory(&mut self, path: &str) -> Result<Option<SkipReason>> {
        let Ok(portable) = PortablePath::parse(path) else { return Ok(Some(SkipReason::InTheWay)) };
        let Found::Directory { .. } = disk::look(self.folder.root(), &portable)? else {
            return Ok(Some(SkipReason::Busy));
        };
        let Some((number, mut record)) = self.disk.remove(path) else { return Ok(Some(SkipReason::Busy)) };
        self.taken_away.insert(number);
        (record.entry.copy, record.entry.renamed) = (true, false);
        self.batch.put(record.clone());
        self.disk.insert(path.to_owned(), (self.paths.len(), record));
        self.paths.push(path.to_owned());
        // Before anything moves: who finds it elsewhere after a crash knows that nobody moved it.
        self.write()?;
        Ok(None)
    }

    fn is_directory(&self, path: &str) -> bool {
        self.disk.get(path).is_some_and(|(_, record)| record.entry.kind == Kind::Directory)
    }

    fn is_left(&self, path: &str) -> bool {
        self.disk.get(path).is_some_and(|(_, record)| is_left_over(record))
    }

    pub(super) fn rename_on_disk(&mut self, from: &str, to: &str) -> Result<Option<SkipReason>> {
        let root = self.folder.root();
        let Ok(portable) = PortablePath::parse(from) else { return Ok(Some(SkipReason::InTheWay)) };
        let is_directory = self.is_directory(from);
        match disk::look(root, &portable)? {
            Found::Directory { .. } if is_directory => {}
            Found::File { .. } | Found::Link { .. } if !is_directory => {}
            // It was moved or replaced since the last scan; so says the next one.
            _ => return Ok(Some(SkipReason::Busy)),
        }
        let (source, target) = (root.join(from), root.join(to));
        if !rename_new(&source, &target).map_err(Error::io("renaming to", &target))? {
            return Ok(Some(SkipReason::InTheWay)); // it was not there a moment ago
        }
        self.directories.changed(&source);
        self.directories.changed(&target);
        self.directories.forget_checks();
        // With a directory, all that is in it has another path.
        let below: Vec<String> =
            self.disk.range(format!("{from}/")..format!("{from}0")).map(|(path, _)| path.clone()).collect();
        for path in std::iter::once(from.to_owned()).chain(below) {
            let Some((number, mut record)) = self.disk.remove(&path) else { continue };
            let moved = format!("{to}{}", &path[from.len()..]);
            self.batch.vacate(&path);
            let Ok(portable) = PortablePath::parse(&moved) else { continue };
            record.entry.path = portable;
            self.paths[number].clone_from(&moved);
            self.batch.put(record.clone());
            self.disk.insert(moved.clone(), (number, record));
            if !to.starts_with(ASIDE) {
                self.take_away(&moved)?;
            }
        }
        Ok(None)
    }

    /// The content of the item is to come, unless it is a link that is known to lead out of the folder.
    fn want(&self, item: &Item) -> Result<Shaped> {
        let Kind::Link { hash, .. } = item.kind else { return Ok(Shaped::WantsContent) };
        let target = self.folder.index().kept_link(self.folder.id(), &hash)?;
        Ok(match target.filter(|target| !link::stays_inside(&item.path, target)) {
            Some(target) => Shaped::Left(leads_out(&target)),
            None => Shaped::WantsContent,
        })
    }

    /// SYN-042: a link that others moved, itself or what it is in, to where it leads out is taken away at once, whatever is to become of
    /// it, and kept for others. Where its user put it, it may lead where its user likes: one that leads there from its new place too stays.
    fn take_away(&mut self, path: &str) -> Result<()> {
        let Some((number, record)) = self.disk.get(path).cloned() else { return Ok(()) };
        let Kind::Link { hash, .. } = record.entry.kind else { return Ok(()) };
        let target = link::read(&self.folder.root().join(path));
        let Some(target) = target.filter(|target| MediaHash::of(target) == hash) else { return Ok(()) };
        let origin = self.origins.get(number).filter(|origin| !origin.starts_with(ASIDE));
        let depth = |path: &str| path.matches('/').count();
        let same_as_before =
            target.starts_with(b"/") || origin.is_some_and(|origin| depth(origin) == depth(path));
        if link::stays_inside(&record.entry.path, &target) || same_as_before {
            return Ok(());
        }
        self.folder.index().keep_link(self.folder.id(), &target)?;
        if self.remove(&record)?.is_none() {
            self.taken_away.insert(number);
        }
        Ok(())
    }
}

/// Why a link is not made.
pub(super) fn leads_out(target: &[u8]) -> SkipReason {
    SkipReason::LeadsOut(String::from_utf8_lossy(target).into_owned())
}

/// How far an item is.
enum Shaped {
    Done,
    WantsContent,
    /// It stays as it is, and why.
    Left(SkipReason),
}
