//! The entries of a folder: read by what changed since the last time, written many at once (`spec/graph.md`, sections 3.3
//! and 3.6).

use std::collections::BTreeMap;

use meshproof_proto::codec::Id;
use meshproof_proto::requirement as req;
use meshproof_proto::storage::MediaHash;
use meshproof_proto::sync::Version;
use reqwest::Method;
use serde_json::{Value, json};

use super::http::{self, unexpected};
use super::operations::{id, items, text};
use super::{Cloud, Problem};
use crate::error::Result;

/// As many writes go into one request (GPH-097).
const MOST_PARTS: usize = 100;
/// And as many bytes, so that the whole stays below the limit of a body (GPH-007).
const MOST_BYTES: usize = 900_000;

/// An entry as the cloud has it.
#[derive(Clone, Debug)]
pub struct CloudEntry {
    /// Its identifier.
    pub id: Id,
    /// Its `ETag`.
    pub etag: String,
    /// Whose changes are in it.
    pub version: Version,
    /// Whether it is deleted.
    pub deleted: bool,
    /// Size and hash of a file, as the cloud has it.
    pub content: Option<(u64, MediaHash)>,
    /// What an entry of an encrypted folder says.
    pub sealed: Option<String>,
}

/// A change of an entry.
pub struct EntryWrite {
    /// Its identifier.
    pub entry: Id,
    /// What it is to be; `None` deletes it.
    pub body: Option<Value>,
    /// The `ETag` of the one that it replaces.
    pub etag: Option<String>,
}

/// What was read of a folder's entries, and how far that was.
#[derive(Default)]
pub(super) struct Known {
    watermark: Option<String>,
    /// With the path.
    entries: BTreeMap<Id, (String, CloudEntry)>,
}

impl Cloud {
    /// The entries of a folder with their paths, the deleted ones too. Only what changed since the last call comes over the
    /// line.
    pub async fn entries(&self, folder: Id) -> Result<BTreeMap<Id, (String, CloudEntry)>> {
        // Who comes meanwhile, or after an error, begins anew.
        let mut known = self.known.lock().await.remove(&folder).unwrap_or_default();
        self.catch_up(folder, &mut known).await?;
        let entries = known.entries.clone();
        self.known.lock().await.insert(folder, known);
        Ok(entries)
    }

    /// Reads all entries of a folder the next time: what was read before is not so any more.
    pub async fn forget_entries(&self, folder: Id) {
        self.known.lock().await.remove(&folder);
    }

    /// Writes entries. Each succeeds or fails by itself; `Ok` has the new `ETag`.
    pub async fn write_entries(
        &self,
        folder: Id,
        writes: &[EntryWrite],
    ) -> Result<Vec<Result<Option<String>>>> {
        self.write_all(folder, "files", writes).await
    }

    /// The same for states.
    pub async fn write_states(
        &self,
        folder: Id,
        writes: &[EntryWrite],
    ) -> Result<Vec<Result<Option<String>>>> {
        self.write_all(folder, "states", writes).await
    }

    async fn write_all(
        &self,
        folder: Id,
        feed: &str,
        writes: &[EntryWrite],
    ) -> Result<Vec<Result<Option<String>>>> {
        let (path, batch) = (self.folder_path(folder).await?, self.below_root("batch").await?);
        let mut results = Vec::new();
        for parts in batches(&format!("{path}/feeds/{feed}/entries"), writes) {
            let body = json!({ "parts": parts });
            let answer = self.raw(&path, |http| http.post(self.at(&batch)).json(&body)).await?;
            let bad = |why: &str| unexpected(&format!("POST {batch}"), why);
            let answer = http::json(&format!("POST {batch}"), answer).await?;
            let items = items(&answer)?;
            if items.len() != parts.len() {
                return Err(bad("there is not one answer to each part"));
            }
            results.extend(parts.iter().zip(items).map(|(part, item)| outcome(part, item)));
        }
        Ok(results)
    }

    /// Reads what changed, page after page; all of it if the cloud does not know the watermark any more (GPH-061).
    async fn catch_up(&self, folder: Id, known: &mut Known) -> Result<()> {
        let path = self.folder_path(folder).await?;
        let delta = format!("{path}/feeds/files/sync");
        loop {
            let link = match &known.watermark {
                Some(watermark) => format!("{delta}?since={watermark}"),
                None => delta.clone(),
            };
            let page = match self.call(Method::GET, &link, None, &path).await {
                Err(error) if known.watermark.is_some() && error.requirement() == Some(req::GPH_061) => {
                    *known = Known::default();
                    continue;
                }
                answer => answer?.body,
            };
            for item in items(&page)? {
                let entry = CloudEntry {
                    id: id(item, "entry")?,
                    etag: text(item, "etag"),
                    version: version(item)
                        .ok_or_else(|| unexpected("GET of a delta", "a version is none"))?,
                    deleted: item["deleted"] == true,
                    content: item["size"].as_u64().zip(item["hash"].as_str().and_then(MediaHash::parse)),
                    sealed: item["properties"]["sealed"].as_str().map(Into::into),
                };
                known.entries.insert(entry.id, (text(item, "path"), entry));
            }
            known.watermark = page["watermark"].as_str().map(Into::into);
            if page["more"] != true {
                return Ok(());
            }
        }
    }
}

/// The parts of as many batches as it takes.
fn batches(entries: &str, writes: &[EntryWrite]) -> Vec<Vec<Value>> {
    let (mut batches, mut bytes): (Vec<Vec<Value>>, usize) = (Vec::new(), 0);
    for write in writes {
        let part = part(entries, write);
        let size = part.to_string().len();
        if batches.last().is_none_or(|last| last.len() == MOST_PARTS || bytes + size > MOST_BYTES) {
            batches.push(Vec::new());
            bytes = 0;
        }
        bytes += size;
        if let Some(last) = batches.last_mut() {
            last.push(part);
        }
    }
    batches
}

fn part(entries: &str, write: &EntryWrite) -> Value {
    let method = if write.body.is_some() { "PUT" } else { "DELETE" };
    let mut part = json!({ "method": method, "href": format!("{entries}/{}", write.entry) });
    if let Some(body) = &write.body {
        part["body"] = body.clone();
    }
    if let Some(etag) = &write.etag {
        part["if_match"] = etag.as_str().into();
    }
    part
}

fn outcome(part: &Value, item: &Value) -> Result<Option<String>> {
    let what = format!("{} {}", text(part, "method"), text(part, "href"));
    let status = item["status"].as_u64().and_then(|status| u16::try_from(status).ok());
    match status {
        Some(200..=299) => Ok(item["etag"].as_str().map(Into::into)),
        Some(status) => Err(Problem::read(what, status, &item["body"])),
        None => Err(unexpected(&what, "there is no status")),
    }
}

fn version(item: &Value) -> Option<Version> {
    let counter = |(device, n): (&String, &Value)| Some((Id::parse(device)?, n.as_u64()?));
    let mut counters = item["version"].as_object()?.iter().map(counter).collect::<Option<Vec<_>>>()?;
    counters.sort_unstable();
    Version::new(counters).ok()
}
