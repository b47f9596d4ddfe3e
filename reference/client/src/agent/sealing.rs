//! What of an encrypted folder goes to the cloud and comes from it (`spec/storage.md`, section 3.1).

use std::fs::File;
use std::io::{Read, Write};
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use meshproof_proto::codec::Id;
use meshproof_proto::crypto::{Provider, draw};
use meshproof_proto::storage::keys::FolderKeys;
use meshproof_proto::storage::sealed::{
    self, Object, Opener, SealedEntry, Sealer, id_in_graph, nonce_of_content,
};
use meshproof_proto::storage::{MediaHash, MediaHasher};

use crate::error::{Error, Result};

/// Files are read in pieces of so many bytes.
const PIECE: usize = 256 * 1_024;

/// Seals and opens what belongs to one folder.
#[derive(Clone)]
pub(super) struct Seal {
    provider: &'static dyn Provider,
    keys: FolderKeys,
}

/// Hash and size of bytes.
pub(super) type Named = (MediaHash, u64);

impl Seal {
    pub(super) fn new(provider: &'static dyn Provider, keys: FolderKeys) -> Self {
        Self { provider, keys }
    }

    /// What the graph calls an entry (STO-068).
    pub(super) fn id(&self, entry: Id) -> Id {
        id_in_graph(self.provider, &self.keys, entry)
    }

    /// Seals what is small and written anew each time.
    pub(super) fn small(&self, object: &Object, content: &[u8]) -> Result<Vec<u8>> {
        let nonce = draw::<16>(&mut crate::os_entropy);
        Ok(sealed::seal(self.provider, &self.keys, object, &nonce, content)?)
    }

    /// Opens what [`small`](Self::small) gave.
    pub(super) fn open_small(&self, object: Object, bytes: &[u8]) -> Result<Vec<u8>> {
        Ok(sealed::open(self.provider, &self.keys, object, bytes)?)
    }

    /// Seals what an entry says, for its property `sealed`. `id` is what the graph calls it.
    pub(super) fn entry(&self, id: Id, entry: &SealedEntry) -> Result<String> {
        Ok(STANDARD.encode(self.small(&Object::Entry(id), &entry.to_bytes())?))
    }

    /// Opens what [`entry`](Self::entry) wrote.
    pub(super) fn open_entry(&self, id: Id, sealed: &str) -> Result<SealedEntry> {
        let bytes = STANDARD.decode(sealed).unwrap_or_default(); // no bytes are no sealed object
        Ok(SealedEntry::from_bytes(&self.open_small(Object::Entry(id), &bytes)?)?)
    }

    /// Seals a file that has this hash and size into another one. Returns hash and size of what was written. A file that
    /// changed meanwhile gives what nobody asked for.
    pub(super) fn file(&self, content: Named, from: File, to: &mut impl Write) -> Result<Named> {
        Self::seal_file(self.provider, &self.keys, content, from, to)
    }

    /// How many keys something may be sealed under.
    pub(super) fn generations(&self) -> u32 {
        self.keys.generation()
    }

    /// The same, as it was done under the key of whichever generation gives what is `wanted`. `None` if none does. `from` has
    /// the file as often as there are generations.
    pub(super) fn wanted(
        &self,
        wanted: MediaHash,
        content: Named,
        from: Vec<File>,
        directory: &Path,
    ) -> Result<Option<File>> {
        for (generation, from) in (1..=self.keys.generation()).rev().zip(from) {
            let Some(keys) = self.keys.until(generation) else { return Ok(None) };
            let mut to =
                tempfile::tempfile_in(directory).map_err(Error::io("making a file in", directory))?;
            if Self::seal_file(self.provider, &keys, content, from, &mut to)?.0 == wanted {
                return Ok(Some(to));
            }
        }
        Ok(None)
    }

    /// Opens the sealed bytes of a file with this hash and size into another one.
    pub(super) fn open_file(&self, content: Named, from: &Path, to: &Path) -> Result<()> {
        let (hash, size) = content;
        let mut sealed = File::open(from).map_err(Error::io("reading", from))?;
        let mut plain = File::create(to).map_err(Error::io("making", to))?;
        let mut opener = Opener::new(self.provider, &self.keys, Object::Content(hash));
        let (mut piece, mut out, mut hasher) = (vec![0; PIECE], Vec::new(), MediaHasher::default());
        let mut take = |out: &mut Vec<u8>| -> Result<()> {
            hasher.update(out);
            plain.write_all(out).map_err(Error::io("writing", to))?;
            out.clear();
            Ok(())
        };
        loop {
            match sealed.read(&mut piece).map_err(Error::io("reading", from))? {
                0 => break,
                read => opener.push(&piece[..read], &mut out)?,
            }
            take(&mut out)?;
        }
        let length = opener.finish(&mut out)?;
        take(&mut out)?;
        if (hasher.finish(), length) != (hash, size) {
            return Err(Error::WrongBytes(hash));
        }
        plain.sync_all().map_err(Error::io("writing", to))
    }

    fn seal_file(
        provider: &'static dyn Provider,
        keys: &FolderKeys,
        (hash, size): Named,
        mut from: File,
        to: &mut impl Write,
    ) -> Result<Named> {
        let failed = || Error::io("sealing", Path::new("a file"));
        let (mut piece, mut out, mut hasher) = (vec![0; PIECE], Vec::new(), MediaHasher::default());
        let (mut left, mut written) = (size, 0);
        let nonce = nonce_of_content(provider, keys, &hash);
        let mut sealer = Sealer::new(provider, keys, &Object::Content(hash), &nonce, size, &mut out)?;
        while left > 0 {
            let most = piece.len().min(usize::try_from(left).unwrap_or(usize::MAX));
            let read = from.read(&mut piece[..most]).map_err(failed())?;
            if read == 0 {
                return Err(failed()(std::io::ErrorKind::UnexpectedEof.into()));
            }
            left -= read as u64;
            sealer.push(&piece[..read], &mut out)?;
            written += take(&mut out, &mut hasher, to)?;
        }
        sealer.finish(&mut out)?;
        written += take(&mut out, &mut hasher, to)?;
        Ok((hasher.finish(), written))
    }
}

/// Writes what is there, and empties it.
fn take(out: &mut Vec<u8>, hasher: &mut MediaHasher, to: &mut impl Write) -> Result<u64> {
    hasher.update(out);
    to.write_all(out).map_err(Error::io("sealing", Path::new("a file")))?;
    let written = out.len() as u64;
    out.clear();
    Ok(written)
}

#[cfg(test)]
mod tests {
    use meshproof_proto::crypto::{DEFAULT, Secret};
    use meshproof_proto::sync::PortablePath;

    use super::*;

    const FOLDER: Id = Id([1; 16]);

    fn seal() -> Seal {
        let mut keys = FolderKeys::first(FOLDER, Secret::new([2; 32]));
        keys.add(Secret::new([3; 32]));
        Seal::new(DEFAULT, keys)
    }

    /// STO-065: two entries that say the same are sealed under different nonces.
    #[test]
    fn no_two_entries_look_alike() {
        let path = PortablePath::parse("a name").unwrap();
        let entry = SealedEntry { path, content: None };
        let (seal, id) = (seal(), Id([7; 16]));
        let (one, other) = (seal.entry(id, &entry).unwrap(), seal.entry(id, &entry).unwrap());
        assert_ne!(one, other);
        assert_eq!(seal.open_entry(id, &one).unwrap(), entry);
        assert!(seal.open_entry(Id([8; 16]), &one).is_err());
    }

    #[test]
    fn a_file_comes_back_and_devices_seal_it_alike() {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        let bytes: Vec<u8> = (0..300_000_u32).map(|n| (n % 249) as u8).collect();
        std::fs::write(path("plain"), &bytes).unwrap();
        let content = (MediaHash::of(&bytes), bytes.len() as u64);
        let open = || (0..2).map(|_| File::open(path("plain")).unwrap()).collect();
        let mut to = File::create(path("sealed")).unwrap();
        let (hash, size) = seal().file(content, File::open(path("plain")).unwrap(), &mut to).unwrap();
        let sealed = std::fs::read(path("sealed")).unwrap();
        assert_eq!((hash, size), (MediaHash::of(&sealed), sealed.len() as u64));
        assert!(seal().wanted(hash, content, open(), directory.path()).unwrap().is_some());
        assert!(seal().wanted(MediaHash::default(), content, open(), directory.path()).unwrap().is_none());
        seal().open_file(content, &path("sealed"), &path("opened")).unwrap();
        assert!(std::fs::read(path("opened")).unwrap() == bytes);
        // What was sealed under the key before is still made when it is wanted.
        let first = Seal::new(DEFAULT, FolderKeys::first(FOLDER, Secret::new([2; 32])));
        let (old, _) = first.file(content, File::open(path("plain")).unwrap(), &mut std::io::sink()).unwrap();
        assert!(seal().wanted(old, content, open(), directory.path()).unwrap().is_some());
    }
}
