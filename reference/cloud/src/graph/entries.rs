//! `/mesh/objects/{folder}/feeds/files/entries`, and the entries below it.

use std::collections::BTreeMap;

use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use meshproof_proto::codec::Id;
use meshproof_proto::error::Error as RuleError;
use meshproof_proto::requirement::{self as req, demand, deviates};
use meshproof_proto::storage::MediaHash;
use meshproof_proto::sync::path::PortablePath;
use serde::Deserialize;
use serde_json::{Value, json};

use super::access::{DeleteEntries, FolderRight, Granted, ReadFolder, WriteEntries, existing};
use super::page::Page;
use super::{created, node, paths};
use crate::etag;
use crate::extract::{Json, present};
use crate::problem::Problem;
use crate::state::{App, new_etag, to_its_end};
use crate::storage::sweep;
use crate::store::entries::{Attributes, Entry, Kind, Version};
use crate::store::folders::Folder;
use crate::store::wanted::{Content, Missing};

/// As many devices as a version vector has in `spec/sync.md` (SYN-008).
const MAX_DEVICES: usize = 64;
/// SQL and JSON readers agree on numbers up to here.
const MAX_NUMBER: u64 = i64::MAX as u64;
/// The largest counter of a version, as devices take it (SYN-008).
const MAX_COUNTER: u64 = (1 << 48) - 1;
/// All names and texts of an entry's properties together, in bytes.
const MAX_PROPERTIES: usize = 65_536;

/// What a client writes. A directory has no size and no hash.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Written {
    path: String,
    kind: String,
    #[serde(default)]
    size: u64,
    #[serde(default, deserialize_with = "present")]
    hash: Option<String>,
    version: Version,
    #[serde(default, deserialize_with = "present")]
    modified: Option<u64>,
    #[serde(default)]
    properties: BTreeMap<String, String>,
}

/// All entries of the folder, tombstones too (GPH-052).
pub(crate) async fn list(
    Granted { app, ids: [folder], node: row, .. }: Granted<ReadFolder, 1>,
    page: Page,
) -> Result<axum::Json<Value>, Problem> {
    let missing = app.store.missing(&row, app.config.storage.quota, app.now()).await?;
    let entries = app.store.entries(folder, page.span()).await?;
    let item = |entry: &Entry| item(folder, entry, &missing);
    Ok(page.of(&paths::entries(folder), entries, |entry| entry.id.to_string(), item))
}

/// One entry; of a tombstone only that it is one (GPH-051).
pub(crate) async fn get(
    Granted { app, ids: [folder, id], node: row, .. }: Granted<ReadFolder, 2>,
) -> Result<Response, Problem> {
    let entry = existing(app.store.entry(folder, id).await?)?;
    demand(!entry.deleted, req::GPH_051)?;
    let content = content(&app, &row, &entry).await?;
    Ok(node(StatusCode::OK, &tag(&entry, content), representation(folder, &entry, content)))
}

/// Writes an entry: a new one, or with `If-Match` one that exists (GPH-012), be it a tombstone.
pub(crate) async fn put(
    Granted { app, tickets, ids: [folder, id], node: row }: Granted<WriteEntries, 2>,
    headers: HeaderMap,
    Json(written): Json<Written>,
) -> Result<Response, Problem> {
    let entry = checked(id, written)?;
    let old = app.store.entry(folder, id).await?;
    match &old {
        Some(old) => check_tag(&headers, old)?, // GPH-012, GPH-013
        None => etag::check_absent(&headers)?,
    }
    let is_new = old.is_none();
    let by = WriteEntries::NEED.by(tickets.who());
    let old = old.map(|old| old.etag);
    to_its_end(async move {
        let garbage = app.store.put_entry(folder, entry.clone(), old, app.config.graph.bounds(), by).await?;
        sweep::remove(&app, garbage).await;
        let content = content(&app, &row, &entry).await?;
        let (tag, body) = (tag(&entry, content), representation(folder, &entry, content));
        if is_new {
            return Ok(created(&paths::entry(folder, id), &tag, body));
        }
        Ok(node(StatusCode::OK, &tag, body))
    })
    .await
}

/// Leaves a tombstone, in whose version the deletion counts (GPH-053).
pub(crate) async fn delete(
    Granted { app, tickets, ids: [folder, id], .. }: Granted<DeleteEntries, 2>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let mut entry = existing(app.store.entry(folder, id).await?)?;
    demand(!entry.deleted, req::GPH_051)?;
    check_tag(&headers, &entry)?; // GPH-012, GPH-013
    if !deviates(req::GPH_053) {
        let writer = tickets.device.unwrap_or(tickets.user);
        let counter = entry.version.entry(writer.to_string()).or_default();
        *counter = counter.saturating_add(1).min(MAX_COUNTER);
        // A version of more devices could not be written, nor read by those who sync.
        demand(entry.version.len() <= MAX_DEVICES, req::GPH_006)?;
    }
    let from = std::mem::replace(&mut entry.etag, new_etag());
    (entry.deleted, entry.size, entry.hash, entry.attributes) = (true, 0, None, Attributes::default());
    let by = DeleteEntries::NEED.by(tickets.who());
    to_its_end(async move {
        let garbage = app.store.put_entry(folder, entry, Some(from), app.config.graph.bounds(), by).await?;
        sweep::remove(&app, garbage).await; // STO-035
        Ok(StatusCode::NO_CONTENT.into_response())
    })
    .await
}

/// The entry that was written, if it is of the form of section 3.1 (GPH-006) and its path portable (GPH-050).
fn checked(id: Id, written: Written) -> Result<Entry, Problem> {
    let Written { path, kind, size, hash, version, modified, properties } = written;
    let kind = Kind::parse(&kind).ok_or(req::GPH_006)?;
    let hash_fits = match kind {
        Kind::File => hash.as_deref().and_then(MediaHash::parse).is_some(),
        Kind::Directory => hash.is_none() && size == 0,
    };
    let counts = |(device, counter): (&String, &u64)| {
        Id::parse(device).is_some() && (1..=MAX_COUNTER).contains(counter)
    };
    let version_fits = version.len() <= MAX_DEVICES && version.iter().all(counts);
    let bytes: usize = properties.iter().map(|(name, text)| name.len() + text.len()).sum();
    let attributes_fit = bytes <= MAX_PROPERTIES && modified.is_none_or(|time| time <= MAX_NUMBER);
    demand(hash_fits && version_fits && attributes_fit && size <= MAX_NUMBER, req::GPH_006)?;
    demand(PortablePath::parse(&path).is_ok(), req::GPH_050)?;
    let attributes = Attributes { modified, properties };
    Ok(Entry { id, path, kind, size, hash, version, attributes, deleted: false, etag: new_etag() })
}

/// What the cloud makes of the content of a file. `None` for all else.
async fn content(app: &App, folder: &Folder, entry: &Entry) -> Result<Option<Content>, Problem> {
    let Some(hash) = entry.hash.clone() else { return Ok(None) };
    Ok(Some(app.store.content(folder, hash, app.config.storage.quota, app.now()).await?))
}

/// The tag of a representation: it changes with the entry and with what the cloud makes of its content (GPH-011).
fn tag(entry: &Entry, content: Option<Content>) -> String {
    match content.filter(|content| *content != Content::Stored) {
        Some(content) => format!("{}.{}", entry.etag, content.name()),
        None => entry.etag.clone(),
    }
}

/// Compares `If-Match` with the tags that the entry has had since it was written: who writes it need not know what the
/// cloud made of its content meanwhile (STO-030).
fn check_tag(headers: &HeaderMap, entry: &Entry) -> Result<(), RuleError> {
    let contents = [Content::Stored, Content::Wanted, Content::P2pOnly];
    let tags = contents.map(|content| tag(entry, Some(content)));
    etag::check_one_of(headers, &tags)
}

/// An entry as an item of a collection, with its tag.
pub(super) fn item(folder: Id, entry: &Entry, missing: &Missing) -> (String, Value) {
    let content = entry.hash.as_deref().map(|hash| missing.content(hash));
    let item = if entry.deleted { tombstone(entry) } else { representation(folder, entry, content) };
    (tag(entry, content), item)
}

fn representation(folder: Id, entry: &Entry, content: Option<Content>) -> Value {
    let mut body = json!({
        "entry": entry.id.to_string(),
        "path": entry.path,
        "kind": entry.kind.name(),
        "version": entry.version,
        "links": { "self": paths::entry(folder, entry.id) }, // GPH-010
    });
    if entry.kind == Kind::File {
        body["size"] = entry.size.into();
        body["hash"] = entry.hash.clone().into();
        if let Some(hash) = entry.hash.as_ref().filter(|_| !deviates(req::GPH_103)) {
            body["links"]["media"] = format!("{}/{hash}", paths::all_media(folder)).into(); // GPH-103
        }
        body["cloud"] = content.map(Content::name).into();
    }
    if let Some(modified) = entry.attributes.modified {
        body["modified"] = modified.into();
    }
    if !entry.attributes.properties.is_empty() {
        body["properties"] = json!(entry.attributes.properties);
    }
    body
}

/// GPH-052: nothing else.
fn tombstone(entry: &Entry) -> Value {
    let deleted = !deviates(req::GPH_052);
    json!({ "entry": entry.id.to_string(), "path": entry.path, "version": entry.version, "deleted": deleted })
}
