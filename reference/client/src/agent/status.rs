//! What a person wants to know: who am I, what is here, who else is there.

use serde::Serialize;

use super::Agent;
use crate::error::{Error, Result};
use crate::sync::journal::Link;
use crate::sync::{Direction, Doubt, Past, ignore, only};

/// The state of this device.
#[derive(Clone, Debug, Serialize)]
pub struct Status {
    /// The cloud's URL.
    pub cloud: Option<String>,
    /// The user's name.
    pub user: Option<String>,
    /// This device's identifier.
    pub device: Option<String>,
    /// Its name.
    pub device_name: Option<String>,
    /// Its folders.
    pub folders: Vec<FolderStatus>,
    /// The devices that have one of the folders too.
    pub peers: Vec<PeerStatus>,
}

/// A folder of this device.
#[derive(Clone, Debug, Serialize)]
pub struct FolderStatus {
    /// Its identifier.
    pub folder: String,
    /// Its name.
    pub name: String,
    /// Where its files are.
    pub path: String,
    /// Which way changes go.
    pub direction: Direction,
    /// `cloud`, or `p2p` if no byte of it is to be in the cloud. `None` if nobody asked the cloud.
    pub storage: Option<String>,
    /// Whether the cloud gets only what is sealed of it. `None` if nobody asked the cloud, and this device never heard of it.
    pub encrypted: Option<bool>,
    /// Whether it is encrypted and this device has no key of it: it gives the cloud nothing, and takes nothing from there.
    pub locked: bool,
    /// Whether this device was restored from a backup, and has not heard yet what it did since: until then it gives nothing of what is on
    /// its disk (SYN-140).
    pub waits_for_past: bool,
    /// What of it is on this device, as `mesh folder only` has it. Empty: everything.
    pub only: Vec<String>,
    /// Files and links outside of that which are here still: no other device that may write, nor the cloud, is known to keep them
    /// (SYN-150).
    pub not_chosen: u64,
    /// Symbolic links that are kept for others and not made here, by their targets.
    pub links_not_made: u64,
    /// Files and directories.
    pub entries: u64,
    /// Bytes in files.
    pub bytes: u64,
    /// When it was last in sync with a peer, in seconds since 1970.
    pub last_sync: Option<u64>,
    /// The devices that it was in sync with, the latest first.
    pub synced_with: Vec<LastSync>,
    /// Why the cloud is not believed, the latest first.
    pub cloud_doubts: Vec<Doubt>,
    /// Losing content of concurrent edits that waits for somebody to look at it.
    pub conflicts: Vec<String>,
}

/// When a folder was last in sync with a device.
#[derive(Clone, Debug, Serialize)]
pub struct LastSync {
    /// The device.
    pub device: String,
    /// In seconds since 1970.
    pub time: u64,
}

/// The last session with a device.
#[derive(Clone, Debug, Serialize)]
pub struct LastSession {
    /// When it ended, in seconds since 1970.
    pub time: u64,
    /// `direct`, `relay`, or `incoming` if the other device opened the channel.
    pub way: String,
    /// Content from it, in bytes.
    pub bytes_received: u64,
    /// Content to it, in bytes.
    pub bytes_sent: u64,
    /// How long it took, in milliseconds; 0 if that is not known.
    pub milliseconds: u64,
    /// Content both ways in a second. `None` if there was none, or nobody measured.
    pub bytes_per_second: Option<u64>,
}

/// Another device.
#[derive(Clone, Debug, Serialize)]
pub struct PeerStatus {
    /// Its identifier.
    pub device: String,
    /// Its name, if it is this user's.
    pub name: Option<String>,
    /// Whether it can be reached now.
    pub online: bool,
    /// The last session with it.
    pub last_session: Option<LastSession>,
}

impl Agent {
    /// The state of this device and, where the cloud can be reached, of its peers.
    pub async fn status(&self) -> Result<Status> {
        let device = self.config.device.as_ref();
        let mut status = Status {
            cloud: self.config.cloud.clone(),
            user: self.config.user.clone(),
            device: device.map(|device| device.id.clone()),
            device_name: device.map(|device| device.name.clone()),
            folders: self.folder_statuses()?,
            peers: Vec::new(),
        };
        if let (Ok(cloud), Ok(_)) = (self.cloud(), self.device()) {
            for folder in &mut status.folders {
                // One that was removed in the cloud meanwhile shows what is here.
                match cloud.folder(super::parse_id("folder", &folder.folder)?).await {
                    Ok(info) => {
                        folder.locked |= info.encrypted && folder.encrypted.is_none();
                        folder.encrypted = Some(info.encrypted || folder.encrypted.unwrap_or_default());
                        folder.storage = Some(info.storage);
                    }
                    Err(Error::Problem(problem)) => tracing::debug!(folder = folder.folder, "{problem}"),
                    Err(error) => return Err(error),
                }
            }
            let (own, links) = (cloud.devices().await?, self.index.links()?);
            for peer in self.peers(&self.folders()?).await? {
                let device = peer.to_string();
                let name = own.iter().find(|own| own.device == device).map(|own| own.name.clone());
                let online = !cloud.addresses(peer).await?.is_empty();
                let link = links.iter().find(|link| link.peer == peer);
                let rate = |link: &Link| {
                    let moved = link.received.saturating_add(link.sent);
                    moved.saturating_mul(1_000).checked_div(link.millis).filter(|_| moved > 0)
                };
                let last_session = link.map(|link| LastSession {
                    time: link.time,
                    way: link.way.clone(),
                    bytes_received: link.received,
                    bytes_sent: link.sent,
                    milliseconds: link.millis,
                    bytes_per_second: rate(link),
                });
                status.peers.push(PeerStatus { device, name, online, last_session });
            }
            self.save_session().await?;
        }
        Ok(status)
    }

    /// What is known of this device's folders without asking anybody.
    pub fn folder_statuses(&self) -> Result<Vec<FolderStatus>> {
        let mut statuses = Vec::new();
        for folder in &self.config.folders {
            let id = super::parse_id("folder", &folder.id)?;
            let (entries, bytes) = self.index.totals(id)?;
            let synced = self.index.synced(id)?;
            let has_key = self.has_key(id)?;
            statuses.push(FolderStatus {
                folder: folder.id.clone(),
                name: folder.name.clone(),
                path: folder.path.display().to_string(),
                direction: folder.direction,
                storage: None,
                encrypted: has_key.map(|_| true),
                locked: has_key == Some(false),
                waits_for_past: self.index.past(id)? == Past::Anew,
                // The disk may not be there.
                only: only::patterns(&folder.path).unwrap_or_default(),
                not_chosen: self.index.not_chosen(id, &folder.path).unwrap_or_default(),
                links_not_made: self.index.links_not_made(id)?,
                entries,
                bytes,
                last_sync: synced.first().map(|(_, time)| *time),
                synced_with: synced
                    .iter()
                    .map(|(device, time)| LastSync { device: device.to_string(), time: *time })
                    .collect(),
                cloud_doubts: self.index.doubts(id)?,
                conflicts: self.index.conflicts(id)?,
            });
        }
        Ok(statuses)
    }

    /// Chooses what of a folder is on this device; nothing chooses everything. What is not any more goes with the next sync, if others
    /// have it. Returns the choice.
    pub fn choose(&self, folder: &str, patterns: &[String]) -> Result<Vec<String>> {
        let id = self.folder_id(folder)?;
        let root = self.folder_root(id)?;
        only::choose(&self.index, id, &root, patterns)?;
        only::patterns(&root)
    }

    /// Leaves out what is like the pattern on this device alone, or takes it in again. `false`: it was so already.
    pub fn leave_out_here(&self, folder: &str, pattern: &str, remove: bool) -> Result<bool> {
        let id = self.folder_id(folder)?;
        ignore::edit_here(&self.index, id, &self.folder_root(id)?, pattern, remove)
    }

    /// What [`choose`](Self::choose) said. Empty: everything.
    pub fn chosen(&self, folder: &str) -> Result<Vec<String>> {
        only::patterns(&self.folder_root(self.folder_id(folder)?)?)
    }

    fn folder_root(&self, id: meshproof_proto::codec::Id) -> Result<std::path::PathBuf> {
        let id = id.to_string();
        let known = self.config.folders.iter().find(|known| known.id == id);
        known
            .map(|known| known.path.clone())
            .ok_or_else(|| Error::usage("this device does not have the folder: see `mesh folder add --join`"))
    }
}
