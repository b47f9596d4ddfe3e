//! `/mesh/objects/{folder}/invitations`, and an invitation below it: the side of those who invite.

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use meshproof_proto::requirement::{self as req, demand, deviates};
use meshproof_proto::ticket::Role;
use serde_json::{Value, json};

use super::access::{ControlMembers, FolderRight, Granted, existing};
use super::page::Page;
use super::{created, node, paths};
use crate::extract::Json;
use crate::identity::users::well_formed;
use crate::problem::Problem;
use crate::state::{new_etag, new_id};
use crate::store::changes::Who;
use crate::store::invitations::{Invitation, NewInvitation};

/// How long an invitation waits for its answer, in seconds: a week.
const LIFETIME: u64 = 604_800;

/// Somebody who is to be asked.
#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct New {
    name: String,
    role: String,
}

/// The invitations to the folder that wait. Only owners see them.
pub(crate) async fn list(
    Granted { app, ids: [folder], .. }: Granted<ControlMembers, 1>,
    page: Page,
) -> Result<axum::Json<Value>, Problem> {
    let waiting = app.store.invitations_to(folder, app.now(), page.span()).await?;
    let item = |one: &Invitation| (one.etag.clone(), representation(one, &path(one)));
    Ok(page.of(&paths::invitations(folder), waiting, |one| one.id.to_string(), item))
}

/// Asks somebody in (GPH-015, GPH-085).
pub(crate) async fn post(
    Granted { app, tickets, ids: [folder], .. }: Granted<ControlMembers, 1>,
    Json(new): Json<New>,
) -> Result<Response, Problem> {
    let role = Role::parse(&new.role).ok_or(req::GPH_006)?;
    demand(well_formed(&new.name), req::GPH_006)?;
    let expires = app.now().plus(LIFETIME);
    let new = NewInvitation { id: new_id(), folder, name: new.name, role, expires, etag: new_etag() };
    let by = ControlMembers::NEED.by(tickets.who());
    let invitation = app.store.invite(new, by).await?;
    if deviates(req::GPH_086)
        && let Some(user) = app.store.user_named(invitation.name.clone()).await?
    {
        let who = Who { user: user.id, ..tickets.who() };
        app.store.accept(who, invitation.id, new_etag()).await?; // the mutant asks nobody
    }
    let path = path(&invitation);
    Ok(created(&path, &invitation.etag, representation(&invitation, &path)))
}

/// One invitation.
pub(crate) async fn get(
    Granted { app, ids: [folder, id], .. }: Granted<ControlMembers, 2>,
) -> Result<Response, Problem> {
    let invitation = existing(app.store.invitation_to(folder, id, app.now()).await?)?;
    Ok(node(StatusCode::OK, &invitation.etag, representation(&invitation, &path(&invitation))))
}

/// Takes an invitation back.
pub(crate) async fn delete(
    Granted { app, tickets, ids: [folder, id], .. }: Granted<ControlMembers, 2>,
) -> Result<Response, Problem> {
    let withdrawn = app.store.withdraw(folder, id, ControlMembers::NEED.by(tickets.who())).await?;
    existing(withdrawn.then_some(()))?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// For both sides: neither learns from it whether anybody has the name.
pub(super) fn representation(invitation: &Invitation, path: &str) -> Value {
    json!({
        "invitation": invitation.id.to_string(),
        "folder": invitation.folder.to_string(),
        "folder_name": invitation.folder_name,
        "by": invitation.by,
        "name": invitation.name,
        "role": invitation.role.name(),
        "expires": invitation.expires.0,
        "links": { "self": path },
    })
}

fn path(invitation: &Invitation) -> String {
    format!("{}/{}", paths::invitations(invitation.folder), invitation.id)
}
