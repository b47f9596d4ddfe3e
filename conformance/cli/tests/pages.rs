//! A device's client with more than one page holds: it misses nothing, and later asks only for what changed.

use std::collections::BTreeSet;

use meshproof_client::Agent;
use meshproof_client::cloud::EntryWrite;
use meshproof_cloud::{Config, PasswordCost, start};
use meshproof_proto::codec::Id;
use meshproof_proto::crypto::KeyBits;
use serde_json::json;

/// More than a page has (`spec/graph.md`, section 3.5).
const MANY: u32 = 1_203;

fn id(n: u32) -> Id {
    let mut id = [7; 16];
    id[..4].copy_from_slice(&n.to_be_bytes());
    Id(id)
}

/// Folders as the store keeps them; to make them one by one takes long.
fn add_folders(data: &std::path::Path) {
    let mut sql = rusqlite::Connection::open(data.join("meshd.sqlite")).unwrap();
    let transaction = sql.transaction().unwrap();
    let user: String = transaction.query_row("SELECT id FROM users", (), |row| row.get(0)).unwrap();
    for n in 0..MANY {
        let folder = id(n).to_string();
        let insert =
            "INSERT INTO folders (id, name, storage, creator, etag) VALUES (?1, 'x', 'cloud', ?2, 'a')";
        transaction.execute(insert, (&folder, &user)).unwrap();
        let insert = "INSERT INTO members (folder_id, user_id, role, etag) VALUES (?1, ?2, 'owner', 'a')";
        transaction.execute(insert, (&folder, &user)).unwrap();
    }
    transaction.commit().unwrap();
}

fn file(n: u32, etag: Option<String>) -> EntryWrite {
    let body =
        json!({ "path": format!("{n}.d"), "kind": "directory", "version": {id(0).to_string(): n + 1} });
    EntryWrite { entry: id(n), body: Some(body), etag }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_missed_behind_the_first_page() {
    let dir = tempfile::tempdir().unwrap();
    let mut config = Config::new(dir.path().join("cloud"));
    config.identity.passwords = PasswordCost::FOR_TESTS;
    let running = start(config).await.unwrap();
    let ca = Some(running.ca_pem.clone().into_bytes());
    let mut agent = Agent::open(&dir.path().join("home")).unwrap();
    agent.login(&running.url, ca.clone(), "ann", "correct horse", true).await.unwrap();
    agent.add_device("laptop", KeyBits::B2048).await.unwrap();
    let cloud = agent.cloud().unwrap().clone();
    let folder = cloud.create_folder("entries", false).await.unwrap();
    add_folders(&dir.path().join("cloud"));

    let folders = cloud.folders().await.unwrap();
    let different: BTreeSet<&str> = folders.iter().map(|folder| folder.folder.as_str()).collect();
    assert_eq!((folders.len(), different.len()), (MANY as usize + 1, MANY as usize + 1));

    let writes: Vec<EntryWrite> = (0..MANY).map(|n| file(n, None)).collect();
    let results = cloud.write_entries(folder, &writes).await.unwrap();
    assert_eq!((results.len(), results.iter().filter(|result| result.is_err()).count()), (writes.len(), 0));
    let entries = cloud.entries(folder).await.unwrap();
    assert_eq!(entries.len(), MANY as usize);

    // What changed since then, in whatever order it was written.
    let etag = |n: u32| Some(entries[&id(n)].1.etag.clone());
    let changes = [
        EntryWrite { entry: id(3), body: None, etag: etag(3) },
        file(4, None), // refused: it is there
        file(MANY, None),
    ];
    let results = cloud.write_entries(folder, &changes).await.unwrap();
    let outcomes: Vec<String> = results
        .iter()
        .map(|result| result.as_ref().err().map_or(String::new(), ToString::to_string))
        .collect();
    assert!(outcomes[0].is_empty() && outcomes[2].is_empty(), "{outcomes:?}");
    assert!(outcomes[1].contains("if-match-required (GPH-012)"), "{outcomes:?}");
    let now = cloud.entries(folder).await.unwrap();
    assert!(now[&id(3)].1.deleted && !now[&id(4)].1.deleted);
    assert_eq!(now.len(), MANY as usize + 1);

    // Who reads all of it sees the same.
    let mut other = Agent::open(&dir.path().join("other")).unwrap();
    other.login(&running.url, ca, "ann", "correct horse", false).await.unwrap();
    let fresh = other.cloud().unwrap().entries(folder).await.unwrap();
    assert_eq!(format!("{fresh:?}"), format!("{now:?}"));
    running.shutdown().await.unwrap();
}
