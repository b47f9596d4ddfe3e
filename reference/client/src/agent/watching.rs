//! What a person changes reaches the peers at once: the system tells, a short while nothing more happens, a look at what was
//! named, and a round.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, sleep, timeout};

use super::Agent;
use crate::sync::{Folder, Progress, refresh};

/// How long nothing has to happen.
const QUIET: Duration = Duration::from_millis(50);
/// How long something may go on happening.
const PATIENCE: Duration = Duration::from_millis(500);
/// How long after one that failed all folders are looked at again.
const RECOVERY: Duration = Duration::from_secs(5);

impl Agent {
    /// Watches the folders for ever, and says when something changed in them. Who is `eager` looks at all of them first, so that
    /// a peer that comes later does not wait for that.
    pub(super) async fn watch(
        &self,
        progress: &Arc<dyn Progress>,
        changed: &Notify,
        eager: bool,
    ) -> Infallible {
        let stirring = Arc::new(Notify::new());
        let folders = self.folders().unwrap_or_default();
        let _unwatch = Unwatch(folders.clone());
        for folder in &folders {
            let tell = stirring.clone();
            if let Err(error) = folder.watch(move || tell.notify_one()) {
                tracing::error!("{error}");
            }
        }
        if eager {
            look(&folders, progress).await;
        }
        loop {
            stirring.notified().await;
            let begin = Instant::now();
            while begin.elapsed() < PATIENCE && timeout(QUIET, stirring.notified()).await.is_ok() {}
            let looking = Instant::now();
            let looked = look(&folders, progress).await;
            let took = looking.elapsed();
            // A session may have looked first.
            if folders.iter().filter(|folder| folder.take_news()).count() > 0 {
                changed.notify_one();
            }
            if looked {
                // What a session writes stirs, too: looking is not to keep it from its work.
                sleep(took * 4).await;
            } else {
                sleep(RECOVERY).await;
                stirring.notify_one();
            }
        }
    }
}

/// `false`: it did not work.
async fn look(folders: &[Arc<Folder>], progress: &Arc<dyn Progress>) -> bool {
    let (folders, progress) = (folders.to_vec(), progress.clone());
    let looked = tokio::task::spawn_blocking(move || {
        let mut good = true;
        for folder in &folders {
            if let Err(error) = refresh(folder, &*progress) {
                tracing::warn!("{error}");
                good = false;
            }
        }
        good
    });
    looked.await.unwrap_or(false)
}

/// The folders are watched no longer than somebody listens.
struct Unwatch(Vec<Arc<Folder>>);

impl Drop for Unwatch {
    fn drop(&mut self) {
        self.0.iter().for_each(|folder| folder.unwatch());
    }
}
