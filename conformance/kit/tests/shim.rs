//! The vector checks against shims inside this process.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use meshproof_kit::bench;
use meshproof_kit::check::{Outcome, Role};
use meshproof_kit::checks;
use meshproof_kit::report::{KillMatrix, KillVerdict, RunReport, summary};
use meshproof_kit::run::{Options, Quiet, run};
use meshproof_kit::target::client::ClientTarget;
use meshproof_kit::target::shim::Answer;
use meshproof_kit::target::{ShimTarget, Targets};
use meshproof_kit::vectors::reader;
use serde_json::{Value, json};

async fn report(shim: impl FnMut(&Value) -> Answer + Send + 'static) -> RunReport {
    let targets = Targets {
        description: "shim in this process".to_owned(),
        shim: Some(Arc::new(Mutex::new(shim))),
        ..Targets::default()
    };
    assert_eq!(targets.roles(), [Role::Vectors]);
    run(&checks::for_roles(&targets.roles()), targets, &Options::default(), Arc::new(Quiet)).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_oracle_passes_its_own_vectors() {
    let report = report(reader::answer).await;
    assert_eq!(report.conclusion().exit_code(), 0, "{}", summary(&report));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shim_that_does_nothing_is_incomplete_and_one_that_refuses_all_fails() {
    let idle = report(|_| Answer::unsupported()).await;
    assert!(idle.results.iter().all(|result| result.outcome == Outcome::NotApplicable));
    assert_eq!(idle.conclusion().exit_code(), 3);
    let strict = report(|_| Answer::reject("TKT-006", "ticket-syntax")).await;
    assert_eq!(strict.conclusion().exit_code(), 1);
}

/// An implementation without one rule is found by the checks of that rule.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mutant_is_killed_by_the_checks_that_cite_it() {
    let lenient = report(|request| {
        let answer = reader::answer(request);
        if answer.requirement.as_deref() == Some("TKT-014") { Answer::accept(Value::Null) } else { answer }
    })
    .await;
    let mut matrix = KillMatrix::default();
    let citing = checks::all().into_iter().filter(|check| check.reqs.iter().any(|id| id == "TKT-014"));
    matrix.add("TKT-014", "TKT-014", citing.map(|check| check.id).collect(), &lenient.results);
    assert_eq!(matrix.rows[0].verdict, KillVerdict::Killed, "{:?}", matrix.rows);
    assert_eq!(matrix.survivors().count(), 0);
}

/// What the kit writes and what the oracle answers is what `shim.schema.json` says.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_and_answers_keep_the_schema() {
    let schema: Value = serde_json::from_str(include_str!("../schema/shim.schema.json")).unwrap();
    let part = |name: &str| {
        let mut schema = schema.clone();
        schema["oneOf"] = json!([{"$ref": format!("#/$defs/{name}")}]);
        jsonschema::validator_for(&schema).unwrap()
    };
    let (requests, answers) = (part("request"), part("answer"));
    let seen = Arc::new(Mutex::new(Vec::new()));
    let listening = seen.clone();
    let shim: ShimTarget = Arc::new(Mutex::new(move |request: &Value| {
        let answer = match request["op"].as_str() {
            Some("vector") => reader::answer(request),
            _ => Answer::unsupported(),
        };
        listening.lock().unwrap().push((request.clone(), serde_json::to_value(&answer).unwrap()));
        answer
    }));
    let listening = seen.clone();
    let client: ClientTarget = Arc::new(move || {
        let listening = listening.clone();
        Box::new(move |request: &Value| {
            let answer = Answer::accept(json!({}));
            listening.lock().unwrap().push((request.clone(), serde_json::to_value(&answer).unwrap()));
            answer
        })
    });
    let (caller, client) = (Some(shim.clone()), Some(client));
    let targets = Targets { shim: Some(shim), caller, client, ..Targets::default() };
    run(&checks::for_roles(&targets.roles()), targets, &Options::default(), Arc::new(Quiet)).await;
    let seen = seen.lock().unwrap();
    assert!(seen.iter().any(|(request, _)| request["op"] == "connect"));
    for action in ["login", "claim", "join", "sync"] {
        assert!(seen.iter().any(|(request, _)| request["do"] == action), "{action}");
    }
    for (request, answer) in seen.iter() {
        assert!(requests.is_valid(request), "{request}: {:?}", requests.validate(request));
        assert!(answers.is_valid(answer), "{answer}: {:?}", answers.validate(answer));
    }
    for work in bench::works() {
        let request = work.request(Duration::from_millis(80));
        assert!(requests.is_valid(&request), "{request}");
    }
    for wrong in [
        json!({}),
        json!({"op": "vector"}),
        json!({"op": "connect", "address": "127.0.0.1:1"}),
        json!({"op": "bench", "work": "seal", "size": 64}),
        json!({"op": "client", "do": "sync"}),
        json!({"op": "client", "do": "join", "home": "/tmp/h"}),
    ] {
        assert!(!requests.is_valid(&wrong), "{wrong}");
    }
    for wrong in [json!({}), json!({"outcome": "ok"}), json!({"outcome": "reject", "requirement": "14"})] {
        assert!(!answers.is_valid(&wrong), "{wrong}");
    }
}
