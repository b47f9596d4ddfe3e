//! The configuration, as whoever runs the program meets it.

use std::process::{Command, Output};

use meshproof_cloud::Service;

use crate::common::{Answer, World};

fn meshd(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_meshd")).args(arguments).output().unwrap()
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

#[test]
fn the_default_file_is_printed_and_has_no_mistakes() {
    let printed = meshd(&["default-config"]);
    assert!(printed.status.success());
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("meshd.toml");
    std::fs::write(&file, &printed.stdout).unwrap();
    let checked = meshd(&["check-config", file.to_str().unwrap()]);
    assert!(checked.status.success(), "{checked:?}");
}

#[test]
fn mistakes_are_a_line_each_and_exit_code_2() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("meshd.toml");
    std::fs::write(&file, "\nlisten = 8443\n[storage]\nquota = \"5 gigs\"\n").unwrap();
    let path = file.to_str().unwrap();
    for arguments in
        [&["check-config", path][..], &["--config", path], &["--config", path, "user", "add", "ann"]]
    {
        let refused = meshd(arguments);
        assert_eq!(refused.status.code(), Some(2), "{refused:?}");
        let lines: Vec<&str> = text(&refused.stderr).lines().collect();
        assert_eq!(lines.len(), 2, "{lines:?}");
        assert!(lines[0].starts_with(&format!("{path}:2: listen: ")), "{lines:?}");
        assert!(
            lines[1].starts_with(&format!("{path}:4: storage.quota: \"5 gigs\" is no size")),
            "{lines:?}"
        );
        assert_eq!(text(&refused.stdout), "");
    }
    let absent = meshd(&["check-config", &format!("{path}.not")]);
    assert_eq!(absent.status.code(), Some(2));
    assert_eq!(
        text(&absent.stderr),
        format!("meshd: cannot read {path}.not: No such file or directory (os error 2)\n"),
        "each cause once"
    );
}

#[test]
fn the_command_line_goes_before_the_file() {
    let dir = tempfile::tempdir().unwrap();
    let (file, data) = (dir.path().join("meshd.toml"), dir.path().join("data"));
    std::fs::write(&file, "data = \"/dev/null/nowhere\"\n").unwrap();
    let base = ["--config", file.to_str().unwrap(), "user", "add", "ann"];
    let add = |more: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_meshd"));
        command.args(base).args(more).env("MESH_PASSWORD", "correct horse").output().unwrap()
    };
    let refused = add(&[]);
    assert_eq!(refused.status.code(), Some(1), "{refused:?}");
    let said = text(&refused.stderr);
    assert!(said.starts_with("meshd: /dev/null/nowhere: ") && said.lines().count() == 1, "{said}");
    assert_eq!(said.matches("os error").count(), 1, "each cause once: {said}");
    let added = add(&["--data", data.to_str().unwrap()]);
    assert!(added.status.success(), "{added:?}");
    // What makes no sense on the command line is refused as in a file.
    let unnamed = add(&["--data", data.to_str().unwrap(), "--name", ""]);
    assert_eq!(unnamed.status.code(), Some(2), "{unnamed:?}");
}

#[tokio::test]
async fn services_that_are_not_listed_are_not_there() {
    let paths = [
        (Service::Identity, "/identity/token"),
        (Service::Account, "/tickets"),
        (Service::Graph, "/mesh"),
        (Service::Storage, "/mesh/objects/00000000000000000000000000000000/media/00"),
    ];
    for (service, _) in paths {
        let world = World::with(|config| config.services = vec![service]).await;
        for (other, path) in paths {
            let answer = Answer::of_less(world.http.get(world.url(path))).await;
            let there = answer.body["requirement"] != "GPH-004" || path.contains("/media/");
            let not_there = answer.status.as_u16() == 404 && answer.body["requirement"] == "GPH-004";
            // A path of this service answers something else: what, is not the point here.
            assert!(
                if other == service { there } else { not_there },
                "{service:?}, {path}: {:?}",
                answer.body
            );
        }
    }
}
