//! `POST /tickets`

use axum::extract::State;
use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use meshproof_proto::crypto::Spki;
use meshproof_proto::requirement::{self as req, demand, deviates};
use meshproof_proto::ticket::Subject;
use serde_json::{Value, json};

use super::issue::first_tickets;
use crate::auth::Tickets;
use crate::extract::NoBody;
use crate::graph::paths;
use crate::identity::{self, sessions, throttle};
use crate::problem::Problem;
use crate::state::App;

/// Trades a token for the root of the mesh and the first tickets (IDN-007, IDN-008).
pub(crate) async fn post(
    State(app): State<App>,
    headers: HeaderMap,
    tickets: Result<Tickets, Problem>,
    _: NoBody,
) -> Result<axum::Json<Value>, Problem> {
    let (user, class) = if shows_tickets(&headers) {
        demand(false, req::IDN_064)?;
        (tickets?.user, identity::PASSWORD.class.to_owned()) // the mutant renews by tickets
    } else {
        let session = sessions::holder(&app, &headers).await?;
        (session.user, session.class)
    };
    throttle::tickets(&app, user).await?;
    let tickets = first_tickets(&app, Subject::User(user), user, &class).await?;
    Ok(axum::Json(representation(&app, &tickets)))
}

fn shows_tickets(headers: &HeaderMap) -> bool {
    let scheme = headers.get(AUTHORIZATION).and_then(|field| field.as_bytes().get(..11));
    scheme.is_some_and(|scheme| scheme.eq_ignore_ascii_case(b"MeshTicket "))
}

/// The root of the mesh, first tickets, and what is needed to verify them.
pub(crate) fn representation(app: &App, tickets: &[String]) -> Value {
    let ring = app.keys.ring();
    // The mutant keeps them to itself.
    let published: &[Spki] = if deviates(req::IDN_060) { &[] } else { &ring.published };
    let keys: Vec<String> = published.iter().map(|key| STANDARD.encode(key.der())).collect(); // IDN-060
    json!({
        "root": paths::MESH,
        "issuer": { "name": app.issuer_name, "keys": keys },
        "audience": app.audience,
        "tickets": tickets,
    })
}
