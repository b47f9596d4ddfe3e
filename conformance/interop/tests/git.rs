//! What patterns ignore (`spec/sync.md`, section 4.8) is what git says, but where the specification names a difference.

use std::path::Path;
use std::process::Command;

use meshproof_interop::tool;
use meshproof_kit::oracle::crypto::from_hex;
use meshproof_kit::vectors;

/// The vectors in which the specification differs: what a character is, white space, classes with names, and the file itself.
const OTHERWISE: [&str; 6] = [
    "sync.ignore.class-posix",
    "sync.ignore.space-end-2",
    "sync.ignore.itself",
    "sync.ignore.characters",
    "sync.ignore.characters-2",
    "sync.ignore.characters-5",
];

/// Whether git ignores a path by the patterns alone, in a repository of its own.
fn git(patterns: &[u8], path: &str, is_directory: bool) -> bool {
    let place = tempfile::tempdir().unwrap();
    let git = |arguments: &[&str]| {
        let mut command = Command::new("git");
        command.current_dir(&place).env("GIT_CONFIG_NOSYSTEM", "1").env("HOME", place.path());
        tool::run(command.args(arguments), b"").unwrap()
    };
    assert!(git(&["init", "--quiet"]).status.success());
    std::fs::write(place.path().join(".gitignore"), patterns).unwrap();
    let at = place.path().join(path);
    std::fs::create_dir_all(if is_directory { &at } else { at.parent().unwrap_or(Path::new("/")) }).unwrap();
    if !is_directory {
        std::fs::write(&at, b"").unwrap();
    }
    let said = git(&["check-ignore", "--no-index", "--quiet", "--", path]).status.code();
    assert!(matches!(said, Some(0 | 1)), "git check-ignore ended with {said:?}");
    said == Some(0)
}

#[test]
#[ignore = "needs git: conformance/interop/run.sh"]
fn git_ignores_the_same() {
    let tests: Vec<_> = vectors::all().iter().filter(|test| test.kind == "SyncIgnore").collect();
    assert!(tests.len() > 100, "only {} vectors", tests.len());
    for test in &tests {
        let request = vectors::request(test);
        let input = &request["test"];
        let patterns = from_hex(input["patterns"].as_str().unwrap()).unwrap();
        let (path, is_directory) = (input["path"].as_str().unwrap(), input["directory"].as_bool().unwrap());
        let agrees = test.expected.output["ignored"] == git(&patterns, path, is_directory);
        let may_differ = OTHERWISE.contains(&test.id.as_str());
        assert_eq!(agrees, !may_differ, "{}: {path} by {:?}", test.id, String::from_utf8_lossy(&patterns));
    }
    tool::say(&format!("git ignores the same in {} of {} cases", tests.len() - OTHERWISE.len(), tests.len()));
}
