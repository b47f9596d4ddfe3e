//! `POST /mesh/batch`: several operations in one request (`spec/graph.md`, section 3.6).
//!
//! Each part is a request of its own to a router that has the nodes of a batch and no others: so it meets every check that
//! it would meet alone, and what is not in that router cannot be reached.

use axum::body::{Body, to_bytes};
use axum::http::header::{AUTHORIZATION, CONTENT_TYPE, ETAG, IF_MATCH, IF_NONE_MATCH, LOCATION};
use axum::http::{HeaderMap, HeaderValue, Method, Request, Uri};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Router};
use meshproof_proto::requirement::{self as req, demand, deviates};
use serde::Deserialize;
use serde_json::{Value, json};
use tower::ServiceExt as _;

use super::paths;
use crate::auth::Tickets;
use crate::extract::{Json, present};
use crate::problem::Problem;

/// How many parts a batch may have (GPH-097).
const MAX_PARTS: usize = 100;
/// When the answers have so many bytes, nothing more is read (GPH-098).
const FULL: usize = 4_194_304;

/// Where the parts go.
#[derive(Clone)]
pub(crate) struct Targets {
    /// The nodes that a batch may ask for.
    pub(crate) named: Router,
    /// All nodes: only for the mutant of GPH-099.
    pub(crate) all: Router,
}

/// Several operations.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Batch {
    parts: Vec<Part>,
    #[serde(default)]
    stop: bool,
}

/// One of them.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Part {
    method: Verb,
    href: String,
    #[serde(default, deserialize_with = "present")]
    if_match: Option<String>,
    #[serde(default, deserialize_with = "present")]
    if_none_match: Option<String>,
    #[serde(default, deserialize_with = "present")]
    body: Option<Value>,
}

#[derive(Clone, Copy, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "UPPERCASE")]
enum Verb {
    Get,
    Post,
    Put,
    Patch,
    Delete,
}

/// Does the parts in their order, and answers each (GPH-095).
pub(crate) async fn post(
    Extension(targets): Extension<Targets>,
    _: Tickets,
    headers: HeaderMap,
    Json(Batch { parts, stop }): Json<Batch>,
) -> Result<axum::Json<Value>, Problem> {
    demand(parts.len() <= MAX_PARTS, req::GPH_097)?;
    let requests = parts.into_iter().map(|part| Ok((part.method, part.request(&headers)?)));
    let requests = requests.collect::<Result<Vec<_>, Problem>>()?; // none is done if one is no request
    let router = if deviates(req::GPH_099) { targets.all } else { targets.named };
    let stop = stop || deviates(req::GPH_102);
    let (mut items, mut bytes, mut failed) = (Vec::new(), 0, false);
    for (method, request) in requests {
        let reads = method == Verb::Get;
        let may_go = demand(!(stop && failed), req::GPH_101)
            .and_then(|()| demand(!(reads && bytes >= FULL), req::GPH_098));
        let response = match may_go {
            Ok(()) => router.clone().oneshot(request).await.into_response(),
            Err(refused) => Problem::from(refused).into_response(),
        };
        failed |=
            !response.status().is_success() && response.status() != axum::http::StatusCode::NOT_MODIFIED;
        let (item, length) = answer(response).await?;
        bytes += length;
        items.push(item);
    }
    Ok(axum::Json(json!({ "items": items, "links": { "self": paths::BATCH } })))
}

/// What is not in a batch (GPH-099).
pub(crate) async fn not_here() -> Problem {
    req::GPH_099.into()
}

impl Part {
    /// The request that the part stands for, with the tickets of the batch.
    fn request(self, batch: &HeaderMap) -> Result<Request<Body>, Problem> {
        let uri: Option<Uri> = is_path(&self.href).then(|| self.href.parse().ok()).flatten();
        let uri = uri.ok_or(req::GPH_006)?;
        let mut request = Request::new(Body::empty());
        *request.method_mut() = self.method.into();
        *request.uri_mut() = uri;
        let fields = request.headers_mut();
        for field in batch.get_all(AUTHORIZATION) {
            fields.append(AUTHORIZATION, field.clone());
        }
        for (name, value) in [(IF_MATCH, &self.if_match), (IF_NONE_MATCH, &self.if_none_match)] {
            if let Some(value) = value.as_ref().filter(|_| !deviates(req::GPH_095)) {
                let fits = value.bytes().all(|b| (b' '..=b'~').contains(&b));
                let value = fits.then(|| HeaderValue::from_str(value).ok()).flatten().ok_or(req::GPH_006)?;
                fields.insert(name, value);
            }
        }
        if let Some(body) = self.body {
            fields.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
            *request.body_mut() = body.to_string().into();
        }
        Ok(request)
    }
}

impl From<Verb> for Method {
    fn from(verb: Verb) -> Self {
        match verb {
            Verb::Get => Self::GET,
            Verb::Post => Self::POST,
            Verb::Put => Self::PUT,
            Verb::Patch => Self::PATCH,
            Verb::Delete => Self::DELETE,
        }
    }
}

/// A path with its query, as RFC 3986 spells them.
fn is_path(href: &str) -> bool {
    let fits = |b: u8| b.is_ascii_alphanumeric() || b"._~!$&'()*+,;=:@%/?-".contains(&b);
    href.starts_with('/') && href.bytes().all(fits)
}

/// An answer as an item of the batch's, and how many bytes its body has.
async fn answer(response: Response) -> Result<(Value, usize), Problem> {
    let (parts, body) = response.into_parts();
    // It is in memory already: nothing in a batch streams.
    let bytes = to_bytes(body, usize::MAX).await.map_err(Problem::internal)?;
    let mut item = json!({ "status": parts.status.as_u16() });
    for (member, name) in
        [("etag", ETAG.as_str()), ("location", LOCATION.as_str()), ("ticket", "mesh-ticket")]
    {
        if let Some(value) = parts.headers.get(name).and_then(|value| value.to_str().ok()) {
            item[member] = value.into();
        }
    }
    if !bytes.is_empty() {
        item["body"] = serde_json::from_slice(&bytes).map_err(Problem::internal)?;
    }
    Ok((item, bytes.len()))
}
