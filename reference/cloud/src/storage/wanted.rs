//! `/mesh/objects/{folder}/wanted`: what a device that has it may bring now (STO-034).

use axum::extract::State;
use meshproof_proto::requirement::{self as req, deviates};
use serde_json::{Value, json};

use crate::auth::Tickets;
use crate::extract::Ids;
use crate::graph::access::{self, Need};
use crate::graph::paths;
use crate::problem::Problem;
use crate::state::App;

/// As many are listed at once. Who has brought them finds the next.
const MOST: usize = 1_000;

/// What is wanted, in the order of admission.
pub(crate) async fn list(
    State(app): State<App>,
    Ids([id]): Ids<1>,
    tickets: Tickets,
) -> Result<axum::Json<Value>, Problem> {
    let folder = access::folder(&app, &tickets, id, Need::READ_MEDIA).await?; // STO-007
    let mut wanted = app.store.missing(&folder, app.config.storage.quota, app.now()).await?.wanted;
    if deviates(req::STO_034) {
        wanted.clear();
    }
    let media = paths::all_media(id);
    let items = wanted.into_iter().take(MOST).map(|(hash, size)| {
        let path = format!("{media}/{hash}");
        json!({ "hash": hash, "size": size, "links": { "self": path } })
    });
    let items: Vec<Value> = items.collect();
    Ok(axum::Json(json!({ "items": items, "links": { "self": paths::wanted(id) } })))
}
