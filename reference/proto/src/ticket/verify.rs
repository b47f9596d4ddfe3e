//! Operation *Verify* (`spec/ticket.md`, section 4.3).

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;

use super::parse::{Parsed, parse};
use super::{MAX_LIFETIME, MAX_SKEW, Subject, Ticket};
use crate::crypto::{KeyRejected, Provider, PublicKey, Spki};
use crate::error::Error;
use crate::requirement::{self as req, demand, demand_some};
use crate::time::UnixTime;

/// A ticket that passed every rule of section 4.3. Only [`Verifier::verify`] makes one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifiedTicket(Ticket);

impl core::ops::Deref for VerifiedTicket {
    type Target = Ticket;

    fn deref(&self) -> &Ticket {
        &self.0
    }
}

#[cfg(feature = "mutants")]
impl VerifiedTicket {
    /// Only for mutants: the proof without the work.
    pub(crate) fn unchecked(bytes: &[u8]) -> Option<Self> {
        parse(bytes).ok().map(|parsed| Self(parsed.ticket))
    }
}

/// What whoever shows a ticket has proved.
#[derive(Clone, Copy, Debug)]
pub enum Presenter<'a> {
    /// Nothing: HTTP.
    Anyone,
    /// To hold this key, or it will be proved before anything is done for the presenter: the handshake.
    Holder(&'a Spki),
    /// The caller compares the confirmation key itself, by a rule of its own (HSK-024).
    CheckedByCaller,
}

/// The issuers that a relying service trusts, and the service's own name.
pub struct Verifier {
    provider: &'static dyn Provider,
    audience: String,
    issuers: BTreeMap<String, Vec<Box<dyn PublicKey>>>,
    revoked: Vec<Subject>,
}

impl Verifier {
    /// A verifier for tickets to `audience`, which trusts nobody yet.
    pub fn new(provider: &'static dyn Provider, audience: impl Into<String>) -> Self {
        Self { provider, audience: audience.into(), issuers: BTreeMap::new(), revoked: Vec::new() }
    }

    /// Trusts the issuer of this name with these keys, one, or two while a key is replaced.
    ///
    /// # Errors
    /// [`KeyRejected`] if there are no or more than two keys, or one does not load.
    pub fn trust(&mut self, issuer: impl Into<String>, keys: &[Spki]) -> Result<(), KeyRejected> {
        if !(1..=2).contains(&keys.len()) {
            return Err(KeyRejected);
        }
        let keys = keys.iter().map(|key| self.provider.public_key(key)).collect::<Result<_, _>>()?;
        self.issuers.insert(issuer.into(), keys);
        Ok(())
    }

    /// Refuses this subject from now on.
    pub fn revoke(&mut self, subject: Subject) {
        self.revoked.push(subject);
    }

    /// The name for which tickets are accepted.
    pub fn audience(&self) -> &str {
        &self.audience
    }

    /// Verifies the bytes of a ticket, at the clock reading `now`, shown by `presenter`.
    pub fn verify(
        &self,
        bytes: &[u8],
        now: UnixTime,
        presenter: Presenter<'_>,
    ) -> Result<VerifiedTicket, Error> {
        let parsed = parse(bytes)?;
        self.check_signature(&parsed)?;
        let ticket = parsed.ticket;
        demand(ticket.not_before <= now.plus(MAX_SKEW), req::TKT_022)?;
        demand(now < ticket.not_on_or_after, req::TKT_014)?;
        let lifetime = ticket.not_on_or_after.0.checked_sub(ticket.not_before.0);
        demand(lifetime.is_some_and(|life| (1..=MAX_LIFETIME).contains(&life)), req::TKT_023)?;
        demand(ticket.audience == self.audience, req::TKT_024)?;
        let possessed = match (&ticket.confirmation, presenter) {
            (None, _) | (Some(_), Presenter::CheckedByCaller) => true,
            (Some(key), Presenter::Holder(proved)) => key == proved,
            (Some(_), Presenter::Anyone) => false,
        };
        demand(possessed, req::TKT_025)?;
        demand(!self.revoked.contains(&ticket.subject), req::TKT_026)?;
        Ok(VerifiedTicket(ticket))
    }

    fn check_signature(&self, parsed: &Parsed<'_>) -> Result<(), Error> {
        let any: Vec<&dyn PublicKey> = self.issuers.values().flatten().map(|key| &**key).collect();
        let configured = self.issuers.get(&parsed.ticket.issuer);
        let keys = demand_some(
            configured.map(|keys| keys.iter().map(|key| &**key).collect()),
            req::TKT_019,
            || any, // the mutant tries every key that it has
        )?;
        let digest = self.provider.sha256(&parsed.digested);
        demand(parsed.digest == digest, req::TKT_020)?;
        let signed = keys.iter().any(|key| key.verify(&parsed.signed_info, &parsed.signature));
        demand(signed, req::TKT_021)
    }
}
