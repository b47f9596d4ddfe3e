//! `POST /identity/token`, and what the account service does with a token.

use axum::extract::State;
use axum::http::header::AUTHORIZATION;
use axum::http::{HeaderMap, HeaderValue};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use meshproof_proto::codec::{Id, hex};
use meshproof_proto::crypto::{DEFAULT, draw};
use meshproof_proto::requirement::{self as req, demand, demand_some};
use serde_json::{Value, json};

use super::users::Credentials;
use crate::extract::Json;
use crate::problem::Problem;
use crate::state::{App, OsEntropy};
use crate::store::users::TokenHolder;

/// Signs in: IDN-001, or IDN-002 for whatever is wrong.
pub(crate) async fn post(
    State(app): State<App>,
    Json(credentials): Json<Credentials>,
) -> Result<axum::Json<Value>, Problem> {
    let user = app.store.user_named(credentials.name).await?;
    let hash = user.as_ref().map(|user| user.password.clone());
    let right = app.passwords.verify(credentials.password, hash).await?;
    demand(right, req::IDN_002)?;
    let user = demand_some(user.map(|user| user.id), req::IDN_002, Id::default)?;

    let token = URL_SAFE_NO_PAD.encode(draw::<32>(&mut OsEntropy));
    let (now, lifetime) = (app.now(), app.config.identity.token_lifetime);
    app.store.add_token(hash_of(&token), TokenHolder { user, expires: now.plus(lifetime) }, now).await?;
    Ok(axum::Json(json!({ "token": token, "expires_in": lifetime }))) // IDN-001
}

/// The user whose token is in `Authorization: Bearer`.
///
/// # Errors
/// IDN-007
pub(crate) async fn holder(app: &App, headers: &HeaderMap) -> Result<Id, Problem> {
    let field = headers.get(AUTHORIZATION).map(HeaderValue::as_bytes).unwrap_or_default();
    let token = field
        .split_at_checked("Bearer ".len())
        .filter(|(scheme, _)| scheme.eq_ignore_ascii_case(b"Bearer "))
        .and_then(|(_, token)| std::str::from_utf8(token).ok());
    let known = match token {
        Some(token) => app.store.token_holder(hash_of(token)).await?,
        None => None,
    };
    // The mutant takes a token of its own making for that of somebody.
    let lax = || TokenHolder { user: Id::default(), expires: app.now().plus(1) };
    let holder = demand_some(known, req::IDN_007, lax)?;
    demand(app.now() < holder.expires, req::IDN_007)?;
    Ok(holder.user)
}

/// Tokens have 256 bits of entropy: a plain hash is enough to keep them.
fn hash_of(token: &str) -> String {
    hex(&DEFAULT.sha256(&[token.as_bytes()]))
}
