//! How often one may try: passwords, new users, challenges, tickets.
//!
//! An attempt takes from its buckets before it is looked at, so that a thousand at once are no way around, and gets
//! back what it took when it turns out right.

use meshproof_proto::codec::{Id, hex};
use meshproof_proto::crypto::DEFAULT;
use meshproof_proto::requirement::{self as req, Requirement, demand, deviates};
use meshproof_proto::time::UnixTime;

use crate::config::Limit;
use crate::problem::Problem;
use crate::source::Source;
use crate::state::App;
use crate::store::throttle::Bucket;

/// How many rendezvous one user's devices ask for with a device: at most 120 in a minute, and in the long run one a second.
const RENDEZVOUS: Limit = Limit { burst: 60, per: 60 };

/// A password that is about to be tried for the user of this name, who may not exist (IDN-020).
///
/// Returns what was taken, to be put back if the password is right.
///
/// # Errors
/// IDN-018, IDN-021, IDN-067.
pub(crate) async fn password(
    app: &App,
    source: &Source,
    name: &str,
    user: Option<Id>,
) -> Result<Vec<Bucket>, Problem> {
    if user.is_none() && deviates(req::IDN_020) {
        return Ok(Vec::new());
    }
    let limits = &app.config.identity.limits;
    let address = &source.address;
    let mut buckets = vec![
        bucket("failures by source", &[address], limits.failures_per_source),
        bucket("failures by name and source", &[name, address], limits.failures_per_name_and_source),
    ];
    let since = UnixTime(app.now().0.saturating_sub(app.config.identity.known_source));
    let known = match user {
        Some(user) => app.store.knows_source(user, address.clone(), since).await?,
        None => false,
    };
    if !known {
        // IDN-024: strangers use this one up for each other, not for those who were here before.
        buckets.push(bucket("failures by name", &[name], limits.failures_per_name));
    }
    let mut rules = vec![req::IDN_021, req::IDN_018, req::IDN_018];
    rules.truncate(buckets.len());
    // A hash costs as much for the right password.
    rules.push(req::IDN_067);
    buckets.push(bucket("sign-ins", &[name, address], limits.sign_ins_per_name_and_source));
    let mut taken = take(app, buckets, &rules).await?;
    taken.pop(); // never put back
    Ok(taken)
}

/// An assertion of a passkey that is about to be looked at: wrong ones count as wrong passwords of their address.
///
/// Returns what was taken, to be put back if it is right.
///
/// # Errors
/// IDN-021.
pub(crate) async fn passkey(app: &App, source: &Source) -> Result<Vec<Bucket>, Problem> {
    let limit = app.config.identity.limits.failures_per_source;
    take(app, vec![bucket("failures by source", &[&source.address], limit)], &[req::IDN_021]).await
}

/// A user who is about to be registered (IDN-022).
pub(crate) async fn registration(app: &App, source: &Source) -> Result<(), Problem> {
    let limit = app.config.identity.limits.registrations_per_source;
    take(app, vec![bucket("registrations", &[&source.address], limit)], &[req::IDN_022]).await.map(drop)
}

/// A challenge, or another thing that the store keeps for whoever asks (IDN-023).
pub(crate) async fn challenge(app: &App, source: &Source) -> Result<(), Problem> {
    let limit = app.config.identity.limits.challenges_per_source;
    take(app, vec![bucket("challenges", &[&source.address], limit)], &[req::IDN_023]).await.map(drop)
}

/// Tickets that are about to be signed for a user (IDN-068).
pub(crate) async fn tickets(app: &App, user: Id) -> Result<(), Problem> {
    let limit = app.config.identity.limits.tickets_per_user;
    take(app, vec![bucket("tickets", &[&user.to_string()], limit)], &[req::IDN_068]).await.map(drop)
}

/// A rendezvous that a device of this user asks for with another device (GPH-142).
pub(crate) async fn rendezvous(app: &App, caller: Id, called: Id) -> Result<(), Problem> {
    let bucket = bucket("rendezvous", &[&caller.to_string(), &called.to_string()], RENDEZVOUS);
    take(app, vec![bucket], &[req::GPH_142]).await.map(drop)
}

async fn take(app: &App, buckets: Vec<Bucket>, rules: &[Requirement]) -> Result<Vec<Bucket>, Problem> {
    let Err(exhausted) = app.store.take(buckets.clone(), app.now()).await? else { return Ok(buckets) };
    let rule = rules.get(exhausted.bucket).copied().unwrap_or(req::IDN_018);
    match demand(false, rule) {
        Ok(()) => Ok(Vec::new()), // the mutant, which took nothing
        Err(_) => Err(Problem::Later(rule, exhausted.seconds)),
    }
}

fn bucket(what: &str, parts: &[&str], limit: Limit) -> Bucket {
    let mut bytes = what.as_bytes().to_vec();
    for part in parts {
        bytes.extend_from_slice(&(part.len() as u64).to_be_bytes());
        bytes.extend_from_slice(part.as_bytes());
    }
    Bucket { key: hex(&DEFAULT.sha256(&[&bytes])), limit }
}
