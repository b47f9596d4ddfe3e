//! `POST /identity/token`: the provider that knows names and passwords, and for the network drive app passwords.

use axum::Extension;
use axum::extract::State;
use meshproof_proto::codec::Id;
use meshproof_proto::requirement::{self as req, demand, demand_some, deviates};
use serde_json::Value;

use super::users::Credentials;
use super::{PASSWORD, app_passwords, passwords_are_on, sessions, throttle};
use crate::extract::Json;
use crate::problem::Problem;
use crate::source::{FromDrive, Source};
use crate::state::App;

/// Signs in: IDN-001, or IDN-002 for whatever is wrong.
pub(crate) async fn post(
    State(app): State<App>,
    drive: Option<Extension<FromDrive>>,
    source: Source,
    Json(credentials): Json<Credentials>,
) -> Result<axum::Json<Value>, Problem> {
    if drive.is_none() {
        passwords_are_on(&app)?;
    }
    let user = app.store.user_named(credentials.name.clone()).await?;
    let id = user.as_ref().map(|user| user.id);
    let taken = throttle::password(&app, &source, &credentials.name, id).await?;
    if let (Some(user), Some(_)) = (id, drive) {
        let hash = sessions::hash_of(&credentials.password);
        if let Some(app_password) = app.store.use_app_password(user, hash, app.now()).await? {
            let way = app_passwords::way(app_password);
            return Ok(axum::Json(sessions::begin(&app, user, way, source, taken).await?));
        }
    }
    passwords_are_on(&app)?;
    let known = user.and_then(|user| user.password);
    let right = app.passwords.verify(credentials.password, known.clone()).await?;
    demand(right, req::IDN_002)?;
    let user = demand_some(id, req::IDN_002, Id::default)?;
    if deviates(req::IDN_001) {
        return Err(req::IDN_002.into()); // the mutant lets nobody in
    }
    let body = sessions::begin(&app, user, PASSWORD, source, taken).await?; // IDN-001
    // IDN-030: a password that was changed while the old one was looked at ended the sessions before this one.
    if known.is_some() && app.store.user(user).await?.and_then(|user| user.password) != known {
        if let Some(session) = body["session"].as_str().and_then(Id::parse) {
            // The change may have ended it already.
            drop(app.store.end_session(user, session).await);
        }
        return Err(req::IDN_002.into());
    }
    Ok(axum::Json(body))
}
