//! That the server stops: who waits on behalf of a client has to answer then, and who balances load is told.

use tokio::sync::watch;

/// ```text
///  Running --begin--> Draining --end--> Ended
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Phase {
    Running,
    Draining,
    Ended,
}

/// A signal that all clones share.
#[derive(Clone, Debug)]
pub(crate) struct Stopping(watch::Sender<Phase>);

impl Default for Stopping {
    fn default() -> Self {
        Self(watch::Sender::new(Phase::Running))
    }
}

impl Stopping {
    /// No new requests come from now on.
    pub(crate) fn begin(&self) {
        self.0.send_replace(Phase::Draining);
    }

    /// The last request was answered, or given up.
    pub(crate) fn end(&self) {
        self.0.send_replace(Phase::Ended);
    }

    /// Whether it has begun.
    pub(crate) fn has_begun(&self) -> bool {
        *self.0.borrow() > Phase::Running
    }

    /// Waits until the server has stopped.
    pub(crate) async fn ended(&self) {
        // The sender is in this very value: it cannot have gone.
        drop(self.0.subscribe().wait_for(|phase| *phase == Phase::Ended).await);
    }
}
