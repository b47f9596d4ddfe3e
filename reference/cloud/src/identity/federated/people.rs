//! From (issuer, subject) to a user. Names and addresses that a provider tells are not to be trusted for that: they change
//! hands.

use meshproof_proto::codec::{Id, hex};
use meshproof_proto::crypto::DEFAULT;

use super::provider::{Claims, Provider};
use crate::problem::Problem;
use crate::state::{App, new_id};
use crate::store::federated::Identity;

/// How much of a name that the provider tells is taken.
const MAX_NAME: usize = 20;

/// Somebody of whom a provider says who it is.
pub(super) struct Person {
    identity: Identity,
    /// Names for a new user, to be tried in this order. The last has too much of a hash in it to be taken.
    names: Vec<String>,
}

impl Person {
    pub(super) fn new(provider: &Provider, claims: &Claims) -> Self {
        let told = claims.preferred_username.as_deref();
        let told = told.or_else(|| claims.email.as_deref()?.split('@').next()).unwrap_or_default();
        let identity = Identity {
            issuer: provider.issuer.clone(),
            subject: claims.sub.clone(),
            provider: provider.name.clone(),
        };
        Self { names: names(told, &identity), identity }
    }

    /// The user with this identity, made if there is none (IDN-042).
    pub(super) async fn user(self, app: &App) -> Result<Id, Problem> {
        Ok(app.store.federated_user(self.identity, new_id(), self.names, app.now()).await?)
    }

    /// Gives the user this identity, too (IDN-043, IDN-045).
    pub(super) async fn link(self, app: &App, user: Id) -> Result<(), Problem> {
        Ok(app.store.link_identity(self.identity, user, app.now()).await?)
    }
}

/// Of what an identity is known by.
pub(super) fn hash(identity: &Identity) -> [u8; 32] {
    let length = (identity.issuer.len() as u64).to_be_bytes();
    DEFAULT.sha256(&[&length, identity.issuer.as_bytes(), identity.subject.as_bytes()])
}

/// The same for the same identity, whoever else there is.
fn names(told: &str, identity: &Identity) -> Vec<String> {
    let lower = told.chars().map(|c| c.to_ascii_lowercase());
    let allowed = lower.filter(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || "._-".contains(*c));
    let name: String = allowed.skip_while(|c| !c.is_ascii_alphanumeric()).take(MAX_NAME).collect();
    let name =
        if name.is_empty() { &identity.provider[..identity.provider.len().min(MAX_NAME)] } else { &name };
    let name = name.trim_matches('-');
    let hash = hex(&hash(identity));
    [8, 16, 32]
        .map(|digits| format!("{name}-{}", &hash[..digits]))
        .map(|n| n.trim_start_matches('-').into())
        .into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_of_the_form() {
        let identity = |subject: &str| Identity {
            issuer: "https://id.example".into(),
            subject: subject.into(),
            provider: "example".into(),
        };
        let first = |told: &str, subject: &str| names(told, &identity(subject)).remove(0);
        assert!(first("Ann.Smith", "1").starts_with("ann.smith-"));
        assert_eq!(first("ann", "1"), first("ann", "1"));
        assert_ne!(first("ann", "1"), first("ann", "2"));
        assert!(first("", "1").starts_with("example-"));
        for told in ["ann", "", "日本", "..", "-", "x".repeat(99).as_str()] {
            for name in names(told, &identity("s")) {
                assert!(crate::identity::users::well_formed(&name), "{name}");
            }
        }
    }
}
