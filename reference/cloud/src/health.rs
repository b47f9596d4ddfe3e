//! The operator's listener: metrics and health, without TLS or tickets, so not for the world.

use std::net::SocketAddr;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::state::App;
use crate::{Error, metrics};

/// Starts the listener, for as long as the runtime lives. Returns where it listens.
pub(crate) async fn start(app: App, listen: SocketAddr) -> Result<SocketAddr, Error> {
    let router = Router::new().route("/health/ready", get(ready)).with_state(app.clone());
    let (address, serving) = serve(listen, router).await?;
    // It answers while the server drains, and ends with it.
    tokio::spawn(async move {
        tokio::select! {
            () = serving => {}
            () = app.stopping.ended() => {}
        }
    });
    Ok(address)
}

/// The same for a relay alone, which has no store. It ends with the task.
pub(crate) async fn start_for_relay(
    drained: watch::Receiver<bool>,
    listen: SocketAddr,
) -> Result<(SocketAddr, JoinHandle<()>), Error> {
    let ready = move || {
        let draining = *drained.borrow();
        async move { answer(!draining, json!({ "ready": !draining, "draining": draining })) }
    };
    let (address, serving) = serve(listen, Router::new().route("/health/ready", get(ready))).await?;
    Ok((address, tokio::spawn(serving)))
}

/// What all have beside whether they are ready.
async fn serve(
    listen: SocketAddr,
    router: Router,
) -> Result<(SocketAddr, impl Future<Output = ()> + Send), Error> {
    let failed = |source| Error::Listen { addr: listen, source };
    let listener = TcpListener::bind(listen).await.map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    let router = router.route("/metrics", get(metrics)).route("/health/live", get(|| async { "live\n" }));
    let serving = async move {
        let ended = axum::serve(listener, router).await;
        tracing::error!(?ended, "the operator's listener ended");
    };
    Ok((address, serving))
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
    answer(ready, json!({ "ready": ready, "draining": draining, "store": store }))
}

fn answer(ready: bool, body: Value) -> (StatusCode, axum::Json<Value>) {
    (if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }, axum::Json(body))
}
