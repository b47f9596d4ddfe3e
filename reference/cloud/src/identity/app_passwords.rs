//! `/identity/app-passwords`: passwords for programs that use the network drive (`spec/identity.md`, section 4.10).
//!
//! They sign in nowhere else: only a request with [`FromDrive`] is looked at with them (`tokens.rs`).
//!
//! [`FromDrive`]: crate::source::FromDrive

use axum::extract::State;
use axum::http::header::LOCATION;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use meshproof_proto::codec::{Id, hex};
use meshproof_proto::crypto::draw;
use serde::Deserialize;
use serde_json::{Value, json};

use super::sessions::{Way, hash_of, holder};
use crate::extract::{Ids, Json, check_name};
use crate::problem::Problem;
use crate::state::{App, OsEntropy, new_id};
use crate::store::app_passwords::AppPassword;

/// What the person calls the program.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Program {
    label: String,
}

/// By an app password.
pub(super) fn way(id: Id) -> Way<'static> {
    let class = "urn:oasis:names:tc:SAML:2.0:ac:classes:PasswordProtectedTransport";
    Way { provider: "app-password", class, app_password: Some(id) }
}

/// Those of the user.
pub(crate) async fn list(State(app): State<App>, headers: HeaderMap) -> Result<axum::Json<Value>, Problem> {
    let user = holder(&app, &headers).await?.user;
    let items: Vec<Value> = app.store.app_passwords_of(user).await?.iter().map(representation).collect();
    Ok(axum::Json(json!({ "items": items, "links": { "self": "/identity/app-passwords" } })))
}

/// Makes one. It is shown now and never again.
pub(crate) async fn post(
    State(app): State<App>,
    headers: HeaderMap,
    Json(program): Json<Program>,
) -> Result<Response, Problem> {
    let user = holder(&app, &headers).await?.user;
    check_name(&program.label)?;
    let password = hex(&draw::<16>(&mut OsEntropy));
    let made = AppPassword { id: new_id(), user, label: program.label, created: app.now(), used: None };
    app.store.add_app_password(hash_of(&password), made.clone()).await?;
    tracing::info!(%user, app_password = %made.id, "app password made");
    let mut body = representation(&made);
    body["password"] = password.into();
    let location = format!("/identity/app-passwords/{}", made.id);
    Ok((StatusCode::CREATED, [(LOCATION, location)], axum::Json(body)).into_response())
}

/// Removes one; what was signed in by it no longer is.
pub(crate) async fn delete(
    State(app): State<App>,
    Ids([id]): Ids<1>,
    headers: HeaderMap,
) -> Result<StatusCode, Problem> {
    let user = holder(&app, &headers).await?.user;
    app.store.remove_app_password(user, id).await?;
    tracing::info!(%user, app_password = %id, "app password removed");
    Ok(StatusCode::NO_CONTENT)
}

fn representation(it: &AppPassword) -> Value {
    let mut item = json!({
        "app_password": it.id.to_string(),
        "label": it.label,
        "created": it.created.0,
        "links": { "self": format!("/identity/app-passwords/{}", it.id) },
    });
    if let Some(used) = it.used {
        item["used"] = used.0.into();
    }
    item
}
