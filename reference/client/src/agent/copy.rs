//! What this device gives the cloud: the entries of its folders, and the bytes that the cloud wants (`spec/storage.md`,
//! section 4.4). Changes of others come from peers.

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::sync::Arc;

use meshproof_proto::codec::Id;
use meshproof_proto::requirement::{self as req, deviates};
use meshproof_proto::storage::MediaHash;
use meshproof_proto::storage::sealed::SealedEntry;
use meshproof_proto::sync::{Item, Kind, Tree, Version};
use serde_json::{Value, json};

use super::Agent;
use super::sealing::{Named, Seal};
use crate::cloud::{CloudEntry, EntryWrite};
use crate::error::{Error, Result};
use crate::home::Home;
use crate::sync::{Direction, Folder};

/// What the cloud got of a folder.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct CloudReport {
    /// Entries that were written or deleted.
    pub entries: u64,
    /// Files whose bytes were sent.
    pub files: u64,
    /// The bytes.
    pub bytes: u64,
    /// Wanted files that this device has not, or not any more as they were.
    pub missing: u64,
}

impl Agent {
    /// Gives the cloud what it lacks of the folders that it may hold and this user may change.
    pub(super) async fn copy_to_cloud(&self, folders: &[Arc<Folder>]) -> Vec<(Id, Result<CloudReport>)> {
        let mut reports = Vec::new();
        for folder in folders.iter().filter(|folder| folder.direction() != Direction::ReceiveOnly) {
            match Box::pin(self.copy_folder(folder)).await {
                Ok(None) => {}
                Ok(Some(report)) => reports.push((folder.id(), Ok(report))),
                // A reader gives nothing.
                Err(Error::Problem(problem)) if problem.error == "not-authorised" => {
                    tracing::debug!(folder = %folder.id(), "{problem}");
                }
                Err(error) => reports.push((folder.id(), Err(error))),
            }
        }
        reports
    }

    /// `None` for a folder that the cloud shall not hold.
    async fn copy_folder(&self, folder: &Folder) -> Result<Option<CloudReport>> {
        let cloud = self.cloud()?;
        let info = cloud.folder(folder.id()).await?;
        if info.storage != "cloud" {
            return Ok(None);
        }
        let seal = self.seal(folder, info.encrypted).await?;
        let mut report = CloudReport::default();
        let mut theirs = cloud.entries(folder.id()).await?;
        let mut contents = Contents::new(folder, seal.as_ref());
        if let Some(seal) = &seal {
            theirs.values_mut().for_each(|(path, known)| contents.open(seal, path, known));
        }
        let known: HashMap<Id, _> = theirs.values().map(|(path, known)| (known.id, (path, known))).collect();
        let own = folder.index().entries(folder.id())?;
        let versions: HashMap<Id, &Version> = own.iter().map(|entry| (entry.id, &entry.version)).collect();
        let (mut changes, mut deletions) = (Vec::new(), Vec::new());
        let mut shown = HashSet::new();
        for item in Tree::of(&own).items {
            let Some(version) = versions.get(&item.id) else { continue };
            let id = entry_id(&item);
            let id = seal.as_ref().map_or(id, |seal| seal.id(id));
            shown.insert(id);
            let known = known.get(&id);
            if matches!(item.kind, Kind::Link { .. }) || !is_news(&item, version, known.copied()) {
                continue;
            }
            let etag = known.map(|(_, known)| known.etag.clone());
            let Some(body) = contents.body(id, &item, version).await? else {
                report.missing += 1; // it changed meanwhile
                continue;
            };
            changes.push(EntryWrite { entry: id, body: Some(body), etag });
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
        for (hash, size) in cloud.wanted(folder.id()).await? {
            let Some(file) = contents.wanted(hash, size, &self.home).await? else {
                report.missing += 1;
                continue;
            };
            match cloud.upload(folder.id(), hash, size, file).await {
                Ok(()) => {
                    report.files += 1;
                    report.bytes += size;
                }
                // It changed while it was read, or somebody else took the room: the next round knows better.
                Err(Error::Problem(problem)) if is_passing(&problem.error) => report.missing += 1,
                Err(error) => return Err(error),
            }
        }
        Ok(Some(report))
    }

    /// Gets a file of a folder from the cloud, without any peer. What broke off goes on when it is called again.
    pub async fn fetch_from_cloud(&self, folder: &str, path: &str, to: &std::path::Path) -> Result<u64> {
        let id = self.folder_id(folder)?;
        let cloud = self.cloud()?;
        let encrypted = cloud.folder(id).await?.encrypted;
        let opened = self.folders()?.into_iter().find(|folder| folder.id() == id);
        let seal = match &opened {
            Some(folder) => self.seal(folder, encrypted).await?,
            None if encrypted => {
                return Err(Error::usage("the folder is encrypted: add it to this device first"));
            }
            None => None,
        };
        let mut entries = cloud.entries(id).await?;
        let mut sizes = HashMap::new();
        for (at, entry) in entries.values_mut() {
            let here = entry.content;
            if let Some(seal) = &seal {
                open(seal, at, entry);
            }
            sizes.insert(entry.id, here);
        }
        let mut found = entries.values().filter(|(at, entry)| at == path && !entry.deleted);
        let found = found.find_map(|(_, entry)| Some((entry.content?, sizes.get(&entry.id).copied()??)));
        let ((size, content), (stored, hash)) =
            found.ok_or_else(|| Error::usage(format!("the cloud knows no file {path} in this folder")))?;
        let name = to.file_name().ok_or_else(|| Error::usage("the target is not a file name"))?;
        // Named by what it will be: bytes of another content are not gone on with.
        let short: String = hash.to_string().chars().take(16).collect();
        let part = to.with_file_name(format!("{}.{short}.part", name.to_string_lossy()));
        cloud.download(id, hash, stored, &part).await?;
        if let Some(seal) = seal {
            let (sealed, plain) = (part.clone(), part.with_extension("opened"));
            let opened = plain.clone();
            on_thread(move || seal.open_file((content, size), &sealed, &opened)).await?;
            std::fs::remove_file(&part).map_err(Error::io("removing", &part))?;
            std::fs::rename(&plain, to).map_err(Error::io("renaming", &plain))?;
        } else {
            std::fs::rename(&part, to).map_err(Error::io("renaming", &part))?;
        }
        self.save_session().await?;
        Ok(size)
    }
}

/// The contents of a folder, and what they are called in the cloud: their own hash, or that of their sealed bytes.
struct Contents<'a> {
    folder: &'a Folder,
    seal: Option<&'a Seal>,
    sealed: HashMap<MediaHash, Named>,
    plain: HashMap<MediaHash, Named>,
}

impl<'a> Contents<'a> {
    fn new(folder: &'a Folder, seal: Option<&'a Seal>) -> Self {
        Self { folder, seal, sealed: HashMap::new(), plain: HashMap::new() }
    }

    /// Puts what a sealed entry says in the place of what the cloud sees of it.
    fn open(&mut self, seal: &Seal, path: &mut String, known: &mut CloudEntry) {
        let there = known.content;
        if open(seal, path, known)
            && let (Some((size, hash)), Some((stored, sealed))) = (known.content, there)
        {
            self.note((hash, size), (sealed, stored));
        }
    }

    fn note(&mut self, plain: Named, sealed: Named) {
        self.sealed.insert(plain.0, sealed);
        self.plain.insert(sealed.0, plain);
    }

    /// What is written of an entry. `None` if its file is not there any more as it was.
    async fn body(&mut self, id: Id, item: &Item, version: &Version) -> Result<Option<Value>> {
        let Some(seal) = self.seal else { return Ok(Some(body(item, version, None))) };
        let content = match item.kind {
            Kind::File { size, hash } => Some((size, hash)),
            _ => None,
        };
        let text = seal.entry(id, &SealedEntry { path: item.path.clone(), content })?;
        let Some((size, hash)) = content else {
            return Ok(Some(body(item, version, Some((id, None, text)))));
        };
        let known = if let Some(known) = self.sealed.get(&hash) {
            *known
        } else {
            let Some(file) = self.folder.open_content(&hash, size)? else { return Ok(None) };
            let seal = seal.clone();
            let sealed = on_thread(move || seal.file((hash, size), file, &mut std::io::sink())).await?;
            self.note((hash, size), sealed);
            sealed
        };
        Ok(Some(body(item, version, Some((id, Some(known), text)))))
    }

    /// The bytes that the cloud wants under this hash, if they are here.
    async fn wanted(&self, hash: MediaHash, size: u64, home: &Home) -> Result<Option<File>> {
        let Some(seal) = self.seal else { return self.folder.open_content(&hash, size) };
        let Some((plain, length)) = self.plain.get(&hash).copied() else { return Ok(None) };
        let mut files = Vec::new();
        // One for each key that it may be sealed under; opened here, for the folder does not go to another thread.
        for _ in 0..seal.generations().min(16) {
            files.extend(self.folder.open_content(&plain, length)?);
        }
        let (seal, directory) = (seal.clone(), home.path(""));
        on_thread(move || seal.wanted(hash, (plain, length), files, &directory)).await
    }
}

/// The path and content that a sealed entry says. `false`, and nothing is changed, if it says nothing that this device can
/// read: then the device writes it anew.
fn open(seal: &Seal, path: &mut String, known: &mut CloudEntry) -> bool {
    let Some(sealed) = &known.sealed else { return false };
    match seal.open_entry(known.id, sealed) {
        Ok(entry) => {
            entry.path.as_str().clone_into(path);
            known.content = entry.content;
            true
        }
        Err(error) => {
            tracing::warn!(entry = %known.id, requirement = error.requirement_id(), "a sealed entry: {error}");
            false
        }
    }
}

async fn on_thread<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    let failed = |error: tokio::task::JoinError| Error::Cloud(format!("sealing failed: {error}"));
    tokio::task::spawn_blocking(work).await.map_err(failed)?
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

/// The representation of an entry; of an encrypted folder its identifier in the graph, what the cloud has of its content, and
/// what is sealed.
fn body(item: &Item, version: &Version, sealed: Option<(Id, Option<Named>, String)>) -> Value {
    let counters = version.counters().iter();
    let version: serde_json::Map<String, Value> =
        counters.map(|(device, counter)| (device.to_string(), json!(counter))).collect();
    let plain = match item.kind {
        Kind::File { size, hash } => Some((hash, size)),
        _ => None,
    };
    let (path, content) = match &sealed {
        Some((id, content, _)) => (id.to_string(), *content),
        None => (item.path.as_str().to_owned(), plain),
    };
    let mut body = json!({ "path": path, "kind": "directory", "version": version });
    if let Some((hash, size)) = content {
        body["kind"] = "file".into();
        body["size"] = size.into();
        body["hash"] = hash.to_string().into();
    }
    if let Some((_, _, sealed)) = sealed {
        body["properties"] = json!({ "sealed": sealed });
    }
    body
}

/// An entry that somebody else wrote meanwhile is theirs; it comes back from a peer.
fn written(result: Result<()>) -> Result<u64> {
    match result {
        Ok(()) => Ok(1),
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
