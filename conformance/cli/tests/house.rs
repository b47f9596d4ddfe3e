//! The rules of the house that a compiler does not know: who may depend on whom, and what is absent.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn read(path: impl AsRef<Path>) -> String {
    let path = root().join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// All files below `folder` with this extension, without build output.
fn files(folder: &str, extension: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![root().join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            let hidden = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'));
            if path.is_dir() && !hidden && !path.ends_with("target") {
                folders.push(path);
            } else if path.extension().is_some_and(|e| e == extension) {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

/// The members of the workspace that a manifest's normal dependencies name.
fn local_dependencies(manifest: &str) -> Vec<String> {
    let text = read(manifest);
    let section = text.split("[dependencies]").nth(1).unwrap_or_default();
    let section = section.split("\n[").next().unwrap_or_default();
    let names = section.lines().filter_map(|line| line.split(['.', ' ', '=']).next());
    names.filter(|name| name.starts_with("meshproof")).map(str::to_owned).collect()
}

#[test]
fn arrows() {
    let allowed = [
        ("reference/proto", &["meshproof-sha256x2"][..]),
        ("reference/sha256x2", &[]),
        ("reference/cloud", &["meshproof-proto"]),
        ("reference/client", &["meshproof-proto"]),
        ("conformance/kit", &[]),
        ("conformance/cli", &["meshproof-client", "meshproof-cloud", "meshproof-kit", "meshproof-proto"]),
    ];
    for (member, allowed) in allowed {
        let found = local_dependencies(&format!("{member}/Cargo.toml"));
        assert!(found.iter().all(|name| allowed.contains(&name.as_str())), "{member} depends on {found:?}");
    }
    for member in PUBLISHED {
        let manifest = read(format!("{member}/Cargo.toml"));
        for leaf in ["meshproof-fuzz", "meshproof-benches", "meshproof-interop", "meshproof ="] {
            assert!(!manifest.contains(leaf), "{member} depends on {leaf}");
        }
    }
}

/// Which parts of proto import which: the arrows inside the core.
#[test]
fn arrows_inside_proto() {
    let forbidden: BTreeMap<&str, &[&str]> = [
        ("codec", &["ticket", "handshake", "record", "sync", "identity", "storage", "channel", "crypto"][..]),
        ("time", &["ticket", "handshake", "record", "sync", "identity", "storage", "channel", "crypto"]),
        ("error", &["ticket", "handshake", "record", "sync", "identity", "storage", "channel", "crypto"]),
        ("crypto", &["ticket", "handshake", "record", "sync", "identity", "storage", "channel"]),
        ("record", &["ticket", "handshake", "sync", "identity", "storage", "channel"]),
        ("ticket", &["handshake", "record", "sync", "identity", "storage", "channel"]),
        ("sync", &["ticket", "handshake", "record", "identity", "channel"]),
        ("handshake", &["record", "sync", "identity", "storage", "channel"]),
        ("relay", &["ticket", "handshake", "record", "sync", "identity", "storage", "channel"]),
    ]
    .into();
    for file in files("reference/proto/src", "rs") {
        let name = file.strip_prefix(root().join("reference/proto/src")).unwrap();
        let part = name.iter().next().unwrap().to_string_lossy();
        let part = part.trim_end_matches(".rs");
        let Some(forbidden) = forbidden.get(part).filter(|_| !name.ends_with("tests.rs")) else { continue };
        for (number, line) in fs::read_to_string(&file).unwrap().lines().enumerate() {
            let code = line.split("//").next().unwrap_or_default();
            for other in *forbidden {
                assert!(
                    !code.contains(&format!("crate::{other}")),
                    "{}:{}: {line}",
                    name.display(),
                    number + 1
                );
            }
        }
    }
}

/// The core does no I/O, has no clock and no generator, and does not panic on what a peer sent.
#[test]
fn what_is_absent_from_proto() {
    for file in files("reference/proto/src", "rs") {
        if file.ends_with("tests.rs") || file.ends_with("test_keys.rs") {
            continue;
        }
        let text = fs::read_to_string(&file).unwrap();
        let code = text.split("#[cfg(test)]\nmod tests").next().unwrap_or_default();
        let code: String = code.lines().filter(|line| !line.trim_start().starts_with("//")).collect();
        for absent in [".unwrap()", ".expect(", "std::", "println!", "todo!", "unimplemented!", "unsafe "] {
            assert!(!code.contains(absent), "{} has {absent}", file.display());
        }
    }
    assert!(read("reference/proto/src/lib.rs").contains("#![no_std]"));
}

/// Live Desktop is a client of the services: it imports neither their store nor their insides. From the rest of the
/// cloud it takes a clock, identifiers, and the reading of bodies.
#[test]
fn what_is_absent_from_the_desktop() {
    let sources = files("reference/cloud/src/desktop", "rs");
    assert!(sources.len() > 10, "the desktop is elsewhere");
    for file in sources {
        let text = fs::read_to_string(&file).unwrap();
        for absent in ["store", "storage", "graph", "account", "identity", "auth", "problem", "etag"] {
            let import = format!("crate::{absent}");
            let found = text.match_indices(&import).any(|(at, _)| {
                !text[at + import.len()..].starts_with(|c: char| c.is_alphanumeric() || c == '_')
            });
            assert!(!found, "{} imports {import}", file.display());
        }
        let app = text
            .match_indices("::App")
            .any(|(at, _)| !text[at + 5..].starts_with(|c: char| c.is_alphanumeric() || c == '_'));
        assert!(!app, "{} knows the services' state", file.display());
    }
}

/// The crates that can be published.
const PUBLISHED: [&str; 6] = [
    "reference/proto",
    "reference/sha256x2",
    "reference/cloud",
    "reference/client",
    "conformance/kit",
    "conformance/cli",
];

/// What a published crate is built from is below its folder, for a package has nothing else; `spec` and `vectors` are links
/// there. Its tests may look elsewhere: they are run in the repository.
#[test]
fn packages_have_all_that_they_are_built_from() {
    let mut included = 0;
    for member in PUBLISHED {
        let manifest = read(format!("{member}/Cargo.toml"));
        for field in ["description", "license", "readme", "rust-version", "keywords", "categories"] {
            assert!(manifest.lines().any(|line| line.starts_with(field)), "{member} has no {field}");
        }
        assert!(!manifest.contains("publish = false"), "{member}");
        assert!(root().join(member).join("LICENSE").is_file(), "{member} has no LICENSE");
        for file in files(&format!("{member}/src"), "rs") {
            let text = fs::read_to_string(&file).unwrap();
            let code = text.split("#[cfg(test)]\nmod tests").next().unwrap_or_default();
            if file.ends_with("tests.rs") || file.ends_with("test_keys.rs") {
                continue;
            }
            let includes = ["include_str!(", "include_bytes!("];
            for rest in includes.iter().flat_map(|name| code.split(name).skip(1)) {
                // Of `concat!("../vectors/", $name)` the first part says where.
                let Some(named) = rest.strip_prefix("concat!(").unwrap_or(rest).strip_prefix('"') else {
                    continue;
                };
                let mut place = file.parent().unwrap().strip_prefix(root().join(member)).unwrap().to_owned();
                for part in named.split('"').next().unwrap().split('/') {
                    let inside = if part == ".." { place.pop() } else { true };
                    assert!(inside, "{} includes {named:.60}, which is in no package", file.display());
                    if part != ".." {
                        place.push(part);
                    }
                }
                included += 1;
            }
        }
    }
    assert!(included > 20, "no file is included");
}

/// The documents about the code name files and functions that exist: `folder/file.rs`, `folder/file.rs::function`.
#[test]
fn documents_name_what_exists() {
    for (document, base) in [
        ("reference/ARCHITECTURE.md", "reference"),
        ("reference/HARDENING.md", ""),
        (".github/CONTRIBUTING.md", ""),
        (".github/SECURITY.md", ""),
    ] {
        let text = read(document);
        let mut named = 0;
        for word in text
            .split('`')
            .skip(1)
            .step_by(2)
            .filter(|word| word.contains('/') && !word.contains([' ', '<', '\n']))
        {
            let (path, function) = word.split_once("::").unwrap_or((word, ""));
            let path = Path::new(base).join(path);
            assert!(root().join(&path).exists(), "{document} names {word}");
            if !function.is_empty() {
                let (plain, generic) = (format!("fn {function}("), format!("fn {function}<"));
                let source = read(&path);
                assert!(source.contains(&plain) || source.contains(&generic), "{document} names {word}");
            }
            named += 1;
        }
        let links = text.split("](").skip(1).filter_map(|rest| rest.split(')').next());
        for link in links.filter(|link| !link.contains("://") && !link.starts_with('#')) {
            let folder = Path::new(document).parent().unwrap_or(Path::new(""));
            assert!(root().join(folder).join(link).exists(), "{document} links to {link}");
            named += 1;
        }
        assert!(named > 1, "{document} was not read");
    }
}

/// What holds keys, passwords, tokens or tickets that somebody could use has no derived `Debug`, by which it would get into a
/// log or a message.
#[test]
fn secrets_are_not_shown() {
    let holders = [
        ("reference/proto/src/handshake/mod.rs", &["Device", "Blinding", "Established"][..]),
        (
            "reference/proto/src/handshake/schedule.rs",
            &["Traffic", "Chain1", "Chain2", "Chain3", "Confirmation"],
        ),
        ("reference/proto/src/handshake/initiator.rs", &["Target"]),
        ("reference/proto/src/record/epoch.rs", &["Epoch"]),
        ("reference/proto/src/relay/pass.rs", &["RelayKey", "BoxKeys"]),
        ("reference/client/src/cloud/session.rs", &["Session"]),
        ("reference/client/src/cloud/rendezvous.rs", &["Rendezvous"]),
        ("reference/client/src/cloud/sign_in.rs", &["DeviceCode"]),
        ("reference/cloud/src/secrets.rs", &["Sealer"]),
        ("reference/cloud/src/config/mod.rs", &["Config", "Database", "Bus"]),
        ("reference/cloud/src/config/identity.rs", &["Identity", "OidcProvider"]),
    ];
    for (file, names) in holders {
        let text = read(file);
        for name in names.iter().copied() {
            let found = text.lines().position(|line| {
                let words: Vec<&str> = line.split([' ', '(', ';', '<']).collect();
                words.windows(2).any(|pair| *pair == ["struct", name])
            });
            let at = found.unwrap_or_else(|| panic!("{file} has no struct {name}"));
            let above = text.lines().take(at).collect::<Vec<_>>();
            let mut attributes =
                above.iter().rev().take_while(|line| line.starts_with("#[") || line.starts_with("///"));
            let derives = attributes.any(|line| line.starts_with("#[derive") && line.contains("Debug"));
            assert!(!derives, "{name} in {file} derives Debug");
        }
    }
}

/// One can read each file in one go.
#[test]
fn no_file_is_too_long() {
    for folder in ["reference", "conformance", "fuzz", "benches"] {
        for file in files(folder, "rs") {
            let lines = fs::read_to_string(&file).unwrap().lines().count();
            assert!(lines <= 800, "{} has {lines} lines: split it by what it says it does", file.display());
        }
    }
}

/// The table of requirements in proto says what the specification says.
#[test]
fn requirements_are_those_of_the_specification() {
    let catalog = meshproof_kit::catalog::Catalog::embedded();
    for requirement in meshproof_proto::requirement::ALL {
        let written =
            catalog.get(requirement.id).unwrap_or_else(|| panic!("{} is not in spec/", requirement.id));
        let error = written.error.as_deref().unwrap_or("none");
        assert_eq!(requirement.error, error, "{}", requirement.id);
    }
}

/// Every requirement of the table is enforced somewhere: its name occurs outside the table.
#[test]
fn every_requirement_of_the_table_is_enforced() {
    let sources: Vec<String> = ["reference/proto/src", "reference/cloud/src", "reference/client/src"]
        .iter()
        .flat_map(|folder| files(folder, "rs"))
        .filter(|file| !file.ends_with("requirement.rs") && !file.ends_with("tests.rs"))
        .map(|file| fs::read_to_string(file).unwrap())
        .collect();
    let unused: Vec<&str> = meshproof_proto::requirement::ALL
        .iter()
        .filter(|requirement| {
            let name = requirement.id.replace('-', "_");
            !sources.iter().any(|text| text.contains(&name))
        })
        .map(|requirement| requirement.id)
        .collect();
    assert!(unused.is_empty(), "in the table but nowhere enforced: {unused:?}");
}
