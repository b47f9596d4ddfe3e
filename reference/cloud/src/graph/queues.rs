//! `/mesh/queues`, `/mesh/queues/{queue}`: who wants to be told of changes asks here.

use axum::http::header::{ACCEPT, LOCATION};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use meshproof_proto::codec::Id;
use meshproof_proto::requirement::{self as req, demand, deviates};
use serde::Deserialize;
use serde_json::{Value, json};

use super::access::{Granted, ReadMesh, WriteMesh};
use super::poll::{Poll, answer, stream};
use super::{paths, watermark};
use crate::extract::{NoBody, Params};
use crate::problem::Problem;
use crate::state::{App, new_id};

/// The longest time that a poll may wait, in seconds.
const MAX_WAIT: u64 = 60;

/// What is known, and for how many seconds to wait for more.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Query {
    after: Option<String>,
    wait: Option<u64>,
}

/// The queues of who asks.
pub(crate) async fn list(
    Granted { app, tickets, .. }: Granted<ReadMesh>,
) -> Result<axum::Json<Value>, Problem> {
    let queues = app.store.queues(tickets.who()).await?;
    let items: Vec<Value> = queues.iter().map(|queue| representation(&app, queue.id, queue.seq)).collect();
    Ok(axum::Json(json!({ "items": items, "links": { "self": paths::QUEUES } })))
}

/// Makes a queue, without subscriptions.
pub(crate) async fn post(
    Granted { app, tickets, .. }: Granted<WriteMesh>,
    _: NoBody,
) -> Result<Response, Problem> {
    let id = new_id();
    app.store.add_queue(id, tickets.who()).await?;
    let body = axum::Json(representation(&app, id, 0));
    Ok((StatusCode::CREATED, [(LOCATION, paths::queue(id))], body).into_response())
}

/// What has changed after a watermark; waits for it if nothing has, or goes on telling for who accepts events (GPH-072,
/// GPH-080).
pub(crate) async fn get(
    Granted { app, tickets, ids: [id], .. }: Granted<ReadMesh, 1>,
    headers: HeaderMap,
    Params(Query { after, wait }): Params<Query>,
) -> Result<Response, Problem> {
    let events = headers.get(ACCEPT).is_some_and(|kind| kind.as_bytes().starts_with(b"text/event-stream"));
    let last = headers.get("last-event-id").filter(|_| events && !deviates(req::GPH_080));
    let after = last.map(|last| String::from_utf8_lossy(last.as_bytes()).into_owned()).or(after);
    let after = after.map_or(Ok(0), |text| watermark::read(&app, id, &text))?; // GPH-061
    demand(events || wait.is_none_or(|wait| wait <= MAX_WAIT), req::GPH_066)?;
    // What is told is told to who holds tickets: neither outlives them.
    let wait = wait.unwrap_or(if events { u64::MAX } else { 0 }).min(tickets.left());
    let poll = Poll { app, queue: id, by: tickets.who() };
    if events {
        return stream(poll, after, wait).await;
    }
    let told = poll.next(after, if deviates(req::GPH_072) { 0 } else { wait }).await?;
    Ok(axum::Json(answer(&poll, &told)).into_response())
}

/// Removes a queue.
pub(crate) async fn delete(
    Granted { app, tickets, ids: [id], .. }: Granted<WriteMesh, 1>,
) -> Result<StatusCode, Problem> {
    app.store.remove_queue(id, tickets.who()).await?;
    Ok(StatusCode::NO_CONTENT)
}

pub(super) fn links(id: Id) -> Value {
    json!({ "self": paths::queue(id), "subscriptions": paths::subscriptions(id) })
}

fn representation(app: &App, id: Id, seq: u64) -> Value {
    json!({ "queue": id.to_string(), "watermark": watermark::write(app, id, seq), "links": links(id) })
}
