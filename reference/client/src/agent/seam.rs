//! The seam between a folder and the cloud: every byte of an entry or a content that goes to the cloud, or comes from it, passes
//! here, and nowhere else. What the cloud sees of a folder is decided by these functions alone: of an encrypted folder only what
//! is sealed (`spec/storage.md`, section 3.1).
//!
//! ```text
//!  entry, head  --out-->  identifier and bytes of a state  --in-->  entry, head
//!  content      --out-->  media                            --in-->  content
//! ```
//!
//! Nothing that comes in is believed because of the seam: entries are verified by their signatures, contents by their hashes,
//! after they came through.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use meshproof_proto::codec::Id;
use meshproof_proto::requirement::{self as req, demand};
use meshproof_proto::storage::MediaHash;
use meshproof_proto::storage::sealed::{Object, SealedEntry};
use meshproof_proto::sync::Entry;

use super::sealing::{Named, Seal};
use crate::cloud::{Cloud, CloudEntry};
use crate::error::{Error, Result};
use crate::sync::Folder;

/// The seam of one folder.
pub(super) struct Seam<'a> {
    cloud: &'a Cloud,
    folder: Id,
    /// `None`: the folder is not encrypted.
    seal: Option<Seal>,
    /// Where sealed bytes wait to be opened, or sent.
    directory: PathBuf,
    names: Mutex<Names>,
}

/// What the contents of an encrypted folder are called in the cloud: by the hash of their sealed bytes.
#[derive(Default)]
struct Names {
    loaded: bool,
    sealed: HashMap<MediaHash, Named>,
    plain: HashMap<MediaHash, Named>,
}

impl<'a> Seam<'a> {
    /// `directory` is this device's alone.
    pub(super) fn new(cloud: &'a Cloud, folder: Id, seal: Option<Seal>, directory: PathBuf) -> Self {
        Self { cloud, folder, seal, directory, names: Mutex::default() }
    }

    /// The cloud.
    pub(super) fn cloud(&self) -> &'a Cloud {
        self.cloud
    }

    /// Whether the cloud gets only what is sealed.
    pub(super) fn seals(&self) -> bool {
        self.seal.is_some()
    }

    /// Under which identifier, and as which bytes, the cloud keeps an entry.
    pub(super) fn entry_out(&self, entry: &Entry) -> Result<(Id, Vec<u8>)> {
        let Some(seal) = &self.seal else { return Ok((entry.id, entry.to_bytes())) };
        let id = seal.id(entry.id);
        Ok((id, seal.small(&Object::State(id), &entry.to_bytes())?))
    }

    /// The entry that the cloud shows as these bytes under this identifier.
    pub(super) fn entry_in(&self, id: Id, bytes: &[u8]) -> Result<Entry> {
        let entry = match &self.seal {
            Some(seal) => Entry::from_bytes(&seal.open_small(Object::State(id), bytes)?)?,
            None => Entry::from_bytes(bytes)?,
        };
        demand(self.id(entry.id) == id, req::SYN_086)?;
        Ok(entry)
    }

    /// As which bytes the cloud keeps the head of a device.
    pub(super) fn head_out(&self, device: Id, head: Vec<u8>) -> Result<Vec<u8>> {
        let Some(seal) = &self.seal else { return Ok(head) };
        seal.small(&Object::Head(device), &head)
    }

    /// The head that the cloud shows as these bytes for a device; no bytes if it cannot be opened.
    pub(super) fn head_in(&self, device: Id, bytes: &[u8]) -> Vec<u8> {
        let Some(seal) = &self.seal else { return bytes.to_vec() };
        seal.open_small(Object::Head(device), bytes).unwrap_or_default()
    }

    /// What the list of files calls an entry.
    pub(super) fn id(&self, entry: Id) -> Id {
        self.seal.as_ref().map_or(entry, |seal| seal.id(entry))
    }

    /// The list of files, paths and contents as this device reads them. What contents are called is known from then on.
    pub(super) async fn list(&self) -> Result<BTreeMap<Id, (String, CloudEntry)>> {
        let mut listed = self.cloud.entries(self.folder).await?;
        listed.values_mut().for_each(|(path, known)| self.listed_in(path, known));
        self.names().loaded = true;
        Ok(listed)
    }

    /// Puts what an entry of the list of files says in the place of what the cloud sees of it, if it is sealed. One that this
    /// device cannot read stays as it is: the device writes it anew.
    fn listed_in(&self, path: &mut String, known: &mut CloudEntry) {
        let (Some(seal), Some(sealed)) = (&self.seal, &known.sealed) else { return };
        match seal.open_entry(known.id, sealed) {
            Ok(entry) => {
                if let (Some((size, hash)), Some((stored, sealed))) = (entry.content, known.content) {
                    self.note((hash, size), (sealed, stored));
                }
                entry.path.as_str().clone_into(path);
                known.content = entry.content;
            }
            Err(error) => {
                tracing::warn!(entry = %known.id, requirement = error.requirement_id(), "a sealed entry: {error}");
            }
        }
    }

    /// What the list of files has of an entry: the content as the cloud has it, and what is sealed. `None` if the file is not
    /// there any more as it was.
    pub(super) async fn listed_out(
        &self,
        id: Id,
        entry: &SealedEntry,
        folder: &Folder,
    ) -> Result<Option<(Option<Named>, Option<String>)>> {
        let content = entry.content.map(|(size, hash)| (hash, size));
        let Some(seal) = &self.seal else { return Ok(Some((content, None))) };
        let text = seal.entry(id, entry)?;
        let Some(content) = content else { return Ok(Some((None, Some(text)))) };
        let known = self.names().sealed.get(&content.0).copied();
        if known.is_some() {
            return Ok(Some((known, Some(text))));
        }
        let Some(file) = folder.open_content(&content.0, content.1)? else { return Ok(None) };
        let seal = seal.clone();
        let sealed = on_thread(move || seal.file(content, file, &mut std::io::sink())).await?;
        self.note(content, sealed);
        Ok(Some((Some(sealed), Some(text))))
    }

    /// The bytes that the cloud wants under this name, if they are here.
    pub(super) async fn wanted(&self, hash: MediaHash, size: u64, folder: &Folder) -> Result<Option<File>> {
        let Some(seal) = &self.seal else { return folder.open_content(&hash, size) };
        self.load().await?;
        let Some((plain, length)) = self.names().plain.get(&hash).copied() else { return Ok(None) };
        let mut files = Vec::new();
        // One for each key that it may be sealed under; opened here, for the folder does not go to another thread.
        for _ in 0..seal.generations().min(16) {
            files.extend(folder.open_content(&plain, length)?);
        }
        let (seal, directory) = (seal.clone(), self.directory.clone());
        on_thread(move || seal.wanted(hash, (plain, length), files, &directory)).await
    }

    /// Brings to the cloud what [`wanted`](Self::wanted) gave.
    pub(super) async fn media_out(&self, hash: MediaHash, size: u64, file: File) -> Result<()> {
        self.cloud.upload(self.folder, hash, size, file).await
    }

    /// Gets a content into a file, behind what an earlier attempt left there.
    pub(super) async fn media_in(&self, hash: MediaHash, size: u64, to: &Path) -> Result<()> {
        let Some(seal) = &self.seal else { return self.cloud.download(self.folder, hash, size, to).await };
        self.load().await?;
        let Some((sealed, stored)) = self.names().sealed.get(&hash).copied() else {
            return Err(self.cloud.no_such_media(hash));
        };
        let part = self.directory.join(format!("{sealed}.sealed"));
        self.cloud.download(self.folder, sealed, stored, &part).await?;
        let (seal, from, to) = (seal.clone(), part.clone(), to.to_path_buf());
        let opened = on_thread(move || seal.open_file((hash, size), &from, &to)).await;
        std::fs::remove_file(&part).map_err(Error::io("removing", &part))?;
        match opened {
            Err(Error::Protocol(error)) => {
                tracing::warn!(%hash, "sealed bytes: {error}");
                Err(Error::WrongBytes(hash))
            }
            opened => opened,
        }
    }

    /// Whether the cloud has a content.
    pub(super) async fn keeps(&self, hash: MediaHash) -> Result<bool> {
        if self.seal.is_none() {
            return self.cloud.has_media(self.folder, hash).await;
        }
        self.load().await?;
        let sealed = self.names().sealed.get(&hash).copied();
        match sealed {
            Some((sealed, _)) => self.cloud.has_media(self.folder, sealed).await,
            None => Ok(false),
        }
    }

    /// Reads what contents are called, once.
    async fn load(&self) -> Result<()> {
        if !self.names().loaded {
            self.list().await?;
        }
        Ok(())
    }

    fn note(&self, plain: Named, sealed: Named) {
        let mut names = self.names();
        names.sealed.insert(plain.0, sealed);
        names.plain.insert(sealed.0, plain);
    }

    fn names(&self) -> MutexGuard<'_, Names> {
        self.names.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

pub(super) async fn on_thread<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    let failed = |error: tokio::task::JoinError| Error::Cloud(format!("sealing failed: {error}"));
    tokio::task::spawn_blocking(work).await.map_err(failed)?
}
