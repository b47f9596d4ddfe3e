//! The issuer's keys, and replacing one by another while tickets of both are about (`spec/identity.md`, section 4.7).
//!
//! They are rows of the store, sealed, so that all processes sign and verify alike. Each process reads them again when
//! what it knows is older than [`FRESH`], and when a signature is by none of them.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use meshproof_proto::codec::hex;
use meshproof_proto::crypto::{self, KeyBits, Spki};
use meshproof_proto::error::Error as RuleError;
use meshproof_proto::ticket::set::TicketSet;
use meshproof_proto::ticket::{Issuer, MAX_LIFETIME, Verifier};
use meshproof_proto::time::UnixTime;

use crate::Error;
use crate::config::Config;
use crate::problem::Problem;
use crate::secrets::Sealer;
use crate::seen::Seen;
use crate::state::{OsEntropy, open_store};
use crate::store::Store;
use crate::store::issuer_keys::{IssuerKey, KeyChange, KeyState};

/// How long a process may go by what it knows, in seconds (IDN-063, TKT-060).
const FRESH: u64 = 5;
/// How long a key is published before and after its time, in seconds (IDN-061, IDN-062): longer than any ticket lives, for
/// devices learn of keys when they renew their tickets.
pub const PUBLISHED: u64 = 900;
const _: () = assert!(PUBLISHED > MAX_LIFETIME + FRESH);

/// The keys as they were at one time.
pub(crate) struct Ring {
    rows: Vec<IssuerKey>,
    /// Signs.
    pub(crate) issuer: Issuer,
    /// What is published, the key that signs first.
    pub(crate) published: Vec<Spki>,
    /// Trusts what is published.
    verifier: Verifier,
    /// What it verified: another ring has seen nothing, so a retired key's tickets go with the key.
    seen: Seen,
}

impl Ring {
    /// Verifies the tickets of a header field, as [`TicketSet::verify`] does.
    pub(crate) fn verify(&self, field: &str, now: UnixTime) -> Result<TicketSet, RuleError> {
        self.seen.verify(&self.verifier, field, now)
    }
}

/// The keys as this process knows them.
pub(crate) struct Keys {
    sealer: Sealer,
    name: String,
    audience: String,
    ring: RwLock<Arc<Ring>>,
    /// The clock reading when they were read.
    read: AtomicU64,
}

impl Keys {
    /// Reads the keys; makes the first one if there is none. Blocks.
    pub(crate) fn open(config: &Config, store: &Store) -> Result<Self, Error> {
        let sealer = Sealer::open(&config.data)?;
        let now = config.clock.now();
        if store.issuer_keys_here()?.is_empty() {
            let first = new_key(&sealer, config.issuer_key.as_deref(), KeyState::Active, now)?;
            // Another process may have been quicker.
            let plan = |keys: &[IssuerKey]| match keys {
                [] => Ok(vec![KeyChange::Add(first.clone())]),
                _ => Err(()),
            };
            let _ = store.change_issuer_keys(plan)?;
        }
        let (name, audience) = (config.issuer(), config.audience());
        let ring = Arc::new(ring(&sealer, &name, &audience, store.issuer_keys_here()?)?);
        Ok(Self { sealer, name, audience, ring: RwLock::new(ring), read: AtomicU64::new(now.0) })
    }

    /// The keys, as of the last [`refresh`](Self::refresh).
    pub(crate) fn ring(&self) -> Arc<Ring> {
        Arc::clone(&self.ring.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Reads the keys again if they are older than [`FRESH`]. Every request does this first.
    pub(crate) async fn refresh(&self, store: &Store, now: UnixTime) -> Result<(), Problem> {
        let read = self.read.load(Ordering::Relaxed);
        // A clock that was set back makes nothing fresh.
        if (read..=read.saturating_add(FRESH)).contains(&now.0) {
            Ok(())
        } else {
            self.reload(store, now).await
        }
    }

    /// Reads the keys again unless that was done in this second, because a signature is by none of them: another process
    /// may sign with a key that came a moment ago. `false` if there is nothing new.
    pub(crate) async fn look_again(&self, store: &Store, now: UnixTime) -> Result<bool, Problem> {
        if self.read.load(Ordering::Relaxed) == now.0 {
            return Ok(false);
        }
        let before = self.ring();
        self.reload(store, now).await?;
        Ok(!Arc::ptr_eq(&before, &self.ring()))
    }

    async fn reload(&self, store: &Store, now: UnixTime) -> Result<(), Problem> {
        let rows = store.issuer_keys().await?;
        if self.ring().rows != rows {
            let ring = ring(&self.sealer, &self.name, &self.audience, rows).map_err(Problem::internal)?;
            tracing::info!(
                signs = ring.rows[0].fingerprint,
                keys = ring.rows.len(),
                "the issuer's keys changed"
            );
            *self.ring.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(ring);
        }
        self.read.store(now.0, Ordering::Relaxed);
        Ok(())
    }
}

fn ring(sealer: &Sealer, name: &str, audience: &str, rows: Vec<IssuerKey>) -> Result<Ring, Error> {
    let unusable = |what: &str| Error::Issuer(what.to_owned());
    let active = rows.first().filter(|key| key.state == KeyState::Active);
    let active = active.ok_or_else(|| unusable("no key of the issuer is active"))?;
    let pkcs8 = sealer.unseal(&active.fingerprint, &active.sealed);
    let pkcs8 = pkcs8.ok_or_else(|| {
        unusable(
            "the issuer's key is sealed under another master key: copy master.key, or set MESH_MASTER_KEY",
        )
    })?;
    let key = crypto::DEFAULT.private_key(&pkcs8).map_err(|_| unusable("the issuer's key is damaged"))?;
    let spki = |row: &IssuerKey| Spki::parse(&STANDARD.decode(&row.spki).ok()?).ok();
    let published: Option<Vec<Spki>> = rows.iter().map(spki).collect();
    let published = published.ok_or_else(|| unusable("a key of the issuer is damaged"))?;
    let mut verifier = Verifier::new(crypto::DEFAULT, audience);
    verifier.trust(name, &published).map_err(|_| unusable("the issuer's keys are not one or two"))?;
    Ok(Ring { issuer: Issuer::new(crypto::DEFAULT, key), published, verifier, seen: Seen::default(), rows })
}

/// A key for the store: this one, or a new one.
fn new_key(
    sealer: &Sealer,
    pkcs8: Option<&[u8]>,
    state: KeyState,
    since: UnixTime,
) -> Result<IssuerKey, Error> {
    let generated = match pkcs8 {
        Some(_) => None,
        None => Some(crypto::DEFAULT.generate_key(KeyBits::B2048, &mut OsEntropy)),
    };
    let pkcs8 = pkcs8.or(generated.as_ref().map(|key| key.as_slice())).unwrap_or_default();
    let unusable = |_| Error::Issuer("a new key is not acceptable".into());
    let key = crypto::DEFAULT.private_key(pkcs8).map_err(unusable)?;
    let fingerprint = hex(&key.spki().fingerprint(crypto::DEFAULT));
    let sealed =
        sealer.seal(&fingerprint, pkcs8).ok_or_else(|| Error::Issuer("a key cannot be sealed".into()))?;
    Ok(IssuerKey { fingerprint, spki: STANDARD.encode(key.spki().der()), sealed, state, since })
}

/// A key of the issuer, as an operator sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IssuerKeyInfo {
    /// `H(SPKI)` in hexadecimal.
    pub fingerprint: String,
    /// `next`, `active` or `retiring`.
    pub state: &'static str,
    /// When it took that state, in seconds since 1970.
    pub since: u64,
}

/// A step in replacing the issuer's key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyStep {
    /// A new key is published. It does not sign yet.
    Add,
    /// The new key signs, the old one stays published.
    Promote {
        /// Even if devices may not have learnt of it (IDN-061): for a key that was stolen.
        early: bool,
    },
    /// The key that does not sign goes.
    Retire {
        /// Even if tickets that it signed may be about (IDN-062): for a key that was stolen.
        early: bool,
    },
}

/// The issuer's keys, the one that signs first. Blocks.
pub fn issuer_keys(config: &Config) -> Result<Vec<IssuerKeyInfo>, Error> {
    let (store, _) = open(config)?;
    let info = |key: IssuerKey| {
        let IssuerKey { fingerprint, state, since, .. } = key;
        IssuerKeyInfo { fingerprint, state: state.name(), since: since.0 }
    };
    Ok(store.issuer_keys_here()?.into_iter().map(info).collect())
}

/// Takes a step in replacing the issuer's key. Servers that run go on, and notice within some seconds. Blocks.
///
/// # Errors
/// [`Error::Issuer`] if the step does not come next, or comes too early.
pub fn change_issuer_key(config: &Config, step: KeyStep) -> Result<(), Error> {
    let (store, keys) = open(config)?;
    let now = config.clock.now();
    let new = match step {
        KeyStep::Add => Some(new_key(&keys.sealer, None, KeyState::Next, now)?),
        _ => None,
    };
    let changed = store.change_issuer_keys(|keys| plan(keys, step, new.as_ref(), now))?;
    changed.map_err(Error::Issuer)
}

fn open(config: &Config) -> Result<(Store, Keys), Error> {
    crate::state::make_directory(&config.data)?;
    let store = open_store(config)?;
    let keys = Keys::open(config, &store)?;
    Ok((store, keys))
}

fn plan(
    keys: &[IssuerKey],
    step: KeyStep,
    new: Option<&IssuerKey>,
    now: UnixTime,
) -> Result<Vec<KeyChange>, String> {
    let find = |state| keys.iter().find(|key| key.state == state);
    let (active, next, retiring) = (find(KeyState::Active), find(KeyState::Next), find(KeyState::Retiring));
    let long_enough = |key: &IssuerKey, early: bool, why: &str| {
        let end = key.since.plus(PUBLISHED);
        let left = end.0.saturating_sub(now.0);
        let refusal =
            || Err(format!("{why} until {end}, {left} s from now; --now if the old key was stolen"));
        if early || left == 0 { Ok(()) } else { refusal() }
    };
    match step {
        KeyStep::Add => match (next, retiring, new) {
            (None, None, Some(new)) => Ok(vec![KeyChange::Add(new.clone())]),
            _ => Err("there are two keys already: promote or retire first".into()),
        },
        KeyStep::Promote { early } => {
            let (Some(active), Some(next)) = (active, next) else {
                return Err("there is no next key: add one first".into());
            };
            long_enough(next, early, "devices may not know the new key")?;
            Ok(vec![
                KeyChange::Move(active.fingerprint.clone(), KeyState::Retiring, now),
                KeyChange::Move(next.fingerprint.clone(), KeyState::Active, now),
            ])
        }
        KeyStep::Retire { early } => {
            if let Some(retiring) = retiring {
                long_enough(retiring, early, "tickets that the old key signed may be about")?;
            }
            // A next key never signed anything: it may go at any time.
            let goes = retiring.or(next).ok_or("the only key cannot be retired")?;
            Ok(vec![KeyChange::Remove(goes.fingerprint.clone())])
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicU64;

    use meshproof_proto::codec::Id;
    use meshproof_proto::ticket::Role;
    use meshproof_proto::ticket::Subject;
    use meshproof_proto::ticket::set::TicketSet;

    use super::*;
    use crate::PasswordCost;
    use crate::account::issue::folder_ticket;
    use crate::state::{App, Clock};

    struct Hand(AtomicU64);

    impl Clock for Hand {
        fn now(&self) -> UnixTime {
            UnixTime(self.0.load(Ordering::SeqCst))
        }
    }

    /// Two processes on one store, and an operator.
    struct Mesh {
        clock: Arc<Hand>,
        config: Config,
        apps: [App; 2],
        _data: tempfile::TempDir,
    }

    impl Mesh {
        fn new() -> Self {
            let data = tempfile::tempdir().unwrap();
            let clock = Arc::new(Hand(AtomicU64::new(1_800_000_000)));
            let mut config = Config { clock: clock.clone(), ..Config::new(data.path()) };
            config.identity.passwords = PasswordCost::FOR_TESTS;
            let apps = [App::open(&config).unwrap(), App::open(&config).unwrap()];
            Self { clock, config, apps, _data: data }
        }

        fn advance(&self, seconds: u64) {
            self.clock.0.fetch_add(seconds, Ordering::SeqCst);
        }

        fn step(&self, step: KeyStep) -> Result<(), String> {
            change_issuer_key(&self.config, step).map_err(|error| error.to_string())
        }

        /// What a request does: refresh, then issue.
        async fn issue(&self, at: usize) -> String {
            let app = &self.apps[at];
            app.keys.refresh(&app.store, app.now()).await.unwrap();
            folder_ticket(app, Subject::User(Id([1; 16])), Id([2; 16]), Role::Reader).unwrap()
        }

        /// What a request does: refresh, verify, look again if the signature is unknown.
        async fn accepts(&self, at: usize, ticket: &str) -> bool {
            let app = &self.apps[at];
            app.keys.refresh(&app.store, app.now()).await.unwrap();
            crate::auth::verify(app, ticket, app.now()).await.is_ok()
        }

        async fn all_accept(&self, tickets: &[String]) {
            for ticket in tickets {
                for at in 0..2 {
                    assert!(self.accepts(at, ticket).await);
                }
            }
        }
    }

    /// IDN-061, IDN-062, IDN-063, TKT-060: tickets of both processes verify at both, and at a device that learnt the keys up
    /// to 600 s before, in every second of a replacement that looks at nothing but the clock.
    #[tokio::test]
    async fn no_ticket_fails_during_a_replacement() {
        let mesh = Mesh::new();
        let first = mesh.apps[0].keys.ring().published.clone();
        let mut devices: Vec<(u64, Arc<Ring>)> = Vec::new(); // who renewed when, and what it learnt
        let mut alive: Vec<(u64, String)> = Vec::new();
        for second in 0..3_200_u64 {
            match second {
                600 => mesh.step(KeyStep::Add).unwrap(),
                1_200 => assert!(mesh.step(KeyStep::Promote { early: false }).unwrap_err().contains("300 s")),
                1_500 => mesh.step(KeyStep::Promote { early: false }).unwrap(),
                2_300 => assert!(mesh.step(KeyStep::Retire { early: false }).unwrap_err().contains("100 s")),
                2_400 => mesh.step(KeyStep::Retire { early: false }).unwrap(),
                _ => {}
            }
            // Not in every second, or no process would ever know less than the other; never in the same second as a step.
            if second % 7 == 1 {
                let ticket = mesh.issue(usize::from(second % 2 == 0)).await;
                mesh.all_accept(std::slice::from_ref(&ticket)).await;
                alive.push((second, ticket));
                devices.push((second, mesh.apps[usize::from(second % 3 == 0)].keys.ring()));
                alive.retain(|(issued, _)| issued + 599 > second);
                devices.retain(|(learnt, _)| learnt + 600 > second);
                if second % 49 == 1 {
                    let tickets: Vec<String> = alive.iter().map(|(_, ticket)| ticket.clone()).collect();
                    mesh.all_accept(&tickets).await;
                    for (learnt, ring) in &devices {
                        let verified = TicketSet::verify(&ring.verifier, &tickets[0], mesh.clock.now());
                        let newest =
                            TicketSet::verify(&ring.verifier, &tickets[tickets.len() - 1], mesh.clock.now());
                        assert!(verified.is_ok() && newest.is_ok(), "learnt at {learnt}, now {second}");
                    }
                }
            }
            mesh.advance(1);
        }
        let last = mesh.apps[1].keys.ring().published.clone();
        assert_eq!((first.len(), last.len()), (1, 1));
        assert_ne!(first, last);
    }

    /// TKT-060: a key that was taken away while its tickets were about is refused everywhere within 10 s.
    #[tokio::test]
    async fn a_stolen_key_is_refused() {
        let mesh = Mesh::new();
        let old = mesh.issue(0).await;
        mesh.all_accept(std::slice::from_ref(&old)).await;
        mesh.step(KeyStep::Add).unwrap();
        mesh.step(KeyStep::Promote { early: true }).unwrap();
        mesh.step(KeyStep::Retire { early: true }).unwrap();
        mesh.advance(6);
        let new = mesh.issue(1).await;
        for at in 0..2 {
            assert!(!mesh.accepts(at, &old).await);
            assert!(mesh.accepts(at, &new).await);
        }
    }

    /// A process that knows less looks again, but not more than once a second.
    #[tokio::test]
    async fn an_unknown_signature_makes_it_look_again() {
        let mesh = Mesh::new();
        mesh.advance(1);
        mesh.step(KeyStep::Add).unwrap();
        mesh.step(KeyStep::Promote { early: true }).unwrap();
        mesh.apps[0].keys.reload(&mesh.apps[0].store, mesh.clock.now()).await.unwrap();
        let ticket = mesh.issue(0).await;
        assert!(mesh.accepts(1, &ticket).await, "within the five seconds for which nothing is read");
        assert!(!mesh.apps[1].keys.look_again(&mesh.apps[1].store, mesh.clock.now()).await.unwrap());
    }

    #[test]
    fn steps_come_in_order() {
        let mesh = Mesh::new();
        assert!(mesh.step(KeyStep::Promote { early: true }).unwrap_err().contains("no next key"));
        assert!(mesh.step(KeyStep::Retire { early: true }).unwrap_err().contains("only key"));
        mesh.step(KeyStep::Add).unwrap();
        assert!(mesh.step(KeyStep::Add).unwrap_err().contains("two keys"));
        mesh.step(KeyStep::Retire { early: false }).unwrap(); // one that never signed
        mesh.step(KeyStep::Add).unwrap();
        mesh.step(KeyStep::Promote { early: true }).unwrap();
        assert!(mesh.step(KeyStep::Add).unwrap_err().contains("two keys"));
        let states: Vec<_> = issuer_keys(&mesh.config).unwrap().into_iter().map(|key| key.state).collect();
        assert_eq!(states, ["active", "retiring"]);
    }

    /// The database alone signs nothing.
    #[test]
    fn another_master_key_does_not_open_the_keys() {
        let mesh = Mesh::new();
        std::fs::remove_file(mesh.config.data.join(crate::secrets::MASTER_KEY)).unwrap();
        let refused = App::open(&mesh.config).err().unwrap().to_string();
        assert!(refused.contains("another master key"), "{refused}");
    }
}
