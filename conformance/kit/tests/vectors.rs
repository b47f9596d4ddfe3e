//! The committed vectors are what the generator writes, and the oracle agrees with every one of them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::{env, fs};

use meshproof_kit::target::shim::Answer;
use meshproof_kit::vectors::{self, VectorTest, Verdict};
use serde_json::Value;

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../vectors")
}

/// `MESHPROOF_BLESS=1 cargo test -p meshproof-kit --test vectors` writes the files anew.
#[test]
fn the_committed_files_are_what_the_generator_writes() {
    let bless = env::var_os("MESHPROOF_BLESS").is_some();
    for (path, bytes) in vectors::generate() {
        let file = folder().join(&path);
        if bless {
            fs::write(&file, &bytes).expect("cannot write a vector file");
        }
        let committed = fs::read(&file).expect("cannot read a vector file");
        assert!(
            committed == bytes,
            "{path} differs from what the generator writes; MESHPROOF_BLESS=1 renews it"
        );
    }
}

#[test]
fn every_generated_file_is_embedded() {
    let generated: BTreeSet<String> = vectors::generate().into_iter().map(|(path, _)| path).collect();
    let embedded = vectors::FILES.iter().map(|file| format!("{}/{}.json", file.part, file.name)).collect();
    assert_eq!(generated, embedded);
}

/// Requirements whose violation shows as that of another.
const SHOWS_AS: &[(&str, &str)] =
    &[("HSK-017", "HSK-018"), ("HSK-033", "HSK-034"), ("REC-015", "REC-011"), ("REC-018", "REC-011")];

#[test]
fn the_oracle_agrees_with_every_vector() {
    let mut wrong = Vec::new();
    for test in vectors::all() {
        let answer = vectors::reader::answer(&vectors::request(test));
        let verdict = vectors::judge(test, &answer);
        let named = match &answer.requirement {
            Some(id) if test.expected.reason.is_some() => {
                test.reqs.iter().any(|req| req == id || SHOWS_AS.contains(&(req.as_str(), id.as_str())))
            }
            _ => true,
        };
        if verdict != Verdict::Pass || !named {
            wrong.push(format!("{}: {verdict:?} {answer:?}", test.id));
        }
    }
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), vectors::all().len(), wrong.join("\n"));
}

#[test]
fn the_judge_is_not_fooled() {
    for test in vectors::all() {
        let judge = |answer: &Answer| vectors::judge(test, answer);
        let right = vectors::reader::answer(&vectors::request(test));
        assert_eq!(judge(&Answer::unsupported()), Verdict::Unsupported, "{}", test.id);
        assert!(matches!(judge(&Answer::error("broken")), Verdict::Fail(_)), "{}", test.id);
        let expects_output = !test.expected.output.is_null();
        let blind = judge(&Answer::accept(Value::Null));
        assert_eq!(blind == Verdict::Pass, test.expected.valid && !expects_output, "{}", test.id);
        let silent = Answer { reason: None, requirement: None, ..Answer::reject("", "") };
        assert_eq!(judge(&silent) == Verdict::Pass, !test.expected.valid, "{}", test.id);
        let wrong = Answer { reason: Some("another".to_owned()), ..right };
        let told = test.expected.reason.is_some();
        assert_eq!(judge(&wrong) == Verdict::Pass, !told, "{}", test.id);
    }
}

#[test]
fn ids_are_unique_and_every_invalid_test_has_a_valid_twin_of_its_kind() {
    let mut by_id: BTreeMap<&str, &VectorTest> = BTreeMap::new();
    let mut by_input: BTreeMap<String, &str> = BTreeMap::new();
    for test in vectors::all() {
        assert!(by_id.insert(&test.id, test).is_none(), "{} is there twice", test.id);
        let request = vectors::request(test).to_string();
        let same = by_input.insert(request, &test.id);
        assert_eq!(same, None, "{} is the same", test.id);
    }
    for test in vectors::all() {
        let Some(twin) = &test.twin else {
            assert!(test.expected.valid, "{} is invalid and has no twin", test.id);
            continue;
        };
        let twin =
            by_id.get(twin.as_str()).unwrap_or_else(|| panic!("{} has an unknown twin {twin}", test.id));
        assert!(!test.expected.valid && twin.expected.valid, "{} and {}", test.id, twin.id);
        assert_eq!(test.kind, twin.kind, "{}", test.id);
        assert_eq!(test.group, twin.group, "{} and its twin are of different groups", test.id);
        assert_ne!(test.inputs, twin.inputs, "{} is its twin", test.id);
    }
}

/// The requirements that no vector can show, and why.
const NOT_BY_VECTOR: &[(&str, &str)] = &[
    ("TKT-031", "a response of HTTP"),
    ("TKT-060", "keys that change"),
    ("TKT-061", "keys that change"),
    ("HSK-005", "a deadline"),
    ("HSK-006", "bytes on a connection"),
    ("HSK-007", "a deadline"),
    ("HSK-008", "many connections"),
    ("HSK-025", "two messages"),
    ("HSK-038", "two messages"),
    ("HSK-039", "what an initiator does not do"),
    ("HSK-036", "a second attempt"),
    ("HSK-042", "a clock that moves"),
    ("HSK-045", "two handshakes"),
    ("HSK-046", "two handshakes"),
    ("HSK-080", "a responder under load"),
    ("HSK-051", "two connections"),
    ("HSK-052", "many connections"),
    ("HSK-054", "an open channel"),
    ("HSK-055", "a clock that moves"),
    ("HSK-056", "a clock that moves"),
    ("HSK-057", "an open channel"),
    ("HSK-058", "two channels"),
    ("HSK-059", "a session"),
    ("HSK-060", "a session"),
    ("HSK-061", "a clock that moves"),
    ("HSK-066", "a deadline"),
    ("HSK-067", "many devices"),
    ("HSK-062", "a network with multicast"),
    ("HSK-063", "a network with multicast"),
    ("HSK-064", "a network with multicast"),
    ("HSK-065", "a network with multicast"),
    ("REC-001", "64 GiB"),
    ("REC-003", "a clock that moves"),
    ("REC-019", "a clock that moves"),
];

#[test]
fn every_requirement_of_the_three_parts_has_a_vector() {
    let tested: BTreeSet<&str> =
        vectors::all().iter().flat_map(|test| &test.reqs).map(String::as_str).collect();
    let mut missing = Vec::new();
    for (part, prefix) in [("ticket", "**TKT-"), ("handshake", "**HSK-"), ("record", "**REC-")] {
        let text = fs::read_to_string(folder().join(format!("../spec/{part}.md"))).expect("a specification");
        for line in text.lines().filter(|line| line.starts_with(prefix)) {
            let id = line.trim_start_matches('*').split("**").next().unwrap_or_default().to_owned();
            let excused = NOT_BY_VECTOR.iter().any(|(known, _)| *known == id);
            if !tested.contains(id.as_str()) && !excused {
                missing.push(id);
            }
        }
    }
    assert!(missing.is_empty(), "no vector for {missing:?}");
}
