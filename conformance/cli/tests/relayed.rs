//! Two devices that cannot reach each other sync through a relay, which sees nothing of what they say.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use meshproof_client::Agent;
use meshproof_client::agent::{NewFolder, Outcome, Round, ServeOptions};
use meshproof_client::sync::{Direction, NoProgress};
use meshproof_cloud::{Config, PasswordCost, Running, Service, start};
use meshproof_proto::codec::Id;
use meshproof_proto::crypto::KeyBits;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{oneshot, watch};

/// Nobody listens there.
const NOWHERE: &str = "127.0.0.1:1";

/// Takes the place of the relay and keeps all that devices send to it, then passes it on.
#[derive(Clone, Default)]
struct Recorder {
    seen: Arc<Mutex<Vec<Vec<u8>>>>,
    /// The relay itself.
    behind: Arc<Mutex<Option<SocketAddr>>>,
    /// Behind this many bytes in one direction all stops, until somebody opens it again.
    gate: Arc<Mutex<Option<Gate>>>,
}

struct Gate {
    at: usize,
    /// Is told when it is reached.
    reached: Option<oneshot::Sender<()>>,
    opened: watch::Receiver<bool>,
}

impl Recorder {
    async fn start() -> (Self, SocketAddr) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (recorder, address) = (Self::default(), listener.local_addr().unwrap());
        let this = recorder.clone();
        tokio::spawn(async move {
            while let Ok((device, _)) = listener.accept().await {
                let behind = this.behind.lock().unwrap().unwrap();
                let relay = TcpStream::connect(behind).await.unwrap();
                let ((from_device, to_device), (from_relay, to_relay)) =
                    (device.into_split(), relay.into_split());
                let this = this.clone();
                tokio::spawn(async move {
                    tokio::join!(this.pass_on(from_device, to_relay), this.pass_on(from_relay, to_device));
                });
            }
        });
        (recorder, address)
    }

    async fn pass_on(&self, mut from: OwnedReadHalf, mut to: OwnedWriteHalf) {
        let mut all = Vec::new();
        let mut piece = vec![0; 64 * 1_024];
        while let Ok(count @ 1..) = from.read(&mut piece).await {
            all.extend_from_slice(&piece[..count]);
            self.wait_at_gate(all.len()).await;
            if to.write_all(&piece[..count]).await.is_err() {
                break;
            }
        }
        drop(to.shutdown().await);
        self.seen.lock().unwrap().push(all);
    }

    async fn wait_at_gate(&self, passed: usize) {
        let opened = {
            let mut gate = self.gate.lock().unwrap();
            let Some(gate) = gate.as_mut().filter(|gate| passed >= gate.at) else { return };
            gate.reached.take().map(|reached| reached.send(()));
            gate.opened.clone()
        };
        let mut opened = opened;
        let _ = opened.wait_for(|opened| *opened).await; // never, if nobody is left to open it
    }

    fn bytes(&self) -> Vec<Vec<u8>> {
        self.seen.lock().unwrap().clone()
    }
}

/// A cloud with a relay behind a recorder.
struct World {
    cloud: Running,
    recorder: Recorder,
    data: tempfile::TempDir,
}

impl World {
    async fn new() -> Self {
        let data = tempfile::tempdir().unwrap();
        let (recorder, address) = Recorder::start().await;
        let mut config = Config::new(data.path().join("cloud"));
        config.identity.passwords = PasswordCost::FOR_TESTS;
        config.services.push(Service::Relay);
        config.relay.address = address.to_string();
        config.relay.wait = Duration::from_secs(5);
        let cloud = start(config).await.unwrap();
        *recorder.behind.lock().unwrap() = Some(cloud.relay.as_ref().unwrap().addr);
        Self { cloud, recorder, data }
    }

    async fn device(&self, name: &str, folder: Option<Id>) -> (Agent, Id, PathBuf) {
        let root = self.data.path().join(format!("{name}-folder"));
        std::fs::create_dir(&root).unwrap();
        let mut agent = Agent::open(&self.data.path().join(name)).unwrap();
        let ca = Some(self.cloud.ca_pem.clone().into_bytes());
        agent.login(&self.cloud.url, ca, "canary-user", "correct horse", folder.is_none()).await.unwrap();
        agent.add_device(name, KeyBits::B2048).await.unwrap();
        let new = NewFolder {
            path: root.clone(),
            name: Some("canary-folder".into()),
            join: folder.map(|id| id.to_string()),
            p2p_only: true,
            direction: Direction::Both,
        };
        let id = agent.add_folder(new).await.unwrap();
        (agent, id, root)
    }
}

/// On 127.0.0.1, announcing these addresses; dials nobody.
fn online_at(advertise: Vec<String>) -> ServeOptions {
    ServeOptions { listen: ([127, 0, 0, 1], 0).into(), advertise, interval: None, lan: false }
}

/// `one` dials `other` once, which announces `advertise`.
async fn sync(one: &Agent, other: &Agent, advertise: &[&str]) -> Round {
    let (stop, stopped) = oneshot::channel::<()>();
    let (online, is_online) = oneshot::channel();
    let options = online_at(advertise.iter().map(ToString::to_string).collect());
    let serving =
        other.serve(options, Arc::new(NoProgress), |address| online.send(address).unwrap(), |_| {}, async {
            let _ = stopped.await;
        });
    let dialling = async {
        is_online.await.unwrap();
        let round = one.sync_once(Arc::new(NoProgress)).await;
        drop(stop);
        round
    };
    let (served, round) = tokio::join!(serving, dialling);
    served.unwrap();
    round.unwrap()
}

fn synced(round: &Round) -> bool {
    matches!(&round.peers[..], [peer] if matches!(peer.outcome, Outcome::Synced(_)))
}

fn contains(haystack: &[u8], needle: &[u8]) -> bool {
    haystack.windows(needle.len()).any(|window| window == needle)
}

fn read(root: &Path, name: &str) -> String {
    std::fs::read_to_string(root.join(name)).unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread")]
async fn devices_that_cannot_connect_meet_at_the_relay_which_stays_blind() {
    let world = World::new().await;
    let (laptop, folder, laptop_root) = world.device("laptop", None).await;
    let (phone, _, phone_root) = world.device("phone", Some(folder)).await;
    let content = "canary-content ".repeat(10_000);
    std::fs::write(laptop_root.join("canary-name-1.txt"), &content).unwrap();
    std::fs::write(phone_root.join("canary-name-2.txt"), "canary-content of the phone").unwrap();

    let round = sync(&laptop, &phone, &[NOWHERE]).await;
    assert!(synced(&round), "{round:?}");
    assert_eq!(read(&phone_root, "canary-name-1.txt"), content);
    assert_eq!(read(&laptop_root, "canary-name-2.txt"), "canary-content of the phone");

    let seen = world.recorder.bytes();
    let all: usize = seen.iter().map(Vec::len).sum();
    assert!(all > 2 * content.len(), "the relay saw only {all} bytes");
    let ids: Vec<Id> = [&laptop, &phone].map(|agent| agent.device().unwrap().id()).into();
    let spkis = [&laptop, &phone].map(|agent| agent.device().unwrap().spki().der().to_vec());
    let mut canaries: Vec<Vec<u8>> = ["canary", "Assertion", "saml", "urn:meshproof", "laptop", "phone"]
        .map(|text| text.as_bytes().to_vec())
        .into();
    canaries.push(folder.0.to_vec());
    canaries.extend(ids.iter().flat_map(|id| [id.0.to_vec(), id.to_string().into_bytes()]));
    // The modulus: what stands before it is the same in all keys.
    canaries.extend(spkis.iter().map(|spki| spki[40..72].to_vec()));
    for (number, bytes) in seen.iter().enumerate() {
        for canary in &canaries {
            assert!(!contains(bytes, canary), "stream {number} shows {:?}", String::from_utf8_lossy(canary));
        }
    }
    world.cloud.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn devices_that_can_connect_leave_the_relay_alone() {
    let world = World::new().await;
    let (laptop, folder, laptop_root) = world.device("laptop", None).await;
    let (phone, _, phone_root) = world.device("phone", Some(folder)).await;
    std::fs::write(laptop_root.join("file"), "direct").unwrap();
    let round = sync(&laptop, &phone, &[]).await;
    assert!(synced(&round), "{round:?}");
    assert_eq!(read(&phone_root, "file"), "direct");
    assert!(world.recorder.bytes().is_empty(), "the relay was used");
    world.cloud.shutdown().await.unwrap();
}

/// The address that a device announces leads to it in the middle of a relayed transfer: the session goes on there, and what
/// came through the relay is not sent again (RLY-030, RLY-031).
#[tokio::test(flavor = "multi_thread")]
async fn a_session_leaves_the_relay_as_soon_as_there_is_a_direct_way() {
    const FILES: usize = 120;
    const SIZE: usize = 200_000;
    let world = World::new().await;
    let (laptop, folder, laptop_root) = world.device("laptop", None).await;
    let (phone, _, phone_root) = world.device("phone", Some(folder)).await;
    for number in 0..FILES {
        let line = format!("file {number} ").repeat(SIZE / 6);
        std::fs::write(phone_root.join(number.to_string()), &line.as_bytes()[..SIZE]).unwrap();
        // The other way, too, so that both ends have something to lose.
        std::fs::write(laptop_root.join(format!("back-{number}")), &line.as_bytes()[..SIZE / 10]).unwrap();
    }
    // The address is announced, and nobody listens there yet.
    let announced = TcpSocket::new_v4().unwrap();
    announced.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = announced.local_addr().unwrap().to_string();
    let (reached, is_reached) = oneshot::channel();
    let (open, opened) = watch::channel(false);
    let gate = Gate { at: 3_000_000, reached: Some(reached), opened };
    *world.recorder.gate.lock().unwrap() = Some(gate);

    let (stop, stopped) = oneshot::channel::<()>();
    let (online, is_online) = oneshot::channel();
    let options = online_at(vec![address]);
    let online = |address: SocketAddr| online.send(address).unwrap();
    let serving = phone.serve(options, Arc::new(NoProgress), online, |_| {}, async {
        let _ = stopped.await;
    });
    let (phone_at, phones) = watch::channel(None);
    let network = tokio::spawn(async move {
        is_reached.await.unwrap();
        let announced = announced.listen(1).unwrap();
        let phone: SocketAddr = phones.borrow().unwrap();
        let (mut device, _) = announced.accept().await.unwrap();
        let mut to_phone = TcpStream::connect(phone).await.unwrap();
        // The handshake goes to and fro before the relay goes on, so that the session cannot end there by itself.
        let mut first = vec![0; 64 * 1_024];
        let mut moved = 0;
        for towards_phone in [true, false, true] {
            let (from, to) =
                if towards_phone { (&mut device, &mut to_phone) } else { (&mut to_phone, &mut device) };
            let count = from.read(&mut first).await.unwrap();
            to.write_all(&first[..count]).await.unwrap();
            moved += count as u64;
        }
        open.send(true).unwrap();
        let (up, down) = tokio::io::copy_bidirectional(&mut device, &mut to_phone).await.unwrap();
        moved + up + down
    });
    let dialling = async {
        phone_at.send(Some(is_online.await.unwrap())).unwrap();
        let round = laptop.sync_once(Arc::new(NoProgress)).await;
        drop(stop);
        round
    };
    let (served, round) = tokio::join!(serving, dialling);
    served.unwrap();
    let round = round.unwrap();
    assert!(synced(&round), "{round:?}");
    let Outcome::Synced(report) = &round.peers[0].outcome else { unreachable!() };
    assert_eq!(report.files_received, FILES as u64);
    assert_eq!(report.bytes_received, (FILES * SIZE) as u64, "nothing is sent twice");
    assert_eq!(report.bytes_sent, (FILES * (SIZE / 10)) as u64, "nothing is sent twice");
    for number in 0..FILES {
        let (there, back) = (number.to_string(), format!("back-{number}"));
        assert_eq!(read(&laptop_root, &there), read(&phone_root, &there));
        assert_eq!(read(&laptop_root, &back), read(&phone_root, &back));
        assert_eq!((read(&laptop_root, &there).len(), read(&phone_root, &back).len()), (SIZE, SIZE / 10));
    }
    let relayed: usize = world.recorder.bytes().iter().map(Vec::len).sum();
    let direct = network.await.unwrap();
    assert!(relayed > 3_000_000, "only {relayed} bytes went through the relay");
    assert!(direct > 1_000_000, "only {direct} bytes went directly");
    world.cloud.shutdown().await.unwrap();
}

/// A device that was not there and announces itself is tried long before the next round, and the graph tells of it at once.
#[tokio::test(flavor = "multi_thread")]
async fn who_comes_online_is_tried_before_the_next_round() {
    let world = World::new().await;
    let (laptop, folder, laptop_root) = world.device("laptop", None).await;
    let (phone, _, phone_root) = world.device("phone", Some(folder)).await;
    std::fs::write(laptop_root.join("file"), "at once").unwrap();
    let options = |interval: Option<u64>| ServeOptions {
        interval: interval.map(Duration::from_secs),
        ..online_at(Vec::new())
    };
    let (cloud, own) = (laptop.cloud().unwrap().clone(), phone.device().unwrap().id());
    let mut news = cloud.listen(laptop.device().unwrap().id()).await.unwrap();
    cloud.listen_for(&mut news, [own]).await.unwrap();
    let (rounds, mut seen) = tokio::sync::mpsc::unbounded_channel();
    let (stop, stopped) = watch::channel(false);
    let until = |mut stopped: watch::Receiver<bool>| async move {
        let _ = stopped.wait_for(|stopped| *stopped).await;
    };
    let on_round = move |round: Result<Round, _>| rounds.send(round.unwrap()).unwrap();
    // The next round of all is an hour away.
    let laptop =
        laptop.serve(options(Some(3_600)), Arc::new(NoProgress), |_| {}, on_round, until(stopped.clone()));
    let rest = async {
        let first = seen.recv().await.unwrap();
        assert!(
            matches!(first.peers[..], [ref peer] if matches!(peer.outcome, Outcome::Offline)),
            "{first:?}"
        );
        let phone = phone.serve(options(None), Arc::new(NoProgress), |_| {}, |_| {}, until(stopped));
        let laptop_comes = async {
            let second = seen.recv().await.unwrap();
            assert!(synced(&second), "{second:?}");
            stop.send(true).unwrap();
        };
        tokio::join!(phone, laptop_comes).0.unwrap();
    };
    tokio::join!(laptop, rest).0.unwrap();
    let told = cloud.wait_for_news(&mut news).await.unwrap();
    assert!(told.announced == [own] && !told.called, "{told:?}");
    assert_eq!(read(&phone_root, "file"), "at once");
    world.cloud.shutdown().await.unwrap();
}

/// Whoever answers at an address is not the peer because of that: the devices meet elsewhere (HSK-064).
#[tokio::test(flavor = "multi_thread")]
async fn strangers_at_an_address_keep_nobody_from_the_relay() {
    let world = World::new().await;
    let (laptop, folder, laptop_root) = world.device("laptop", None).await;
    let (phone, _, phone_root) = world.device("phone", Some(folder)).await;
    std::fs::write(laptop_root.join("file"), "past strangers").unwrap();
    let stranger = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = stranger.local_addr().unwrap().to_string();
    let hanging_up = tokio::spawn(async move {
        let (mut met, mut noise) = (0, vec![0x42; 100]);
        while let Ok((mut stream, _)) = stranger.accept().await {
            met += 1;
            let _ = stream.write_all(&noise).await;
            noise.clear(); // the next hears nothing at all
            if met == 2 {
                break;
            }
        }
        met
    });
    let round = sync(&laptop, &phone, &[&address, &address]).await;
    assert!(synced(&round), "{round:?}");
    assert_eq!(read(&phone_root, "file"), "past strangers");
    assert_eq!(hanging_up.await.unwrap(), 2);
    assert!(!world.recorder.bytes().is_empty(), "the relay was not used");
    world.cloud.shutdown().await.unwrap();
}

/// Somebody who takes what comes and says nothing: as many strangers as there are listeners. Counts those that have an M1 and were not
/// given up.
async fn sinkholes(count: usize) -> (Vec<String>, watch::Receiver<usize>) {
    let (held, holding) = watch::channel(0);
    let held = Arc::new(held);
    let mut addresses = Vec::new();
    for _ in 0..count {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        addresses.push(listener.local_addr().unwrap().to_string());
        let held = held.clone();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let held = held.clone();
                tokio::spawn(async move {
                    let mut m1 = vec![0; 64 * 1_024];
                    if matches!(stream.read(&mut m1).await, Ok(1..)) {
                        held.send_modify(|held| *held += 1);
                        while matches!(stream.read(&mut m1).await, Ok(1..)) {}
                        held.send_modify(|held| *held -= 1);
                    }
                });
            }
        });
    }
    (addresses, holding)
}

/// A way to what listens at `behind` as soon as there is such, which opens when `when` is true.
async fn way<T: Send + Sync + 'static>(
    behind: watch::Receiver<Option<SocketAddr>>,
    mut seen: watch::Receiver<T>,
    when: impl Fn(&T) -> bool + Clone + Send + Sync + 'static,
    came: impl Fn() + Send + 'static,
) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        while let Ok((mut device, _)) = listener.accept().await {
            came();
            if seen.wait_for(when.clone()).await.is_err() {
                return;
            }
            let behind = behind.borrow().unwrap();
            let mut behind = TcpStream::connect(behind).await.unwrap();
            tokio::spawn(async move { tokio::io::copy_bidirectional(&mut device, &mut behind).await });
        }
    });
    address
}

impl World {
    /// Nothing comes through the relay.
    fn block_relay(&self) -> watch::Sender<bool> {
        let (open, opened) = watch::channel(false);
        *self.recorder.gate.lock().unwrap() = Some(Gate { at: 1, reached: None, opened });
        open
    }
}

/// The peer answers only when all strangers hold an attempt: they keep nobody from it (HSK-064).
#[tokio::test(flavor = "multi_thread")]
async fn strangers_that_say_nothing_are_tried_beside_the_peer() {
    let world = World::new().await;
    let _blocked = world.block_relay();
    let (laptop, folder, laptop_root) = world.device("laptop", None).await;
    let (phone, _, phone_root) = world.device("phone", Some(folder)).await;
    std::fs::write(laptop_root.join("file"), "past sinkholes").unwrap();
    let (mut announced, held) = sinkholes(3).await;
    let (phone_at, phones) = watch::channel(None);
    announced.push(way(phones, held.clone(), |held| *held == 3, || {}).await);

    let (stop, stopped) = oneshot::channel::<()>();
    let (online, is_online) = oneshot::channel();
    let serving = phone.serve(
        online_at(announced),
        Arc::new(NoProgress),
        |address| online.send(address).unwrap(),
        |_| {},
        async { drop(stopped.await) },
    );
    let dialling = async {
        phone_at.send_replace(Some(is_online.await.unwrap()));
        let round = laptop.sync_once(Arc::new(NoProgress)).await.unwrap();
        drop(stop);
        round
    };
    let (served, round) = tokio::join!(serving, dialling);
    served.unwrap();
    assert!(synced(&round), "{round:?}");
    assert_eq!(read(&phone_root, "file"), "past sinkholes");
    held.clone().wait_for(|held| *held == 0).await.expect("those that lost are given up");
    world.cloud.shutdown().await.unwrap();
}

/// Each of two peers answers only when both were dialled: neither waits for the other.
#[tokio::test(flavor = "multi_thread")]
async fn a_round_visits_its_peers_beside_each_other() {
    let world = World::new().await;
    let _blocked = world.block_relay();
    let (laptop, folder, laptop_root) = world.device("laptop", None).await;
    let (phone, _, phone_root) = world.device("phone", Some(folder)).await;
    let (tablet, _, tablet_root) = world.device("tablet", Some(folder)).await;
    std::fs::write(laptop_root.join("file"), "to both").unwrap();
    let (dialled, count) = watch::channel(0);
    let dialled = Arc::new(dialled);
    let (stop, stopped) = watch::channel(false);
    let serve = async |agent: &Agent| {
        let (at, behind) = watch::channel(None);
        let tell = dialled.clone();
        let came = move || tell.send_modify(|dialled| *dialled += 1);
        let address = way(behind, count.clone(), |dialled| *dialled >= 2, came).await;
        let mut stopped = stopped.clone();
        let until = async move { drop(stopped.wait_for(|stopped| *stopped).await) };
        let (ready, own) = (|address| at.send_modify(|at| *at = Some(address)), Arc::new(NoProgress));
        agent.serve(online_at(vec![address]), own, ready, |_| {}, until).await.unwrap();
    };
    let online = async |agent: &Agent| {
        let id = agent.device().unwrap().id();
        while laptop.cloud().unwrap().addresses(id).await.unwrap().is_empty() {
            tokio::task::yield_now().await;
        }
    };
    let dialling = async {
        tokio::join!(online(&phone), online(&tablet));
        let round = laptop.sync_once(Arc::new(NoProgress)).await.unwrap();
        stop.send_replace(true);
        round
    };
    let ((), (), round) = tokio::join!(serve(&phone), serve(&tablet), dialling);
    assert!(round.peers.iter().all(|peer| matches!(peer.outcome, Outcome::Synced(_))), "{round:?}");
    assert_eq!(round.peers.len(), 2);
    assert_eq!([&phone_root, &tablet_root].map(|root| read(root, "file")), ["to both"; 2]);
    world.cloud.shutdown().await.unwrap();
}

/// Devices that announce what leads nowhere, with a relay that does not answer, find each other on the local network. By hand:
/// `cargo test -p meshproof --test relayed local_network -- --ignored`, on a machine whose network takes multicast.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a network that takes multicast"]
async fn devices_find_each_other_on_the_local_network() {
    let world = World::new().await;
    let (laptop, folder, laptop_root) = world.device("laptop", None).await;
    let (phone, _, phone_root) = world.device("phone", Some(folder)).await;
    let _blocked = world.block_relay();
    std::fs::write(laptop_root.join("file"), "over the local network").unwrap();
    let options = || ServeOptions {
        listen: ([0, 0, 0, 0], 0).into(),
        advertise: vec![NOWHERE.into()],
        interval: Some(Duration::from_hours(1)),
        lan: true,
    };
    let (stop, stopped) = watch::channel(false);
    let until = |mut stopped: watch::Receiver<bool>| async move {
        let _ = stopped.wait_for(|stopped| *stopped).await;
    };
    let (stop, began) = (Arc::new(stop), std::time::Instant::now());
    let on_round = |name: &'static str| {
        let stop = stop.clone();
        move |round: Result<Round, _>| {
            let round: Round = round.unwrap();
            println!("{:?}: {name}: {:?}", began.elapsed(), round.peers);
            if synced(&round) {
                stop.send_replace(true);
            }
        }
    };
    let quiet = || Arc::new(NoProgress);
    let laptop = laptop.serve(options(), quiet(), |_| {}, on_round("laptop"), until(stopped.clone()));
    let phone = phone.serve(options(), quiet(), |_| {}, on_round("phone"), until(stopped));
    let (laptop, phone) = tokio::join!(laptop, phone);
    laptop.unwrap();
    phone.unwrap();
    assert_eq!(read(&phone_root, "file"), "over the local network");
    world.cloud.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_not_there_is_offline_at_the_relay_too() {
    let world = World::new().await;
    let (laptop, folder, _) = world.device("laptop", None).await;
    let (phone, _, _) = world.device("phone", Some(folder)).await;
    // The phone says that it is online, and listens nowhere.
    let own = phone.device().unwrap().id();
    phone.cloud().unwrap().announce(own, &[NOWHERE.into()], 60).await.unwrap();
    let round = laptop.sync_once(Arc::new(NoProgress)).await.unwrap();
    assert!(matches!(round.peers[..], [ref peer] if matches!(peer.outcome, Outcome::Offline)), "{round:?}");
    world.cloud.shutdown().await.unwrap();
}
