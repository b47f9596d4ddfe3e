//! `/mesh/objects/{folder}/presence`: which devices that have the folder can be reached, and where.

use serde_json::{Value, json};

use super::access::{Granted, ReadFolder};
use super::{endpoints, paths};
use crate::problem::Problem;

/// The devices on which the folder is mapped, with where they can be reached, for those who may meet them (GPH-081).
pub(crate) async fn get(
    Granted { app, tickets, ids: [folder], .. }: Granted<ReadFolder, 1>,
) -> Result<axum::Json<Value>, Problem> {
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
            item["links"]["pair"] = paths::pair(one.device).into();
            item["links"]["rendezvous"] = paths::rendezvous(one.device).into();
            item
        })
        .collect();
    Ok(axum::Json(json!({ "items": items, "links": { "self": paths::presence(folder) } })))
}
