//! `/mesh/devices/{device}/endpoints`: how to reach a device.

use axum::http::StatusCode;
use meshproof_proto::codec::Id;
use meshproof_proto::requirement::{self as req, demand, deviates};
use meshproof_proto::time::UnixTime;
use serde::Deserialize;
use serde_json::{Value, json};

use super::access::{Granted, ReadMesh, WriteMesh};
use super::paths;
use crate::extract::Json;
use crate::problem::Problem;
use crate::state::App;
use crate::store::devices::{DeviceState, Endpoint};

const MAX_ADDRESSES: usize = 8;
const MAX_ADDRESS: usize = 261; // a host name of 255, a colon, a port
const TTL: std::ops::RangeInclusive<u64> = 1..=3_600;

/// Where a device says that it can be reached.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Announcement {
    addresses: Vec<String>,
    ttl: u64,
}

/// Where the device can be reached, for its user and for those who may meet it.
pub(crate) async fn get(
    Granted { app, tickets, ids: [id], .. }: Granted<ReadMesh, 1>,
) -> Result<axum::Json<Value>, Problem> {
    let meets = app.store.may_meet(tickets.user, tickets.device, id).await?;
    demand(meets, req::GPH_017)?;
    let endpoint = current(&app, id).await?;
    Ok(axum::Json(representation(id, endpoint.as_ref(), app.now())))
}

/// Says where the device can be reached: by the device itself alone (GPH-041).
pub(crate) async fn put(
    Granted { app, tickets, ids: [id], .. }: Granted<WriteMesh, 1>,
    Json(announced): Json<Announcement>,
) -> Result<axum::Json<Value>, Problem> {
    demand(tickets.device == Some(id), req::GPH_041)?;
    let device = app.store.device(id).await?.ok_or(req::GPH_041)?;
    demand(device.state == DeviceState::Claimed, req::GPH_032)?;
    demand(announced.addresses.len() <= MAX_ADDRESSES, req::GPH_006)?;
    demand(announced.addresses.iter().all(|address| is_host_and_port(address)), req::GPH_006)?;
    demand(TTL.contains(&announced.ttl), req::GPH_006)?;
    let endpoint = Endpoint { addresses: announced.addresses, expires: app.now().plus(announced.ttl) };
    app.store.put_endpoint(id, endpoint.clone(), tickets.who()).await?;
    Ok(axum::Json(representation(id, Some(&endpoint), app.now())))
}

/// The device goes offline (GPH-041).
pub(crate) async fn delete(
    Granted { app, tickets, ids: [id], .. }: Granted<WriteMesh, 1>,
) -> Result<StatusCode, Problem> {
    demand(tickets.device == Some(id), req::GPH_041)?;
    app.store.remove_endpoint(id, tickets.who()).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// What the device announced, unless its time has passed (GPH-042).
pub(crate) async fn current(app: &App, device: Id) -> Result<Option<Endpoint>, Problem> {
    let endpoint = app.store.endpoint(device).await?;
    Ok(endpoint.filter(|endpoint| app.now() < endpoint.expires || deviates(req::GPH_042)))
}

pub(super) fn representation(device: Id, endpoint: Option<&Endpoint>, now: UnixTime) -> Value {
    json!({
        "addresses": endpoint.map(|endpoint| endpoint.addresses.clone()).unwrap_or_default(),
        "ttl": endpoint.map_or(0, |endpoint| endpoint.expires.distance(now)),
        "links": { "self": paths::endpoints(device) },
    })
}

/// `host:port`, an IPv6 address in brackets.
fn is_host_and_port(address: &str) -> bool {
    let Some((host, port)) = address.rsplit_once(':') else { return false };
    let host_fits = match host.strip_prefix('[') {
        Some(rest) => rest.strip_suffix(']').is_some_and(|ip| ip.parse::<std::net::Ipv6Addr>().is_ok()),
        None => !host.is_empty() && host.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b)),
    };
    let port_fits =
        port.bytes().all(|b| b.is_ascii_digit()) && port.parse::<u16>().is_ok_and(|port| port > 0);
    address.len() <= MAX_ADDRESS && host_fits && port_fits
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        for good in ["192.0.2.1:1", "[2001:db8::1]:65535", "nas.home.example:22000"] {
            assert!(is_host_and_port(good), "{good}");
        }
        for bad in
            ["", "a", ":1", "a:", "a:0", "a:65536", "a:+1", "2001:db8::1:80", "a b:1", "[x]:1", "a/b:1"]
        {
            assert!(!is_host_and_port(bad), "{bad}");
        }
    }
}
