//! `PUT /identity/password`

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use meshproof_proto::requirement::{self as req, demand};
use serde::Deserialize;

use super::users::PASSWORD_BYTES;
use super::{passwords_are_on, sessions, throttle};
use crate::extract::Json;
use crate::problem::Problem;
use crate::source::Source;
use crate::state::App;

/// The password of now, and that of from now on.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Change {
    password: String,
    new_password: String,
}

/// Changes the password of the token's user. Who was signed in elsewhere is no longer (IDN-030).
pub(crate) async fn put(
    State(app): State<App>,
    source: Source,
    headers: HeaderMap,
    Json(change): Json<Change>,
) -> Result<StatusCode, Problem> {
    passwords_are_on(&app)?;
    let session = sessions::holder(&app, &headers).await?;
    demand(PASSWORD_BYTES.contains(&change.new_password.len()), req::IDN_034)?;
    let user = app.store.user(session.user).await?.ok_or(req::IDN_029)?;
    // A stolen token is no way to try passwords without limit.
    let taken = throttle::password(&app, &source, &user.name, Some(user.id)).await?;
    demand(app.passwords.verify(change.password, user.password).await?, req::IDN_029)?;
    let hash = app.passwords.hash(change.new_password).await?;
    app.store.change_password(user.id, hash, session.id, taken).await?; // IDN-030, IDN-031
    tracing::info!(user = %user.id, "password changed");
    Ok(StatusCode::NO_CONTENT)
}
