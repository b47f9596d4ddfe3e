//! The real program, where it needs no cloud: what it writes, as JSON and as words, and with which exit code it ends.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Arc;

use meshproof_client::sync::journal::{Event, Happened};
use meshproof_client::sync::{Direction, Folder, Index, NoProgress, Past, Signer, scan};
use meshproof_proto::codec::Id;
use meshproof_proto::crypto::{DEFAULT, Secret};
use serde_json::{Value, json};

const FOLDER: Id = Id([0xF0; 16]);

struct Home {
    directory: tempfile::TempDir,
    root: PathBuf,
}

impl Home {
    /// A state directory with one folder, and no cloud.
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path().join("docs");
        std::fs::create_dir(&root).unwrap();
        let config = json!({ "folders": [{ "id": FOLDER.to_string(), "name": "docs", "path": root }] });
        std::fs::write(directory.path().join("config.json"), config.to_string()).unwrap();
        let home = Self { directory, root };
        home.index().begin(FOLDER, Past::Known, 0).unwrap();
        home
    }

    fn mesh(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_mesh"));
        command.env("MESH_HOME", self.directory.path()).args(arguments);
        command.output().unwrap()
    }

    fn json(&self, arguments: &[&str]) -> Value {
        let output = self.mesh(&[arguments, &["--json"]].concat());
        assert!(output.status.success(), "{arguments:?}: {}", text(&output.stderr));
        serde_json::from_slice(&output.stdout).unwrap()
    }

    fn write(&self, path: &str, content: &str) {
        let path = self.root.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }

    fn read(&self, path: &str) -> String {
        std::fs::read_to_string(self.root.join(path)).unwrap()
    }

    fn index(&self) -> Arc<Index> {
        Arc::new(Index::open(&self.directory.path().join("index.db")).unwrap())
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn ignoring() {
    let home = Home::new();
    let ignore = ["folder", "ignore", "docs"];
    assert_eq!(home.json(&ignore), json!({ "changed": false, "patterns": [] }));
    let add = [&ignore[..], &["*.tmp"]].concat();
    assert_eq!(home.json(&add), json!({ "changed": true, "patterns": ["*.tmp"] }));
    assert_eq!(home.json(&add), json!({ "changed": false, "patterns": ["*.tmp"] }));
    assert_eq!(home.read(".meshignore"), "*.tmp\n");
    let remove = [&add[..], &["--remove"]].concat();
    assert_eq!(home.json(&remove), json!({ "changed": true, "patterns": [] }));
    let here = [&ignore[..], &["--here"]].concat();
    let add_here = [&here[..], &["*.env"]].concat();
    assert_eq!(home.json(&add_here), json!({ "changed": true, "patterns": ["*.env"] }));
    assert_eq!(home.json(&ignore), json!({ "changed": false, "patterns": [] }), "others do not hear of it");
    assert_eq!(home.json(&here), json!({ "changed": false, "patterns": ["*.env"] }));
    let bad = home.mesh(&[&ignore[..], &["[a-z"]].concat());
    assert_eq!(bad.status.code(), Some(2));
    assert!(text(&bad.stderr).starts_with("mesh: [a-z is no pattern"), "{}", text(&bad.stderr));
}

#[test]
fn choosing() {
    let home = Home::new();
    let only = ["folder", "only", "docs"];
    assert_eq!(home.json(&only), json!({ "changed": false, "only": [] }));
    let choose = [&only[..], &["/Photos/2026/", "Work/*/drafts"]].concat();
    assert_eq!(home.json(&choose), json!({ "changed": true, "only": ["Photos/2026", "Work/*/drafts"] }));
    assert_eq!(home.json(&only)["only"], json!(["Photos/2026", "Work/*/drafts"]));
    let bad = home.mesh(&[&only[..], &["a", "../b"]].concat());
    assert_eq!(bad.status.code(), Some(2));
    assert!(text(&bad.stderr).contains("say it from the folder down"), "{}", text(&bad.stderr));
    assert_eq!(home.json(&["folder", "list"])[0]["only"], json!(["Photos/2026", "Work/*/drafts"]));
    let words = text(&home.mesh(&["folder", "list"]).stdout);
    assert!(words.contains("only Photos/2026, Work/*/drafts here"), "{words}");
    let all = [&only[..], &["--all"]].concat();
    assert_eq!(home.json(&all), json!({ "changed": true, "only": [] }));
    assert!(text(&home.mesh(&only).stdout).contains("all of it"));
}

#[test]
fn folders_that_are_encrypted() {
    let home = Home::new();
    let state = || {
        let folder = &home.json(&["folder", "list"])[0];
        (folder["encrypted"].clone(), folder["locked"].clone(), folder["storage"].clone())
    };
    assert_eq!(state(), (Value::Null, json!(false), Value::Null), "nobody asked the cloud");
    let key = home.directory.path().join(format!("folder-{FOLDER}.key"));
    std::fs::write(&key, [0, 0]).unwrap();
    assert_eq!(state(), (json!(true), json!(true), Value::Null));
    let words = text(&home.mesh(&["folder", "list"]).stdout);
    assert!(words.contains("encrypted") && words.contains("mesh folder recover"), "{words}");
    std::fs::write(&key, [&[0, 1][..], &[7; 32]].concat()).unwrap();
    assert_eq!(state(), (json!(true), json!(false), Value::Null));
}

#[test]
fn versions() {
    let home = Home::new();
    home.write("a.txt", "now");
    for (day, content) in [("01", "the oldest"), ("02", "older")] {
        home.write(&format!(".meshproof-versions/202001{day}T000000Z-000/a.txt"), content);
    }
    home.write(".meshproof-versions/20200101T000000Z-000/dir/b", "deleted");
    assert_eq!(
        home.json(&["versions", "docs"]),
        json!([
            { "path": "a.txt", "number": 1, "replaced": 1_577_923_200, "bytes": 5 },
            { "path": "a.txt", "number": 2, "replaced": 1_577_836_800, "bytes": 10 },
            { "path": "dir/b", "number": 1, "replaced": 1_577_836_800, "bytes": 7 },
        ])
    );
    assert_eq!(home.json(&["versions", "docs", "dir"]).as_array().unwrap().len(), 1);
    let restored = home.json(&["restore", "docs", "a.txt", "--at", "2"]);
    assert_eq!(restored, json!({ "path": "a.txt", "replaced": 1_577_836_800, "bytes": 10 }));
    assert_eq!(home.read("a.txt"), "the oldest");
    // What was there is the newest version now.
    home.json(&["restore", "docs", "a.txt"]);
    assert_eq!(home.read("a.txt"), "now");
    home.json(&["restore", "docs", "dir/b"]);
    assert_eq!(home.read("dir/b"), "deleted");
    for at in ["0", "9"] {
        let none = home.mesh(&["restore", "docs", "a.txt", "--at", at]);
        assert_eq!(none.status.code(), Some(2));
        assert!(text(&none.stderr).contains("see `mesh versions docs`"));
    }
    let words = text(&home.mesh(&["versions", "docs", "dir/b"]).stdout);
    assert!(words.contains("2020-01-01T00:00:00Z") && words.contains("7 B dir/b"), "{words}");
}

#[test]
fn conflicts_and_the_log() {
    let home = Home::new();
    assert_eq!(home.json(&["conflicts"]), json!([]));
    home.write("a (conflict 02020202 3).txt", "the other content");
    let index = home.index();
    let folder = Folder::open(
        FOLDER,
        Arc::new(Signer::new(DEFAULT, Id([2; 16]), &Secret::default())),
        &home.root,
        Direction::Both,
        index.clone(),
    )
    .unwrap();
    scan(&folder, &NoProgress).unwrap();
    let conflict = json!({
        "folder": FOLDER.to_string(), "folder_name": "docs", "path": "a (conflict 02020202 3).txt",
    });
    assert_eq!(home.json(&["conflicts"]), json!([conflict]));
    assert_eq!(home.json(&["conflicts", "docs"]), json!([conflict]));

    assert_eq!(home.json(&["log"]), json!([]));
    let event = |time, kind, path: Option<&str>, peer, text: &str| Event {
        time,
        kind,
        folder: path.map(|_| FOLDER),
        peer,
        path: path.map(str::to_owned),
        text: text.to_owned(),
    };
    let events = [
        event(1, Happened::Received, Some("a"), None, ""),
        event(2, Happened::Failed, None, Some(Id([3; 16])), "it is gone"),
    ];
    index.note(&events).unwrap();
    let (folder, device) = (FOLDER.to_string(), Id([3; 16]).to_string());
    let expected = json!([
        { "time": 1, "kind": "received", "folder": folder, "device": null, "path": "a", "text": "" },
        { "time": 2, "kind": "failed", "folder": null, "device": device, "path": null, "text": "it is gone" },
    ]);
    assert_eq!(home.json(&["log"]), expected);
    assert_eq!(home.json(&["log", "--last", "1"]), json!([expected[1]]));
    let words = text(&home.mesh(&["log"]).stdout);
    assert!(words.contains("1970-01-01T00:00:01Z received docs: a"), "{words}");
    assert!(words.contains("failed   03030303: it is gone"), "{words}");
}

#[cfg(unix)]
#[test]
fn the_doctor_without_a_device() {
    use std::os::unix::fs::PermissionsExt as _;
    let home = Home::new();
    let key = home.directory.path().join("device.key");
    std::fs::write(&key, b"secret").unwrap();
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o644)).unwrap();
    let output = home.mesh(&["doctor", "--json"]);
    assert_eq!(output.status.code(), Some(1));
    let findings: Value = serde_json::from_slice(&output.stdout).unwrap();
    let states: Vec<(&str, &str)> = findings
        .as_array()
        .unwrap()
        .iter()
        .map(|finding| (finding["check"].as_str().unwrap(), finding["state"].as_str().unwrap()))
        .collect();
    assert_eq!(states, [("account", "bad"), ("permissions", "bad")]);
    assert!(findings[0]["advice"].as_str().unwrap().contains("mesh login"));
    assert!(findings[1]["advice"].as_str().unwrap().contains("chmod 600"));
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o600)).unwrap();
    let words = text(&home.mesh(&["doctor"]).stdout);
    assert!(words.contains("ok   permissions"), "{words}");
}

#[test]
fn what_cannot_be_done_says_what_to_do() {
    let home = Home::new();
    for (arguments, advice) in [
        (&["versions", "nothing"][..], "see `mesh folder list`"),
        (&["versions", "00000000000000000000000000000001"], "mesh folder add PATH --join"),
        (&["sync"], "mesh device add NAME"),
        (&["device", "list"], "mesh login"),
        (&["frobnicate"], "--help"),
    ] {
        let output = home.mesh(arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(text(&output.stderr).contains(advice), "{arguments:?}: {}", text(&output.stderr));
    }
    assert!(text(&home.mesh(&["--help"]).stdout).contains("Exit codes: 0"));
}

/// Every command is in the table of the documentation, and nothing else is.
#[test]
fn commands_are_documented() {
    let home = Home::new();
    let table = include_str!("../COMMANDS.md");
    let pages = home.directory.path().join("man");
    assert!(home.mesh(&["man", "--to", pages.to_str().unwrap()]).status.success());
    for entry in std::fs::read_dir(pages).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let command =
            name.trim_start_matches("mesh").trim_start_matches('-').trim_end_matches(".1").to_owned();
        let command = match command.split_once('-') {
            Some((group @ ("device" | "folder"), rest)) => format!("{group} {rest}"),
            _ => command,
        };
        let is_group = ["", "device", "folder"].contains(&command.as_str());
        assert!(
            is_group || table.contains(&format!("`{command}")) || table.contains(&format!("`mesh {command}")),
            "{command}"
        );
    }
}

#[test]
fn completions_and_manual_pages() {
    let home = Home::new();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = text(&home.mesh(&["completions", shell]).stdout);
        assert!(script.contains("versions") && script.contains("doctor"), "{shell}");
    }
    let page = text(&home.mesh(&["man"]).stdout);
    assert!(page.contains(".TH mesh 1") && page.contains("SYNOPSIS"), "{page}");
    let pages = home.directory.path().join("man");
    assert!(home.mesh(&["man", "--to", pages.to_str().unwrap()]).status.success());
    for name in ["mesh.1", "mesh-folder-add.1", "mesh-doctor.1"] {
        assert!(Path::new(&pages).join(name).exists(), "{name}");
    }
}

/// A state directory that is not signed in says what comes next; so does one without a device.
#[test]
fn a_status_says_what_comes_next() {
    let empty = tempfile::tempdir().unwrap();
    let status = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_mesh"));
        command.env("MESH_HOME", empty.path()).arg("status").args(arguments).output().unwrap()
    };
    let said = text(&status(&[]).stdout);
    assert!(said.ends_with("next: mesh login --cloud URL --user NAME, or --browser\n"), "{said}");
    assert!(!text(&status(&["--json"]).stdout).contains("next"));
}

/// A pipe that nobody reads.
fn closed() -> std::process::Stdio {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    writer.into()
}

#[test]
fn a_reader_that_leaves_is_no_failure() {
    let home = Home::new();
    for arguments in [&["status"][..], &["log"], &["conflicts"], &["completions", "bash"], &["man"]] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_mesh"));
        let command = command.env("MESH_HOME", home.directory.path()).args(arguments).stdout(closed());
        let done = command.output().unwrap();
        assert_eq!((done.status.code(), text(&done.stderr)), (Some(0), String::new()), "{arguments:?}");
    }
}

#[test]
#[cfg(target_os = "linux")] // where there is /dev/full
fn a_full_disk_is_told() {
    let home = Home::new();
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_mesh"));
    let done = command.env("MESH_HOME", home.directory.path()).arg("status").stdout(full).output().unwrap();
    assert_eq!(done.status.code(), Some(1));
    assert!(
        text(&done.stderr).starts_with("mesh: cannot write to standard output: "),
        "{}",
        text(&done.stderr)
    );
}
