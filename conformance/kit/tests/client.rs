//! The client checks against clients that are none: whoever does nothing passes nothing.

use std::sync::Arc;

use meshproof_kit::check::{Outcome, Role};
use meshproof_kit::checks;
use meshproof_kit::run::{Options, Quiet, run};
use meshproof_kit::target::Targets;
use meshproof_kit::target::shim::{Answer, Shim};
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
