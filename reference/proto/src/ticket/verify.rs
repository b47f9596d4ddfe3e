//! Operation *Verify* (`spec/ticket.md`, section 4.3).

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;

use super::parse::{Parsed, parse};
use super::{MAX_LIFETIME, MAX_SKEW, Subject, Ticket};
use crate::crypto::{KeyRejected, Provider, PublicKey, Spki};
use crate::error::Error;
use crate::requirement::{self as req, demand, demand_some, deviates};
use crate::time::UnixTime;

/// A ticket that passed every rule of section 4.3. Only [`Verifier::verify`] makes one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifiedTicket {
    ticket: Ticket,
    /// The fingerprint of the key that signed it.
    signer: [u8; 32],
}

impl core::ops::Deref for VerifiedTicket {
    type Target = Ticket;

    fn deref(&self) -> &Ticket {
        &self.ticket
    }
}

#[cfg(feature = "mutants")]
impl VerifiedTicket {
    /// Only for mutants: the proof without the work.
    pub(crate) fn unchecked(bytes: &[u8]) -> Option<Self> {
        parse(bytes).ok().map(|parsed| Self { ticket: parsed.ticket, signer: [0; 32] })
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
    issuers: BTreeMap<String, Vec<Key>>,
    revoked: Vec<Subject>,
}

struct Key {
    fingerprint: [u8; 32],
    key: Box<dyn PublicKey>,
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
        let load = |key: &Spki| {
            let fingerprint = key.fingerprint(self.provider);
            Ok(Key { fingerprint, key: self.provider.public_key(key)? })
        };
        let keys = keys.iter().map(load).collect::<Result<_, _>>()?;
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
        let signer = self.check_signature(&parsed)?;
        self.check(&parsed.ticket, now, presenter)?;
        Ok(VerifiedTicket { ticket: parsed.ticket, signer })
    }

    /// Verifies a ticket again whose bytes have not changed since: all but what only the bytes can break.
    ///
    /// # Errors
    /// As [`verify`](Self::verify); TKT-021 if the key that signed it is not trusted any more.
    pub fn verify_again(
        &self,
        ticket: &VerifiedTicket,
        now: UnixTime,
        presenter: Presenter<'_>,
    ) -> Result<(), Error> {
        let keys = self.keys_of(&ticket.issuer)?;
        demand(keys.iter().any(|key| key.fingerprint == ticket.signer), req::TKT_021)?;
        self.check(ticket, now, presenter)
    }

    /// What may change while the bytes stay the same.
    fn check(&self, ticket: &Ticket, now: UnixTime, presenter: Presenter<'_>) -> Result<(), Error> {
        demand(ticket.not_before <= now.plus(MAX_SKEW), req::TKT_022)?;
        demand(now < ticket.not_on_or_after, req::TKT_014)?;
        let lifetime = ticket.not_on_or_after.0.checked_sub(ticket.not_before.0);
        let fits = lifetime.is_some_and(|life| (1..=MAX_LIFETIME).contains(&life));
        demand(fits || deviates(req::TKT_002), req::TKT_023)?; // the mutant believes its own tickets
        demand(ticket.audience == self.audience, req::TKT_024)?;
        let possessed = match (&ticket.confirmation, presenter) {
            (None, _) | (Some(_), Presenter::CheckedByCaller) => true,
            (Some(key), Presenter::Holder(proved)) => key == proved,
            (Some(_), Presenter::Anyone) => false,
        };
        demand(possessed, req::TKT_025)?;
        demand(!self.revoked.contains(&ticket.subject), req::TKT_026)
    }

    /// The fingerprint of the key that signed it.
    fn check_signature(&self, parsed: &Parsed<'_>) -> Result<[u8; 32], Error> {
        let keys = self.keys_of(&parsed.ticket.issuer)?;
        let digest = self.provider.sha256(&parsed.digested);
        demand(parsed.digest == digest, req::TKT_020)?;
        let signed = keys.iter().find(|key| key.key.verify(&parsed.signed_info, &parsed.signature));
        demand_some(signed.map(|key| key.fingerprint), req::TKT_021, || [0; 32])
    }

    fn keys_of(&self, issuer: &str) -> Result<Vec<&Key>, Error> {
        let configured = self.issuers.get(issuer).map(|keys| keys.iter().collect());
        // The mutant tries every key that it has.
        demand_some(configured, req::TKT_019, || self.issuers.values().flatten().collect())
    }
}
