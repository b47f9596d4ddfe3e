//! A new ticket on a channel that is open, so that work of any length goes on (`spec/handshake.md`, section 4.6).

use alloc::sync::Arc;

use super::Device;
use crate::codec::Id;
use crate::crypto::Spki;
use crate::error::Error;
use crate::requirement::{self as req, demand};
use crate::ticket::pair::{Grounds, grounds};
use crate::ticket::{Presenter, Verifier};
use crate::time::UnixTime;

/// What a responder needs to accept another ticket of the same initiator.
pub struct Renewal {
    /// This device.
    pub device: Arc<Device>,
    /// For this device as audience: what it trusted when the connection was accepted.
    pub verifier: Arc<Verifier>,
    /// What it trusts now, if that may change.
    pub current: Option<Arc<dyn CurrentVerifier>>,
    /// Who opened the channel.
    pub initiator: Id,
    /// With which key.
    pub key: Spki,
}

/// Whom a device trusts, where that changes while channels are open: an issuer replaces a key that was stolen.
pub trait CurrentVerifier: Send + Sync {
    /// For this device as audience.
    fn current(&self) -> Arc<Verifier>;
}

impl Renewal {
    /// HSK-054: why the two devices may go on, and until when.
    pub fn verify(&self, ticket: &[u8], now: UnixTime) -> Result<(Grounds, UnixTime), Error> {
        let own = self.device.spki().fingerprint(self.device.provider());
        let refused = |_| Error::from(req::HSK_054);
        let current = self.current.as_ref().map(|current| current.current());
        let verifier = current.as_ref().unwrap_or(&self.verifier);
        let ticket = verifier.verify(ticket, now, Presenter::Holder(&self.key)).map_err(refused)?;
        let grounds = grounds(&ticket, self.device.id(), &own).map_err(refused)?;
        demand(grounds.initiator == self.initiator, req::HSK_054)?;
        Ok((grounds, ticket.not_on_or_after))
    }
}
