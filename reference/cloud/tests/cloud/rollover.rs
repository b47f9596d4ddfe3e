//! The issuer's key is replaced while requests run (`spec/identity.md`, Issuer keys).

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use meshproof_cloud::{Config, KeyStep, change_issuer_key};

use crate::common::{Session, World};

/// The operator's command on the data directory of a cloud that runs.
fn step(world: &World, config: &Config, step: KeyStep) {
    let config = Config { clock: world.clock.clone(), ..config.clone() };
    change_issuer_key(&config, step).unwrap();
}

fn keys(traded: &serde_json::Value) -> Vec<String> {
    crate::common::strings(&traded["issuer"]["keys"])
}

async fn published(session: &Session<'_>) -> Vec<String> {
    let request = session.world.http.post(session.world.url("/tickets")).bearer_auth(&session.token);
    keys(&crate::common::Answer::of(request).await.body)
}

#[tokio::test(flavor = "multi_thread")]
async fn no_request_fails_during_a_replacement() {
    let data = tempfile::tempdir().unwrap();
    let world = World::on(data.path(), |config| config.identity.token_lifetime = 100_000).await;
    let config = Config::new(data.path());
    let mut ann = world.user("ann").await;
    let folder = ann.folder(serde_json::json!({"name": "Photos"})).await;
    let first = published(&ann).await;

    let (stop, count) = (AtomicBool::new(false), AtomicU64::new(0));
    let mut other = world.user("bob").await;
    let asking = async {
        // Renews as a client does: before the first ticket ends.
        let mut renewed = meshproof_cloud::Clock::now(&*world.clock).0;
        while !stop.load(Ordering::SeqCst) {
            other.get("/mesh").await.is(200);
            if meshproof_cloud::Clock::now(&*world.clock).0 >= renewed + 400 {
                renewed = meshproof_cloud::Clock::now(&*world.clock).0;
                other.sign_in().await;
            }
            count.fetch_add(1, Ordering::SeqCst);
        }
    };
    let replacing = async {
        // Some requests of the other user see every state: the clock stands still until they have.
        let pass = async |seconds: u64| {
            let mut left = seconds;
            while left > 0 {
                let now = left.min(100);
                world.clock.advance(now);
                left -= now;
                let seen = count.load(Ordering::SeqCst);
                while count.load(Ordering::SeqCst) < seen + 2 {
                    tokio::task::yield_now().await;
                }
            }
        };
        let mut seen = vec![first.clone()];
        step(&world, &config, KeyStep::Add);
        pass(900).await;
        seen.push(published(&ann).await);
        step(&world, &config, KeyStep::Promote { early: false });
        pass(900).await;
        seen.push(published(&ann).await);
        step(&world, &config, KeyStep::Retire { early: false });
        pass(100).await;
        seen.push(published(&ann).await);
        stop.store(true, Ordering::SeqCst);
        seen
    };
    let ((), seen) = tokio::join!(asking, replacing);
    let [old, both, promoted, new] = seen.try_into().unwrap();
    assert_eq!((old.len(), both.len(), promoted.len(), new.len()), (1, 2, 2, 1));
    assert_eq!((&both[0], &both[1]), (&old[0], &new[0]), "the key that signs is the first");
    assert_eq!((&promoted[0], &promoted[1]), (&new[0], &old[0]));
    ann.sign_in().await;
    ann.get(&folder).await.is(200);
    assert!(count.load(Ordering::SeqCst) >= 38, "{count:?}");
}

#[tokio::test]
async fn tickets_of_a_key_that_was_taken_away_are_refused() {
    // TKT-060
    let data = tempfile::tempdir().unwrap();
    let world = World::on(data.path(), |_| ()).await;
    let config = Config::new(data.path());
    let mut ann = world.user("ann").await;
    ann.get("/mesh").await.is(200);
    for now in [KeyStep::Add, KeyStep::Promote { early: true }, KeyStep::Retire { early: true }] {
        step(&world, &config, now);
    }
    world.clock.advance(10);
    ann.get("/mesh").await.refused(401, "TKT-031");
    ann.sign_in().await;
    ann.get("/mesh").await.is(200);
}

#[tokio::test]
async fn tickets_do_not_renew_tickets() {
    // IDN-064
    let world = World::new().await;
    let ann = world.user("ann").await;
    ann.send(reqwest::Method::POST, "/tickets", None, None).await.refused(401, "IDN-064");
}
