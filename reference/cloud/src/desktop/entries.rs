//! The entries of folders as far as they were read: who comes again asks for what changed since (`spec/graph.md`,
//! section 3.3), not for all of them.
//!
//! What is kept of a folder is the same for all who may read it. Whether somebody may is decided anew each time, by the
//! service, which answers for the delta with that person's tickets or refuses it.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::Value;
use tokio::sync::Mutex as AsyncMutex;

use super::failure::Failure;
use super::files::Entry;
use super::graph::{Client, text};

/// How many bytes of entries are kept of all folders together. They can be had again at any time.
const MOST: usize = 64 * 1_024 * 1_024;
/// What a folder takes of that beside its entries.
const AROUND: usize = 1_024;

/// Entries by path. Of several for one path those that are there come first, by identifier; then the tombstones.
#[derive(Clone, Debug, Default)]
pub(crate) struct Entries {
    by_path: BTreeMap<String, Vec<Entry>>,
    /// From identifier to path.
    paths: HashMap<String, String>,
    /// About how many bytes they take.
    size: usize,
}

impl Entries {
    /// What is shown at a path, or the tombstone there.
    pub(crate) fn at(&self, path: &str) -> Option<&Entry> {
        self.by_path.get(path)?.first()
    }

    /// An entry by its identifier, which may be a tombstone.
    pub(crate) fn by_id(&self, id: &str) -> Option<&Entry> {
        self.by_path.get(self.paths.get(id)?)?.iter().find(|entry| entry.id == id)
    }

    /// What is shown at the paths that start with a text, in the order of paths.
    pub(crate) fn starting_with(&self, prefix: String) -> impl Iterator<Item = &Entry> + use<'_> {
        let from = self.by_path.range(prefix.clone()..);
        let within = from.take_while(move |(path, _)| path.starts_with(&prefix));
        within.filter_map(|(_, entries)| entries.first().filter(|entry| !entry.deleted))
    }

    /// Adds an entry, in the place of the one that has its identifier.
    pub(crate) fn put(&mut self, entry: Entry) {
        self.remove(&entry.id);
        self.size += entry.size_in_memory();
        self.paths.insert(entry.id.clone(), entry.path.clone());
        let same = self.by_path.entry(entry.path.clone()).or_default();
        same.push(entry);
        same.sort_by(|a, b| (a.deleted, &a.id).cmp(&(b.deleted, &b.id)));
    }

    /// Forgets an entry.
    pub(crate) fn remove(&mut self, id: &str) {
        let Some(path) = self.paths.remove(id) else { return };
        if let Some(same) = self.by_path.get_mut(&path) {
            let gone = same.iter().filter(|entry| entry.id == id).map(Entry::size_in_memory).sum();
            self.size = self.size.saturating_sub(gone);
            same.retain(|entry| entry.id != id);
            if same.is_empty() {
                self.by_path.remove(&path);
            }
        }
    }
}

/// The entries of one folder, and how far they were read.
#[derive(Default)]
struct Known {
    watermark: Option<String>,
    entries: Arc<Entries>,
}

/// What is kept, by the path of the folder's delta, with about how many bytes that is. A cache: losing it costs a request.
#[derive(Default)]
pub(super) struct Shelf(Mutex<Kept>);

/// What is known of each folder, and how many bytes it takes.
type Kept = HashMap<String, (Arc<AsyncMutex<Known>>, usize)>;

impl Shelf {
    fn of(&self, delta: &str) -> Arc<AsyncMutex<Known>> {
        self.lock().entry(delta.into()).or_default().0.clone()
    }

    /// Says how many bytes a folder takes, and makes room.
    fn count(&self, delta: &str, bytes: usize) {
        let mut kept = self.lock();
        if let Some((_, size)) = kept.get_mut(delta) {
            *size = bytes;
        }
        while kept.values().map(|(_, size)| *size + AROUND).sum::<usize>() > MOST {
            let Some(one) = kept.keys().find(|path| *path != delta || kept.len() == 1).cloned() else {
                return;
            };
            kept.remove(&one);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Client {
    /// The entries of a folder as they are now; `delta` is the folder's link `sync`.
    pub(crate) async fn entries(&self, delta: &str) -> Result<Arc<Entries>, Failure> {
        let known = self.shelf().of(delta);
        let mut known = known.lock().await; // who comes meanwhile has less to ask for
        loop {
            let path =
                known.watermark.as_ref().map_or_else(|| delta.into(), |mark| format!("{delta}?since={mark}"));
            let mut page = match self.get(&path).await {
                // The cloud was restored from a backup (GPH-061).
                Err(failure) if known.watermark.is_some() && failure.is("watermark-unknown") => {
                    *known = Known::default();
                    continue;
                }
                answer => answer?.body,
            };
            let Value::Array(items) = page["items"].take() else {
                return Err(Failure::broken(format!("{path} has no items")));
            };
            if !items.is_empty() {
                let entries = Arc::make_mut(&mut known.entries); // a copy, only if somebody still looks at it
                for item in items {
                    entries.put(serde_json::from_value(item).map_err(Failure::broken)?);
                }
            }
            known.watermark = Some(text(&page, "watermark"));
            if page["more"] != true {
                self.shelf().count(delta, known.entries.size);
                return Ok(known.entries.clone());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(id: &str, path: &str, deleted: bool) -> Entry {
        let mut entry = Entry::default();
        (entry.id, entry.path, entry.deleted) = (id.into(), path.into(), deleted);
        entry
    }

    #[test]
    fn one_place_an_identifier() {
        let mut entries = Entries::default();
        for one in
            [entry("2", "a", false), entry("1", "a", false), entry("0", "a", true), entry("3", "b/c", false)]
        {
            entries.put(one);
        }
        assert_eq!(entries.at("a").unwrap().id, "1");
        entries.put(entry("1", "b/d", false)); // it has another path now
        assert_eq!(entries.at("a").unwrap().id, "2");
        entries.put(entry("2", "a", true));
        assert!(entries.at("a").unwrap().deleted);
        let below: Vec<&str> = entries.starting_with("b/".into()).map(|entry| entry.path.as_str()).collect();
        assert_eq!(below, ["b/c", "b/d"]);
        let before = entries.size;
        entries.remove("3");
        assert!(entries.size < before && entries.size > 0);
        assert!(entries.at("b/c").is_none() && entries.by_id("3").is_none());
        assert_eq!(entries.by_id("1").unwrap().path, "b/d");
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let shelf = Shelf::default();
        for folder in ["a", "b", "c"] {
            shelf.of(folder);
            shelf.count(folder, MOST / 2 - AROUND);
        }
        assert!(shelf.lock().len() == 2 && shelf.lock().contains_key("c"));
        shelf.of("d");
        shelf.count("d", MOST);
        assert!(shelf.lock().is_empty());
    }
}
