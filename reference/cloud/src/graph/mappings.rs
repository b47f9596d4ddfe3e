//! `/mesh/objects/{folder}/mappings`, `/mesh/objects/{folder}/mappings/{device}`

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use meshproof_proto::codec::Id;
use serde_json::{Value, json};

use super::access::{Need, existing};
use super::{access, collection, created, node, paths};
use crate::auth::Tickets;
use crate::extract::{Ids, NoBody};
use crate::problem::Problem;
use crate::state::{App, new_etag};
use crate::store::mappings::MappingRow;

/// The mappings of a folder.
pub(crate) async fn list(
    State(app): State<App>,
    Ids([folder]): Ids<1>,
    tickets: Tickets,
) -> Result<axum::Json<Value>, Problem> {
    access::folder(&app, &tickets, folder, Need::READ).await?;
    let mappings = app.store.mappings(folder).await?;
    let items = mappings.into_iter().map(|mapping| (mapping.etag.clone(), representation(folder, &mapping)));
    Ok(collection(&paths::mappings(folder), items))
}

/// One mapping.
pub(crate) async fn get(
    State(app): State<App>,
    Ids([folder, device]): Ids<2>,
    tickets: Tickets,
) -> Result<Response, Problem> {
    access::folder(&app, &tickets, folder, Need::READ).await?;
    let mapping = existing(app.store.mapping(folder, device).await?)?;
    Ok(node(StatusCode::OK, &mapping.etag, representation(folder, &mapping)))
}

/// Maps the folder on a device of the principal's user (GPH-016, in the store).
pub(crate) async fn put(
    State(app): State<App>,
    Ids([folder, device]): Ids<2>,
    tickets: Tickets,
    _: NoBody,
) -> Result<Response, Problem> {
    access::folder(&app, &tickets, folder, Need::READ).await?;
    let added = app.store.add_mapping(folder, device, new_etag(), Need::READ.by(tickets.who())).await?;
    let mapping = existing(app.store.mapping(folder, device).await?)?;
    let body = representation(folder, &mapping);
    if added {
        return Ok(created(&paths::mapping(folder, device), &mapping.etag, body));
    }
    Ok(node(StatusCode::OK, &mapping.etag, body))
}

/// Takes the folder off a device of the principal's user (GPH-016, in the store).
pub(crate) async fn delete(
    State(app): State<App>,
    Ids([folder, device]): Ids<2>,
    tickets: Tickets,
) -> Result<Response, Problem> {
    access::folder(&app, &tickets, folder, Need::READ).await?;
    let removed = app.store.remove_mapping(folder, device, Need::READ.by(tickets.who())).await?;
    existing(removed.then_some(()))?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

fn representation(folder: Id, mapping: &MappingRow) -> Value {
    json!({
        "device": mapping.device.to_string(),
        "user": mapping.user.to_string(),
        "links": { "self": paths::mapping(folder, mapping.device) },
    })
}
