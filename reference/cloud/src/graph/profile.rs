//! `/profile`, and `/profiles/{user}` for those who share a folder with the user.

use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use meshproof_proto::requirement::{self as req, demand};
use serde::Deserialize;
use serde_json::{Value, json};

use super::access::{Granted, ReadMesh, WriteMesh};
use super::{node, paths};
use crate::auth::Tickets;
use crate::etag;
use crate::extract::{Json, check_text};
use crate::problem::Problem;
use crate::state::{App, new_etag};
use crate::store::contacts::Profile;

const MAX_DISPLAY_NAME: usize = 255;
const MAX_ABOUT: usize = 1_000;

/// What a user says about itself.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Written {
    display_name: String,
    about: String,
}

/// The user's own profile.
pub(crate) async fn get_own(Granted { app, tickets, .. }: Granted<ReadMesh>) -> Result<Response, Problem> {
    let profile = own(&app, &tickets).await?;
    Ok(node(StatusCode::OK, &profile.etag, representation(&profile, paths::PROFILE)))
}

/// Replaces it.
pub(crate) async fn put(
    Granted { app, tickets, .. }: Granted<WriteMesh>,
    headers: HeaderMap,
    Json(written): Json<Written>,
) -> Result<Response, Problem> {
    check_text(&written.display_name, MAX_DISPLAY_NAME)?;
    check_text(&written.about, MAX_ABOUT)?;
    let old = own(&app, &tickets).await?;
    demand(etag::may_write(&headers, Some(&old.etag)), req::GPH_013)?;
    let Written { display_name, about } = written;
    let profile = Profile { display_name, about, etag: new_etag(), ..old };
    app.store.put_profile(profile.clone()).await?;
    Ok(node(StatusCode::OK, &profile.etag, representation(&profile, paths::PROFILE)))
}

/// Somebody's profile: to strangers as if there were nobody (GPH-094).
pub(crate) async fn get(
    Granted { app, tickets, ids: [user], .. }: Granted<ReadMesh, 1>,
) -> Result<Response, Problem> {
    let known = user == tickets.user || app.store.share_a_folder(tickets.user, user).await?;
    demand(known, req::GPH_094)?;
    let profile = app.store.profile(user).await?.ok_or(req::GPH_094)?;
    Ok(node(StatusCode::OK, &profile.etag, representation(&profile, &paths::profile_of(user))))
}

async fn own(app: &App, tickets: &Tickets) -> Result<Profile, Problem> {
    let profile = app.store.profile(tickets.user).await?;
    profile.ok_or_else(|| Problem::internal("tickets of a user who does not exist"))
}

fn representation(profile: &Profile, path: &str) -> Value {
    json!({
        "user": profile.user.to_string(),
        "name": profile.name,
        "display_name": profile.display_name,
        "about": profile.about,
        "links": { "self": path },
    })
}
