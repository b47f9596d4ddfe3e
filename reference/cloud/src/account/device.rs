//! `POST /tickets/challenge`, `POST /tickets/device`: a device signs in with its key.

use axum::extract::State;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use meshproof_proto::codec::{Id, hex_array};
use meshproof_proto::crypto::Spki;
use meshproof_proto::identity::Purpose;
use meshproof_proto::requirement::{self as req, demand, deviates};
use meshproof_proto::ticket::Subject;
use serde::Deserialize;
use serde_json::Value;

use super::issue::{BY_KEY, first_tickets};
use super::{challenges, tickets};
use crate::extract::Json;
use crate::identity::throttle;
use crate::problem::Problem;
use crate::source::Source;
use crate::state::App;
use crate::store::devices::{Device, DeviceState};

/// A request for a challenge.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Who {
    device: String,
}

/// The answer to one.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Proof {
    device: String,
    challenge: String,
    answer: String,
}

/// Hands out a challenge, to whoever asks and for whatever device (IDN-009).
pub(crate) async fn post_challenge(
    State(app): State<App>,
    source: Source,
    Json(who): Json<Who>,
) -> Result<axum::Json<Value>, Problem> {
    let id = Id::parse(&who.device).ok_or(req::GPH_006)?;
    throttle::challenge(&app, &source).await?;
    let device = app.store.device(id).await?;
    let key = device.as_ref().and_then(key_of);
    let claimed = device.is_some_and(|device| device.state == DeviceState::Claimed);
    let challenge = match key.as_ref().filter(|_| claimed) {
        Some(key) => challenges::challenge(&app, Purpose::SignIn, id, key),
        None if deviates(req::IDN_009) => return Err(req::GPH_004.into()),
        None => challenges::decoy(&app, Purpose::SignIn, id, key.as_ref()),
    };
    let challenge = challenge.ok_or_else(|| Problem::internal("no challenge for a key"))?;
    Ok(axum::Json(challenges::hand_out(&app, Purpose::SignIn, id, challenge, source).await?))
}

/// Gives a device that answers rightly its first tickets (IDN-014).
pub(crate) async fn post_device(
    State(app): State<App>,
    Json(proof): Json<Proof>,
) -> Result<axum::Json<Value>, Problem> {
    let id = Id::parse(&proof.device).ok_or(req::GPH_006)?;
    let challenge = hex_array(&proof.challenge).ok_or(req::GPH_006)?;
    // What is no answer at all is a wrong answer.
    let answer = hex_array::<32>(&proof.answer).unwrap_or_default();
    challenges::answer_sign_in(&app, id, challenge, &answer).await?; // IDN-010, IDN-011, IDN-012

    let device = app.store.device(id).await?.ok_or(req::IDN_010)?;
    demand(device.state == DeviceState::Claimed, req::IDN_013)?;
    throttle::tickets(&app, device.user).await?;
    let tickets = first_tickets(&app, Subject::Device(id), device.user, BY_KEY).await?;
    Ok(axum::Json(tickets::representation(&app, &tickets)))
}

/// The key of a device. `None` only for what the mutant of GPH-030 let in.
pub(crate) fn key_of(device: &Device) -> Option<Spki> {
    Spki::parse(&STANDARD.decode(&device.spki).ok()?).ok()
}
