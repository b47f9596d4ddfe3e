//! Deciding by tickets, spec/ticket.md sections 4.4 and 4.5.

use std::collections::{BTreeMap, BTreeSet};

use super::read::{Ticket, Verification, from_header, verify};
use super::uri;
use crate::oracle::crypto::{fingerprint, hex, public_key_from_spki};
use crate::oracle::{Rejection, reject, require};

/// Section 4.4: the principal, if the set permits the action on the resource.
pub fn decide_by_set(
    header: &str,
    resource: &str,
    action: &str,
    by: &Verification,
) -> Result<String, Rejection> {
    let tokens: Vec<&str> = header.split(',').collect();
    require(tokens.len() <= 16, "TKT-027", "ticket-set")?;
    // In HTTP nothing proves possession (TKT-025).
    let by = Verification { proved: None, ..by.clone() };
    let mut tickets = Vec::new();
    for token in tokens {
        // TKT-028; the error is that of the ticket.
        tickets.push(verify(&from_header(token)?, &by)?);
    }
    let subjects: BTreeSet<&str> = tickets.iter().map(|ticket| ticket.fields.subject.as_str()).collect();
    require(subjects.len() == 1, "TKT-029", "ticket-set-subject")?;
    // Without an authentication ticket no decision is looked at.
    let Some(principal) = tickets.iter().find(|ticket| ticket.fields.authn.is_some()) else {
        return reject("TKT-035", "action-not-permitted");
    };
    require(!says(&tickets, "Deny", resource, action), "TKT-030", "action-denied")?;
    require(says(&tickets, "Permit", resource, action), "TKT-035", "action-not-permitted")?;
    Ok(principal.fields.subject.clone())
}

fn says(tickets: &[Ticket], decision: &str, resource: &str, action: &str) -> bool {
    tickets.iter().flat_map(|ticket| &ticket.fields.authz).any(|statement| {
        statement.decision == decision
            && statement.resource == resource
            && statement.actions.iter().any(|known| known == action)
    })
}

/// The grounds on which two devices may connect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pair {
    /// X, the subject: 32 hexadecimal digits.
    pub initiator: String,
    /// The fingerprint of X's key.
    pub initiator_key: [u8; 32],
    /// The user who claims both devices.
    pub user: Option<String>,
    /// Folder, X's role, Y's role; by folder.
    pub folders: Vec<(String, String, String)>,
}

/// Section 4.5 on a verified ticket, for responder Y and its key.
pub fn pair(ticket: &Ticket, responder: &str, responder_spki: &[u8]) -> Result<Pair, Rejection> {
    let subject = ticket.fields.subject.strip_prefix(uri::DEVICE);
    let confirmed = ticket.confirmation.as_deref().and_then(public_key_from_spki);
    let (Some(initiator), Some(key)) = (subject, confirmed) else {
        return reject("TKT-034", "pair-bearer");
    };
    let responder_key = public_key_from_spki(responder_spki).map(|key| hex(&fingerprint(&key)));
    let named = values(ticket, uri::KEY)
        .any(|words| words[0] == responder && Some(words[1]) == responder_key.as_deref());
    require(named, "TKT-033", "pair-responder-key")?;

    let claims: BTreeSet<(&str, &str)> =
        values(ticket, uri::CLAIM).map(|words| (words[0], words[1])).collect();
    let user = claims
        .iter()
        .filter(|(device, _)| *device == initiator)
        .map(|(_, user)| *user)
        .find(|user| claims.contains(&(responder, user)));
    let mapped = |device: &str| -> BTreeMap<String, String> {
        values(ticket, uri::MAPPING)
            .filter(|words| words[1] == device)
            .map(|words| (words[0].to_owned(), words[2].to_owned()))
            .collect()
    };
    let theirs = mapped(responder);
    let folders: Vec<(String, String, String)> = mapped(initiator)
        .into_iter()
        .filter_map(|(folder, role)| theirs.get(&folder).map(|other| (folder, role, other.clone())))
        .collect();
    require(user.is_some() || !folders.is_empty(), "TKT-032", "pair-unrelated")?;
    Ok(Pair {
        initiator: initiator.to_owned(),
        initiator_key: fingerprint(&key),
        user: user.map(str::to_owned),
        folders,
    })
}

/// The values of an attribute, split into words; [`super::parse`] has checked their form.
fn values<'a>(ticket: &'a Ticket, name: &'a str) -> impl Iterator<Item = Vec<&'a str>> {
    let of_name = ticket.fields.attributes.iter().filter(move |(other, _)| other == name);
    of_name.flat_map(|(_, values)| values).map(|value| value.split(' ').collect())
}
