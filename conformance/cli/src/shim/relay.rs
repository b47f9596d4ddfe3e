//! Passes, and what a relay answers.

use meshproof_proto::codec::hex;
use meshproof_proto::crypto::{Provider, Secret};
use meshproof_proto::relay::{
    ACCOUNT_CONNECTIONS, ConnectionId, Joined, Limits, Pass, RelayKey, Request, Side, Switchboard,
};
use serde_json::json;

use super::fields::{Fields, missing};
use super::{Ran, Stop};

pub(super) fn pass(provider: &'static dyn Provider, group: Fields<'_>, test: Fields<'_>) -> Ran {
    let key = key(group)?;
    let circuit = test.hex("circuit")?.try_into().map_err(|_| missing("circuit", "16 bytes"))?;
    let side = if test.number("side")? == 0 { Side::Caller } else { Side::Called };
    let account = key.account(provider, test.id("user")?);
    let pass = Pass { circuit, side, expires: test.time("expires")?, account };
    Ok(json!({"pass": hex(&key.seal(provider, test.text("address")?, &pass))}))
}

pub(super) fn join(provider: &'static dyn Provider, group: Fields<'_>, test: Fields<'_>) -> Ran {
    let limits =
        Limits { connections: 100, account_connections: ACCOUNT_CONNECTIONS, quota: u64::MAX, rate: 0 };
    let address = group.text("address")?.to_owned();
    let mut board = Switchboard::new(provider, vec![key(group)?], address, limits);
    let now = test.time("now")?;
    let mut last = Ok(json!({}));
    for (id, bytes) in (0..).zip(test.hex_list("connections")?) {
        let answer = match Request::read(&bytes) {
            Ok(Ok(Request::Ping(_))) => Ok(json!("pong")),
            Ok(Ok(Request::Join(pass))) => match board.join(now, ConnectionId(id), &pass) {
                Ok(Joined::Alone) => Ok(json!("waiting")),
                Ok(Joined::With(_)) => Ok(json!("joined")),
                Err(why) => Err((why.error, json!({"refused": why.refusal.code()}))),
            },
            Ok(Err(_)) => Ok(json!("nothing")),
            Err(error) => Err((error, json!("silent"))),
        };
        last = match answer {
            Ok(answer) => Ok(json!({"answer": answer})),
            Err((error, answer)) => Err(Stop::Rejected(error, json!({"answer": answer}))),
        };
    }
    last
}

fn key(group: Fields<'_>) -> Result<RelayKey, Stop> {
    let bytes = group.hex("key")?;
    bytes.try_into().map(|key| RelayKey::new(Secret::new(key))).map_err(|_| missing("key", "32 bytes"))
}
