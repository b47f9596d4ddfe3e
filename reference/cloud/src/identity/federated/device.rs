//! The device flow (RFC 8628), for programs without a browser: the person opens the provider's page anywhere.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use meshproof_proto::crypto::draw;
use meshproof_proto::requirement::{self as req, demand};
use meshproof_proto::time::UnixTime;
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
/// More than that no provider means.
const MAX_INTERVAL: u64 = 60;

/// What is kept of a sign-in under way.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct UnderWay {
    provider: String,
    /// The provider's, which our client never sees: it has one of ours.
    device_code: String,
    /// Seconds between two questions.
    interval: u64,
    /// When the provider may be asked again, in seconds since 1970.
    next: u64,
}

impl UnderWay {
    /// That the provider is asked now, or `None` if it is too early (IDN-069).
    fn asked(&self, now: UnixTime) -> Option<Self> {
        // Who waits as told may come a second early by the clock, which has whole ones.
        let next = now.plus(self.interval.saturating_sub(1)).0;
        (now.0 >= self.next).then(|| Self { next, ..self.clone() })
    }

    fn text(&self) -> Result<String, Problem> {
        serde_json::to_string(self).map_err(Problem::internal)
    }
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
    let interval = body["interval"].as_u64().unwrap_or(INTERVAL).min(MAX_INTERVAL);
    let state = UnderWay { provider: name, device_code, interval, next: 0 }.text()?;
    let ours = URL_SAFE_NO_PAD.encode(draw::<32>(&mut OsEntropy));
    app.store.add_ceremony(KIND, hash_of(&ours), Ceremony { user: None, state }, app.now()).await?;
    let complete = text("verification_uri_complete");
    Ok(axum::Json(json!({
        "device_code": ours,
        "user_code": user_code,
        "verification_uri": uri,
        "verification_uri_complete": complete,
        "expires_in": body["expires_in"].as_u64().unwrap_or(CEREMONY_LIFETIME).min(CEREMONY_LIFETIME),
        "interval": interval,
    })))
}

/// Asks the provider whether the person has signed in (IDN-047), not more often than every `interval` (IDN-069).
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
    // Of two that ask at once one comes too early, too.
    let Some(mut asked) = under_way.asked(app.now()) else { return Ok(not_yet(true)) };
    let from = asked.text()?;
    if !app.store.change_ceremony(KIND, hash.clone(), ceremony.state, from.clone()).await? {
        return Ok(not_yet(true));
    }
    let form = [
        ("grant_type", "urn:ietf:params:oauth:grant-type:device_code"),
        ("device_code", under_way.device_code.as_str()),
        ("client_id", provider.client_id.as_str()),
    ];
    let token = match provider.tokens(&form).await {
        Ok(Tokens::Id(token)) => token,
        Ok(Tokens::Pending(too_often)) => {
            if too_often {
                asked.interval += INTERVAL; // RFC 8628, section 3.5: from now on
                app.store.change_ceremony(KIND, hash, from, asked.text()?).await?;
            }
            return Ok(not_yet(too_often));
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

fn not_yet(too_often: bool) -> Response {
    (StatusCode::ACCEPTED, axum::Json(json!({ "slow_down": too_often }))).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_provider_is_asked_every_interval() {
        // IDN-069
        let (provider, device_code) = ("a".to_owned(), "b".to_owned());
        let begun = UnderWay { provider, device_code, interval: 5, next: 0 };
        let first = begun.asked(UnixTime(100)).unwrap();
        assert!(first.asked(UnixTime(100)).is_none());
        assert!(first.asked(UnixTime(103)).is_none());
        let second = first.asked(UnixTime(104)).unwrap();
        assert!(second.asked(UnixTime(107)).is_none());
        assert!(second.asked(UnixTime(109)).is_some());
    }
}
