//! The client checks against clients that are none: whoever does nothing passes nothing.

use std::sync::{Arc, Mutex};

use meshproof_kit::check::{Outcome, Role};
use meshproof_kit::checks;
use meshproof_kit::report::summary;
use meshproof_kit::run::{Filter, Options, Quiet, run};
use meshproof_kit::target::shim::{Answer, Shim};
use meshproof_kit::target::{ShimTarget, Targets};
use serde_json::{Value, json};

async fn passed(says: fn() -> Answer) -> Vec<String> {
    let start = move || Box::new(move |_: &Value| says()) as Box<dyn Shim>;
    let targets = Targets { client: Some(Arc::new(start)), ..Targets::default() };
    assert_eq!(targets.roles(), [Role::Client]);
    let checks = checks::for_roles(&targets.roles());
    assert!(checks.len() > 25, "only {} checks", checks.len());
    let report = run(&checks, targets, &Options::default(), Arc::new(Quiet)).await;
    let kept = |outcome| matches!(outcome, Outcome::Fail | Outcome::Blocked | Outcome::NotApplicable);
    let passed = report.results.into_iter().filter(|result| !kept(result.outcome));
    passed.map(|result| format!("{}: {:?} {}", result.id, result.outcome, result.message)).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_does_nothing_passes_nothing() {
    for says in [
        || Answer::accept(json!({})),
        || Answer::reject("GPH-170", "none"),
        Answer::unsupported,
        || Answer::error("it does not run"),
    ] as [fn() -> Answer; 4]
    {
        let passed = passed(says).await;
        assert!(passed.is_empty(), "{}", passed.join("\n"));
    }
}

/// Who claims the op and says that it does not do it is not left out: that would be a way out of what is hard.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_does_not_do_what_it_claims_fails() {
    let unsupported = || Answer::unsupported();
    let start = move || Box::new(move |_: &Value| unsupported()) as Box<dyn Shim>;
    let caller: ShimTarget = Arc::new(Mutex::new(move |_: &Value| unsupported()));
    let targets = Targets {
        client: Some(Arc::new(start)),
        caller: Some(caller),
        caller_suites: Some(vec![0x0101, 0x0201]),
        ..Targets::default()
    };
    let checks = Filter::new(["client.", "hs.call"]).select(&checks::for_roles(&targets.roles()));
    let report = run(&checks, targets, &Options::default(), Arc::new(Quiet)).await;
    let not_claimed: Vec<&str> = report
        .results
        .iter()
        .filter(|result| result.outcome != Outcome::Fail)
        .map(|result| {
            assert_eq!(result.outcome, Outcome::NotApplicable, "{}: {}", result.id, result.message);
            assert_eq!(result.message, "the device does not claim suite 0x0301");
            result.id.as_str()
        })
        .collect();
    assert!(!not_claimed.is_empty() && not_claimed.len() < 10, "{not_claimed:?}");
    assert_eq!(report.conclusion().exit_code(), 1);
    assert!(summary(&report).contains("not tested:"), "{}", summary(&report));
}
