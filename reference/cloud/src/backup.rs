//! Backup while the server runs, and restore.
//!
//! A backup is a directory: the database as it was at one moment, every blob that a row of it names, and the keys. It gets
//! its name when it is complete, so half a backup is never taken for one.

use std::collections::HashSet;
use std::ffi::OsString;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use crate::Error;
use crate::config::Config;
use crate::secrets::MASTER_KEY;
use crate::state::{DATABASE, make_directory, open_store, write_private};
use crate::store::Store;

/// Keys and certificates. `ca.pem` is public, but goes with `ca.key`.
const KEYS: [&str; 4] = [MASTER_KEY, "ca.key", "ca.pem", "relay.key"];
const BLOBS: &str = "blobs";

/// How often to begin again when blobs went between the copy of the database and theirs. Those that were copied stay, so
/// that every further time there are fewer that can go.
const ATTEMPTS: usize = 20;

/// What is in a backup.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BackupReport {
    /// How many blobs.
    pub blobs: usize,
    /// Their bytes.
    pub bytes: u64,
}

/// Copies the data directory of a cloud, which may run, to a new directory. Blocks.
pub fn backup(config: &Config, to: &Path) -> Result<BackupReport, Error> {
    if to.exists() {
        return Err(Error::Configuration(format!("{} exists already", to.display())));
    }
    let partial = sibling(to, ".partial");
    if partial.exists() {
        fs::remove_dir_all(&partial).map_err(data(&partial))?; // of a backup that did not come to its end
    }
    make_directory(&partial)?;
    let (store, copy) = (open_store(config)?, partial.join(DATABASE));
    for _ in 0..ATTEMPTS {
        let _ = fs::remove_file(&copy);
        store.copy_to(&copy)?;
        sync(&copy)?;
        let names = names(config, &Store::open(&copy)?)?;
        Store::settle(&copy)?;
        let (report, missing) = copy_blobs(&names, &config.data, &partial)?;
        if missing > 0 {
            tracing::info!(missing, "blobs went while the backup was made; beginning again");
            continue;
        }
        remove_others(&names, &partial)?;
        for key in keys(&config.data)? {
            copy_key(&config.data.join(&key), &partial.join(&key))?;
        }
        sync(&partial)?;
        fs::rename(&partial, to).map_err(data(to))?;
        sync(to.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new(".")))?;
        return Ok(report);
    }
    Err(Error::Stopped("blobs go faster than they can be copied".into()))
}

/// Makes a data directory of a backup. There must be no cloud in it yet. Blocks.
pub fn restore(config: &Config, from: &Path) -> Result<BackupReport, Error> {
    let target = config.data.join(DATABASE);
    if target.exists() {
        return Err(Error::Configuration(format!("there is a cloud in {} already", config.data.display())));
    }
    make_directory(&config.data)?;
    let copy = sibling(&target, ".restored");
    for file in [copy.clone(), sibling(&copy, "-wal"), sibling(&copy, "-shm")] {
        let _ = fs::remove_file(file); // of a restore that did not come to its end
    }
    let source = from.join(DATABASE);
    let bytes = fs::read(&source).map_err(data(&source))?;
    write_private(&copy, &bytes)?;
    let names = {
        let store = Store::open(&copy)?;
        store.was_restored()?;
        names(config, &store)?
    };
    Store::settle(&copy)?;
    let (report, missing) = copy_blobs(&names, from, &config.data)?;
    if missing > 0 {
        return Err(Error::Stopped(format!("{} lacks {missing} blobs: it is no backup", from.display())));
    }
    for key in keys(from)? {
        copy_key(&from.join(&key), &config.data.join(&key))?;
    }
    // The last step: without a database there is no cloud in the directory.
    fs::rename(&copy, &target).map_err(data(&target))?;
    sync(&config.data)?;
    Ok(report)
}

/// The blobs that are files of ours. Those in a bucket stay there: it has its own means.
fn names(config: &Config, store: &Store) -> Result<Vec<String>, Error> {
    if config.storage.objects.is_empty() { Ok(store.blob_names()?) } else { Ok(Vec::new()) }
}

/// Copies what is not there yet. Returns how many were not in `from`.
fn copy_blobs(names: &[String], from: &Path, to: &Path) -> Result<(BackupReport, usize), Error> {
    let (mut report, mut missing) = (BackupReport { blobs: 0, bytes: 0 }, 0);
    for name in names {
        let (source, target) = (path(from, name), path(to, name));
        if !target.exists() {
            make_directory(target.parent().unwrap_or(to))?;
            let partial = sibling(&target, ".partial");
            match fs::copy(&source, &partial) {
                Err(e) if e.kind() == io::ErrorKind::NotFound => {
                    missing += 1;
                    continue;
                }
                copied => drop(copied.map_err(data(&source))?),
            }
            sync(&partial)?;
            fs::rename(&partial, &target).map_err(data(&target))?;
        }
        report.blobs += 1;
        report.bytes += fs::metadata(&target).map_err(data(&target))?.len();
    }
    Ok((report, missing))
}

/// Removes blobs that an earlier attempt copied and that no row names any more.
fn remove_others(names: &[String], partial: &Path) -> Result<(), Error> {
    let wanted: HashSet<PathBuf> = names.iter().map(|name| path(partial, name)).collect();
    let blobs = partial.join(BLOBS);
    if !blobs.exists() {
        return Ok(());
    }
    for folder in fs::read_dir(&blobs).map_err(data(&blobs))? {
        let folder = folder.map_err(data(&blobs))?.path();
        for file in fs::read_dir(&folder).map_err(data(&folder))? {
            let file = file.map_err(data(&folder))?.path();
            if !wanted.contains(&file) {
                fs::remove_file(&file).map_err(data(&file))?;
            }
        }
    }
    Ok(())
}

/// The names of all keys, and of the secrets that providers gave us: `oidc-NAME.secret`.
fn keys(directory: &Path) -> Result<Vec<String>, Error> {
    let mut names: Vec<String> = KEYS.map(String::from).into();
    for file in fs::read_dir(directory).map_err(data(directory))? {
        let name = file.map_err(data(directory))?.file_name().into_string().unwrap_or_default();
        if name.starts_with("oidc-") && name.ends_with(".secret") {
            names.push(name);
        }
    }
    Ok(names)
}

/// A key that is not there comes from the environment, or is made at the next start.
fn copy_key(from: &Path, to: &Path) -> Result<(), Error> {
    match fs::read(from) {
        Ok(bytes) => write_private(to, &bytes),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(e) => Err(data(from)(e)),
    }
}

fn path(root: &Path, name: &str) -> PathBuf {
    let (folder, file) = name.split_at_checked(2).unwrap_or(("", name));
    root.join(BLOBS).join(folder).join(file)
}

fn sibling(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    name.into()
}

fn sync(path: &Path) -> Result<(), Error> {
    File::open(path).and_then(|file| file.sync_all()).map_err(data(path))
}

fn data(path: &Path) -> impl FnOnce(io::Error) -> Error {
    let path = path.to_owned();
    move |source| Error::Data { path, source }
}
