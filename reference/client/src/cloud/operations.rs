//! The operations on the graph that a device needs, typed.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use meshproof_proto::codec::{Id, hex, hex_array};
use meshproof_proto::crypto::Spki;
use meshproof_proto::handshake::nearby::LanKey;
use meshproof_proto::handshake::{Device, Target};
use meshproof_proto::identity::Purpose;
use meshproof_proto::storage::MediaHash;
use meshproof_proto::sync::Card;
use reqwest::Method;
use serde::Serialize;
use serde_json::{Value, json};

use super::http::unexpected;
use super::session::{MESH, answer};
use super::{Cloud, Problem};
use crate::error::{Error, Result};
use crate::sync::Signer;

/// A device in the graph.
#[derive(Clone, Debug, Serialize)]
pub struct DeviceInfo {
    /// Its identifier.
    pub device: String,
    /// Its name.
    pub name: String,
    /// `pending`, `claimed` or `revoked`.
    pub state: String,
    /// `H(SPKI)` in hexadecimal: what two people compare.
    pub fingerprint: String,
}

/// A folder in the graph.
#[derive(Clone, Debug, Serialize)]
pub struct FolderInfo {
    /// Its identifier.
    pub folder: String,
    /// Its name.
    pub name: String,
    /// `cloud` or `p2p`.
    pub storage: String,
    /// Whether the cloud keeps states of it.
    #[serde(skip)]
    pub has_states: bool,
    /// Whether the cloud has only what is sealed of it.
    pub encrypted: bool,
}

/// That a folder is mapped on a device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MappingInfo {
    /// The device.
    pub device: Id,
    /// Whose device it is, if the graph says so.
    pub user: Option<Id>,
    /// Its key.
    pub key: Option<Spki>,
}

/// A key record as the cloud has it.
pub struct KeyNode {
    /// Its bytes. Whose word they are is for the caller to verify.
    pub record: Vec<u8>,
    /// Its `ETag`.
    pub etag: String,
}

/// A device that this user claims, before it has proved its key.
pub struct ClaimedDevice {
    /// The identifier that the graph gave it.
    pub device: Id,
    path: String,
    challenge: Value,
}

/// What is needed to meet another device.
pub struct Pair {
    /// The device, its key and the ticket.
    pub target: Target,
    /// Its name.
    pub name: String,
    /// Where it can be reached; empty when it is not online.
    pub addresses: Vec<String>,
    /// By what the two know each other on a local network.
    pub lan_key: Option<LanKey>,
    /// The folders mapped on both that the ticket does not name.
    pub left: Vec<Id>,
}

impl Cloud {
    /// Claims the key as a device of this user. To be followed by [`prove`](Self::prove).
    pub async fn claim(&self, name: &str, key: &Spki, signing_key: &[u8; 32]) -> Result<ClaimedDevice> {
        let (spki, signing_key) = (STANDARD.encode(key.der()), hex(signing_key));
        let body = json!({ "name": name, "spki": spki, "signing_key": signing_key });
        let devices = self.devices_path().await?;
        let answer = self.call(Method::POST, &devices, Some(&body), MESH).await?;
        let device = id(&answer.body, "device")?;
        let path = answer.location.unwrap_or_else(|| format!("{devices}/{device}"));
        let path = link(&answer.body, "proof", &path);
        Ok(ClaimedDevice { device, path, challenge: answer.body["proof"].clone() })
    }

    /// Proves the keys of a claimed device.
    pub async fn prove(&self, claimed: &ClaimedDevice, device: &Device, signer: &Signer) -> Result<()> {
        let audience = self.session.lock().await.audience.clone();
        let answer = answer(device, claimed.device, Purpose::Claim, &audience, &claimed.challenge)?;
        let fingerprint = device.spki().fingerprint(device.provider());
        let statement = [b"meshproof device key", &claimed.device.0[..], &fingerprint].concat();
        let body = json!({ "answer": answer, "signature": hex(&signer.sign(&statement)) });
        self.call(Method::POST, &claimed.path, Some(&body), MESH).await.map(drop)
    }

    /// The user's devices.
    pub async fn devices(&self) -> Result<Vec<DeviceInfo>> {
        let devices = self.devices_path().await?;
        let info = |item: &Value| DeviceInfo {
            device: text(item, "device"),
            name: text(item, "name"),
            state: text(item, "state"),
            fingerprint: text(item, "fingerprint"),
        };
        Ok(self.list(&devices, MESH).await?.iter().map(info).collect())
    }

    /// The folders that the user is a member of.
    pub async fn folders(&self) -> Result<Vec<FolderInfo>> {
        let objects = self.objects_path().await?;
        Ok(self.list(&objects, MESH).await?.iter().map(folder_info).collect())
    }

    /// Makes a folder. `p2p`: no byte of it will be in the cloud.
    pub async fn create_folder(&self, name: &str, p2p: bool) -> Result<Id> {
        let body = json!({ "name": name, "storage": if p2p { "p2p" } else { "cloud" } });
        let objects = self.objects_path().await?;
        let answer = self.call(Method::POST, &objects, Some(&body), MESH).await?;
        id(&answer.body, "folder")
    }

    /// One folder.
    pub async fn folder(&self, folder: Id) -> Result<FolderInfo> {
        let path = self.folder_path(folder).await?;
        let answer = self.call(Method::GET, &path, None, &path).await?;
        Ok(folder_info(&answer.body))
    }

    /// Maps the folder on a device of this user.
    pub async fn map(&self, folder: Id, device: Id) -> Result<()> {
        let path = self.folder_path(folder).await?;
        let mapping = format!("{path}/mappings/{device}");
        self.call(Method::PUT, &mapping, Some(&json!({})), &path).await.map(drop)
    }

    /// The devices on which the folder is mapped.
    pub async fn mappings(&self, folder: Id) -> Result<Vec<MappingInfo>> {
        let path = self.folder_path(folder).await?;
        let mapping = |item: &Value| {
            let key = item["spki"].as_str().and_then(|text| STANDARD.decode(text).ok());
            let key = key.and_then(|der| Spki::parse(&der).ok());
            Ok(MappingInfo { device: id(item, "device")?, user: id(item, "user").ok(), key })
        };
        self.list(&format!("{path}/mappings"), &path).await?.iter().map(mapping).collect()
    }

    /// The key record of a folder; `None` if it is not encrypted.
    pub async fn key(&self, folder: Id) -> Result<Option<KeyNode>> {
        let path = self.folder_path(folder).await?;
        let answer = match self.call(Method::GET, &format!("{path}/key"), None, &path).await {
            Err(Error::Problem(problem)) if problem.error == "no-such-node" => return Ok(None),
            answer => answer?,
        };
        let record = answer.body["record"].as_str().and_then(|text| STANDARD.decode(text).ok());
        let node = record.zip(answer.etag).map(|(record, etag)| KeyNode { record, etag });
        node.map(Some).ok_or_else(|| unexpected("GET of a key record", "there is none"))
    }

    /// Writes the key record of a folder, in place of the one with this tag.
    pub async fn put_key(&self, folder: Id, record: &[u8], etag: Option<&str>) -> Result<()> {
        let path = self.folder_path(folder).await?;
        let (key, body) = (format!("{path}/key"), json!({ "record": STANDARD.encode(record) }));
        self.call_if(Method::PUT, &key, Some(&body), etag, &path).await.map(drop)
    }

    /// As if the cloud had said that it does not hold a content.
    pub(crate) fn no_such_media(&self, hash: MediaHash) -> Error {
        let what = format!("GET of the content {hash} from {}", self.url);
        Problem { status: 404, error: "no-such-media".into(), requirement: "STO-005".into(), what }.into()
    }

    /// The cards of those who write, or once wrote, in the folder. Whose word they are is for the caller to verify.
    pub async fn writers(&self, folder: Id) -> Result<Vec<Card>> {
        let path = self.folder_path(folder).await?;
        let card = |item: &Value| {
            let key = item["key"].as_str().and_then(hex_array);
            let signature = item["signature"].as_str().and_then(|text| STANDARD.decode(text).ok());
            let (key, signature) = key
                .zip(signature)
                .ok_or_else(|| unexpected("GET of the writers of a folder", "a card is none"))?;
            Ok(Card { device: id(item, "device")?, key, signature })
        };
        self.list(&format!("{path}/writers"), &path).await?.iter().map(card).collect()
    }

    /// Says for `ttl` seconds where this device can be reached.
    pub async fn announce(&self, device: Id, addresses: &[String], ttl: u32) -> Result<()> {
        let path = format!("{}/{device}/endpoints", self.devices_path().await?);
        let body = json!({ "addresses": addresses, "ttl": ttl });
        self.call(Method::PUT, &path, Some(&body), MESH).await.map(drop)
    }

    /// Where a device can be reached; empty when it is not online.
    pub async fn addresses(&self, device: Id) -> Result<Vec<String>> {
        let path = format!("{}/{device}/endpoints", self.devices_path().await?);
        let answer = self.call(Method::GET, &path, None, MESH).await?;
        Ok(strings(&answer.body["addresses"]))
    }

    /// A ticket with which this device and another may meet, and what else is needed for that. It is for these folders, or for the
    /// first of those that are mapped on both.
    pub async fn pair(&self, device: Id, folders: Option<&[Id]>) -> Result<Pair> {
        let path = format!("{}/{device}/pair", self.devices_path().await?);
        let wish = folders.map(|folders| {
            let folders: Vec<String> = folders.iter().map(Id::to_string).collect();
            json!({ "folders": folders })
        });
        let answer = self.call(Method::POST, &path, wish.as_ref(), MESH).await?.body;
        let bad = |why| unexpected(&format!("POST {path}"), why);
        let ticket = answer["ticket"].as_str().and_then(|text| URL_SAFE_NO_PAD.decode(text).ok());
        let ticket = ticket.ok_or_else(|| bad("there is no ticket"))?;
        let about = &answer["device"];
        let key = about["spki"].as_str().and_then(|text| STANDARD.decode(text).ok());
        let key = key.and_then(|der| Spki::parse(&der).ok()).ok_or_else(|| bad("there is no key"))?;
        let target = Target::new(device, key, ticket);
        let lan_key = answer["lan_key"].as_str().and_then(hex_array).map(LanKey::new);
        let left = strings(&answer["left"]).iter().filter_map(|id| Id::parse(id)).collect();
        Ok(Pair { target, name: text(about, "name"), addresses: strings(&about["addresses"]), lan_key, left })
    }

    async fn devices_path(&self) -> Result<String> {
        self.below_root("devices").await
    }

    async fn objects_path(&self) -> Result<String> {
        self.below_root("objects").await
    }

    pub(super) async fn folder_path(&self, folder: Id) -> Result<String> {
        Ok(format!("{}/{folder}", self.objects_path().await?))
    }

    /// GPH-010: the root is all that a client has to know.
    pub(super) async fn below_root(&self, name: &str) -> Result<String> {
        Ok(format!("{}/{name}", self.root().await?))
    }

    pub(super) async fn root(&self) -> Result<String> {
        let mut session = self.session.lock().await;
        if session.root.is_empty() {
            self.renew(&mut session).await?;
        }
        Ok(session.root.clone())
    }
}

fn folder_info(item: &Value) -> FolderInfo {
    FolderInfo {
        folder: text(item, "folder"),
        name: text(item, "name"),
        storage: text(item, "storage"),
        has_states: item["links"]["states"].is_string(),
        encrypted: item["encrypted"] == true,
    }
}

pub(super) fn items(body: &Value) -> Result<&Vec<Value>> {
    body["items"].as_array().ok_or_else(|| unexpected("GET of a collection", "there are no items"))
}

pub(super) fn id(item: &Value, name: &str) -> Result<Id> {
    let found = item[name].as_str().and_then(Id::parse);
    found.ok_or_else(|| unexpected("a request", &format!("there is no identifier `{name}`")))
}

pub(super) fn text(item: &Value, name: &str) -> String {
    item[name].as_str().unwrap_or_default().into()
}

fn strings(list: &Value) -> Vec<String> {
    list.as_array().into_iter().flatten().filter_map(|item| item.as_str().map(Into::into)).collect()
}

/// The path behind a link of a representation; `parent` and the name where there is no such link.
fn link(body: &Value, name: &str, parent: &str) -> String {
    let found = body["links"][name].as_str().filter(|path| path.starts_with('/'));
    found.map_or_else(|| format!("{parent}/{name}"), Into::into)
}
