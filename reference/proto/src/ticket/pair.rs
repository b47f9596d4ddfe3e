//! The *P2P predicate* (`spec/ticket.md`, section 4.5): may these two devices meet? Decided from a ticket alone.

use alloc::vec::Vec;

use super::{Role, Subject, VerifiedTicket};
use crate::codec::Id;
use crate::error::Error;
use crate::requirement::{self as req, demand};

/// Why two devices may meet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grounds {
    /// The device that the ticket was issued to.
    pub initiator: Id,
    /// The user who claims that device, if the ticket says so.
    pub initiator_user: Option<Id>,
    /// The user who claims the responder, if the ticket says so.
    pub responder_user: Option<Id>,
    /// The user who claims both, if one does.
    pub user: Option<Id>,
    /// Every folder mapped on both, ascending.
    pub folders: Vec<SharedFolder>,
}

impl Grounds {
    /// Whether all that was permitted on these grounds `before` is permitted still (HSK-057).
    pub fn cover(&self, before: &Self) -> bool {
        let user = before.user.is_none() || self.user == before.user;
        self.initiator == before.initiator
            && user
            && before.folders.iter().all(|folder| self.folders.contains(folder))
    }
}

/// A folder that is mapped on both devices.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SharedFolder {
    /// The folder.
    pub folder: Id,
    /// The role of the initiator's user.
    pub initiator_role: Role,
    /// The role of the responder's user.
    pub responder_role: Role,
}

/// What a verified ticket says about its subject and the device `responder`, whose key has this fingerprint.
///
/// # Errors
/// TKT-034, TKT-033, TKT-032.
pub fn grounds(
    ticket: &VerifiedTicket,
    responder: Id,
    responder_fingerprint: &[u8; 32],
) -> Result<Grounds, Error> {
    let (Subject::Device(subject) | Subject::User(subject)) = ticket.subject;
    let is_device = matches!(ticket.subject, Subject::Device(_));
    demand(is_device && ticket.confirmation.is_some(), req::TKT_034)?;
    let (initiator, facts) = (subject, &ticket.attributes);

    let bound = facts.keys.iter().find(|key| key.device == responder);
    let right = bound.is_some_and(|key| key.fingerprint == *responder_fingerprint);
    demand(right, req::TKT_033)?;

    let user_of =
        |device| facts.claims.iter().find(move |claim| claim.device == device).map(|claim| claim.user);
    let (initiator_user, responder_user) = (user_of(initiator), user_of(responder));
    let user = initiator_user.filter(|user| responder_user == Some(*user));
    let role_of = |folder, device| {
        facts.mappings.iter().find(move |m| m.folder == folder && m.device == device).map(|m| m.role)
    };
    let mut folders: Vec<SharedFolder> = facts
        .mappings
        .iter()
        .filter(|mapping| mapping.device == initiator)
        .filter_map(|mapping| {
            let responder_role = role_of(mapping.folder, responder)?;
            Some(SharedFolder { folder: mapping.folder, initiator_role: mapping.role, responder_role })
        })
        .collect();
    folders.sort_by_key(|shared| shared.folder);
    demand(user.is_some() || !folders.is_empty(), req::TKT_032)?;
    Ok(Grounds { initiator, initiator_user, responder_user, user, folders })
}
