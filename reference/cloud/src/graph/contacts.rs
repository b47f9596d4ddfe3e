//! `/contacts`, and a contact below it: whom the user knows, and from whom it wants no invitations.

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use meshproof_proto::requirement::{self as req, demand};
use meshproof_proto::ticket::Action;
use serde::Deserialize;
use serde_json::{Value, json};

use super::access::existing;
use super::{access, collection, created, node, paths};
use crate::auth::Tickets;
use crate::etag;
use crate::extract::{Json, UserName, check_text};
use crate::problem::Problem;
use crate::state::{App, new_etag};
use crate::store::contacts::Contact;

const MAX_NOTE: usize = 1_000;

/// What a user writes about somebody.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Written {
    blocked: bool,
    note: String,
}

/// The user's contacts.
pub(crate) async fn list(State(app): State<App>, tickets: Tickets) -> Result<axum::Json<Value>, Problem> {
    access::mesh(&tickets, Action::Read)?;
    let contacts = app.store.contacts(tickets.user).await?;
    let items = contacts.into_iter().map(|contact| (contact.etag.clone(), representation(&contact)));
    Ok(collection(paths::CONTACTS, items))
}

/// One contact.
pub(crate) async fn get(
    State(app): State<App>,
    UserName(name): UserName,
    tickets: Tickets,
) -> Result<Response, Problem> {
    access::mesh(&tickets, Action::Read)?;
    let contact = existing(app.store.contact(tickets.user, name).await?)?;
    Ok(node(StatusCode::OK, &contact.etag, representation(&contact)))
}

/// Writes a contact down; the name need not be anybody's.
pub(crate) async fn put(
    State(app): State<App>,
    UserName(name): UserName,
    tickets: Tickets,
    headers: HeaderMap,
    Json(written): Json<Written>,
) -> Result<Response, Problem> {
    access::mesh(&tickets, Action::Write)?;
    check_text(&written.note, MAX_NOTE)?;
    let old = app.store.contact(tickets.user, name.clone()).await?;
    demand(etag::may_write(&headers, old.as_ref().map(|old| old.etag.as_str())), req::GPH_013)?;
    let contact = Contact { name, blocked: written.blocked, note: written.note, etag: new_etag() };
    let new = app.store.put_contact(tickets.user, contact.clone()).await?; // GPH-093
    let body = representation(&contact);
    Ok(if new {
        created(&paths::contact(&contact.name), &contact.etag, body)
    } else {
        node(StatusCode::OK, &contact.etag, body)
    })
}

/// Forgets a contact.
pub(crate) async fn delete(
    State(app): State<App>,
    UserName(name): UserName,
    tickets: Tickets,
) -> Result<Response, Problem> {
    access::mesh(&tickets, Action::Write)?;
    let removed = app.store.remove_contact(tickets.user, name).await?;
    existing(removed.then_some(()))?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

fn representation(contact: &Contact) -> Value {
    json!({
        "name": contact.name,
        "blocked": contact.blocked,
        "note": contact.note,
        "links": { "self": paths::contact(&contact.name) },
    })
}
