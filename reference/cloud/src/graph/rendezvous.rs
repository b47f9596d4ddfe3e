//! `/mesh/devices/{device}/rendezvous` and `/mesh/relays`: meeting at a relay.

use meshproof_proto::codec::{Id, hex};
use meshproof_proto::crypto::DEFAULT;
use meshproof_proto::relay::{PASS_LIFETIME, Pass, Side};
use meshproof_proto::requirement::{self as req, demand, demand_some, deviates};
use serde::Deserialize;
use serde_json::{Value, json};

use super::access::{Granted, ReadMesh, WriteMesh};
use super::pair::{Partners, partners};
use super::paths;
use crate::extract::{Json, present};
use crate::identity::throttle;
use crate::problem::Problem;
use crate::state::{App, new_id};
use crate::store::rendezvous::Rendezvous;

/// Where to meet.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct New {
    #[serde(default, deserialize_with = "present")]
    relay: Option<String>,
}

/// The relays of this cloud.
pub(crate) async fn relays(Granted { app, .. }: Granted<ReadMesh>) -> Result<axum::Json<Value>, Problem> {
    let items: Vec<Value> =
        app.config.relay.offers.iter().map(|address| json!({ "address": address })).collect();
    Ok(axum::Json(json!({ "items": items, "links": { "self": paths::RELAYS } })))
}

/// The requesting device wants to meet the device of the path.
pub(crate) async fn post(
    Granted { app, tickets, ids: [y], .. }: Granted<WriteMesh, 1>,
    Json(New { relay }): Json<New>,
) -> Result<axum::Json<Value>, Problem> {
    let Partners { x, y, .. } = partners(&app, &tickets, y, req::GPH_124, req::GPH_120).await?;
    throttle::rendezvous(&app, x.user, y.id).await?;
    let offers = &app.config.relay.offers;
    let wanted = match &relay {
        Some(wanted) => offers.iter().find(|offer| *offer == wanted),
        None => offers.first(),
    };
    let relay = demand_some(wanted, req::GPH_125, || offers.first().unwrap_or(&app.issuer_name))?.clone();
    let fresh = || if deviates(req::GPH_126) { x.id } else { new_id() };
    let expires = app.now().plus(PASS_LIFETIME);
    let new = Rendezvous { caller: x.id, called: y.id, circuit: fresh(), token: fresh(), relay, expires };
    app.store.add_rendezvous(new.clone(), tickets.who()).await?;
    Ok(axum::Json(representation(&app, &new, Side::Caller, x.user)?))
}

/// Who waits for the device of the path, which asks.
pub(crate) async fn get(
    Granted { app, tickets, ids: [id], .. }: Granted<ReadMesh, 1>,
) -> Result<axum::Json<Value>, Problem> {
    demand(tickets.device == Some(id), req::GPH_123)?;
    let now = app.now();
    let all = app.store.rendezvous_of(id, now).await?;
    let side = if deviates(req::GPH_121) { Side::Caller } else { Side::Called };
    let items: Result<Vec<Value>, Problem> =
        all.iter().map(|one| representation(&app, one, side, tickets.user)).collect();
    Ok(axum::Json(json!({ "items": items?, "links": { "self": paths::rendezvous(id) } })))
}

/// What the device of this side, of this user, gets.
fn representation(app: &App, one: &Rendezvous, side: Side, user: Id) -> Result<Value, Problem> {
    let key = app.relay_keys.first().ok_or_else(|| Problem::internal("a rendezvous without a relay key"))?;
    let (circuit, expires) = (one.circuit.0, one.expires);
    let account = key.account(DEFAULT, user);
    let pass = key.seal(DEFAULT, &one.relay, &Pass { circuit, side, expires, account });
    Ok(json!({
        "circuit": one.circuit.to_string(),
        "device": if side == Side::Caller { one.called } else { one.caller }.to_string(),
        "relay": one.relay,
        "pass": hex(&pass),
        "token": one.token.to_string(),
        "ttl": expires.distance(app.now()),
        "links": { "self": paths::rendezvous(one.called) },
    }))
}
