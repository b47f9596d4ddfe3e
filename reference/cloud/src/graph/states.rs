//! `/mesh/objects/{folder}/feeds/states`: what devices sign of a folder, for those that are not online at the same time
//! (`spec/graph.md`, section 4.15). The service keeps bytes; whether to believe them is for devices to say.

use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use meshproof_proto::codec::Id;
use meshproof_proto::requirement::{self as req, demand, deviates};
use serde::Deserialize;
use serde_json::{Value, json};

use super::access::{FolderRight, Granted, ReadFolder, WriteEntries, existing};
use super::page::Page;
use super::sync::Since;
use super::{collection, created, node, paths, watermark};
use crate::auth::Tickets;
use crate::etag;
use crate::extract::{Json, Params, page};
use crate::problem::Problem;
use crate::state::{App, new_etag, to_its_end};
use crate::store::states::{Signed, What};

/// The longest state, in bytes.
const MAX_STATE: usize = 524_288;
/// The longest head, in bytes.
const MAX_HEAD: usize = 1_024;

/// A state that a device puts, in base64.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Written {
    state: String,
}

/// A head that a device puts, in base64.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct WrittenHead {
    head: String,
}

/// All states of the folder.
pub(crate) async fn list(
    Granted { app, ids: [folder], .. }: Granted<ReadFolder, 1>,
    page: Page,
) -> Result<axum::Json<Value>, Problem> {
    pages(&app, What::State, folder, &page).await
}

/// The heads of all writers that put one.
pub(crate) async fn list_heads(
    Granted { app, ids: [folder], .. }: Granted<ReadFolder, 1>,
    page: Page,
) -> Result<axum::Json<Value>, Problem> {
    pages(&app, What::Head, folder, &page).await
}

/// The states that were written since, in the order of their last change (GPH-181).
pub(crate) async fn sync(
    Granted { app, ids: [folder], .. }: Granted<ReadFolder, 1>,
    Params(Since { since, limit }): Params<Since>,
) -> Result<axum::Json<Value>, Problem> {
    let limit = page(limit)?;
    let since = since.map_or(Ok(0), |text| watermark::read(&app, folder, &text))?; // GPH-061
    let delta = app.store.states_since(folder, since, limit).await?.ok_or(req::GPH_061)?;
    let path = paths::states_sync(folder);
    let mut body = collection(&path, delta.states.iter().map(|state| item(What::State, folder, state)));
    let next = watermark::write(&app, folder, delta.seq);
    body["more"] = delta.more.into();
    if delta.more {
        body["links"]["next"] = format!("{path}?since={next}&limit={limit}").into();
    }
    body["watermark"] = next.into();
    Ok(body)
}

/// One state.
pub(crate) async fn get(
    Granted { app, ids: [folder, id], .. }: Granted<ReadFolder, 2>,
) -> Result<Response, Problem> {
    one(&app, What::State, folder, id).await
}

/// The head of one writer.
pub(crate) async fn get_head(
    Granted { app, ids: [folder, id], .. }: Granted<ReadFolder, 2>,
) -> Result<Response, Problem> {
    one(&app, What::Head, folder, id).await
}

/// Keeps a state: a new one, or with `If-Match` in place of another (GPH-012).
pub(crate) async fn put(
    Granted { app, tickets, ids: [folder, id], .. }: Granted<WriteEntries, 2>,
    headers: HeaderMap,
    Json(Written { state }): Json<Written>,
) -> Result<Response, Problem> {
    keep(&app, &tickets, What::State, (folder, id), &headers, state).await
}

/// Keeps the head of a writer, which nobody else may say (GPH-182).
pub(crate) async fn put_head(
    Granted { app, tickets, ids: [folder, id], .. }: Granted<WriteEntries, 2>,
    headers: HeaderMap,
    Json(WrittenHead { head }): Json<WrittenHead>,
) -> Result<Response, Problem> {
    demand(tickets.device == Some(id), req::GPH_182)?;
    keep(&app, &tickets, What::Head, (folder, id), &headers, head).await
}

async fn pages(app: &App, what: What, folder: Id, page: &Page) -> Result<axum::Json<Value>, Problem> {
    let states = app.store.states(what, folder, page.span()).await?;
    let path = match what {
        What::State => paths::states(folder),
        What::Head => paths::heads(folder),
    };
    Ok(page.of(&path, states, |state| state.id.to_string(), |state| item(what, folder, state)))
}

async fn one(app: &App, what: What, folder: Id, id: Id) -> Result<Response, Problem> {
    let state = existing(app.store.state(what, folder, id).await?)?;
    Ok(node(StatusCode::OK, &state.etag, representation(what, folder, &state)))
}

async fn keep(
    app: &App,
    tickets: &Tickets,
    what: What,
    (folder, id): (Id, Id),
    headers: &HeaderMap,
    state: String,
) -> Result<Response, Problem> {
    let most = if what == What::State { MAX_STATE } else { MAX_HEAD };
    let bytes = STANDARD.decode(&state).ok().filter(|bytes| (1..=most).contains(&bytes.len()));
    demand(bytes.is_some(), req::GPH_006)?;
    let old = app.store.state(what, folder, id).await?;
    match &old {
        Some(old) => etag::check(headers, &old.etag)?, // GPH-012, GPH-013
        None => etag::check_absent(headers)?,
    }
    let new = Signed { id, state, etag: new_etag() };
    let by = WriteEntries::NEED.by(tickets.who());
    let app = app.clone();
    to_its_end(async move {
        let (is_new, from) = (old.is_none(), old.map(|old| old.etag));
        app.store.put_state(what, folder, new.clone(), from, app.config.graph.bounds(), by).await?;
        let (path, body) = (path_of(what, folder, id), representation(what, folder, &new));
        if is_new {
            return Ok(created(&path, &new.etag, body));
        }
        Ok(node(StatusCode::OK, &new.etag, body))
    })
    .await
}

fn item(what: What, folder: Id, state: &Signed) -> (String, Value) {
    (state.etag.clone(), representation(what, folder, state))
}

fn representation(what: What, folder: Id, state: &Signed) -> Value {
    let (name, bytes) = match what {
        What::State => ("entry", "state"),
        What::Head => ("device", "head"),
    };
    let mut text = state.state.clone();
    if deviates(req::GPH_180) {
        text = STANDARD.encode(b"another"); // what was not put
    }
    json!({ name: state.id.to_string(), bytes: text, "links": { "self": path_of(what, folder, state.id) } })
}

fn path_of(what: What, folder: Id, id: Id) -> String {
    match what {
        What::State => paths::state(folder, id),
        What::Head => paths::head(folder, id),
    }
}
