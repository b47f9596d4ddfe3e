//! Operation *Issue* (`spec/ticket.md`, section 4.1).

use alloc::boxed::Box;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};

use super::grammar as g;
use super::{Attributes, Authz, MAX_LIFETIME, MAX_TICKET, Ticket};
use crate::crypto::{PrivateKey, Provider};
use crate::error::Error;
use crate::requirement::{self as req, deviates};

/// Signs tickets with one key.
pub struct Issuer {
    provider: &'static dyn Provider,
    key: Box<dyn PrivateKey>,
}

impl Issuer {
    /// An issuer with this key.
    pub fn new(provider: &'static dyn Provider, key: Box<dyn PrivateKey>) -> Self {
        Self { provider, key }
    }

    /// The key that signs.
    pub fn key(&self) -> &dyn PrivateKey {
        &*self.key
    }

    /// The bytes of a signed ticket (TKT-001).
    ///
    /// # Errors
    /// [`Error::ApiMisuse`] if the ticket would live longer than 600 s (TKT-002), say nothing (TKT-018), have text
    /// that the grammar does not allow, or be too large (TKT-004).
    pub fn issue(&self, ticket: &Ticket) -> Result<Vec<u8>, Error> {
        let lifetime = ticket.not_on_or_after.0.saturating_sub(ticket.not_before.0);
        if !(1..=MAX_LIFETIME).contains(&lifetime) && !deviates(req::TKT_002) {
            return Err(Error::ApiMisuse("a ticket lives 1 to 600 seconds"));
        }
        let (head, tail) = (head(ticket), tail(ticket));
        let digest = self.provider.sha256(&[head.as_bytes(), tail.as_bytes()]);
        let signed_info = signed_info_body(ticket, &digest);
        let signature = self.key.sign([g::SIGNED_INFO_ALONE, &signed_info].concat().as_bytes());
        let signature = STANDARD.encode(signature);
        let text = [
            &head,
            g::SIGNATURE,
            g::SIGNED_INFO,
            &signed_info,
            g::SIGNATURE_VALUE,
            &signature,
            g::SIGNATURE_END,
            &tail,
        ]
        .concat();
        // What we issue has to be what we accept; this also bounds sizes and alphabets.
        match super::parse::parse(text.as_bytes()) {
            Ok(parsed) if parsed.ticket == *ticket => Ok(text.into_bytes()),
            _ if deviates(req::TKT_001) => Ok(text.into_bytes()),
            _ if text.len() > MAX_TICKET => Err(Error::ApiMisuse("the ticket is too large")),
            _ => Err(Error::ApiMisuse("the ticket does not fit the grammar")),
        }
    }
}

/// The spelling of a ticket in HTTP.
pub fn encode(ticket: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(ticket)
}

/// All before the signature element.
fn head(ticket: &Ticket) -> String {
    let (id, instant) = (ticket.id.to_string(), ticket.issue_instant.to_string());
    [g::ASSERTION, "_", &id, g::ISSUE_INSTANT, &instant, g::ISSUER, &ticket.issuer, g::ISSUER_END].concat()
}

/// All after the signature element.
fn tail(ticket: &Ticket) -> String {
    let mut out = String::new();
    let mut put = |parts: &[&str]| parts.iter().for_each(|part| out.push_str(part));
    put(&[g::SUBJECT, &ticket.subject.to_string(), g::SUBJECT_NAME_END]);
    match &ticket.confirmation {
        None => put(&[g::BEARER]),
        Some(key) => {
            let modulus = STANDARD.encode(key.modulus());
            put(&[g::HOLDER, &modulus, g::EXPONENT, g::EXPONENT_VALUE, g::HOLDER_END]);
        }
    }
    put(&[g::NOT_BEFORE, &ticket.not_before.to_string()]);
    put(&[g::NOT_ON_OR_AFTER, &ticket.not_on_or_after.to_string()]);
    put(&[g::AUDIENCE, &ticket.audience, g::AUDIENCE_END]);
    if let Some(authn) = &ticket.authn {
        put(&[g::AUTHN, &authn.instant.to_string(), g::AUTHN_CLASS, &authn.class, g::AUTHN_END]);
    }
    ticket.authz.iter().for_each(|statement| out.push_str(&authz(statement)));
    if !ticket.attributes.is_empty() {
        out.push_str(&attributes(&ticket.attributes));
    }
    out.push_str(g::ASSERTION_END);
    out
}

fn authz(statement: &Authz) -> String {
    let decision = if statement.permit { "Permit" } else { "Deny" };
    let actions: String =
        statement.actions.iter().flat_map(|action| [g::ACTION, action.name(), g::ACTION_END]).collect();
    [g::AUTHZ, decision, g::AUTHZ_RESOURCE, &statement.resource, g::AUTHZ_ACTIONS, &actions, g::AUTHZ_END]
        .concat()
}

fn attributes(facts: &Attributes) -> String {
    let all = [
        attribute(g::KEY, &facts.keys),
        attribute(g::CLAIM, &facts.claims),
        attribute(g::MAPPING, &facts.mappings),
    ];
    [g::ATTRIBUTES, &all.concat(), g::ATTRIBUTES_END].concat()
}

fn attribute<T: ToString>(name: &str, facts: &[T]) -> String {
    if facts.is_empty() {
        return String::new();
    }
    let values: String =
        facts.iter().flat_map(|fact| [g::VALUE.into(), fact.to_string(), g::VALUE_END.into()]).collect();
    [g::ATTRIBUTE, name, g::ATTRIBUTE_VALUES, &values, g::ATTRIBUTE_END].concat()
}

/// The signed-info element without its start tag.
fn signed_info_body(ticket: &Ticket, digest: &[u8; 32]) -> String {
    let reference = alloc::format!("#_{}", ticket.id);
    [
        g::C14N_METHOD,
        g::ALGORITHM_C14N,
        g::SIGNATURE_METHOD,
        g::ALGORITHM_RSA_SHA256,
        g::REFERENCE,
        &reference,
        g::TRANSFORM_1,
        g::ALGORITHM_ENVELOPED,
        g::TRANSFORM_2,
        g::ALGORITHM_C14N,
        g::DIGEST_METHOD,
        g::ALGORITHM_SHA256,
        g::DIGEST_VALUE,
        &STANDARD.encode(digest),
        g::SIGNED_INFO_END,
    ]
    .concat()
}
