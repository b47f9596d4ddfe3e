//! `/mesh/objects/{folder}/mappings`, `/mesh/objects/{folder}/mappings/{device}`

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use meshproof_proto::codec::Id;
use meshproof_proto::requirement::{self as req, deviates};
use serde_json::{Value, json};

use super::access::{FolderRight, Granted, ReadFolder, existing};
use super::page::Page;
use super::{created, node, paths};
use crate::extract::NoBody;
use crate::problem::Problem;
use crate::state::new_etag;
use crate::store::mappings::MappingRow;

/// The mappings of a folder.
pub(crate) async fn list(
    Granted { app, ids: [folder], .. }: Granted<ReadFolder, 1>,
    page: Page,
) -> Result<axum::Json<Value>, Problem> {
    let mappings = app.store.mappings(folder, page.span()).await?;
    let item = |mapping: &MappingRow| (mapping.etag.clone(), representation(folder, mapping));
    Ok(page.of(&paths::mappings(folder), mappings, |mapping| mapping.device.to_string(), item))
}

/// One mapping.
pub(crate) async fn get(
    Granted { app, ids: [folder, device], .. }: Granted<ReadFolder, 2>,
) -> Result<Response, Problem> {
    let mapping = existing(app.store.mapping(folder, device).await?)?;
    Ok(node(StatusCode::OK, &mapping.etag, representation(folder, &mapping)))
}

/// Maps the folder on a device of the principal's user (GPH-016, in the store).
pub(crate) async fn put(
    Granted { app, tickets, ids: [folder, device], .. }: Granted<ReadFolder, 2>,
    _: NoBody,
) -> Result<Response, Problem> {
    let added = app.store.add_mapping(folder, device, new_etag(), ReadFolder::NEED.by(tickets.who())).await?;
    let mapping = existing(app.store.mapping(folder, device).await?)?;
    let body = representation(folder, &mapping);
    if added {
        return Ok(created(&paths::mapping(folder, device), &mapping.etag, body));
    }
    Ok(node(StatusCode::OK, &mapping.etag, body))
}

/// Takes the folder off a device of the principal's user (GPH-016, in the store).
pub(crate) async fn delete(
    Granted { app, tickets, ids: [folder, device], .. }: Granted<ReadFolder, 2>,
) -> Result<Response, Problem> {
    let removed = app.store.remove_mapping(folder, device, ReadFolder::NEED.by(tickets.who())).await?;
    existing(removed.then_some(()))?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

fn representation(folder: Id, mapping: &MappingRow) -> Value {
    json!({
        "device": mapping.device.to_string(),
        "user": mapping.user.to_string(),
        "spki": if deviates(req::GPH_207) { "" } else { &*mapping.spki },
        "links": { "self": paths::mapping(folder, mapping.device) },
    })
}
