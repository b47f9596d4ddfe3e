//! Symbolic links (`spec/sync.md`, section 4.5): read and made as they are, given to others, never followed.

use std::collections::HashSet;
use std::fs::File;
use std::io::{Seek, SeekFrom, Write};
use std::path::Path;

use meshproof_proto::codec::Id;
use meshproof_proto::requirement::{self as req, deviates};
use meshproof_proto::storage::MediaHash;
use meshproof_proto::sync::PortablePath;
use meshproof_proto::sync::entry::MAX_LINK;
use rusqlite::{OptionalExtension, params};

use super::disk::{self, Found};
use super::row::{COLUMNS, read_record};
#[cfg(unix)]
use super::temp::rename_new;
use super::{Folder, Index};
use crate::error::Result;

/// In the file of the index: the targets of links that this device does not make, which others may want.
pub(super) const SCHEMA: &str = "
    CREATE INDEX IF NOT EXISTS disk_links ON disk (folder, hash) WHERE kind = 3;
    CREATE TABLE IF NOT EXISTS kept_links (
        folder BLOB NOT NULL, hash BLOB NOT NULL, target BLOB NOT NULL, PRIMARY KEY (folder, hash)
    );
";

/// How many targets a folder keeps of links that this device does not make, and how many bytes of them: who may write makes as many
/// links as there may be entries, with nothing behind them.
const MOST: u64 = 100_000;
const MOST_BYTES: u64 = 64 * 1024 * 1024;

/// What is kept of a folder.
#[derive(Clone, Copy, Default)]
pub(super) struct KeptLinks {
    number: u64,
    bytes: u64,
}

impl KeptLinks {
    /// Counts another one. `false`: there is no room for it.
    pub(super) fn take(&mut self, target: &[u8]) -> bool {
        let more = Self { number: self.number + 1, bytes: self.bytes + target.len() as u64 };
        let has_room = more.number <= MOST && more.bytes <= MOST_BYTES;
        if has_room {
            *self = more;
        }
        has_room
    }
}

/// Whether a link at `path` with this target names something in the folder, whatever is there (SYN-042). It is read as text: behind
/// another name `..` counts as leading out, for that name may be a link.
pub(super) fn stays_inside(path: &PortablePath, target: &[u8]) -> bool {
    let depth = path.components().count() - 1;
    let names = || target.split(|byte| *byte == b'/').filter(|name| !matches!(*name, b"" | b"."));
    let ups = names().take_while(|name| *name == b"..").count();
    let only_at_the_begin = names().skip(ups).all(|name| name != b"..");
    let inside = !target.starts_with(b"/") && !target.contains(&0) && ups <= depth && only_at_the_begin;
    inside || deviates(req::SYN_042)
}

/// The target of the link at `path`, of 1 to 4,096 bytes. `None`: it is another, or none.
#[cfg(unix)]
pub(super) fn read(path: &Path) -> Option<Vec<u8>> {
    use std::os::unix::ffi::OsStringExt as _;
    let target = std::fs::read_link(path).ok()?.into_os_string().into_vec();
    (1..=MAX_LINK).contains(&(target.len() as u64)).then_some(target)
}

/// Links are only known on systems that give them to everybody.
#[cfg(not(unix))]
pub(super) fn read(_: &Path) -> Option<Vec<u8>> {
    None
}

/// Makes a link at `path`, by way of a temporary name, and `replaces` what is there or not. `false`: something is there.
#[cfg(unix)]
pub(super) fn make(target: &[u8], temporary: &Path, path: &Path, replaces: bool) -> std::io::Result<bool> {
    use std::os::unix::ffi::OsStrExt as _;
    // As a system has it that ends strings at a zero: only the mutant of SYN-042 comes here with one.
    let target = target.split(|byte| *byte == 0).next().unwrap_or_default();
    std::os::unix::fs::symlink(std::ffi::OsStr::from_bytes(target), temporary)?;
    let made =
        if replaces { std::fs::rename(temporary, path).map(|()| true) } else { rename_new(temporary, path) };
    if !matches!(made, Ok(true)) {
        let _ = std::fs::remove_file(temporary);
    }
    made
}

#[cfg(not(unix))]
pub(super) fn make(_: &[u8], _: &Path, _: &Path, _: bool) -> std::io::Result<bool> {
    Err(std::io::ErrorKind::Unsupported.into())
}

impl Folder {
    /// The target of a link of the folder that has this hash, as a file without a name: on disk, or kept.
    pub(super) fn open_link(&self, hash: &MediaHash) -> Result<Option<File>> {
        let mut target = None;
        for path in self.index().links_to(self.id(), hash)? {
            if matches!(disk::look(self.root(), &path)?, Found::Link { .. }) {
                target =
                    read(&self.root().join(path.as_str())).filter(|target| MediaHash::of(target) == *hash);
            }
            if target.is_some() {
                break;
            }
        }
        if target.is_none() {
            target = self.index().kept_link(self.id(), hash)?;
        }
        let Some(target) = target else { return Ok(None) };
        let write = || {
            let mut file = tempfile::tempfile()?;
            file.write_all(&target)?;
            file.seek(SeekFrom::Start(0))?;
            Ok(file)
        };
        write().map(Some).map_err(crate::error::Error::io("writing a temporary file for", self.root()))
    }
}

impl Index {
    fn links_to(&self, folder: Id, hash: &MediaHash) -> Result<Vec<PortablePath>> {
        let connection = self.lock();
        let sql = format!(
            "SELECT {COLUMNS} FROM disk INDEXED BY disk_links
             WHERE folder = ?1 AND hash = ?2 AND kind = 3 LIMIT 8"
        );
        let mut statement = connection.prepare_cached(&sql)?;
        let rows = statement.query_map(params![folder.0, hash.0], read_record)?;
        rows.map(|row| self.count(row?.map(|record| record.entry.path))).collect()
    }

    /// The target of a link that this device does not make.
    pub(super) fn kept_link(&self, folder: Id, hash: &MediaHash) -> Result<Option<Vec<u8>>> {
        let sql = "SELECT target FROM kept_links WHERE folder = ?1 AND hash = ?2";
        let connection = self.lock();
        let mut statement = connection.prepare_cached(sql)?;
        Ok(statement.query_row(params![folder.0, hash.0], |row| row.get(0)).optional()?)
    }

    /// How many links this device does not make, by their targets.
    pub fn links_not_made(&self, folder: Id) -> Result<u64> {
        let sql = "SELECT count(*) FROM kept_links WHERE folder = ?1";
        let count: i64 = self.lock().query_row(sql, [folder.0], |row| row.get(0))?;
        Ok(count.cast_unsigned())
    }

    /// How much is kept.
    pub(super) fn kept_links(&self, folder: Id) -> Result<KeptLinks> {
        let sql = "SELECT count(*), coalesce(sum(length(target)), 0) FROM kept_links WHERE folder = ?1";
        let read = |row: &rusqlite::Row<'_>| Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?));
        let (number, bytes) = self.lock().query_row(sql, [folder.0], read)?;
        Ok(KeptLinks { number: number.cast_unsigned(), bytes: bytes.cast_unsigned() })
    }

    /// Keeps the target of a link that this device does not make.
    pub(super) fn keep_link(&self, folder: Id, target: &[u8]) -> Result<()> {
        let sql = "INSERT OR REPLACE INTO kept_links VALUES (?1, ?2, ?3)";
        self.lock().execute(sql, params![folder.0, MediaHash::of(target).0, target])?;
        Ok(())
    }

    /// Forgets the targets of links that the folder has no more.
    pub(super) fn forget_links(&self, folder: Id, but: &HashSet<MediaHash>) -> Result<()> {
        let connection = self.lock();
        let mut statement = connection.prepare_cached("SELECT hash FROM kept_links WHERE folder = ?1")?;
        let kept = statement.query_map([folder.0], |row| row.get(0).map(MediaHash))?;
        let kept: Vec<MediaHash> = kept.collect::<std::result::Result<_, _>>()?;
        for hash in kept.iter().filter(|hash| !but.contains(*hash)) {
            let sql = "DELETE FROM kept_links WHERE folder = ?1 AND hash = ?2";
            connection.execute(sql, params![folder.0, hash.0])?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kept_links_are_bounded_by_number_and_bytes() {
        let home = tempfile::tempdir().unwrap();
        let index = Index::open(&home.path().join("index.db")).unwrap();
        let folder = Id([7; 16]);
        index.keep_link(folder, b"../a").unwrap();
        index.keep_link(folder, b"../bcd").unwrap();
        index.keep_link(Id([8; 16]), b"of another folder").unwrap();
        let kept = index.kept_links(folder).unwrap();
        assert_eq!((kept.number, kept.bytes), (2, 10));
        assert!(KeptLinks { number: MOST - 1, bytes: 0 }.take(b"../a"));
        assert!(!KeptLinks { number: MOST, bytes: 0 }.take(b"../a"));
        let mut almost = KeptLinks { number: 0, bytes: MOST_BYTES - 4 };
        assert!(!almost.take(b"../bc"));
        assert!(almost.take(b"../a"), "a shorter one finds room");
        assert!(!almost.take(b"a"));
    }

    /// Somebody made a file after it was looked whether one is there.
    #[cfg(unix)]
    #[test]
    fn a_link_takes_the_place_of_nothing_that_was_not_known() {
        let home = tempfile::tempdir().unwrap();
        let (temporary, path) = (home.path().join("temporary"), home.path().join("a"));
        std::fs::write(&path, "saved meanwhile").unwrap();
        assert!(!make(b"target", &temporary, &path, false).unwrap());
        assert_eq!(std::fs::read(&path).unwrap(), b"saved meanwhile");
        assert!(make(b"target", &temporary, &path, true).unwrap());
        assert_eq!(read(&path).unwrap(), b"target");
        assert!(make(b"target", &temporary, &home.path().join("b"), false).unwrap());
        assert_eq!(
            std::fs::read_dir(home.path()).unwrap().count(),
            2,
            "nothing is left of the temporary name"
        );
    }

    #[test]
    fn what_leads_out_of_the_folder() {
        let inside = |path: &str, target: &str| {
            let path = PortablePath::parse(path).unwrap();
            stays_inside(&path, target.as_bytes())
        };
        for (path, target) in [
            ("l", "a"),
            ("l", "./a//b/"),
            ("l", "."),
            ("d/l", "../a"),
            ("d/l", ".."),
            ("d/e/l", "../../a/b"),
            ("d/e/l", "./.././a"),
            ("l", "..."),
            ("l", "a\\..\\..\\b"),
        ] {
            assert!(inside(path, target), "{path} -> {target}");
        }
        for (path, target) in [
            ("l", "/"),
            ("l", "/a"),
            ("l", ".."),
            ("l", "../a"),
            ("d/l", "../../a"),
            ("d/l", "a/.."),
            ("d/l", "../a/../b"),
            ("l", "a\0b"),
        ] {
            assert!(!inside(path, target), "{path} -> {target}");
        }
    }
}
