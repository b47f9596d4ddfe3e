//! `/mesh/objects`, `/mesh/objects/{folder}`

use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use meshproof_proto::requirement::{self as req, demand, deviates};
use meshproof_proto::ticket::Role;
use serde::Deserialize;
use serde_json::{Value, json};

use super::access::{ControlFolder, FolderRight, Granted, ReadFolder, ReadMesh, WriteMesh};
use super::page::Page;
use super::{created, node, paths};
use crate::account::issue::folder_ticket;
use crate::etag;
use crate::extract::{Json, check_name, present};
use crate::identity::throttle;
use crate::problem::Problem;
use crate::state::{new_etag, new_id, to_its_end};
use crate::storage::sweep;
use crate::store::folders::{Folder, Storage};

/// A folder that is to be made.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct New {
    name: String,
    #[serde(default, deserialize_with = "present")]
    storage: Option<String>,
}

/// What can be changed of a folder.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Patch {
    #[serde(default, deserialize_with = "present")]
    name: Option<String>,
    #[serde(default, deserialize_with = "present")]
    storage: Option<String>,
}

/// The folders of which the user is a member.
pub(crate) async fn list(
    Granted { app, tickets, .. }: Granted<ReadMesh>,
    page: Page,
) -> Result<axum::Json<Value>, Problem> {
    let folders = app.store.folders_of(tickets.user, page.span()).await?;
    let item = |(folder, _): &(Folder, Role)| (folder.etag.clone(), representation(folder));
    Ok(page.of(paths::FOLDERS, folders, |(folder, _)| folder.id.to_string(), item))
}

/// Makes a folder; the answer brings a ticket for it (GPH-020, GPH-022).
pub(crate) async fn post(
    Granted { app, tickets, .. }: Granted<WriteMesh>,
    Json(new): Json<New>,
) -> Result<Response, Problem> {
    check_name(&new.name)?;
    throttle::tickets(&app, tickets.user).await?;
    let storage = match new.storage {
        None => Storage::default(),
        Some(name) => Storage::parse(&name).ok_or(req::GPH_006)?,
    };
    let folder = Folder {
        id: new_id(),
        name: new.name,
        storage,
        creator: tickets.user,
        etag: new_etag(),
        generation: 0,
    };
    let most = app.config.graph.folders;
    app.store.add_folder(folder.clone(), new_etag(), most, tickets.who()).await?; // GPH-134

    let mut response = created(&paths::folder(folder.id), &folder.etag, representation(&folder)); // GPH-022
    let ticket = folder_ticket(&app, tickets.subject(), folder.id, Role::Owner)?;
    let ticket = HeaderValue::try_from(ticket).map_err(Problem::internal)?;
    if !deviates(req::GPH_020) {
        response.headers_mut().insert("mesh-ticket", ticket);
    }
    Ok(response)
}

/// One folder.
pub(crate) async fn get(Granted { node: folder, .. }: Granted<ReadFolder, 1>) -> Result<Response, Problem> {
    Ok(node(StatusCode::OK, &folder.etag, representation(&folder)))
}

/// Renames a folder, or changes where its bytes may be (STO-040, STO-041).
pub(crate) async fn patch(
    Granted { app, tickets, node: mut folder, .. }: Granted<ControlFolder, 1>,
    headers: HeaderMap,
    Json(Patch { name, storage }): Json<Patch>,
) -> Result<Response, Problem> {
    demand(name.is_some() || storage.is_some(), req::GPH_006)?;
    if let Some(name) = name {
        check_name(&name)?;
        folder.name = name;
    }
    if let Some(name) = storage {
        folder.storage = Storage::parse(&name).ok_or(req::GPH_006)?;
    }
    etag::check(&headers, &folder.etag)?; // GPH-012, GPH-013
    let from = std::mem::replace(&mut folder.etag, new_etag());
    let by = ControlFolder::NEED.by(tickets.who());
    to_its_end(async move {
        let garbage = app.store.change_folder(folder.clone(), from, by).await?;
        sweep::remove(&app, garbage).await;
        Ok(node(StatusCode::OK, &folder.etag, representation(&folder)))
    })
    .await
}

/// Removes a folder with all in it; its bytes no longer count.
pub(crate) async fn delete(
    Granted { app, tickets, ids: [id], node: folder }: Granted<ControlFolder, 1>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    etag::check(&headers, &folder.etag)?; // GPH-012, GPH-013
    let by = ControlFolder::NEED.by(tickets.who());
    to_its_end(async move {
        let garbage = app.store.remove_folder(id, folder.etag, by).await?;
        sweep::remove(&app, garbage).await;
        Ok(StatusCode::NO_CONTENT.into_response())
    })
    .await
}

fn representation(folder: &Folder) -> Value {
    let id = folder.id;
    json!({
        "folder": id.to_string(),
        "name": folder.name,
        "storage": folder.storage.name(),
        "creator": folder.creator.to_string(),
        "encrypted": folder.generation > 0 && !deviates(req::GPH_206),
        "links": { // GPH-010
            "self": paths::folder(id),
            "members": paths::members(id),
            "invitations": paths::invitations(id),
            "mappings": paths::mappings(id),
            "writers": paths::writers(id),
            "key": paths::key(id),
            "entries": paths::entries(id),
            "sync": paths::sync(id),
            "states": paths::states(id),
            "states_sync": paths::states_sync(id),
            "heads": paths::heads(id),
            "news": paths::news(id),
            "presence": paths::presence(id),
            "media": paths::all_media(id),
            "uploads": paths::uploads(id),
            "wanted": paths::wanted(id),
            "ticket": paths::folder_ticket(id),
        },
    })
}
