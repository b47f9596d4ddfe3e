//! What nobody needs any more goes: bytes that lost their last row at once, what has expired within a minute, and what
//! crashes left within some hours. Any number of servers that share a database and objects may do this side by side.

use std::time::{Duration, Instant, SystemTime};

use super::blobs::{ORPHAN_AGE, Object};
use crate::problem::Problem;
use crate::state::App;

/// How often what has expired is looked for.
const INTERVAL: Duration = Duration::from_mins(1);
/// After how many of these intervals orphans are looked for.
const ORPHANS_EVERY: u64 = 60;

/// By how much the clock of the system may differ from time that has passed, before it was set.
const SET: Duration = Duration::from_mins(1);

/// Sweeps as long as the server runs, at its start first.
pub(crate) async fn for_ever(app: App) {
    let mut tick = tokio::time::interval(INTERVAL);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut before = Times::now();
    for round in 0_u64.. {
        tick.tick().await;
        // What failed is in the log, and the next round tries again.
        drop(expire(&app).await);
        if round % ORPHANS_EVERY == 0 {
            // By a clock that was set ahead what was written just now is old. In an hour it is old or has its row.
            let was = std::mem::replace(&mut before, Times::now());
            if before.goes_on(was) {
                drop(orphans(&app).await);
            } else {
                tracing::warn!("the clock was set: bytes without a folder are looked for later");
            }
        }
    }
}

/// What the two clocks said at once.
#[derive(Clone, Copy)]
struct Times {
    system: SystemTime,
    steady: Instant,
}

impl Times {
    fn now() -> Self {
        Self { system: SystemTime::now(), steady: Instant::now() }
    }

    /// Whether as much time has passed on both since `before`.
    fn goes_on(self, before: Self) -> bool {
        let passed = self.steady.duration_since(before.steady);
        self.system.duration_since(before.system).is_ok_and(|told| told.abs_diff(passed) < SET)
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
    app.store.forget_pending(app.now()).await?;
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_was_set_is_noticed() {
        let before = Times::now();
        let hour = Duration::from_hours(1);
        let after = |told, passed| Times { system: before.system + told, steady: before.steady + passed };
        assert!(after(hour, hour).goes_on(before));
        assert!(after(hour + Duration::from_secs(2), hour).goes_on(before), "it is adjusted");
        assert!(!after(2 * hour, hour).goes_on(before), "set ahead");
        assert!(!after(Duration::ZERO, hour).goes_on(before), "set back");
        assert!(!before.goes_on(after(hour, Duration::ZERO)), "set back to before");
    }
}
