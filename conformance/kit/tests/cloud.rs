//! The cloud checks without a cloud: what cannot be reached is not judged.

use std::sync::Arc;

use meshproof_kit::check::{Outcome, Role};
use meshproof_kit::checks;
use meshproof_kit::run::{Options, Quiet, run};
use meshproof_kit::target::Targets;
use meshproof_kit::target::cloud::CloudTarget;

fn targets(url: &str) -> Targets {
    // A second installation in the same process is refused, and the first serves as well.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let cloud = CloudTarget::new(url, None, Vec::new()).expect("a client");
    Targets { description: "nothing".to_owned(), cloud: Some(Arc::new(cloud)), ..Targets::default() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cloud_that_cannot_be_reached_is_not_judged() {
    // Port 1 of this machine: nobody listens there.
    let targets = targets("https://127.0.0.1:1");
    assert_eq!(targets.roles(), [Role::Cloud]);
    let checks = checks::for_roles(&targets.roles());
    assert!(checks.len() > 80, "only {} checks", checks.len());
    let report = run(&checks, targets, &Options::default(), Arc::new(Quiet)).await;
    for result in &report.results {
        assert_eq!(result.outcome, Outcome::Blocked, "{}: {}", result.id, result.message);
    }
    assert_eq!(report.conclusion().exit_code(), 3);
}
