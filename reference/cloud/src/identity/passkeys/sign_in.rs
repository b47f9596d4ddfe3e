//! `POST /identity/passkeys/challenge` and `POST /identity/passkeys/token`: a passkey signs its user in.

use axum::extract::State;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use meshproof_proto::crypto::DEFAULT;
use meshproof_proto::requirement::{self as req, demand, deviates};
use serde::Deserialize;
use serde_json::{Value, json};

use super::answer::{AuthenticatorData, ClientData, Encoded};
use super::key::Key;
use super::{LIFETIME, RelyingParty, WAY, challenge, options, take};
use crate::extract::{Json, NoBody};
use crate::identity::{sessions, throttle};
use crate::problem::Problem;
use crate::source::Source;
use crate::state::App;

const PURPOSE: &str = "passkey sign-in";

/// What the authenticator answers.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Assertion {
    credential: Encoded,
    client_data: Encoded,
    authenticator_data: Encoded,
    signature: Encoded,
    user_handle: Encoded,
}

/// What `navigator.credentials.get` is called with. Which passkeys there are is for the authenticator to say.
pub(super) async fn post_challenge(
    State(app): State<App>,
    source: Source,
    _: NoBody,
) -> Result<axum::Json<Value>, Problem> {
    let party = RelyingParty::demand(&app)?;
    let request = json!({
        "challenge": challenge(&app, &source, PURPOSE, None).await?,
        "timeout": LIFETIME * 1_000,
        "rpId": party.id,
        "allowCredentials": [],
        "userVerification": "required",
    });
    Ok(axum::Json(options(&party, &request)))
}

/// Signs in: IDN-048.
pub(super) async fn post_token(
    State(app): State<App>,
    source: Source,
    Json(assertion): Json<Assertion>,
) -> Result<axum::Json<Value>, Problem> {
    let party = RelyingParty::demand(&app)?;
    let taken = throttle::passkey(&app, &source).await?;
    let client = ClientData::read(&assertion.client_data.0)?;
    take(&app, PURPOSE, &client.challenge).await?;
    client.verify("webauthn.get", &party)?;
    let data = AuthenticatorData::read(&assertion.authenticator_data.0)?;
    data.verify(&party)?;

    let passkey = app.store.passkey(URL_SAFE_NO_PAD.encode(&assertion.credential.0)).await?;
    let passkey = passkey.ok_or(req::IDN_057)?;
    demand(assertion.user_handle.0 == passkey.user.0, req::IDN_057)?;
    let key = URL_SAFE_NO_PAD.decode(&passkey.key).ok().and_then(|key| Key::read(&key));
    let key = key.ok_or_else(|| Problem::internal("a passkey has no key"))?;
    let hash = DEFAULT.sha256(&[&assertion.client_data.0]);
    let message = [&assertion.authenticator_data.0[..], &hash].concat();
    demand(key.verify(&message, &assertion.signature.0), req::IDN_054)?;
    app.store.use_passkey(passkey.id, data.counter.into(), app.now()).await?; // IDN-055
    if deviates(req::IDN_048) {
        return Err(req::IDN_057.into()); // the mutant lets nobody in
    }
    Ok(axum::Json(sessions::begin(&app, passkey.user, WAY, source, taken).await?))
}
