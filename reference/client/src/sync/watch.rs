//! What the system tells about changes in a folder. Only a hint where to look: what changed a scan finds out, and what was
//! not told the next scan of all does.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use notify::event::{AccessKind, AccessMode, EventKind, ModifyKind};
use notify::{Event, RecommendedWatcher, RecursiveMode, Watcher as _};

use super::folder::is_own_name;
use super::{ignore, only};
use crate::error::{Error, Result};

/// More paths than this are all paths.
const MOST: usize = 10_000;

/// Watches a folder until dropped.
pub(super) struct Watch {
    named: Arc<Mutex<Named>>,
    _watcher: RecommendedWatcher,
}

/// Paths at which something may have changed.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Named {
    /// Anywhere.
    All,
    /// At these, and below those that say `true`.
    Paths(BTreeMap<String, bool>),
}

impl Watch {
    /// Begins to watch; `tell` is called when something may have changed. All of the folder is named until somebody takes it.
    pub(super) fn start(root: &Path, tell: impl Fn() + Send + 'static) -> Result<Self> {
        let named = Arc::new(Mutex::new(Named::All));
        let (names, below) = (named.clone(), root.to_path_buf());
        let handler = move |event: notify::Result<Event>| {
            let mut named = names.lock().unwrap_or_else(PoisonError::into_inner);
            if named.add(&below, event) {
                drop(named);
                tell();
            }
        };
        let failed = |error: notify::Error| {
            Error::usage(format!(
                "{} is not watched ({error}); changes are found by the next scan: see `mesh doctor`",
                root.display()
            ))
        };
        // What a link leads to is no part of the folder.
        let config = notify::Config::default().with_follow_symlinks(false);
        let mut watcher = RecommendedWatcher::new(handler, config).map_err(failed)?;
        watcher.watch(root, RecursiveMode::Recursive).map_err(failed)?;
        Ok(Self { named, _watcher: watcher })
    }

    /// What was named since the last time.
    pub(super) fn take(&self) -> Named {
        let mut named = self.named.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::replace(&mut named, Named::Paths(BTreeMap::new()))
    }
}

impl Named {
    /// Takes an event. `false`: it says nothing new.
    fn add(&mut self, root: &Path, event: notify::Result<Event>) -> bool {
        let event = match event {
            Ok(event) if !event.need_rescan() => event,
            _ => return std::mem::replace(self, Self::All) != Self::All,
        };
        let deep = match event.kind {
            EventKind::Access(AccessKind::Close(AccessMode::Write))
            | EventKind::Modify(ModifyKind::Data(_) | ModifyKind::Metadata(_)) => false,
            EventKind::Access(_) => return false, // also what a scan does
            _ => true,
        };
        let mut news = false;
        for path in event.paths {
            let Some(path) = below(root, &path) else { continue };
            let Self::Paths(paths) = self else { return news };
            news = true;
            // What is not Unicode is reported by a scan of the directory.
            match path.to_str() {
                Some("") if !deep => {}
                Some("") | None => *self = Self::All,
                Some(path) => {
                    *paths.entry(path.to_owned()).or_default() |= deep;
                    if paths.len() > MOST {
                        *self = Self::All;
                    }
                }
            }
        }
        news
    }
}

/// The path below the root; `None` for what this program itself writes.
fn below(root: &Path, path: &Path) -> Option<PathBuf> {
    let path = path.strip_prefix(root).ok()?;
    let first = path.components().next().map(|first| first.as_os_str().to_string_lossy().into_owned());
    let is_own =
        first.is_some_and(|first| is_own_name(&first) && first != only::FILE && first != ignore::HERE);
    (!is_own).then(|| path.to_path_buf())
}

#[cfg(test)]
mod tests {
    use notify::event::{CreateKind, DataChange, Flag};

    use super::*;

    fn event(kind: EventKind, path: &str) -> Event {
        Event::new(kind).add_path(Path::new("/root").join(path))
    }

    #[test]
    fn events_name_paths() {
        let mut named = Named::Paths(BTreeMap::new());
        let root = Path::new("/root");
        let created = EventKind::Create(CreateKind::Any);
        let edited = EventKind::Modify(ModifyKind::Data(DataChange::Any));
        let opened = EventKind::Access(AccessKind::Open(AccessMode::Any));
        for (kind, path, news) in [
            (edited, "a/b", true),
            (created, "c", true),
            (edited, "c", true),
            (opened, "d", false),
            (created, ".meshproof-tmp-x", false),
            (created, ".meshproof-versions/y", false),
        ] {
            assert_eq!(named.add(root, Ok(event(kind, path))), news, "{path}");
        }
        let expected = [("a/b".to_owned(), false), ("c".to_owned(), true)];
        assert_eq!(named, Named::Paths(expected.into()));
        assert!(named.add(root, Ok(Event::new(EventKind::Other).set_flag(Flag::Rescan))));
        assert_eq!(named, Named::All);
        assert!(!named.add(root, Ok(event(created, "e"))), "all is all");
    }

    #[test]
    fn too_many_are_all() {
        let mut named = Named::Paths(BTreeMap::new());
        for number in 0..=MOST {
            named.add(Path::new("/root"), Ok(event(EventKind::Create(CreateKind::Any), &number.to_string())));
        }
        assert_eq!(named, Named::All);
    }
}
