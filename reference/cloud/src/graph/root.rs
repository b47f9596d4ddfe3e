//! `/` and `/mesh`

use meshproof_proto::requirement::{self as req, deviates};
use serde_json::{Value, json};

use super::access::{Granted, ReadMesh};
use super::paths;
use crate::problem::Problem;

/// The service document, without tickets.
pub(crate) async fn get_service() -> axum::Json<Value> {
    let own = (!deviates(req::GPH_010)).then_some("/");
    axum::Json(json!({
        "version": "0.1",
        "links": {
            "self": own,
            "schema": paths::OPENAPI,
            "mesh": paths::MESH,
            "users": "/identity/users",
            "token": "/identity/token",
            "password": "/identity/password",
            "sessions": "/identity/sessions",
            "passkeys": "/identity/passkeys",
            "app_passwords": "/identity/app-passwords",
            "providers": "/identity/providers",
            "tickets": "/tickets",
            "challenge": "/tickets/challenge",
            "device": "/tickets/device",
        },
    }))
}

/// The root of the principal's mesh.
pub(crate) async fn get_mesh(
    Granted { app, tickets, .. }: Granted<ReadMesh>,
) -> Result<axum::Json<Value>, Problem> {
    let user = app.store.user(tickets.user).await?;
    let user = user.ok_or_else(|| Problem::internal("tickets of a user who does not exist"))?;
    let uploading = app.store.received(user.id, app.now()).await?;
    Ok(axum::Json(json!({
        "user": user.id.to_string(),
        "name": user.name,
        "quota": app.config.storage.quota,
        "used": user.used,
        "uploading": uploading,
        "links": { // GPH-010
            "self": paths::MESH,
            "devices": paths::DEVICES,
            "objects": paths::FOLDERS,
            "invitations": paths::INVITATIONS,
            "news": paths::NEWS,
            "queues": paths::QUEUES,
            "relays": paths::RELAYS,
            "batch": paths::BATCH,
            "contacts": paths::CONTACTS,
            "profile": paths::PROFILE,
        },
    })))
}
