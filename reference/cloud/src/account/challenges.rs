//! Challenges for device keys: to sign in, and to be claimed.
//!
//! They wait for their answers in the store, so that any process of this cloud can take the answer.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use meshproof_proto::codec::{Id, hex};
use meshproof_proto::crypto::{DEFAULT, Spki};
use meshproof_proto::error::Error as RuleError;
use meshproof_proto::identity::{Binding, CHALLENGE_LIFETIME, Challenge, Purpose};
use meshproof_proto::requirement::{self as req, Requirement, demand};
use serde_json::{Value, json};

use crate::problem::Problem;
use crate::source::Source;
use crate::state::{App, OsEntropy};
use crate::store::challenges::Issued;

/// A challenge for the holder of `key`. `None` if the key is none.
pub(crate) fn challenge(app: &App, purpose: Purpose, device: Id, key: &Spki) -> Option<Challenge> {
    Challenge::new(DEFAULT, key, &binding(app, purpose, device), &mut OsEntropy).ok()
}

/// A challenge that nobody can answer; as long as one for the key `like` (IDN-009).
pub(crate) fn decoy(app: &App, purpose: Purpose, device: Id, like: Option<&Spki>) -> Option<Challenge> {
    app.decoys.challenge(DEFAULT, &binding(app, purpose, device), like, &mut OsEntropy).ok()
}

/// Keeps a challenge until it is answered. Returns what the device gets (`spec/identity.md`, section 3).
pub(crate) async fn hand_out(
    app: &App,
    purpose: Purpose,
    device: Id,
    challenge: Challenge,
    source: Source,
) -> Result<Value, Problem> {
    let body =
        json!({ "challenge": hex(&challenge.id), "ciphertext": STANDARD.encode(&challenge.ciphertext) });
    let issued = Issued { device, purpose, expected: challenge.expected, at: app.now(), used: false };
    app.store.add_challenge(challenge.id, issued, source.address).await?;
    Ok(body)
}

/// Takes a device's answer to the challenge with which it signs in. Right or wrong, it was the only one (IDN-011).
///
/// # Errors
/// IDN-011, IDN-012, IDN-010.
pub(crate) async fn answer_sign_in(
    app: &App,
    device: Id,
    challenge: [u8; 16],
    answer: &[u8],
) -> Result<(), Problem> {
    // A challenge that was never handed out has no right answer.
    let issued = app.store.use_challenge(challenge, device).await?.ok_or(req::IDN_010)?;
    demand(!issued.used, req::IDN_011)?;
    Ok(check(app, &issued, answer, req::IDN_012, req::IDN_010)?)
}

/// Takes the answer to the challenge of a claim. A wrong one may be followed by the right one.
///
/// # Errors
/// GPH-033
pub(crate) async fn answer_claim(app: &App, device: Id, answer: &[u8]) -> Result<(), Problem> {
    let issued = app.store.claim_challenge(device).await?.ok_or(req::GPH_033)?;
    Ok(check(app, &issued, answer, req::GPH_033, req::GPH_033)?)
}

fn check(
    app: &App,
    issued: &Issued,
    answer: &[u8],
    late: Requirement,
    wrong: Requirement,
) -> Result<(), RuleError> {
    demand(app.now() <= issued.at.plus(CHALLENGE_LIFETIME), late)?; // IDN-012
    demand(issued.expected.accepts(DEFAULT, answer), wrong) // IDN-010, IDN-015, IDN-016, IDN-017, GPH-033
}

fn binding(app: &App, purpose: Purpose, device: Id) -> Binding<'_> {
    Binding { purpose, device, audience: &app.audience }
}
