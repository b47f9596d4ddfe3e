//! `/mesh/invitations`, and an invitation below it: the side of those who are invited.

use axum::extract::State;
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use meshproof_proto::requirement::{self as req, deviates};
use meshproof_proto::ticket::Action;
use serde_json::Value;

use super::access::existing;
use super::invitations::representation;
use super::{access, collection, created, members, node, paths};
use crate::account::issue::folder_ticket;
use crate::auth::Tickets;
use crate::extract::{Ids, NoBody};
use crate::problem::Problem;
use crate::state::{App, new_etag};

/// The invitations that wait for the user's answer.
pub(crate) async fn list(State(app): State<App>, tickets: Tickets) -> Result<axum::Json<Value>, Problem> {
    access::mesh(&tickets, Action::Read)?;
    let waiting = app.store.invitations_for(tickets.user, app.now()).await?;
    let items =
        waiting.into_iter().map(|one| (one.etag.clone(), representation(&one, &paths::invitation(one.id))));
    Ok(collection(paths::INVITATIONS, items))
}

/// One of them. Those of others are not there (GPH-089).
pub(crate) async fn get(
    State(app): State<App>,
    Ids([id]): Ids<1>,
    tickets: Tickets,
) -> Result<Response, Problem> {
    access::mesh(&tickets, Action::Read)?;
    let invitation = existing(app.store.invitation_for(tickets.user, id, app.now()).await?)?;
    Ok(node(StatusCode::OK, &invitation.etag, representation(&invitation, &paths::invitation(id))))
}

/// Accepts: the user is a member from now on, and gets a ticket for the folder (GPH-085, GPH-090).
pub(crate) async fn post(
    State(app): State<App>,
    Ids([id]): Ids<1>,
    tickets: Tickets,
    _: NoBody,
) -> Result<Response, Problem> {
    access::mesh(&tickets, Action::Write)?;
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
    State(app): State<App>,
    Ids([id]): Ids<1>,
    tickets: Tickets,
) -> Result<Response, Problem> {
    access::mesh(&tickets, Action::Write)?;
    let declined = app.store.decline(tickets.who(), id).await?;
    existing(declined.then_some(()))?;
    Ok(StatusCode::NO_CONTENT.into_response())
}
