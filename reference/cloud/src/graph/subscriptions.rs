//! `/mesh/queues/{queue}/subscriptions`, and the subscriptions below it.

use axum::http::StatusCode;
use axum::http::header::LOCATION;
use axum::response::{IntoResponse, Response};
use meshproof_proto::codec::Id;
use meshproof_proto::requirement::{self as req, demand, demand_some};
use serde::Deserialize;
use serde_json::{Value, json};

use super::access::{Granted, Need, ReadMesh, WriteMesh, existing};
use super::{access, paths, watermark};
use crate::extract::Json;
use crate::problem::Problem;
use crate::state::App;
use crate::store::queues::{Kind, Subscription};

/// What somebody wants to be told of.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct New {
    resource: String,
}

/// The subscriptions of a queue.
pub(crate) async fn list(
    Granted { app, tickets, ids: [queue], .. }: Granted<ReadMesh, 1>,
) -> Result<axum::Json<Value>, Problem> {
    let all = app.store.subscriptions(queue, tickets.who()).await?;
    let items: Vec<Value> = all.iter().map(|one| representation(&app, queue, one)).collect();
    Ok(axum::Json(json!({ "items": items, "links": { "self": paths::subscriptions(queue) } })))
}

/// Subscribes to a folder, the mesh, a device's endpoint, or the own rendezvous. Who may read it may subscribe to it.
pub(crate) async fn post(
    Granted { app, tickets, ids: [queue], .. }: Granted<WriteMesh, 1>,
    Json(new): Json<New>,
) -> Result<Response, Problem> {
    let resource = demand_some(parse(&new.resource), req::GPH_070, || (Kind::Mesh, Id::default()))?;
    let (kind, feed) = match resource {
        (Kind::Mesh, _) => (Kind::Mesh, tickets.user),
        (Kind::Folder, id) => {
            access::folder(&app, &tickets, id, Need::READ).await?;
            resource
        }
        (Kind::Presence, id) => {
            demand(app.store.may_meet(tickets.user, tickets.device, id).await?, req::GPH_017)?;
            resource
        }
        (Kind::Rendezvous, id) => {
            demand(tickets.device == Some(id), req::GPH_123)?;
            (Kind::Rendezvous, Kind::Rendezvous.feed_of(id))
        }
    };
    let (one, is_new) = app.store.subscribe(queue, kind, feed, tickets.who()).await?;
    let body = axum::Json(representation(&app, queue, &one));
    if is_new {
        return Ok((StatusCode::CREATED, [(LOCATION, path(queue, feed))], body).into_response());
    }
    Ok(body.into_response())
}

/// One subscription.
pub(crate) async fn get(
    Granted { app, tickets, ids: [queue, feed], .. }: Granted<ReadMesh, 2>,
) -> Result<axum::Json<Value>, Problem> {
    let all = app.store.subscriptions(queue, tickets.who()).await?;
    let one = existing(all.iter().find(|one| one.feed == feed))?;
    Ok(axum::Json(representation(&app, queue, one)))
}

/// Ends a subscription.
pub(crate) async fn delete(
    Granted { app, tickets, ids: [queue, feed], .. }: Granted<WriteMesh, 2>,
) -> Result<StatusCode, Problem> {
    let removed = app.store.unsubscribe(queue, feed, tickets.who()).await?;
    existing(removed.then_some(()))?;
    Ok(StatusCode::NO_CONTENT)
}

/// What a subscription is about and how far it was told: of what the owner may not see any more nothing but that
/// (GPH-075).
pub(super) fn told(app: &App, one: &Subscription) -> Value {
    let resource = match one.kind {
        Kind::Mesh => paths::MESH.into(),
        Kind::Folder => paths::folder(one.feed),
        Kind::Presence => paths::endpoints(one.feed),
        Kind::Rendezvous => paths::rendezvous(Kind::Rendezvous.feed_of(one.feed)),
    };
    if one.lost {
        return json!({ "resource": resource, "gone": true });
    }
    json!({ "resource": resource, "watermark": watermark::write(app, one.feed, one.seen) })
}

/// The paths that can be subscribed to.
fn parse(resource: &str) -> Option<(Kind, Id)> {
    let below = |prefix: &str| resource.strip_prefix(prefix)?.strip_prefix('/');
    if resource == paths::MESH {
        return Some((Kind::Mesh, Id::default()));
    }
    if let Some(device) = below(paths::DEVICES) {
        let (device, what) = device.split_once('/')?;
        let kind = match what {
            "endpoints" => Kind::Presence,
            "rendezvous" => Kind::Rendezvous,
            _ => return None,
        };
        return Some((kind, Id::parse(device)?));
    }
    Some((Kind::Folder, Id::parse(below(paths::FOLDERS)?)?))
}

fn representation(app: &App, queue: Id, one: &Subscription) -> Value {
    let mut body = told(app, one);
    body["links"] = json!({ "self": path(queue, one.feed) });
    body
}

/// A subscription is named by what it is about: the folder, device or user.
fn path(queue: Id, feed: Id) -> String {
    format!("{}/{feed}", paths::subscriptions(queue))
}
