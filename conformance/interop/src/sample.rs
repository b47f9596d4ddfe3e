//! Tickets to show to other software: those of the vectors, and freshly issued ones.

use anyhow::{Context as _, Result, ensure};
use base64::Engine as _;
use base64::alphabet;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig, STANDARD};
use meshproof_kit::vectors::{self, VectorTest};
use meshproof_proto::crypto::{DEFAULT, Spki};
use meshproof_proto::ticket::{self, Presenter, Subject, Ticket, Verifier};
use meshproof_proto::time::UnixTime;
use serde_json::Value;

/// A ticket, with what our verifier says about it.
pub struct Sample {
    /// The vector's id, or what was issued.
    pub name: String,
    /// What the vector is about.
    pub comment: String,
    /// The error name that the vector expects. `None` for a valid vector, `Some("several")` where more than one rule is broken.
    pub reason: Option<String>,
    /// The bytes, decoded as tolerantly as software that is not ours decodes base64. `None` if there is no way to.
    pub bytes: Option<Vec<u8>>,
    /// The keys that a verifier is configured with: SPKI DER.
    pub keys: Vec<Vec<u8>>,
    /// What our verifier makes of it; on refusal, why.
    pub ours: Result<Ticket, String>,
}

/// The group `kind` of the vectors, one sample a ticket.
pub fn vectors(kind: &str) -> Result<Vec<Sample>> {
    let mut samples = Vec::new();
    for test in vectors::all().iter().filter(|test| test.kind == kind) {
        match kind {
            "TicketIssue" if test.expected.valid => samples.push(issued(test)?),
            "TicketIssue" => {}
            "TicketSet" => {
                let header = test.inputs["header"].as_str().context("header")?;
                for ticket in header.split(',') {
                    samples.push(shown(test, ticket)?);
                }
            }
            _ => samples.push(shown(test, test.inputs["ticket"].as_str().context("ticket")?)?),
        }
    }
    ensure!(!samples.is_empty(), "no vector is a {kind}");
    Ok(samples)
}

/// Every ticket there is: of all vectors and freshly issued.
pub fn all() -> Result<Vec<Sample>> {
    let mut samples = crate::fresh::samples()?;
    for kind in ["TicketVerify", "TicketPair", "TicketSet", "TicketIssue"] {
        samples.extend(vectors(kind)?);
    }
    Ok(samples)
}

/// Every ticket that our verifier accepts.
pub fn accepted() -> Result<Vec<Sample>> {
    let mut samples = all()?;
    samples.retain(|sample| sample.ours.is_ok());
    Ok(samples)
}

fn shown(test: &VectorTest, text: &str) -> Result<Sample> {
    let issuers = test.group["issuers"].as_array().context("issuers")?;
    let mut keys = Vec::new();
    let audience = match test.inputs["responder"].as_str() {
        Some(responder) => format!("urn:meshproof:device:{responder}"),
        None => test.group["audience"].as_str().context("audience")?.to_owned(),
    };
    let mut verifier = Verifier::new(DEFAULT, audience);
    for issuer in issuers {
        let spkis =
            issuer["keys"].as_array().context("keys")?.iter().map(spki).collect::<Result<Vec<_>>>()?;
        keys.extend(spkis.iter().map(|key| key.der().to_vec()));
        verifier.trust(issuer["name"].as_str().context("name")?, &spkis)?;
    }
    for revoked in test.inputs["revoked"].as_array().into_iter().flatten() {
        verifier.revoke(revoked.as_str().and_then(Subject::parse).context("revoked")?);
    }
    let holder = spki(&test.inputs["presenter"]["spki"]).ok();
    let presenter = match (&holder, test.kind.as_str()) {
        (_, "TicketPair") => Presenter::CheckedByCaller,
        (Some(key), _) => Presenter::Holder(key),
        (None, _) => Presenter::Anyone,
    };
    let now = UnixTime(test.inputs["now"].as_u64().context("now")?);
    let ours = ticket::parse::decode(text)
        .and_then(|bytes| verifier.verify(&bytes, now, presenter))
        .map(|verified| (*verified).clone());
    Ok(Sample {
        name: test.id.clone(),
        comment: test.comment.clone(),
        reason: reason(test),
        bytes: tolerant(text),
        keys,
        ours: ours.map_err(|error| error.to_string()),
    })
}

fn issued(test: &VectorTest) -> Result<Sample> {
    let key = STANDARD.decode(test.group["issuer_key"].as_str().context("issuer_key")?)?;
    let key = DEFAULT.private_key(&key)?;
    let bytes = test.expected.output["ticket"].as_str().context("ticket")?.as_bytes().to_vec();
    let ours = verify_as_meant(&bytes, key.spki());
    Ok(Sample {
        name: test.id.clone(),
        comment: test.comment.clone(),
        reason: None,
        bytes: Some(bytes),
        keys: vec![key.spki().der().to_vec()],
        ours,
    })
}

/// Verifies a ticket where and when its issuer means it to be used.
pub(crate) fn verify_as_meant(bytes: &[u8], key: &Spki) -> Result<Ticket, String> {
    let parsed = ticket::parse::parse(bytes).map_err(|error| error.to_string())?.ticket;
    let mut verifier = Verifier::new(DEFAULT, parsed.audience);
    verifier.trust(parsed.issuer, std::slice::from_ref(key)).map_err(|error| error.to_string())?;
    let verified = verifier.verify(bytes, parsed.not_before, Presenter::CheckedByCaller);
    verified.map(|verified| (*verified).clone()).map_err(|error| error.to_string())
}

fn reason(test: &VectorTest) -> Option<String> {
    let reason = test.expected.reason.clone();
    (!test.expected.valid).then(|| reason.unwrap_or_else(|| "several".into()))
}

fn spki(value: &Value) -> Result<Spki> {
    Ok(Spki::parse(&STANDARD.decode(value.as_str().context("spki")?)?)?)
}

/// Base64 in either alphabet, with or without padding, unused bits and white space.
fn tolerant(text: &str) -> Option<Vec<u8>> {
    let config = GeneralPurposeConfig::new()
        .with_decode_allow_trailing_bits(true)
        .with_decode_padding_mode(DecodePaddingMode::Indifferent);
    let digits: String = text
        .chars()
        .filter(|c| !c.is_ascii_whitespace() && *c != '=')
        .map(|c| match c {
            '+' => '-',
            '/' => '_',
            other => other,
        })
        .collect();
    GeneralPurpose::new(&alphabet::URL_SAFE, config).decode(digits).ok()
}
