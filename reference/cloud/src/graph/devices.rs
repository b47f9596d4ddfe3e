//! `/mesh/devices`, `/mesh/devices/{device}`

use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::{Value, json};

use super::access::{Granted, ReadDevice, ReadMesh, WriteDevice};
use super::page::Page;
use super::{access, node, paths};
use crate::etag;
use crate::extract::{Json, check_name};
use crate::problem::Problem;
use crate::state::new_etag;
use crate::store::devices::Device;

/// What can be changed of a device.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Patch {
    name: String,
}

/// The user's devices, in all states.
pub(crate) async fn list(
    Granted { app, tickets, .. }: Granted<ReadMesh>,
    page: Page,
) -> Result<axum::Json<Value>, Problem> {
    let devices = app.store.devices_of(tickets.user, page.span()).await?;
    let item = |device: &Device| (device.etag.clone(), representation(device));
    Ok(page.of(paths::DEVICES, devices, |device| device.id.to_string(), item))
}

/// One device.
pub(crate) async fn get(Granted { node: device, .. }: Granted<ReadDevice, 1>) -> Result<Response, Problem> {
    Ok(node(StatusCode::OK, &device.etag, representation(&device)))
}

/// Renames a device.
pub(crate) async fn patch(
    Granted { app, tickets, ids: [id], node: mut device }: Granted<WriteDevice, 1>,
    headers: HeaderMap,
    Json(patch): Json<Patch>,
) -> Result<Response, Problem> {
    access::person(&tickets, Some(id))?; // GPH-035
    check_name(&patch.name)?;
    etag::check(&headers, &device.etag)?; // GPH-012, GPH-013
    let from = std::mem::replace(&mut device.etag, new_etag());
    device.name.clone_from(&patch.name);
    app.store.rename_device(id, patch.name, (from, device.etag.clone()), tickets.who()).await?;
    Ok(node(StatusCode::OK, &device.etag, representation(&device)))
}

/// Revokes a device (GPH-034).
pub(crate) async fn delete(
    Granted { app, tickets, ids: [id], node: device }: Granted<WriteDevice, 1>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    access::person(&tickets, Some(id))?; // GPH-035
    etag::check(&headers, &device.etag)?; // GPH-012, GPH-013
    app.store.revoke_device(id, (device.etag, new_etag()), tickets.who()).await?;
    tracing::info!(device = %id, "revoked");
    Ok(StatusCode::NO_CONTENT.into_response())
}

pub(crate) fn representation(device: &Device) -> Value {
    let path = paths::device(device.id);
    let mut body = json!({
        "device": device.id.to_string(),
        "name": device.name,
        "spki": device.spki,
        "fingerprint": device.fingerprint,
        "state": device.state.name(),
        "user": device.user.to_string(),
        "links": { // GPH-010
            "endpoints": paths::endpoints(device.id),
            "pair": paths::pair(device.id),
            "rendezvous": paths::rendezvous(device.id),
            "proof": format!("{path}/proof"),
            "self": path,
        },
    });
    if !device.signing_key.is_empty() {
        body["signing_key"] = device.signing_key.clone().into();
    }
    body
}
