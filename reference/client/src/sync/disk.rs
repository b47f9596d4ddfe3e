//! The file system below a folder's root. Every path that comes from a peer goes through here.

use std::collections::BTreeSet;
use std::fs::{File, Metadata};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use meshproof_proto::requirement::{self as req, deviates};
use meshproof_proto::sync::PortablePath;

use crate::error::{Error, Result};

/// A file this much younger than its reading may have changed again without a trace in its time: the clocks of file
/// systems tick coarsely.
const COARSE: Duration = Duration::from_millis(100);

/// How a file on disk looked.
#[derive(Clone, Copy, Debug)]
pub struct Seen {
    /// In bytes.
    pub size: u64,
    /// In nanoseconds since 1970.
    pub mtime: u64,
    /// 0 where there are none.
    pub inode: u64,
    /// When anything of it changed last, be it its name, in nanoseconds since 1970. No program sets it. 0 where there is none.
    pub changed: u64,
    /// When it was made, in nanoseconds since 1970: a number of an inode is given again. 0 where nobody knows.
    pub born: u64,
    /// Whether a later change would show in the other fields.
    pub certain: bool,
}

impl PartialEq for Seen {
    fn eq(&self, other: &Self) -> bool {
        (self.size, self.mtime, self.inode) == (other.size, other.mtime, other.inode)
    }
}

impl Eq for Seen {}

impl Seen {
    pub(super) fn of(metadata: &Metadata) -> Self {
        let modified = metadata.modified().unwrap_or(SystemTime::UNIX_EPOCH);
        Self {
            size: metadata.len(),
            mtime: nanos(modified),
            inode: inode(metadata),
            changed: changed(metadata),
            born: metadata.created().map_or(0, nanos),
            certain: modified.elapsed().is_ok_and(|age| age > COARSE),
        }
    }

    /// Whether the file of the same path that now looks like `now` surely has the content that it had then. Who unpacks an archive over
    /// another gives a file other content with the same size and time.
    pub(super) fn still(&self, now: &Self) -> bool {
        self == now && self.certain && self.changed == now.changed
    }

    /// The same for a file of another path: whether it is that file, renamed. A new one may have got the inode of one that was removed.
    pub(super) fn renamed(&self, now: &Self) -> bool {
        self == now && self.certain && self.born == now.born && self.born != 0
    }

    /// The file was given its name: that is a change of it too.
    pub(super) fn is_placed(&mut self, target: &Path) {
        let now = std::fs::symlink_metadata(target).map(|metadata| Self::of(&metadata));
        self.changed = now.ok().filter(|now| now == self).map_or(0, |now| now.changed);
    }
}

/// Since 1970.
fn nanos(time: SystemTime) -> u64 {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

/// What is at a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    Nothing,
    File {
        seen: Seen,
        mode: u16,
    },
    Directory {
        seen: Seen,
        mode: u16,
    },
    /// A symbolic link, whatever it leads to.
    Link {
        seen: Seen,
    },
    /// A device, a socket, ...: nothing of ours; or something that is no directory is on the way here.
    Foreign,
}

impl Found {
    pub(super) fn of(metadata: &Metadata) -> Self {
        let (seen, mode) = (Seen::of(metadata), mode(metadata));
        match metadata.file_type() {
            kind if kind.is_file() => Self::File { seen, mode },
            kind if kind.is_dir() => Self::Directory { seen, mode },
            kind if kind.is_symlink() => Self::Link { seen },
            _ => Self::Foreign,
        }
    }
}

/// Looks at a path without following any symbolic link.
pub(super) fn look(root: &Path, path: &PortablePath) -> Result<Found> {
    match way(root, path)? {
        None => look_at(&root.join(path.as_str())),
        Some(Found::Nothing) => Ok(Found::Nothing),
        Some(_) => Ok(Found::Foreign),
    }
}

fn look_at(path: &Path) -> Result<Found> {
    // SYN-133
    let metadata =
        if deviates(req::SYN_133) { std::fs::metadata(path) } else { std::fs::symlink_metadata(path) };
    match metadata {
        Ok(metadata) => Ok(Found::of(&metadata)),
        Err(error) if matches!(error.kind(), ErrorKind::NotFound) => Ok(Found::Nothing),
        // A file where a directory should be: for whoever asks for what is below it, the way is blocked.
        Err(error) if matches!(error.kind(), ErrorKind::NotADirectory) => Ok(Found::Foreign),
        Err(error) => Err(Error::io("looking at", path)(error)),
    }
}

/// Whether all on the way to a path are directories.
pub(super) fn is_way(root: &Path, path: &PortablePath) -> Result<bool> {
    Ok(way(root, path)?.is_none())
}

/// What is in the way to a path: the first component that is no directory.
fn way(root: &Path, path: &PortablePath) -> Result<Option<Found>> {
    let mut at = root.to_path_buf();
    let mut components = path.components().peekable();
    while let Some(component) = components.next() {
        if components.peek().is_none() {
            break;
        }
        at.push(component);
        // SYN-034 for what is read, SYN-133 for what is written: a symbolic link is no way out of the folder.
        match look_at(&at)? {
            Found::Directory { .. } => {}
            blocked => return Ok(Some(blocked)),
        }
    }
    Ok(None)
}

/// Opens the file at `path` if it still is the one that was `seen`.
///
/// SYN-034: the file that was opened is compared, so that no link put there meanwhile leads elsewhere.
pub(super) fn open_seen(root: &Path, path: &PortablePath, seen: &Seen) -> Result<Option<File>> {
    if !matches!(look(root, path)?, Found::File { seen: now, .. } if now == *seen) {
        return Ok(None);
    }
    let Ok(file) = File::open(root.join(path.as_str())) else { return Ok(None) };
    Ok(is_seen(&file, seen).then_some(file))
}

/// Whether an open file still looks as it did.
pub(super) fn is_seen(file: &File, seen: &Seen) -> bool {
    file.metadata().is_ok_and(|metadata| metadata.is_file() && Seen::of(&metadata) == *seen)
}

/// Directories that were checked or made while a batch is applied, and those whose own content changed.
#[derive(Default)]
pub(super) struct Directories {
    good: BTreeSet<PathBuf>,
    changed: BTreeSet<PathBuf>,
}

impl Directories {
    /// Makes the directories on the way to `path`. `false`: something else is in the way.
    pub(super) fn make_way(&mut self, root: &Path, path: &PortablePath) -> Result<bool> {
        let (parent, _) = path.as_str().rsplit_once('/').unwrap_or_default();
        if self.good.contains(Path::new(parent)) {
            return Ok(true);
        }
        let mut at = root.to_path_buf();
        for component in parent.split('/').filter(|component| !component.is_empty()) {
            at.push(component);
            match look_at(&at)? {
                Found::Directory { .. } => {}
                Found::Nothing => {
                    std::fs::create_dir(&at).map_err(Error::io("making the directory", &at))?;
                    self.changed(&at);
                }
                Found::File { .. } | Found::Link { .. } | Found::Foreign => return Ok(false),
            }
        }
        self.good.insert(parent.into());
        Ok(true)
    }

    /// Something at `path` was made, renamed or removed.
    pub(super) fn changed(&mut self, path: &Path) {
        if let Some(parent) = path.parent()
            && !self.changed.contains(parent)
        {
            self.changed.insert(parent.into());
        }
    }

    /// A directory was removed or renamed: what was checked may not hold any more.
    pub(super) fn forget_checks(&mut self) {
        self.good.clear();
    }

    /// Makes renames and removals safe from a crash.
    pub(super) fn flush(&mut self, root: &Path) -> Result<()> {
        self.good.clear();
        let changed = std::mem::take(&mut self.changed);
        if changed.len() > 4 && flush_all(root)? {
            return Ok(());
        }
        for directory in changed {
            match File::open(&directory).and_then(|file| file.sync_all()) {
                Err(error) if error.kind() == ErrorKind::NotFound => {} // removed with its content
                result => result.map_err(Error::io("flushing", &directory))?,
            }
        }
        Ok(())
    }
}

/// Makes the content of finished temporary files safe from a crash, many at once.
pub(super) fn flush(root: &Path) -> Result<()> {
    flush_all(root).map(drop)
}

/// One system call for all that was written to the file system. `false`: the system has none.
#[cfg(target_os = "linux")]
fn flush_all(root: &Path) -> Result<bool> {
    let file = File::open(root).map_err(Error::io("opening", root))?;
    rustix::fs::syncfs(&file).map_err(|error| Error::io("flushing", root)(error.into()))?;
    Ok(true)
}

#[cfg(not(target_os = "linux"))]
fn flush_all(_: &Path) -> Result<bool> {
    Ok(false)
}

#[cfg(unix)]
pub(super) fn mode(metadata: &Metadata) -> u16 {
    let bits = std::os::unix::fs::MetadataExt::mode(metadata) & 0o777;
    u16::try_from(bits).unwrap_or_default()
}

#[cfg(not(unix))]
pub(super) fn mode(metadata: &Metadata) -> u16 {
    if metadata.permissions().readonly() { 0o444 } else { 0o644 }
}

/// Sets permission bits. Never more than those (SYN-161): a peer does not hand out set-user-id programs.
#[cfg(unix)]
pub(super) fn set_mode(file: &File, mode: u16) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    if deviates(req::SYN_162) {
        return Ok(());
    }
    let bits = if deviates(req::SYN_161) { 0o7777 } else { 0o777 };
    file.set_permissions(std::fs::Permissions::from_mode(u32::from(mode & bits)))
}

#[cfg(not(unix))]
pub(super) fn set_mode(_: &File, _: u16) -> std::io::Result<()> {
    Ok(())
}

#[cfg(unix)]
fn inode(metadata: &Metadata) -> u64 {
    std::os::unix::fs::MetadataExt::ino(metadata)
}

#[cfg(not(unix))]
fn inode(_: &Metadata) -> u64 {
    0
}

#[cfg(unix)]
fn changed(metadata: &Metadata) -> u64 {
    use std::os::unix::fs::MetadataExt;
    let nanos = i128::from(metadata.ctime()) * 1_000_000_000 + i128::from(metadata.ctime_nsec());
    u64::try_from(nanos).unwrap_or_default()
}

#[cfg(not(unix))]
fn changed(_: &Metadata) -> u64 {
    0
}

/// The file system that a directory is in, and which directory of it that is: the mount point of a disk that is not there is another one,
/// and so is the root of another disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Identity {
    pub(super) disk: u64,
    pub(super) inode: u64,
}

impl Identity {
    pub(super) fn of(root: &Path) -> Result<Self> {
        let metadata = std::fs::metadata(root).map_err(Error::io("reading the folder", root))?;
        Ok(Self { disk: disk_of(root), inode: inode(&metadata) })
    }
}

/// 0 where a file system has no identifier. The number of the device is none: the next disk that is plugged in gets the same.
#[cfg(target_os = "linux")]
fn disk_of(root: &Path) -> u64 {
    rustix::fs::statvfs(root).map_or(0, |disk| disk.f_fsid)
}

#[cfg(not(target_os = "linux"))]
fn disk_of(_: &Path) -> u64 {
    0
}

/// How many bytes are free for files there. `None`: the system does not tell.
pub(super) fn free(root: &Path) -> Option<u64> {
    #[cfg(target_os = "linux")]
    return rustix::fs::statvfs(root).ok().map(|disk| disk.f_bavail.saturating_mul(disk.f_frsize));
    #[cfg(not(target_os = "linux"))]
    {
        let _ = root;
        None
    }
}
