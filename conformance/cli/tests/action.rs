//! `conformance/action.yml`: its lines are run as a runner of GitHub runs them. Only `cargo` is a program of the test's, which
//! puts the binary where a build would.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

/// A step of a composite action, as far as it is the action's own.
#[derive(Debug, Default)]
struct Step {
    env: BTreeMap<String, String>,
    run: Option<String>,
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().expect("the folder of the action")
}

fn text() -> String {
    fs::read_to_string(folder().join("action.yml")).expect("the action")
}

fn indent(line: &str) -> usize {
    line.len() - line.trim_start().len()
}

/// The steps, from the little YAML that the file has.
fn steps(text: &str) -> Vec<Step> {
    let lines: Vec<&str> = text.lines().collect();
    let from = lines.iter().position(|line| *line == "  steps:").expect("steps");
    let mut steps: Vec<Step> = Vec::new();
    let mut at = from + 1;
    while let Some(line) = lines.get(at) {
        at += 1;
        let deeper = |at: usize| lines[at..].iter().take_while(|line| indent(line) > 6).copied();
        match line.trim_start_matches([' ', '-']) {
            _ if line.starts_with("    - ") => steps.push(Step::default()),
            "run: |" => {
                let script: Vec<&str> = deeper(at).map(|line| &line[8..]).collect();
                steps.last_mut().expect("a step").run = Some(script.join("\n"));
            }
            "env:" => {
                let pairs = deeper(at).map(|line| line.trim().split_once(": ").expect("a variable"));
                steps.last_mut().expect("a step").env =
                    pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
            }
            _ => {}
        }
    }
    assert_eq!(steps.iter().filter(|step| step.run.is_some()).count(), text.matches(" run: ").count());
    steps
}

/// What a workflow that uses the action sees of it.
struct Job {
    home: TempDir,
    code: i32,
    said: String,
}

impl Job {
    /// Runs the action with these inputs, and the defaults of the others.
    fn run(inputs: &[(&str, &str)]) -> Self {
        let home = tempfile::tempdir().expect("a directory");
        let at = |name: &str| home.path().join(name);
        for name in ["bin", "temp", "work"] {
            fs::create_dir(at(name)).expect("a directory");
        }
        let cargo = format!(
            "#!/bin/bash\nset -eu\nwhile [ $# -gt 0 ]; do case $1 in --manifest-path) manifest=$2;; --target-dir) target=$2;; -p) package=$2;; \
             esac; shift; done\ngrep -q '\"conformance/cli\"' \"$manifest\"\n[ \"$package\" = meshproof ]\n\
             mkdir -p \"$target/release\"\nln -s {} \"$target/release/meshproof\"\n",
            env!("CARGO_BIN_EXE_meshproof")
        );
        fs::write(at("bin/cargo"), cargo).expect("a program");
        fs::set_permissions(at("bin/cargo"), fs::Permissions::from_mode(0o755)).expect("a program");
        symlink(env!("CARGO_BIN_EXE_meshproof"), at("bin/meshproof")).expect("a link");
        let path = std::env::var("PATH").unwrap_or_default();
        let given: BTreeMap<&str, &str> = inputs.iter().copied().collect();
        let defaults = defaults(&text());
        let (mut code, mut said) = (0, String::new());
        for step in steps(&text()) {
            let Some(script) = step.run else { continue };
            let value = |text: &String| match text
                .strip_prefix("${{ inputs.")
                .and_then(|rest| rest.strip_suffix(" }}"))
            {
                Some(name) => {
                    given.get(name).map_or_else(|| defaults[name].clone(), |value| (*value).to_owned())
                }
                None => text.clone(),
            };
            let output = Command::new("bash")
                .args(["--noprofile", "--norc", "-eo", "pipefail", "-c", &script])
                .current_dir(at("work"))
                .env("PATH", format!("{}:{path}", at("bin").display()))
                .env("GITHUB_ACTION_PATH", folder())
                .env("RUNNER_TEMP", at("temp"))
                .env("GITHUB_OUTPUT", at("output"))
                .env("GITHUB_STEP_SUMMARY", at("summary"))
                .envs(step.env.iter().map(|(name, text)| (name, value(text))))
                .output()
                .expect("bash");
            said += &String::from_utf8_lossy(&[output.stdout, output.stderr].concat());
            code = output.status.code().unwrap_or(-1);
            if code != 0 {
                break;
            }
        }
        Self { home, code, said }
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.home.path().join(name)).unwrap_or_default()
    }
}

/// The inputs that are declared, with their defaults.
fn defaults(text: &str) -> BTreeMap<String, String> {
    let part = text.split_once("\ninputs:\n").expect("inputs").1.split_once("\noutputs:").expect("outputs").0;
    let mut found = BTreeMap::new();
    let mut name = String::new();
    for line in part.lines() {
        match (indent(line), line.trim().split_once(':')) {
            (2, Some((input, ""))) => {
                input.clone_into(&mut name);
                found.insert(name.clone(), String::new());
            }
            (4, Some(("default", value))) => {
                found.insert(name.clone(), value.trim().trim_matches('"').to_owned());
            }
            _ => {}
        }
    }
    found
}

#[test]
fn every_input_is_declared_and_used() {
    let text = text();
    let used: BTreeSet<String> = text
        .split("${{ inputs.")
        .skip(1)
        .map(|rest| rest.split(' ').next().unwrap_or_default().to_owned())
        .collect();
    assert_eq!(used, defaults(&text).into_keys().collect());
}

#[test]
fn a_conformant_implementation_passes() {
    let job = Job::run(&[("target", "--shim \"meshproof shim serve\""), ("filter", "relay.pass")]);
    assert_eq!(job.code, 0, "{}", job.said);
    assert_eq!(job.read("output"), "code=0\n");
    let summary = job.read("summary");
    assert!(summary.starts_with("```\n") && summary.contains("CONFORMANT"), "{summary}");
    assert!(job.read("work/meshproof-report/junit.xml").contains("<testsuite"), "{}", job.said);
}

#[test]
fn one_that_refuses_all_fails_unless_that_is_known() {
    let refuses = r#"--shim "python3 refuses.py""#;
    // Words of a shell: what stands between quotes is one.
    let shim = "import sys\nfor line in sys.stdin: print('{\"outcome\": \"' + ('unsupported' if 'vector' not in line else 'reject') + '\"}', flush=True)\n";
    let folder = tempfile::tempdir().expect("a directory");
    let at = folder.path().join("refuses.py");
    fs::write(&at, shim).expect("a program");
    let expect = folder.path().join("known.txt");
    let target = refuses.replace("refuses.py", &at.to_string_lossy())
        + &format!(" --write-expect {}", expect.display());
    let job = Job::run(&[("target", &target), ("filter", "relay.pass"), ("report", "elsewhere")]);
    assert_eq!(job.code, 1, "{}", job.said);
    assert_eq!(job.read("output"), "code=1\n");
    assert!(job.read("summary").contains("NOT CONFORMANT"), "{}", job.said);
    assert!(job.read("work/elsewhere/junit.xml").contains("<failure"), "{}", job.said);

    let target = refuses.replace("refuses.py", &at.to_string_lossy());
    let known = expect.to_string_lossy();
    let job = Job::run(&[("target", &target), ("filter", "relay.pass"), ("expect", &known)]);
    assert_eq!((job.code, job.read("output").as_str()), (0, "code=0\n"), "{}", job.said);
}

#[test]
fn a_mistake_in_the_words_is_one_of_usage() {
    let job = Job::run(&[("target", "--shim \"no-such-program\"")]);
    assert_eq!((job.code, job.read("output").as_str()), (2, "code=2\n"), "{}", job.said);
    assert!(job.said.contains("cannot start no-such-program: No such file"), "{}", job.said);
}
