//! `/mesh/objects/{folder}/key`: how devices give each other the key of an encrypted folder, which the cloud has not
//! (`spec/storage.md`, section 3.2).

use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use meshproof_proto::codec::{Id, hex, hex_array};
use meshproof_proto::crypto::DEFAULT;
use meshproof_proto::requirement::{self as req, demand, deviates};
use meshproof_proto::storage::keys::KeyRecord;
use serde::Deserialize;
use serde_json::{Value, json};

use super::access::{self, FolderRight, Granted, Need, ReadFolder, WriteEntries, existing};
use super::{created, node, paths};
use crate::auth::Tickets;
use crate::etag;
use crate::extract::Json;
use crate::problem::Problem;
use crate::state::{App, new_etag, to_its_end};
use crate::storage::sweep;
use crate::store::keys::{KeyRow, NewKey};

/// A record in base64.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Written {
    record: String,
}

/// The key record (GPH-200).
pub(crate) async fn get(
    Granted { app, ids: [folder], .. }: Granted<ReadFolder, 1>,
) -> Result<Response, Problem> {
    let mut row = existing(app.store.key(folder).await?)?;
    if deviates(req::GPH_200) {
        row.record.clear();
    }
    Ok(node(StatusCode::OK, &row.etag, representation(folder, &row)))
}

/// Keeps a key record; the first one makes the folder encrypted.
pub(crate) async fn put(
    Granted { app, tickets, ids: [folder], node: row }: Granted<WriteEntries, 1>,
    headers: HeaderMap,
    Json(Written { record }): Json<Written>,
) -> Result<Response, Problem> {
    let is_first = row.generation == 0;
    let need = if is_first { Need::ENCRYPT } else { WriteEntries::NEED };
    if is_first {
        access::folder(&app, &tickets, folder, need).await?; // GPH-205
    }
    let read = STANDARD.decode(&record).ok().and_then(|bytes| KeyRecord::from_bytes(&bytes).ok());
    let read = read.ok_or(req::GPH_006)?;
    demand(is_own(&app, &tickets, folder, &read).await?, req::GPH_201)?;
    let old = app.store.key(folder).await?;
    match &old {
        Some(old) => etag::check(&headers, &old.etag)?, // GPH-012, GPH-013
        None => etag::check_absent(&headers)?,
    }
    let new = NewKey {
        row: KeyRow { record, etag: new_etag() },
        generation: read.generation.into(),
        check: hex(&read.check),
    };
    let by = need.by(tickets.who());
    to_its_end(async move {
        let garbage = app.store.put_key(folder, new.clone(), old.map(|old| old.etag), by).await?;
        sweep::remove(&app, garbage).await;
        let body = representation(folder, &new.row);
        if is_first {
            return Ok(created(&paths::key(folder), &new.row.etag, body));
        }
        Ok(node(StatusCode::OK, &new.row.etag, body))
    })
    .await
}

/// GPH-201: the device that asks wrote the record and signed it.
async fn is_own(app: &App, tickets: &Tickets, folder: Id, record: &KeyRecord) -> Result<bool, Problem> {
    let Some(id) = tickets.device.filter(|device| *device == record.writer) else { return Ok(false) };
    let device = app.store.device(id).await?;
    let key = device.and_then(|device| hex_array(&device.signing_key));
    Ok(key.is_some_and(|key| record.is_signed(DEFAULT, folder, &key)))
}

fn representation(folder: Id, row: &KeyRow) -> Value {
    json!({ "record": row.record, "links": { "self": paths::key(folder) } })
}
