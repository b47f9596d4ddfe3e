//! The state directory of a device: what it keeps between runs.
//!
//! ```text
//!  config.json    cloud, user, device, folders
//!  ca.pem         the certificate authority that the cloud's certificate is checked with, if it is not a public one
//!  device.key     the device's private key, PKCS#8 DER, readable by its user alone
//!  signing.key    the seed of the key with which the device signs its changes; readable by its user alone
//!  session.json   tickets of the last run, and what is needed to verify those of others; readable by its user alone
//!  suites.json    the strongest suite used with each other device
//!  index.db       what is known of the folders' files
//!  lock           held by the program that syncs
//! ```

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::sync::Direction;
use crate::sync::versions::Limits;

/// `config.json`
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Config {
    /// The cloud's URL.
    pub cloud: Option<String>,
    /// The user's name.
    pub user: Option<String>,
    /// This device, once it is claimed.
    pub device: Option<DeviceConfig>,
    /// The folders that are mapped here.
    pub folders: Vec<FolderConfig>,
}

/// This device in `config.json`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct DeviceConfig {
    /// Its identifier.
    pub id: String,
    /// Its name.
    pub name: String,
    /// The audience uri of the cloud at which it was claimed: it answers the challenges of no other.
    #[serde(default)]
    pub audience: String,
}

/// A folder in `config.json`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct FolderConfig {
    /// Its identifier.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Where its files are.
    pub path: PathBuf,
    /// Which way changes go.
    #[serde(default)]
    pub direction: Direction,
    /// How much is kept of what others replace or delete.
    #[serde(default)]
    pub versions: Limits,
}

/// A state directory.
#[derive(Clone, Debug)]
pub struct Home {
    directory: PathBuf,
}

impl Home {
    /// The directory to use where nobody says another: `$XDG_CONFIG_HOME/meshproof` or `~/.config/meshproof`.
    pub fn default_directory() -> Result<PathBuf> {
        let absolute = |name| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
        let config = absolute("XDG_CONFIG_HOME").or_else(|| Some(absolute("HOME")?.join(".config")));
        let none = || Error::usage("there is no home directory: say --home DIR or set MESH_HOME");
        Ok(config.ok_or_else(none)?.join("meshproof"))
    }

    /// Opens the directory, or makes it, for its user alone.
    pub fn open(directory: &Path) -> Result<Self> {
        let mut builder = std::fs::DirBuilder::new();
        builder.recursive(true);
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        builder.create(directory).map_err(Error::io("making the state directory", directory))?;
        Ok(Self { directory: directory.into() })
    }

    /// Where the file `name` is.
    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    /// The content of a file, `None` if it does not exist.
    pub fn read(&self, name: &str) -> Result<Option<Vec<u8>>> {
        let path = self.path(name);
        match std::fs::read(&path) {
            Ok(content) => Ok(Some(content)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Error::io("reading", &path)(error)),
        }
    }

    /// The content of a JSON file, `None` if it does not exist.
    pub fn read_json<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>> {
        let Some(content) = self.read(name)? else { return Ok(None) };
        let damaged = |error| {
            let path = self.path(name);
            Error::usage(format!("{} is damaged ({error}): remove it and sign in again", path.display()))
        };
        serde_json::from_slice(&content).map(Some).map_err(damaged)
    }

    /// Replaces a file as a whole: a crash leaves the old content or the new. Readable by its user alone.
    pub fn write(&self, name: &str, content: &[u8]) -> Result<()> {
        let path = self.path(name);
        let failed = || Error::io("writing", &path);
        let mut file = tempfile::NamedTempFile::new_in(&self.directory).map_err(failed())?; // mode 0600
        file.write_all(content).map_err(failed())?;
        file.as_file().sync_all().map_err(failed())?;
        file.persist(&path).map_err(|error| failed()(error.error))?;
        File::open(&self.directory).and_then(|directory| directory.sync_all()).map_err(failed())
    }

    /// Replaces a JSON file.
    pub fn write_json<T: Serialize>(&self, name: &str, value: &T) -> Result<()> {
        let text = serde_json::to_vec_pretty(value).map_err(|error| Error::Cloud(error.to_string()))?;
        self.write(name, &text)
    }

    /// Takes the lock of the directory: one program syncs at a time. It is given back when the file is dropped.
    pub fn lock(&self) -> Result<File> {
        let path = self.path("lock");
        let mut options = OpenOptions::new();
        let file = options.create(true).truncate(false).write(true).open(&path);
        let file = file.map_err(Error::io("opening", &path))?;
        match file.try_lock() {
            Ok(()) => Ok(file),
            Err(TryLockError::WouldBlock) => {
                Err(Error::usage("another mesh program syncs with this state directory: stop it first"))
            }
            Err(TryLockError::Error(error)) => Err(Error::io("locking", &path)(error)),
        }
    }
}

#[cfg(all(test, unix))]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn mode(path: &Path) -> u32 {
        std::fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    /// Keys, tickets and the names of files are for nobody else on this machine, also in a directory that was there before.
    #[test]
    fn everything_is_for_its_user_alone() {
        let there = tempfile::tempdir().unwrap();
        let directory = there.path().join("made/state");
        let home = Home::open(&directory).unwrap();
        assert_eq!(mode(&directory), 0o700);
        std::fs::set_permissions(&directory, std::fs::Permissions::from_mode(0o755)).unwrap();
        home.write("device.key", b"key").unwrap();
        home.write_json("session.json", &Config::default()).unwrap();
        let index = crate::sync::Index::open(&home.path("index.db")).unwrap();
        for entry in std::fs::read_dir(&directory).unwrap() {
            let path = entry.unwrap().path();
            assert_eq!(mode(&path), 0o600, "{}", path.display());
        }
        drop(index);
    }
}
