//! A device's client against a cloud whose clock and keys change: it renews what it needs, and says nothing of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use meshproof_client::Agent;
use meshproof_cloud::{Clock, Config, KeyStep, PasswordCost, SystemClock, change_issuer_key, start};
use meshproof_proto::crypto::KeyBits;
use meshproof_proto::time::UnixTime;

/// The system's clock, so many seconds ahead.
#[derive(Default)]
struct Ahead(AtomicU64);

impl Clock for Ahead {
    fn now(&self) -> UnixTime {
        SystemClock.now().plus(self.0.load(Ordering::SeqCst))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_renews_when_its_tickets_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let clock = Arc::new(Ahead::default());
    let mut config = Config { clock: clock.clone(), ..Config::new(dir.path().join("cloud")) };
    config.identity.passwords = PasswordCost::FOR_TESTS;
    let running = start(config.clone()).await.unwrap();
    let ca = Some(running.ca_pem.clone().into_bytes());
    let mut agent = Agent::open(&dir.path().join("home")).unwrap();
    agent.login(&running.url, ca, "ann", "correct horse", true).await.unwrap();
    agent.add_device("laptop", KeyBits::B2048).await.unwrap();
    let cloud = agent.cloud().unwrap().clone();
    cloud.folders().await.unwrap();
    let (_, before) = cloud.issuer().await.unwrap();

    // The cloud's clock is ahead, so that by it the tickets have ended, and by the client's they have not (IDN-065).
    clock.0.store(700, Ordering::SeqCst);
    cloud.folders().await.unwrap();

    // The key that signed the tickets is taken away (TKT-060); the client learns the new one (TKT-061).
    for step in [KeyStep::Add, KeyStep::Promote { early: true }, KeyStep::Retire { early: true }] {
        let config = config.clone();
        tokio::task::spawn_blocking(move || change_issuer_key(&config, step)).await.unwrap().unwrap();
    }
    clock.0.fetch_add(10, Ordering::SeqCst);
    cloud.folders().await.unwrap();
    let (_, after) = cloud.issuer().await.unwrap();
    assert_eq!((before.len(), after.len()), (1, 1));
    assert_ne!(before, after);
    running.shutdown().await.unwrap();
}
