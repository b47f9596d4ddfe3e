//! The operator's listener: metrics and health, without TLS or tickets, so not for the world.

use std::net::SocketAddr;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use serde_json::json;
use tokio::net::TcpListener;

use crate::state::App;
use crate::{Error, metrics};

/// Starts the listener, for as long as the runtime lives. Returns where it listens.
pub(crate) async fn start(app: App, listen: SocketAddr) -> Result<SocketAddr, Error> {
    let failed = |source| Error::Listen { addr: listen, source };
    let listener = TcpListener::bind(listen).await.map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    let router = Router::new()
        .route("/metrics", get(metrics))
        .route("/health/live", get(|| async { "live\n" }))
        .route("/health/ready", get(ready))
        .with_state(app.clone());
    // It answers while the server drains, and ends with it.
    tokio::spawn(async move {
        tokio::select! {
            ended = axum::serve(listener, router) => tracing::error!(?ended, "the operator's listener ended"),
            () = app.stopping.ended() => {}
        }
    });
    Ok(address)
}

async fn metrics() -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], metrics::render())
}

/// 503 while the server drains, and when the store does not answer: who balances load sends requests elsewhere.
async fn ready(State(app): State<App>) -> impl IntoResponse {
    let store = app.store.answers().await;
    let store = store.inspect_err(|error| tracing::error!("the store does not answer: {error}")).is_ok();
    let draining = app.stopping.has_begun();
    let ready = store && !draining;
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, axum::Json(json!({ "ready": ready, "draining": draining, "store": store })))
}
