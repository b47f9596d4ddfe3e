//! Bringing the disk to the view: first the structure, then contents as they come, at the end the deletions.
//!
//! The order in a batch makes "a crash leaves old or new, never half" true: temporary files are flushed, then renamed,
//! then directories are flushed, then the index is written. After a crash between two steps the next scan finds things that
//! the index does not know yet, and knows them for what they are by their content or inode.
//!
//! Nothing on disk is replaced, moved over or removed unless it still is what the index says: what somebody changed since
//! the last scan stays, and is a change of its own after the next.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::fs::{File, FileTimes};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use meshproof_proto::codec::Id;
use meshproof_proto::requirement::{self as req, deviates};
use meshproof_proto::storage::MediaHash;
use meshproof_proto::sync::manifest::WHOLE;
use meshproof_proto::sync::{Item, Kind, PortablePath, ROOT, Tree};

use super::Folder;
use super::changes::is_left_over;
use super::disk::{self, Directories, Found, Seen, set_mode};
use super::few::{self, Few};
use super::folder::{ASIDE, is_own_name};
use super::ignore::{FILE as IGNORE, Rules};
use super::index::{Batch, Record};
use super::keepers::{self, Keeper};
use super::keyed::Settled;
use super::link::{self, KeptLinks};
use super::part;
use super::progress::{Progress, Report, SkipReason, Skipped};
use super::prune::prune;
use super::scan::still_has;
use super::shape::leads_out;
use super::temp::Ready;
use super::versions::Keep;
use crate::error::{Error, Result};

/// A batch is applied when it has so many files or bytes, or is so old: flushing is what a batch costs, and what is not
/// applied comes again after a crash.
const BATCH_FILES: usize = 16_384;
const BATCH_BYTES: u64 = 256 * 1024 * 1024;
const BATCH_AGE: Duration = Duration::from_secs(3);

/// So many directories are looked for above something: entries may be in a circle.
const MOST_NAMES: usize = 1_000;

/// Brings one folder to its view.
pub(super) struct Apply<'a> {
    pub(super) folder: &'a Folder,
    pub(super) progress: &'a dyn Progress,
    /// What should be on disk.
    pub(super) items: BTreeMap<String, Item>,
    /// What is, by path, with its number.
    pub(super) disk: BTreeMap<String, (usize, Record)>,
    /// Where what has a number is now.
    pub(super) paths: Vec<String>,
    /// Where it was when that was read from the index.
    pub(super) origins: Vec<String>,
    /// The numbers of links that are gone because they led out of the folder.
    pub(super) taken_away: HashSet<usize>,
    /// The number of what is or becomes the item of a path.
    pub(super) becomes: HashMap<String, usize>,
    pub(super) batch: Batch,
    pub(super) directories: Directories,
    /// Whether `items` and `disk` have what a few entries are about, and all else is as it should be.
    few: bool,
    /// How often the folder was written when the above was true.
    writes: u64,
    staged: Vec<(Item, Ready)>,
    staged_bytes: u64,
    /// When the first of them was staged.
    staged_since: Instant,
    /// Paths that were given up on, so that each is reported once.
    left: HashSet<String>,
    /// Paths of links that the system does not make.
    unmade: HashSet<String>,
    /// What is ignored: neither in `items`, nor touched on disk.
    pub(super) rules: Arc<Rules>,
    /// How far the rules are that came from others.
    rules_first: RulesFirst,
    /// Where what is replaced or deleted goes.
    keep: Option<Keep>,
    /// How much is kept of links that are not made, once that is asked.
    kept_links: Option<KeptLinks>,
}

/// SYN-083: new rules are in force before anything that they may be about is put on disk.
#[derive(Clone, Copy, PartialEq, Eq)]
enum RulesFirst {
    /// Nobody looked whether there are new ones.
    Unknown,
    /// They are on their way, and nothing else is.
    Asked,
    /// They are on disk, or cannot be had.
    Here,
}

impl<'a> Apply<'a> {
    pub(super) fn new(folder: &'a Folder, progress: &'a dyn Progress) -> Self {
        Self {
            folder,
            progress,
            items: BTreeMap::new(),
            disk: BTreeMap::new(),
            paths: Vec::new(),
            origins: Vec::new(),
            taken_away: HashSet::new(),
            becomes: HashMap::new(),
            batch: Batch::default(),
            directories: Directories::default(),
            few: false,
            writes: 0,
            staged: Vec::new(),
            staged_bytes: 0,
            staged_since: Instant::now(),
            left: HashSet::new(),
            unmade: HashSet::new(),
            rules: Arc::default(),
            rules_first: RulesFirst::Unknown,
            keep: folder.versions().map(|_| Keep::new(folder.root())),
            kept_links: None,
        }
    }

    /// Makes, moves and changes all that needs no content. Returns the items whose content is needed.
    pub(super) fn plan(&mut self, report: &mut Report) -> Result<Vec<Item>> {
        let folder = self.folder;
        let _lock = folder.lock();
        if folder.index().settled(folder.id())? {
            self.writes = folder.writes();
            return Ok(Vec::new());
        }
        let wanted = self.load_and_shape(report)?;
        self.write()?;
        Ok(wanted)
    }

    /// Takes content that is complete and verified. It gets its name with the next batch.
    pub(super) fn stage(&mut self, item: Item, content: Ready, report: &mut Report) -> Result<()> {
        if self.staged.is_empty() {
            self.staged_since = Instant::now();
        }
        self.staged_bytes += content.seen.size;
        self.staged.push((item, content));
        let full = self.staged.len() >= BATCH_FILES || self.staged_bytes >= BATCH_BYTES;
        if full { self.commit(report) } else { self.commit_old(report) }
    }

    /// Gives staged files their names if they have waited long: what comes next may be large, or never come.
    pub(super) fn commit_old(&mut self, report: &mut Report) -> Result<()> {
        let is_old = !self.staged.is_empty() && self.staged_since.elapsed() > BATCH_AGE;
        if is_old { self.commit(report) } else { Ok(()) }
    }

    /// The content of this path is here or nowhere: `true` if all else waited for it. Then it is time to plan.
    pub(super) fn waited_for(&mut self, path: &PortablePath, report: &mut Report) -> Result<bool> {
        if self.rules_first != RulesFirst::Asked || path.as_str() != IGNORE {
            return Ok(false);
        }
        self.rules_first = RulesFirst::Here;
        self.commit(report)?;
        Ok(true)
    }

    /// Gives all staged files their names.
    pub(super) fn commit(&mut self, report: &mut Report) -> Result<()> {
        if self.staged.is_empty() {
            return Ok(());
        }
        disk::flush(self.folder.root())?; // SYN-031: all of it is on disk before it gets its name
        let folder = self.folder;
        let _lock = folder.lock();
        self.catch_up(report)?;
        self.staged_bytes = 0;
        let staged = std::mem::take(&mut self.staged);
        for (item, content) in self.place_new(staged, report)? {
            match self.place(&item, content) {
                Ok(None) => self.note(&item, report),
                Ok(Some(reason)) => self.leave(&item.path, reason, report),
                Err(error) => self.forgive(&item.path, error, report)?,
            }
        }
        self.write()
    }

    /// All content is here: deletes, and notes whether the disk is the view now. What is not chosen goes as far as `keeper` keeps it.
    pub(super) fn finish(&mut self, keeper: &Keeper, report: &mut Report) -> Result<()> {
        self.commit(report)?;
        let folder = self.folder;
        let _lock = folder.lock();
        if folder.index().settled(folder.id())? {
            return super::collect::collect(folder);
        }
        self.catch_up(report)?;
        let (moved_out, gone) = self.gone()?;
        // What is below a directory goes before it.
        for record in gone.iter().rev() {
            match self.remove(record) {
                Ok(None) => report.deleted += u64::from(!is_left_over(record)),
                Ok(Some(reason)) => self.leave(&record.entry.path, reason, report),
                Err(error) => self.forgive(&record.entry.path, error, report)?,
            }
        }
        let mut to_go = self.not_chosen();
        to_go.extend(moved_out);
        let waits = self.remove_not_chosen(&to_go, keeper)?;
        let not_made = self.links_not_made()?;
        let is_there = |item: &Item| {
            is_reserved(item.path.as_str())
                || not_made.contains(item.path.as_str())
                || self.disk.get(item.path.as_str()).is_some_and(|(_, record)| record.entry == *item)
        };
        let all = self.items.values().all(is_there);
        let known = |record: &Record| {
            self.items.contains_key(record.entry.path.as_str()) || self.ignores(&record.entry)
        };
        let known = self.disk.values().all(|(_, record)| known(record));
        // Rules that were deleted, or edited meanwhile, may have hidden something.
        let now = Rules::of(self.folder)?;
        let same_rules = self.rules.are(&now);
        let settled = all && known && same_rules && !waits;
        // Of a few, those that are not there yet are known: nothing else is to be found out.
        self.batch.settled = (settled || !self.few || !same_rules || waits).then_some(settled);
        self.write()?;
        if let (Some(limits), true) = (folder.versions(), self.keep.as_ref().is_some_and(Keep::has_kept)) {
            prune(folder.root(), folder.id(), limits, self.progress);
        }
        super::collect::collect(folder)
    }

    /// Removes what is not chosen and `keeper` keeps, whatever contents lack.
    pub(super) fn give_up(&mut self, keeper: &Keeper, report: &mut Report) -> Result<()> {
        let folder = self.folder;
        let _lock = folder.lock();
        self.catch_up(report)?;
        self.remove_not_chosen(&self.to_go()?, keeper)?;
        self.write()
    }

    /// Somebody else wrote meanwhile: what is known is read anew.
    fn catch_up(&mut self, report: &mut Report) -> Result<()> {
        if self.writes != self.folder.writes() {
            // What this needs beyond what was asked for is for the next session.
            self.load_and_shape(report)?;
        }
        Ok(())
    }

    fn load_and_shape(&mut self, report: &mut Report) -> Result<Vec<Item>> {
        let (index, id) = (self.folder.index(), self.folder.id());
        // Other rules than before change what the index says is here.
        self.rules = Rules::of(self.folder)?;
        let few = match index.how_settled(id)? {
            Settled::But(ids) => few::view_of(self.folder, &ids)?,
            _ => None,
        };
        // New rules may be about everything.
        let few = few.filter(|few| few.items.iter().all(|item| item.path.as_str() != IGNORE));
        let few = few.filter(|few| few.records.iter().all(|record| record.entry.path.as_str() != IGNORE));
        self.few = few.is_some();
        let (items, records) = match few {
            Some(Few { items, records }) => (
                items,
                records.into_iter().map(|record| (record.entry.path.as_str().to_owned(), record)).collect(),
            ),
            None => (Tree::of(&index.entries(id)?).items, index.records(id)?),
        };
        self.items = items.into_iter().map(|item| (item.path.as_str().to_owned(), item)).collect();
        self.disk.clear();
        self.paths.clear();
        self.taken_away.clear();
        for (number, (path, record)) in records.into_iter().enumerate() {
            self.paths.push(path.clone());
            self.disk.insert(path, (number, record));
        }
        self.origins.clone_from(&self.paths);
        self.batch = Batch::default();
        if self.rules_first != RulesFirst::Here && !deviates(req::SYN_083) {
            let rules =
                self.items.range(IGNORE.to_owned()..).take_while(|(path, _)| path.starts_with(IGNORE));
            let wanted = self.shape(rules.map(|(_, item)| item.clone()).collect(), report)?;
            if wanted.iter().any(|item| item.path.as_str() == IGNORE) {
                self.rules_first = RulesFirst::Asked;
                return Ok(wanted.into_iter().filter(|item| item.path.as_str() == IGNORE).collect());
            }
            self.rules_first = RulesFirst::Here;
        }
        if !deviates(req::SYN_081) {
            let rules = self.rules.clone();
            self.items.retain(|_, item| !rules.ignore_item(item));
        }
        self.shape(self.items.values().cloned().collect(), report)
    }

    /// Gives a file its name. `Some`: why not.
    fn place(&mut self, item: &Item, mut content: Ready) -> Result<Option<SkipReason>> {
        let (folder, path) = (self.folder, item.path.as_str());
        if self.items.get(path) != Some(item) {
            return Ok(Some(SkipReason::Busy)); // the next session knows more
        }
        let target = folder.root().join(path);
        let here = self.disk.get(path).cloned();
        if here.as_ref().is_some_and(|(number, _)| self.becomes.get(path) != Some(number)) {
            return Ok(Some(SkipReason::InTheWay));
        }
        let here = here.map(|(_, record)| record);
        let found = disk::look(folder.root(), &item.path)?;
        match (found, &here) {
            (Found::Nothing, None) => {}
            (found, Some(record)) if still_has(&target, record, &found) => {}
            // Edited or deleted since the scan: so says the next one.
            (Found::Nothing | Found::File { .. } | Found::Link { .. }, Some(_)) => {
                return Ok(Some(SkipReason::Busy));
            }
            _ => return Ok(Some(SkipReason::InTheWay)),
        }
        let here = here.map(|record| (record, found));
        if matches!(item.kind, Kind::Link { .. }) {
            return self.place_link(item, &content.read()?, here);
        }
        if !self.directories.make_way(folder.root(), &item.path)? {
            return Ok(Some(SkipReason::InTheWay));
        }
        let replaces = here.is_some();
        if let Some((record, found)) = here
            && let Some(why) = self.keep(&record, &found)?
        {
            return Ok(Some(why));
        }
        let placed =
            if replaces { content.place(&target).map(|()| true) } else { content.place_new(&target) };
        if !placed.map_err(Error::io("renaming a file to", &target))? {
            return Ok(Some(SkipReason::InTheWay));
        }
        if content.seen.size > WHOLE {
            part::give_up(folder.root(), path);
        }
        self.directories.changed(&target);
        self.put(Record { entry: item.clone(), seen: Some(content.seen) });
        self.progress.placed(folder.id(), &item.path);
        Ok(None)
    }

    /// Makes a symbolic link, in place of what is `here`. What cannot be made is kept for others.
    fn place_link(
        &mut self,
        item: &Item,
        target: &[u8],
        here: Option<(Record, Found)>,
    ) -> Result<Option<SkipReason>> {
        let (folder, path) = (self.folder, item.path.as_str());
        let root = folder.root();
        if deviates(req::SYN_132) {
            return Ok(Some(SkipReason::NotAFile));
        }
        if !link::stays_inside(&item.path, target) {
            let is_kept = self.keep_link(target)?;
            return Ok(Some(if is_kept { leads_out(target) } else { SkipReason::TooManyLinks }));
        }
        if !self.directories.make_way(root, &item.path)? {
            return Ok(Some(SkipReason::InTheWay));
        }
        let replaces = here.is_some();
        if let Some((record, found)) = here
            && let Some(why) = self.keep(&record, &found)?
        {
            return Ok(Some(why));
        }
        let at = root.join(path);
        match link::make(target, &folder.temp_path(), &at, replaces) {
            Ok(true) => {}
            Ok(false) => return Ok(Some(SkipReason::InTheWay)),
            Err(error) => {
                if !self.keep_link(target)? {
                    return Ok(Some(SkipReason::TooManyLinks));
                }
                self.unmade.insert(path.to_owned());
                let target = String::from_utf8_lossy(target).into_owned();
                return Ok(Some(SkipReason::NoLinks(target, error.to_string())));
            }
        }
        self.directories.changed(&at);
        let Found::Link { seen } = disk::look(root, &item.path)? else { return Ok(Some(SkipReason::Busy)) };
        self.put(Record { entry: item.clone(), seen: Some(seen) });
        self.progress.placed(folder.id(), &item.path);
        Ok(None)
    }

    /// The contents that `keeper` has to keep before what is not chosen any more may go (SYN-150), where it is worth while to ask.
    pub(super) fn to_give_up(&self, keeper: &Keeper) -> Result<BTreeSet<MediaHash>> {
        let mut hashes = BTreeSet::new();
        for record in self.to_go()? {
            if let Some(entry) = self.folder.index().entry(self.folder.id(), record.entry.id)?
                && keeper.knows(&entry)
            {
                hashes.extend(keepers::contents(&entry));
            }
        }
        Ok(hashes)
    }

    /// All that goes when somebody else keeps it; of a few that is not looked for.
    fn to_go(&self) -> Result<Vec<Record>> {
        let mut to_go = self.not_chosen();
        if !self.few {
            to_go.extend(self.gone()?.0);
        }
        Ok(to_go)
    }

    fn not_chosen(&self) -> Vec<Record> {
        if self.few {
            return Vec::new();
        }
        let records = self.disk.values().map(|(_, record)| record);
        let is_aside = |record: &Record| record.entry.path.as_str().starts_with(ASIDE);
        records
            .filter(|record| !self.rules.choose_item(&record.entry) && !is_aside(record))
            .cloned()
            .collect()
    }

    /// What is not in the view any more: what another device moved to where it is not made here, for that is not chosen or ignored, so
    /// that here may be the only copy; and the rest.
    fn gone(&self) -> Result<(Vec<Record>, Vec<Record>)> {
        let kept: HashSet<usize> = self.becomes.values().copied().collect();
        let mut shown: Option<HashSet<Id>> = None;
        let (mut moved_out, mut gone) = (Vec::new(), Vec::new());
        for (_, record) in self.disk.values().filter(|(number, _)| !kept.contains(number)) {
            let of = &record.entry;
            if self.ignores(of) {
                // SYN-082: what is ignored stays.
                gone.extend(deviates(req::SYN_082).then(|| record.clone()));
                continue;
            }
            let entry = match of.kind {
                Kind::Directory => None,
                _ => self.folder.index().entry(self.folder.id(), of.id)?,
            };
            let mut is_shown = || {
                let shown = shown.get_or_insert_with(|| {
                    let items = self.items.values().filter(|item| !self.rules.ignore_item(item));
                    items.map(|item| item.id).collect()
                });
                shown.contains(&of.id)
            };
            let is_living = entry.is_some_and(|entry| keepers::is_living(&entry, of.kind));
            let list = if is_living && !is_shown() { &mut moved_out } else { &mut gone };
            list.push(record.clone());
        }
        Ok((moved_out, gone))
    }

    /// SYN-135, SYN-150: removes what is not chosen any more, if it is what the index says and another keeps it. `true`: some of it waits
    /// for others.
    fn remove_not_chosen(&mut self, to_go: &[Record], keeper: &Keeper) -> Result<bool> {
        let mut waits = false;
        // What is below a directory goes before it. What was changed here since, or is new, stays, and is told by scans.
        for record in to_go.iter().rev() {
            let mut is_kept = false;
            if record.entry.kind != Kind::Directory {
                let entry = self.folder.index().entry(self.folder.id(), record.entry.id)?;
                if entry.as_ref().is_some_and(|entry| !keeper.keeps(entry)) {
                    waits = true;
                    continue;
                }
                // SYN-141 means what others remove, not what its user gives up and another keeps.
                is_kept = entry.is_some_and(|entry| keepers::is_living(&entry, record.entry.kind));
            }
            match self.remove_and(record, !is_kept) {
                Ok(_) | Err(Error::Io { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(waits)
    }

    /// The paths of the links that this device keeps for others and does not make. Targets that nobody needs any more are forgotten.
    fn links_not_made(&self) -> Result<HashSet<String>> {
        let (index, id) = (self.folder.index(), self.folder.id());
        let (mut paths, mut hashes) = (HashSet::new(), HashSet::new());
        for item in self.items.values() {
            let Kind::Link { hash, .. } = item.kind else { continue };
            let path = item.path.as_str();
            if self.disk.get(path).is_some_and(|(_, record)| record.entry == *item) {
                continue;
            }
            hashes.insert(hash);
            let Some(target) = index.kept_link(id, &hash)? else { continue };
            // Another link may have the same target, and may be made.
            if self.unmade.contains(path) || !link::stays_inside(&item.path, &target) {
                paths.insert(path.to_owned());
            }
        }
        if !self.few {
            index.forget_links(id, &hashes)?;
        }
        Ok(paths)
    }

    /// Keeps the target of a link that came and is not made, if there is room.
    fn keep_link(&mut self, target: &[u8]) -> Result<bool> {
        let (index, id) = (self.folder.index(), self.folder.id());
        if index.kept_link(id, &MediaHash::of(target))?.is_some() {
            return Ok(true);
        }
        let mut kept = self.kept_links.map_or_else(|| index.kept_links(id), Ok)?;
        let has_room = kept.take(target);
        self.kept_links = Some(kept);
        if has_room {
            index.keep_link(id, target)?;
        }
        Ok(has_room)
    }

    /// Something else comes to the path of this record, or nothing: the file that was `found` there gets a second name among the versions.
    /// `Some`: nothing comes, and why. Who fills the disk makes no replacement final (SYN-141).
    fn keep(&mut self, record: &Record, found: &Found) -> Result<Option<SkipReason>> {
        let (folder, path) = (self.folder, &record.entry.path);
        let Found::File { seen, .. } = found else { return Ok(None) }; // the target of a link is no loss
        let known = self.known_as(record)?;
        let Some(keep) = &mut self.keep else { return Ok(None) };
        match keep.keep_under(path.as_str(), &known) {
            Ok(kept) => self.directories.changed(&kept),
            Err(error) => {
                tracing::warn!("no version can be kept of {path}, so it stays: {error}");
                return Ok(Some(SkipReason::NotKept(error.to_string())));
            }
        }
        // Where a file has to be copied for that, it took long: what was saved meanwhile has no version.
        let now = disk::look(folder.root(), path)?;
        let is_same =
            now == *found && (seen.certain || still_has(&folder.root().join(path.as_str()), record, &now));
        Ok((!is_same).then_some(SkipReason::Busy))
    }

    /// The path under which its user knows what is on disk: if it is aside, the one that it had, or, after a restart, that of its entry.
    fn known_as(&self, record: &Record) -> Result<String> {
        let path = record.entry.path.as_str();
        if !path.starts_with(ASIDE) {
            return Ok(path.to_owned());
        }
        let origin = self.disk.get(path).and_then(|(number, _)| self.origins.get(*number));
        if let Some(origin) = origin.filter(|origin| !origin.starts_with(ASIDE)) {
            return Ok(origin.clone());
        }
        let (mut names, mut at) = (Vec::new(), record.entry.id);
        while at != ROOT && names.len() < MOST_NAMES {
            let Some(entry) = self.folder.index().entry(self.folder.id(), at)? else { break };
            names.push(entry.place.name);
            at = entry.place.parent;
        }
        let known = names
            .iter()
            .rev()
            .try_fold(None::<PortablePath>, |above, name| PortablePath::join(above.as_ref(), name).map(Some));
        let known = known.flatten().filter(|_| at == ROOT);
        Ok(known.map_or_else(|| path.to_owned(), |known| known.as_str().to_owned()))
    }

    /// Removes what the view does not have any more, and keeps it as a version. `Some`: why not.
    pub(super) fn remove(&mut self, record: &Record) -> Result<Option<SkipReason>> {
        self.remove_and(record, true)
    }

    /// The same, and `keeps` it as a version or not.
    fn remove_and(&mut self, record: &Record, keeps: bool) -> Result<Option<SkipReason>> {
        let (folder, path) = (self.folder, &record.entry.path);
        let target = folder.root().join(path.as_str());
        match (disk::look(folder.root(), path)?, record.entry.kind) {
            (Found::Nothing, _) => {}
            (found, _) if still_has(&target, record, &found) => {
                if keeps && let Some(why) = self.keep(record, &found)? {
                    return Ok(Some(why));
                }
                std::fs::remove_file(&target).map_err(Error::io("removing", &target))?;
            }
            (Found::Directory { .. }, Kind::Directory) => {
                if std::fs::remove_dir(&target).is_err() {
                    // Something in it is new, or has no portable name: the next scan tells.
                    return Ok(Some(SkipReason::InTheWay));
                }
                self.directories.forget_checks();
            }
            _ => return Ok(Some(SkipReason::Busy)),
        }
        self.directories.changed(&target);
        self.progress.removed(folder.id(), path);
        self.disk.remove(path.as_str());
        self.batch.vacate(path.as_str());
        Ok(None)
    }

    /// Something is at its path now.
    pub(super) fn put(&mut self, record: Record) {
        let path = record.entry.path.as_str().to_owned();
        let number = if let Some((number, _)) = self.disk.get(&path) {
            *number
        } else {
            self.paths.push(path.clone());
            self.paths.len() - 1
        };
        self.becomes.insert(path.clone(), number);
        self.disk.insert(path, (number, record.clone()));
        self.batch.put(record);
    }

    /// Makes what was done on disk safe, then true in the index.
    pub(super) fn write(&mut self) -> Result<()> {
        self.directories.flush(self.folder.root())?;
        self.folder.write(&std::mem::take(&mut self.batch))?;
        self.writes = self.folder.writes();
        Ok(())
    }

    /// A file system that refuses one path is no reason to give up the others.
    pub(super) fn forgive(&mut self, path: &PortablePath, error: Error, report: &mut Report) -> Result<()> {
        match error {
            Error::Io { source, .. } => {
                self.leave(path, SkipReason::Unreadable(source.to_string()), report);
                Ok(())
            }
            error => Err(error),
        }
    }

    /// Notes a path that is left alone.
    pub(super) fn leave(&mut self, path: &PortablePath, reason: SkipReason, report: &mut Report) {
        if self.left.insert(path.as_str().to_owned()) {
            let skipped = Skipped { path: path.as_str().into(), reason };
            self.progress.skipped(self.folder.id(), &skipped);
            report.skipped.push((self.folder.id(), skipped));
        }
    }

    /// SYN-023: notes what a reader changed, which stays here.
    pub(super) fn tell_unsent(&mut self, report: &mut Report) -> Result<()> {
        let own = self.folder.device();
        for record in self.folder.index().records(self.folder.id())?.values() {
            if [record.entry.stamp.writer, record.entry.place.writer].contains(&own) {
                self.leave(&record.entry.path, SkipReason::ReadOnly, report);
            }
        }
        Ok(())
    }

    /// SYN-082: whether something ignored is here, which nothing may take the place of.
    pub(super) fn is_protected(&self, path: &str) -> bool {
        self.disk.get(path).is_some_and(|(_, record)| self.ignores(&record.entry))
    }

    /// Whether what is on disk is ignored. Aside is nothing that was where it came from, whatever patterns say of the name there.
    fn ignores(&self, item: &Item) -> bool {
        !item.path.as_str().starts_with(ASIDE) && self.rules.ignore_item(item)
    }

    /// Notes a conflict, if the item is part of one.
    pub(super) fn note(&self, item: &Item, report: &mut Report) {
        if item.copy || item.renamed {
            self.progress.conflict(self.folder.id(), &item.path);
            report.conflicts.push((self.folder.id(), item.path.clone()));
        }
    }

    /// For messages of the session.
    pub(super) fn folder_id(&self) -> Id {
        self.folder.id()
    }
}

/// Names that this program uses itself: no peer's entries are put there.
pub(super) fn is_reserved(path: &str) -> bool {
    path.split('/').any(is_own_name)
}

/// Same content, other mode or time.
pub(super) fn update_metadata(target: &Path, item: &Item) -> Result<Seen> {
    let file = File::open(target).map_err(Error::io("opening", target))?;
    if item.kind == Kind::Directory {
        // Without the owner's bits nothing could be put into it.
        set_mode(&file, item.mode | 0o700).map_err(Error::io("setting the mode of", target))?;
    } else {
        set_mode(&file, item.mode).map_err(Error::io("setting the mode of", target))?;
        if let Some(time) = SystemTime::UNIX_EPOCH.checked_add(Duration::from_nanos(item.mtime)) {
            let _ = file.set_times(FileTimes::new().set_modified(time));
        }
    }
    let metadata = file.metadata().map_err(Error::io("looking at", target))?;
    Ok(Seen::of(&metadata))
}

#[cfg(test)]
mod tests;
