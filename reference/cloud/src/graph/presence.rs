//! `/mesh/objects/{folder}/presence`: which devices that have the folder can be reached, and where.

use axum::extract::State;
use serde_json::{Value, json};

use super::access::Need;
use super::{access, endpoints, paths};
use crate::auth::Tickets;
use crate::extract::Ids;
use crate::problem::Problem;
use crate::state::App;

/// The devices on which the folder is mapped, with where they can be reached, for those who may meet them (GPH-081).
pub(crate) async fn get(
    State(app): State<App>,
    Ids([folder]): Ids<1>,
    tickets: Tickets,
) -> Result<axum::Json<Value>, Problem> {
    access::folder(&app, &tickets, folder, Need::READ).await?;
    let (all, now) = (app.store.present(folder, tickets.user, tickets.device).await?, app.now());
    let items: Vec<Value> = all
        .into_iter()
        .map(|one| {
            let endpoint = one.endpoint.filter(|endpoint| now < endpoint.expires); // GPH-042
            let mut item = endpoints::representation(one.device, endpoint.as_ref(), now);
            item["device"] = one.device.to_string().into();
            item["name"] = one.name.into();
            item["user"] = one.user.to_string().into();
            item["online"] = endpoint.is_some().into();
            item
        })
        .collect();
    Ok(axum::Json(json!({ "items": items, "links": { "self": paths::presence(folder) } })))
}
