//! `POST /mesh/objects/{folder}/ticket`: a ticket for one folder, for who has more folders than the first tickets hold.

use axum::extract::State;
use meshproof_proto::requirement::{self as req, demand, demand_some};
use meshproof_proto::ticket::Role;
use serde_json::{Value, json};

use super::paths;
use crate::account::issue::folder_ticket;
use crate::auth::Tickets;
use crate::extract::{Ids, NoBody};
use crate::identity::throttle;
use crate::problem::Problem;
use crate::state::App;

/// Issues it to any member. Asks for no ticket about the folder, which is what is missing; to who is no member the
/// folder does not exist (GPH-002, GPH-003).
pub(crate) async fn post(
    State(app): State<App>,
    Ids([folder]): Ids<1>,
    tickets: Tickets,
    _: NoBody,
) -> Result<axum::Json<Value>, Problem> {
    demand(tickets.authenticated(), req::GPH_002)?;
    let found = app.store.folder_and_role(folder, tickets.user).await?;
    let role = demand_some(found.and_then(|(_, role)| role), req::GPH_002, || Role::Reader)?;
    throttle::tickets(&app, tickets.user).await?;
    let ticket = folder_ticket(&app, tickets.subject(), folder, role)?;
    let path = paths::folder_ticket(folder);
    Ok(axum::Json(json!({ "ticket": ticket, "links": { "self": path } })))
}
