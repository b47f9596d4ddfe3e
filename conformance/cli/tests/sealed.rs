//! Encrypted folders with a real cloud: what it keeps is searched for what nobody but devices may read.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use meshproof_client::Agent;
use meshproof_client::agent::{NewFolder, Round};
use meshproof_client::sync::{Direction, NoProgress};
use meshproof_cloud::{Config, PasswordCost, Running};
use meshproof_proto::crypto::KeyBits;

/// In a name, in the name of a directory, and in contents.
const CANARIES: [&str; 3] = ["canary-name-4711", "canary-directory-4712", "canary-content-4713"];

struct World {
    data: tempfile::TempDir,
    cloud: Running,
}

impl World {
    async fn new() -> Self {
        let data = tempfile::tempdir().unwrap();
        let mut config = Config::new(data.path().join("cloud"));
        config.identity.passwords = PasswordCost::FOR_TESTS;
        let cloud = meshproof_cloud::start(config).await.unwrap();
        Self { data, cloud }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.data.path().join(name)
    }

    /// A device of a user, who is new if it is the first. The folder is joined if one is named.
    async fn device(&self, user: &str, name: &str, join: Option<&str>) -> (Agent, String) {
        let mut agent = Agent::open(&self.path(&format!("{name}-home"))).unwrap();
        let ca = Some(self.cloud.ca_pem.as_bytes().to_vec());
        let new = !self.path(user).exists();
        std::fs::write(self.path(user), b"").unwrap();
        agent.login(&self.cloud.url, ca, user, "correct horse", new).await.unwrap();
        agent.add_device(name, KeyBits::B2048).await.unwrap();
        let path = self.path(name);
        std::fs::create_dir_all(&path).unwrap();
        let join = join.map(Into::into);
        let new = NewFolder {
            path,
            name: Some("Papers".into()),
            join,
            p2p_only: false,
            direction: Direction::Both,
        };
        let id = agent.add_folder(new).await.unwrap().to_string();
        (agent, id)
    }

    fn write_canaries(&self, device: &str) {
        let directory = self.path(device).join(CANARIES[1]);
        std::fs::create_dir_all(&directory).unwrap();
        std::fs::write(directory.join(CANARIES[0]), CANARIES[2].repeat(5_000)).unwrap();
        std::fs::write(self.path(device).join("small"), CANARIES[2]).unwrap();
    }

    /// Which canaries are in what the cloud stores: database, its journal, blobs, all other files.
    fn found(&self) -> Vec<&'static str> {
        let mut bytes = Vec::new();
        read_all(&self.path("cloud"), &mut bytes);
        assert!(bytes.len() > 10_000, "the cloud's files were not read");
        let has = |canary: &&str| bytes.windows(canary.len()).any(|window| window == canary.as_bytes());
        CANARIES.into_iter().filter(has).collect()
    }
}

fn read_all(directory: &Path, to: &mut Vec<u8>) {
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            read_all(&path, to);
        } else {
            to.extend(path.to_string_lossy().as_bytes());
            to.extend(std::fs::read(&path).unwrap());
        }
    }
}

async fn sync(agent: &Agent) -> Round {
    agent.sync_once(Arc::new(NoProgress)).await.unwrap()
}

/// What the cloud got: entries and files.
fn given(round: &Round) -> (u64, u64) {
    let report = round.cloud[0].1.as_ref().unwrap();
    assert_eq!(report.missing, 0);
    (report.entries, report.files)
}

async fn fetched(world: &World, agent: &Agent, folder: &str, path: &str) -> Result<Vec<u8>, String> {
    let to = world.path("fetched");
    let _ = std::fs::remove_file(&to);
    agent.fetch_from_cloud(folder, path, &to).await.map_err(|error| error.to_string())?;
    Ok(std::fs::read(&to).unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_cloud_has_nothing_to_read() {
    let world = World::new().await;
    let (laptop, folder) = world.device("ann", "laptop", None).await;
    let status = laptop.encrypt_folder(&folder).await.unwrap();
    assert_eq!((status.generation, status.devices.len()), (1, 1));
    world.write_canaries("laptop");
    assert_eq!(given(&sync(&laptop).await), (3, 2));
    assert_eq!(given(&sync(&laptop).await), (0, 0));
    assert_eq!(world.found(), Vec::<&str>::new());

    // Another device has no key before the first one has given it one, and none is sent by it meanwhile.
    let (phone, _) = world.device("ann", "phone", Some(&folder)).await;
    std::fs::write(world.path("phone").join("own"), CANARIES[2]).unwrap();
    assert!(sync(&phone).await.cloud[0].1.is_err());
    sync(&laptop).await;
    let path = format!("{}/{}", CANARIES[1], CANARIES[0]);
    assert_eq!(fetched(&world, &phone, &folder, &path).await.unwrap(), CANARIES[2].repeat(5_000).as_bytes());
    // Its content is that of `small`: both devices seal it alike, and the cloud has it already (STO-065).
    assert_eq!(given(&sync(&phone).await), (1, 0));
    assert_eq!(fetched(&world, &laptop, &folder, "own").await.unwrap(), CANARIES[2].as_bytes());
    assert_eq!(world.found(), Vec::<&str>::new());

    // A rename, an edit and a deletion leave no more.
    std::fs::rename(world.path("laptop").join("small"), world.path("laptop").join(CANARIES[0])).unwrap();
    std::fs::remove_dir_all(world.path("laptop").join(CANARIES[1])).unwrap();
    let (entries, files) = given(&sync(&laptop).await);
    assert_eq!((entries, files), (3, 0));
    assert_eq!(world.found(), Vec::<&str>::new());
    assert!(fetched(&world, &phone, &folder, &path).await.is_err());
    assert_eq!(fetched(&world, &phone, &folder, CANARIES[0]).await.unwrap(), CANARIES[2].as_bytes());
}

/// The twin: the search finds what is there to be found.
#[tokio::test(flavor = "multi_thread")]
async fn without_a_key_all_of_it_is_there() {
    let world = World::new().await;
    let (laptop, folder) = world.device("ann", "laptop", None).await;
    world.write_canaries("laptop");
    assert_eq!(given(&sync(&laptop).await), (3, 2));
    assert_eq!(world.found(), CANARIES);
    // Encrypting it then takes it out of what can be asked for.
    laptop.encrypt_folder(&folder).await.unwrap();
    assert_eq!(given(&sync(&laptop).await), (3, 2));
    assert_eq!(fetched(&world, &laptop, &folder, "small").await.unwrap(), CANARIES[2].as_bytes());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recovery_key_is_enough() {
    let world = World::new().await;
    let (laptop, folder) = world.device("ann", "laptop", None).await;
    laptop.encrypt_folder(&folder).await.unwrap();
    let key = laptop.new_recovery_key(&folder).await.unwrap();
    world.write_canaries("laptop");
    sync(&laptop).await;
    drop(laptop); // for ever

    let (phone, _) = world.device("ann", "phone", Some(&folder)).await;
    assert!(fetched(&world, &phone, &folder, "small").await.is_err());
    let mut wrong = *key;
    wrong[0] ^= 1;
    assert!(phone.recover_folder(&folder, wrong).await.is_err());
    let status = phone.recover_folder(&folder, *key).await.unwrap();
    assert_eq!((status.generation, status.devices.len(), status.recoveries), (1, 2, 1));
    assert_eq!(fetched(&world, &phone, &folder, "small").await.unwrap(), CANARIES[2].as_bytes());
}

/// STO-077, STO-078
#[tokio::test(flavor = "multi_thread")]
async fn who_left_reads_nothing_new() {
    let world = World::new().await;
    let (laptop, folder) = world.device("ann", "laptop", None).await;
    laptop.encrypt_folder(&folder).await.unwrap();
    laptop.new_recovery_key(&folder).await.unwrap();
    std::fs::write(world.path("laptop").join("before"), b"before").unwrap();
    sync(&laptop).await;

    // Bob takes part: his device is given the key.
    let mut bob = Agent::open(&world.path("tablet-home")).unwrap();
    let ca = Some(world.cloud.ca_pem.as_bytes().to_vec());
    bob.login(&world.cloud.url, ca, "bob", "correct horse", true).await.unwrap();
    laptop.share(&folder, "bob", meshproof_proto::ticket::Role::Contributor).await.unwrap();
    let invitation = bob.invitations().await.unwrap().remove(0).invitation;
    bob.accept(&invitation).await.unwrap();
    bob.add_device("tablet", KeyBits::B2048).await.unwrap();
    let new = NewFolder {
        path: world.path("tablet"),
        name: None,
        join: Some(folder.clone()),
        p2p_only: false,
        direction: Direction::Both,
    };
    bob.add_folder(new).await.unwrap();
    sync(&laptop).await;
    assert_eq!(laptop.key_status(&folder).await.unwrap().unwrap().devices.len(), 2);
    assert_eq!(fetched(&world, &bob, &folder, "before").await.unwrap(), b"before");
    let had = std::fs::read(world.path(&format!("tablet-home/folder-{folder}.key"))).unwrap();

    // He leaves: the next round makes a new key, under which the next file is.
    laptop.unshare(&folder, "bob").await.unwrap();
    std::fs::write(world.path("laptop").join("after"), b"after").unwrap();
    sync(&laptop).await;
    let status = laptop.key_status(&folder).await.unwrap().unwrap();
    assert_eq!((status.generation, status.devices.len(), status.recoveries), (2, 1, 1));
    for (path, content) in [("before", b"before" as &[u8]), ("after", b"after")] {
        assert_eq!(fetched(&world, &laptop, &folder, path).await.unwrap(), content);
    }
    // What he had has not the key that the newest bytes are under.
    let has = std::fs::read(world.path(&format!("laptop-home/folder-{folder}.key"))).unwrap();
    assert_eq!((had[..2].to_vec(), has[..2].to_vec()), (vec![0, 1], vec![0, 2]));
    assert!(had[2..34] == has[2..34] && !had.windows(32).any(|window| window == &has[34..66]));
}

/// STO-079: a cloud that was put back to what it was before, or lies.
#[tokio::test(flavor = "multi_thread")]
async fn a_cloud_that_denies_gets_nothing() {
    let world = World::new().await;
    let (laptop, folder) = world.device("ann", "laptop", None).await;
    // The device knows that the folder is encrypted; the cloud says that it is not.
    std::fs::write(world.path(&format!("laptop-home/folder-{folder}.key")), [0, 0]).unwrap();
    world.write_canaries("laptop");
    let round = sync(&laptop).await;
    let error = round.cloud[0].1.as_ref().unwrap_err().to_string();
    assert!(error.contains("not encrypted"), "{error}");
    assert_eq!(world.found(), Vec::<&str>::new());
}

/// By states and heads (`spec/sync.md`, section 4.10), which are sealed as well.
#[tokio::test(flavor = "multi_thread")]
async fn devices_that_never_meet_sync_what_the_cloud_cannot_read() {
    let world = World::new().await;
    let (laptop, folder) = world.device("ann", "laptop", None).await;
    laptop.encrypt_folder(&folder).await.unwrap();
    world.write_canaries("laptop");
    sync(&laptop).await;
    let (phone, _) = world.device("ann", "phone", Some(&folder)).await;
    assert!(sync(&phone).await.cloud[0].1.is_err());
    sync(&laptop).await;

    let round = sync(&phone).await;
    let report = round.cloud[0].1.as_ref().unwrap();
    assert!(report.doubts.is_empty() && report.files_received == 2, "{report:?}");
    let there = world.path("phone").join(CANARIES[1]).join(CANARIES[0]);
    assert_eq!(std::fs::read(&there).unwrap(), CANARIES[2].repeat(5_000).as_bytes());
    let edited = format!("{} edited", CANARIES[2]);
    std::fs::write(world.path("phone").join("small"), &edited).unwrap();
    std::fs::remove_file(&there).unwrap();
    sync(&phone).await;

    let round = sync(&laptop).await;
    let report = round.cloud[0].1.as_ref().unwrap();
    assert!(report.doubts.is_empty(), "{report:?}");
    assert_eq!(std::fs::read_to_string(world.path("laptop").join("small")).unwrap(), edited);
    assert!(!world.path("laptop").join(CANARIES[1]).join(CANARIES[0]).exists());
    assert_eq!(world.found(), Vec::<&str>::new());
}
