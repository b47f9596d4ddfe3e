//! Operation *Parse* (`spec/ticket.md`, section 4.2): bytes in, fields out, or the first rule that they break.

use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::ops::Range;
use core::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};

use super::grammar as g;
use super::{Action, Attributes, Authn, Authz, Claim, KeyBinding, MAX_TICKET, Mapping, Subject, Ticket};
use crate::codec::Id;
use crate::crypto::Spki;
use crate::error::Error;
use crate::requirement::{self as req, demand, demand_some};
use crate::time::UnixTime;

const MAX_URI: usize = 256;
const MAX_TEXT: usize = 256;
const MAX_AUTHZ: usize = 16;
const MAX_ACTIONS: usize = 4;
const MAX_VALUES: usize = 64;

/// A ticket with what is needed to verify it. Nothing in it is authenticated.
#[derive(Clone, Debug)]
pub struct Parsed<'a> {
    /// What the ticket says.
    pub ticket: Ticket,
    /// The ticket's bytes before and after its signature element: what the digest is over.
    pub(super) digested: [&'a [u8]; 2],
    /// The digest that the signature covers.
    pub(super) digest: Vec<u8>,
    /// The signature.
    pub(super) signature: Vec<u8>,
    /// `signed-info`, as received but for the namespace that its canonical form has.
    pub(super) signed_info: Vec<u8>,
}

/// The bytes of a ticket in base64url (TKT-003).
pub fn decode(text: &str) -> Result<Vec<u8>, Error> {
    demand_some(URL_SAFE_NO_PAD.decode(text).ok(), req::TKT_003, || lenient_decode(text))
}

/// Only for the mutant of TKT-003: what a careless decoder accepts.
fn lenient_decode(text: &str) -> Vec<u8> {
    use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
    const LENIENT: GeneralPurposeConfig = GeneralPurposeConfig::new()
        .with_decode_allow_trailing_bits(true)
        .with_decode_padding_mode(DecodePaddingMode::Indifferent);
    let spelled: String = text
        .chars()
        .filter(|c| !c.is_ascii_whitespace())
        .map(|c| match c {
            '+' => '-',
            '/' => '_',
            c => c,
        })
        .collect();
    GeneralPurpose::new(&base64::alphabet::URL_SAFE, LENIENT).decode(spelled).unwrap_or_default()
}

/// Parses the bytes of a ticket.
pub fn parse(bytes: &[u8]) -> Result<Parsed<'_>, Error> {
    demand(bytes.len() <= MAX_TICKET, req::TKT_004)?;
    demand(bytes.iter().all(|b| (0x20..=0x7E).contains(b)), req::TKT_005)?;
    let text = core::str::from_utf8(bytes).or(Err(Error::from(req::TKT_005)))?;
    let mut scan = Scanner { text, at: 0 };

    scan.literal(g::ASSERTION)?;
    let id_text = scan.until('"', usize::MAX)?;
    let id = demand_some(Id::parse(id_text), req::TKT_007, || lax_id(id_text))?;
    scan.literal(g::ISSUE_INSTANT)?;
    let issue_instant = scan.time()?;
    scan.literal(g::ISSUER)?;
    let issuer = scan.uri('<')?;
    scan.literal(g::ISSUER_END)?;

    let (signature_span, signature) = scan.signature(id_text)?;
    let subject = scan.subject()?;
    let confirmation = scan.confirmation()?;

    scan.literal(g::NOT_BEFORE)?;
    let not_before = scan.time()?;
    scan.literal(g::NOT_ON_OR_AFTER)?;
    let not_on_or_after = scan.time()?;
    scan.literal(g::AUDIENCE)?;
    let audience = scan.uri('<')?;
    scan.literal(g::AUDIENCE_END)?;

    let authn = if scan.starts_with(g::AUTHN) { Some(scan.authn()?) } else { None };
    let mut authz = Vec::new();
    while scan.starts_with(g::AUTHZ) {
        demand(authz.len() < MAX_AUTHZ, req::TKT_006)?;
        authz.push(scan.authz()?);
    }
    let attributes = if scan.starts_with(g::ATTRIBUTES) { scan.attributes()? } else { Attributes::default() };
    scan.literal(g::ASSERTION_END)?;
    demand(scan.at == text.len(), req::TKT_006)?;
    demand(authn.is_some() || !authz.is_empty() || !attributes.is_empty(), req::TKT_018)?;

    let digested = [&bytes[..signature_span.start], &bytes[signature_span.end..]];
    let ticket = Ticket {
        id,
        issue_instant,
        issuer,
        subject,
        confirmation,
        not_before,
        not_on_or_after,
        audience,
        authn,
        authz,
        attributes,
    };
    let SignatureParts { digest, signature, signed_info } = signature;
    Ok(Parsed { ticket, digested, digest, signature, signed_info })
}

/// Only for the mutant of TKT-007: some identifier for any text.
fn lax_id(text: &str) -> Id {
    let mut id = [0; 16];
    id.iter_mut().zip(text.bytes()).for_each(|(to, from)| *to = from);
    Id(id)
}

struct SignatureParts {
    digest: Vec<u8>,
    signature: Vec<u8>,
    signed_info: Vec<u8>,
}

/// A position in the text of a ticket.
struct Scanner<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Scanner<'a> {
    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    fn starts_with(&self, literal: &str) -> bool {
        self.rest().starts_with(literal)
    }

    /// Reads text that the grammar spells out (TKT-006).
    fn literal(&mut self, literal: &str) -> Result<(), Error> {
        if !self.starts_with(literal) {
            demand(false, req::TKT_006)?;
            // Only the mutant comes here: like a careless parser it looks for the next place that fits.
            self.at += self.rest().find(literal).ok_or(Error::from(req::TKT_006))?;
        }
        self.at += literal.len();
        Ok(())
    }

    /// Reads up to `end`, which stays unread: 1 to `most` characters, none of which needs escaping in XML.
    fn until(&mut self, end: char, most: usize) -> Result<&'a str, Error> {
        let length = self.rest().find(end).ok_or(Error::from(req::TKT_006))?;
        let text = &self.rest()[..length];
        demand((1..=most).contains(&length) && !text.contains(['<', '>', '&']), req::TKT_006)?;
        self.at += length;
        Ok(text)
    }

    fn uri(&mut self, end: char) -> Result<String, Error> {
        let text = self.until(end, MAX_URI)?;
        let in_alphabet = |b: u8| b.is_ascii_alphanumeric() || b"-._~:/".contains(&b);
        demand(text.bytes().all(in_alphabet), req::TKT_006)?;
        Ok(text.to_string())
    }

    fn time(&mut self) -> Result<UnixTime, Error> {
        let text = self.until('"', usize::MAX)?;
        demand_some(UnixTime::parse(text), req::TKT_008, || lax_time(text))
    }

    fn base64(&mut self) -> Result<Vec<u8>, Error> {
        let text = self.until('<', usize::MAX)?;
        STANDARD.decode(text).or(Err(req::TKT_006.into()))
    }

    fn algorithm(&mut self, expected: &str) -> Result<(), Error> {
        demand(self.until('"', usize::MAX)? == expected, req::TKT_010)
    }

    /// The signature element; returns where it is, and its values.
    fn signature(&mut self, id: &str) -> Result<(Range<usize>, SignatureParts), Error> {
        let start = self.at;
        self.literal(g::SIGNATURE)?;
        self.literal(g::SIGNED_INFO)?;
        let body_at = self.at;
        self.literal(g::C14N_METHOD)?;
        self.algorithm(g::ALGORITHM_C14N)?;
        self.literal(g::SIGNATURE_METHOD)?;
        self.algorithm(g::ALGORITHM_RSA_SHA256)?;
        self.literal(g::REFERENCE)?;
        let reference_at = self.at;
        let uri_end = self.rest().find('"').ok_or(Error::from(req::TKT_006))?;
        self.at += uri_end;
        let reference = &self.text[reference_at..self.at];
        demand(reference.strip_prefix("#_") == Some(id), req::TKT_009)?;
        self.literal(g::TRANSFORM_1)?;
        self.algorithm(g::ALGORITHM_ENVELOPED)?;
        self.literal(g::TRANSFORM_2)?;
        self.algorithm(g::ALGORITHM_C14N)?;
        self.literal(g::DIGEST_METHOD)?;
        self.algorithm(g::ALGORITHM_SHA256)?;
        self.literal(g::DIGEST_VALUE)?;
        let digest = self.base64()?;
        self.literal(g::SIGNED_INFO_END)?;
        let signed_info = [g::SIGNED_INFO_ALONE, &self.text[body_at..self.at]].concat().into_bytes();
        self.literal(g::SIGNATURE_VALUE)?;
        let signature = self.base64()?;
        self.literal(g::SIGNATURE_END)?;
        Ok((start..self.at, SignatureParts { digest, signature, signed_info }))
    }

    fn subject(&mut self) -> Result<Subject, Error> {
        self.literal(g::SUBJECT)?;
        let name = self.until('<', usize::MAX)?;
        let subject = demand_some(Subject::parse(name), req::TKT_011, || Subject::User(lax_id(name)))?;
        self.literal(g::SUBJECT_NAME_END)?;
        Ok(subject)
    }

    fn confirmation(&mut self) -> Result<Option<Spki>, Error> {
        if self.starts_with(g::BEARER) {
            self.literal(g::BEARER)?;
            return Ok(None);
        }
        self.literal(g::HOLDER)?;
        let modulus = self.base64()?;
        self.literal(g::EXPONENT)?;
        let exponent_ok = self.until('<', usize::MAX)? == g::EXPONENT_VALUE;
        self.literal(g::HOLDER_END)?;
        let key = Spki::from_modulus(&modulus).ok().filter(|_| exponent_ok);
        // The mutant takes the ticket for a bearer ticket: a key that cannot be checked is no condition.
        demand_some(key.map(Some), req::TKT_012, || None)
    }

    fn authn(&mut self) -> Result<Authn, Error> {
        self.literal(g::AUTHN)?;
        let instant = self.time()?;
        self.literal(g::AUTHN_CLASS)?;
        let class = self.uri('<')?;
        self.literal(g::AUTHN_END)?;
        Ok(Authn { instant, class })
    }

    fn authz(&mut self) -> Result<Authz, Error> {
        self.literal(g::AUTHZ)?;
        let permit = match self.alphabetic('"')? {
            "Permit" => true,
            "Deny" => false,
            _ => demand(false, req::TKT_013).map(|()| true)?,
        };
        self.literal(g::AUTHZ_RESOURCE)?;
        let resource = self.uri('"')?;
        self.literal(g::AUTHZ_ACTIONS)?;
        let mut actions = Vec::new();
        while self.starts_with(g::ACTION) {
            demand(actions.len() < MAX_ACTIONS, req::TKT_006)?;
            self.literal(g::ACTION)?;
            let name = self.alphabetic('<')?;
            let action = demand_some(Action::parse(name), req::TKT_015, || Action::Read)?;
            demand(actions.last().is_none_or(|last| *last < action), req::TKT_015)?;
            actions.push(action);
            self.literal(g::ACTION_END)?;
        }
        demand(!actions.is_empty(), req::TKT_006)?;
        self.literal(g::AUTHZ_END)?;
        Ok(Authz { permit, resource, actions })
    }

    fn alphabetic(&mut self, end: char) -> Result<&'a str, Error> {
        let text = self.until(end, usize::MAX)?;
        demand(text.bytes().all(|b| b.is_ascii_alphabetic()), req::TKT_006)?;
        Ok(text)
    }

    fn attributes(&mut self) -> Result<Attributes, Error> {
        self.literal(g::ATTRIBUTES)?;
        let mut attributes = Attributes::default();
        let mut seen: Vec<String> = Vec::new();
        while self.starts_with(g::ATTRIBUTE) {
            self.literal(g::ATTRIBUTE)?;
            let name = self.uri('"')?;
            self.literal(g::ATTRIBUTE_VALUES)?;
            let values = self.values()?;
            demand(!seen.contains(&name), req::TKT_016)?;
            match name.as_str() {
                g::KEY => attributes.keys.extend(facts::<KeyBinding>(&values)?),
                g::CLAIM => attributes.claims.extend(facts::<Claim>(&values)?),
                g::MAPPING => attributes.mappings.extend(facts::<Mapping>(&values)?),
                _ => demand(false, req::TKT_017)?,
            }
            seen.push(name);
            self.literal(g::ATTRIBUTE_END)?;
        }
        demand(!seen.is_empty(), req::TKT_006)?;
        self.literal(g::ATTRIBUTES_END)?;
        Ok(attributes)
    }

    fn values(&mut self) -> Result<Vec<&'a str>, Error> {
        let mut values = Vec::new();
        while self.starts_with(g::VALUE) {
            demand(values.len() < MAX_VALUES, req::TKT_006)?;
            self.literal(g::VALUE)?;
            values.push(self.until('<', MAX_TEXT)?);
            self.literal(g::VALUE_END)?;
        }
        demand(!values.is_empty(), req::TKT_006)?;
        Ok(values)
    }
}

fn facts<T: FromStr>(values: &[&str]) -> Result<Vec<T>, Error> {
    let mut facts = Vec::new();
    for text in values {
        match text.parse() {
            Ok(fact) => facts.push(fact),
            Err(_) => demand(false, req::TKT_017)?,
        }
    }
    Ok(facts)
}

/// Only for the mutant of TKT-008: the nearest time that a lenient library might read.
fn lax_time(text: &str) -> UnixTime {
    let digits = |range: Range<usize>| text.get(range).and_then(|d| d.parse::<u64>().ok()).unwrap_or(0);
    let day = alloc::format!("{:04}-{:02}-01T00:00:00Z", digits(0..4).max(1970), digits(5..7).clamp(1, 12));
    let start = UnixTime::parse(&day).unwrap_or_default();
    start.plus(
        digits(8..10).saturating_sub(1) * 86_400
            + digits(11..13) * 3_600
            + digits(14..16) * 60
            + digits(17..19),
    )
}

/// Says which requirement a ticket text breaks first, for tests.
#[cfg(test)]
pub(super) fn broken(bytes: &[u8]) -> Option<req::Requirement> {
    parse(bytes).err().and_then(|error| error.requirement())
}
