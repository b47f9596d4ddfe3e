//! The keys of encrypted folders: made here, kept here, and given to the other devices through the cloud, which cannot read
//! them (`spec/storage.md`, section 3.2).
//!
//! What this device knows of a folder is in the file `folder-ID.key` of the home, readable by its user alone:
//!
//! ```text
//! n u16 | key[32] * n | (device[16] | fingerprint[32]) * m, to the end
//! ```
//!
//! The keys of all generations, none while nobody gave this device one; then the keys of devices that had one once. That the
//! file is there says that the folder is encrypted, whatever the cloud says later (STO-079).

use std::collections::BTreeMap;

use meshproof_proto::codec::{Id, Reader, Write as _, hex};
use meshproof_proto::crypto::{PublicKey, Secret, Spki, draw, draw_secret};
use meshproof_proto::requirement as req;
use meshproof_proto::storage::keys::{
    By, FolderKeys, KeyRecord, MOST_RECOVERIES, Readers, RecoveryKey, Signed,
};
use zeroize::Zeroizing;

use super::Agent;
use super::sealing::Seal;
use crate::cloud::KeyNode;
use crate::error::{Error, Result};
use crate::home::Home;
use crate::sync::Folder;

/// Who can read an encrypted folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyStatus {
    /// How often the key was replaced, from 1 on.
    pub generation: u32,
    /// The same on all devices that have this key, in hexadecimal.
    pub check: String,
    /// The devices that it is wrapped for.
    pub devices: Vec<Id>,
    /// How many recovery keys there are.
    pub recoveries: usize,
}

/// What this device knows of a folder's keys.
#[derive(Default)]
struct Known {
    keys: Option<FolderKeys>,
    /// The fingerprints of the keys of devices that were given the key of the folder.
    devices: BTreeMap<Id, [u8; 32]>,
}

impl Agent {
    /// Makes a folder of the cloud an encrypted one: from now on the cloud gets nothing of it that it could read.
    pub async fn encrypt_folder(&self, folder: &str) -> Result<KeyStatus> {
        let folder = self.opened(folder)?;
        if self.cloud()?.folder(folder.id()).await?.encrypted {
            return Err(Error::usage("the folder is encrypted already"));
        }
        // A key that is here, of a folder that the cloud does not know as encrypted: an earlier attempt got no answer.
        let before = Known::read(&self.home, folder.id())?.and_then(|known| known.keys);
        let new = || FolderKeys::first(folder.id(), draw_secret(&mut crate::os_entropy));
        let keys = before.unwrap_or_else(new);
        let mut known = Known { keys: Some(keys.clone()), ..Known::default() };
        // Kept before the cloud has the record: what only its key could open would be lost with it.
        known.write(&self.home, folder.id())?;
        let written = self.write_record(&folder, &mut known, &keys, &[], None).await;
        match written {
            Ok(record) => {
                folder.index().forget_cloud(folder.id())?;
                self.save_session().await?;
                Ok(status(&record))
            }
            Err(error) => {
                if matches!(error, Error::Problem(_)) {
                    Known::remove(&self.home, folder.id())?; // the cloud did not take it
                }
                Err(error)
            }
        }
    }

    /// Makes a recovery key for a folder, to be written down. Those that there are stay good.
    pub async fn new_recovery_key(&self, folder: &str) -> Result<Zeroizing<[u8; 16]>> {
        let folder = self.opened(folder)?;
        let (mut known, node, record) = self.read_record(&folder).await?;
        let keys = known.keys.clone().ok_or_else(locked)?;
        let secret = Zeroizing::new(draw::<16>(&mut crate::os_entropy));
        let mut recoveries = publics(&record);
        if recoveries.len() >= MOST_RECOVERIES {
            return Err(Error::usage(format!("the folder has {MOST_RECOVERIES} recovery keys already")));
        }
        recoveries.push(RecoveryKey::new(*secret).public(self.provider));
        recoveries.sort_unstable();
        self.write_record(&folder, &mut known, &keys, &recoveries, Some(&node.etag)).await?;
        self.save_session().await?;
        Ok(secret)
    }

    /// Gives this device the keys of a folder by a recovery key.
    pub async fn recover_folder(&self, folder: &str, key: [u8; 16]) -> Result<KeyStatus> {
        let folder = self.opened(folder)?;
        let (mut known, node) = self.key_node(&folder).await?;
        let signed = self.verified(&folder, &node).await?;
        let key = RecoveryKey::new(key);
        let by = By::Recovery(&key);
        let keys = signed.open(self.provider, &by, known.keys.as_ref(), &mut crate::os_entropy)?;
        known.keys = Some(keys.clone());
        known.write(&self.home, folder.id())?;
        folder.index().forget_cloud(folder.id())?;
        let record = signed.record();
        let written = self.write_record(&folder, &mut known, &keys, &publics(record), Some(&node.etag)).await;
        self.save_session().await?;
        // Who may only read has the keys here, and waits for somebody else to wrap them.
        let record = match written {
            Ok(record) => record,
            Err(error) => passing(error).map(|()| record.clone())?,
        };
        Ok(status(&record))
    }

    /// Who can read a folder; `None` if it is not encrypted.
    pub async fn key_status(&self, folder: &str) -> Result<Option<KeyStatus>> {
        let folder = self.opened(folder)?;
        let Some(node) = self.cloud()?.key(folder.id()).await? else { return Ok(None) };
        let signed = self.verified(&folder, &node).await?;
        self.save_session().await?;
        Ok(Some(status(signed.record())))
    }

    /// What seals for the cloud, and opens what it has; `None` if the folder is not encrypted. Takes over new keys, and
    /// gives the key to devices that came, or a new one to those that stayed (STO-077, STO-078).
    pub(super) async fn seal(&self, folder: &Folder, encrypted: bool) -> Result<Option<Seal>> {
        if !encrypted && !Known::exists(&self.home, folder.id())? {
            return Ok(None);
        }
        let (mut known, node, record) = self.read_record(folder).await?;
        let keys = known.keys.clone().ok_or_else(locked)?;
        let keys = match self.renew(folder, &mut known, &keys, &record, &node).await {
            Ok(keys) => keys,
            Err(error) => passing(error).map(|()| keys)?,
        };
        Ok(Some(Seal::new(self.provider, keys)))
    }

    /// Whether this device has a key of a folder; `None` if it knows of no encryption.
    pub(super) fn has_key(&self, folder: Id) -> Result<Option<bool>> {
        Ok(Known::read(&self.home, folder)?.map(|known| known.keys.is_some()))
    }

    /// A folder of this device, with the cards of those who write in it.
    fn opened(&self, folder: &str) -> Result<std::sync::Arc<Folder>> {
        let id = self.folder_id(folder)?;
        let found = self.folders()?.into_iter().find(|folder| folder.id() == id);
        found
            .ok_or_else(|| Error::usage("this device does not have the folder: see `mesh folder add --join`"))
    }

    async fn key_node(&self, folder: &Folder) -> Result<(Known, KeyNode)> {
        let known = Known::read(&self.home, folder.id())?.unwrap_or_default();
        let node = self.cloud()?.key(folder.id()).await?;
        let denied =
            || Error::Cloud("the cloud says that the folder is not encrypted: it gets nothing".into());
        let node = node.ok_or_else(denied)?; // STO-079
        if !Known::exists(&self.home, folder.id())? {
            known.write(&self.home, folder.id())?;
        }
        Ok((known, node))
    }

    /// STO-070, STO-071
    async fn verified(&self, folder: &Folder, node: &KeyNode) -> Result<Signed> {
        let record = KeyRecord::from_bytes(&node.record)?;
        if folder.writer_key(record.writer)?.is_none() {
            let (_, keys) = self.cloud()?.issuer().await?;
            folder.trust(&keys);
            folder.learn(self.cloud()?.writers(folder.id()).await?)?;
        }
        let unknown = || meshproof_proto::error::Error::from(req::STO_071);
        let key = folder.writer_key(record.writer)?.ok_or_else(unknown)?;
        Ok(record.verify(self.provider, folder.id(), &key)?)
    }

    /// The record of now, and the keys that it brings.
    async fn read_record(&self, folder: &Folder) -> Result<(Known, KeyNode, KeyRecord)> {
        let (mut known, node) = self.key_node(folder).await?;
        let signed = self.verified(folder, &node).await?;
        let device = self.device()?;
        let by = By::Device(device.id(), device.key());
        match signed.open(self.provider, &by, known.keys.as_ref(), &mut crate::os_entropy) {
            Ok(keys) => {
                if known.keys.is_none() {
                    folder.index().forget_cloud(folder.id())?; // it became encrypted, or this device may read it now
                }
                if known.generation() != keys.generation() {
                    known.keys = Some(keys);
                    known.write(&self.home, folder.id())?;
                }
            }
            // It has the key of this generation all the same, by a recovery key.
            Err(error) if error.is(req::STO_072) && known.has(&signed, self.provider) => {}
            Err(error) if error.is(req::STO_072) => known.keys = None,
            Err(error) => return Err(error.into()),
        }
        Ok((known, node, signed.record().clone()))
    }

    /// Writes the record anew if other devices have the folder than it is for.
    async fn renew(
        &self,
        folder: &Folder,
        known: &mut Known,
        keys: &FolderKeys,
        record: &KeyRecord,
        node: &KeyNode,
    ) -> Result<FolderKeys> {
        let here: Vec<Id> =
            self.readers(folder, known).await?.into_iter().map(|(device, _)| device).collect();
        let wrapped: Vec<Id> = record.wraps.iter().map(|wrap| wrap.device).collect();
        if here == wrapped {
            return Ok(keys.clone());
        }
        let mut keys = keys.clone();
        if wrapped.iter().any(|device| !here.contains(device)) {
            keys.add(draw_secret(&mut crate::os_entropy)); // STO-078
        }
        self.write_record(folder, known, &keys, &publics(record), Some(&node.etag)).await?;
        known.keys = Some(keys.clone());
        known.write(&self.home, folder.id())?;
        Ok(keys)
    }

    /// The devices on which the folder is mapped, with their keys, ascending. A device has one key for ever: who says
    /// another is not believed.
    async fn readers(&self, folder: &Folder, known: &Known) -> Result<Vec<(Id, Spki)>> {
        let own = self.device()?;
        let mut readers = Vec::new();
        for mapping in self.cloud()?.mappings(folder.id()).await? {
            let Some(key) = mapping.key else { continue };
            let key = if mapping.device == own.id() { own.spki().clone() } else { key };
            let print = key.fingerprint(self.provider);
            if known.devices.get(&mapping.device).is_some_and(|known| *known != print) {
                let device = mapping.device;
                return Err(Error::Cloud(format!(
                    "the cloud names another key for the device {device} than before"
                )));
            }
            readers.push((mapping.device, key));
        }
        readers.sort_by_key(|(device, _)| *device);
        Ok(readers)
    }

    async fn write_record(
        &self,
        folder: &Folder,
        known: &mut Known,
        keys: &FolderKeys,
        recoveries: &[[u8; 32]],
        etag: Option<&str>,
    ) -> Result<KeyRecord> {
        let readers = self.readers(folder, known).await?;
        let bad = |_| Error::Cloud("the key of a device is not acceptable".into());
        let load = |(device, key): &(Id, Spki)| Ok((*device, self.provider.public_key(key).map_err(bad)?));
        let devices: Vec<(Id, Box<dyn PublicKey>)> = readers.iter().map(load).collect::<Result<_>>()?;
        let devices: Vec<(Id, &dyn PublicKey)> = devices.iter().map(|(id, key)| (*id, &**key)).collect();
        let signer = self.signer.as_ref().ok_or_else(super::lost)?;
        let to = Readers { devices: &devices, recoveries };
        let by = (signer.device(), signer.key());
        let record = KeyRecord::write(self.provider, keys, &to, by, &mut crate::os_entropy)?;
        self.cloud()?.put_key(folder.id(), &record.to_bytes(), etag).await?;
        for (device, key) in readers {
            let print = key.fingerprint(self.provider);
            if known.devices.insert(device, print).is_none() && device != signer.device() {
                tracing::warn!(%device, fingerprint = hex(&print), folder = %folder.id(), "the device was given the key of the folder");
            }
        }
        known.write(&self.home, folder.id())?;
        Ok(record)
    }
}

impl Known {
    fn name(folder: Id) -> String {
        format!("folder-{folder}.key")
    }

    fn exists(home: &Home, folder: Id) -> Result<bool> {
        let path = home.path(&Self::name(folder));
        path.try_exists().map_err(Error::io("reading", &path))
    }

    fn read(home: &Home, folder: Id) -> Result<Option<Self>> {
        let Some(bytes) = home.read(&Self::name(folder))?.map(Zeroizing::new) else { return Ok(None) };
        let damaged = || Error::usage(format!("{} is damaged", home.path(&Self::name(folder)).display()));
        Self::parse(folder, &bytes).map(Some).ok_or_else(damaged)
    }

    fn parse(folder: Id, bytes: &[u8]) -> Option<Self> {
        let mut fields = Reader::new(bytes);
        let mut known = Self::default();
        for _ in 0..fields.u16()? {
            let key = Secret::new(fields.array()?);
            match &mut known.keys {
                Some(keys) => keys.add(key),
                None => known.keys = Some(FolderKeys::first(folder, key)),
            }
        }
        while !fields.is_empty() {
            known.devices.insert(Id(fields.array()?), fields.array()?);
        }
        Some(known)
    }

    fn write(&self, home: &Home, folder: Id) -> Result<()> {
        // As long as it may get: a vector that grows leaves what it had in memory.
        let mut bytes = Zeroizing::new(Vec::with_capacity(2 + 32 * 1_024 + 48 * self.devices.len()));
        bytes.put_u16(u16::try_from(self.generation()).unwrap_or(u16::MAX));
        for key in self.keys.iter().flat_map(FolderKeys::all) {
            bytes.extend_from_slice(&**key);
        }
        for (device, print) in &self.devices {
            bytes.extend_from_slice(&device.0);
            bytes.extend_from_slice(print);
        }
        home.write(&Self::name(folder), &bytes)
    }

    fn remove(home: &Home, folder: Id) -> Result<()> {
        let path = home.path(&Self::name(folder));
        std::fs::remove_file(&path).map_err(Error::io("removing", &path))
    }

    fn generation(&self) -> u32 {
        self.keys.as_ref().map_or(0, FolderKeys::generation)
    }

    /// Whether it has the newest key of the record.
    fn has(&self, signed: &Signed, provider: &dyn meshproof_proto::crypto::Provider) -> bool {
        let record = signed.record();
        self.generation() == record.generation
            && self.keys.as_ref().is_some_and(|keys| keys.check(provider) == record.check)
    }
}

fn status(record: &KeyRecord) -> KeyStatus {
    KeyStatus {
        generation: record.generation,
        check: hex(&record.check),
        devices: record.wraps.iter().map(|wrap| wrap.device).collect(),
        recoveries: record.recoveries.len(),
    }
}

fn publics(record: &KeyRecord) -> Vec<[u8; 32]> {
    record.recoveries.iter().map(|recovery| recovery.public).collect()
}

fn locked() -> Error {
    Error::usage(
        "the folder is encrypted and this device has no key of it yet: sync another device that may write in it, or use \
         `mesh folder recover`",
    )
}

/// Another device was faster, or this one may only read: the next round knows better.
fn passing(error: Error) -> Result<()> {
    let known = ["etag-mismatch", "if-match-required", "folder-key-generation", "not-authorised"];
    match error {
        Error::Problem(problem) if known.contains(&&*problem.error) => Ok(()),
        error => Err(error),
    }
}
