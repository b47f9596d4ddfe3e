//! `/identity/codes`: a person who is signed in signs a program in (`spec/identity.md`, section 4.11).
//!
//! The device flow of RFC 8628, with this cloud as the provider. People decide at `/desktop/codes`.

use axum::extract::{FromRequestParts, RawPathParams, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use meshproof_proto::codec::Id;
use meshproof_proto::crypto::draw;
use meshproof_proto::requirement::{self as req, demand, demand_some, deviates};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::sessions::{self, Way, hash_of};
use super::throttle;
use crate::config::Service;
use crate::extract::{Json, NoBody};
use crate::problem::Problem;
use crate::source::Source;
use crate::state::{App, OsEntropy};
use crate::store::ceremonies::Ceremony;

/// Who was let in by somebody who was signed in already, no matter how.
pub(super) const WAY: Way<'static> =
    Way { provider: "code", class: "urn:oasis:names:tc:SAML:2.0:ac:classes:unspecified", app_password: None };

/// How long a person may take, in seconds (IDN-072).
const LIFETIME: u64 = 600;
/// Seconds between two questions.
const INTERVAL: u64 = 2;
/// No vowels, so that no code is a word (RFC 8628, section 6.1).
const LETTERS: &[u8; 20] = b"BCDFGHJKLMNPQRSTVWXZ";

/// Kept under the hash of the device code: a [`Waiting`].
const PROGRAM: &str = "code";
/// Kept under the hash of the user code until somebody decides: the hash of the device code.
const USER_CODE: &str = "user code";

/// A program that waits.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Waiting {
    agent: String,
    source: String,
    /// In seconds since 1970.
    begun: u64,
    decision: Option<Decided>,
}

/// What a person decided.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Decided {
    user: String,
    /// Of the person, when it was decided.
    session: String,
    allow: bool,
}

impl Waiting {
    fn read(ceremony: &Ceremony) -> Result<Self, Problem> {
        serde_json::from_str(&ceremony.state).map_err(Problem::internal)
    }

    fn text(&self) -> Result<String, Problem> {
        serde_json::to_string(self).map_err(Problem::internal)
    }
}

/// A user code in a path, as it was given out, however a person wrote it.
pub(crate) struct UserCode(String);

impl FromRequestParts<App> for UserCode {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        let no_code = |_| Problem::from(req::IDN_073); // a segment that is no UTF-8
        let params = RawPathParams::from_request_parts(parts, app).await.map_err(no_code)?;
        Ok(Self(params.iter().next().map(|(_, code)| normal(code)).unwrap_or_default()))
    }
}

/// The item of `/identity/providers`: where there is a page on which people decide.
pub(super) fn item(app: &App) -> Option<Value> {
    let here = app.config.services.contains(&Service::Desktop);
    let links = json!({ "codes": "/identity/codes", "token": "/identity/codes/token" });
    here.then(|| json!({ "name": WAY.provider, "kind": "code", "links": links }))
}

/// The same (IDN-036).
fn demand_here(app: &App) -> Result<(), Problem> {
    Ok(demand(item(app).is_some(), req::IDN_036)?)
}

/// Gives out a code.
pub(crate) async fn post(
    State(app): State<App>,
    source: Source,
    _: NoBody,
) -> Result<axum::Json<Value>, Problem> {
    demand_here(&app)?;
    throttle::challenge(&app, &source).await?;
    let (ours, user_code) = (URL_SAFE_NO_PAD.encode(draw::<32>(&mut OsEntropy)), new_user_code());
    let (now, hash) = (app.now(), hash_of(&ours));
    let waiting = Waiting { agent: source.agent, source: source.address, begun: now.0, decision: None };
    let keep = |state| Ceremony { user: None, state };
    app.store.add_ceremony(PROGRAM, hash.clone(), keep(waiting.text()?), now).await?;
    app.store.add_ceremony(USER_CODE, hash_of(&user_code), keep(hash), now).await?;
    let page = format!("{}/desktop/codes", app.config.identity.origin);
    Ok(axum::Json(json!({
        "device_code": ours,
        "user_code": user_code,
        "verification_uri": page,
        "verification_uri_complete": format!("{page}?code={user_code}"),
        "expires_in": LIFETIME,
        "interval": INTERVAL,
    })))
}

/// The question whether a person has decided.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Question {
    device_code: String,
}

/// Signs the program in: IDN-071.
pub(crate) async fn post_token(
    State(app): State<App>,
    source: Source,
    Json(question): Json<Question>,
) -> Result<Response, Problem> {
    demand_here(&app)?;
    let hash = hash_of(&question.device_code);
    let known = app.store.ceremony(PROGRAM, hash.clone(), app.now(), LIFETIME).await?;
    let waiting = Waiting::read(&known.ok_or(req::IDN_072)?)?;
    let Some(decided) = waiting.decision else {
        if deviates(req::IDN_070) {
            return Err(req::IDN_072.into()); // the mutant has no patience
        }
        return Ok((StatusCode::ACCEPTED, axum::Json(json!({ "slow_down": false }))).into_response());
    };
    demand(decided.allow, req::IDN_072)?;
    let user = Id::parse(&decided.user).ok_or_else(|| Problem::internal("a decision has no user"))?;
    let session =
        Id::parse(&decided.session).ok_or_else(|| Problem::internal("a decision has no session"))?;
    demand(sessions::lives(&app, user, session).await?, req::IDN_074)?;
    // Of two that ask at once one gets the token.
    if !deviates(req::IDN_072) {
        let taken = app.store.take_ceremony(PROGRAM, hash, app.now(), LIFETIME).await?;
        demand(taken.is_some(), req::IDN_072)?;
    }
    if deviates(req::IDN_071) {
        return Err(req::IDN_072.into()); // the mutant lets nobody in
    }
    Ok(axum::Json(sessions::begin(&app, user, WAY, source, Vec::new()).await?).into_response())
}

/// Which program waits, for the person who decides.
pub(crate) async fn get(
    State(app): State<App>,
    source: Source,
    UserCode(code): UserCode,
    headers: HeaderMap,
) -> Result<axum::Json<Value>, Problem> {
    demand_here(&app)?;
    sessions::holder(&app, &headers).await?;
    throttle::challenge(&app, &source).await?;
    let kept = app.store.ceremony(USER_CODE, hash_of(&code), app.now(), LIFETIME).await?;
    let program = match kept {
        Some(kept) => app.store.ceremony(PROGRAM, kept.state, app.now(), LIFETIME).await?,
        None => None,
    };
    let waiting = program.as_ref().map(Waiting::read).transpose()?;
    let waiting = demand_some(waiting, req::IDN_073, Waiting::default)?;
    Ok(axum::Json(json!({
        "user_code": code,
        "agent": waiting.agent,
        "source": waiting.source,
        "begun": waiting.begun,
        "expires": waiting.begun + LIFETIME,
        "links": { "self": format!("/identity/codes/{code}") },
    })))
}

/// Whether the program is signed in.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Decision {
    allow: bool,
}

/// Decides, once.
pub(crate) async fn decide(
    State(app): State<App>,
    source: Source,
    UserCode(code): UserCode,
    headers: HeaderMap,
    Json(decision): Json<Decision>,
) -> Result<StatusCode, Problem> {
    demand_here(&app)?;
    let session = sessions::holder(&app, &headers).await?;
    throttle::challenge(&app, &source).await?;
    let kept = app.store.take_ceremony(USER_CODE, hash_of(&code), app.now(), LIFETIME).await?;
    let Some(program) = demand_some(kept.map(Some), req::IDN_073, || None)? else {
        return Ok(StatusCode::NO_CONTENT);
    };
    let waiting = app.store.ceremony(PROGRAM, program.state.clone(), app.now(), LIFETIME).await?;
    let waiting = waiting.ok_or(req::IDN_073)?;
    let (user, session) = (session.user, session.id);
    let decided = Decided { user: user.to_string(), session: session.to_string(), allow: decision.allow };
    let to = Waiting { decision: Some(decided), ..Waiting::read(&waiting)? }.text()?;
    app.store.change_ceremony(PROGRAM, program.state, waiting.state, to).await?;
    tracing::info!(%user, allow = decision.allow, "a program was signed in by code");
    Ok(StatusCode::NO_CONTENT)
}

/// Eight letters, of 34 bits: what is guessed in ten minutes, at the pace that IDN-023 allows, is none of them.
fn new_user_code() -> String {
    let mut letters = String::new();
    while letters.len() < 8 {
        // The bytes above are left out, so that each letter is as likely.
        let even = |byte: &u8| usize::from(*byte) < 256 / LETTERS.len() * LETTERS.len();
        let drawn = draw::<16>(&mut OsEntropy);
        letters.extend(
            drawn
                .iter()
                .filter(|byte| even(byte))
                .map(|b| char::from(LETTERS[usize::from(*b) % LETTERS.len()])),
        );
    }
    format!("{}-{}", &letters[..4], &letters[4..8])
}

/// A code as it was given out, however a person wrote it.
fn normal(code: &str) -> String {
    let upper = code.chars().map(|letter| letter.to_ascii_uppercase());
    let letters: String =
        upper.filter(|letter| LETTERS.iter().any(|one| char::from(*one) == *letter)).take(9).collect();
    match letters.split_at_checked(4) {
        Some((first, second)) => format!("{first}-{second}"),
        None => letters,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_read_as_people_write_them() {
        for written in ["WDJB-MJHT", "wdjbmjht", " wdjb mjht.", "WDJB\u{2013}MJHT"] {
            assert_eq!(normal(written), "WDJB-MJHT");
        }
        for wrong in ["", "WDJB", "WDJB-MJH", "WDJB-MJHTT", "AEIOU", "\u{1F600}"] {
            assert_ne!(normal(wrong), "WDJB-MJHT");
        }
        let new = new_user_code();
        assert_eq!(normal(&new), new);
    }
}
