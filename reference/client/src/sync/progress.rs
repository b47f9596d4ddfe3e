//! What a person or a kit can watch of a sync, and what is left to say at its end.

use meshproof_proto::codec::Id;
use meshproof_proto::sync::PortablePath;

use crate::error::Result;

/// Told while a scan or a session goes on, from several threads. Implement what you need.
pub trait Progress: Send + Sync {
    /// A scan read this many bytes of changed files more.
    fn hashed(&self, folder: Id, bytes: u64) {
        let _ = (folder, bytes);
    }

    /// It became known that this many files and bytes more have to be received.
    fn expected(&self, peer: Id, files: u64, bytes: u64) {
        let _ = (peer, files, bytes);
    }

    /// This many files and bytes more were received.
    fn received(&self, peer: Id, files: u64, bytes: u64) {
        let _ = (peer, files, bytes);
    }

    /// This many bytes more were sent.
    fn sent(&self, peer: Id, bytes: u64) {
        let _ = (peer, bytes);
    }

    /// How many bytes are to be sent at once.
    fn slice(&self) -> usize {
        usize::MAX
    }

    /// A path is left out.
    fn skipped(&self, folder: Id, skipped: &Skipped) {
        let _ = (folder, skipped);
    }

    /// A file of a peer is on disk under its name.
    fn placed(&self, folder: Id, path: &PortablePath) {
        let _ = (folder, path);
    }

    /// What a peer deleted is not on disk any more.
    fn removed(&self, folder: Id, path: &PortablePath) {
        let _ = (folder, path);
    }

    /// A session is over.
    fn ended(&self, peer: Id, result: &Result<Report>) {
        let _ = (peer, result);
    }

    /// Two devices changed one file; the losing content is now under this name.
    fn conflict(&self, folder: Id, kept: &PortablePath) {
        let _ = (folder, kept);
    }
}

/// Watches nothing.
pub struct NoProgress;

impl Progress for NoProgress {}

/// A path that is not synchronised.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Skipped {
    /// Where, below the folder's root. Not always Unicode on disk, so only for people.
    pub path: String,
    /// Why.
    pub reason: SkipReason,
}

/// Why a path is not synchronised.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SkipReason {
    /// The name breaks this rule for portable paths, SYN-010 to SYN-014, or is no Unicode.
    Unportable(&'static str),
    /// A device, a socket or a pipe.
    NotAFile,
    /// A symbolic link whose target cannot be said.
    OddLink,
    /// A symbolic link to this, which is outside of the folder (SYN-042).
    LeadsOut(String),
    /// A symbolic link to this, which could not be made here, and why.
    NoLinks(String, String),
    /// It is here, and outside of what is chosen of the folder.
    NotChosen,
    /// It changed while it was read.
    Busy,
    /// The system does not let us.
    Unreadable(String),
    /// Something else is at its place.
    InTheWay,
    /// The peer does not have the content any more.
    Gone,
    /// The cloud does not have the content, and no other device gave it.
    Elsewhere,
    /// The peer's version and the own one are of too many devices together (SYN-016).
    Unmergeable,
    /// It was changed by a device that this one knows nothing of yet (SYN-053).
    UnknownWriter(Id),
    /// The folder has as many entries as this device keeps (SYN-116).
    TooMany,
    /// This device, whose change it is, told others something else under the same number (SYN-110).
    Forked(Id),
    /// This device signed that it deleted more than there can be of an entry (SYN-160).
    Overdone(Id),
    /// It changed here, and this device's user may only read the folder (SYN-023).
    ReadOnly,
    /// So many bytes are needed for it, and so many are free.
    NoRoom(u64, u64),
    /// It changed here, and its version is too full to say so (SYN-016).
    Uncountable,
    /// A symbolic link that is not made here, and there is no room to keep more of them for others.
    TooManyLinks,
    /// What is here could not be kept as a version, and why: nothing takes its place (SYN-141).
    NotKept(String),
    /// What was there in the last week had to go from the versions (SYN-141).
    VersionGone,
}

impl std::fmt::Display for SkipReason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Unportable(rule) => write!(f, "the name is not portable ({rule}); rename it"),
            Self::NotAFile => {
                f.write_str("neither file, directory nor symbolic link; it stays on this device")
            }
            Self::OddLink => f.write_str(
                "a symbolic link whose target is longer than 4,096 bytes; it stays on this device",
            ),
            Self::LeadsOut(target) => write!(
                f,
                "a symbolic link to {target}, outside of the folder (SYN-042); it is kept for others and not made here"
            ),
            Self::NoLinks(target, why) => {
                write!(f, "a symbolic link to {target}, kept for others, could not be made here: {why}")
            }
            Self::NotChosen => f.write_str(
                "outside of what this device has of the folder; it stays here, and goes to nobody: see `mesh folder only`",
            ),
            Self::Busy => f.write_str("changed while it was read; the next sync takes it"),
            Self::Unreadable(why) => write!(f, "not accessible: {why}"),
            Self::InTheWay => f.write_str("something else is in its place here; move that away"),
            Self::Gone => {
                f.write_str("the peer does not have it any more; the next sync takes what replaced it")
            }
            Self::Elsewhere => f.write_str(
                "the cloud does not have the content yet; it comes when a device that has it is online",
            ),
            Self::Unmergeable => f.write_str(
                "more than 64 devices changed it, says the peer (SYN-016); it stays as it is here",
            ),
            Self::UnknownWriter(device) => write!(
                f,
                "changed by the device {device}, of which this one has no card yet (SYN-053); a later sync takes it"
            ),
            Self::TooMany => f.write_str("the folder has as many entries as this device keeps (SYN-116)"),
            Self::Forked(device) => write!(
                f,
                "the device {device} told another device something else of the same change (SYN-110): it was copied, restored, or \
                 means harm; remove it, and give the file another name"
            ),
            Self::Overdone(device) => write!(
                f,
                "the device {device} says that it deleted more of it than there can be (SYN-160): it means harm; it stays as it is here"
            ),
            Self::ReadOnly => f.write_str(
                "changed here, and you may only read this folder; the change stays on this device",
            ),
            Self::NoRoom(needed, free) => {
                write!(
                    f,
                    "it needs {needed} bytes and {free} are free on this disk; make room and sync again"
                )
            }
            Self::TooManyLinks => f.write_str(
                "a symbolic link that cannot be made here, and so many are kept for others already that this one is not",
            ),
            Self::NotKept(why) => write!(
                f,
                "what is here cannot be kept as a version (SYN-141): {why}; it stays as it is, and the next sync tries again"
            ),
            Self::VersionGone => f.write_str(
                "its only version of the last week went, for there was no room for it (SYN-141); make room on this disk",
            ),
            Self::Uncountable => f.write_str(
                "changed here, and no further change of it can be counted (SYN-016); give it another name",
            ),
        }
    }
}

/// What a session did.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// The folders that both devices wanted and the ticket allows.
    pub folders: Vec<Id>,
    /// Files whose content came from the peer.
    pub files_received: u64,
    /// Content from the peer.
    pub bytes_received: u64,
    /// Content to the peer.
    pub bytes_sent: u64,
    /// Paths that were removed here.
    pub deleted: u64,
    /// Where the losing content of concurrent edits went.
    pub conflicts: Vec<(Id, PortablePath)>,
    /// What could not be taken over.
    pub skipped: Vec<(Id, Skipped)>,
    /// The session ended in order before all was done: it goes on over another channel.
    pub moved: bool,
}
