//! Authorisation code with PKCE, for browsers.
//!
//! ```text
//!  GET start (or POST link) --303--> provider --303--> GET callback --> token, or --303--> `return`, POST token
//! ```
//!
//! The browser holds a random cookie; `state`, `nonce` and the PKCE verifier are derived from it, so neither the store
//! nor the URL of the callback has anything with which somebody else could go on.

use axum::extract::State;
use axum::http::header::{COOKIE, LOCATION, SET_COOKIE};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use meshproof_proto::codec::Id;
use meshproof_proto::crypto::{DEFAULT, draw, equal};
use meshproof_proto::requirement::{self as req, demand};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::people::Person;
use super::provider::{Provider, Tokens, form_encoded};
use super::{Named, failed, way};
use crate::extract::{NoBody, Params};
use crate::identity::sessions::{self, hash_of};
use crate::identity::throttle;
use crate::problem::Problem;
use crate::source::Source;
use crate::state::{App, OsEntropy};
use crate::store::ceremonies::Ceremony;
use crate::store::sessions::Session;

/// With this prefix no other host and no unencrypted page can set it.
const NAME: &str = "__Host-meshproof-sign-in";
/// How long a person may take at the provider, in seconds.
const LIFETIME: u64 = 600;
const BEGUN: &str = "code";
const DONE: &str = "code-done";

/// Where to go in the end.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Return {
    #[serde(rename = "return")]
    path: Option<String>,
}

/// What the provider sends the browser back with.
#[derive(Default, Deserialize)]
pub(super) struct Answer {
    code: Option<String>,
    state: Option<String>,
    iss: Option<String>,
    error: Option<String>,
}

/// What is kept of a sign-in under way.
#[derive(Serialize, Deserialize)]
struct UnderWay {
    provider: String,
    /// By which a link was begun (IDN-077).
    session: Option<String>,
    #[serde(rename = "return")]
    path: Option<String>,
}

/// Sends the browser to the provider.
pub(super) async fn start(
    State(app): State<App>,
    Named(name): Named,
    Params(to): Params<Return>,
    source: Source,
) -> Result<Response, Problem> {
    let (location, cookie) = begin(&app, &name, to, None, &source).await?;
    Ok((StatusCode::SEE_OTHER, [(LOCATION, location), (SET_COOKIE, cookie)]).into_response())
}

/// As [`start`], to link the identity to the user of the token (IDN-043). A page goes to `location` by itself.
pub(super) async fn link(
    State(app): State<App>,
    Named(name): Named,
    Params(to): Params<Return>,
    source: Source,
    headers: HeaderMap,
    _: NoBody,
) -> Result<Response, Problem> {
    let session = sessions::holder(&app, &headers).await?;
    let (location, cookie) = begin(&app, &name, to, Some(&session), &source).await?;
    Ok(([(SET_COOKIE, cookie)], axum::Json(json!({ "location": location }))).into_response())
}

/// Takes the provider's answer.
pub(super) async fn callback(
    State(app): State<App>,
    Named(name): Named,
    Params(answer): Params<Answer>,
    source: Source,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let provider = app.federated.named(&name)?;
    // IDN-037, IDN-038: begun by this browser, with this provider, once.
    let cookie = cookie(&headers).ok_or(req::IDN_037)?;
    let ceremony = app.store.take_ceremony(BEGUN, hash_of(&cookie), app.now(), LIFETIME).await?;
    let ceremony = ceremony.ok_or(req::IDN_038)?;
    let under_way: UnderWay = serde_json::from_str(&ceremony.state).map_err(Problem::internal)?;
    let state = answer.state.unwrap_or_default();
    let same = equal(state.as_bytes(), derived(&cookie, "state").as_bytes());
    demand(same && under_way.provider == name, req::IDN_037)?;
    // IDN-039: the answer of one provider is not to be taken for that of another.
    let promised = provider.metadata().await?.authorization_response_iss_parameter_supported;
    let iss = answer.iss.as_ref().map_or(!promised, |iss| *iss == provider.issuer);
    demand(iss, req::IDN_039)?;
    let Some(code) = answer.code.filter(|_| answer.error.is_none()) else {
        return Err(failed(provider, format!("the provider says {:?}", answer.error)));
    };

    let redirect = redirect_uri(&app, provider);
    let verifier = derived(&cookie, "verifier");
    let form = [
        ("grant_type", "authorization_code"),
        ("code", &code),
        ("redirect_uri", &redirect),
        ("code_verifier", &verifier),
    ];
    let Tokens::Id(token) = provider.tokens(&form).await? else {
        return Err(failed(provider, "the token endpoint asks for patience"));
    };
    let claims = provider.verify(&token, Some(&derived(&cookie, "nonce"))).await?;
    let person = Person::new(provider, &claims);
    let to = under_way.path.map(|path| (StatusCode::SEE_OTHER, [(LOCATION, path)]));
    if let Some(user) = ceremony.user {
        let session = under_way.session.as_deref().and_then(Id::parse).ok_or(req::IDN_077)?;
        demand(sessions::lives(&app, user, session).await?, req::IDN_077)?;
        person.link(&app, user).await?; // IDN-043, IDN-045
        let linked = axum::Json(json!({ "linked": provider.name }));
        return Ok(to.map_or_else(|| linked.into_response(), IntoResponse::into_response));
    }
    let user = person.user(&app).await?; // IDN-042
    match to {
        None => {
            Ok(axum::Json(sessions::begin(&app, user, way(provider), source, Vec::new()).await?)
                .into_response())
        }
        Some(to) => {
            // The token goes to who asks for it with the cookie, not into a URL.
            let done = Ceremony { user: Some(user), state: ceremony.state };
            app.store.add_ceremony(DONE, hash_of(&cookie), done, app.now()).await?;
            Ok(to.into_response())
        }
    }
}

/// Gives the browser that has come back to `return` its token.
pub(super) async fn post_token(
    State(app): State<App>,
    source: Source,
    headers: HeaderMap,
    _: NoBody,
) -> Result<axum::Json<Value>, Problem> {
    let cookie = cookie(&headers).ok_or(req::IDN_037)?;
    let done = app.store.take_ceremony(DONE, hash_of(&cookie), app.now(), LIFETIME).await?;
    let done = done.ok_or(req::IDN_037)?;
    let under_way: UnderWay = serde_json::from_str(&done.state).map_err(Problem::internal)?;
    let provider = app.federated.named(&under_way.provider)?;
    let user = done.user.ok_or(req::IDN_037)?;
    Ok(axum::Json(sessions::begin(&app, user, way(provider), source, Vec::new()).await?))
}

async fn begin(
    app: &App,
    name: &str,
    to: Return,
    link: Option<&Session>,
    source: &Source,
) -> Result<(String, String), Problem> {
    let provider = app.federated.named(name)?;
    demand(to.path.as_deref().is_none_or(is_own_path), req::IDN_046)?;
    throttle::challenge(app, source).await?;
    let metadata = provider.metadata().await?;
    let cookie = URL_SAFE_NO_PAD.encode(draw::<32>(&mut OsEntropy));
    let session = link.map(|session| session.id.to_string());
    let under_way = UnderWay { provider: name.into(), session, path: to.path };
    let state = serde_json::to_string(&under_way).map_err(Problem::internal)?;
    app.store
        .add_ceremony(
            BEGUN,
            hash_of(&cookie),
            Ceremony { user: link.map(|session| session.user), state },
            app.now(),
        )
        .await?;

    let challenge = DEFAULT.sha256(&[derived(&cookie, "verifier").as_bytes()]);
    let parameters = [
        ("response_type", "code"),
        ("client_id", &provider.client_id),
        ("redirect_uri", &redirect_uri(app, provider)),
        ("scope", "openid profile email"),
        ("state", &derived(&cookie, "state")),
        ("nonce", &derived(&cookie, "nonce")),
        ("code_challenge", &URL_SAFE_NO_PAD.encode(challenge)), // IDN-044
        ("code_challenge_method", "S256"),
    ];
    let query = parameters.map(|(name, value)| format!("{name}={}", form_encoded(value))).join("&");
    let endpoint = &metadata.authorization_endpoint;
    let separator = if endpoint.contains('?') { '&' } else { '?' };
    let location = format!("{endpoint}{separator}{query}");
    let cookie = format!("{NAME}={cookie}; Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age={}", 2 * LIFETIME);
    Ok((location, cookie))
}

fn redirect_uri(app: &App, provider: &Provider) -> String {
    format!("{}/identity/federated/{}/callback", app.config.identity.origin, provider.name)
}

/// A value that only who has the cookie knows, one for each purpose.
fn derived(cookie: &str, purpose: &str) -> String {
    URL_SAFE_NO_PAD.encode(DEFAULT.hmac(cookie.as_bytes(), &[purpose.as_bytes()]))
}

fn cookie(headers: &HeaderMap) -> Option<String> {
    let fields = headers.get_all(COOKIE).iter().filter_map(|field| field.to_str().ok());
    let mut cookies = fields.flat_map(|field| field.split(';')).filter_map(|one| one.trim().split_once('='));
    cookies.find(|(name, _)| *name == NAME).map(|(_, value)| value.to_owned())
}

/// A path of this cloud, as browsers understand it: `//host` and `/\host` are none (IDN-046).
fn is_own_path(path: &str) -> bool {
    let mut bytes = path.bytes();
    let safe = |b: u8| b.is_ascii_graphic() && b != b'\\';
    bytes.next() == Some(b'/') && bytes.next().is_none_or(|b| b != b'/') && path.bytes().all(safe)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_paths() {
        for good in ["/", "/desktop", "/a?b=c#d"] {
            assert!(is_own_path(good), "{good}");
        }
        for bad in
            ["", "desktop", "//evil.example", "/\\evil.example", "https://evil.example", "/a\r\nb", "/ä"]
        {
            assert!(!is_own_path(bad), "{bad}");
        }
    }
}
