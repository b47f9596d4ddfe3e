//! `/mesh/objects`, `/mesh/objects/{folder}`

use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use meshproof_proto::requirement::{self as req, demand};
use meshproof_proto::ticket::{Action, Role};
use serde::Deserialize;
use serde_json::{Value, json};

use super::access::Need;
use super::{access, collection, created, node, paths};
use crate::account::issue::folder_ticket;
use crate::auth::Tickets;
use crate::etag;
use crate::extract::{Ids, Json, check_name, present};
use crate::problem::Problem;
use crate::state::{App, new_etag, new_id, to_its_end};
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
    app.store.add_folder(folder.clone(), new_etag(), tickets.who()).await?;

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

/// Renames a folder, or changes where its bytes may be (STO-040, STO-041).
pub(crate) async fn patch(
    State(app): State<App>,
    Ids([id]): Ids<1>,
    tickets: Tickets,
    headers: HeaderMap,
    Json(Patch { name, storage }): Json<Patch>,
) -> Result<Response, Problem> {
    let mut folder = access::folder(&app, &tickets, id, Need::CONTROL).await?;
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
    let by = Need::CONTROL.by(tickets.who());
    to_its_end(async move {
        let garbage = app.store.change_folder(folder.clone(), from, by).await?;
        sweep::remove(&app, garbage).await;
        Ok(node(StatusCode::OK, &folder.etag, representation(&folder)))
    })
    .await
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
    let by = Need::CONTROL.by(tickets.who());
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
        "links": { // GPH-010
            "self": paths::folder(id),
            "members": paths::members(id),
            "invitations": paths::invitations(id),
            "mappings": paths::mappings(id),
            "entries": paths::entries(id),
            "sync": paths::sync(id),
            "news": paths::news(id),
            "presence": paths::presence(id),
            "media": paths::all_media(id),
            "uploads": paths::uploads(id),
            "wanted": paths::wanted(id),
            "ticket": paths::folder_ticket(id),
        },
    })
}
