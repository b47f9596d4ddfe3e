//! Two devices that are never online at once: all that one does the other has by the cloud alone, and a cloud that lies is found
//! out and harms nothing.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};

use meshproof_client::Agent;
use meshproof_client::agent::{CloudReport, Health, NewFolder};
use meshproof_client::sync::{Direction, NoProgress};
use meshproof_cloud::{Config, PasswordCost, Running};
use meshproof_proto::codec::Id;
use meshproof_proto::crypto::KeyBits;
use tokio::net::{TcpListener, TcpStream};

/// A folder's files and directories, with what is in them.
type Tree = BTreeMap<String, Option<Vec<u8>>>;

async fn start(data: &Path, quota: u64) -> Running {
    let mut config = Config::new(data);
    config.identity.passwords = PasswordCost::FOR_TESTS;
    config.storage.quota = quota;
    meshproof_cloud::start(config).await.unwrap()
}

/// A device of ann's. It is never online: it only syncs now and then.
struct Device {
    agent: Agent,
    root: PathBuf,
    folder: Id,
}

impl Device {
    async fn new(home: &Path, name: &str, url: &str, ca: &str, join: Option<Id>) -> Self {
        let root = home.join(name).join("folder");
        std::fs::create_dir_all(&root).unwrap();
        let mut agent = Agent::open(&home.join(name).join("home")).unwrap();
        let register = join.is_none();
        agent.login(url, Some(ca.as_bytes().to_vec()), "ann", "correct horse", register).await.unwrap();
        agent.add_device(name, KeyBits::B2048).await.unwrap();
        let join = join.map(|folder| folder.to_string());
        let (path, direction) = (root.clone(), Direction::Both);
        let folder =
            agent.add_folder(NewFolder { path, name: None, join, p2p_only: false, direction }).await.unwrap();
        Self { agent, root, folder }
    }

    /// The same in another run of its program: no connection is left.
    fn reopened(self) -> Self {
        let Self { agent, root, folder } = self;
        drop(agent);
        let agent = Agent::open(&root.with_file_name("home")).unwrap();
        Self { agent, root, folder }
    }

    async fn sync(&self) -> CloudReport {
        self.try_to_sync().await.unwrap()
    }

    async fn try_to_sync(&self) -> Result<CloudReport, meshproof_client::Error> {
        let round = self.agent.sync_once(Arc::new(NoProgress)).await.unwrap();
        round.cloud.into_iter().next().unwrap().1
    }

    /// Syncs with a cloud in which nothing is wrong.
    async fn sync_well(&self) -> CloudReport {
        let report = self.sync().await;
        assert!(report.doubts.is_empty(), "{:?}", report.doubts);
        report
    }

    fn write(&self, path: &str, content: &str) {
        let at = self.root.join(path);
        std::fs::create_dir_all(at.parent().unwrap()).unwrap();
        std::fs::write(at, content).unwrap();
    }

    fn read(&self, path: &str) -> Option<String> {
        std::fs::read_to_string(self.root.join(path)).ok()
    }

    fn rename(&self, from: &str, to: &str) {
        std::fs::rename(self.root.join(from), self.root.join(to)).unwrap();
    }

    fn remove(&self, path: &str) {
        std::fs::remove_file(self.root.join(path)).unwrap();
    }

    fn tree(&self) -> Tree {
        let mut tree = Tree::new();
        collect(&self.root, &self.root, &mut tree);
        tree
    }

    /// The kinds of doubt that are told in `mesh status`, each once.
    async fn doubts(&self) -> Vec<String> {
        let status = self.agent.status().await.unwrap();
        let mut kinds: Vec<String> =
            status.folders[0].cloud_doubts.iter().map(|doubt| doubt.kind.clone()).collect();
        kinds.sort();
        kinds.dedup();
        kinds
    }
}

fn collect(root: &Path, below: &Path, tree: &mut Tree) {
    for entry in std::fs::read_dir(below).unwrap() {
        let path = entry.unwrap().path();
        let name = path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
        if name.starts_with(".meshproof") {
            continue;
        }
        if path.is_dir() {
            tree.insert(name, None);
            collect(root, &path, tree);
        } else {
            tree.insert(name, Some(std::fs::read(&path).unwrap()));
        }
    }
}

struct World {
    data: tempfile::TempDir,
    cloud: Running,
    x: Device,
    y: Device,
}

impl World {
    async fn new() -> Self {
        Self::with_quota(100_000_000).await
    }

    async fn with_quota(quota: u64) -> Self {
        let data = tempfile::tempdir().unwrap();
        let cloud = start(&data.path().join("cloud"), quota).await;
        let x = Device::new(data.path(), "x", &cloud.url, &cloud.ca_pem, None).await;
        let y = Device::new(data.path(), "y", &cloud.url, &cloud.ca_pem, Some(x.folder)).await;
        Self { data, cloud, x, y }
    }

    /// X syncs, then Y.
    async fn pass(&self) {
        self.x.sync_well().await;
        self.y.sync_well().await;
    }

    /// Until both have what both did.
    async fn converge(&self) {
        self.pass().await;
        self.x.sync_well().await;
        assert_eq!(self.x.tree(), self.y.tree());
    }

    /// What whoever runs the cloud can do to its database.
    fn tamper(&self, sql: &str) -> usize {
        let database = rusqlite::Connection::open(self.data.path().join("cloud/meshd.sqlite")).unwrap();
        database.execute(sql, []).unwrap()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn edits_moves_deletions_and_conflicts() {
    let world = World::new().await;
    let (x, y) = (&world.x, &world.y);
    x.write("notes.txt", "one");
    x.write("dir/deep/file", "deep");
    x.write("empty", "");
    std::fs::create_dir(x.root.join("hollow")).unwrap();
    world.pass().await;
    assert_eq!(x.tree(), y.tree());
    assert_eq!(y.tree().len(), 6);

    y.write("notes.txt", "two");
    y.rename("dir/deep", "moved");
    y.remove("empty");
    y.write("new", "from y");
    y.sync_well().await;
    x.sync_well().await;
    assert_eq!(x.tree(), y.tree());
    assert_eq!(x.read("moved/file").as_deref(), Some("deep"));
    assert_eq!((x.read("notes.txt").as_deref(), x.read("empty")), (Some("two"), None));

    // Neither sees the other's edit; one renames what the other edits; one deletes what the other edits.
    x.write("notes.txt", "by x");
    y.write("notes.txt", "by y, longer");
    x.rename("moved/file", "moved/renamed");
    y.write("moved/file", "deep, edited");
    x.remove("new");
    y.write("new", "still wanted");
    world.converge().await;
    world.pass().await;
    assert_eq!(x.tree(), y.tree());
    let notes: Vec<_> = x.tree().into_iter().filter(|(path, _)| path.starts_with("notes")).collect();
    assert_eq!(notes.len(), 2, "both contents are there: {notes:?}");
    assert_eq!(x.read("moved/renamed").as_deref(), Some("deep, edited"));
    assert_eq!(x.read("new").as_deref(), Some("still wanted"));
    // Then there is nothing to say any more.
    let idle = x.sync_well().await;
    assert_eq!((idle.states, idle.taken, idle.files, idle.files_received), (0, 0, 0, 0));
    assert!(x.doubts().await.is_empty() && y.doubts().await.is_empty());
}

/// What it did itself and has no more, others have by the cloud: a new index must not say that it has seen all of that, for who has seen an
/// entry and does not have it deleted it (SYN-045).
#[tokio::test(flavor = "multi_thread")]
async fn a_device_whose_index_was_removed_deletes_nothing() {
    let World { data, cloud, x, y } = World::new().await;
    x.write("photos/one", "by x");
    x.write("documents/two", "by x");
    x.sync_well().await;
    y.sync_well().await;
    let before = y.tree();
    // It loses its index, and a part of its files.
    let Device { agent, root, folder } = x;
    drop(agent);
    for file in ["index.db", "index.db-wal", "index.db-shm"] {
        let _ = std::fs::remove_file(data.path().join("x/home").join(file));
    }
    std::fs::remove_dir_all(root.join("photos")).unwrap();
    let agent = Agent::open(&data.path().join("x/home")).unwrap();
    let x = Device { agent, root, folder };
    x.write("documents/three", "after it");
    pass_of_who_began_anew(&x, &y).await;
    assert_eq!(y.read("photos/one").as_deref(), Some("by x"));
    assert_eq!(x.read("photos/one").as_deref(), Some("by x"), "it comes back");
    assert_eq!(y.read("documents/three").as_deref(), Some("after it"));
    assert_eq!((x.tree(), y.tree().len()), (y.tree(), before.len() + 1));
    // The same for who adds the folder again.
    let Device { mut agent, root, folder } = x;
    std::fs::remove_dir_all(root.join("photos")).unwrap();
    let (path, join, direction) = (root.clone(), Some(folder.to_string()), Direction::Both);
    agent.add_folder(NewFolder { path, name: None, join, p2p_only: false, direction }).await.unwrap();
    let x = Device { agent, root, folder };
    x.write("documents/four", "again");
    pass_of_who_began_anew(&x, &y).await;
    assert_eq!(x.read("photos/one").as_deref(), Some("by x"));
    assert_eq!(y.read("documents/four").as_deref(), Some("again"));
    assert_eq!(x.tree(), y.tree());
    drop(cloud);
}

/// X begins anew, then both have what both did. What it counted in this very second it may have counted before: then it begins once more.
async fn pass_of_who_began_anew(x: &Device, y: &Device) {
    let _ = x.try_to_sync().await;
    for _ in 0..2 {
        x.sync_well().await;
        y.sync_well().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn contents_that_find_no_room_wait() {
    let world = World::with_quota(1_000).await;
    let (x, y) = (&world.x, &world.y);
    x.write("large", &"l".repeat(5_000));
    x.write("small", "s");
    x.sync_well().await;
    let report = y.sync_well().await;
    assert_eq!(report.files_received, 1);
    assert_eq!((y.read("small").as_deref(), y.read("large")), (Some("s"), None));
    assert_eq!(report.skipped.len(), 1, "{:?}", report.skipped);
    x.write("large", "not so large any more");
    world.pass().await;
    assert_eq!(x.tree(), y.tree());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_content_and_many_small_ones() {
    let world = World::new().await;
    let (x, y) = (&world.x, &world.y);
    x.write("large", &"0123456789".repeat(1_200_000));
    for n in 0..300 {
        x.write(&format!("many/{n}"), &format!("content {n}"));
    }
    world.pass().await;
    assert!(x.tree() == y.tree());
    // What is renamed is not fetched again.
    x.rename("large", "renamed");
    x.sync_well().await;
    assert_eq!(y.sync_well().await.bytes_received, 0);
    assert!(x.tree() == y.tree());
}

#[tokio::test(flavor = "multi_thread")]
async fn forged_states_are_left_out_and_replaced() {
    let world = World::new().await;
    let (x, y) = (&world.x, &world.y);
    x.write("kept", "by x");
    x.write("other", "by x");
    world.pass().await;
    // Another name in what x signed, under the same tag, as if it were the last change of all.
    let mut states = states(&world);
    states.retain(|(_, state)| state.windows(4).any(|part| part == b"kept"));
    let (id, mut state) = states.remove(0);
    let at = state.windows(4).position(|part| part == b"kept").unwrap();
    state[at..at + 4].copy_from_slice(b"evil");
    let forged = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, &state);
    let changed = world.tamper(&format!(
        "UPDATE states SET state = '{forged}', seq = (SELECT max(seq) + 1 FROM feeds) WHERE id = '{id}'"
    ));
    assert_eq!(changed, 1);
    world.tamper(&format!("UPDATE feeds SET seq = seq + 1 WHERE id = '{}'", x.folder));
    let report = y.sync().await;
    assert_eq!(report.doubts.len(), 1, "{:?}", report.doubts);
    assert_eq!(y.doubts().await, ["forged"]);
    assert!(y.read("evil").is_none() && y.read("kept").is_some());
    let findings = y.agent.doctor().await;
    let named = findings.iter().find(|finding| finding.check == "cloud's word").unwrap();
    assert_eq!(named.state, Health::Bad);
    // Y put its own again: nothing is wrong any more, and others see nothing of it.
    x.write("more", "of it");
    x.sync_well().await;
    y.sync_well().await;
    assert_eq!(x.tree(), y.tree());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_goes_back_is_noticed_and_put_again() {
    let world = World::new().await;
    let (x, y) = (&world.x, &world.y);
    x.write("file", "old");
    world.pass().await;
    world.tamper("CREATE TABLE saved_states AS SELECT * FROM states");
    world.tamper("CREATE TABLE saved_heads AS SELECT * FROM heads");
    x.write("file", "new");
    x.write("second", "new");
    world.pass().await;
    assert_eq!(x.tree(), y.tree());
    // The cloud of before, with watermarks of now: as if nothing had happened since.
    for table in ["states", "heads"] {
        world.tamper(&format!("DELETE FROM {table}"));
        world.tamper(&format!("INSERT INTO {table} SELECT * FROM saved_{table}"));
    }
    world.tamper("UPDATE states SET seq = (SELECT max(seq) + 1 FROM feeds)");
    world.tamper(&format!("UPDATE feeds SET seq = seq + 1 WHERE id = '{}'", x.folder));
    let report = y.sync().await;
    assert!(report.doubts.iter().all(|doubt| doubt.rule.id == "SYN-087"), "{:?}", report.doubts);
    assert_eq!(y.doubts().await, ["rolled-back", "withheld"]);
    assert_eq!(y.read("file").as_deref(), Some("new"));
    // Y gave the cloud what it has, so a third device gets all of it; x puts its own head again.
    x.sync().await;
    let url = &world.cloud.url;
    let z = Device::new(world.data.path(), "z", url, &world.cloud.ca_pem, Some(x.folder)).await;
    z.sync_well().await;
    assert_eq!(z.read("file").as_deref(), Some("new"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_withheld_is_noticed() {
    let world = World::new().await;
    let (x, y) = (&world.x, &world.y);
    x.write("first", "1");
    world.pass().await;
    x.write("second", "2");
    x.sync_well().await;
    // The head of x says that there is more than what is shown.
    assert_eq!(world.tamper("DELETE FROM states WHERE seq = (SELECT max(seq) FROM states)"), 1);
    let report = y.sync().await;
    let rules: Vec<&str> = report.doubts.iter().map(|doubt| doubt.rule.id).collect();
    assert_eq!(rules, ["SYN-088"]);
    assert_eq!(y.doubts().await, ["withheld"]);
    assert_eq!((y.read("first").as_deref(), y.read("second")), (Some("1"), None));
}

#[tokio::test(flavor = "multi_thread")]
async fn other_bytes_are_not_taken() {
    let world = World::new().await;
    let (x, y) = (&world.x, &world.y);
    x.write("file", "what x wrote");
    x.sync_well().await;
    let mut spoilt = 0;
    spoil(&world.data.path().join("cloud"), b"what x wrote", &mut spoilt);
    assert_eq!(spoilt, 1, "the bytes are where the cloud keeps them");
    let report = y.sync().await;
    assert_eq!(report.doubts.first().map(|doubt| doubt.rule.id), Some("STO-052"));
    assert_eq!(y.doubts().await, ["wrong-bytes"]);
    assert!(y.read("file").is_none());
    assert!(
        std::fs::read_dir(&y.root)
            .unwrap()
            .all(|left| { left.unwrap().file_name().to_string_lossy().starts_with(".meshproof-versions") })
    );
}

/// Two clouds that began as one: what x sees and what y sees is not the same. When they see one again, it is noticed, and
/// nothing that either did is lost.
#[tokio::test(flavor = "multi_thread")]
async fn a_cloud_that_shows_each_something_else() {
    let data = tempfile::tempdir().unwrap();
    let one = start(&data.path().join("one"), 1_000_000).await;
    let (line_x, url_x) = line_to(one.addr.port()).await;
    let (line_y, url_y) = line_to(one.addr.port()).await;
    let x = Device::new(data.path(), "x", &url_x, &one.ca_pem, None).await;
    let y = Device::new(data.path(), "y", &url_y, &one.ca_pem, Some(x.folder)).await;
    x.write("common", "1");
    x.sync_well().await;
    y.write("of y", "1");
    y.sync_well().await;
    x.sync_well().await;
    drop(one);
    copy(&data.path().join("one"), &data.path().join("two"));
    let one = start(&data.path().join("one"), 1_000_000).await;
    let two = start(&data.path().join("two"), 1_000_000).await;
    line_x.store(one.addr.port(), Ordering::SeqCst);
    line_y.store(two.addr.port(), Ordering::SeqCst);
    let (x, y) = (x.reopened(), y.reopened());
    x.write("common", "x changed it");
    x.write("only x", "x");
    y.write("only y", "y");
    for _ in 0..2 {
        x.sync_well().await;
        y.sync_well().await;
    }
    assert!(x.read("only y").is_none() && y.read("only x").is_none());

    line_y.store(one.addr.port(), Ordering::SeqCst);
    let y = y.reopened();
    let report = y.sync().await;
    assert!(report.doubts.iter().any(|doubt| doubt.rule.id == "SYN-087"), "{:?}", report.doubts);
    assert!(y.doubts().await.contains(&"rolled-back".to_owned()));
    x.sync().await;
    y.sync().await;
    assert_eq!(x.tree(), y.tree());
    assert_eq!(x.read("only y").as_deref(), Some("y"));
    assert_eq!(y.read("common").as_deref(), Some("x changed it"));
}

/// SYN-150: what the cloud keeps need not be here. What it has no room for may be nowhere else.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_chosen_goes_when_the_cloud_keeps_it() {
    let world = World::with_quota(100_000).await;
    let (x, y) = (&world.x, &world.y);
    x.write("Photos/a", "a");
    x.write("Work/small", "small");
    x.write("Work/large", &"large".repeat(40_000));
    x.sync_well().await;
    x.agent.choose(&x.folder.to_string(), &["Photos".to_owned()]).unwrap();
    for _ in 0..2 {
        x.sync_well().await;
        assert_eq!(x.tree().keys().collect::<Vec<_>>(), ["Photos", "Photos/a", "Work", "Work/large"]);
        assert_eq!(x.agent.folder_statuses().unwrap()[0].not_chosen, 1);
    }
    y.sync_well().await;
    assert_eq!(y.read("Work/small").as_deref(), Some("small"));
}

/// The cloud has bytes for a day that no file of its list names. Those are no reason to have them nowhere else.
#[tokio::test(flavor = "multi_thread")]
async fn what_the_cloud_is_about_to_lose_stays_here() {
    let world = World::new().await;
    world.x.write("Photos/a", "a");
    world.x.write("Work/small", "small");
    world.x.sync_well().await;
    assert_eq!(world.tamper("UPDATE entries SET deleted = 1 WHERE path = 'Work/small'"), 1);
    let x = world.x.reopened();
    x.agent.choose(&x.folder.to_string(), &["Photos".to_owned()]).unwrap();
    x.sync_well().await;
    assert_eq!(x.read("Work/small").as_deref(), Some("small"));
    assert_eq!(x.agent.folder_statuses().unwrap()[0].not_chosen, 1);
}

/// Who could not write the list of files does not know what of it the cloud has.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_given_up_when_the_list_of_files_was_not_written() {
    let world = World::new().await;
    let x = &world.x;
    x.write("Work/small", "small");
    x.sync_well().await;
    world.tamper("CREATE TRIGGER refuse BEFORE INSERT ON entries BEGIN SELECT RAISE(ABORT, 'no'); END");
    x.write("Photos/a", "a");
    x.agent.choose(&x.folder.to_string(), &["Photos".to_owned()]).unwrap();
    let round = x.agent.sync_once(Arc::new(NoProgress)).await.unwrap();
    assert!(round.cloud[0].1.is_err());
    assert_eq!(x.read("Work/small").as_deref(), Some("small"));
    world.tamper("DROP TRIGGER refuse");
    x.sync_well().await;
    assert_eq!(x.read("Work/small"), None);
}

/// A line that leads to the port that is stored.
async fn line_to(port: u16) -> (Arc<AtomicU16>, String) {
    let target = Arc::new(AtomicU16::new(port));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://127.0.0.1:{}", listener.local_addr().unwrap().port());
    let leads = target.clone();
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            let port = leads.load(Ordering::SeqCst);
            tokio::spawn(async move {
                let Ok(mut server) = TcpStream::connect(("127.0.0.1", port)).await else { return };
                let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
            });
        }
    });
    (target, url)
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// The states that the cloud has, with their identifiers.
fn states(world: &World) -> Vec<(String, Vec<u8>)> {
    let database = rusqlite::Connection::open(world.data.path().join("cloud/meshd.sqlite")).unwrap();
    let mut statement = database.prepare("SELECT id, state FROM states").unwrap();
    let decode =
        |text: String| base64::Engine::decode(&base64::engine::general_purpose::STANDARD, text).unwrap();
    let rows = statement.query_map([], |row| Ok((row.get(0)?, decode(row.get(1)?)))).unwrap();
    rows.map(Result::unwrap).collect()
}

/// Other bytes of the same length in the files that have these.
fn spoil(directory: &Path, bytes: &[u8], spoilt: &mut u64) {
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            spoil(&path, bytes, spoilt);
        } else if std::fs::read(&path).is_ok_and(|content| content == bytes) {
            std::fs::write(&path, b"WHAT X WROTE").unwrap();
            *spoilt += 1;
        }
    }
}
