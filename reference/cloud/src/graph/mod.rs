//! The graph service (`spec/graph.md`).

pub(crate) mod access;
pub(crate) mod batch;
pub(crate) mod claim;
pub(crate) mod contacts;
pub(crate) mod devices;
pub(crate) mod endpoints;
pub(crate) mod entries;
pub(crate) mod folder_ticket;
pub(crate) mod folders;
pub(crate) mod invitations;
pub(crate) mod keys;
pub(crate) mod mappings;
pub(crate) mod members;
pub(crate) mod news;
pub(crate) mod options;
pub(crate) mod page;
pub(crate) mod pair;
pub(crate) mod paths;
pub(crate) mod poll;
pub(crate) mod presence;
pub(crate) mod profile;
pub(crate) mod queues;
pub(crate) mod received;
pub(crate) mod rendezvous;
pub(crate) mod root;
pub(crate) mod states;
pub(crate) mod subscriptions;
pub(crate) mod sync;
pub(crate) mod watermark;
pub(crate) mod writers;

use axum::http::header::LOCATION;
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use crate::etag;
use meshproof_proto::requirement::{self as req, deviates};

/// A response with a node's representation and its tag (GPH-011).
fn node(status: StatusCode, tag: &str, representation: Value) -> Response {
    let mut response = (status, axum::Json(representation)).into_response();
    etag::set(&mut response, tag);
    response
}

/// The same for a node that was made (GPH-022).
fn created(path: &str, tag: &str, representation: Value) -> Response {
    let mut response = node(StatusCode::CREATED, tag, representation);
    if deviates(req::GPH_022) {
        return response;
    }
    if let Ok(path) = HeaderValue::from_str(path) {
        response.headers_mut().insert(LOCATION, path);
    }
    response
}

/// A collection: items are representations with their tag (GPH-010 for `self`).
fn collection(path: &str, items: impl Iterator<Item = (String, Value)>) -> axum::Json<Value> {
    let items: Vec<Value> = items
        .map(|(tag, mut item)| {
            item["etag"] = etag::quoted(&tag).into();
            item
        })
        .collect();
    let own = if deviates(req::GPH_010) { "/" } else { path };
    axum::Json(json!({ "items": items, "links": { "self": own } }))
}
