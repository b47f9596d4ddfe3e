//! The keys of an encrypted folder, and the record that brings them to devices through a cloud that must not have them
//! (`spec/storage.md`, section 3.2).
//!
//! ```text
//!  bytes --from_bytes--> KeyRecord --verify: the writer signed it--> Signed --open: for this device--> FolderKeys
//! ```

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use zeroize::Zeroizing;

use crate::codec::{Id, Reader, Write};
use crate::crypto::{
    Entropy, PrivateKey, Provider, PublicKey, SIGNATURE, Secret, SigningKey, draw_secret, equal, expand,
    extract,
};
use crate::error::Error;
use crate::requirement::{self as req, demand, demand_some};

/// The last generation of a folder's keys.
pub const MOST_GENERATIONS: u32 = 1_024;
/// For how many devices a record wraps at most.
pub const MOST_WRAPS: usize = 1_024;
/// For how many recovery keys.
pub const MOST_RECOVERIES: usize = 8;

const TAG: usize = 32;
const BOX: usize = 32 + TAG;

/// The keys of a folder, of all generations. Erased when dropped.
#[derive(Clone)]
pub struct FolderKeys {
    folder: Id,
    first: Secret,
    later: Vec<Secret>,
}

impl FolderKeys {
    /// The key of generation 1: 32 random bytes.
    pub fn first(folder: Id, key: Secret) -> Self {
        Self { folder, first: key, later: Vec::new() }
    }

    /// Adds the key of the next generation: 32 random bytes.
    pub fn add(&mut self, key: Secret) {
        self.later.push(key);
    }

    /// The keys that there were when a generation was the newest. `None` if there is none such.
    pub fn until(&self, generation: u32) -> Option<Self> {
        let later = usize::try_from(generation.checked_sub(1)?).ok()?;
        Some(Self { later: self.later.get(..later)?.to_vec(), ..self.clone() })
    }

    /// The folder.
    pub fn folder(&self) -> Id {
        self.folder
    }

    /// The newest generation.
    pub fn generation(&self) -> u32 {
        u32::try_from(self.later.len()).unwrap_or(u32::MAX).saturating_add(1)
    }

    /// The key of a generation.
    pub fn of(&self, generation: u32) -> Option<&Secret> {
        match generation.checked_sub(2) {
            Some(later) => self.later.get(usize::try_from(later).ok()?),
            None => (generation == 1).then_some(&self.first),
        }
    }

    /// The key of generation 1.
    pub fn oldest(&self) -> &Secret {
        &self.first
    }

    /// The key of the newest generation.
    pub fn newest(&self) -> &Secret {
        self.later.last().unwrap_or(&self.first)
    }

    /// All keys, the first one first.
    pub fn all(&self) -> impl Iterator<Item = &Secret> {
        core::iter::once(&self.first).chain(&self.later)
    }

    /// `check` of the newest generation: the same for all who have its key, and telling nothing of it.
    pub fn check(&self, provider: &dyn Provider) -> [u8; 32] {
        let generation = self.generation().to_be_bytes();
        provider.mac_key(&**self.newest()).mac(&[b"meshproof folder key", &self.folder.0, &generation])
    }
}

impl core::fmt::Debug for FolderKeys {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "FolderKeys({}, generation {})", self.folder, self.generation())
    }
}

/// What a person keeps on paper, to read a folder when all devices are lost.
pub struct RecoveryKey(Zeroizing<[u8; 16]>);

impl RecoveryKey {
    /// A key of 16 random bytes.
    pub fn new(key: [u8; 16]) -> Self {
        Self(Zeroizing::new(key))
    }

    /// The public half, which records name.
    pub fn public(&self, provider: &dyn Provider) -> [u8; 32] {
        provider.x25519_key(&self.secret(provider)).public()
    }

    fn secret(&self, provider: &dyn Provider) -> Secret {
        extract(provider, b"meshproof recovery key", &*self.0)
    }
}

/// A key record as it is in the cloud. Nothing of it is to be believed before [`verify`](Self::verify).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyRecord {
    /// The newest generation.
    pub generation: u32,
    /// The device that wrote it.
    pub writer: Id,
    /// [`FolderKeys::check`]
    pub check: [u8; 32],
    /// Ascending by device.
    pub wraps: Vec<Wrap>,
    /// Ascending by public key.
    pub recoveries: Vec<Recovery>,
    earlier: Vec<u8>,
    signature: [u8; SIGNATURE],
}

/// The folder key for one device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wrap {
    /// The device.
    pub device: Id,
    /// Encrypted to its RSA key.
    pub key: Vec<u8>,
}

/// The folder key for one recovery key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Recovery {
    /// The public half of the recovery key.
    pub public: [u8; 32],
    ephemeral: [u8; 32],
    key: [u8; BOX],
}

/// Who shall be able to open a record.
pub struct Readers<'a> {
    /// Devices with their RSA keys, ascending.
    pub devices: &'a [(Id, &'a dyn PublicKey)],
    /// The public halves of recovery keys, ascending.
    pub recoveries: &'a [[u8; 32]],
}

/// A record that its writer signed.
#[derive(Clone, Debug)]
pub struct Signed {
    folder: Id,
    record: KeyRecord,
}

/// With what a record is opened.
pub enum By<'a> {
    /// The RSA key of a device.
    Device(Id, &'a dyn PrivateKey),
    /// A recovery key.
    Recovery(&'a RecoveryKey),
}

impl KeyRecord {
    /// Writes a record for these readers.
    ///
    /// # Errors
    /// [`Error::ApiMisuse`] if there are more readers or generations than a record has, or they are not ascending.
    pub fn write(
        provider: &dyn Provider,
        keys: &FolderKeys,
        readers: &Readers<'_>,
        writer: (Id, &dyn SigningKey),
        entropy: &mut dyn Entropy,
    ) -> Result<Self, Error> {
        let (folder, generation) = (keys.folder(), keys.generation());
        let wrap = |(device, key): &(Id, &dyn PublicKey)| {
            let label = label(folder, generation, *device);
            Wrap { device: *device, key: key.encrypt(label.as_bytes(), keys.newest(), &mut *entropy) }
        };
        let wraps = readers.devices.iter().map(wrap).collect();
        let recovery = |public: &[u8; 32]| {
            let ephemeral = draw_secret(entropy);
            let ephemeral = provider.x25519_key(&ephemeral);
            let shared = ephemeral.agree(public).ok_or(Error::ApiMisuse("no recovery key"))?;
            let ephemeral = ephemeral.public();
            let place = (folder, generation, public, &ephemeral);
            let sealed = KeyBox::recovery(provider, &shared, place).seal(&**keys.newest());
            let key = sealed.as_slice().try_into().map_err(|_| Error::ApiMisuse("no recovery key"))?;
            Ok(Recovery { public: *public, ephemeral, key })
        };
        let recoveries = readers.recoveries.iter().map(recovery).collect::<Result<_, Error>>()?;
        let mut earlier = Vec::new();
        if generation > 1 {
            let before = keys.all().take(keys.later.len());
            let before: Zeroizing<Vec<u8>> =
                Zeroizing::new(before.flat_map(|key| key.iter().copied()).collect());
            earlier = KeyBox::earlier(provider, keys.newest(), folder, generation).seal(&before);
        }
        let (writer, signer) = writer;
        let check = keys.check(provider);
        let mut record =
            Self { generation, writer, check, wraps, recoveries, earlier, signature: [0; SIGNATURE] };
        if !record.is_well_formed() {
            return Err(Error::ApiMisuse("more readers or generations than a record has, or not ascending"));
        }
        record.signature = signer.sign(&record.statement(folder));
        Ok(record)
    }

    /// The form of section 3.2.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = self.unsigned();
        out.extend_from_slice(&self.signature);
        out
    }

    /// Reads a record.
    ///
    /// # Errors
    /// STO-070
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, Error> {
        let mut fields = Reader::new(bytes);
        let record = Self::read(&mut fields);
        demand(
            record.as_ref().is_some_and(|record| fields.is_empty() && record.is_well_formed()),
            req::STO_070,
        )?;
        record.ok_or(Error::ApiMisuse("only mutants come here"))
    }

    /// Whether the device with this signing key, of a card of the folder, signed it.
    ///
    /// # Errors
    /// STO-071
    pub fn verify(self, provider: &dyn Provider, folder: Id, key: &[u8; 32]) -> Result<Signed, Error> {
        demand(self.is_signed(provider, folder, key), req::STO_071)?;
        Ok(Signed { folder, record: self })
    }

    /// What [`verify`](Self::verify) asks, for a service that has an answer of its own.
    pub fn is_signed(&self, provider: &dyn Provider, folder: Id, key: &[u8; 32]) -> bool {
        provider.verify(key, &self.statement(folder), &self.signature)
    }

    fn statement(&self, folder: Id) -> Vec<u8> {
        [b"meshproof folder keys", &folder.0[..], &self.unsigned()].concat()
    }

    fn unsigned(&self) -> Vec<u8> {
        let mut out = Vec::new();
        out.put_u32(self.generation);
        out.extend_from_slice(&self.writer.0);
        out.extend_from_slice(&self.check);
        out.put_u16(u16::try_from(self.wraps.len()).unwrap_or(u16::MAX));
        for wrap in &self.wraps {
            out.extend_from_slice(&wrap.device.0);
            out.put_field16(&wrap.key);
        }
        out.put_u8(u8::try_from(self.recoveries.len()).unwrap_or(u8::MAX));
        for recovery in &self.recoveries {
            out.extend_from_slice(&recovery.public);
            out.extend_from_slice(&recovery.ephemeral);
            out.extend_from_slice(&recovery.key);
        }
        out.extend_from_slice(&self.earlier);
        out
    }

    fn read(fields: &mut Reader<'_>) -> Option<Self> {
        let (generation, writer, check) = (fields.u32()?, Id(fields.array()?), fields.array()?);
        let wrap = |fields: &mut Reader<'_>| {
            Some(Wrap { device: Id(fields.array()?), key: fields.field16()?.to_vec() })
        };
        let wraps = (0..fields.u16()?).map(|_| wrap(fields)).collect::<Option<_>>()?;
        let recovery = |fields: &mut Reader<'_>| {
            Some(Recovery { public: fields.array()?, ephemeral: fields.array()?, key: fields.array()? })
        };
        let recoveries = (0..fields.u8()?).map(|_| recovery(fields)).collect::<Option<_>>()?;
        let earlier = fields.take(earlier_length(generation)?)?.to_vec();
        Some(Self { generation, writer, check, wraps, recoveries, earlier, signature: fields.array()? })
    }

    fn is_well_formed(&self) -> bool {
        (1..=MOST_GENERATIONS).contains(&self.generation)
            && self.wraps.len() <= MOST_WRAPS
            && self.recoveries.len() <= MOST_RECOVERIES
            && self.wraps.windows(2).all(|pair| pair[0].device < pair[1].device)
            && self.recoveries.windows(2).all(|pair| pair[0].public < pair[1].public)
    }
}

impl Signed {
    /// What the record says.
    pub fn record(&self) -> &KeyRecord {
        &self.record
    }

    /// Opens the record: all keys of the folder. `known` is what this device has of them.
    ///
    /// # Errors
    /// STO-072 to STO-076
    pub fn open(
        &self,
        provider: &dyn Provider,
        by: &By<'_>,
        known: Option<&FolderKeys>,
        entropy: &mut dyn Entropy,
    ) -> Result<FolderKeys, Error> {
        let generation = self.record.generation;
        demand(known.is_none_or(|known| known.generation() <= generation), req::STO_074)?;
        let newest = match by {
            By::Device(device, key) => {
                let opened = self.unwrap(*device, *key, entropy);
                demand_some(opened, req::STO_072, Secret::default)?
            }
            By::Recovery(key) => demand_some(self.recover(provider, key), req::STO_076, Secret::default)?,
        };
        let keys = self.keys(provider, &newest);
        let sole = || FolderKeys::first(self.folder, newest.clone());
        // Without the earlier ones the check cannot be made: whoever has no such rule goes on with the newest alone.
        let opens = keys.is_some();
        let keys = keys.unwrap_or_else(sole);
        let generation = generation.to_be_bytes();
        let check = provider.mac_key(&*newest).mac(&[b"meshproof folder key", &self.folder.0, &generation]);
        demand(equal(&check, &self.record.check), req::STO_073)?;
        let same =
            |known: &FolderKeys| known.all().zip(keys.all()).all(|(one, other)| equal(&**one, &**other));
        demand(opens && known.is_none_or(same), req::STO_075)?;
        Ok(keys)
    }

    fn unwrap(&self, device: Id, key: &dyn PrivateKey, entropy: &mut dyn Entropy) -> Option<Secret> {
        let wrap = self.record.wraps.iter().find(|wrap| wrap.device == device)?;
        let label = label(self.folder, self.record.generation, device);
        let opened = key.decrypt(label.as_bytes(), &wrap.key, entropy)?;
        secret(&opened)
    }

    fn recover(&self, provider: &dyn Provider, key: &RecoveryKey) -> Option<Secret> {
        let public = key.public(provider);
        let Recovery { ephemeral, key: sealed, .. } =
            self.record.recoveries.iter().find(|recovery| recovery.public == public)?;
        let shared = provider.x25519_key(&key.secret(provider)).agree(ephemeral)?;
        let place = (self.folder, self.record.generation, &public, ephemeral);
        secret(&KeyBox::recovery(provider, &shared, place).open(sealed)?)
    }

    fn keys(&self, provider: &dyn Provider, newest: &Secret) -> Option<FolderKeys> {
        let KeyRecord { generation, earlier, .. } = &self.record;
        if *generation == 1 {
            return Some(FolderKeys::first(self.folder, newest.clone()));
        }
        let earlier = KeyBox::earlier(provider, newest, self.folder, *generation).open(earlier)?;
        let mut earlier = earlier.chunks_exact(32).filter_map(secret);
        let mut keys = FolderKeys::first(self.folder, earlier.next()?);
        earlier.for_each(|key| keys.add(key));
        keys.add(newest.clone());
        Some(keys)
    }
}

/// The label under which a folder key is wrapped.
fn label(folder: Id, generation: u32, device: Id) -> String {
    format!("meshproof folder key {folder} {generation} {device}")
}

fn earlier_length(generation: u32) -> Option<usize> {
    match generation {
        1 => Some(0),
        2..=MOST_GENERATIONS => Some(32 * usize::try_from(generation).ok()?),
        _ => None,
    }
}

fn secret(bytes: &[u8]) -> Option<Secret> {
    bytes.try_into().ok().map(Secret::new)
}

/// `EtM` under a key for one box.
struct KeyBox<'a> {
    provider: &'a dyn Provider,
    key: Zeroizing<[u8; 48]>,
}

impl<'a> KeyBox<'a> {
    fn earlier(provider: &'a dyn Provider, key: &Secret, folder: Id, generation: u32) -> Self {
        let generation = generation.to_be_bytes();
        let info: [&[u8]; 3] = [b"meshproof earlier keys", &folder.0, &generation];
        Self { provider, key: expand(provider, key, &info) }
    }

    fn recovery(
        provider: &'a dyn Provider,
        shared: &Secret,
        (folder, generation, public, ephemeral): (Id, u32, &[u8; 32], &[u8; 32]),
    ) -> Self {
        let key = extract(provider, b"meshproof recovery", &**shared);
        let generation = generation.to_be_bytes();
        let info: [&[u8]; 5] = [b"meshproof recovery", &folder.0, &generation, public, ephemeral];
        Self { provider, key: expand(provider, &key, &info) }
    }

    fn seal(&self, plaintext: &[u8]) -> Vec<u8> {
        let mut out = plaintext.to_vec();
        self.apply(&mut out);
        let tag = self.tag(&out);
        out.extend_from_slice(&tag);
        out
    }

    fn open(&self, sealed: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        let (ciphertext, tag) = sealed.split_at_checked(sealed.len().checked_sub(TAG)?)?;
        if !equal(&self.tag(ciphertext), tag) {
            return None;
        }
        let mut out = Zeroizing::new(ciphertext.to_vec());
        self.apply(&mut out);
        Some(out)
    }

    fn apply(&self, data: &mut [u8]) {
        let mut enc = Zeroizing::new([0; 16]);
        enc.copy_from_slice(&self.key[..16]);
        self.provider.ctr_key(&enc).apply(&[0; 16], data);
    }

    fn tag(&self, ciphertext: &[u8]) -> [u8; TAG] {
        self.provider.mac_key(&self.key[16..]).mac(&[ciphertext])
    }
}

#[cfg(test)]
mod tests;
