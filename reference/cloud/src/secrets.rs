//! The master key, and what is sealed under it: private keys that are kept in the database, which several processes
//! share. Who has the database alone, or a copy of it, cannot sign with them.
//!
//! The master key is `master.key` in the data directory, or `MESH_MASTER_KEY` in the environment, in hexadecimal.

use std::fs;
use std::path::Path;

use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use meshproof_proto::codec::{hex, hex_array};
use meshproof_proto::crypto::draw_secret;
use zeroize::Zeroizing;

use crate::Error;
use crate::state::{OsEntropy, write_private};

/// Where the master key is, below the data directory.
pub(crate) const MASTER_KEY: &str = "master.key";
/// Where it is in the environment, in place of the file.
pub(crate) const MASTER_KEY_VARIABLE: &str = "MESH_MASTER_KEY";

/// Seals and opens.
pub(crate) struct Sealer(RandomizedNonceKey);

impl Sealer {
    /// Takes the master key from the environment or the data directory; makes one if there is none.
    pub(crate) fn open(data: &Path) -> Result<Self, Error> {
        let path = data.join(MASTER_KEY);
        let text = match std::env::var(MASTER_KEY_VARIABLE) {
            Ok(text) => Zeroizing::new(text),
            Err(_) => match fs::read_to_string(&path) {
                Ok(text) => Zeroizing::new(text),
                Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
                    let text = Zeroizing::new(hex(&*draw_secret(&mut OsEntropy)));
                    write_private(&path, text.as_bytes())?;
                    text
                }
                Err(source) => return Err(Error::Data { path, source }),
            },
        };
        let key = hex_array::<32>(text.trim()).map(Zeroizing::new).ok_or_else(|| {
            Error::Configuration(format!(
                "{MASTER_KEY_VARIABLE} or {MASTER_KEY} is not 64 hexadecimal digits"
            ))
        })?;
        let key = RandomizedNonceKey::new(&AES_256_GCM, &*key);
        key.map(Self).map_err(|_| Error::Configuration("the master key cannot be used".into()))
    }

    /// Seals a secret for one purpose, such as the name of what it is. Base64.
    pub(crate) fn seal(&self, purpose: &str, secret: &[u8]) -> Option<String> {
        let mut sealed = secret.to_vec();
        let nonce = self.0.seal_in_place_append_tag(Aad::from(purpose.as_bytes()), &mut sealed).ok()?;
        Some(STANDARD.encode([nonce.as_ref().as_slice(), &sealed].concat()))
    }

    /// Opens what was sealed for the same purpose under the same master key.
    pub(crate) fn unseal(&self, purpose: &str, sealed: &str) -> Option<Zeroizing<Vec<u8>>> {
        let bytes = STANDARD.decode(sealed).ok()?;
        let (nonce, rest) = bytes.split_first_chunk::<NONCE_LEN>()?;
        let mut rest = Zeroizing::new(rest.to_vec());
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let length = self.0.open_in_place(nonce, Aad::from(purpose.as_bytes()), &mut rest).ok()?.len();
        rest.truncate(length);
        Some(rest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_same_key_and_purpose_open() {
        let (here, there) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let sealer = Sealer::open(here.path()).unwrap();
        let sealed = sealer.seal("one", b"secret").unwrap();
        assert_eq!(*sealer.unseal("one", &sealed).unwrap(), b"secret");
        assert_eq!(*Sealer::open(here.path()).unwrap().unseal("one", &sealed).unwrap(), b"secret");
        assert!(sealer.unseal("two", &sealed).is_none());
        assert!(Sealer::open(there.path()).unwrap().unseal("one", &sealed).is_none());
        assert_ne!(sealer.seal("one", b"secret").unwrap(), sealed);
    }
}
