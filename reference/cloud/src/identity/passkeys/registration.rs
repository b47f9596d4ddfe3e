//! `POST /identity/passkeys/registration` and `POST /identity/passkeys`: a user who is signed in adds a passkey.

use axum::extract::State;
use axum::http::header::LOCATION;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use meshproof_proto::requirement::{self as req, demand};
use serde::Deserialize;
use serde_json::{Value, json};

use super::answer::{AuthenticatorData, ClientData, Encoded};
use super::cbor::Item;
use super::key::{ALGORITHMS, Key};
use super::{LIFETIME, RelyingParty, challenge, options, representation, take};
use crate::extract::{Json, NoBody, check_name};
use crate::identity::sessions;
use crate::problem::Problem;
use crate::source::Source;
use crate::state::{App, new_id};
use crate::store::passkeys::Passkey;

const PURPOSE: &str = "passkey registration";

/// What the authenticator answers.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Registration {
    label: String,
    client_data: Encoded,
    attestation: Encoded,
}

/// What `navigator.credentials.create` is called with.
pub(super) async fn post_options(
    State(app): State<App>,
    source: Source,
    headers: HeaderMap,
    _: NoBody,
) -> Result<axum::Json<Value>, Problem> {
    let party = RelyingParty::demand(&app)?;
    let session = sessions::holder(&app, &headers).await?;
    let user = app.store.user(session.user).await?.ok_or(req::IDN_007)?;
    let challenge = challenge(&app, &source, PURPOSE, Some(user.id)).await?;
    let type_ = "public-key";
    // An authenticator that has one of these makes no second one.
    let known = app.store.passkeys_of(user.id).await?;
    let known: Vec<Value> = known.iter().map(|it| json!({ "type": type_, "id": it.credential })).collect();
    let creation = json!({
        "rp": { "id": party.id, "name": party.id },
        "user": { "id": URL_SAFE_NO_PAD.encode(user.id.0), "name": user.name, "displayName": user.name },
        "challenge": challenge,
        "pubKeyCredParams": ALGORITHMS.map(|number| json!({ "type": type_, "alg": number })),
        "timeout": LIFETIME * 1_000,
        "excludeCredentials": known,
        "authenticatorSelection": {
            "residentKey": "required",
            "requireResidentKey": true,
            "userVerification": "required",
        },
        "attestation": "none",
    });
    Ok(axum::Json(options(&party, &creation)))
}

/// Adds the passkey.
pub(super) async fn post(
    State(app): State<App>,
    headers: HeaderMap,
    Json(registration): Json<Registration>,
) -> Result<Response, Problem> {
    let party = RelyingParty::demand(&app)?;
    let user = sessions::holder(&app, &headers).await?.user;
    check_name(&registration.label)?;
    let client = ClientData::read(&registration.client_data.0)?;
    demand(take(&app, PURPOSE, &client.challenge).await? == Some(user), req::IDN_049)?;
    client.verify("webauthn.create", &party)?;
    // What the statement says of the authenticator's make is not looked at.
    let object = Item::all(&registration.attestation.0);
    let data = object.as_ref().and_then(|object| object.named("authData")).and_then(Item::bytes);
    let data = AuthenticatorData::read(data.unwrap_or_default())?;
    data.verify(&party)?;
    let attested = data.attested.ok_or(req::IDN_052)?;
    demand(Key::read(attested.key).is_some(), req::IDN_056)?;
    let passkey = Passkey {
        id: new_id(),
        user,
        credential: URL_SAFE_NO_PAD.encode(attested.credential),
        key: URL_SAFE_NO_PAD.encode(attested.key),
        counter: data.counter.into(),
        label: registration.label,
        created: app.now(),
        used: None,
    };
    app.store.add_passkey(passkey.clone()).await?;
    tracing::info!(%user, passkey = %passkey.id, "passkey added");
    let location = format!("/identity/passkeys/{}", passkey.id);
    let body = axum::Json(representation(&passkey));
    Ok((StatusCode::CREATED, [(LOCATION, location)], body).into_response())
}
