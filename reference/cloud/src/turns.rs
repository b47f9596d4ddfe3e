//! Turns: what one request does at a time, in this process.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use meshproof_proto::codec::Id;
use tokio::sync::Mutex as AsyncMutex;

/// A turn for each identifier that somebody asks for.
#[derive(Default)]
pub(crate) struct Turns(Mutex<HashMap<Id, Weak<AsyncMutex<()>>>>);

impl Turns {
    /// To be locked by whose turn it is.
    pub(crate) fn of(&self, id: Id) -> Arc<AsyncMutex<()>> {
        let mut turns = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        turns.retain(|_, turn| turn.strong_count() > 0);
        let turn = turns.get(&id).and_then(Weak::upgrade).unwrap_or_default();
        turns.insert(id, Arc::downgrade(&turn));
        turn
    }
}
