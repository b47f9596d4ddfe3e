//! What is done once: signing in, claiming the device, adding folders.

use std::path::PathBuf;

use meshproof_proto::codec::Id;
use meshproof_proto::crypto::{KeyBits, draw_secret};
use meshproof_proto::handshake::Device;

use super::{Agent, CA, KEY, SESSION, SIGNING_KEY, parse_id};
use crate::cloud::{Cloud, DeviceCode, Elsewhere, Session};
use crate::error::{Error, Result};
use crate::home::{Config, DeviceConfig, FolderConfig};
use crate::sync::versions::Limits;
use crate::sync::{Direction, Past, Signer};

/// A folder that is to be added.
#[derive(Clone, Debug)]
pub struct NewFolder {
    /// Where its files are. Made if it does not exist and the folder is joined.
    pub path: PathBuf,
    /// Its name; that of the directory if there is none.
    pub name: Option<String>,
    /// An existing folder to take part in, instead of a new one.
    pub join: Option<String>,
    /// No byte of a new folder will be in the cloud.
    pub p2p_only: bool,
    /// Which way changes go.
    pub direction: Direction,
}

impl Agent {
    /// Signs in, and makes the user first if `register`. Another cloud or user than before starts anew.
    pub async fn login(
        &mut self,
        url: &str,
        ca: Option<Vec<u8>>,
        user: &str,
        password: &str,
        register: bool,
    ) -> Result<()> {
        let cloud = Cloud::new(url, ca.as_deref(), None, Session::default())?;
        if register {
            cloud.register(user, password).await?;
        }
        cloud.sign_in(user, password).await?;
        self.signed_in(cloud, url, ca, user).await
    }

    /// Signs in at a provider of the cloud; `show` tells the person where, and with which code. Returns the user's name.
    pub async fn login_at(
        &mut self,
        url: &str,
        ca: Option<Vec<u8>>,
        elsewhere: &Elsewhere,
        show: impl FnOnce(&DeviceCode),
    ) -> Result<String> {
        let cloud = Cloud::new(url, ca.as_deref(), None, Session::default())?;
        let code = cloud.begin_sign_in_at(elsewhere).await?;
        show(&code);
        cloud.finish_sign_in_at(elsewhere, &code).await?;
        let user = cloud.user_name().await?;
        self.signed_in(cloud, url, ca, &user).await?;
        Ok(user)
    }

    /// Changes the password. All sessions of the user end; devices are not concerned.
    pub async fn change_password(&self, password: &str, new: &str) -> Result<()> {
        let config = self.config.cloud.as_deref().zip(self.config.user.as_deref());
        let (url, user) =
            config.ok_or_else(|| Error::usage("you are not signed in: use `mesh login` first"))?;
        let cloud = Cloud::new(url, self.home.read(CA)?.as_deref(), None, Session::default())?;
        cloud.sign_in(user, password).await?;
        cloud.change_password(password, new).await?;
        cloud.sign_out().await
    }

    /// Keeps what a sign-in gave.
    async fn signed_in(&mut self, cloud: Cloud, url: &str, ca: Option<Vec<u8>>, user: &str) -> Result<()> {
        let (url, user) = (Some(url.trim_end_matches('/').to_owned()), Some(user.to_owned()));
        if self.config.cloud != url || self.config.user != user {
            self.config = Config { cloud: url, user, ..Config::default() };
            self.device = None;
            self.signer = None;
        }
        self.home.write(CA, ca.as_deref().unwrap_or_default())?;
        if ca.is_none() {
            let path = self.home.path(CA);
            std::fs::remove_file(&path).map_err(Error::io("removing", &path))?;
        }
        let session = cloud.session().await;
        // A device that was claimed before devices kept the audience.
        if let Some(device) = self.config.device.as_mut().filter(|device| device.audience.is_empty()) {
            device.audience.clone_from(&session.audience);
        }
        self.home.write_json(SESSION, &session)?;
        self.save_config()?;
        self.cloud = self.connect_cloud()?.map(std::sync::Arc::new);
        Ok(())
    }

    /// Makes a key on this device and claims it.
    pub async fn add_device(&mut self, name: &str, bits: KeyBits) -> Result<Id> {
        self.cloud()?;
        self.check_no_device()?;
        let key = self.provider.generate_key(bits, &mut crate::os_entropy);
        self.add_device_with(name, &key).await
    }

    /// The same with a key (PKCS#8 DER) that was made already and that no other device of this cloud has.
    pub async fn add_device_with(&mut self, name: &str, key: &[u8]) -> Result<Id> {
        let cloud = self.cloud()?.clone();
        self.check_no_device()?;
        let load = |id| Device::load(self.provider, id, key, &mut crate::os_entropy);
        let failed = |_| Error::Cloud("the new key is not acceptable".into());
        let seed = draw_secret(&mut crate::os_entropy);
        let signer = |id| Signer::new(self.provider, id, &seed);
        // The key is kept before it is claimed: a device whose key is lost cannot be used.
        self.home.write(KEY, key)?;
        self.home.write(SIGNING_KEY, &*seed)?;
        let public = signer(Id::default()).public();
        let claimed = cloud.claim(name, load(Id::default()).map_err(failed)?.spki(), &public).await?;
        let (device, signer) = (load(claimed.device).map_err(failed)?, signer(claimed.device));
        cloud.prove(&claimed, &device, &signer).await?;
        self.config.device = Some(DeviceConfig {
            id: claimed.device.to_string(),
            name: name.into(),
            audience: cloud.session().await.audience,
        });
        self.save_config()?;
        self.device = Some(std::sync::Arc::new(device));
        self.signer = Some(std::sync::Arc::new(signer));
        // From now on the device signs in by its key. A token that cannot be ended now ends by itself.
        if let Err(error) = cloud.sign_out().await {
            tracing::warn!(%error, "the sign-in was not ended");
        }
        self.home.write_json(SESSION, &Session::default())?;
        self.cloud = self.connect_cloud()?.map(std::sync::Arc::new);
        Ok(claimed.device)
    }

    fn check_no_device(&self) -> Result<()> {
        let Some(device) = &self.config.device else { return Ok(()) };
        let (name, id) = (&device.name, &device.id);
        Err(Error::usage(format!("this is {name} ({id}) already: use --home DIR for another device")))
    }

    /// Adds a folder to this device.
    pub async fn add_folder(&mut self, new: NewFolder) -> Result<Id> {
        let (cloud, device) = (self.cloud()?.clone(), self.device()?.id());
        // Everything that can be refused is refused before anything is made.
        let join = new.join.as_deref().map(|text| parse_id("folder", text)).transpose()?;
        let path = std::path::absolute(&new.path).map_err(Error::io("opening the folder", &new.path))?;
        if join.is_none() && !path.is_dir() {
            return Err(Error::usage(format!("{} is not a directory", path.display())));
        }
        self.check_overlap(&path, join)?;
        let name = match join {
            Some(id) => cloud.folder(id).await?.name,
            None => path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default(),
        };
        let name = new.name.unwrap_or(name);
        std::fs::create_dir_all(&path).map_err(Error::io("making the folder", &path))?;
        let path = path.canonicalize().map_err(Error::io("opening the folder", &path))?;
        self.check_overlap(&path, join)?;
        let id = match join {
            Some(id) => id,
            None => cloud.create_folder(&name, new.p2p_only).await?,
        };
        cloud.map(id, device).await?;
        let known = self.config.folders.iter().position(|folder| folder.id == id.to_string());
        // Added anew, at the same place or another, or after it was left: what was known of its files there does not count, but others
        // may have what this device did.
        let past = if known.is_some() || self.index.knows(id)? { Past::Anew } else { Past::Known };
        self.index.begin(id, past, 0)?;
        if let Some(known) = known {
            self.config.folders.remove(known);
            super::lock(&self.folders).remove(&id);
        }
        self.config.folders.push(FolderConfig {
            id: id.to_string(),
            name,
            path,
            direction: new.direction,
            versions: Limits::default(),
        });
        self.save_config()?;
        self.save_session().await?;
        Ok(id)
    }

    /// A folder that this device takes no part in any more; one that it has not is forgotten already.
    pub(super) fn forget_folder(&mut self, id: Id) -> Result<()> {
        self.config.folders.retain(|folder| folder.id != id.to_string());
        self.index.begin(id, Past::Anew, 0)?;
        super::lock(&self.folders).remove(&id);
        self.save_config()
    }

    /// The identifier of a folder of this device, by name or identifier.
    pub fn folder_id(&self, folder: &str) -> Result<Id> {
        let mut named = self.config.folders.iter().filter(|known| known.name == folder);
        match (named.next(), named.next()) {
            (Some(known), None) => parse_id("folder", &known.id),
            (Some(_), Some(_)) => {
                Err(Error::usage(format!("several folders are named {folder}: say the identifier")))
            }
            (None, _) => Id::parse(folder)
                .ok_or_else(|| Error::usage(format!("there is no folder {folder}: see `mesh folder list`"))),
        }
    }

    /// One file must not belong to two folders.
    fn check_overlap(&self, path: &std::path::Path, id: Option<Id>) -> Result<()> {
        let id = id.map(|id| id.to_string());
        let others = self.config.folders.iter().filter(|folder| Some(&folder.id) != id.as_ref());
        for other in others {
            if path.starts_with(&other.path) || other.path.starts_with(path) {
                return Err(Error::usage(format!(
                    "{} and the folder {} at {} contain each other: choose another directory",
                    path.display(),
                    other.name,
                    other.path.display()
                )));
            }
        }
        Ok(())
    }
}
