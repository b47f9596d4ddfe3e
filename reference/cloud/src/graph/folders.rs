//! `/mesh/objects`, `/mesh/objects/{folder}`

use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use meshproof_proto::requirement as req;
use meshproof_proto::ticket::{Action, Role};
use serde::Deserialize;
use serde_json::{Value, json};

use super::access::Need;
use super::{access, collection, created, node, paths};
use crate::account::issue::folder_ticket;
use crate::auth::Tickets;
use crate::etag;
use crate::extract::{Ids, Json, check_name};
use crate::problem::Problem;
use crate::state::{App, new_etag, new_id, to_its_end};
use crate::store::folders::{Folder, Storage};

/// A folder that is to be made.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct New {
    name: String,
    storage: Option<String>,
}

/// What can be changed of a folder.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Patch {
    name: String,
}

/// The folders of which the user is a member.
pub(crate) async fn list(State(app): State<App>, tickets: Tickets) -> Result<axum::Json<Value>, Problem> {
    access::mesh(&tickets, Action::Read)?;
    let folders = app.store.folders_of(tickets.user).await?;
    let items = folders.into_iter().map(|(folder, _)| (folder.etag.clone(), representation(&folder)));
    Ok(collection(paths::FOLDERS, items))
}

/// Makes a folder; the answer brings a ticket for it (GPH-020, GPH-022).
pub(crate) async fn post(
    State(app): State<App>,
    tickets: Tickets,
    Json(new): Json<New>,
) -> Result<Response, Problem> {
    access::mesh(&tickets, Action::Write)?;
    check_name(&new.name)?;
    let storage = match new.storage {
        None => Storage::default(),
        Some(name) => Storage::parse(&name).ok_or(req::GPH_006)?,
    };
    let folder = Folder { id: new_id(), name: new.name, storage, creator: tickets.user, etag: new_etag() };
    app.store.add_folder(folder.clone(), new_etag()).await?;

    let mut response = created(&paths::folder(folder.id), &folder.etag, representation(&folder)); // GPH-022
    let ticket = folder_ticket(&app, tickets.subject(), folder.id, Role::Owner)?;
    let ticket = HeaderValue::try_from(ticket).map_err(Problem::internal)?;
    response.headers_mut().insert("mesh-ticket", ticket); // GPH-020
    Ok(response)
}

/// One folder.
pub(crate) async fn get(
    State(app): State<App>,
    Ids([id]): Ids<1>,
    tickets: Tickets,
) -> Result<Response, Problem> {
    let folder = access::folder(&app, &tickets, id, Need::READ).await?;
    Ok(node(StatusCode::OK, &folder.etag, representation(&folder)))
}

/// Renames a folder.
pub(crate) async fn patch(
    State(app): State<App>,
    Ids([id]): Ids<1>,
    tickets: Tickets,
    headers: HeaderMap,
    Json(patch): Json<Patch>,
) -> Result<Response, Problem> {
    let mut folder = access::folder(&app, &tickets, id, Need::CONTROL).await?;
    check_name(&patch.name)?;
    etag::check(&headers, &folder.etag)?; // GPH-012, GPH-013
    let from = std::mem::replace(&mut folder.etag, new_etag());
    folder.name.clone_from(&patch.name);
    app.store
        .rename_folder(id, patch.name, from, folder.etag.clone(), Need::CONTROL.by(tickets.user))
        .await?;
    Ok(node(StatusCode::OK, &folder.etag, representation(&folder)))
}

/// Removes a folder with all in it; its bytes no longer count.
pub(crate) async fn delete(
    State(app): State<App>,
    Ids([id]): Ids<1>,
    tickets: Tickets,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let folder = access::folder(&app, &tickets, id, Need::CONTROL).await?;
    etag::check(&headers, &folder.etag)?; // GPH-012, GPH-013
    // Once the rows are gone nothing but a restart would find the files.
    to_its_end(async move {
        for hash in app.store.remove_folder(id, folder.etag, Need::CONTROL.by(tickets.user)).await? {
            app.blobs.discard_unheld(&app.store, hash).await?;
        }
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
        "links": { // GPH-010
            "self": paths::folder(id),
            "members": paths::members(id),
            "invitations": paths::invitations(id),
            "mappings": paths::mappings(id),
            "entries": paths::entries(id),
            "media": paths::all_media(id),
            "ticket": paths::folder_ticket(id),
        },
    })
}
