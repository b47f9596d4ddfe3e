//! Wake-ups: who waits for something to change is told to look again.
//!
//! A wake-up is a hint and may be lost; the database is the truth. So who waits looks once it listens, and at the end.
//! Between several processes a message with the feeds carries the hint (`nats.rs`).

#[cfg(feature = "nats")]
mod nats;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use meshproof_proto::codec::Id;
use tokio::sync::{Notify, mpsc};

use crate::{Error, config};

/// The wake-ups of this process. Cloning is cheap.
#[derive(Clone, Default)]
pub(crate) struct Bus(Arc<Mutex<Inner>>);

#[derive(Default)]
struct Inner {
    /// By what is listened to, and the listener's number.
    listeners: BTreeMap<(Id, u64), Arc<Notify>>,
    next: u64,
    closed: bool,
    /// To the other processes, if there are any.
    others: Option<mpsc::Sender<Vec<Id>>>,
}

impl Bus {
    /// Joins the processes that share the database.
    #[cfg(feature = "nats")]
    pub(crate) async fn join(&self, server: &config::Bus) -> Result<(), Error> {
        nats::join(self, server).await
    }

    /// What a build can do that knows no message servers.
    #[cfg(not(feature = "nats"))]
    #[expect(clippy::unused_async, reason = "as with the feature")]
    pub(crate) async fn join(&self, _: &config::Bus) -> Result<(), Error> {
        Err(Error::Configuration("bus.url: this meshd was built without the feature `nats`".into()))
    }

    /// Wakes all who listen to one of these feeds or queues, in whatever process.
    pub(crate) fn wake(&self, what: &[Id]) {
        self.wake_here(what);
        if let Some(others) = &self.inner().others {
            drop(others.try_send(what.to_vec())); // a hint that finds no room is lost
        }
    }

    /// Wakes everybody in this process.
    #[cfg(feature = "nats")]
    fn wake_everybody(&self) {
        self.inner().listeners.values().for_each(|listener| listener.notify_one());
    }

    fn wake_here(&self, what: &[Id]) {
        let inner = self.inner();
        for id in what {
            inner.listeners.range((*id, 0)..=(*id, u64::MAX)).for_each(|(_, listener)| listener.notify_one());
        }
    }

    /// Listens to these feeds and queues from now on.
    pub(crate) fn listen(&self, to: Vec<Id>) -> Listener {
        let notify = Arc::new(Notify::new());
        let mut inner = self.inner();
        let number = inner.next;
        inner.next += 1;
        inner.listeners.extend(to.iter().map(|id| ((*id, number), notify.clone())));
        drop(inner);
        Listener { bus: self.clone(), to, number, notify }
    }

    /// Wakes everybody for the last time: the server stops.
    pub(crate) fn close(&self) {
        let mut inner = self.inner();
        inner.closed = true;
        inner.listeners.values().for_each(|listener| listener.notify_one());
    }

    /// Whether it is not worth while to wait.
    pub(crate) fn is_closed(&self) -> bool {
        self.inner().closed
    }

    /// No code that holds the lock panics half way.
    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Bus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bus").field("listeners", &self.inner().listeners.len()).finish()
    }
}

/// Somebody who listens, until it is dropped.
pub(crate) struct Listener {
    bus: Bus,
    to: Vec<Id>,
    number: u64,
    notify: Arc<Notify>,
}

impl Listener {
    /// What it listens to.
    pub(crate) fn to(&self) -> &[Id] {
        &self.to
    }

    /// Waits for a wake-up; one that came since the last time counts.
    pub(crate) async fn woken(&self) {
        self.notify.notified().await;
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        let mut inner = self.bus.inner();
        for id in &self.to {
            inner.listeners.remove(&(*id, self.number));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn who_listens_is_woken() {
        let bus = Bus::default();
        let (a, b) = (Id([1; 16]), Id([2; 16]));
        let both = bus.listen(vec![a, b]);
        let one = bus.listen(vec![b]);
        bus.wake(&[a]);
        both.woken().await; // it came before
        let woken = tokio::time::timeout(std::time::Duration::from_millis(20), one.woken()).await;
        assert!(woken.is_err(), "woken by what it does not listen to");
        bus.wake(&[b]);
        tokio::join!(both.woken(), one.woken());
        drop((both, one));
        assert!(bus.inner().listeners.is_empty());

        let last = bus.listen(vec![a]);
        bus.close();
        last.woken().await;
        assert!(bus.is_closed());
    }
}
