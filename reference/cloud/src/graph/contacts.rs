//! `/contacts`, and a contact below it: whom the user knows, and from whom it wants no invitations.

use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use meshproof_proto::requirement::{self as req, demand};
use serde::Deserialize;
use serde_json::{Value, json};

use super::access::{Granted, ReadMesh, WriteMesh, existing};
use super::page::Page;
use super::{created, node, paths};
use crate::etag;
use crate::extract::{Json, UserName, check_text};
use crate::problem::Problem;
use crate::state::new_etag;
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
pub(crate) async fn list(
    Granted { app, tickets, .. }: Granted<ReadMesh>,
    page: Page,
) -> Result<axum::Json<Value>, Problem> {
    let contacts = app.store.contacts(tickets.user, page.span()).await?;
    let item = |contact: &Contact| (contact.etag.clone(), representation(contact));
    Ok(page.of(paths::CONTACTS, contacts, |contact| contact.name.clone(), item))
}

/// One contact.
pub(crate) async fn get(
    UserName(name): UserName,
    Granted { app, tickets, .. }: Granted<ReadMesh>,
) -> Result<Response, Problem> {
    let contact = existing(app.store.contact(tickets.user, name).await?)?;
    Ok(node(StatusCode::OK, &contact.etag, representation(&contact)))
}

/// Writes a contact down; the name need not be anybody's.
pub(crate) async fn put(
    UserName(name): UserName,
    Granted { app, tickets, .. }: Granted<WriteMesh>,
    headers: HeaderMap,
    Json(written): Json<Written>,
) -> Result<Response, Problem> {
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
    UserName(name): UserName,
    Granted { app, tickets, .. }: Granted<WriteMesh>,
) -> Result<Response, Problem> {
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
