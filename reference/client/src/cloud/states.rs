//! States and heads: what devices sign, as the cloud keeps it (`spec/graph.md`, section 4.15).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use meshproof_proto::codec::Id;
use meshproof_proto::requirement as req;
use reqwest::Method;
use serde_json::{Value, json};

use super::Cloud;
use super::operations::{id, items, text};
use crate::error::{Error, Result};

/// As many states are read at once.
const PAGE: usize = 500;
/// As many operations go into one request (GPH-097).
const MOST_PARTS: usize = 100;

/// A state or a head as the cloud shows it.
#[derive(Clone, Debug)]
pub struct CloudState {
    /// Of the entry, or of the writer.
    pub id: Id,
    /// Its `ETag`.
    pub etag: String,
    /// The bytes. None if they are no base64.
    pub bytes: Vec<u8>,
}

/// States in the order of their last change.
#[derive(Debug)]
pub struct StatesPage {
    /// The states.
    pub states: Vec<CloudState>,
    /// How far this is.
    pub watermark: String,
    /// Whether there are more.
    pub more: bool,
}

impl Cloud {
    /// The states that changed since, or all. `None`: the cloud does not know the watermark any more (GPH-061).
    pub async fn states_since(&self, folder: Id, since: Option<&str>) -> Result<Option<StatesPage>> {
        let path = self.folder_path(folder).await?;
        let since_then = since.map(|mark| format!("since={mark}&")).unwrap_or_default();
        let link = format!("{path}/feeds/states/sync?{since_then}limit={PAGE}");
        let page = match self.call(Method::GET, &link, None, &path).await {
            Err(error) if since.is_some() && error.requirement() == Some(req::GPH_061) => return Ok(None),
            answer => answer?.body,
        };
        let states = items(&page)?.iter().map(|item| state(item, "entry", "state")).collect::<Result<_>>()?;
        Ok(Some(StatesPage { states, watermark: text(&page, "watermark"), more: page["more"] == true }))
    }

    /// Those of these states that are there.
    pub async fn states_of(&self, folder: Id, entries: &[Id]) -> Result<Vec<CloudState>> {
        let (path, batch) = (self.folder_path(folder).await?, self.below_root("batch").await?);
        let mut found = Vec::new();
        for entries in entries.chunks(MOST_PARTS) {
            let part = |entry: &Id| json!({ "method": "GET", "href": format!("{path}/feeds/states/entries/{entry}") });
            let body = json!({ "parts": entries.iter().map(part).collect::<Vec<_>>() });
            let answer = self.call(Method::POST, &batch, Some(&body), &path).await?.body;
            for item in items(&answer)?.iter().filter(|item| item["status"] == 200) {
                let mut body = item["body"].clone();
                body["etag"] = item["etag"].clone();
                found.push(state(&body, "entry", "state")?);
            }
        }
        Ok(found)
    }

    /// The heads of all writers that put one.
    pub async fn heads(&self, folder: Id) -> Result<Vec<CloudState>> {
        let path = self.folder_path(folder).await?;
        let list = self.list(&format!("{path}/feeds/states/heads"), &path).await?;
        list.iter().map(|item| state(item, "device", "head")).collect()
    }

    /// Puts the head of this device, in place of the one with this tag.
    pub async fn put_head(&self, folder: Id, device: Id, head: &[u8], etag: Option<&str>) -> Result<()> {
        let path = self.folder_path(folder).await?;
        let body = json!({ "head": STANDARD.encode(head) });
        let link = format!("{path}/feeds/states/heads/{device}");
        match self.call_if(Method::PUT, &link, Some(&body), etag, &path).await {
            Ok(_) => Ok(()),
            // What an earlier run put, and did not hear of: the next round knows.
            Err(Error::Problem(problem))
                if ["etag-mismatch", "if-match-required"].contains(&&*problem.error) =>
            {
                Ok(())
            }
            Err(error) => Err(error),
        }
    }
}

/// The body of a PUT of a state.
pub fn state_body(bytes: &[u8]) -> Value {
    json!({ "state": STANDARD.encode(bytes) })
}

fn state(item: &Value, name: &str, bytes: &str) -> Result<CloudState> {
    let decoded = item[bytes].as_str().and_then(|text| STANDARD.decode(text).ok());
    Ok(CloudState { id: id(item, name)?, etag: text(item, "etag"), bytes: decoded.unwrap_or_default() })
}
