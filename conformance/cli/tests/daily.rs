//! Two devices that are online, as people use them: what one changes the other has at once, and both can say how they are.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use meshproof_client::Agent;
use meshproof_client::agent::{Health, NewFolder, ServeOptions};
use meshproof_client::sync::journal::Happened;
use meshproof_client::sync::{Direction, Progress};
use meshproof_cloud::{Config, PasswordCost, Running};
use meshproof_proto::codec::Id;
use meshproof_proto::crypto::KeyBits;
use meshproof_proto::sync::PortablePath;
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

/// Far more than it takes; a test that fails waits so long.
const PATIENCE: Duration = Duration::from_mins(2);

/// Says which files of others came, and which went.
struct Arrivals(mpsc::UnboundedSender<String>);

impl Progress for Arrivals {
    fn placed(&self, _: Id, path: &PortablePath) {
        let _ = self.0.send(path.as_str().to_owned());
    }

    fn removed(&self, _: Id, path: &PortablePath) {
        let _ = self.0.send(format!("-{path}"));
    }
}

/// A device that is online.
struct Online {
    root: PathBuf,
    home: PathBuf,
    arrivals: mpsc::UnboundedReceiver<String>,
    rounds: mpsc::UnboundedReceiver<()>,
    _stop: oneshot::Sender<()>,
}

impl Online {
    async fn start(agent: Agent, root: PathBuf, home: PathBuf) -> Self {
        let (tell, arrivals) = mpsc::unbounded_channel();
        let (stop, stopped) = oneshot::channel::<()>();
        let (online, is_online) = oneshot::channel();
        let (round, rounds) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            // No round by itself but the first: what comes later is told by the system.
            let interval = Some(Duration::from_hours(1));
            let listen = "127.0.0.1:0".parse().unwrap();
            let options = ServeOptions { listen, interval, ..ServeOptions::default() };
            let progress = agent.journal(Arc::new(Arrivals(tell)));
            let online = |_| _ = online.send(());
            let on_round = |_| _ = round.send(());
            let stop = async move { drop(stopped.await) };
            agent.serve(options, progress, online, on_round, stop).await.unwrap();
        });
        is_online.await.unwrap();
        Self { root, home, arrivals, rounds, _stop: stop }
    }

    /// Waits for a file of another device, or for its end.
    async fn wait_for(&mut self, path: &str) {
        while timeout(PATIENCE, self.arrivals.recv()).await.expect("it comes").unwrap() != path {}
    }
}

async fn start(data: &Path) -> Running {
    let mut config = Config::new(data);
    config.identity.passwords = PasswordCost::FOR_TESTS;
    meshproof_cloud::start(config).await.unwrap()
}

async fn device(cloud: &Running, name: &str, at: &Path, join: Option<String>) -> (Agent, String) {
    let mut agent = Agent::open(&at.join("home")).unwrap();
    let ca = Some(cloud.ca_pem.as_bytes().to_vec());
    agent.login(&cloud.url, ca, "ann", "correct horse", join.is_none()).await.unwrap();
    agent.add_device(name, KeyBits::B2048).await.unwrap();
    let root = at.join("folder");
    std::fs::create_dir_all(&root).unwrap();
    let new = NewFolder { path: root, name: None, join, p2p_only: true, direction: Direction::Both };
    let id = agent.add_folder(new).await.unwrap();
    (agent, id.to_string())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_reaches_the_other_device_at_once() {
    let data = tempfile::tempdir().unwrap();
    let cloud = start(&data.path().join("cloud")).await;
    let (at_x, at_y) = (data.path().join("x"), data.path().join("y"));
    let (x, folder) = device(&cloud, "laptop", &at_x, None).await;
    let (y, _) = device(&cloud, "phone", &at_y, Some(folder.clone())).await;
    let root = |at: &Path| at.join("folder").canonicalize().unwrap();
    std::fs::write(root(&at_x).join("first"), "of x").unwrap();
    let mut y = Online::start(y, root(&at_y), at_y.join("home")).await;
    timeout(PATIENCE, y.rounds.recv()).await.expect("a round").unwrap();
    let mut x = Online::start(x, root(&at_x), at_x.join("home")).await;
    y.wait_for("first").await;
    timeout(PATIENCE, x.rounds.recv()).await.expect("a round").unwrap();

    let mut taken = Vec::new();
    for number in 0..5 {
        let name = format!("of x {number}");
        let begin = Instant::now();
        std::fs::write(x.root.join(&name), &name).unwrap();
        y.wait_for(&name).await;
        taken.push(begin.elapsed());
        assert_eq!(std::fs::read_to_string(y.root.join(&name)).unwrap(), name);
    }
    println!("from the change here to the file there: {taken:?}");
    // The other way, an edit and a deletion.
    std::fs::write(y.root.join("first"), "edited by y").unwrap();
    x.wait_for("first").await;
    assert_eq!(std::fs::read_to_string(x.root.join("first")).unwrap(), "edited by y");
    std::fs::remove_file(y.root.join("of x 0")).unwrap();
    x.wait_for("-of x 0").await;
    assert!(!x.root.join("of x 0").exists());
    // What was replaced and deleted is kept where it was replaced and deleted.
    let kept = meshproof_client::sync::versions::list(&x.root, None);
    let mut paths: Vec<&str> = kept.iter().map(|version| version.path.as_str()).collect();
    paths.sort_unstable();
    assert_eq!(paths, ["first", "of x 0"]);
    // What is ignored stays here, and the next change does not.
    std::fs::write(x.root.join(".meshignore"), "*.tmp\n").unwrap();
    y.wait_for(".meshignore").await;
    std::fs::write(x.root.join("a.tmp"), "").unwrap();
    std::fs::write(x.root.join("last"), "").unwrap();
    y.wait_for("last").await;
    assert!(!y.root.join("a.tmp").exists());

    how_they_are(&x.home, &y.home).await;
}

/// What another program with the same state directory says.
async fn how_they_are(x: &Path, y: &Path) {
    let x = Agent::open(x).unwrap();
    let status = x.status().await.unwrap();
    let y_id = Agent::open(y).unwrap().device().unwrap().id().to_string();
    let [peer] = &status.peers[..] else { panic!("{:?}", status.peers) };
    assert_eq!((&peer.device, peer.name.as_deref(), peer.online), (&y_id, Some("phone"), true));
    let last = peer.last_session.as_ref().expect("a session");
    assert!(["direct", "incoming"].contains(&last.way.as_str()), "{last:?}");
    assert!(status.folders[0].synced_with.iter().any(|synced| synced.device == y_id));

    let findings = x.doctor().await;
    for check in ["account", "permissions", "cloud", "clock", "tickets", "direct", "names"] {
        let finding = findings.iter().find(|finding| finding.check == check);
        assert_eq!(finding.map(|finding| finding.state), Some(Health::Good), "{check}: {finding:?}");
    }
    assert!(findings.iter().all(|finding| finding.state != Health::Bad), "{findings:?}");
    let events = x.events(100).unwrap();
    let has = |kind, path: &str| {
        events.iter().any(|event| event.kind == kind && event.path.as_deref() == Some(path))
    };
    assert!(has(Happened::Received, "first") && has(Happened::Deleted, "of x 0"), "{events:?}");
    // A name that not every device can have is found without a sync.
    #[cfg(unix)]
    {
        let root = x.folders().unwrap()[0].root().to_owned();
        std::fs::write(root.join("what?"), "").unwrap();
        let findings = x.doctor().await;
        let names = findings.iter().find(|finding| finding.check == "names").unwrap();
        assert!(names.state == Health::Limited && names.text.contains("what? ("), "{names:?}");
    }
}
