//! The device agent: one state directory, its user, its device, its folders, and syncing them with the peers that the
//! graph knows. The CLI and the conformance kit use it alike.

mod calls;
mod copy;
mod doctor;
mod journal;
mod keys;
mod meet;
mod people;
mod replica;
mod rounds;
mod sealing;
mod seam;
mod serve;
mod setup;
mod status;
mod visits;
mod watching;

use std::collections::{BTreeSet, HashMap};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use meshproof_proto::codec::Id;
use meshproof_proto::crypto::{DEFAULT, Provider, Secret};
use meshproof_proto::handshake::Device;
use meshproof_proto::ticket::Verifier;
use tokio::sync::Notify;
use zeroize::Zeroizing;

use crate::backoff::Retries;
use crate::cloud::Cloud;
use crate::error::{Error, Result};
use crate::home::{Config, Home};
use crate::lan::Lan;
use crate::responder::pair_verifier;
use crate::sync::{Folder, Index, Past, Signer};
use crate::{Sessions, SuiteBook, relay};

pub use doctor::{Finding, Health};
pub use journal::Journal;
pub use keys::KeyStatus;
pub use people::Shared;
pub use replica::{CloudDoubt, CloudReport};
pub use rounds::{Outcome, PeerRound, Round};
pub use serve::ServeOptions;
pub use setup::NewFolder;
pub use status::{FolderStatus, LastSession, LastSync, PeerStatus, Status};

const CONFIG: &str = "config.json";
const SESSION: &str = "session.json";
const KEY: &str = "device.key";
const SIGNING_KEY: &str = "signing.key";
const CA: &str = "ca.pem";

/// A device and its state directory.
pub struct Agent {
    home: Home,
    config: Config,
    provider: &'static dyn Provider,
    device: Option<Arc<Device>>,
    signer: Option<Arc<Signer>>,
    cloud: Option<Arc<Cloud>>,
    index: Arc<Index>,
    suites: Arc<SuiteBook>,
    /// Those under way, whoever began them. There are some as soon as there is a device.
    sessions: OnceLock<Arc<Sessions>>,
    /// When peers that could not be reached are tried again.
    retries: Arc<Retries>,
    /// This device on its local networks, while it is online and its user says so.
    lan: Mutex<Option<Arc<Lan>>>,
    /// The peers of the last round.
    known_peers: Mutex<BTreeSet<Id>>,
    /// The relays that did not join.
    failed_relays: relay::Failed,
    /// The users of these, and of this device.
    owners: Mutex<HashMap<Id, Id>>,
    /// Opened folders: one object each, whoever syncs it.
    folders: Mutex<HashMap<Id, Arc<Folder>>>,
    /// When the list of files of each folder in the cloud was written.
    copied: Mutex<HashMap<Id, copy::Copied>>,
    /// That there may be something to give to the cloud, or to take from it, while this device is online.
    cloud_news: Notify,
    /// Held from the first sync on.
    lock: Mutex<Option<std::fs::File>>,
}

impl Agent {
    /// Opens a state directory, or makes an empty one.
    pub fn open(home: &Path) -> Result<Self> {
        Self::open_with(home, DEFAULT)
    }

    /// As [`open`](Self::open), computing with another library.
    pub fn open_with(home: &Path, provider: &'static dyn Provider) -> Result<Self> {
        let home = Home::open(home)?;
        let config: Config = home.read_json(CONFIG)?.unwrap_or_default();
        let index = Arc::new(Index::open(&home.path("index.db"))?);
        let suites = Arc::new(SuiteBook::open(&home)?);
        let mut agent = Self {
            home,
            config,
            provider,
            device: None,
            signer: None,
            cloud: None,
            index,
            suites,
            sessions: OnceLock::new(),
            retries: Arc::default(),
            lan: Mutex::default(),
            known_peers: Mutex::default(),
            owners: Mutex::default(),
            failed_relays: relay::Failed::default(),
            folders: Mutex::default(),
            copied: Mutex::default(),
            cloud_news: Notify::new(),
            lock: Mutex::default(),
        };
        agent.device = agent.load_device()?.map(Arc::new);
        agent.signer = agent.load_signer()?.map(Arc::new);
        agent.cloud = agent.connect_cloud()?.map(Arc::new);
        agent.begin_anew_what_was_lost()?;
        Ok(agent)
    }

    /// SYN-140: of a folder of this device its index knows something; one that does not was removed, or is of another schema. Others may
    /// have what this device did, and it must not say that it has seen that.
    fn begin_anew_what_was_lost(&self) -> Result<()> {
        for folder in &self.config.folders {
            let id = parse_id("folder", &folder.id)?;
            if !self.index.knows(id)? {
                self.index.begin(id, Past::Anew, 0)?;
            }
        }
        Ok(())
    }

    /// What the state directory says.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// This device.
    ///
    /// # Errors
    /// If there is none yet.
    pub fn device(&self) -> Result<&Arc<Device>> {
        self.device
            .as_ref()
            .ok_or_else(|| Error::usage("this device is not claimed yet: use `mesh device add NAME` first"))
    }

    /// The fingerprint of this device's key, in hexadecimal digits.
    pub fn fingerprint(&self) -> Result<String> {
        Ok(meshproof_proto::codec::hex(&self.device()?.spki().fingerprint(self.provider)))
    }

    /// The cloud.
    ///
    /// # Errors
    /// If nobody has signed in yet.
    pub fn cloud(&self) -> Result<&Arc<Cloud>> {
        self.cloud.as_ref().ok_or_else(|| {
            Error::usage("you are not signed in: use `mesh login --cloud URL --user NAME` first")
        })
    }

    /// Lets a device come back with a weaker suite than it had (HSK-045). `false`: nothing was remembered of it.
    pub fn forget_suite(&self, device: Id) -> bool {
        self.suites.forget(device)
    }

    /// The folders of this device, opened.
    pub fn folders(&self) -> Result<Vec<Arc<Folder>>> {
        self.device()?;
        let signer = self.signer.as_ref().ok_or_else(lost)?;
        let mut open = lock(&self.folders);
        let mut folders = Vec::new();
        for config in &self.config.folders {
            let id = parse_id("folder", &config.id)?;
            let folder = if let Some(folder) = open.get(&id) {
                folder.clone()
            } else {
                let index = self.index.clone();
                let folder = Folder::open(id, signer.clone(), &config.path, config.direction, index)?;
                Arc::new(if config.versions.days > 0 {
                    folder.with_versions(config.versions)
                } else {
                    folder
                })
            };
            open.insert(id, folder.clone());
            folders.push(folder);
        }
        Ok(folders)
    }

    /// Who signs the tickets of peers, for this device as audience.
    async fn verifier(&self) -> Result<Verifier> {
        let (issuer, keys) = self.cloud()?.issuer().await?;
        for folder in self.folders()? {
            folder.trust(&keys);
        }
        pair_verifier(self.device()?, &issuer, &keys)
            .map_err(|_| Error::Cloud("the issuer's key is not acceptable".into()))
    }

    /// The sessions of this device, whoever opened their channels.
    fn sessions(&self) -> Result<&Arc<Sessions>> {
        let own = self.device()?.id();
        Ok(self.sessions.get_or_init(|| Sessions::new(own)))
    }

    /// One program syncs with a state directory at a time.
    fn lock(&self) -> Result<()> {
        let mut held = lock(&self.lock);
        if held.is_none() {
            *held = Some(self.home.lock()?);
        }
        Ok(())
    }

    /// Keeps the tickets for the next run.
    async fn save_session(&self) -> Result<()> {
        match &self.cloud {
            Some(cloud) => self.home.write_json(SESSION, &cloud.session().await),
            None => Ok(()),
        }
    }

    fn save_config(&self) -> Result<()> {
        self.home.write_json(CONFIG, &self.config)
    }

    fn load_device(&self) -> Result<Option<Device>> {
        let Some(config) = &self.config.device else { return Ok(None) };
        let id = parse_id("device", &config.id)?;
        let key = self.home.read(KEY)?.map(Zeroizing::new).ok_or_else(lost)?;
        Device::load(self.provider, id, &key, &mut crate::os_entropy).map(Some).map_err(|_| lost())
    }

    fn load_signer(&self) -> Result<Option<Signer>> {
        let Some(config) = &self.config.device else { return Ok(None) };
        let seed = self.home.read(SIGNING_KEY)?.map(Zeroizing::new).ok_or_else(lost)?;
        let seed = Secret::new(seed.as_slice().try_into().map_err(|_| lost())?);
        Ok(Some(Signer::new(self.provider, parse_id("device", &config.id)?, &seed)))
    }

    fn connect_cloud(&self) -> Result<Option<Cloud>> {
        let Some(url) = &self.config.cloud else { return Ok(None) };
        let session = self.home.read_json(SESSION)?.unwrap_or_default();
        let audience = self.config.device.as_ref().map(|device| device.audience.clone());
        let device = self.device.clone().zip(audience);
        Cloud::new(url, self.home.read(CA)?.as_deref(), device, session).map(Some)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn lost() -> Error {
    Error::usage("a key of this device is missing or damaged: use `mesh device add NAME` again")
}

fn parse_id(what: &str, text: &str) -> Result<Id> {
    let bad = || Error::usage(format!("{text} is no {what} identifier: it has 32 hexadecimal digits"));
    Id::parse(text).ok_or_else(bad)
}
