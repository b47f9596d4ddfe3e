//! Passwords, kept only as argon2id hashes with a salt each (IDN-006).

use std::sync::Arc;

use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher, PasswordVerifier};
use argon2::{Algorithm, Argon2, Params, Version};
use tokio::sync::Semaphore;

use crate::Error;
use crate::config::PasswordCost;
use crate::problem::Problem;

/// Hashes and verifies. Each hash takes memory and time, so only as many run at once as there are processors.
pub(crate) struct Passwords {
    argon2: Argon2<'static>,
    /// The hash of a password that nobody has, verified in place of the hash of a user who does not exist.
    nobodys: Arc<str>,
    slots: Semaphore,
}

impl Passwords {
    pub(crate) fn new(cost: PasswordCost) -> Result<Self, Error> {
        let unusable = || Error::Configuration("argon2 does not take this password cost".into());
        let params = Params::new(cost.memory_kib, cost.passes, cost.lanes, None).map_err(|_| unusable())?;
        let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
        let nobody = meshproof_proto::crypto::draw::<32>(&mut crate::state::OsEntropy);
        let nobodys = hash(&argon2, &nobody).ok_or_else(unusable)?.into();
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        Ok(Self { argon2, nobodys, slots: Semaphore::new(processors) })
    }

    /// The PHC string of a password, with a new salt (IDN-006).
    pub(crate) async fn hash(&self, password: String) -> Result<String, Problem> {
        let argon2 = self.argon2.clone();
        let hashed = self.run(move || hash(&argon2, password.as_bytes())).await?;
        hashed.ok_or_else(|| Problem::internal("a password could not be hashed"))
    }

    /// Whether this is the password of that hash. Without a hash it takes as long to say no (IDN-002).
    pub(crate) async fn verify(&self, password: String, hash: Option<String>) -> Result<bool, Problem> {
        let (argon2, nobodys) = (self.argon2.clone(), Arc::clone(&self.nobodys));
        self.run(move || {
            let exists = hash.is_some();
            let matches = PasswordHash::new(hash.as_deref().unwrap_or(&nobodys))
                .is_ok_and(|hash| argon2.verify_password(password.as_bytes(), &hash).is_ok());
            exists && matches
        })
        .await
    }

    async fn run<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T, Problem> {
        let _slot = self.slots.acquire().await.map_err(Problem::internal)?;
        tokio::task::spawn_blocking(work).await.map_err(Problem::internal)
    }
}

fn hash(argon2: &Argon2<'_>, password: &[u8]) -> Option<String> {
    Some(argon2.hash_password(password).ok()?.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn kept_as_salted_argon2id() {
        // IDN-006
        let passwords = Passwords::new(PasswordCost::FOR_TESTS).unwrap();
        let first = passwords.hash("correct horse".into()).await.unwrap();
        let second = passwords.hash("correct horse".into()).await.unwrap();
        assert!(first.starts_with("$argon2id$v=19$"), "{first}");
        assert_ne!(first, second, "every hash has its own salt");
        assert!(!first.contains("correct"));
        assert!(passwords.verify("correct horse".into(), Some(first.clone())).await.unwrap());
        assert!(!passwords.verify("battery staple".into(), Some(first)).await.unwrap());
        assert!(!passwords.verify("correct horse".into(), None).await.unwrap());
    }

    #[tokio::test]
    async fn production_cost_is_the_default_of_argon2() {
        let passwords = Passwords::new(PasswordCost::default()).unwrap();
        let hash = passwords.hash("correct horse".into()).await.unwrap();
        assert!(hash.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{hash}");
    }
}
