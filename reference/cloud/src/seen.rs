//! Tickets that were verified before: a client shows the same ones with each request for minutes.
//!
//! Only a signature is remembered, for the very bytes that it was over; all that may change since is asked each time.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use meshproof_proto::crypto::DEFAULT;
use meshproof_proto::error::Error as RuleError;
use meshproof_proto::ticket::set::TicketSet;
use meshproof_proto::ticket::{Presenter, VerifiedTicket, Verifier, parse};
use meshproof_proto::time::UnixTime;

/// Each with a lock of its own, so that requests do not wait for each other.
const SHARDS: usize = 16;
/// Tickets a shard. A ticket takes 1 to 6 KiB, and only an issuer that is trusted can fill this up.
const PER_SHARD: usize = 1_024;

/// Verified tickets by the SHA-256 of their text.
#[derive(Default)]
pub(crate) struct Seen([Mutex<HashMap<[u8; 32], Arc<VerifiedTicket>>>; SHARDS]);

impl Seen {
    /// Verifies the tickets of a header field, as [`TicketSet::verify`] does.
    pub(crate) fn verify(
        &self,
        verifier: &Verifier,
        field: &str,
        now: UnixTime,
    ) -> Result<TicketSet, RuleError> {
        TicketSet::read(field, |text| {
            let key = DEFAULT.sha256(&[text.as_bytes()]);
            let shard = &self.0[usize::from(key[0]) % SHARDS];
            let shard = || shard.lock().unwrap_or_else(PoisonError::into_inner);
            let known = shard().get(&key).cloned();
            if let Some(ticket) = known {
                verifier.verify_again(&ticket, now, Presenter::Anyone)?;
                return Ok(ticket);
            }
            let ticket = Arc::new(verifier.verify(&parse::decode(text)?, now, Presenter::Anyone)?);
            let mut shard = shard();
            if shard.len() >= PER_SHARD {
                shard.retain(|_, ticket| now < ticket.not_on_or_after);
            }
            // Any one goes, lest who has very many tickets keeps the places from all others.
            let any = shard.keys().next().copied().filter(|_| shard.len() >= PER_SHARD);
            if let Some(any) = any {
                shard.remove(&any);
            }
            shard.insert(key, Arc::clone(&ticket));
            Ok(ticket)
        })
    }
}
