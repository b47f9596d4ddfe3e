//! What the tests share: an issuer with the public test keys, devices with folders in temporary directories, and a
//! hostile peer that says what it likes over a real channel.

#![allow(dead_code, unreachable_pub)] // each test program uses a part

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use base64::Engine as _;
use meshproof_client::responder::{Responder, pair_verifier};
use meshproof_client::sync::versions::Limits;
use meshproof_client::sync::{Direction, Folder, Index, NoProgress, Report, Signer};
use meshproof_client::transport::{self, Connection, Incoming};
use meshproof_client::{Error, now, os_entropy};
use meshproof_proto::codec::Id;
use meshproof_proto::crypto::{DEFAULT, Provider, Secret};
use meshproof_proto::handshake::{Device, Target};
use meshproof_proto::storage::MediaHash;
use meshproof_proto::sync::entry::new_id;
use meshproof_proto::sync::proof::{Deleted, Part};
use meshproof_proto::sync::{
    Card, Content, Decoder, Digests, Entry, Kind, Message, Name, Proof, ROOT, Stamp, State, Version,
};
use meshproof_proto::ticket::{
    Attributes, Claim, Issuer, KeyBinding, Mapping, Role, Subject, Ticket, device_audience,
};
use meshproof_proto::time::UnixTime;
use tokio::net::TcpListener;
use tokio::sync::oneshot;

pub const FOLDER: Id = Id([0xF0; 16]);
pub const ISSUER: &str = "urn:meshproof:test";
pub const X: Id = Id([2; 16]);
pub const Y: Id = Id([3; 16]);
pub const Z: Id = Id([4; 16]);

/// Bytes that look random, the same in every run.
pub fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(2).wrapping_add(1);
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        state.to_be_bytes()[0]
    };
    (0..length).map(|_| next()).collect()
}

fn pkcs8(pem: &str) -> Vec<u8> {
    let text: String = pem.lines().filter(|line| !line.starts_with("-----")).collect();
    base64::engine::general_purpose::STANDARD.decode(text).unwrap()
}

fn key_of(id: Id) -> &'static str {
    match id {
        X => include_str!("../../../../vectors/keys/device-x.pem"),
        Y => include_str!("../../../../vectors/keys/device-y.pem"),
        _ => include_str!("../../../../vectors/keys/device-z.pem"),
    }
}

/// Whose device it is: Z is another user's.
pub fn user_of(device: Id) -> Id {
    if device == Z { Id([9; 16]) } else { Id([1; 16]) }
}

/// Issues tickets that say what the test wants.
pub fn issuer() -> Issuer {
    let key = pkcs8(include_str!("../../../../vectors/keys/issuer-a.pem"));
    Issuer::new(DEFAULT, DEFAULT.private_key(&key).unwrap())
}

/// The signing key of a device of these tests.
pub fn signer(provider: &'static dyn Provider, id: Id) -> Arc<Signer> {
    Arc::new(Signer::new(provider, id, &Secret::new([id.0[0]; 32])))
}

/// What the issuer says of a device of these tests.
pub fn card(id: Id) -> Card {
    let key = signer(DEFAULT, id).public();
    Card { device: id, key, signature: issuer().key().sign(&Card::statement(FOLDER, id, &key)) }
}

/// A pair ticket and all else that `from` needs to dial `to`.
pub fn target(from: &Device, to: &Device, mappings: &[(Id, Role, Role)]) -> Target {
    target_at(from, to, mappings, now())
}

/// The same by another clock.
pub fn target_at(from: &Device, to: &Device, mappings: &[(Id, Role, Role)], now: UnixTime) -> Target {
    let mut id = [0; 16];
    os_entropy(&mut id);
    let mapping = |folder, device, role| Mapping { folder, device, role };
    let ticket = Ticket {
        id: Id(id),
        issue_instant: now,
        issuer: ISSUER.into(),
        subject: Subject::Device(from.id()),
        confirmation: Some(from.spki().clone()),
        not_before: now,
        not_on_or_after: now.plus(600),
        audience: device_audience(to.id()),
        authn: None,
        authz: Vec::new(),
        attributes: Attributes {
            keys: vec![KeyBinding { device: to.id(), fingerprint: to.spki().fingerprint(DEFAULT) }],
            claims: [from, to]
                .map(|device| Claim { device: device.id(), user: user_of(device.id()) })
                .to_vec(),
            mappings: mappings
                .iter()
                .flat_map(|(folder, mine, theirs)| {
                    [mapping(*folder, from.id(), *mine), mapping(*folder, to.id(), *theirs)]
                })
                .collect(),
        },
    };
    Target::new(to.id(), to.spki().clone(), issuer().issue(&ticket).unwrap())
}

/// A device with one folder.
pub struct Node {
    pub device: Arc<Device>,
    pub folder: Arc<Folder>,
    pub root: PathBuf,
    home: Home,
}

/// Where a device has its index and its folder.
enum Home {
    Own(tempfile::TempDir),
    Given(PathBuf),
}

impl Home {
    fn path(&self) -> &Path {
        match self {
            Self::Own(directory) => directory.path(),
            Self::Given(path) => path,
        }
    }
}

impl Node {
    pub fn new(provider: &'static dyn Provider, id: Id) -> Self {
        Self::with(provider, id, Direction::Both)
    }

    pub fn with(provider: &'static dyn Provider, id: Id, direction: Direction) -> Self {
        Self::open(provider, id, direction, Home::Own(tempfile::tempdir().unwrap()))
    }

    /// The device that has its home there, new or from before.
    pub fn at(provider: &'static dyn Provider, id: Id, home: &Path) -> Self {
        Self::open(provider, id, Direction::Both, Home::Given(home.to_owned()))
    }

    fn open(provider: &'static dyn Provider, id: Id, direction: Direction, home: Home) -> Self {
        let root = home.path().join("folder");
        std::fs::create_dir_all(&root).unwrap();
        let root = root.canonicalize().unwrap();
        let device = Arc::new(Device::load(provider, id, &pkcs8(key_of(id)), &mut os_entropy).unwrap());
        let index = Arc::new(Index::open(&home.path().join("index.db")).unwrap());
        let folder = Arc::new(Folder::open(FOLDER, signer(provider, id), &root, direction, index).unwrap());
        folder.trust(&[issuer().key().spki().clone()]);
        folder.learn([X, Y, Z].map(card).to_vec()).unwrap();
        Self { device, folder, root, home }
    }

    /// The same device after a restart: nothing is left of the process but what is on disk.
    #[must_use]
    pub fn reopen(self) -> Self {
        let index = Arc::new(Index::open(&self.home.path().join("index.db")).unwrap());
        let signer = signer(self.device.provider(), self.device.id());
        let folder = Folder::open(FOLDER, signer, &self.root, Direction::Both, index).unwrap();
        folder.trust(&[issuer().key().spki().clone()]);
        Self { folder: Arc::new(folder), ..self }
    }

    /// The same device after its user chose which way changes go.
    #[must_use]
    pub fn only(self, direction: Direction) -> Self {
        let index = Arc::new(Index::open(&self.home.path().join("index.db")).unwrap());
        let signer = signer(self.device.provider(), self.device.id());
        let folder = Folder::open(FOLDER, signer, &self.root, direction, index).unwrap();
        folder.trust(&[issuer().key().spki().clone()]);
        Self { folder: Arc::new(folder), ..self }
    }

    /// The same device, keeping what a sync replaces or deletes.
    #[must_use]
    pub fn keeping(self, limits: Limits) -> Self {
        let index = Arc::new(Index::open(&self.home.path().join("index.db")).unwrap());
        let signer = signer(self.device.provider(), self.device.id());
        let folder = Folder::open(FOLDER, signer, &self.root, Direction::Both, index).unwrap();
        folder.trust(&[issuer().key().spki().clone()]);
        Self { folder: Arc::new(folder.with_versions(limits)), ..self }
    }

    pub fn write(&self, path: &str, content: impl AsRef<[u8]>) {
        let path = self.root.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }

    pub fn read(&self, path: &str) -> Option<String> {
        std::fs::read(self.root.join(path)).ok().map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
    }

    pub fn remove(&self, path: &str) {
        std::fs::remove_file(self.root.join(path)).unwrap();
    }

    pub fn entry(&self, path: &str) -> Option<Entry> {
        let record = self.folder.index().get(FOLDER, path).unwrap()?;
        self.folder.index().entry(FOLDER, record.entry.id).unwrap()
    }

    /// Every path below the root with what it is, hidden and temporary ones too.
    pub fn tree(&self) -> BTreeMap<String, String> {
        let mut tree = BTreeMap::new();
        walk(&self.root, &self.root, &mut tree);
        tree
    }
}

fn walk(root: &Path, at: &Path, tree: &mut BTreeMap<String, String>) {
    for entry in std::fs::read_dir(at).unwrap() {
        let entry = entry.unwrap();
        let path = entry.path();
        let name = path.strip_prefix(root).unwrap().to_string_lossy().into_owned();
        let metadata = entry.metadata().unwrap();
        if metadata.is_dir() {
            tree.insert(name, "directory".into());
            walk(root, &path, tree);
        } else if metadata.is_file() {
            tree.insert(name, MediaHash::of(&std::fs::read(&path).unwrap()).to_string());
        } else if let Ok(target) = std::fs::read_link(&path) {
            tree.insert(name, format!("link to {}", target.display()));
        } else {
            tree.insert(name, "other".into());
        }
    }
}

/// A responder that is up, and how its sessions ended.
pub struct Serving {
    pub address: String,
    ended: Arc<Mutex<tokio::sync::mpsc::UnboundedReceiver<Result<Report, String>>>>,
    _stop: oneshot::Sender<()>,
}

impl Serving {
    /// How the next incoming session ended.
    #[allow(clippy::await_holding_lock)] // one test, one waiter
    pub async fn ended(&self) -> Result<Report, String> {
        self.ended.lock().unwrap().recv().await.unwrap()
    }
}

pub async fn serve(node: &Node) -> Serving {
    serve_with(node, meshproof_client::Limits::default()).await
}

pub async fn serve_with(node: &Node, limits: meshproof_client::Limits) -> Serving {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address: SocketAddr = listener.local_addr().unwrap();
    let verifier = pair_verifier(&node.device, ISSUER, &[issuer().key().spki().clone()]).unwrap();
    let (tell, ended) = tokio::sync::mpsc::unbounded_channel();
    let responder = Responder::new(node.device.clone(), verifier, vec![node.folder.clone()]).on_session(
        move |_, result| {
            let result = match result {
                Ok(report) => Ok(report.clone()),
                Err(error) => Err(format!("{}: {error}", error.requirement_id())),
            };
            let _ = tell.send(result);
        },
    );
    let responder = responder.with_limits(limits);
    let (stop, stopped) = oneshot::channel::<()>();
    tokio::spawn(Arc::new(responder).serve(listener, async move {
        let _ = stopped.await;
    }));
    Serving { address: address.to_string(), ended: Arc::new(Mutex::new(ended)), _stop: stop }
}

/// `from` dials `to`, which is up at `address`, with these roles.
pub async fn connect(
    from: &Device,
    to: &Device,
    address: &str,
    roles: (Role, Role),
) -> Result<Connection, Error> {
    let target = target(from, to, &[(FOLDER, roles.0, roles.1)]);
    let verifier = pair_verifier(to, ISSUER, &[issuer().key().spki().clone()]).unwrap();
    let device = Arc::new(
        Device::load(from.provider(), from.id(), &pkcs8(key_of(from.id())), &mut os_entropy).unwrap(),
    );
    let grounds = transport::grounds_of(&verifier, &device, &target)?;
    transport::dial(address, device, &target, grounds).await
}

/// One session in which `from` dials `to`. Both reports.
pub async fn sync(from: &Node, to: &Node) -> (Report, Report) {
    let serving = serve(to).await;
    let connection =
        connect(&from.device, &to.device, &serving.address, (Role::Owner, Role::Owner)).await.unwrap();
    let mine =
        meshproof_client::responder::sync(connection, vec![from.folder.clone()], Arc::new(NoProgress)).await;
    (mine.unwrap(), serving.ended().await.unwrap())
}

/// A peer that speaks the handshake properly and then says what the test wants.
pub struct RawPeer {
    pub connection: Connection,
    decoder: Decoder,
}

impl RawPeer {
    pub async fn connect(from: Id, to: &Node, address: &str, role: Role) -> Self {
        let device = Device::load(DEFAULT, from, &pkcs8(key_of(from)), &mut os_entropy).unwrap();
        let connection = connect(&device, &to.device, address, (role, Role::Owner)).await.unwrap();
        Self::over(connection)
    }

    /// The same over a channel that is open.
    pub fn over(connection: Connection) -> Self {
        Self { connection, decoder: Decoder::default() }
    }

    pub fn send(&self, messages: &[Message]) {
        let mut bytes = Vec::new();
        messages.iter().for_each(|message| message.write(&mut bytes));
        self.connection.outgoing.send(bytes);
    }

    pub fn send_bytes(&self, bytes: Vec<u8>) {
        self.connection.outgoing.send(bytes);
    }

    /// HELLO, a STATE that differs everywhere, and an INDEX with these entries.
    pub fn offer(&self, entries: Vec<Entry>) {
        self.send(&[
            Message::Hello(vec![FOLDER]),
            cards_of(&entries),
            state(),
            Message::Index { folder: FOLDER, last: true, entries },
        ]);
    }

    /// The next message, or `None` when the peer closed.
    pub async fn next(&mut self) -> Option<Message> {
        loop {
            if let Some(message) = self.decoder.next().unwrap() {
                return Some(message);
            }
            match self.connection.incoming.recv().await? {
                Incoming::Data(content) => self.decoder.push(&content),
                Incoming::Closed => return None,
                Incoming::Finish => {}
                Incoming::Failed(error) => panic!("{error}"),
            }
        }
    }

    /// The next message that `wanted` makes something of.
    pub async fn wait<T>(&mut self, mut wanted: impl FnMut(Message) -> Option<T>) -> Option<T> {
        while let Some(message) = self.next().await {
            if let Some(found) = wanted(message) {
                return Some(found);
            }
        }
        None
    }
}

/// The STATE of a peer that saw nothing and has something else in every bucket.
pub fn state() -> Message {
    let digests = Digests([[0xFF; 16]; 256]);
    Message::State(Box::new(State { folder: FOLDER, complete: true, heads: Vec::new(), digests }))
}

/// A file in the root that `writer` wrote as its first change.
pub fn file(name: &str, content: &[u8], writer: Id, lamport: u64) -> Entry {
    file_of(name, content, Stamp { lamport, writer, counter: 1 })
}

/// The same, by any change.
pub fn file_of(name: &str, content: &[u8], stamp: Stamp) -> Entry {
    let kind = Kind::File { size: content.len() as u64, hash: MediaHash::of(content) };
    let content = Content { stamp, kind, mode: 0o644, mtime: 1_600_000_000_000_000_000, gone: false };
    let name = Name::parse(name).unwrap();
    signed(Entry::new(new_id(ROOT, &name, 0), (ROOT, name), content).unwrap())
}

/// The cards of all who wrote in these.
pub fn cards_of(entries: &[Entry]) -> Message {
    let writers: BTreeSet<Id> =
        entries.iter().flat_map(|entry| &entry.proofs).map(|proof| proof.stamp.writer).collect();
    Message::Writers { folder: FOLDER, cards: writers.into_iter().map(card).collect() }
}

/// The entry with signatures where there are none yet.
pub fn sign_new(mut entry: Entry) -> Entry {
    for proof in entry.proofs.iter_mut().filter(|proof| proof.signature == [0; 64]) {
        proof.signature = signer(DEFAULT, proof.stamp.writer).sign(&proof.statement(FOLDER, entry.id));
    }
    entry
}

/// The entry with the proofs that all its writers would make.
pub fn signed(mut entry: Entry) -> Entry {
    let mut proofs = Vec::new();
    let stamps: Vec<Stamp> =
        entry.contents.iter().map(|content| content.stamp).chain([entry.place.stamp]).collect();
    for (writer, counter) in entry.version.counters().iter().copied().chain(stamps.iter().map(Stamp::dot)) {
        let dot = (writer, counter);
        let stamp = stamps.iter().find(|stamp| stamp.dot() == dot).copied();
        let stamp = stamp.unwrap_or(Stamp { lamport: 1, writer, counter });
        let place = Some(&entry.place).filter(|place| place.stamp == stamp);
        let content = entry.contents.iter().find(|content| content.stamp == stamp);
        let mut proof = Proof::new(stamp, place, content);
        if entry.place.gone && place.is_some() {
            proof.deleted.push(Deleted { part: Part::Place, change: dot });
        }
        if content.is_some_and(|content| content.gone) {
            proof.deleted.push(Deleted { part: Part::Content, change: dot });
        }
        proof.signature = signer(DEFAULT, writer).sign(&proof.statement(FOLDER, entry.id));
        proofs.push(proof);
    }
    proofs.sort_by_key(|proof| proof.stamp.dot());
    proofs.dedup();
    entry.proofs = proofs;
    entry
}

/// The entry as the first device of this version wrote it.
pub fn versioned(mut entry: Entry, version: Version) -> Entry {
    let (writer, counter) = version.counters()[0];
    let stamp = Stamp { writer, counter, ..entry.place.stamp };
    entry.place.stamp = stamp;
    entry.contents[0].stamp = stamp;
    signed(Entry { version, ..entry })
}

/// The entry, deleted.
pub fn gone(mut entry: Entry) -> Entry {
    entry.place.gone = true;
    entry.contents.iter_mut().for_each(|content| content.gone = true);
    signed(entry)
}
