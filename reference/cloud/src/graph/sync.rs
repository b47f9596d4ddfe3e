//! `/mesh/objects/{folder}/feeds/files/sync`: what changed of the entries.

use meshproof_proto::requirement as req;
use serde::Deserialize;
use serde_json::Value;

use super::access::{Granted, ReadFolder};
use super::{collection, entries, paths, watermark};
use crate::extract::{Params, page};
use crate::problem::Problem;

/// How far the client has come.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Since {
    pub(super) since: Option<String>,
    pub(super) limit: Option<u64>,
}

/// The entries, tombstones too, that were written since, in the order of their last change (GPH-060); all of them
/// without `since`. Each page has the watermark to go on from (GPH-062).
pub(crate) async fn get(
    Granted { app, ids: [folder], node: row, .. }: Granted<ReadFolder, 1>,
    Params(Since { since, limit }): Params<Since>,
) -> Result<axum::Json<Value>, Problem> {
    let limit = page(limit)?;
    let since = since.map_or(Ok(0), |text| watermark::read(&app, folder, &text))?; // GPH-061
    let delta = app.store.entries_since(folder, since, limit).await?.ok_or(req::GPH_061)?;
    let missing = app.store.missing(&row, app.config.storage.quota, app.now()).await?;
    let items = delta.entries.iter().map(|entry| entries::item(folder, entry, &missing));
    let mut body = collection(&paths::sync(folder), items);
    let next = watermark::write(&app, folder, delta.seq);
    body["more"] = delta.more.into();
    if delta.more {
        body["links"]["next"] = format!("{}?since={next}&limit={limit}", paths::sync(folder)).into();
    }
    body["watermark"] = next.into();
    Ok(body)
}
