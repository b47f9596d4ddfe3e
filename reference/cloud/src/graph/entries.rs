//! `/mesh/objects/{folder}/feeds/files/entries`, and the entries below it.

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use meshproof_proto::codec::Id;
use meshproof_proto::requirement::{self as req, demand, deviates};
use meshproof_proto::storage::MediaHash;
use meshproof_proto::sync::path::PortablePath;
use serde::Deserialize;
use serde_json::{Value, json};

use super::access::{Need, existing};
use super::{access, collection, created, node, paths};
use crate::auth::Tickets;
use crate::etag;
use crate::extract::{Ids, Json};
use crate::problem::Problem;
use crate::state::{App, new_etag};
use crate::store::entries::{Entry, Kind, Version};

/// As many devices as a version vector has in `spec/sync.md` (SYN-008).
const MAX_DEVICES: usize = 64;
/// SQL and JSON readers agree on numbers up to here.
const MAX_NUMBER: u64 = i64::MAX as u64;

/// What a client writes. A directory has no size and no hash.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Written {
    path: String,
    kind: String,
    #[serde(default)]
    size: u64,
    hash: Option<String>,
    version: Version,
}

/// All entries of the folder, tombstones too (GPH-052).
pub(crate) async fn list(
    State(app): State<App>,
    Ids([folder]): Ids<1>,
    tickets: Tickets,
) -> Result<axum::Json<Value>, Problem> {
    access::folder(&app, &tickets, folder, Need::READ).await?;
    let entries = app.store.entries(folder).await?;
    let items = entries.into_iter().map(|entry| item(folder, entry));
    Ok(collection(&paths::entries(folder), items))
}

/// One entry; of a tombstone only that it is one (GPH-051).
pub(crate) async fn get(
    State(app): State<App>,
    Ids([folder, id]): Ids<2>,
    tickets: Tickets,
) -> Result<Response, Problem> {
    access::folder(&app, &tickets, folder, Need::READ).await?;
    let entry = existing(app.store.entry(folder, id).await?)?;
    demand(!entry.deleted, req::GPH_051)?;
    Ok(node(StatusCode::OK, &entry.etag, representation(folder, &entry)))
}

/// Writes an entry: a new one, or with `If-Match` one that exists (GPH-012), be it a tombstone.
pub(crate) async fn put(
    State(app): State<App>,
    Ids([folder, id]): Ids<2>,
    tickets: Tickets,
    headers: HeaderMap,
    Json(written): Json<Written>,
) -> Result<Response, Problem> {
    access::folder(&app, &tickets, folder, Need::WRITE_ENTRY).await?; // GPH-014
    let entry = checked(id, written)?;
    let old = app.store.entry(folder, id).await?;
    match &old {
        Some(old) => etag::check(&headers, &old.etag)?, // GPH-012, GPH-013
        None => etag::check_absent(&headers)?,
    }
    let is_new = old.is_none();
    let by = Need::WRITE_ENTRY.by(tickets.who());
    app.store.put_entry(folder, entry.clone(), old.map(|old| old.etag), by).await?;
    let body = representation(folder, &entry);
    if is_new {
        return Ok(created(&paths::entry(folder, id), &entry.etag, body));
    }
    Ok(node(StatusCode::OK, &entry.etag, body))
}

/// Leaves a tombstone, in whose version the deletion counts (GPH-053).
pub(crate) async fn delete(
    State(app): State<App>,
    Ids([folder, id]): Ids<2>,
    tickets: Tickets,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    access::folder(&app, &tickets, folder, Need::DELETE_ENTRY).await?; // GPH-014
    let mut entry = existing(app.store.entry(folder, id).await?)?;
    demand(!entry.deleted, req::GPH_051)?;
    etag::check(&headers, &entry.etag)?; // GPH-012, GPH-013
    if !deviates(req::GPH_053) {
        let writer = tickets.device.unwrap_or(tickets.user);
        let counter = entry.version.entry(writer.to_string()).or_default();
        *counter = counter.saturating_add(1).min(MAX_NUMBER);
        // A version of more devices could not be written, nor read by those who sync.
        demand(entry.version.len() <= MAX_DEVICES, req::GPH_006)?;
    }
    let from = std::mem::replace(&mut entry.etag, new_etag());
    (entry.deleted, entry.size, entry.hash) = (true, 0, None);
    app.store.put_entry(folder, entry, Some(from), Need::DELETE_ENTRY.by(tickets.who())).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// The entry that was written, if it is of the form of section 3.1 (GPH-006) and its path portable (GPH-050).
fn checked(id: Id, written: Written) -> Result<Entry, Problem> {
    let Written { path, kind, size, hash, version } = written;
    let kind = Kind::parse(&kind).ok_or(req::GPH_006)?;
    let hash_fits = match kind {
        Kind::File => hash.as_deref().and_then(MediaHash::parse).is_some(),
        Kind::Directory => hash.is_none() && size == 0,
    };
    let counts = |(device, counter): (&String, &u64)| {
        Id::parse(device).is_some() && (1..=MAX_NUMBER).contains(counter)
    };
    let version_fits = version.len() <= MAX_DEVICES && version.iter().all(counts);
    demand(hash_fits && version_fits && size <= MAX_NUMBER, req::GPH_006)?;
    demand(PortablePath::parse(&path).is_ok(), req::GPH_050)?;
    Ok(Entry { id, path, kind, size, hash, version, deleted: false, etag: new_etag() })
}

/// An entry as an item of a collection, with its tag.
pub(super) fn item(folder: Id, entry: Entry) -> (String, Value) {
    let item = if entry.deleted { tombstone(&entry) } else { representation(folder, &entry) };
    (entry.etag, item)
}

fn representation(folder: Id, entry: &Entry) -> Value {
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
    }
    body
}

/// GPH-052: nothing else.
fn tombstone(entry: &Entry) -> Value {
    json!({ "entry": entry.id.to_string(), "path": entry.path, "version": entry.version, "deleted": true })
}
