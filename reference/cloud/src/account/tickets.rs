//! `POST /tickets`

use axum::extract::State;
use axum::http::HeaderMap;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use meshproof_proto::ticket::Subject;
use serde_json::{Value, json};

use super::issue::first_tickets;
use crate::extract::NoBody;
use crate::graph::paths;
use crate::identity::sessions;
use crate::problem::Problem;
use crate::state::App;

/// Trades a token for the root of the mesh and the first tickets (IDN-007, IDN-008).
pub(crate) async fn post(
    State(app): State<App>,
    headers: HeaderMap,
    _: NoBody,
) -> Result<axum::Json<Value>, Problem> {
    let session = sessions::holder(&app, &headers).await?;
    let tickets = first_tickets(&app, Subject::User(session.user), session.user, &session.class).await?;
    Ok(axum::Json(representation(&app, &tickets)))
}

/// The root of the mesh, first tickets, and what is needed to verify them.
pub(crate) fn representation(app: &App, tickets: &[String]) -> Value {
    json!({
        "root": paths::MESH,
        "issuer": { "name": app.issuer_name, "keys": [STANDARD.encode(app.issuer.key().spki().der())] },
        "audience": app.verifier.audience(),
        "tickets": tickets,
    })
}
