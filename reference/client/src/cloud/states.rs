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

    /// One state, if it is there.
    pub async fn state(&self, folder: Id, entry: Id) -> Result<Option<CloudState>> {
        let path = self.folder_path(folder).await?;
        let link = format!("{path}/feeds/states/entries/{entry}");
        // By GET alone the tag is in a field; with a batch it is beside the body.
        let body = json!({ "parts": [{ "method": "GET", "href": link }] });
        let answer =
            self.call(Method::POST, &self.below_root("batch").await?, Some(&body), &path).await?.body;
        let item = items(&answer)?.first().cloned().unwrap_or_default();
        if item["status"] != 200 {
            return Ok(None);
        }
        let mut body = item["body"].clone();
        body["etag"] = item["etag"].clone();
        state(&body, "entry", "state").map(Some)
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
