//! Operation *Decide by a set* (`spec/ticket.md`, section 4.4).

use alloc::sync::Arc;
use alloc::vec::Vec;

use super::{Action, MAX_SET, Presenter, Subject, VerifiedTicket, Verifier};
use crate::error::Error;
use crate::requirement::{self as req, demand, demand_some};
use crate::time::UnixTime;

/// The tickets of one request, all verified and about one subject.
#[derive(Clone, Debug)]
pub struct TicketSet(Vec<Arc<VerifiedTicket>>);

impl TicketSet {
    /// Reads the part of an `Authorization` field after `MeshTicket `.
    ///
    /// # Errors
    /// That of the first ticket that is rejected (TKT-028), or TKT-027, TKT-029.
    pub fn verify(verifier: &Verifier, field: &str, now: UnixTime) -> Result<Self, Error> {
        Self::read(field, |text| {
            let bytes = super::parse::decode(text)?;
            Ok(Arc::new(verifier.verify(&bytes, now, Presenter::Anyone)?))
        })
    }

    /// The same for a caller who verifies single tickets in a way of its own, such as again.
    pub fn read(
        field: &str,
        mut verify: impl FnMut(&str) -> Result<Arc<VerifiedTicket>, Error>,
    ) -> Result<Self, Error> {
        demand(field.split(',').count() <= MAX_SET, req::TKT_027)?;
        let mut tickets = Vec::new();
        for text in field.split(',') {
            match verify(text) {
                Ok(ticket) => tickets.push(ticket),
                // TKT-028: the precise reason is the ticket's own. Its mutant skips over bad tickets.
                Err(_) if crate::requirement::deviates(req::TKT_028) => {}
                Err(reason) => return Err(reason),
            }
        }
        let same = tickets.windows(2).all(|pair| pair[0].subject == pair[1].subject);
        demand(same, req::TKT_029)?;
        Ok(Self(tickets))
    }

    /// Who signed in, if the set says so.
    pub fn principal(&self) -> Option<Subject> {
        self.0.iter().find(|ticket| ticket.authn.is_some()).map(|ticket| ticket.subject)
    }

    /// When the first of its tickets ends.
    pub fn ends(&self) -> Option<UnixTime> {
        self.0.iter().map(|ticket| ticket.not_on_or_after).min()
    }

    /// Whether the set's principal may do `action` on exactly `resource`.
    ///
    /// # Errors
    /// TKT-030 if some ticket denies it, TKT-035 if none permits it.
    pub fn authorise(&self, resource: &str, action: Action) -> Result<Subject, Error> {
        let principal =
            demand_some(self.principal(), req::TKT_035, || Subject::User(crate::codec::Id::default()))?;
        let decisions = || {
            let all = self.0.iter().flat_map(|ticket| &ticket.authz);
            all.filter(|d| d.resource == resource && d.actions.contains(&action)).map(|d| d.permit)
        };
        demand(decisions().all(|permit| permit), req::TKT_030)?;
        demand(decisions().any(|permit| permit), req::TKT_035)?;
        Ok(principal)
    }
}
