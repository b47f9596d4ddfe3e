//! Reading and verifying tickets, spec/ticket.md sections 4.2 and 4.3.
//!
//! The method is not that of a parser: pick the slots out of the text wherever their markers stand, write a ticket with
//! those slots, and compare. What differs departs from the literal text of the grammar.

use super::write::{ConfirmationKey, Decision, Signing, TicketFields, insert_after_issuer};
use super::{LARGEST, time, uri};
use crate::oracle::crypto::{
    RsaPublicKey, from_base64, from_base64url, h, is_device_key, public_key_from_parts, spki,
    verify as rsa_verify,
};
use crate::oracle::{Rejection, reject, require};

/// A configured issuer.
#[derive(Clone, Debug)]
pub struct Issuer {
    /// Its name.
    pub name: String,
    /// Its at most two keys.
    pub keys: Vec<RsaPublicKey>,
}

/// What a verifier knows beside the ticket (section 4.3).
#[derive(Clone, Debug, Default)]
pub struct Verification {
    /// The clock reading.
    pub now: u64,
    /// The verifier's own audience.
    pub audience: String,
    /// The configured issuers.
    pub issuers: Vec<Issuer>,
    /// The SPKI of the key that the presenter has proved to hold.
    pub proved: Option<Vec<u8>>,
    /// Subjects known to be revoked.
    pub revoked: Vec<String>,
}

/// A ticket that was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ticket {
    /// The text.
    pub text: String,
    /// Its slots.
    pub fields: TicketFields,
    /// The slots of its signature.
    pub signing: Signing,
    /// `NotBefore` in seconds.
    pub not_before: u64,
    /// `NotOnOrAfter` in seconds.
    pub not_on_or_after: u64,
    /// The SPKI of the confirmation key.
    pub confirmation: Option<Vec<u8>>,
}

/// The base64url form of section 3.2.
pub fn from_header(token: &str) -> Result<Vec<u8>, Rejection> {
    match from_base64url(token) {
        Some(bytes) => Ok(bytes),
        None => reject("TKT-003", "ticket-encoding"),
    }
}

/// Section 4.2.
pub fn parse(bytes: &[u8]) -> Result<Ticket, Rejection> {
    require(bytes.len() <= LARGEST, "TKT-004", "ticket-too-large")?;
    require(bytes.iter().all(|byte| (0x20..=0x7e).contains(byte)), "TKT-005", "ticket-bytes")?;
    let text: String = bytes.iter().copied().map(char::from).collect();

    let (Some(fields), Some(signing)) = (pick_fields(&text), pick_signing(&text)) else {
        return reject("TKT-006", "ticket-syntax");
    };
    let written = insert_after_issuer(&fields.unsigned(), &signing.production());
    let markup = ['"', '<', '>', '&'];
    let plain = !fields.slots().chain(signing.slots()).any(|slot| slot.contains(markup));
    require(written == text && plain && has_productions(&fields, &signing), "TKT-006", "ticket-syntax")?;

    require(fields.id.strip_prefix('_').is_some_and(|id| is_lower_hex(id, 32)), "TKT-007", "ticket-id")?;
    let times = [&fields.issue_instant, &fields.not_before, &fields.not_on_or_after].into_iter();
    let times: Vec<Option<u64>> = times
        .chain(fields.authn.iter().map(|(instant, _)| instant))
        .map(|slot| time::from_text(slot))
        .collect();
    let (Some(not_before), Some(not_on_or_after), true) =
        (times[1], times[2], times.iter().all(Option::is_some))
    else {
        return reject("TKT-008", "ticket-time-syntax");
    };
    require(signing.reference == format!("#{}", fields.id), "TKT-009", "ticket-reference")?;
    let algorithms = signing.canonicalization == uri::C14N
        && signing.method == uri::RSA_SHA256
        && signing.transforms == [uri::ENVELOPED, uri::C14N]
        && signing.digest_method == uri::SHA256;
    require(algorithms, "TKT-010", "ticket-algorithm")?;
    let subject = [uri::USER, uri::DEVICE].iter().find_map(|kind| fields.subject.strip_prefix(kind));
    require(subject.is_some_and(|name| is_lower_hex(name, 32)), "TKT-011", "ticket-subject")?;
    let confirmation = match &fields.confirmation {
        None => None,
        Some(key) => match confirmation_spki(key) {
            Some(spki) => Some(spki),
            None => return reject("TKT-012", "ticket-confirmation-key"),
        },
    };
    let decided =
        fields.authz.iter().all(|statement| ["Permit", "Deny"].contains(&statement.decision.as_str()));
    require(decided, "TKT-013", "ticket-decision")?;
    let actions = fields.authz.iter().all(|statement| are_actions(&statement.actions));
    require(actions, "TKT-015", "ticket-action")?;
    let names: Vec<&String> = fields.attributes.iter().map(|(name, _)| name).collect();
    let unique = names.iter().all(|name| names.iter().filter(|other| other == &name).count() == 1);
    require(unique, "TKT-016", "ticket-attribute-repeated")?;
    let known =
        fields.attributes.iter().all(|(name, values)| values.iter().all(|value| is_value(name, value)));
    require(known, "TKT-017", "ticket-attribute")?;
    let facts: Vec<(&String, &str)> = fields
        .attributes
        .iter()
        .flat_map(|(name, values)| values.iter().map(move |value| (name, about(name, value))))
        .collect();
    let unique = facts.iter().all(|fact| facts.iter().filter(|other| *other == fact).count() == 1);
    require(unique, "TKT-036", "ticket-attribute-ambiguous")?;
    let empty = fields.authn.is_none() && fields.authz.is_empty() && fields.attributes.is_empty();
    require(!empty, "TKT-018", "ticket-empty")?;

    Ok(Ticket { text, fields, signing, not_before, not_on_or_after, confirmation })
}

/// Section 4.3: the ticket, or the first rule in the order given that it breaks.
pub fn verify(bytes: &[u8], by: &Verification) -> Result<Ticket, Rejection> {
    let ticket = parse(bytes)?;
    let Some(issuer) = by.issuers.iter().find(|issuer| issuer.name == ticket.fields.issuer) else {
        return reject("TKT-019", "ticket-issuer");
    };
    let digest = h(&[ticket.fields.unsigned().as_bytes()]);
    require(from_base64(&ticket.signing.digest) == Some(digest.to_vec()), "TKT-020", "ticket-digest")?;
    let signed_info = ticket.signing.signed_info();
    let signature = from_base64(&ticket.signing.signature).unwrap_or_default();
    let signed = issuer.keys.iter().any(|key| rsa_verify(key, signed_info.as_bytes(), &signature));
    require(signed, "TKT-021", "ticket-signature")?;
    require(ticket.not_before <= by.now.saturating_add(30), "TKT-022", "ticket-not-yet-valid")?;
    require(ticket.not_on_or_after > by.now, "TKT-014", "ticket-expired")?;
    let lifetime = ticket.not_on_or_after.checked_sub(ticket.not_before);
    require(lifetime.is_some_and(|seconds| (1..=600).contains(&seconds)), "TKT-023", "ticket-lifetime")?;
    require(ticket.fields.audience == by.audience, "TKT-024", "ticket-audience")?;
    let possessed = ticket.confirmation.is_none() || ticket.confirmation == by.proved;
    require(possessed, "TKT-025", "ticket-possession")?;
    require(!by.revoked.contains(&ticket.fields.subject), "TKT-026", "ticket-revoked")?;
    Ok(ticket)
}

/// Whether a text is so many lower-case hexadecimal digits.
pub fn is_lower_hex(text: &str, digits: usize) -> bool {
    text.len() == digits && text.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
}

fn pick_fields(text: &str) -> Option<TicketFields> {
    let confirmation = match between(text, "<ds:Modulus>", "<") {
        None => None,
        Some(modulus) => Some(ConfirmationKey { modulus, exponent: between(text, "<ds:Exponent>", "<")? }),
    };
    let authn = match between(text, "<saml2:AuthnStatement AuthnInstant=\"", "\"") {
        None => None,
        Some(instant) => Some((instant, between(text, "<saml2:AuthnContextClassRef>", "<")?)),
    };
    let mut authz = Vec::new();
    for statement in text.split("<saml2:AuthzDecisionStatement ").skip(1) {
        authz.push(Decision {
            decision: between(statement, "Decision=\"", "\"")?,
            resource: between(statement, "Resource=\"", "\"")?,
            actions: every(statement, "\"urn:oasis:names:tc:SAML:1.0:action:rwedc\">", "<")?,
        });
    }
    let mut attributes = Vec::new();
    for attribute in text.split("<saml2:Attribute Name=\"").skip(1) {
        let name = attribute.split('"').next()?.to_owned();
        attributes.push((name, every(attribute, "<saml2:AttributeValue>", "<")?));
    }
    Some(TicketFields {
        id: between(text, " ID=\"", "\"")?,
        issue_instant: between(text, " IssueInstant=\"", "\"")?,
        issuer: between(text, "<saml2:Issuer>", "<")?,
        subject: between(text, "nameid-format:persistent\">", "<")?,
        confirmation,
        not_before: between(text, "<saml2:Conditions NotBefore=\"", "\"")?,
        not_on_or_after: between(text, " NotOnOrAfter=\"", "\"")?,
        audience: between(text, "<saml2:Audience>", "<")?,
        authn,
        authz,
        attributes,
    })
}

fn pick_signing(text: &str) -> Option<Signing> {
    let transforms = every(text, "<ds:Transform Algorithm=\"", "\"")?;
    Some(Signing {
        canonicalization: between(text, "<ds:CanonicalizationMethod Algorithm=\"", "\"")?,
        method: between(text, "<ds:SignatureMethod Algorithm=\"", "\"")?,
        reference: between(text, "<ds:Reference URI=\"", "\"")?,
        transforms: transforms.try_into().ok()?,
        digest_method: between(text, "<ds:DigestMethod Algorithm=\"", "\"")?,
        digest: between(text, "<ds:DigestValue>", "<")?,
        signature: between(text, "<ds:SignatureValue>", "<")?,
    })
}

/// What stands between the first occurrence of one text and the next of another.
fn between(text: &str, before: &str, after: &str) -> Option<String> {
    let (_, rest) = text.split_once(before)?;
    let (slot, _) = rest.split_once(after)?;
    Some(slot.to_owned())
}

/// What stands after every occurrence of one text, up to the next of another.
fn every(text: &str, before: &str, after: &str) -> Option<Vec<String>> {
    text.split(before).skip(1).map(|rest| Some(rest.split_once(after)?.0.to_owned())).collect()
}

/// Whether the slots are what section 3.1 says they are made of, and no more and no fewer than it says.
fn has_productions(fields: &TicketFields, signing: &Signing) -> bool {
    let key = fields.confirmation.iter().flat_map(|key| [&key.modulus, &key.exponent]);
    [&fields.issuer, &fields.audience].into_iter().all(|slot| is_uri(slot))
        && key.chain([&signing.digest, &signing.signature]).all(|slot| from_base64(slot).is_some())
        && fields.authn.iter().all(|(_, class)| is_uri(class))
        && fields.authz.len() <= 16
        && fields.authz.iter().all(|statement| {
            is_word(&statement.decision)
                && is_uri(&statement.resource)
                && (1..=4).contains(&statement.actions.len())
                && statement.actions.iter().all(|action| is_word(action))
        })
        && fields.attributes.iter().all(|(name, values)| {
            is_uri(name)
                && (1..=64).contains(&values.len())
                && values.iter().all(|value| (1..=256).contains(&value.len()))
        })
}

/// `1*ALPHA`.
fn is_word(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphabetic())
}

/// The `uri` production.
fn is_uri(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~:/".contains(&byte);
    (1..=256).contains(&text.len()) && text.bytes().all(allowed)
}

/// What a fact is about: no two of a name may be about the same.
fn about<'a>(name: &str, value: &'a str) -> &'a str {
    let words = if name == uri::MAPPING { 2 } else { 1 };
    value.match_indices(' ').nth(words - 1).map_or(value, |(end, _)| &value[..end])
}

/// Known actions, each at most once, in the order of section 3.1.
fn are_actions(actions: &[String]) -> bool {
    let mut order = ["Read", "Write", "Delete", "Control"].iter();
    actions.iter().all(|action| order.any(|known| known == action))
}

/// The attribute values of section 3.1.
fn is_value(name: &str, value: &str) -> bool {
    let words: Vec<&str> = value.split(' ').collect();
    match (name, words.as_slice()) {
        (uri::KEY, [device, fingerprint]) => is_lower_hex(device, 32) && is_lower_hex(fingerprint, 64),
        (uri::CLAIM, [device, user]) => is_lower_hex(device, 32) && is_lower_hex(user, 32),
        (uri::MAPPING, [folder, device, role]) => {
            let role = ["owner", "contributor", "reader"].contains(role);
            is_lower_hex(folder, 32) && is_lower_hex(device, 32) && role
        }
        _ => false,
    }
}

/// TKT-012: RSA of 2,048 to 3,072 bits with exponent 65537, both in shortest form.
fn confirmation_spki(key: &ConfirmationKey) -> Option<Vec<u8>> {
    let modulus = from_base64(&key.modulus)?;
    if modulus.first() == Some(&0) || key.exponent != "AQAB" {
        return None;
    }
    let key = public_key_from_parts(&modulus, &[1, 0, 1])?;
    is_device_key(&key).then(|| spki(&key))
}
