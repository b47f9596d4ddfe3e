//! `mesh leave` by who made the folder: it cannot be (GPH-131), and the words say what can.

use meshproof_client::Agent;
use meshproof_client::agent::NewFolder;
use meshproof_client::error::Error;
use meshproof_client::sync::Direction;
use meshproof_cloud::{Config, PasswordCost, start};
use meshproof_proto::crypto::KeyBits;

#[tokio::test(flavor = "multi_thread")]
async fn a_creator_is_told_where_a_folder_is_deleted() {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let at = tempfile::tempdir().unwrap();
    let mut config = Config::new(at.path().join("cloud"));
    config.identity.passwords = PasswordCost::FOR_TESTS;
    let cloud = start(config).await.unwrap();
    let mut agent = Agent::open(&at.path().join("home")).unwrap();
    let ca = Some(cloud.ca_pem.as_bytes().to_vec());
    agent.login(&cloud.url, ca, "ann", "correct horse", true).await.unwrap();
    agent.add_device("laptop", KeyBits::B2048).await.unwrap();
    let root = at.path().join("folder");
    std::fs::create_dir_all(&root).unwrap();
    let new = NewFolder { path: root, name: None, join: None, p2p_only: false, direction: Direction::Both };
    let folder = agent.add_folder(new).await.unwrap().to_string();
    let said = match agent.leave(&folder).await {
        Err(Error::Usage(said)) => said,
        other => panic!("{other:?}"),
    };
    assert!(said.contains(&format!("{}/desktop/folders/{folder}/settings", cloud.url)), "{said}");
    // It still takes part.
    assert_eq!(agent.folders().unwrap().len(), 1);
    cloud.shutdown().await.unwrap();
}
