//! A worker of the kill matrix ends when nothing more is asked, and takes away what it has written.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Command, Stdio};

use serde_json::{Value, json};

#[test]
fn a_worker_leaves_nothing_behind() {
    let folder = tempfile::tempdir().expect("a directory");
    let mut process = Command::new(env!("CARGO_BIN_EXE_meshproof"))
        .arg("worker")
        .env("TMPDIR", folder.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("a worker");
    let mut orders = process.stdin.take().expect("standard input");
    let mut answers = BufReader::new(process.stdout.take().expect("standard output")).lines();
    let mut ask = |how: &str, check: &str| -> Value {
        let order = json!({"mutant": null, "checks": [check], "seed": 1, "how": how});
        writeln!(orders, "{order}").expect("it reads");
        let line = answers.next().expect("an answer").expect("a line");
        serde_json::from_str(&line).expect("JSON")
    };
    for (how, check) in
        [("kept", "gph.root.open"), ("alone", "vector.relay.pass.caller"), ("alone", "hs.frame.nothing")]
    {
        let answer = ask(how, check);
        assert_eq!(answer["results"][0][0], check, "{answer}");
        assert_eq!(answer["results"][0][1], "pass", "{answer}");
    }
    let kept = || std::fs::read_dir(folder.path()).expect("the directory").count();
    assert!(kept() > 0, "the cloud is kept where TMPDIR says");
    drop(orders);
    assert!(process.wait().expect("its end").success());
    assert_eq!(kept(), 0);
}
