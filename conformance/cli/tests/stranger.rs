//! What a stranger does wrong, and what the program says: exit code 2 for what was typed, 3 for what is not there.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

fn meshproof(folder: &Path, words: &[&str]) -> (i32, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_meshproof")).args(words).current_dir(folder).output();
    let output = output.expect("the program starts");
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    (output.status.code().unwrap_or(-1), said)
}

/// Each line of words ends with this code and says this.
fn says(folder: &Path, cases: &[(&[&str], i32, &str)]) {
    for (words, code, text) in cases {
        let (ended, said) = meshproof(folder, words);
        assert!(
            ended == *code && said.contains(text),
            "{words:?} ended with {ended}, not {code}, {text:?}:\n{said}"
        );
        assert!(!said.contains("panicked"), "{words:?}: {said}");
    }
}

/// A port of this machine where nobody listens.
fn nobody() -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("an address").to_string()
}

#[test]
fn a_command_that_is_wrong_is_not_an_implementation_that_does_not_answer() {
    let folder = tempfile::tempdir().expect("a directory");
    let at = folder.path();
    fs::write(at.join("plain"), "").expect("a file");
    fs::write(at.join("mute"), "#!/bin/sh\nread line\n").expect("a file");
    fs::set_permissions(at.join("mute"), fs::Permissions::from_mode(0o755)).expect("a program");
    for option in [&["run", "--shim"][..], &["run", "--client"], &["bench", "--shim"], &["shim", "check"]] {
        let with = |program: &'static str| [option, &[program]].concat();
        says(
            at,
            &[
                (&with("./none"), 2, "cannot start ./none: No such file"),
                (&with("./plain"), 2, "cannot start ./plain: Permission denied"),
                (&with("sh -c 'exit 3"), 2, "is not closed"),
            ],
        );
        // Said once, not for each rule.
        assert_eq!(meshproof(at, &with("./none")).1.matches("cannot start").count(), 1);
    }
    says(
        at,
        &[
            (
                &["run", "--shim", "./mute"],
                3,
                "no answer that a shim gives (`meshproof shim check` says more): the shim ended",
            ),
            (&["run", "--client", "./mute"], 3, "the shim ended without an answer"),
            (&["bench", "--shim", "./mute"], 3, "the shim ended without an answer"),
            (&["run", "--shim", "cat"], 3, "the shim answered \"{\\\"op\\\":\\\"hello\\\"}"),
            (&["shim", "check", "./mute"], 1, "FAIL  it says what it is: the shim ended without an answer"),
        ],
    );
}

#[test]
fn what_cannot_be_reached_is_named() {
    let folder = tempfile::tempdir().expect("a directory");
    let address = nobody();
    let url = format!("https://{address}");
    fs::write(folder.path().join("key"), "52".repeat(32)).expect("a file");
    says(
        folder.path(),
        &[
            (
                &["run", "--peer", &address],
                3,
                &format!("cannot connect to the peer {address}: Connection refused"),
            ),
            (&["run", "--relay", &address, "--relay-key", "key"], 3, "cannot connect to the relay"),
            // A certificate has nothing to do with it.
            (&["run", "--cloud", &url], 3, &format!("cannot reach {url}: ")),
            (&["run", "--cloud", "http://127.0.0.1"], 2, "--cloud takes an https URL"),
            (&["run", "--cloud", &url, "--ca", "none"], 2, "cannot read none"),
            (&["timing", "--peer", &address], 3, "cannot connect"),
        ],
    );
}

#[test]
fn a_word_that_selects_nothing_says_what_there_is() {
    let folder = tempfile::tempdir().expect("a directory");
    let shim = format!("'{}' shim serve", env!("CARGO_BIN_EXE_meshproof"));
    says(
        folder.path(),
        &[
            (
                &["run", "--shim", &shim, "--filter", "nosuch"],
                2,
                "no check matches [\"nosuch\"]; `meshproof list`",
            ),
            (
                &["run", "--shim", &shim, "--filter", "hs.box1"],
                2,
                "the checks that match [\"hs.box1\"] need --peer",
            ),
            (&["self-test", "--filter", "nosuch"], 2, "no check matches \"nosuch\"; `meshproof list`"),
            (&["list", "nosuch"], 2, "no check matches"),
            (&["explain", "TKT-999"], 2, "there are TKT-001 to TKT-0"),
            (&["explain", "mac1-flip"], 2, "there are "),
            (&["explain", "ticket"], 0, "TKT-014 "),
            (&["explain", "tkt"], 0, "ticket: spec/ticket.md, "),
            (&["explain", "TKT-014"], 0, "`meshproof self-test --mutant TKT-014 --filter TKT-014` plants it"),
            (&["explain", "zzz"], 2, "`meshproof list` shows the checks"),
            (
                &["self-test", "--mutant", "TKT-999"],
                2,
                "there is no mutant TKT-999; spec/kills.txt lists all",
            ),
            (&["replay", "none.json"], 2, "cannot read none.json"),
            (&["minimise", "none.json"], 2, "cannot read none.json"),
        ],
    );
}

#[test]
fn a_report_that_cannot_be_written_is_told_before_the_run() {
    let folder = tempfile::tempdir().expect("a directory");
    let at = folder.path();
    fs::write(at.join("file"), "").expect("a file");
    fs::create_dir_all(at.join("mine/evidence")).expect("a directory");
    let shim = format!("{} shim serve", env!("CARGO_BIN_EXE_meshproof"));
    for (report, why) in
        [("file", "cannot make the folder file"), ("mine", "is not of a report; choose another folder")]
    {
        for command in [&["run", "--shim", &shim][..], &["self-test"]] {
            let words = [command, &["--filter", "relay.pass", "--report", report]].concat();
            let (code, said) = meshproof(at, &words);
            assert!(code == 2 && said.contains(why), "{said}");
            assert!(!said.contains("seed"), "nothing was run: {said}");
        }
    }
    assert!(at.join("mine/evidence").is_dir());
}

#[test]
fn a_certificate_that_is_not_believed_leads_to_its_authority() {
    use meshproof_cloud::{Config, PasswordCost, start};

    let folder = tempfile::tempdir().expect("a directory");
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let mut config = Config::new(folder.path().join("cloud"));
    config.identity.passwords = PasswordCost::FOR_TESTS;
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let cloud = runtime.block_on(start(config)).expect("a cloud");
    let (code, said) = meshproof(folder.path(), &["run", "--cloud", &cloud.url]);
    assert!(code == 3 && said.contains("; --ca names the authority that signed its certificate: "), "{said}");
    runtime.block_on(cloud.shutdown()).expect("its end");
}

#[test]
fn a_mutant_that_is_killed_is_told_as_the_success_that_it_is() {
    let folder = tempfile::tempdir().expect("a directory");
    let check = "=vector.ticket.verify.expired-at-boundary";
    let (code, said) =
        meshproof(folder.path(), &["self-test", "--mutant", "TKT-014", "--filter", check, "--no-mission"]);
    assert_eq!(code, 1, "{said}");
    assert_eq!(said.lines().last(), Some("mutant TKT-014: killed by 1 check, as it has to be"), "{said}");
}

#[test]
fn a_replay_is_written_where_it_is_told_to() {
    let folder = tempfile::tempdir().expect("a directory");
    let at = folder.path();
    let replay =
        r#"{"check": "vector.ticket.verify.expired-at-boundary", "seed": 1, "arguments": ["self-test"]}"#;
    fs::write(at.join("replay.json"), replay).expect("a file");
    let (code, said) = meshproof(at, &["replay", "replay.json", "--report", "there"]);
    assert_eq!(code, 0, "{said}");
    assert!(at.join("there/report.html").is_file() && !at.join("meshproof-replay").exists(), "{said}");
}
