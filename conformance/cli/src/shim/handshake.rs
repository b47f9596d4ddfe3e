//! `vectors/handshake/`.

use std::sync::Arc;

use meshproof_proto::codec::hex;
use meshproof_proto::crypto::Provider;
use meshproof_proto::handshake::frame::{Frame, FrameType};
use meshproof_proto::handshake::{
    Answer, AwaitM1, AwaitM2, AwaitM3, Device, Established, Failure, Heard, Suite, Suites, Target, start,
};
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
    let answered = answered.map_err(|failure| {
        let answer = json!({"answer": seen(&failure)});
        Stop::Rejected(failure.error, answer)
    })?;
    let (await_m3, _) = m2_of(answered)?;
    let suite = await_m3.suite().number();
    Ok(json!({"answer": "m2", "suite": suite, "initiator": await_m3.claimed_initiator().to_string()}))
}

pub(super) fn m2(p: &'static dyn Provider, group: Fields<'_>, test: Fields<'_>) -> Ran {
    let await_m2 = initiator(p, group, test)?;
    match await_m2.handle(&frame(test, "frame", AwaitM2::AWAITS)?) {
        Ok(Heard::Established(established, m3)) => Ok(with_secrets(&established, json!({"m3": hex(&m3)}))),
        Ok(Heard::Retry(..)) => Err(Stop::BadRequest("the frame is a RETRY".to_owned())),
        Err(Failure { refused: Some(refusal), .. }) => Err(Stop::Refused(json!({"refused": refusal as u16}))),
        Err(failure) => Err(failure.error.into()),
    }
}

pub(super) fn m3(p: &'static dyn Provider, group: Fields<'_>, test: Fields<'_>) -> Ran {
    let entropy = &mut Script::new(test.hex("entropy")?);
    let m1 = frame(test, "m1", AwaitM1::AWAITS)?;
    let answered = responder(p, group)?.handle(&m1, test.time("now")?, entropy);
    let answered = answered.map_err(|failure| Stop::BadRequest(format!("M1: {failure}")))?;
    let (await_m3, m2) = m2_of(answered)?;
    if m2 != test.hex("m2")? {
        return Err(Stop::BadRequest("the entropy does not give this M2".to_owned()));
    }
    let frame = frame(test, "frame", AwaitM3::AWAITS)?;
    let admission = await_m3.handle(&frame).map_err(|failure| Stop::from(failure.error))?;
    Ok(with_secrets(&admission.established, json!({})))
}

pub(super) fn retry(p: &'static dyn Provider, group: Fields<'_>, test: Fields<'_>) -> Ran {
    let mut state = initiator(p, group, test)?;
    let mut answer = Vec::new();
    for bytes in test.hex_list("frames")? {
        match state.handle(&whole_frame(bytes, "frames", AwaitM2::AWAITS)?) {
            Ok(Heard::Retry(next, m1)) => (state, answer) = (*next, m1),
            Ok(Heard::Established(..)) => return Err(Stop::BadRequest("a frame is an M2".to_owned())),
            Err(failure) => return Err(failure.error.into()),
        }
    }
    Ok(json!({"m1": hex(&answer)}))
}

/// An initiator that wrote the M1 of a test.
fn initiator(p: &'static dyn Provider, group: Fields<'_>, test: Fields<'_>) -> Result<AwaitM2, Stop> {
    let device = device(p, group, "initiator_key", group.id("initiator")?)?;
    let target = Target::new(group.id("responder")?, group.spki("responder_spki")?, group.base64("ticket")?);
    let entropy = &mut Script::new(test.hex("entropy")?);
    let (await_m2, m1) = start(device, &target, test.time("now")?, entropy)?;
    if m1 != test.hex("m1")? {
        return Err(Stop::BadRequest("the entropy does not give this M1".to_owned()));
    }
    Ok(await_m2)
}

/// A responder without a guard asks for no cookie.
fn m2_of(answer: Answer) -> Result<(Box<AwaitM3>, Vec<u8>), Stop> {
    match answer {
        Answer::M2(await_m3, m2) => Ok((await_m3, m2)),
        Answer::Retry(..) => Err(Stop::BadRequest("the answer is a RETRY".to_owned())),
    }
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
    let start = AwaitM1::new(device, Arc::new(verifier));
    Ok(match group.optional_hex("rdv_token")? {
        Some(token) => start.relayed(token.try_into().map_err(|_| missing("rdv_token", "16 bytes"))?),
        None => start,
    })
}

fn device(
    p: &'static dyn Provider,
    group: Fields<'_>,
    key: &str,
    id: meshproof_proto::codec::Id,
) -> Result<Arc<Device>, Stop> {
    // A device of its own, so that the script is not used up by its rejection key.
    let device = Device::load(p, id, &group.base64(key)?, &mut Script::new(Vec::new()));
    let device = device.map_err(|_| missing(key, "a key"))?;
    let suites: Vec<Suite> = group.numbers("suites")?.into_iter().filter_map(Suite::from_number).collect();
    Ok(Arc::new(device.with_suites(Suites::only(&suites))))
}

/// The one frame of a field. A part of a frame is no fault of the peer: more could come.
fn frame(test: Fields<'_>, name: &str, awaited: &[FrameType]) -> Result<Frame, Stop> {
    whole_frame(test.hex(name)?, name, awaited)
}

fn whole_frame(mut bytes: Vec<u8>, name: &str, awaited: &[FrameType]) -> Result<Frame, Stop> {
    Frame::take(&mut bytes, awaited)?.ok_or_else(|| missing(name, "a whole frame"))
}

fn with_secrets(established: &Established, mut output: Value) -> Value {
    output["traffic_i"] = json!(hex(&*established.traffic.initiator));
    output["traffic_r"] = json!(hex(&*established.traffic.responder));
    output
}
