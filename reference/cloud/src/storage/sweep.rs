//! What nobody needs any more goes: bytes that lost their last row at once, what has expired within a minute, and what
//! crashes left within some hours. Any number of servers that share a database and objects may do this side by side.

use std::time::{Duration, SystemTime};

use super::blobs::{ORPHAN_AGE, Object};
use crate::problem::Problem;
use crate::state::App;

/// How often what has expired is looked for.
const INTERVAL: Duration = Duration::from_mins(1);
/// After how many of these intervals orphans are looked for.
const ORPHANS_EVERY: u64 = 60;

/// Sweeps as long as the server runs, at its start first.
pub(crate) async fn for_ever(app: App) {
    let mut tick = tokio::time::interval(INTERVAL);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    for round in 0_u64.. {
        tick.tick().await;
        // What failed is in the log, and the next round tries again.
        drop(expire(&app).await);
        if round % ORPHANS_EVERY == 0 {
            drop(orphans(&app).await);
        }
    }
}

/// Removes objects after the transaction in which they lost their row. One that stays after all is found as an orphan.
pub(crate) async fn remove(app: &App, objects: Vec<Object>) {
    for object in objects {
        if let Err(error) = app.blobs.remove(&object).await {
            tracing::warn!(object = object.as_str(), "cannot remove stored bytes: {error}");
        }
    }
}

async fn expire(app: &App) -> Result<(), Problem> {
    let objects = app.store.expire(app.now()).await?;
    remove(app, objects).await;
    Ok(())
}

/// Removes objects without row: a server that ended between the one and the other left them.
async fn orphans(app: &App) -> Result<(), Problem> {
    let before = SystemTime::now() - ORPHAN_AGE;
    app.blobs.forget_unfinished(before).await.map_err(Problem::internal)?;
    for prefix in 0..=u8::MAX {
        for (object, written) in app.blobs.list(prefix).await.map_err(Problem::internal)? {
            if written < before && !app.store.object_is_named(object.clone()).await? {
                tracing::info!(object = object.as_str(), "removing bytes that no folder holds");
                remove(app, vec![object]).await;
            }
        }
    }
    Ok(())
}
