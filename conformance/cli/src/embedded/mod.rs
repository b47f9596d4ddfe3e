//! The reference implementation in this process, set up as the kit's targets.

pub(crate) mod mission;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::Context as _;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use meshproof_client::Limits;
use meshproof_client::responder::{Responder, pair_verifier};
use meshproof_client::sync::{Direction, Folder, Index, Signer};
use meshproof_cloud::{Config, PasswordCost, Running, Service};
use meshproof_kit::check::Role;
use meshproof_kit::target::cloud::CloudTarget;
use meshproof_kit::target::fixture::PeerFixture;
use meshproof_kit::target::peer::PeerTarget;
use meshproof_kit::target::relay::RelayTarget;
use meshproof_kit::target::shim::Shim;
use meshproof_kit::target::{Patience, Targets};
use meshproof_kit::vectors::fixtures::{ISSUER_A, ISSUER_B, KEY_3072, KEY_X, KEY_Y, KEY_Z, Key};
use meshproof_proto::codec::{Id, hex};
use meshproof_proto::crypto::{DEFAULT, Secret};
use meshproof_proto::handshake::Device;
use meshproof_proto::handshake::guard::Allowance;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::sync::oneshot;

/// Small enough for the kit to fill in a moment.
const QUOTA: u64 = 8 * 1_024 * 1_024;
/// The same for the relay, and more than systems hold for a device that does not read.
const RELAY_QUOTA: u64 = 80 * 1_024 * 1_024;
/// Memory that is free is used for data if it is more than all workers need.
const ROOM: u64 = 1 << 30;
/// What the embedded relay and the kit share.
const RELAY_KEY: [u8; 32] = [0x52; 32];

/// A cloud and a device of the reference implementation.
pub(crate) struct Embedded {
    cloud: Option<Running>,
    peer: Option<(PeerTarget, oneshot::Sender<()>)>,
    _data: Vec<TempDir>,
}

impl Embedded {
    /// Starts what checks of these roles talk to on free ports of 127.0.0.1, with its data in a directory that is removed at
    /// the end.
    pub(crate) async fn start(roles: &BTreeSet<Role>) -> anyhow::Result<Self> {
        in_memory();
        let mut data = Vec::new();
        let (mut cloud, mut peer) = (None, None);
        if roles.contains(&Role::Cloud) || roles.contains(&Role::Relay) {
            let directory = TempDir::new().context("no temporary directory")?;
            cloud = Some(start_cloud(directory.path().join("cloud")).await?);
            data.push(directory);
        }
        if roles.contains(&Role::Peer) {
            let directory = TempDir::new().context("no temporary directory")?;
            peer = Some(start_peer(directory.path()).await?);
            data.push(directory);
        }
        Ok(Self { cloud, peer, _data: data })
    }

    /// Where the device accepts connections.
    pub(crate) fn peer_address(&self) -> Option<std::net::SocketAddr> {
        self.peer.as_ref().map(|(peer, _)| peer.address)
    }

    /// The targets, with the vectors of the reference beside them.
    pub(crate) fn targets(&self, patience: Duration) -> anyhow::Result<Targets> {
        let keys = [&KEY_X, &KEY_Y, &KEY_Z, &KEY_3072].map(|key| key.private.clone()).to_vec();
        let cloud = |cloud: &Running| CloudTarget::new(&cloud.url, Some(&cloud.ca_pem), keys);
        let relay = self.cloud.as_ref().and_then(|cloud| cloud.relay.as_ref());
        Ok(Targets {
            description: "the embedded reference implementation".to_owned(),
            cloud: self.cloud.as_ref().map(cloud).transpose()?.map(Arc::new),
            peer: self.peer.as_ref().map(|(peer, _)| peer.clone()),
            relay: relay.map(|relay| RelayTarget {
                address: relay.addr,
                name: relay.address.clone(),
                key: RELAY_KEY,
                quota: Some(RELAY_QUOTA),
            }),
            shim: Some(Arc::new(Mutex::new(crate::shim::reference()))),
            // One of its own: a call takes as long as the check, and vectors need not wait for it.
            caller: Some(Arc::new(Mutex::new(crate::shim::reference()))),
            caller_suites: None,
            client: Some(Arc::new(|| Box::new(crate::shim::reference()) as Box<dyn Shim>)),
            patience: Patience(patience),
        })
    }

    /// Stops both.
    pub(crate) async fn stop(self) {
        // Whoever ended already needs no telling.
        if let Some((_, stop)) = self.peer {
            let _ = stop.send(());
        }
        if let Some(cloud) = self.cloud {
            let _ = cloud.shutdown().await;
        }
    }
}

/// From now on this process has its temporary directories in memory, where there is room: nobody misses after a crash what clouds
/// and devices under test keep, and on a disk most of a run would be waiting until it is flushed. All of it, for what links lead
/// to has to be on one disk with them.
fn in_memory() {
    let memory = Path::new("/dev/shm");
    let room = rustix::fs::statvfs(memory).map_or(0, |disk| disk.f_bavail.saturating_mul(disk.f_frsize));
    // Who names a place means it, and it may be there and not for this user.
    if room >= ROOM && std::env::var_os("TMPDIR").is_none() && TempDir::new_in(memory).is_ok() {
        // The only failure is that it was done already.
        let _ = tempfile::env::override_temp_dir(memory);
    }
}

/// A cloud for many short lives: its passwords cost next to nothing, and its issuer's key is a test key.
pub(crate) async fn start_cloud(data: PathBuf) -> anyhow::Result<Running> {
    let issuer_key = Some(pkcs8(&ISSUER_B)?);
    std::fs::create_dir_all(&data).with_context(|| format!("cannot make {}", data.display()))?;
    std::fs::write(data.join("relay.key"), hex(&RELAY_KEY)).context("cannot write the relay key")?;
    let mut config = Config { issuer_key, ..Config::new(data) };
    config.services.push(Service::Relay);
    config.relay.quota = RELAY_QUOTA;
    config.relay.drain = Duration::ZERO;
    config.storage.quota = QUOTA;
    config.identity.passwords = PasswordCost::FOR_TESTS;
    meshproof_cloud::start(config).await.context("the embedded cloud does not start")
}

/// A device as [`PeerFixture`] describes it.
async fn start_peer(data: &Path) -> anyhow::Result<(PeerTarget, oneshot::Sender<()>)> {
    let root = data.join("folder");
    std::fs::create_dir(&root).with_context(|| format!("cannot make {}", root.display()))?;
    let id = Id(PeerFixture::DEVICE_Y);
    let device = Device::load(DEFAULT, id, &pkcs8(&KEY_Y)?, &mut meshproof_client::os_entropy)?;
    let issuer = DEFAULT.private_key(&pkcs8(&ISSUER_A)?)?;
    let verifier = pair_verifier(&device, PeerFixture::ISSUER, &[issuer.spki().clone()])?;
    let index = Arc::new(Index::open(&data.join("index.db"))?);
    let seed = Secret::new(PeerFixture::signing_seed(id.0));
    let signer = Arc::new(Signer::new(DEFAULT, id, &seed));
    let folder = Folder::open(Id(PeerFixture::FOLDER), signer, &root, Direction::Both, index)?;
    folder.trust(&[issuer.spki().clone()]);
    let responder = Responder::new(Arc::new(device), verifier, vec![Arc::new(folder)]);
    // The kit is many devices at one address (HSK-008).
    let many = 256;
    let allowance = Allowance { per_source: 100_000, per_source_rate: 0, all: 200_000, all_rate: 0 };
    let limits = Limits {
        half_open: many,
        half_open_per_source: many,
        sessions: many,
        sessions_per_user: many,
        allowance,
    };
    let responder = Arc::new(responder.with_limits(limits));

    let listener = TcpListener::bind("127.0.0.1:0").await.context("no port for the peer")?;
    let address = listener.local_addr().context("no address for the peer")?;
    let (stop, stopped) = oneshot::channel();
    tokio::spawn(responder.serve(listener, async {
        // The sender dropped is a stop too.
        let _ = stopped.await;
    }));
    Ok((PeerTarget { address, folder: Some(root) }, stop))
}

fn pkcs8(key: &Key) -> anyhow::Result<Vec<u8>> {
    let text = key.pkcs8_text();
    STANDARD.decode(text.as_str().unwrap_or_default()).with_context(|| format!("the key {}", key.name))
}
