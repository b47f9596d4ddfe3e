//! `POST /mesh/devices`, `POST /mesh/devices/{device}/proof`: claiming a device.

use axum::http::StatusCode;
use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use meshproof_proto::codec::{hex, hex_array};
use meshproof_proto::crypto::{DEFAULT, Spki};
use meshproof_proto::identity::Purpose;
use meshproof_proto::requirement::{self as req, demand, demand_some};
use serde::Deserialize;

use super::access::{Granted, WriteDevice, WriteMesh};
use super::writers::is_proved;
use super::{access, created, devices, node, paths};
use crate::account::challenges;
use crate::extract::{Json, check_name, present};
use crate::problem::Problem;
use crate::source::Source;
use crate::state::{new_etag, new_id};
use crate::store::devices::{Device, DeviceState};

/// A device that is to be claimed.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Claim {
    name: String,
    spki: String,
    #[serde(default, deserialize_with = "present")]
    signing_key: Option<String>,
}

/// The answer to the challenge of a claim.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Answer {
    answer: String,
    #[serde(default, deserialize_with = "present")]
    signature: Option<String>,
}

/// Claims a device: it is pending until it has proved its key (GPH-032).
pub(crate) async fn post(
    Granted { app, tickets, .. }: Granted<WriteMesh>,
    source: Source,
    Json(claim): Json<Claim>,
) -> Result<Response, Problem> {
    access::person(&tickets, None)?; // GPH-035
    check_name(&claim.name)?;
    let signing_key = claim.signing_key.unwrap_or_default();
    demand(signing_key.is_empty() || hex_array::<32>(&signing_key).is_some(), req::GPH_006)?;
    let der = STANDARD.decode(&claim.spki).map_err(|_| Problem::from(req::GPH_006))?;
    // Numbers that look like a key but are none, such as an even modulus, are refused by the provider only.
    let key = Spki::parse(&der).ok();
    let id = new_id();
    let challenge = key.and_then(|key| challenges::challenge(&app, Purpose::Claim, id, &key));
    let decoy = || challenges::decoy(&app, Purpose::Claim, id, None); // only the mutant goes on
    let challenge = demand_some(challenge.map(Some), req::GPH_030, decoy)?.ok_or(req::GPH_030)?;
    let device = Device {
        id,
        user: tickets.user,
        name: claim.name,
        spki: claim.spki,
        fingerprint: hex(&DEFAULT.sha256(&[&der])),
        signing_key,
        state: DeviceState::Pending,
        etag: new_etag(),
    };
    app.store.forget_pending(app.now()).await?; // GPH-136
    app.store.add_device(device.clone(), app.now()).await?; // GPH-031, GPH-135

    let mut body = devices::representation(&device);
    body["proof"] = challenges::hand_out(&app, Purpose::Claim, id, challenge, source).await?;
    Ok(created(&paths::device(device.id), &device.etag, body))
}

/// Takes the proof of a claim.
pub(crate) async fn post_proof(
    Granted { app, tickets, ids: [id], node: mut device }: Granted<WriteDevice, 1>,
    Json(answer): Json<Answer>,
) -> Result<Response, Problem> {
    access::person(&tickets, None)?; // GPH-035
    if !device.signing_key.is_empty() {
        let signature = answer.signature.as_deref();
        let proved = is_proved(id, &device.fingerprint, &device.signing_key, signature);
        demand(proved, req::GPH_150)?;
    }
    // What is no answer at all is a wrong answer.
    let answer = hex_array::<32>(&answer.answer).unwrap_or_default();
    challenges::answer_claim(&app, id, &answer).await?; // GPH-033
    let etag = new_etag();
    let most = app.config.graph.devices;
    app.store.claim_device(device.clone(), etag.clone(), most, tickets.who()).await?; // GPH-031, GPH-033, GPH-137
    (device.state, device.etag) = (DeviceState::Claimed, etag);
    tracing::info!(device = %id, user = %device.user, "claimed");
    Ok(node(StatusCode::OK, &device.etag, devices::representation(&device)))
}
