//! The ticket set of a request, as an extractor.

use axum::extract::FromRequestParts;
use axum::http::HeaderValue;
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;
use meshproof_proto::codec::Id;
use meshproof_proto::error::Error as RuleError;
use meshproof_proto::requirement::{self as req, demand, demand_some, deviates};
use meshproof_proto::ticket::set::TicketSet;
use meshproof_proto::ticket::{Action, Subject};
use meshproof_proto::time::UnixTime;

use crate::metrics;
use crate::problem::Problem;
use crate::state::App;
use crate::store::changes::Who;
use crate::store::devices::DeviceState;

/// The verified tickets of a request, and who shows them.
pub(crate) struct Tickets {
    /// `None` only in the mutant of GPH-001.
    set: Option<TicketSet>,
    /// The user who acts, or for whom the device acts. Meaningful once an action is authorised.
    pub(crate) user: Id,
    /// The device that acts, if one does.
    pub(crate) device: Option<Id>,
    /// When the request was looked at.
    at: UnixTime,
    #[cfg(feature = "load")]
    unticketed: bool,
}

impl Tickets {
    /// Whether the set grants `action` on exactly `resource`.
    ///
    /// # Errors
    /// TKT-030 if it denies it, GPH-002 if it does not grant it.
    pub(crate) fn authorise(&self, resource: &str, action: Action) -> Result<(), RuleError> {
        #[cfg(feature = "load")]
        if self.unticketed {
            return Ok(());
        }
        match &self.set {
            Some(set) => match set.authorise(resource, action) {
                // Over HTTP the rule of the graph speaks for that of the set.
                Err(error) if error.is(req::TKT_035) => demand(false, req::GPH_002),
                decided => decided.map(drop),
            },
            None => demand(false, req::GPH_002),
        }
    }

    /// Whether the set says who signed in.
    pub(crate) fn authenticated(&self) -> bool {
        self.set.as_ref().is_some_and(|set| set.principal().is_some())
    }

    /// Who acts, for the log of changes.
    pub(crate) fn who(&self) -> Who {
        Who { user: self.user, device: self.device, at: self.at }
    }

    /// For how many seconds the set holds.
    pub(crate) fn left(&self) -> u64 {
        let ends = self.set.as_ref().and_then(TicketSet::ends);
        ends.filter(|ends| *ends > self.at).map_or(0, |ends| ends.distance(self.at))
    }

    /// The subject to which new tickets are issued.
    pub(crate) fn subject(&self) -> Subject {
        self.device.map_or(Subject::User(self.user), Subject::Device)
    }
}

impl FromRequestParts<App> for Tickets {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        let at = app.now();
        #[cfg(feature = "load")]
        if let Some(user) = unticketed(parts).filter(|_| app.config.unticketed) {
            return Ok(Self { set: None, user, device: None, at, unticketed: true });
        }
        let set = match demand_some(tickets_field(parts).map(Some), req::GPH_001, || None)? {
            None => None,
            Some(field) => Some(verify(app, &field, at).await?),
        };
        let (user, device) = match set.as_ref().and_then(TicketSet::principal) {
            None => (Id::default(), None),
            Some(Subject::User(user)) => (user, None),
            Some(Subject::Device(id)) => {
                // A device acts for the user who claimed it (IDN-014), until it is revoked.
                let device = app.store.device(id).await?;
                let claimed = device.as_ref().is_some_and(|device| device.state == DeviceState::Claimed);
                demand(claimed, req::TKT_026).map_err(rejected)?;
                (device.map(|device| device.user).unwrap_or_default(), Some(id))
            }
        };
        Ok(Self {
            set,
            user,
            device,
            at,
            #[cfg(feature = "load")]
            unticketed: false,
        })
    }
}

/// The user in `Authorization: Unticketed USER`.
#[cfg(feature = "load")]
fn unticketed(parts: &Parts) -> Option<Id> {
    Id::parse(parts.headers.get(AUTHORIZATION)?.to_str().ok()?.strip_prefix("Unticketed ")?)
}

/// Verifies a set with the keys that are known, and if a signature is by none of them, with those that came since.
pub(crate) async fn verify(app: &App, field: &str, now: UnixTime) -> Result<TicketSet, Problem> {
    let set = match app.keys.ring().verify(field, now) {
        Err(unknown) if unknown.is(req::TKT_021) && app.keys.look_again(&app.store, now).await? => {
            app.keys.ring().verify(field, now)
        }
        decided => decided,
    };
    set.inspect(|_| metrics::tickets_verified(field.split(',').count())).map_err(rejected)
}

/// The text after `MeshTicket `. `None` without such a field; what is no text is kept, to be rejected as tickets.
fn tickets_field(parts: &Parts) -> Option<String> {
    let mut fields = parts.headers.get_all(AUTHORIZATION).iter().map(HeaderValue::as_bytes);
    let field = fields.next()?;
    let (scheme, rest) = field.split_at_checked("MeshTicket ".len())?;
    if !scheme.eq_ignore_ascii_case(b"MeshTicket ") {
        return None;
    }
    // Two fields are two sets: which one counts is not to be guessed. The text below is no ticket.
    Some(if fields.next().is_some() { "?".into() } else { String::from_utf8_lossy(rest).into_owned() })
}

/// TKT-031: all rejections are one on the wire; why it was goes to the log.
fn rejected(reason: RuleError) -> Problem {
    let requirement = reason.requirement().map_or("", |requirement| requirement.id);
    tracing::info!(requirement, %reason, "ticket set rejected");
    if deviates(req::TKT_031) {
        return reason.into(); // the mutant tells
    }
    req::TKT_031.into()
}
