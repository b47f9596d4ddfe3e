//! `/mesh/objects/{folder}/members`, `/mesh/objects/{folder}/members/{user}`

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use meshproof_proto::codec::Id;
use meshproof_proto::requirement as req;
use meshproof_proto::ticket::Role;
use serde::Deserialize;
use serde_json::{Value, json};

use super::access::{ControlMembers, FolderRight, Granted, Need, ReadFolder, existing};
use super::page::Page;
use super::{access, node, paths};
use crate::auth::Tickets;
use crate::etag;
use crate::extract::{Ids, Json};
use crate::problem::Problem;
use crate::state::{App, new_etag};
use crate::store::members::Member;

/// What can be changed of a member.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Patch {
    role: String,
}

/// The members of a folder.
pub(crate) async fn list(
    Granted { app, ids: [folder], .. }: Granted<ReadFolder, 1>,
    page: Page,
) -> Result<axum::Json<Value>, Problem> {
    let members = app.store.members(folder, page.span()).await?;
    let item = |member: &Member| (member.etag.clone(), representation(folder, member));
    Ok(page.of(&paths::members(folder), members, |member| member.user.to_string(), item))
}

/// One member.
pub(crate) async fn get(
    Granted { app, ids: [folder, user], .. }: Granted<ReadFolder, 2>,
) -> Result<Response, Problem> {
    let member = existing(app.store.member(folder, user).await?)?;
    Ok(node(StatusCode::OK, &member.etag, representation(folder, &member)))
}

/// Gives a member another role (GPH-015, GPH-130).
pub(crate) async fn patch(
    Granted { app, tickets, ids: [folder, user], .. }: Granted<ControlMembers, 2>,
    headers: HeaderMap,
    Json(patch): Json<Patch>,
) -> Result<Response, Problem> {
    let mut member = existing(app.store.member(folder, user).await?)?;
    member.role = Role::parse(&patch.role).ok_or(req::GPH_006)?;
    etag::check(&headers, &member.etag)?; // GPH-012, GPH-013
    let from = std::mem::replace(&mut member.etag, new_etag());
    let (tags, by) = ((from, member.etag.clone()), ControlMembers::NEED.by(tickets.who()));
    app.store.change_role(folder, user, member.role, tags, by).await?; // GPH-130
    Ok(node(StatusCode::OK, &member.etag, representation(folder, &member)))
}

/// Removes a member. One may always remove oneself (GPH-015), but nobody the creator (GPH-130, GPH-131).
pub(crate) async fn delete(
    State(app): State<App>,
    Ids([folder, user]): Ids<2>,
    tickets: Tickets,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let need = if user == tickets.user { Need::READ } else { Need::CONTROL_MEMBERS };
    access::folder(&app, &tickets, folder, need).await?;
    let member = existing(app.store.member(folder, user).await?)?;
    etag::check(&headers, &member.etag)?; // GPH-012, GPH-013
    app.store.remove_member(folder, user, member.etag, need.by(tickets.who())).await?; // GPH-130, GPH-131
    Ok(StatusCode::NO_CONTENT.into_response())
}

pub(super) fn representation(folder: Id, member: &Member) -> Value {
    json!({
        "user": member.user.to_string(),
        "name": member.name,
        "role": member.role.name(),
        "links": { "self": paths::member(folder, member.user), "profile": paths::profile_of(member.user) },
    })
}
