//! OPTIONS of every node (GPH-100), and the document that it refers to.

use axum::extract::MatchedPath;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use super::paths;

/// What a queue may subscribe to (GPH-070).
const SUBSCRIBABLE: [&str; 4] = [
    "/mesh",
    "/mesh/objects/{folder}",
    "/mesh/devices/{device}/endpoints",
    "/mesh/devices/{device}/rendezvous",
];

const OPENAPI: &str = include_str!("../../spec/openapi.yaml");

/// The schema of everything, without tickets.
pub(crate) async fn openapi() -> Response {
    ([(CONTENT_TYPE, "application/yaml")], OPENAPI).into_response()
}

/// What a node is; which methods it has the router says in `Allow`. It is the same for everybody, whether or not there
/// is such a node, so it tells nothing.
pub(crate) fn describe(template: &MatchedPath, path: &str) -> axum::Json<Value> {
    let template = template.as_str();
    // As RFC 6901 wants it in a fragment.
    let pointer: String =
        template.chars().map(|c| if c == '/' { "~1".into() } else { c.to_string() }).collect();
    axum::Json(json!({
        "template": template,
        "subscribable": SUBSCRIBABLE.contains(&template),
        "links": { "self": path, "schema": format!("{}#/paths/{pointer}", paths::OPENAPI) },
    }))
}
