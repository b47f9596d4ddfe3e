//! `/mesh/invitations`, and an invitation below it: the side of those who are invited.

use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use meshproof_proto::requirement::{self as req, deviates};
use serde_json::Value;

use super::access::{Granted, ReadMesh, WriteMesh, existing};
use super::invitations::representation;
use super::page::Page;
use super::{created, members, node, paths};
use crate::account::issue::folder_ticket;
use crate::extract::NoBody;
use crate::problem::Problem;
use crate::state::new_etag;
use crate::store::invitations::Invitation;

/// The invitations that wait for the user's answer.
pub(crate) async fn list(
    Granted { app, tickets, .. }: Granted<ReadMesh>,
    page: Page,
) -> Result<axum::Json<Value>, Problem> {
    let waiting = app.store.invitations_for(tickets.user, app.now(), page.span()).await?;
    let item = |one: &Invitation| (one.etag.clone(), representation(one, &paths::invitation(one.id)));
    Ok(page.of(paths::INVITATIONS, waiting, |one| one.id.to_string(), item))
}

/// One of them. Those of others are not there (GPH-089).
pub(crate) async fn get(
    Granted { app, tickets, ids: [id], .. }: Granted<ReadMesh, 1>,
) -> Result<Response, Problem> {
    let invitation = existing(app.store.invitation_for(tickets.user, id, app.now()).await?)?;
    Ok(node(StatusCode::OK, &invitation.etag, representation(&invitation, &paths::invitation(id))))
}

/// Accepts: the user is a member from now on, and gets a ticket for the folder (GPH-085, GPH-090).
pub(crate) async fn post(
    Granted { app, tickets, ids: [id], .. }: Granted<WriteMesh, 1>,
    _: NoBody,
) -> Result<Response, Problem> {
    let accepted = app.store.accept(tickets.who(), id, new_etag()).await?;
    let (folder, member) = existing(accepted)?;
    let body = members::representation(folder, &member);
    let mut response = created(&paths::member(folder, member.user), &member.etag, body);
    if !deviates(req::GPH_085) {
        let ticket = folder_ticket(&app, tickets.subject(), folder, member.role)?;
        let ticket = HeaderValue::try_from(ticket).map_err(Problem::internal)?;
        response.headers_mut().insert("mesh-ticket", ticket);
    }
    Ok(response)
}

/// Declines.
pub(crate) async fn delete(
    Granted { app, tickets, ids: [id], .. }: Granted<WriteMesh, 1>,
) -> Result<Response, Problem> {
    let declined = app.store.decline(tickets.who(), id).await?;
    existing(declined.then_some(()))?;
    Ok(StatusCode::NO_CONTENT.into_response())
}
