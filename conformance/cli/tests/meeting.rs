//! Devices that meet: what they share, however much it is (GPH-220), and what they owe to each other at once (SYN-061).

use std::path::{Path, PathBuf};
use std::sync::Arc;

use meshproof_client::Agent;
use meshproof_client::agent::{NewFolder, Outcome, ServeOptions};
use meshproof_client::sync::{Direction, NoProgress};
use meshproof_cloud::{Config, PasswordCost, Running};
use meshproof_proto::crypto::KeyBits;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// Two more than fit.
const FOLDERS: usize = 20;

async fn agent(cloud: &Running, name: &str, at: &Path, register: bool) -> Agent {
    let mut agent = Agent::open(&at.join("home")).unwrap();
    let ca = Some(cloud.ca_pem.as_bytes().to_vec());
    agent.login(&cloud.url, ca, "ann", "correct horse", register).await.unwrap();
    agent.add_device(name, KeyBits::B2048).await.unwrap();
    agent
}

/// Adds a folder with a file that says whose it is.
async fn add(agent: &mut Agent, at: &Path, number: usize, whose: &str, join: Option<String>) -> String {
    let path = root(at, number);
    std::fs::create_dir_all(&path).unwrap();
    std::fs::write(path.join(whose), format!("{whose} {number}")).unwrap();
    let new = NewFolder { path, name: None, join, p2p_only: true, direction: Direction::Both };
    agent.add_folder(new).await.unwrap().to_string()
}

fn root(at: &Path, number: usize) -> PathBuf {
    at.join(format!("folder {number}"))
}

/// Is online until the sender is dropped. `online` is called as soon as peers can come.
async fn serve(
    agent: Agent,
    online: impl FnOnce(&Agent) + Send + 'static,
) -> (oneshot::Sender<()>, JoinHandle<()>) {
    let (stop, stopped) = oneshot::channel::<()>();
    let (tell, is_online) = oneshot::channel();
    let serving = tokio::spawn(async move {
        // It answers, and goes round nobody.
        let listen = "127.0.0.1:0".parse().unwrap();
        let options = ServeOptions { listen, interval: None, ..ServeOptions::default() };
        let stop = async move { drop(stopped.await) };
        let online = |_| {
            online(&agent);
            tell.send(()).unwrap_or_default();
        };
        agent.serve(options, Arc::new(NoProgress), online, |_| {}, stop).await.unwrap();
    });
    is_online.await.expect("it is online");
    (stop, serving)
}

#[tokio::test(flavor = "multi_thread")]
async fn more_folders_than_a_ticket_names_all_sync() {
    let data = tempfile::tempdir().unwrap();
    let mut config = Config::new(data.path().join("cloud"));
    config.identity.passwords = PasswordCost::FOR_TESTS;
    let cloud = meshproof_cloud::start(config).await.unwrap();
    let (at_x, at_y) = (data.path().join("x"), data.path().join("y"));
    let mut x = agent(&cloud, "laptop", &at_x, true).await;
    let mut y = agent(&cloud, "phone", &at_y, false).await;
    for number in 0..FOLDERS {
        let id = add(&mut x, &at_x, number, "of x", None).await;
        add(&mut y, &at_y, number, "of y", Some(id)).await;
    }
    let (stop, serving) = serve(x, |_| {}).await;

    let round = y.sync_once(Arc::new(NoProgress)).await.unwrap();
    let [peer] = &round.peers[..] else { panic!("{round:?}") };
    let Outcome::Synced(report) = &peer.outcome else { panic!("{peer:?}") };
    assert_eq!((report.folders.len(), report.files_received), (FOLDERS, FOLDERS as u64));
    for number in 0..FOLDERS {
        for file in [root(&at_x, number).join("of y"), root(&at_y, number).join("of x")] {
            assert!(file.exists(), "{} is not there", file.display());
        }
    }
    drop(stop);
    serving.await.unwrap();
    cloud.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn who_can_be_called_has_its_own_card() {
    let data = tempfile::tempdir().unwrap();
    let mut config = Config::new(data.path().join("cloud"));
    config.identity.passwords = PasswordCost::FOR_TESTS;
    let cloud = meshproof_cloud::start(config).await.unwrap();
    let at = data.path().join("x");
    let mut x = agent(&cloud, "laptop", &at, true).await;
    add(&mut x, &at, 0, "of x", None).await;
    let (stop, serving) = serve(x, |x| {
        let (own, folder) = (x.device().unwrap().id(), x.folders().unwrap().remove(0));
        let cards = folder.index().writers(folder.id()).unwrap();
        assert!(cards.iter().any(|card| card.device == own), "{cards:?}");
    })
    .await;
    drop(stop);
    serving.await.unwrap();
    cloud.shutdown().await.unwrap();
}
