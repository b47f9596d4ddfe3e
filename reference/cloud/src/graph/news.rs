//! `/mesh/objects/{folder}/news` and `/mesh/news`: who did what and when, for people.

use meshproof_proto::codec::Id;
use meshproof_proto::requirement::{self as req, demand_some, deviates};
use meshproof_proto::time::UnixTime;
use serde::Deserialize;
use serde_json::{Value, json};

use super::access::{Granted, ReadFolder, ReadMesh};
use super::{paths, watermark};
use crate::extract::{Params, page};
use crate::problem::Problem;
use crate::state::App;
use crate::store::Span;
use crate::store::changes::{Change, Place};

/// Which page.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Before {
    before: Option<String>,
    limit: Option<u64>,
}

/// What was done in a folder, newest first (GPH-064).
pub(crate) async fn of_folder(
    Granted { app, ids: [folder], .. }: Granted<ReadFolder, 1>,
    Params(before): Params<Before>,
) -> Result<axum::Json<Value>, Problem> {
    list(&app, vec![folder], before, &paths::news(folder)).await
}

/// What was done in the user's mesh, and in all folders of which the user is a member now (GPH-065).
pub(crate) async fn of_mesh(
    Granted { app, tickets, .. }: Granted<ReadMesh>,
    Params(before): Params<Before>,
) -> Result<axum::Json<Value>, Problem> {
    let folders = app.store.folders_of(tickets.user, Span::all()).await?;
    let mut feeds = vec![tickets.user];
    feeds.extend(folders.into_iter().map(|(folder, _)| folder.id));
    if deviates(req::GPH_065) {
        feeds.truncate(1); // the mutant leaves the folders out
    }
    list(&app, feeds, before, paths::NEWS).await
}

async fn list(
    app: &App,
    feeds: Vec<Id>,
    Before { before, limit }: Before,
    path: &str,
) -> Result<axum::Json<Value>, Problem> {
    let limit = page(limit)?;
    let before = before.map(|text| read(app, &text)).transpose()?;
    let mut changes = app.store.news(feeds, before, limit + 1).await?;
    let more = changes.len() > limit;
    changes.truncate(limit);
    let mut links = json!({ "self": path });
    if let Some(last) = changes.last().filter(|_| more) {
        links["next"] = format!("{path}?before={}&limit={limit}", write(app, last.at)).into();
    }
    if deviates(req::GPH_064) {
        changes.reverse();
    }
    let items: Vec<Value> = changes.iter().map(representation).collect();
    Ok(axum::Json(json!({ "items": items, "links": links })))
}

fn representation(change: &Change) -> Value {
    let mut item = json!({
        "time": change.at.time.0,
        "user": change.user.to_string(),
        "name": change.name,
        "verb": change.verb,
        "node": change.node,
        "detail": change.detail,
    });
    if let Some(device) = change.device {
        item["device"] = device.to_string().into();
    }
    item
}

/// Where a page ends: a watermark, the feed that it is of, the time.
fn write(app: &App, place: Place) -> String {
    format!("{}-{}-{}", place.time.0, place.feed, watermark::write(app, place.feed, place.seq))
}

fn read(app: &App, text: &str) -> Result<Place, Problem> {
    let parts = || {
        let (time, rest) = text.split_once('-')?;
        let (feed, mark) = rest.split_once('-')?;
        Some((UnixTime(time.parse().ok()?), Id::parse(feed)?, mark))
    };
    let (time, feed, mark) = demand_some(parts(), req::GPH_061, || (UnixTime(u64::MAX), Id::default(), ""))?;
    Ok(Place { time, feed, seq: watermark::read(app, feed, mark)? }) // GPH-061
}
