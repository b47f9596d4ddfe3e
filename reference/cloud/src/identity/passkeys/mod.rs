//! Passkeys: this cloud as a relying party of Web Authentication (`spec/identity.md`, section 4.9).
//!
//! | file | what |
//! |---|---|
//! | `registration.rs` | a user who is signed in adds one |
//! | `sign_in.rs` | it signs in |
//! | `answer.rs` | client data, authenticator data |
//! | `key.rs` | ES256 and RS256 |
//! | `cbor.rs` | what authenticators write |
//!
//! Written here and not taken from a crate: each rule has to go through `demand` on its own, so that the kit can switch
//! it off and see that its checks notice.

mod answer;
mod cbor;
mod key;
mod registration;
mod sign_in;

use std::net::IpAddr;

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::{delete, post};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use meshproof_proto::codec::Id;
use meshproof_proto::crypto::draw;
use meshproof_proto::requirement::{self as req, demand_some, deviates};
use serde_json::{Value, json};

use super::sessions::{self, Way, hash_of};
use super::throttle;
use crate::extract::Ids;
use crate::problem::Problem;
use crate::source::Source;
use crate::state::{App, OsEntropy};
use crate::store::ceremonies::Ceremony;
use crate::store::passkeys::Passkey;

/// By passkey. SAML has no class for it.
const WAY: Way<'static> = Way {
    provider: "passkey",
    class: "urn:oasis:names:tc:SAML:2.0:ac:classes:unspecified",
    app_password: None,
};

/// How long a person may take, in seconds (IDN-049).
const LIFETIME: u64 = 300;

/// As whom authenticators know this cloud.
struct RelyingParty {
    /// The host, which is a name: browsers take no addresses.
    id: String,
    /// Of the pages.
    origin: String,
}

impl RelyingParty {
    /// The configured origin; if that is an address, the first name of this cloud at the same port. `None`: passkeys are
    /// off, or there is no name.
    fn of(app: &App) -> Option<Self> {
        let host = app.config.identity.origin.strip_prefix("https://")?;
        let (host, port) = match host.rsplit_once(':') {
            Some((host, port)) if port.bytes().all(|b| b.is_ascii_digit()) => (host, format!(":{port}")),
            _ => (host, String::new()),
        };
        let is_name = |host: &&str| !host.starts_with('[') && host.parse::<IpAddr>().is_err();
        let id = [host].into_iter().chain(app.config.names.iter().map(String::as_str)).find(is_name)?;
        let origin = format!("https://{id}{port}");
        app.config.identity.passkey_sign_in.then(|| Self { id: id.into(), origin })
    }

    /// The same (IDN-036).
    fn demand(app: &App) -> Result<Self, Problem> {
        Self::of(app).ok_or(req::IDN_036.into())
    }
}

/// The paths below `/identity/passkeys`.
pub(crate) fn routes() -> Router<App> {
    Router::new()
        .route("/identity/passkeys", post(registration::post).get(list))
        .route("/identity/passkeys/{passkey}", delete(remove))
        .route("/identity/passkeys/registration", post(registration::post_options))
        .route("/identity/passkeys/challenge", post(sign_in::post_challenge))
        .route("/identity/passkeys/token", post(sign_in::post_token))
}

/// The item of `/identity/providers`.
pub(crate) fn item(app: &App) -> Option<Value> {
    let links = json!({ "challenge": "/identity/passkeys/challenge", "token": "/identity/passkeys/token" });
    let item = |party: RelyingParty| json!({ "name": WAY.provider, "kind": "passkey", "origin": party.origin, "links": links });
    RelyingParty::of(app).map(item)
}

/// The passkeys of the user.
async fn list(State(app): State<App>, headers: HeaderMap) -> Result<axum::Json<Value>, Problem> {
    RelyingParty::demand(&app)?;
    let user = sessions::holder(&app, &headers).await?.user;
    let items: Vec<Value> = app.store.passkeys_of(user).await?.iter().map(representation).collect();
    let links = json!({ "self": "/identity/passkeys", "registration": "/identity/passkeys/registration" });
    Ok(axum::Json(json!({ "items": items, "links": links })))
}

/// Removes a passkey of the user (IDN-058, IDN-059).
async fn remove(
    State(app): State<App>,
    Ids([id]): Ids<1>,
    headers: HeaderMap,
) -> Result<StatusCode, Problem> {
    RelyingParty::demand(&app)?;
    let user = sessions::holder(&app, &headers).await?.user;
    app.store.remove_passkey(user, id, super::ways(&app)).await?;
    tracing::info!(%user, passkey = %id, "passkey removed");
    Ok(StatusCode::NO_CONTENT)
}

fn representation(passkey: &Passkey) -> Value {
    let mut item = json!({
        "passkey": passkey.id.to_string(),
        "label": passkey.label,
        "created": passkey.created.0,
        "links": { "self": format!("/identity/passkeys/{}", passkey.id) },
    });
    if let Some(used) = passkey.used {
        item["used"] = used.0.into();
    }
    item
}

/// A new challenge for this purpose and, if it is known, user. It is kept as a hash, and can come back to any process.
async fn challenge(
    app: &App,
    source: &Source,
    purpose: &'static str,
    user: Option<Id>,
) -> Result<String, Problem> {
    throttle::challenge(app, source).await?;
    let challenge = URL_SAFE_NO_PAD.encode(draw::<32>(&mut OsEntropy));
    let ceremony = Ceremony { user, state: "{}".into() };
    app.store.add_ceremony(purpose, hash_of(&challenge), ceremony, app.now()).await?;
    Ok(challenge)
}

/// The challenge that comes back (IDN-049). It does so once (IDN-050).
async fn take(app: &App, purpose: &'static str, challenge: &str) -> Result<Option<Id>, Problem> {
    let hash = hash_of(challenge);
    let found = if deviates(req::IDN_050) {
        app.store.ceremony(purpose, hash, app.now(), LIFETIME).await?
    } else {
        app.store.take_ceremony(purpose, hash, app.now(), LIFETIME).await?
    };
    Ok(demand_some(found.map(|ceremony| ceremony.user), req::IDN_049, || None)?)
}

fn options(party: &RelyingParty, options: &Value) -> Value {
    json!({ "options": options, "origin": party.origin, "expires_in": LIFETIME })
}
