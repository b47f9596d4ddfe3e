//! `meshproof vectors --wycheproof DIR`: what it says, and its exit codes.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

fn files() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../kit/tests/wycheproof")
}

fn meshproof(directory: &Path) -> (Option<i32>, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_meshproof"));
    let output = command.args(["vectors", "--wycheproof"]).arg(directory).output().expect("it starts");
    let text = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8_lossy(&text).into_owned())
}

#[test]
fn oracle_and_both_providers_pass() {
    let (code, said) = meshproof(&files());
    assert_eq!(code, Some(0), "{said}");
    // aws-lc draws its own seeds: of ML-KEM it runs one test, and the others five.
    assert!(said.ends_with("12 files, 89 tests run, 0 failed\n"), "{said}");
    assert!(said.contains("       2  AES-CBC-PKCS5, IndCpaTest\n"), "{said}");
    assert!(said.contains("       5  ML-KEM-768 with given seeds: aws-lc draws its own\n"), "{said}");
    let row = |name: &str| -> Vec<String> {
        let line = said.lines().find(|line| line.starts_with(name)).expect(name);
        line.split_whitespace().skip(1).map(str::to_owned).collect()
    };
    assert_eq!(row("rsa_oaep"), ["6", "6", "6"]);
    assert_eq!(row("mlkem_768_encaps"), ["2", "2", "1"]);
}

#[test]
fn a_failure_is_named_and_an_empty_run_is_no_success() {
    let folder = tempfile::tempdir().expect("a directory");
    let at = |name: &str| folder.path().join(name);
    let (code, said) = meshproof(folder.path());
    assert!(code == Some(2) && said.contains("there is no .json file in"), "{said}");
    let (code, said) = meshproof(&at("none"));
    assert!(code == Some(2) && said.contains("cannot read the directory"), "{said}");

    fs::copy(files().join("aes_cbc_pkcs5_test.json"), at("aes_cbc_pkcs5_test.json")).expect("a copy");
    let (code, said) = meshproof(folder.path());
    assert!(code == Some(3) && said.ends_with("1 files, 0 tests run, 0 failed\n"), "{said}");

    let text = fs::read_to_string(files().join("hmac_sha256_test.json")).expect("a file");
    fs::write(at("hmac.json"), text.replacen("\"result\": \"invalid\"", "\"result\": \"valid\"", 1))
        .expect("a file");
    let (code, said) = meshproof(folder.path());
    assert_eq!(code, Some(1), "{said}");
    for by in ["oracle", "rustcrypto", "aws-lc"] {
        assert!(said.contains(&format!("FAIL  {by}: test 2: refused, or the result is another")), "{said}");
    }

    fs::write(at("other.json"), "[1, 2]").expect("a file");
    let (code, said) = meshproof(folder.path());
    assert!(code == Some(2) && said.contains("other.json is no Wycheproof file: no testGroups"), "{said}");
}
