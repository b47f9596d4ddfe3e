//! The device flow (RFC 8628), for programs without a browser: the person opens the provider's page anywhere.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use meshproof_proto::crypto::draw;
use meshproof_proto::requirement::{self as req, demand};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::people::Person;
use super::provider::Tokens;
use super::{Named, failed, way};
use crate::extract::{Json, NoBody};
use crate::identity::sessions::{self, hash_of};
use crate::identity::throttle;
use crate::problem::Problem;
use crate::source::Source;
use crate::state::{App, OsEntropy};
use crate::store::ceremonies::{CEREMONY_LIFETIME, Ceremony};

const KIND: &str = "device";
/// Seconds between two questions, if the provider does not say (RFC 8628, section 3.2).
const INTERVAL: u64 = 5;

/// What is kept of a sign-in under way.
#[derive(Serialize, Deserialize)]
struct UnderWay {
    provider: String,
    /// The provider's, which our client never sees: it has one of ours.
    device_code: String,
}

/// The question whether the person has signed in.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Question {
    device_code: String,
}

/// Asks the provider for a code to show.
pub(super) async fn post(
    State(app): State<App>,
    Named(name): Named,
    source: Source,
    _: NoBody,
) -> Result<axum::Json<Value>, Problem> {
    let provider = app.federated.named(&name)?;
    throttle::challenge(&app, &source).await?;
    let endpoint = provider.metadata().await?.device_authorization_endpoint.clone();
    let endpoint = endpoint.ok_or_else(|| failed(provider, "the provider has no device flow"))?;
    let form = [("client_id", provider.client_id.as_str()), ("scope", "openid profile email")];
    let (status, body) = provider.post(&endpoint, &form).await?;
    let text = |name: &str| body[name].as_str().map(str::to_owned);
    let codes = text("device_code").zip(text("user_code")).zip(text("verification_uri"));
    let Some(((device_code, user_code), uri)) = codes.filter(|_| status.is_success()) else {
        return Err(failed(provider, format!("the device endpoint says {status}, {}", body["error"])));
    };
    let state =
        serde_json::to_string(&UnderWay { provider: name, device_code }).map_err(Problem::internal)?;
    let ours = URL_SAFE_NO_PAD.encode(draw::<32>(&mut OsEntropy));
    app.store.add_ceremony(KIND, hash_of(&ours), Ceremony { user: None, state }, app.now()).await?;
    let complete = text("verification_uri_complete");
    Ok(axum::Json(json!({
        "device_code": ours,
        "user_code": user_code,
        "verification_uri": uri,
        "verification_uri_complete": complete,
        "expires_in": body["expires_in"].as_u64().unwrap_or(CEREMONY_LIFETIME).min(CEREMONY_LIFETIME),
        "interval": body["interval"].as_u64().unwrap_or(INTERVAL),
    })))
}

/// Asks the provider whether the person has signed in (IDN-047).
pub(super) async fn post_token(
    State(app): State<App>,
    Named(name): Named,
    source: Source,
    Json(question): Json<Question>,
) -> Result<Response, Problem> {
    let provider = app.federated.named(&name)?;
    let hash = hash_of(&question.device_code);
    let ceremony = app.store.ceremony(KIND, hash.clone(), app.now(), CEREMONY_LIFETIME).await?;
    let ceremony = ceremony.ok_or(req::IDN_038)?;
    let under_way: UnderWay = serde_json::from_str(&ceremony.state).map_err(Problem::internal)?;
    demand(under_way.provider == name, req::IDN_037)?;
    let form = [
        ("grant_type", "urn:ietf:params:oauth:grant-type:device_code"),
        ("device_code", under_way.device_code.as_str()),
        ("client_id", provider.client_id.as_str()),
    ];
    let token = match provider.tokens(&form).await {
        Ok(Tokens::Id(token)) => token,
        Ok(Tokens::Pending(too_often)) => {
            let interval = json!({ "slow_down": too_often });
            return Ok((StatusCode::ACCEPTED, axum::Json(interval)).into_response());
        }
        Err(problem) => {
            app.store.take_ceremony(KIND, hash, app.now(), CEREMONY_LIFETIME).await?;
            return Err(problem);
        }
    };
    // Two that ask at once get one token.
    let taken = app.store.take_ceremony(KIND, hash, app.now(), CEREMONY_LIFETIME).await?;
    demand(taken.is_some(), req::IDN_038)?;
    let claims = provider.verify(&token, None).await?;
    let user = Person::new(provider, &claims).user(&app).await?;
    let body = sessions::begin(&app, user, way(provider), source, Vec::new()).await?;
    Ok(axum::Json(body).into_response())
}
