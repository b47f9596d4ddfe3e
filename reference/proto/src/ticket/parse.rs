//! Operation *Parse* (`spec/ticket.md`, section 4.2): bytes in, fields out, or the first rule that they break.

use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::ops::{Range, RangeInclusive};
use core::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use memchr::{memchr, memchr3};

use super::grammar as g;
use super::{Action, Attributes, Authn, Authz, Claim, KeyBinding, MAX_TICKET, Mapping, Subject, Ticket};
use crate::codec::Id;
use crate::crypto::Spki;
use crate::error::Error;
use crate::requirement::{self as req, demand, demand_some};
use crate::time::UnixTime;

const MAX_URI: usize = 256;
const MAX_TEXT: usize = 256;

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
///
/// First the literal text (TKT-006), which gives the slots; then what the slots hold, rule by rule.
pub fn parse(bytes: &[u8]) -> Result<Parsed<'_>, Error> {
    demand(bytes.len() <= MAX_TICKET, req::TKT_004)?;
    demand(bytes.chunks(64).all(is_printable), req::TKT_005)?;
    let text = core::str::from_utf8(bytes).or(Err(Error::from(req::TKT_005)))?;
    let slots = Scanner { text, at: 0 }.ticket()?;
    let ticket = read(&slots)?;
    let signature = slots.signature;
    Ok(Parsed {
        ticket,
        digested: [&bytes[..signature.span.start], &bytes[signature.span.end..]],
        digest: signature.digest,
        signature: signature.value,
        signed_info: [g::SIGNED_INFO_ALONE, signature.info].concat().into_bytes(),
    })
}

/// Without an early end, so that many bytes are looked at together.
fn is_printable(bytes: &[u8]) -> bool {
    bytes.iter().fold(true, |all, byte| all & (0x20..=0x7E).contains(byte))
}

/// Operation *Parse* from TKT-007 on.
fn read(slots: &Slots<'_>) -> Result<Ticket, Error> {
    let id = slots.id.strip_prefix('_').and_then(Id::parse);
    let id = demand_some(id, req::TKT_007, || lax_id(slots.id))?;
    let times = [slots.issue_instant, slots.not_before, slots.not_on_or_after].map(time);
    let [issue_instant, not_before, not_on_or_after] = times;
    let (issue_instant, not_before, not_on_or_after) = (issue_instant?, not_before?, not_on_or_after?);
    let authn = match &slots.authn {
        Some((instant, class)) => Some(Authn { instant: time(instant)?, class: (*class).to_string() }),
        None => None,
    };
    demand(slots.signature.reference.strip_prefix('#') == Some(slots.id), req::TKT_009)?;
    demand(slots.signature.algorithms == ALGORITHMS, req::TKT_010)?;
    let subject =
        demand_some(Subject::parse(slots.subject), req::TKT_011, || Subject::User(lax_id(slots.subject)))?;
    let confirmation = match &slots.confirmation {
        None => None,
        Some(KeySlots { modulus, exponent }) => {
            let key = Spki::from_modulus(modulus).ok().filter(|_| *exponent == g::EXPONENT_BYTES);
            // The mutant takes the ticket for a bearer ticket: a key that cannot be checked is no condition.
            demand_some(key.map(Some), req::TKT_012, || None)?
        }
    };
    let authz = read_authz(&slots.authz)?;
    let attributes = read_attributes(&slots.attributes)?;
    demand(authn.is_some() || !authz.is_empty() || !slots.attributes.is_empty(), req::TKT_018)?;
    Ok(Ticket {
        id,
        issue_instant,
        issuer: slots.issuer.to_string(),
        subject,
        confirmation,
        not_before,
        not_on_or_after,
        audience: slots.audience.to_string(),
        authn,
        authz,
        attributes,
    })
}

fn time(text: &str) -> Result<UnixTime, Error> {
    demand_some(UnixTime::parse(text), req::TKT_008, || lax_time(text))
}

// Each rule over the whole ticket before the next: the order of section 4.2 is that of the rules, not of the statements.
fn read_authz(slots: &[AuthzSlots<'_>]) -> Result<Vec<Authz>, Error> {
    let permits = slots.iter().map(|slots| is_permit(slots.decision)).collect::<Result<Vec<_>, _>>()?;
    let read = |(slots, permit): (&AuthzSlots<'_>, bool)| {
        Ok(Authz { permit, resource: slots.resource.to_string(), actions: read_actions(&slots.actions)? })
    };
    slots.iter().zip(permits).map(read).collect()
}

fn is_permit(decision: &str) -> Result<bool, Error> {
    match decision {
        "Permit" => Ok(true),
        "Deny" => Ok(false),
        _ => demand(false, req::TKT_013).map(|()| true),
    }
}

fn read_actions(slots: &[&str]) -> Result<Vec<Action>, Error> {
    let mut actions = Vec::new();
    for name in slots {
        let action = demand_some(Action::parse(name), req::TKT_015, || Action::Read)?;
        demand(actions.last().is_none_or(|last| *last < action), req::TKT_015)?;
        actions.push(action);
    }
    Ok(actions)
}

fn read_attributes(slots: &[(&str, Vec<&str>)]) -> Result<Attributes, Error> {
    for (at, (name, _)) in slots.iter().enumerate() {
        demand(slots[..at].iter().all(|(earlier, _)| earlier != name), req::TKT_016)?;
    }
    let mut attributes = Attributes::default();
    for (name, values) in slots {
        match *name {
            g::KEY => attributes.keys.extend(facts::<KeyBinding>(values)?),
            g::CLAIM => attributes.claims.extend(facts::<Claim>(values)?),
            g::MAPPING => attributes.mappings.extend(facts::<Mapping>(values)?),
            _ => demand(false, req::TKT_017)?,
        }
    }
    let Attributes { keys, claims, mappings } = &attributes;
    let unique = all_differ(keys, |key| key.device)
        && all_differ(claims, |claim| claim.device)
        && all_differ(mappings, |mapping| (mapping.folder, mapping.device));
    demand(unique, req::TKT_036)?;
    Ok(attributes)
}

fn all_differ<T, K: PartialEq>(facts: &[T], about: impl Fn(&T) -> K) -> bool {
    facts.iter().enumerate().all(|(at, fact)| facts[..at].iter().all(|earlier| about(earlier) != about(fact)))
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

/// The variable text of a ticket, as it stands.
struct Slots<'a> {
    id: &'a str,
    issue_instant: &'a str,
    issuer: &'a str,
    signature: SignatureSlots<'a>,
    subject: &'a str,
    confirmation: Option<KeySlots>,
    not_before: &'a str,
    not_on_or_after: &'a str,
    audience: &'a str,
    /// Instant and class.
    authn: Option<(&'a str, &'a str)>,
    authz: Vec<AuthzSlots<'a>>,
    /// Names and values.
    attributes: Vec<(&'a str, Vec<&'a str>)>,
}

struct KeySlots {
    modulus: Vec<u8>,
    exponent: Vec<u8>,
}

struct SignatureSlots<'a> {
    /// Where the element is.
    span: Range<usize>,
    /// In the order of the grammar.
    algorithms: [&'a str; 5],
    reference: &'a str,
    digest: Vec<u8>,
    value: Vec<u8>,
    /// The signed-info element behind its start tag.
    info: &'a str,
}

const ALGORITHMS: [&str; 5] = [
    g::ALGORITHM_C14N,
    g::ALGORITHM_RSA_SHA256,
    g::ALGORITHM_ENVELOPED,
    g::ALGORITHM_C14N,
    g::ALGORITHM_SHA256,
];

struct AuthzSlots<'a> {
    decision: &'a str,
    resource: &'a str,
    actions: Vec<&'a str>,
}

/// Splits the text of a ticket into literals and slots; everything that goes wrong here is TKT-006.
struct Scanner<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Scanner<'a> {
    fn ticket(mut self) -> Result<Slots<'a>, Error> {
        self.literal(g::ASSERTION)?;
        let id = self.slot(b'"')?;
        self.literal(g::ISSUE_INSTANT)?;
        let issue_instant = self.slot(b'"')?;
        self.literal(g::ISSUER)?;
        let issuer = self.uri(b'<')?;
        self.literal(g::ISSUER_END)?;
        let signature = self.signature()?;
        self.literal(g::SUBJECT)?;
        let subject = self.slot(b'<')?;
        self.literal(g::SUBJECT_NAME_END)?;
        let confirmation = self.confirmation()?;
        self.literal(g::NOT_BEFORE)?;
        let not_before = self.slot(b'"')?;
        self.literal(g::NOT_ON_OR_AFTER)?;
        let not_on_or_after = self.slot(b'"')?;
        self.literal(g::AUDIENCE)?;
        let audience = self.uri(b'<')?;
        self.literal(g::AUDIENCE_END)?;
        let authn = if self.starts_with(g::AUTHN) { Some(self.authn()?) } else { None };
        let authz = self.repeat(g::AUTHZ, 0..=16, Self::authz)?;
        let attributes = if self.starts_with(g::ATTRIBUTES) { self.attributes()? } else { Vec::new() };
        self.literal(g::ASSERTION_END)?;
        demand(self.at == self.text.len(), req::TKT_006)?;
        Ok(Slots {
            id,
            issue_instant,
            issuer,
            signature,
            subject,
            confirmation,
            not_before,
            not_on_or_after,
            audience,
            authn,
            authz,
            attributes,
        })
    }

    fn signature(&mut self) -> Result<SignatureSlots<'a>, Error> {
        let start = self.at;
        self.literal(g::SIGNATURE)?;
        self.literal(g::SIGNED_INFO)?;
        let info_at = self.at;
        self.literal(g::C14N_METHOD)?;
        let c14n = self.slot(b'"')?;
        self.literal(g::SIGNATURE_METHOD)?;
        let method = self.slot(b'"')?;
        self.literal(g::REFERENCE)?;
        let reference = self.slot(b'"')?;
        self.literal(g::TRANSFORM_1)?;
        let transform_1 = self.slot(b'"')?;
        self.literal(g::TRANSFORM_2)?;
        let transform_2 = self.slot(b'"')?;
        self.literal(g::DIGEST_METHOD)?;
        let digest_method = self.slot(b'"')?;
        self.literal(g::DIGEST_VALUE)?;
        let digest = self.base64()?;
        self.literal(g::SIGNED_INFO_END)?;
        let info = &self.text[info_at..self.at];
        self.literal(g::SIGNATURE_VALUE)?;
        let value = self.base64()?;
        self.literal(g::SIGNATURE_END)?;
        let algorithms = [c14n, method, transform_1, transform_2, digest_method];
        Ok(SignatureSlots { span: start..self.at, algorithms, reference, digest, value, info })
    }

    fn confirmation(&mut self) -> Result<Option<KeySlots>, Error> {
        if self.starts_with(g::BEARER) {
            self.literal(g::BEARER)?;
            return Ok(None);
        }
        self.literal(g::HOLDER)?;
        let modulus = self.base64()?;
        self.literal(g::EXPONENT)?;
        let exponent = self.base64()?;
        self.literal(g::HOLDER_END)?;
        Ok(Some(KeySlots { modulus, exponent }))
    }

    fn authn(&mut self) -> Result<(&'a str, &'a str), Error> {
        self.literal(g::AUTHN)?;
        let instant = self.slot(b'"')?;
        self.literal(g::AUTHN_CLASS)?;
        let class = self.uri(b'<')?;
        self.literal(g::AUTHN_END)?;
        Ok((instant, class))
    }

    fn authz(&mut self) -> Result<AuthzSlots<'a>, Error> {
        self.literal(g::AUTHZ)?;
        let decision = self.word(b'"')?;
        self.literal(g::AUTHZ_RESOURCE)?;
        let resource = self.uri(b'"')?;
        self.literal(g::AUTHZ_ACTIONS)?;
        let actions = self.repeat(g::ACTION, 1..=4, |scan| {
            scan.literal(g::ACTION)?;
            let name = scan.word(b'<')?;
            scan.literal(g::ACTION_END)?;
            Ok(name)
        })?;
        self.literal(g::AUTHZ_END)?;
        Ok(AuthzSlots { decision, resource, actions })
    }

    fn attributes(&mut self) -> Result<Vec<(&'a str, Vec<&'a str>)>, Error> {
        self.literal(g::ATTRIBUTES)?;
        let attributes = self.repeat(g::ATTRIBUTE, 1..=usize::MAX, |scan| {
            scan.literal(g::ATTRIBUTE)?;
            let name = scan.uri(b'"')?;
            scan.literal(g::ATTRIBUTE_VALUES)?;
            let values = scan.repeat(g::VALUE, 1..=64, |scan| {
                scan.literal(g::VALUE)?;
                let value = scan.slot(b'<')?;
                demand((1..=MAX_TEXT).contains(&value.len()), req::TKT_006)?;
                scan.literal(g::VALUE_END)?;
                Ok(value)
            })?;
            scan.literal(g::ATTRIBUTE_END)?;
            Ok((name, values))
        })?;
        self.literal(g::ATTRIBUTES_END)?;
        Ok(attributes)
    }

    /// Reads as many items that start with `start` as there are; the number has to be in `count`.
    fn repeat<T>(
        &mut self,
        start: &str,
        count: RangeInclusive<usize>,
        item: impl Fn(&mut Self) -> Result<T, Error>,
    ) -> Result<Vec<T>, Error> {
        let mut items = Vec::new();
        while self.starts_with(start) {
            items.push(item(self)?);
        }
        demand(count.contains(&items.len()), req::TKT_006)?;
        Ok(items)
    }

    /// Reads text that the grammar spells out.
    fn literal(&mut self, literal: &str) -> Result<(), Error> {
        if !self.starts_with(literal) {
            demand(false, req::TKT_006)?;
            // Only the mutant comes here: like a careless parser it looks for the next place that fits.
            self.at += self.rest().find(literal).ok_or(Error::from(req::TKT_006))?;
        }
        self.at += literal.len();
        Ok(())
    }

    /// Reads up to `end`, which stays unread. Markup and entity references do not occur in any slot.
    fn slot(&mut self, end: u8) -> Result<&'a str, Error> {
        let length = memchr(end, self.rest().as_bytes()).ok_or(Error::from(req::TKT_006))?;
        let text = &self.rest()[..length];
        let markup = memchr3(b'<', b'>', b'&', text.as_bytes()).or_else(|| memchr(b'"', text.as_bytes()));
        demand(markup.is_none(), req::TKT_006)?;
        self.at += length;
        Ok(text)
    }

    fn uri(&mut self, end: u8) -> Result<&'a str, Error> {
        let text = self.slot(end)?;
        let in_alphabet = |b: u8| b.is_ascii_alphanumeric() || b"-._~:/".contains(&b);
        demand((1..=MAX_URI).contains(&text.len()) && text.bytes().all(in_alphabet), req::TKT_006)?;
        Ok(text)
    }

    fn word(&mut self, end: u8) -> Result<&'a str, Error> {
        let text = self.slot(end)?;
        demand(!text.is_empty() && text.bytes().all(|b| b.is_ascii_alphabetic()), req::TKT_006)?;
        Ok(text)
    }

    fn base64(&mut self) -> Result<Vec<u8>, Error> {
        let slot = self.slot(b'<')?;
        demand_some(STANDARD.decode(slot).ok(), req::TKT_006, || lenient_decode(slot))
    }

    fn starts_with(&self, literal: &str) -> bool {
        self.rest().starts_with(literal)
    }

    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }
}

/// Only for the mutant of TKT-007: some identifier for any text.
fn lax_id(text: &str) -> Id {
    let mut id = [0; 16];
    id.iter_mut().zip(text.bytes()).for_each(|(to, from)| *to = from);
    Id(id)
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
