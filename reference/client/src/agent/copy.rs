//! What this device gives the cloud beside what it signs: the list of files of its folders, and the bytes that the cloud wants
//! (`spec/storage.md`, section 4.4).

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::time::Instant;

use futures_util::future::join_all;
use meshproof_proto::codec::Id;
use meshproof_proto::requirement::{self as req, deviates};
use meshproof_proto::storage::MediaHash;
use meshproof_proto::storage::sealed::SealedEntry;
use meshproof_proto::sync::{Item, Kind, Tree, Version};
use serde_json::{Value, json};

use super::sealing::Named;
use super::seam::{Seam, on_thread};
use super::{Agent, CloudReport};
use crate::cloud::{CloudEntry, EntryWrite};
use crate::error::{Error, Result};
use crate::sync::{Direction, Folder, Progress, replica};

/// How many times as long as the list of files took to write it is left alone: it takes all entries to know it.
const REST: u32 = 10;
/// How many contents the cloud is asked about at once.
const AT_ONCE: usize = 16;

/// When the list of files of a folder in the cloud was written.
#[derive(Clone, Copy)]
pub(super) struct Copied {
    /// How often the folder had been written.
    writes: u64,
    /// How long it is left alone.
    until: Instant,
}

impl Agent {
    /// Syncs the folders that the cloud may hold with it. What is `lazy` writes the list of files for those who do not verify
    /// only if something changed here.
    pub(super) async fn sync_with_cloud(
        &self,
        folders: &[Arc<Folder>],
        progress: &Arc<dyn Progress>,
        lazy: bool,
    ) -> Vec<(Id, Result<CloudReport>)> {
        let mut reports = Vec::new();
        for folder in folders {
            match self.sync_one(folder, progress, lazy).await {
                Ok(None) => {}
                Ok(Some(report)) => reports.push((folder.id(), Ok(report))),
                Err(error) => reports.push((folder.id(), Err(error))),
            }
        }
        reports
    }

    /// `None` for a folder that the cloud shall not hold (GPH-183).
    async fn sync_one(
        &self,
        folder: &Arc<Folder>,
        progress: &Arc<dyn Progress>,
        lazy: bool,
    ) -> Result<Option<CloudReport>> {
        let info = self.cloud()?.folder(folder.id()).await?;
        if info.storage != "cloud" || !info.has_states {
            let folder = folder.clone();
            on_thread(move || replica::nothing_shown(&folder)).await?;
        }
        if info.storage != "cloud" {
            return Ok(None);
        }
        let seam = self.seam(folder, info.encrypted).await?;
        let mut report = if info.has_states {
            Box::pin(self.sync_states(folder, &seam, progress)).await?
        } else {
            CloudReport::default()
        };
        if folder.direction() == Direction::ReceiveOnly {
            if info.has_states && !lazy {
                give_up(folder, &seam, progress).await?;
            }
            return Ok(Some(report));
        }
        let writes = folder.writes();
        let copied = super::lock(&self.copied).get(&folder.id()).copied();
        let rests = copied.is_some_and(|copied| copied.writes == writes || Instant::now() < copied.until);
        let result = if lazy && rests {
            bring_wanted(folder, &seam, &mut report).await
        } else {
            let begin = Instant::now();
            let copied = match self.copy_entries(folder, &seam, &mut report).await {
                Ok(()) => {
                    let until = Instant::now() + begin.elapsed() * REST;
                    super::lock(&self.copied).insert(folder.id(), Copied { writes, until });
                    bring_wanted(folder, &seam, &mut report).await
                }
                error => error,
            };
            // What the cloud keeps of a file counts once its list of files says so.
            if copied.is_ok() && info.has_states && folder.direction() == Direction::Both {
                give_up(folder, &seam, progress).await?;
            }
            copied
        };
        match result {
            // A reader gives nothing.
            Err(Error::Problem(problem)) if problem.error == "not-authorised" => {
                tracing::debug!(folder = %folder.id(), "{problem}");
            }
            result => result?,
        }
        Ok(Some(report))
    }

    /// Writes the list of files that is shown to those who do not verify: pages, WebDAV.
    async fn copy_entries(&self, folder: &Folder, seam: &Seam<'_>, report: &mut CloudReport) -> Result<()> {
        let cloud = self.cloud()?;
        let theirs = seam.list().await?;
        let known: HashMap<Id, _> = theirs.values().map(|(path, known)| (known.id, (path, known))).collect();
        let own = folder.index().entries(folder.id())?;
        let versions: HashMap<Id, &Version> = own.iter().map(|entry| (entry.id, &entry.version)).collect();
        let (mut changes, mut deletions) = (Vec::new(), Vec::new());
        let mut shown = HashSet::new();
        for item in Tree::of(&own).items {
            let Some(version) = versions.get(&item.id) else { continue };
            let id = seam.id(entry_id(&item));
            shown.insert(id);
            let known = known.get(&id);
            if !is_news(&item, version, known.copied()) {
                continue;
            }
            let etag = known.map(|(_, known)| known.etag.clone());
            let content = match item.kind {
                // Who does not verify sees a link as a file that says where it leads.
                Kind::File { size, hash } | Kind::Link { size, hash } => Some((size, hash)),
                Kind::Directory => None,
            };
            let entry = SealedEntry { path: item.path.clone(), content };
            let Some(listed) = seam.listed_out(id, &entry, folder).await? else {
                report.missing += 1; // it changed meanwhile
                continue;
            };
            changes.push(EntryWrite { entry: id, body: Some(body(id, &item, version, listed)), etag });
        }
        // What the cloud has and this device knows to be gone: as a tombstone, or because it saw all that the cloud did.
        let seen = folder.index().context(folder.id(), folder.device())?;
        for (id, (_, known)) in known.iter().filter(|(id, (_, known))| !known.deleted && !shown.contains(*id))
        {
            if seen.covers(&known.version) {
                deletions.push(EntryWrite { entry: *id, body: None, etag: Some(known.etag.clone()) });
            }
        }
        changes.append(&mut deletions); // last, so that the bytes of what was renamed stay
        for result in cloud.write_entries(folder.id(), &changes).await? {
            report.entries += written(result)?;
        }
        Ok(())
    }

    /// The seam of a folder of this device.
    pub(super) async fn seam(&self, folder: &Folder, encrypted: bool) -> Result<Seam<'_>> {
        let seal = self.seal(folder, encrypted).await?;
        Ok(Seam::new(self.cloud()?, folder.id(), seal, self.home.path("")))
    }

    /// Gets a file of a folder from the cloud, without any peer. What broke off goes on when it is called again.
    pub async fn fetch_from_cloud(&self, folder: &str, path: &str, to: &std::path::Path) -> Result<u64> {
        let id = self.folder_id(folder)?;
        let cloud = self.cloud()?;
        let encrypted = cloud.folder(id).await?.encrypted;
        let seam = match self.folders()?.into_iter().find(|folder| folder.id() == id) {
            Some(folder) => self.seam(&folder, encrypted).await?,
            None if encrypted => {
                return Err(Error::usage("the folder is encrypted: add it to this device first"));
            }
            None => Seam::new(cloud, id, None, self.home.path("")),
        };
        let entries = seam.list().await?;
        let mut entries = entries.values().filter(|(at, entry)| at == path && !entry.deleted);
        let content = entries.find_map(|(_, entry)| entry.content);
        let (size, hash) =
            content.ok_or_else(|| Error::usage(format!("the cloud knows no file {path} in this folder")))?;
        let name = to.file_name().ok_or_else(|| Error::usage("the target is not a file name"))?;
        // Named by what it will be: bytes of another content are not gone on with.
        let short: String = hash.to_string().chars().take(16).collect();
        let part = to.with_file_name(format!("{}.{short}.part", name.to_string_lossy()));
        seam.media_in(hash, size, &part).await?;
        std::fs::rename(&part, to).map_err(Error::io("renaming", &part))?;
        self.save_session().await?;
        Ok(size)
    }
}

/// Brings the contents that the cloud wants and this device has.
async fn bring_wanted(folder: &Folder, seam: &Seam<'_>, report: &mut CloudReport) -> Result<()> {
    for (hash, size) in seam.cloud().wanted(folder.id()).await? {
        let Some(file) = seam.wanted(hash, size, folder).await? else {
            report.missing += 1;
            continue;
        };
        match seam.media_out(hash, size, file).await {
            Ok(()) => {
                report.files += 1;
                report.bytes += size;
            }
            // It changed while it was read, or somebody else took the room: the next round knows better.
            Err(Error::Problem(problem)) if is_passing(&problem.error) => report.missing += 1,
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// SYN-150: removes what is not chosen any more and the cloud keeps.
async fn give_up(folder: &Arc<Folder>, seam: &Seam<'_>, progress: &Arc<dyn Progress>) -> Result<()> {
    let of = folder.clone();
    let mut asked = on_thread(move || replica::to_give_up(&of)).await?;
    if !asked.is_empty() {
        // The cloud has bytes for a while that no file of its list has any more (STO-037): those it is about to lose.
        let listed = seam.list().await?;
        let listed: HashSet<MediaHash> = listed.values().filter_map(|(_, entry)| named_by(entry)).collect();
        asked.retain(|hash| listed.contains(hash));
    }
    let mut kept = BTreeSet::new();
    for some in asked.chunks(AT_ONCE) {
        let answers = join_all(some.iter().map(|hash| seam.keeps(*hash))).await;
        for (hash, keeps) in some.iter().zip(answers) {
            if keeps? {
                kept.insert(*hash);
            }
        }
    }
    if kept.is_empty() {
        return Ok(());
    }
    let (of, progress) = (folder.clone(), progress.clone());
    on_thread(move || replica::give_up(&of, kept, &*progress)).await
}

/// The content that an entry of the list keeps in the cloud.
fn named_by(entry: &CloudEntry) -> Option<MediaHash> {
    entry.content.filter(|_| !entry.deleted).map(|(_, hash)| hash)
}

/// Whether the cloud's entry lacks something of this one and has nothing that this one lacks. An edit beats a deletion; and
/// a path may change without the entry, where another entry took its name.
fn is_news(item: &Item, version: &Version, known: Option<(&String, &CloudEntry)>) -> bool {
    let Some((path, known)) = known else { return true };
    let lacks = !known.version.dominates(version) || (!known.deleted && path != item.path.as_str());
    lacks && (known.deleted || version.dominates(&known.version))
}

/// The identifier in the cloud: the entry's own, or for a content that lost one that follows from it and from the change.
fn entry_id(item: &Item) -> Id {
    if !item.copy {
        return item.id;
    }
    let (writer, counter) = item.stamp.dot();
    let hash =
        MediaHash::of(&[b"meshproof copy", &item.id.0[..], &writer.0, &counter.to_be_bytes()].concat());
    let mut id = [0; 16];
    id.copy_from_slice(&hash.0[..16]);
    Id(id)
}

/// The representation of an entry. One of which something is sealed has nothing else that could be read.
fn body(id: Id, item: &Item, version: &Version, (content, sealed): (Option<Named>, Option<String>)) -> Value {
    let counters = version.counters().iter();
    let version: serde_json::Map<String, Value> =
        counters.map(|(device, counter)| (device.to_string(), json!(counter))).collect();
    let mut body = json!({ "path": item.path.as_str(), "kind": "directory", "version": version });
    if let Some((hash, size)) = content {
        body["kind"] = "file".into();
        body["size"] = size.into();
        body["hash"] = hash.to_string().into();
    }
    if let Some(sealed) = sealed {
        body["path"] = id.to_string().into();
        body["properties"] = json!({ "sealed": sealed });
    }
    body
}

/// An entry that somebody else wrote meanwhile is theirs; it comes back from a peer.
fn written(result: Result<Option<String>>) -> Result<u64> {
    match result {
        Ok(_) => Ok(1),
        Err(Error::Problem(problem)) if ["etag-mismatch", "if-match-required"].contains(&&*problem.error) => {
            Ok(0)
        }
        Err(error) => Err(error),
    }
}

fn is_passing(error: &str) -> bool {
    if error == "quota-exceeded" && deviates(req::STO_050) {
        return false;
    }
    ["media-hash-mismatch", "quota-exceeded", "no-such-upload", "folder-is-p2p"].contains(&error)
}
