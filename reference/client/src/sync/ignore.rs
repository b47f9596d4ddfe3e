//! What of a folder is not synchronised here (`spec/sync.md`, section 4.8): what `.meshignore` names, and what the user of this device
//! left out or did not choose.
//!
//! `.meshignore` is everybody's, so anybody who may write can take in what it leaves out. What is left out here, in a file that is
//! no part of the folder, no line of another file takes in.

use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::sync::Arc;

use meshproof_proto::codec::Id;
use meshproof_proto::sync::{Item, Kind, PortablePath};

use super::disk::{self, Found};
use super::only::Only;
use super::pattern::{self, Patterns};
use super::temp::PREFIX;
use super::{Batch, Folder, Index};
use crate::error::{Error, Result};

/// The name of the file, in the folder's root.
pub const FILE: &str = ".meshignore";
/// That of the file with the patterns of this device alone.
pub const HERE: &str = ".meshproof-ignore";
/// How many bytes of it count.
const COUNTS: u64 = 65_536;

/// The patterns of a folder, and what of it is chosen.
#[derive(Default)]
pub(super) struct Rules {
    patterns: Option<Patterns>,
    text: String,
    here: Option<Patterns>,
    text_here: String,
    only: Only,
}

impl Rules {
    /// Those of now. To compile patterns takes long, if somebody wrote many: it is done once for each text.
    pub(super) fn of(folder: &Folder) -> Result<Arc<Self>> {
        let only = Only::read(folder.root())?;
        let (text, here) = (read(folder.root(), FILE)?, read(folder.root(), HERE)?);
        let mut known = folder.rules();
        if let Some(known) = known.as_ref().filter(|known| known.only != only || known.text_here != here) {
            folder.note_news(); // others have what is chosen now
            // Who edits the files without a command says no more by it.
            folder.write(&known.made_room(folder.index(), folder.id(), folder.root())?)?;
        }
        let new = Self { text, text_here: here, only, ..Self::default() };
        if !known.as_ref().is_some_and(|known| known.are(&new)) {
            *known = Some(Arc::new(new.compiled()));
        }
        Ok(known.clone().unwrap_or_default())
    }

    /// Those of this device alone.
    fn own(root: &Path) -> Result<Self> {
        let (text_here, only) = (read(root, HERE)?, Only::read(root)?);
        Ok(Self { text_here, only, ..Self::default() }.compiled())
    }

    /// What is to be written before this device leaves out something else than by these rules. What it alone left out, and is gone from
    /// its disk, made room and was not deleted: nothing is to be said of it when it is taken in again. And what is not left out any
    /// more has to come: nothing is as it should be before it was looked.
    fn made_room(&self, index: &Index, folder: Id, root: &Path) -> Result<Batch> {
        let mut batch = Batch { settled: Some(false), ..Batch::default() };
        for (path, record) in index.records(folder)? {
            let is_directory = record.entry.kind == Kind::Directory;
            if !self.leave_out(&path, is_directory) {
                continue;
            }
            let is_there = match disk::look(root, &record.entry.path)? {
                Found::Directory { .. } => is_directory,
                Found::File { .. } | Found::Link { .. } => !is_directory,
                Found::Nothing | Found::Foreign => false,
            };
            if !is_there {
                batch.vacant.push(path);
            }
        }
        Ok(batch)
    }

    /// Whether this device alone leaves out the path, or a directory that it is in.
    fn leave_out(&self, path: &str, is_directory: bool) -> bool {
        let here = |here: &Patterns| here.ignore(path, is_directory, true);
        !self.choose(path, is_directory) || self.here.as_ref().is_some_and(here)
    }

    #[cfg(test)]
    fn new(text: String) -> Self {
        Self { text, ..Self::default() }.compiled()
    }

    fn compiled(self) -> Self {
        let patterns = Patterns::new(&self.text, |line, why| tracing::warn!("{FILE}: {line}: {why}"));
        let here = Patterns::new(&self.text_here, |line, why| tracing::warn!("{HERE}: {line}: {why}"));
        Self { patterns, here, ..self }
    }

    /// Whether these are the same as others.
    pub(super) fn are(&self, others: &Self) -> bool {
        self.text == others.text && self.text_here == others.text_here && self.only == others.only
    }

    /// Whether the user chose the path, or it is a directory on the way to what is chosen.
    pub(super) fn choose(&self, path: &str, is_directory: bool) -> bool {
        self.only.has(path, is_directory)
    }

    /// Whether what the item shows is chosen.
    pub(super) fn choose_item(&self, item: &Item) -> bool {
        self.choose(item.path.as_str(), item.kind == Kind::Directory)
    }

    /// Whether the path, or a directory that it is in, is ignored or not chosen.
    pub(super) fn ignore(&self, path: &str, is_directory: bool) -> bool {
        if !self.choose(path, is_directory) {
            return true;
        }
        self.patterns().any(|patterns| patterns.ignore(path, is_directory, true))
    }

    /// Whether patterns name a path in a directory that is not ignored.
    pub(super) fn matches(&self, path: &str, is_directory: bool) -> bool {
        self.patterns().any(|patterns| patterns.ignore(path, is_directory, false))
    }

    /// Each file of patterns says for itself what it leaves out.
    fn patterns(&self) -> impl Iterator<Item = &Patterns> {
        self.patterns.iter().chain(&self.here)
    }

    /// Whether what the item shows is ignored.
    pub(super) fn ignore_item(&self, item: &Item) -> bool {
        self.ignore(item.path.as_str(), item.kind == Kind::Directory)
    }
}

/// Whether a file of these patterns ignores a path, or a directory that it is in.
pub fn ignores(file: &[u8], path: &str, is_directory: bool) -> bool {
    let text = lines(file);
    Rules { text, ..Rules::default() }.compiled().ignore(path, is_directory)
}

/// The lines that count.
fn read(root: &Path, name: &str) -> Result<String> {
    let Ok(path) = PortablePath::parse(name) else { return Ok(String::new()) };
    if !matches!(disk::look(root, &path)?, Found::File { .. }) {
        return Ok(String::new());
    }
    let file = root.join(name);
    let mut bytes = Vec::new();
    let opened = File::open(&file).and_then(|opened| opened.take(COUNTS + 1).read_to_end(&mut bytes));
    opened.map_err(Error::io("reading", &file))?;
    Ok(lines(&bytes))
}

/// The whole lines in the bytes that count.
fn lines(file: &[u8]) -> String {
    let most = usize::try_from(COUNTS).unwrap_or(usize::MAX);
    let counts = match file.get(..most).filter(|_| file.len() > most) {
        Some(begin) => &begin[..begin.iter().rposition(|byte| *byte == b'\n').unwrap_or(0)],
        None => file,
    };
    let lines = counts.split(|byte| *byte == b'\n').filter_map(|line| std::str::from_utf8(line).ok());
    lines.collect::<Vec<_>>().join("\n")
}

/// The lines of the file that are patterns: of [`FILE`] or [`HERE`].
pub fn patterns(root: &Path, file: &str) -> Result<Vec<String>> {
    let is_pattern = |line: &&str| !line.trim().is_empty() && !line.starts_with('#');
    Ok(read(root, file)?.lines().filter(is_pattern).map(str::to_owned).collect())
}

/// Changes what this device alone leaves out. The index is first: who scans in between, or after a kill, finds the rules of before and
/// nothing to delete. Killed after the change, a command is to be given again, if nobody syncs who has the rules of before in memory.
pub(super) fn change_here<T>(
    index: &Index,
    folder: Id,
    root: &Path,
    change: impl FnOnce() -> Result<T>,
) -> Result<T> {
    index.write(folder, &Rules::own(root)?.made_room(index, folder, root)?)?;
    let changed = change()?;
    // Somebody may have looked in between, and found all as it should be by the rules of before.
    index.write(folder, &Batch { settled: Some(false), ..Batch::default() })?;
    Ok(changed)
}

/// As [`edit`], of what is left out on this device alone. What is gone from its disk meanwhile was not deleted.
pub fn edit_here(index: &Index, folder: Id, root: &Path, pattern: &str, remove: bool) -> Result<bool> {
    change_here(index, folder, root, || edit(root, HERE, pattern, remove))
}

/// Adds a pattern to the file, or removes it. `false`: it was there already, or was not.
pub fn edit(root: &Path, file: &str, pattern: &str, remove: bool) -> Result<bool> {
    pattern::check(pattern).map_err(|why| Error::usage(format!("{pattern} is no pattern: {why}")))?;
    if pattern.trim().is_empty() || pattern.contains('\n') || pattern.starts_with('#') {
        return Err(Error::usage("a pattern is one line, as in a .gitignore file"));
    }
    let path = root.join(file);
    let before = match std::fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
        Err(error) => return Err(Error::io("reading", &path)(error)),
    };
    let mut lines: Vec<&str> = before.lines().collect();
    if lines.contains(&pattern) != remove {
        return Ok(false);
    }
    if remove {
        lines.retain(|line| *line != pattern);
    } else {
        lines.push(pattern);
    }
    let after: String = lines.iter().flat_map(|line| [line, "\n"]).collect();
    if after.len() as u64 > COUNTS {
        return Err(Error::usage(format!("{file} would be longer than {COUNTS} bytes")));
    }
    replace(root, &path, after.as_bytes()).map_err(Error::io("writing", &path))?;
    Ok(true)
}

/// Writes a file of this program in the root, as a whole.
pub(super) fn replace(root: &Path, path: &Path, content: &[u8]) -> std::io::Result<()> {
    use std::io::Write as _;
    let mut builder = tempfile::Builder::new();
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o644));
    let mut file = builder.prefix(PREFIX).tempfile_in(root)?;
    file.write_all(content)?;
    file.as_file().sync_all()?;
    file.persist(path).map(drop).map_err(|error| error.error)
}

#[cfg(test)]
mod tests {
    use meshproof_proto::crypto::{DEFAULT, Secret};

    use super::super::apply::Apply;
    use super::super::keepers::Keeper;
    use super::super::scan::scan_within;
    use super::*;
    use crate::sync::{Direction, NoProgress, Report, Signer, scan};

    const FOLDER: Id = Id([7; 16]);

    fn ignored(rules: &str, path: &str) -> bool {
        let (path, is_directory) = path.strip_suffix('/').map_or((path, false), |path| (path, true));
        Rules::new(rules.into()).ignore(path, is_directory)
    }

    #[test]
    fn patterns_of_the_specification() {
        for (rules, path, expected) in [
            ("*.tmp", "a.tmp", true),
            ("*.tmp", "deep/er/a.tmp", true),
            ("*.tmp", "a.tmpl", false),
            ("/top", "top", true),
            ("/top", "deep/top", false),
            ("deep/top", "deep/top", true),
            ("deep/top", "very/deep/top", false),
            ("**/top", "very/deep/top", true),
            ("deep/**", "deep/a/b", true),
            ("deep/**", "deep/", false),
            ("a/**/b", "a/b", true),
            ("a/**/b", "a/x/y/b", true),
            ("build/", "build/", true),
            ("build/", "build", false),
            ("build/", "src/build/x/y", true),
            ("a*b", "a/b", false),
            ("a?c", "abc", true),
            ("[a-c]x", "bx", true),
            ("[!a-c]x", "bx", false),
            ("*.log\n!kept.log", "kept.log", false),
            ("*.log\n!kept.log", "other.log", true),
            ("logs/\n!logs/kept", "logs/kept", true),
            ("# comment", "# comment", false),
            ("\\#name", "#name", true),
            ("\\!name", "!name", true),
            ("name  ", "name", true),
            ("{a,b}", "a", false),
            ("{a,b}", "{a,b}", true),
            ("[", "[", false),
            ("*", ".meshignore", false),
            ("", "a", false),
        ] {
            assert_eq!(ignored(rules, path), expected, "{path} by {rules:?}");
        }
    }

    /// Nobody's file of patterns stalls those who have the folder: a path costs steps in proportion to itself and to the file.
    #[test]
    fn patterns_that_fit_in_many_ways_cost_no_more_than_others() {
        let line = |number: usize| format!("{}{number:05}\n", "*?".repeat(12));
        let rules: String = (0..)
            .map(line)
            .scan(0, |length, line| {
                *length += line.len();
                (*length < 65_536).then_some(line)
            })
            .collect();
        let rules = Rules::new(rules);
        let path = format!("{}/{}", "directory".repeat(10), "name".repeat(20));
        let begin = std::time::Instant::now();
        for number in 0..20 {
            assert!(!rules.ignore(&format!("{path}{number}x"), false));
        }
        eprintln!("{:?} a path", begin.elapsed() / 20);
        assert!(rules.ignore(&format!("{path}00042"), false));
        assert!(rules.ignore(&format!("{}00042/other", "d".repeat(12)), false));
        assert!(!rules.ignore(&format!("{}00042", "d".repeat(11)), false));
    }

    #[test]
    fn lines_beyond_the_limit_do_not_count() {
        let root = tempfile::tempdir().unwrap();
        let long = format!("first\n{}\nlast\n", "x".repeat(65_535));
        std::fs::write(root.path().join(FILE), long).unwrap();
        assert_eq!(patterns(root.path(), FILE).unwrap(), ["first"]);
        std::fs::write(root.path().join(FILE), b"first\n\xFF\nlast\n").unwrap();
        assert_eq!(patterns(root.path(), FILE).unwrap(), ["first", "last"]);
    }

    /// A device that has `kept` and `gone/deep/a`, of which the latter is left out on it alone and removed to make room.
    fn that_made_room(home: &Path) -> Folder {
        let root = home.join("folder");
        std::fs::create_dir_all(root.join("gone/deep")).unwrap();
        for path in ["kept", "gone/deep/a"] {
            std::fs::write(root.join(path), path).unwrap();
        }
        let index = Arc::new(Index::open(&home.join("index.db")).unwrap());
        let signer = Arc::new(Signer::new(DEFAULT, Id([1; 16]), &Secret::default()));
        let folder = Folder::open(FOLDER, signer, &root, Direction::Both, index).unwrap();
        scan(&folder, &NoProgress).unwrap();
        edit_here(folder.index(), FOLDER, folder.root(), "/gone/", false).unwrap();
        scan(&folder, &NoProgress).unwrap();
        std::fs::remove_dir_all(root.join("gone")).unwrap();
        scan(&folder, &NoProgress).unwrap();
        folder
    }

    fn deleted(folder: &Folder) -> u64 {
        let named = ["gone", "gone/deep", "gone/deep/a"].map(|path| (path.to_owned(), true)).into();
        scan_within(folder, &named, &NoProgress).unwrap().deleted + scan(folder, &NoProgress).unwrap().deleted
    }

    /// What a sync would get.
    fn wanted(folder: &Folder) -> Vec<String> {
        let wanted = Apply::new(folder, &NoProgress).plan(&mut Report::default()).unwrap();
        wanted.into_iter().map(|item| item.path.as_str().to_owned()).collect()
    }

    fn take_in(folder: &Folder) -> Result<bool> {
        edit(folder.root(), HERE, "/gone/", true)
    }

    /// Whoever looks at any moment of the command finds nothing to delete; and if the command is killed there, nor is there later.
    #[test]
    fn at_no_moment_something_was_deleted_that_made_room() {
        for killed in [None, Some("before"), Some("after")] {
            let home = tempfile::tempdir().unwrap();
            let folder = that_made_room(home.path());
            let kill = |when| if killed == Some(when) { Err(Error::usage("killed")) } else { Ok(()) };
            let ended = change_here(folder.index(), FOLDER, folder.root(), || {
                assert_eq!(deleted(&folder), 0, "{killed:?}");
                kill("before")?;
                take_in(&folder)?;
                assert_eq!(deleted(&folder), 0, "{killed:?}");
                kill("after")
            });
            assert_eq!(ended.is_err(), killed.is_some());
            assert_eq!(deleted(&folder), 0, "{killed:?}");
            let comes: &[&str] = if killed == Some("before") { &[] } else { &["gone/deep/a"] };
            assert_eq!(wanted(&folder), comes, "{killed:?}");
            // The same command again.
            change_here(folder.index(), FOLDER, folder.root(), || take_in(&folder)).unwrap();
            assert_eq!((deleted(&folder), wanted(&folder)), (0, vec!["gone/deep/a".to_owned()]));
        }
    }

    /// Who looks for it anew may know nothing of the rules of before.
    #[test]
    fn what_was_settled_in_between_is_looked_for_again() {
        let home = tempfile::tempdir().unwrap();
        let folder = that_made_room(home.path());
        change_here(folder.index(), FOLDER, folder.root(), || {
            let (mut apply, mut report) = (Apply::new(&folder, &NoProgress), Report::default());
            apply.plan(&mut report).unwrap();
            apply.finish(&Keeper::default(), &mut report).unwrap();
            assert!(folder.index().settled(FOLDER).unwrap());
            take_in(&folder)
        })
        .unwrap();
        *folder.rules() = None;
        assert_eq!((deleted(&folder), wanted(&folder)), (0, vec!["gone/deep/a".to_owned()]));
    }

    #[test]
    fn something_else_where_room_was_made_deletes_nothing() {
        let home = tempfile::tempdir().unwrap();
        let folder = that_made_room(home.path());
        std::fs::write(folder.root().join("gone"), "a note where it went").unwrap();
        edit_here(folder.index(), FOLDER, folder.root(), "/gone/", true).unwrap();
        assert_eq!(deleted(&folder), 0);
        let entries = folder.index().entries(FOLDER).unwrap();
        assert_eq!(entries.iter().filter(|entry| entry.is_gone()).count(), 0);
    }

    /// Those who have the rules of before in memory notice, and whoever of them is first.
    #[test]
    fn files_that_are_edited_without_a_command_delete_nothing() {
        type Look = fn(&Folder);
        let looks: [Look; 3] = [
            |folder| assert_eq!(deleted(folder), 0),
            |folder| assert_eq!(scan(folder, &NoProgress).unwrap().deleted, 0),
            |folder| assert_eq!(wanted(folder), ["gone/deep/a"]),
        ];
        for look in looks {
            let home = tempfile::tempdir().unwrap();
            let folder = that_made_room(home.path());
            take_in(&folder).unwrap();
            look(&folder);
            assert_eq!((deleted(&folder), wanted(&folder)), (0, vec!["gone/deep/a".to_owned()]));
        }
    }

    #[test]
    fn editing() {
        let root = tempfile::tempdir().unwrap();
        let edit = |pattern, remove| edit(root.path(), FILE, pattern, remove);
        assert!(edit("*.tmp", false).unwrap());
        assert!(edit("/build/", false).unwrap());
        assert!(!edit("*.tmp", false).unwrap());
        assert_eq!(patterns(root.path(), FILE).unwrap(), ["*.tmp", "/build/"]);
        assert!(edit("*.tmp", true).unwrap());
        assert!(!edit("*.tmp", true).unwrap());
        assert_eq!(patterns(root.path(), FILE).unwrap(), ["/build/"]);
        for bad in ["", "a\nb", "[z-a", "a\\", "[[:alpha:]]", "# comment"] {
            assert!(edit(bad, false).is_err(), "{bad:?}");
        }
        assert_eq!(std::fs::read_dir(root.path()).unwrap().count(), 1);
    }
}
