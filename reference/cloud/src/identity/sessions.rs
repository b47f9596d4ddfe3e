//! Sessions: how a sign-in begins, how its token is shown, `/identity/sessions`, and `DELETE /identity/token`.
//!
//! Whatever a provider does to find out who somebody is, [`begin`] is how it ends; the rest of the cloud sees a token
//! and behind it a user and an AuthnContextClassRef.

use axum::extract::State;
use axum::http::header::AUTHORIZATION;
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use meshproof_proto::codec::{Id, hex};
use meshproof_proto::crypto::{DEFAULT, draw};
use meshproof_proto::requirement::{self as req, demand, demand_some, deviates};
use meshproof_proto::time::UnixTime;
use serde_json::{Value, json};

use super::{PASSWORD, codes};
use crate::extract::{Ids, NoBody};
use crate::problem::Problem;
use crate::source::Source;
use crate::state::{App, OsEntropy, new_id};
use crate::store::sessions::Session;
use crate::store::throttle::Bucket;

/// That a session was used is noted to the minute: each time would be a write.
const GRAIN: u64 = 60;

/// How somebody signed in.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Way<'a> {
    /// The provider's name.
    pub(crate) provider: &'a str,
    /// AuthnContextClassRef.
    pub(crate) class: &'a str,
    /// The app password that was shown.
    pub(crate) app_password: Option<Id>,
}

/// Begins a session of a user who has proved to be that user. `taken` is what the throttle took, to be put back.
/// Returns what the client gets (`spec/identity.md`, section 3).
pub(crate) async fn begin(
    app: &App,
    user: Id,
    way: Way<'_>,
    source: Source,
    taken: Vec<Bucket>,
) -> Result<Value, Problem> {
    let token = URL_SAFE_NO_PAD.encode(draw::<32>(&mut OsEntropy));
    let (now, lifetime) = (app.now(), app.config.identity.token_lifetime);
    let session = Session {
        id: new_id(),
        user,
        class: way.class.into(),
        provider: way.provider.into(),
        agent: source.agent,
        source: source.address,
        created: now,
        used: now,
        expires: now.plus(lifetime),
        app_password: way.app_password,
    };
    let body = json!({
        "token": token,
        "expires_in": lifetime,
        "idle": app.config.identity.token_idle,
        "session": session.id.to_string(),
    });
    // By a code it is the program that is there, and perhaps a stranger's (IDN-024).
    let known_for = if way.provider == codes::WAY.provider { 0 } else { app.config.identity.known_source };
    app.store.add_session(hash_of(&token), session, taken, known_for).await?;
    Ok(body)
}

/// The session whose token is in `Authorization: Bearer`.
///
/// # Errors
/// IDN-007, IDN-032.
pub(crate) async fn holder(app: &App, headers: &HeaderMap) -> Result<Session, Problem> {
    let known = match token(headers) {
        Some(token) => app.store.session(hash_of(token)).await?,
        None => None,
    };
    let now = app.now();
    // The mutant takes a token of its own making for that of somebody.
    let session = demand_some(known, req::IDN_007, || nobodys(now))?;
    demand(now < session.expires, req::IDN_007)?;
    demand(now < session.used.plus(app.config.identity.token_idle), req::IDN_032)?;
    if now >= session.used.plus(GRAIN) {
        app.store.touch_session(session.id, now).await?;
    }
    Ok(session)
}

/// Whether a session of the user is not over.
pub(crate) async fn lives(app: &App, user: Id, session: Id) -> Result<bool, Problem> {
    Ok(not_over(app, user).await?.iter().any(|one| one.id == session))
}

async fn not_over(app: &App, user: Id) -> Result<Vec<Session>, Problem> {
    let now = app.now();
    let idle = UnixTime(now.0.saturating_sub(app.config.identity.token_idle));
    Ok(app.store.sessions_of(user, now, idle).await?)
}

/// The sessions of the user (IDN-026).
pub(crate) async fn list(State(app): State<App>, headers: HeaderMap) -> Result<axum::Json<Value>, Problem> {
    let current = holder(&app, &headers).await?;
    let sessions = not_over(&app, current.user).await?;
    let items: Vec<Value> = sessions.iter().map(|session| representation(session, current.id)).collect();
    Ok(axum::Json(json!({ "items": items, "links": { "self": "/identity/sessions" } })))
}

/// Ends a session of the user (IDN-027).
pub(crate) async fn delete(
    State(app): State<App>,
    Ids([id]): Ids<1>,
    headers: HeaderMap,
) -> Result<StatusCode, Problem> {
    let current = holder(&app, &headers).await?;
    if !deviates(req::IDN_027) {
        app.store.end_session(current.user, id).await?;
    }
    Ok(StatusCode::NO_CONTENT)
}

/// Signs out: ends the session of the token (IDN-028).
pub(crate) async fn sign_out(
    State(app): State<App>,
    headers: HeaderMap,
    _: NoBody,
) -> Result<StatusCode, Problem> {
    let current = holder(&app, &headers).await?;
    if !deviates(req::IDN_028) {
        app.store.end_session(current.user, current.id).await?;
    }
    Ok(StatusCode::NO_CONTENT)
}

fn token(headers: &HeaderMap) -> Option<&str> {
    let field = headers.get(AUTHORIZATION).map(HeaderValue::as_bytes)?;
    let (scheme, token) = field.split_at_checked("Bearer ".len())?;
    if scheme.eq_ignore_ascii_case(b"Bearer ") { std::str::from_utf8(token).ok() } else { None }
}

/// Tokens have 256 bits of entropy: a plain hash is enough to keep them.
pub(super) fn hash_of(token: &str) -> String {
    hex(&DEFAULT.sha256(&[token.as_bytes()]))
}

fn representation(session: &Session, current: Id) -> Value {
    json!({
        "session": session.id.to_string(),
        "provider": session.provider,
        "agent": session.agent,
        "source": session.source,
        "created": session.created.0,
        "used": session.used.0,
        "expires": session.expires.0,
        "current": session.id == current,
        "links": { "self": format!("/identity/sessions/{}", session.id) },
    })
}

fn nobodys(now: UnixTime) -> Session {
    Session {
        id: Id::default(),
        user: Id::default(),
        class: PASSWORD.class.into(),
        provider: PASSWORD.provider.into(),
        agent: String::new(),
        source: String::new(),
        created: now,
        used: now,
        expires: now.plus(1),
        app_password: None,
    }
}
