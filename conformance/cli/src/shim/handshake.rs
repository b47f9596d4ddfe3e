//! `vectors/handshake/`.

use std::sync::Arc;

use meshproof_proto::codec::hex;
use meshproof_proto::crypto::Provider;
use meshproof_proto::handshake::frame::{Frame, FrameType};
use meshproof_proto::handshake::{AwaitM1, AwaitM2, AwaitM3, Device, Established, Failure, Target, start};
use meshproof_proto::ticket::device_audience;
use serde_json::{Value, json};

use super::fields::{Fields, Script, missing};
use super::ticket::verifier;
use super::{Ran, Stop};

pub(super) fn m1(p: &'static dyn Provider, group: Fields<'_>, test: Fields<'_>) -> Ran {
    let entropy = &mut Script::new(Vec::new());
    let frame = match frame(test, "frame", AwaitM1::AWAITS) {
        Err(Stop::Rejected(error, _)) => return Err(Stop::Rejected(error, json!({"answer": "silent"}))),
        other => other?,
    };
    let answered = responder(p, group)?.handle(&frame, test.time("now")?, entropy);
    let (await_m3, _) = answered.map_err(|failure| {
        let answer = json!({"answer": seen(&failure)});
        Stop::Rejected(failure.error, answer)
    })?;
    Ok(json!({"answer": "m2", "initiator": await_m3.claimed_initiator().to_string()}))
}

pub(super) fn m2(p: &'static dyn Provider, group: Fields<'_>, test: Fields<'_>) -> Ran {
    let device = device(p, group, "initiator_key", group.id("initiator")?)?;
    let target = Target {
        device: group.id("responder")?,
        key: group.spki("responder_spki")?,
        ticket: group.base64("ticket")?,
    };
    let entropy = &mut Script::new(test.hex("entropy")?);
    let (await_m2, m1) = start(device, &target, test.time("now")?, entropy)?;
    if m1 != test.hex("m1")? {
        return Err(Stop::BadRequest("the entropy does not give this M1".to_owned()));
    }
    let frame = frame(test, "frame", AwaitM2::AWAITS)?;
    match await_m2.handle(&frame) {
        Ok((established, m3)) => Ok(with_secrets(&established, json!({"m3": hex(&m3)}))),
        Err(Failure { refused: Some(refusal), .. }) => Err(Stop::Refused(json!({"refused": refusal as u16}))),
        Err(failure) => Err(failure.error.into()),
    }
}

pub(super) fn m3(p: &'static dyn Provider, group: Fields<'_>, test: Fields<'_>) -> Ran {
    let entropy = &mut Script::new(test.hex("entropy")?);
    let m1 = frame(test, "m1", AwaitM1::AWAITS)?;
    let answered = responder(p, group)?.handle(&m1, test.time("now")?, entropy);
    let (await_m3, m2) = answered.map_err(|failure| Stop::BadRequest(format!("M1: {failure}")))?;
    if m2 != test.hex("m2")? {
        return Err(Stop::BadRequest("the entropy does not give this M2".to_owned()));
    }
    let frame = frame(test, "frame", AwaitM3::AWAITS)?;
    let admission = await_m3.handle(&frame).map_err(|failure| Stop::from(failure.error))?;
    Ok(with_secrets(&admission.established, json!({})))
}

/// What whoever is at the other end sees of a failure.
fn seen(failure: &Failure) -> Value {
    match (&failure.answer, failure.refused) {
        (None, _) => json!("silent"),
        (Some(_), Some(refusal)) => json!({"refuse": refusal as u16}),
        (Some(_), None) => json!("no-common-suite"),
    }
}

fn responder(p: &'static dyn Provider, group: Fields<'_>) -> Result<AwaitM1, Stop> {
    let id = group.id("responder")?;
    let device = device(p, group, "responder_key", id)?;
    let verifier = verifier(p, group, &device_audience(id))?;
    Ok(AwaitM1::new(device, Arc::new(verifier)))
}

fn device(
    p: &'static dyn Provider,
    group: Fields<'_>,
    key: &str,
    id: meshproof_proto::codec::Id,
) -> Result<Arc<Device>, Stop> {
    // A device of its own, so that the script is not used up by its rejection key.
    let device = Device::load(p, id, &group.base64(key)?, &mut Script::new(Vec::new()));
    device.map(Arc::new).map_err(|_| missing(key, "a key"))
}

/// The one frame of a field. A part of a frame is no fault of the peer: more could come.
fn frame(test: Fields<'_>, name: &str, awaited: &[FrameType]) -> Result<Frame, Stop> {
    let mut bytes = test.hex(name)?;
    Frame::take(&mut bytes, awaited)?.ok_or_else(|| missing(name, "a whole frame"))
}

fn with_secrets(established: &Established, mut output: Value) -> Value {
    output["traffic_i"] = json!(hex(&*established.traffic.initiator));
    output["traffic_r"] = json!(hex(&*established.traffic.responder));
    output
}
