//! Giving many new files their names, on all processors: each costs the system more than what is known of it costs here.

use std::path::Path;

use meshproof_proto::requirement::{self as req, deviates};
use meshproof_proto::sync::manifest::WHOLE;
use meshproof_proto::sync::{Item, Kind};

use super::apply::Apply;
use super::disk::{self, Seen};
use super::index::Record;
use super::part;
use super::progress::{Report, SkipReason};
use super::temp::Ready;
use crate::error::{Error, Result};

/// Below this many files, threads cost more than they bring.
const FEW: usize = 64;

/// A file, and how it looks in its place. `None`: something is in its way.
type Placed = (Item, Result<Option<Seen>>);

impl Apply<'_> {
    /// Gives those of the files their names that are new: nothing is known to be where they belong. Returns the others.
    pub(super) fn place_new(
        &mut self,
        staged: Vec<(Item, Ready)>,
        report: &mut Report,
    ) -> Result<Vec<(Item, Ready)>> {
        let (mut new, mut others) = (Vec::new(), Vec::new());
        for (item, content) in staged {
            let list = if self.is_new(&item) { &mut new } else { &mut others };
            list.push((item, content));
        }
        let root = self.folder.root();
        for (item, placed) in place_all(root, new)? {
            match placed {
                Ok(Some(seen)) => {
                    if seen.size > WHOLE {
                        part::give_up(root, item.path.as_str());
                    }
                    self.directories.changed(&root.join(item.path.as_str()));
                    self.put(Record { entry: item.clone(), seen: Some(seen) });
                    self.progress.placed(self.folder.id(), &item.path);
                    self.note(&item, report);
                }
                Ok(None) => self.leave(&item.path, SkipReason::InTheWay, report),
                Err(error) => self.forgive(&item.path, error, report)?,
            }
        }
        Ok(others)
    }

    fn is_new(&mut self, item: &Item) -> bool {
        let path = item.path.as_str();
        let is_new = matches!(item.kind, Kind::File { .. })
            && self.items.get(path) == Some(item)
            && !self.disk.contains_key(path)
            && !deviates(req::SYN_133);
        is_new && matches!(self.directories.make_way(self.folder.root(), &item.path), Ok(true))
    }
}

fn place_all(root: &Path, mut files: Vec<(Item, Ready)>) -> Result<Vec<Placed>> {
    let place_some = |files: Vec<(Item, Ready)>| -> Vec<Placed> {
        let place = |(item, content)| {
            let placed = place(root, &item, content);
            (item, placed)
        };
        files.into_iter().map(place).collect()
    };
    let threads = std::thread::available_parallelism().map_or(1, usize::from).min(files.len().div_ceil(FEW));
    let part = files.len().div_ceil(threads.max(1));
    std::thread::scope(|scope| {
        // In pieces, as they came: so each thread is mostly in other directories, and does not wait for another.
        let mut running = Vec::new();
        while files.len() > part {
            let some = files.split_off(files.len() - part);
            running.push(scope.spawn(move || place_some(some)));
        }
        let mut placed = place_some(files);
        for thread in running {
            placed.extend(
                thread.join().map_err(|_| Error::Peer("a thread that gives files their names panicked"))?,
            );
        }
        Ok(placed)
    })
}

/// Nothing is replaced: who finds something there comes too late, or the next scan knows more.
fn place(root: &Path, item: &Item, mut content: Ready) -> Result<Option<Seen>> {
    if !disk::is_way(root, &item.path)? {
        return Ok(None);
    }
    let target = root.join(item.path.as_str());
    let placed = content.place_new(&target).map_err(Error::io("renaming a file to", &target))?;
    Ok(placed.then_some(content.seen))
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use crate::sync::sample;
    use crate::sync::temp::{PREFIX, TempFile};

    fn file(root: &Path, path: &str) -> (Item, Ready) {
        let item = sample::file(path, b"theirs");
        let mut content = TempFile::create(root.join(format!("{PREFIX}{}", path.replace('/', "-")))).unwrap();
        content.write(b"theirs").unwrap();
        (item.clone(), content.finish(item.mode, item.mtime).unwrap())
    }

    #[test]
    fn new_files_get_their_names_and_nothing_is_replaced() {
        let home = tempfile::tempdir().unwrap();
        let (root, outside) = (home.path().join("folder"), home.path().join("outside"));
        for directory in [&root.join("dir"), &outside] {
            std::fs::create_dir_all(directory).unwrap();
        }
        std::fs::write(root.join("dir/7"), "mine").unwrap();
        std::fs::create_dir(root.join("dir/8")).unwrap();
        std::os::unix::fs::symlink("nowhere", root.join("dir/9")).unwrap();
        std::os::unix::fs::symlink(&outside, root.join("link")).unwrap();
        let paths = (0..5 * FEW).map(|number| format!("dir/{number}"));
        let paths: Vec<String> = paths.chain(["link/1".into(), "gone/1".into()]).collect();
        let placed = place_all(&root, paths.iter().map(|path| file(&root, path)).collect()).unwrap();
        let in_the_way: Vec<&str> = placed
            .iter()
            .filter(|(_, placed)| matches!(placed, Ok(None)))
            .map(|(item, _)| item.path.as_str())
            .collect();
        let expected = ["dir/7", "dir/8", "dir/9", "link/1", "gone/1"];
        assert!(expected.iter().all(|path| in_the_way.contains(path)), "{in_the_way:?}");
        assert_eq!(in_the_way.len(), expected.len(), "{in_the_way:?}");
        assert_eq!(placed.len(), paths.len());
        for path in paths.iter().filter(|path| !expected.contains(&path.as_str())) {
            assert_eq!(std::fs::read(root.join(path)).unwrap(), b"theirs", "{path}");
        }
        assert_eq!(std::fs::read(root.join("dir/7")).unwrap(), b"mine");
        assert!(std::fs::symlink_metadata(root.join("dir/9")).unwrap().is_symlink());
        assert_eq!(std::fs::read_dir(&outside).unwrap().count(), 0);
        assert_eq!(std::fs::read_dir(&root).unwrap().count(), 2, "what has no name left nothing");
    }
}
