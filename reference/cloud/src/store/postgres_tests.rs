//! What only a database server can show. `MESHPROOF_TEST_DATABASE` is the URL of one, without a database's name, on
//! which databases may be made: `conformance/interop/scale.sh` starts one and runs these tests.

use meshproof_proto::codec::{Id, hex};
use meshproof_proto::crypto::draw;
use meshproof_proto::requirement as req;
use meshproof_proto::ticket::Role;
use meshproof_proto::time::UnixTime;
use tokio::task::JoinSet;

use super::entries::{Attributes, Bounds, Entry, Kind};
use super::invitations::NewInvitation;
use super::races::{self, cloud_folder, who};
use super::{Span, Store, StoreError};
use crate::config;
use crate::graph::access::{FolderRight, Need, WriteEntries};
use crate::state::{OsEntropy, new_id};

const BYTES: &str = "LOCALE 'C'";

/// The URL of a new database with this locale.
async fn new_database(locale: &str) -> String {
    let server = std::env::var("MESHPROOF_TEST_DATABASE").unwrap();
    let (client, connection) =
        tokio_postgres::connect(&format!("{server}/postgres"), tokio_postgres::NoTls).await.unwrap();
    tokio::spawn(connection);
    let name = format!("test_{}", hex(&draw::<8>(&mut OsEntropy)));
    let create = format!("CREATE DATABASE {name} TEMPLATE template0 ENCODING 'UTF8' {locale}");
    client.batch_execute(&create).await.unwrap();
    format!("{server}/{name}")
}

async fn connect(url: &str) -> Result<Store, StoreError> {
    let server = config::Database { url: url.to_owned(), password: None };
    tokio::task::spawn_blocking(move || Store::connect(&server)).await.unwrap()
}

/// Two handles as two processes have them.
async fn two_stores() -> [Store; 2] {
    let url = new_database(BYTES).await;
    [connect(&url).await.unwrap(), connect(&url).await.unwrap()]
}

/// A user and a folder of that user.
async fn folder_of(store: &Store, name: &str) -> (Id, Id) {
    let (user, folder) = (new_id(), new_id());
    assert!(store.add_user(user, name.into(), String::new()).await.unwrap());
    store.add_folder(cloud_folder(folder, user), "a".into(), 9, who(user)).await.unwrap();
    (user, folder)
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a database server"]
async fn rights_that_have_gone_in_postgres() {
    let [store, _] = two_stores().await;
    races::rights_that_have_gone(store).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a database server"]
async fn processes_that_start_at_once_make_one_schema() {
    let url = new_database(BYTES).await;
    let mut starting = JoinSet::new();
    for _ in 0..8 {
        let url = url.clone();
        starting.spawn(async move { connect(&url).await });
    }
    for store in starting.join_all().await {
        assert!(store.unwrap().user_named("ann".into()).await.unwrap().is_none());
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a database server"]
async fn a_database_that_sorts_by_language_is_refused() {
    let refused = connect(&new_database("LOCALE_PROVIDER icu ICU_LOCALE 'en-US' LOCALE 'C'").await).await;
    assert!(matches!(refused, Err(StoreError::Order)), "{:?}", refused.err());
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a database server"]
async fn a_newer_database_is_refused() {
    let url = new_database(BYTES).await;
    let store = connect(&url).await.unwrap();
    let newer = "INSERT INTO migrations (version) VALUES (1000)";
    store.write(|sql| sql.execute(newer, &[])).await.unwrap();
    assert!(matches!(connect(&url).await, Err(StoreError::TooNew(1000))));
}

/// All want the same row: each gets it in the end, and no change is lost.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a database server"]
async fn writers_of_one_row_from_two_processes() {
    const EACH: usize = 200;
    let stores = two_stores().await;
    let (user, folder) = folder_of(&stores[0], "ann").await;
    let mut writing = JoinSet::new();
    for _ in 0..EACH {
        for store in &stores {
            let entry = Entry {
                id: new_id(),
                path: "a".into(),
                kind: Kind::Directory,
                size: 0,
                hash: None,
                version: [].into(),
                attributes: Attributes::default(),
                deleted: false,
                etag: "a".into(),
            };
            let (store, by) = (store.clone(), WriteEntries::NEED.by(who(user)));
            let bounds = Bounds { entries: 2 * EACH as u64, metadata: 1 << 30 };
            writing.spawn(async move { store.put_entry(folder, entry, None, bounds, by).await });
        }
    }
    for put in writing.join_all().await {
        put.unwrap();
    }
    assert_eq!(stores[1].entries(folder, Span::all()).await.unwrap().len(), 2 * EACH);
}

/// Each transaction alone is right; both together would not be: the one sees the other, or is undone.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a database server"]
async fn two_owners_who_remove_each_other() {
    let [here, there] = two_stores().await;
    for round in 0..30 {
        let (ann, folder) = folder_of(&here, &format!("ann{round}")).await;
        let [bob, carl] = [new_id(), new_id()];
        for (user, name) in [(bob, format!("bob{round}")), (carl, format!("carl{round}"))] {
            assert!(here.add_user(user, name.clone(), String::new()).await.unwrap());
            let (id, expires) = (new_id(), UnixTime(9));
            let new = NewInvitation { id, folder, name, role: Role::Owner, expires, etag: "a".into() };
            here.invite(new, Need::CONTROL_MEMBERS.by(who(ann))).await.unwrap();
            here.accept(who(user), id, "a".into()).await.unwrap().unwrap();
        }
        let (first, second) = tokio::join!(
            here.remove_member(folder, bob, "a".into(), Need::CONTROL_MEMBERS.by(who(carl))),
            there.remove_member(folder, carl, "a".into(), Need::CONTROL_MEMBERS.by(who(bob))),
        );
        // The second to come finds that it is no member any more.
        let refused = [&first, &second]
            .into_iter()
            .filter(|result| matches!(result, Err(StoreError::Rule(rule)) if rule.is(req::GPH_019)));
        assert_eq!(refused.count(), 1, "{first:?} {second:?}");
        assert!(first.is_ok() || second.is_ok(), "{first:?} {second:?}");
        assert_eq!(there.members(folder, Span::all()).await.unwrap().len(), 2);
    }
}

/// A panic inside a transaction leaves nothing, not even the transaction.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a database server"]
async fn work_that_panics() {
    let [store, _] = two_stores().await;
    let panicking = store.write(|sql| -> Result<(), StoreError> {
        sql.execute("INSERT INTO users (id, name, password) VALUES ('a', 'ann', '')", &[])?;
        panic!("on purpose");
    });
    assert!(matches!(panicking.await, Err(StoreError::Task(_))));
    assert!(store.add_user(new_id(), "ann".into(), String::new()).await.unwrap());
}

/// The server ends all connections, as it does when it is restarted: what comes next is served.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a database server"]
async fn connections_that_were_cut() {
    let [store, other] = two_stores().await;
    folder_of(&store, "ann").await;
    let cut = "SELECT CAST(count(pg_terminate_backend(pid)) AS bigint) FROM pg_stat_activity
        WHERE datname = current_database() AND pid <> pg_backend_pid()";
    let ended = other.read(move |sql| sql.first(cut, &[], |row| row.number(0))).await.unwrap();
    assert!(ended.is_some_and(|ended| ended > 0));
    folder_of(&store, "bob").await;
}
