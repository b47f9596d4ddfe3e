//! What surrounds every request: an id, a line in the log, and the metrics.
//!
//! The line has the method, the path without its query, the status, the time, and for a refusal the requirement. It never
//! has header fields or bodies, for those carry tickets, tokens and passwords.

use std::time::Instant;

use axum::extract::{MatchedPath, Request, State};
use axum::http::header::CACHE_CONTROL;
use axum::http::{HeaderName, HeaderValue, Method};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use meshproof_proto::codec::hex;
use meshproof_proto::crypto::draw;
use meshproof_proto::requirement::{self as req, deviates};
use tracing::Instrument as _;

use crate::etag;
use crate::metrics;
use crate::problem::Problem;
use crate::state::{App, OsEntropy};

/// The field that tells a client the id under which its request is in the log.
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Why a response is a refusal: an extension of it.
#[derive(Clone, Copy)]
pub(crate) struct Refusal(pub(crate) &'static str);

/// Looks whether the issuer's keys are still those, has the request answered, logs it, and keeps answers out of caches.
pub(crate) async fn around(State(app): State<App>, request: Request, next: Next) -> Response {
    let (started, _open) = (Instant::now(), metrics::open_request());
    let id = hex(&draw::<8>(&mut OsEntropy));
    let method = name(request.method());
    let route = request.extensions().get::<MatchedPath>().cloned();
    let path = request.uri().path().to_owned();
    let span = tracing::info_span!("request", id);
    let answer = async {
        let condition = etag::condition(&request);
        let mut response = match app.keys.refresh(&app.store, app.now()).await {
            Ok(()) if request.method() == Method::HEAD && deviates(req::GPH_105) => {
                Problem::from(req::GPH_005).into_response()
            }
            Ok(()) => etag::not_modified(condition, next.run(request).await),
            Err(problem) => problem.into_response(),
        };
        let (status, took) = (response.status().as_u16(), started.elapsed());
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        let refusal = response.extensions().get::<Refusal>().map(|refusal| refusal.0);
        match refusal {
            _ if status >= 500 => {
                tracing::error!(method, path, status, requirement = refusal, micros, "failed");
            }
            Some(requirement) => tracing::info!(method, path, status, requirement, micros, "refused"),
            None => tracing::debug!(method, path, status, micros, "answered"),
        }
        let route = route.as_ref().map_or("none", MatchedPath::as_str);
        metrics::request(method, route, status, took);
        if let Some(requirement) = refusal {
            metrics::refusal(requirement);
        }
        response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Ok(id) = HeaderValue::from_str(&id) {
            response.headers_mut().insert(REQUEST_ID, id);
        }
        response
    };
    answer.instrument(span).await
}

/// Of methods that clients invent there is no end.
fn name(method: &Method) -> &'static str {
    let known = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];
    known.into_iter().find(|known| *known == method.as_str()).unwrap_or("other")
}
