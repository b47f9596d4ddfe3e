//! Bytes that are coming in, per user who will be charged for them.
//!
//! A quota that counted only what is charged would let uploads that never end fill the disk: so what has come counts
//! too (STO-002), until it is charged or forgotten.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use meshproof_proto::codec::Id;
use meshproof_proto::requirement::{self as req, demand};
use tokio::sync::MutexGuard;

use crate::problem::Problem;
use crate::state::App;

/// What is reserved in all.
#[derive(Default)]
pub(crate) struct Reserved {
    users: Mutex<HashMap<Id, u64>>,
    /// Held while bytes go from reserved to charged, so that nobody sees them counted twice or not at all.
    charging: tokio::sync::Mutex<()>,
}

impl Reserved {
    /// Waits for the right to charge what is reserved.
    pub(crate) async fn charging(&self) -> MutexGuard<'_, ()> {
        self.charging.lock().await
    }

    fn change<T>(&self, change: impl FnOnce(&mut HashMap<Id, u64>) -> T) -> T {
        change(&mut self.users.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// What one upload has reserved. Dropping it, for whatever reason, releases it.
pub(super) struct Reservation {
    app: App,
    user: Id,
    bytes: u64,
}

impl Reservation {
    pub(super) fn new(app: &App, user: Id) -> Self {
        Self { app: app.clone(), user, bytes: 0 }
    }

    /// Reserves as many bytes more.
    ///
    /// # Errors
    /// STO-002 if with them the user would be above the quota.
    pub(super) async fn grow(&mut self, bytes: u64) -> Result<(), Problem> {
        let app = self.app.clone();
        let _charging = app.reserved.charging().await;
        let used = app.store.user(self.user).await?.map_or(0, |user| user.used);
        app.reserved.change(|users| {
            let reserved = users.entry(self.user).or_default();
            let sum = used.saturating_add(*reserved).saturating_add(bytes);
            demand(sum <= app.config.storage.quota, req::STO_002)?;
            *reserved += bytes;
            self.bytes += bytes;
            Ok(())
        })
    }

    /// Whether as many bytes are left now, without reserving them: an announcement alone takes nothing from others.
    pub(super) async fn announce(&self, bytes: u64) -> Result<(), Problem> {
        let mut probe = Self::new(&self.app, self.user);
        probe.grow(bytes).await
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.app.reserved.change(|users| {
            let left = users.get(&self.user).map_or(0, |reserved| reserved.saturating_sub(self.bytes));
            if left == 0 {
                users.remove(&self.user);
            } else {
                users.insert(self.user, left);
            }
        });
    }
}
