//! The program: starting, adding users, being killed.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use crate::common::{PASSWORD, Session, World};
use meshproof_proto::storage::MediaHash;
use serde_json::json;

fn meshd(data: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_meshd"));
    command.arg("--data").arg(data).args(["--log", "warn"]);
    command
}

/// Starts the program and waits until it answers. A test that fails leaves no process behind.
pub(crate) struct Server(Child);

impl Server {
    pub(crate) fn start(data: &Path) -> (Self, World) {
        let mut child = meshd(data).args(["--listen", "127.0.0.1:0"]).stdout(Stdio::piped()).spawn().unwrap();
        let mut url = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut url).unwrap();
        let ca_pem = std::fs::read_to_string(data.join("ca.pem")).unwrap();
        (Self(child), World::at(url.trim().into(), ca_pem))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn add_user(data: &Path, name: &str, password: &str) -> Output {
    meshd(data).args(["user", "add", name]).env("MESH_PASSWORD", password).output().unwrap()
}

#[tokio::test]
async fn what_was_answered_survives_kill() {
    // STO-006
    let data = tempfile::tempdir().unwrap();
    let added = add_user(data.path(), "ann", PASSWORD);
    assert!(added.status.success(), "{added:?}");
    let id = String::from_utf8(added.stdout).unwrap().trim().to_owned();
    let bytes: Vec<u8> = (0..2_000_000_u32).map(|n| n.to_le_bytes()[0]).collect();
    let hash = MediaHash::of(&bytes).to_string();

    let (server, world) = Server::start(data.path());
    let mut ann = session(&world, &id);
    ann.sign_in().await;
    let folder = ann.folder(json!({"name": "Photos"})).await;
    ann.put_media(&folder, &hash, &bytes).await.is(201);
    drop(server); // SIGKILL

    let (_server, world) = Server::start(data.path());
    let mut ann = session(&world, &id);
    ann.sign_in().await;
    assert!(ann.get(&format!("{folder}/media/{hash}")).await.bytes == bytes);
}

pub(crate) fn session<'a>(world: &'a World, id: &str) -> Session<'a> {
    Session { id: id.into(), ..world.session("ann") }
}

#[test]
fn errors_are_one_line() {
    let data = tempfile::tempdir().unwrap();
    assert!(add_user(data.path(), "ann", PASSWORD).status.success());
    for (name, password, reason) in [
        ("ann", PASSWORD, "name-taken"),
        ("Ann", PASSWORD, "name-unacceptable"),
        ("bob", "short", "password-unacceptable"),
    ] {
        let output = add_user(data.path(), name, password);
        assert_eq!(output.status.code(), Some(1));
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(said, format!("meshd: the user is refused: {reason}\n"));
    }
    let not_a_folder = data.path().join("ca.key");
    std::fs::write(&not_a_folder, "x").unwrap();
    let output = meshd(&not_a_folder).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.starts_with("meshd: ") && said.lines().count() == 1, "{said}");
}
