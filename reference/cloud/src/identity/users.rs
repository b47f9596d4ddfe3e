//! `POST /identity/users`

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use meshproof_proto::codec::Id;
use meshproof_proto::requirement::{self as req, demand};
use serde::Deserialize;
use serde_json::json;

use super::{passwords_are_on, throttle};
use crate::extract::Json;
use crate::problem::Problem;
use crate::source::Source;
use crate::state::{App, new_id};

/// What a password may be long.
pub(super) const PASSWORD_BYTES: std::ops::RangeInclusive<usize> = 8..=1_024;
const NAME_BYTES: std::ops::RangeInclusive<usize> = 2..=63;

/// A name and a password.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Credentials {
    pub(crate) name: String,
    pub(crate) password: String,
}

/// Adds a user.
pub(crate) async fn post(
    State(app): State<App>,
    source: Source,
    Json(credentials): Json<Credentials>,
) -> Result<Response, Problem> {
    passwords_are_on(&app)?;
    demand(app.config.identity.registration, req::GPH_004)?;
    throttle::registration(&app, &source).await?;
    let user = register(&app, credentials.name, credentials.password).await?;
    Ok((StatusCode::CREATED, axum::Json(json!({ "user": user.to_string() }))).into_response())
}

/// Adds a user of this name and password; returns the identifier.
pub(crate) async fn register(app: &App, name: String, password: String) -> Result<Id, Problem> {
    demand(well_formed(&name), req::IDN_004)?;
    demand(PASSWORD_BYTES.contains(&password.len()), req::IDN_003)?;
    let user = new_id();
    let hash = app.passwords.hash(password).await?;
    let added = app.store.add_user(user, name, hash).await?;
    demand(added, req::IDN_005)?;
    Ok(user)
}

/// Whether a user may have this name (IDN-004).
pub(crate) fn well_formed(name: &str) -> bool {
    let alphanumeric = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    NAME_BYTES.contains(&name.len())
        && name.bytes().next().is_some_and(alphanumeric)
        && name.bytes().all(|b| alphanumeric(b) || b"._-".contains(&b))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        for good in ["ab", "0a", "a.b_c-d", &"x".repeat(63)] {
            assert!(well_formed(good), "{good}");
        }
        for bad in ["", "a", "Ab", ".a", "-a", "a b", "ä1", "a/b", &"x".repeat(64)] {
            assert!(!well_formed(bad), "{bad}");
        }
    }
}
