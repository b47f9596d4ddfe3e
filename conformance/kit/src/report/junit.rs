//! `junit.xml`, for build servers: one test suite a part.

use std::time::Duration;

use quick_junit::{NonSuccessKind, Report, TestCase, TestCaseStatus, TestSuite};

use super::{CheckResult, RunReport};
use crate::catalog::Part;
use crate::check::Outcome;

/// The report as JUnit XML.
pub fn junit(report: &RunReport) -> anyhow::Result<String> {
    let mut document = Report::new("meshproof");
    document.set_time(Duration::from_secs_f64(report.seconds));
    for part in Part::ALL {
        let mut suite = TestSuite::new(part.name());
        suite.add_property(("target", report.target.as_str()));
        suite.add_property(("seed", report.seed.to_string().as_str()));
        if let Some(version) = &report.set {
            suite.add_property(("set", version.as_str()));
        }
        suite.add_test_cases(report.results.iter().filter(|result| result.part == part).map(case));
        if !suite.test_cases.is_empty() {
            document.add_test_suite(suite);
        }
    }
    Ok(document.to_string()?)
}

fn case(result: &CheckResult) -> TestCase {
    let mut status = match result.outcome {
        Outcome::Pass | Outcome::Warn => TestCaseStatus::success(),
        Outcome::Fail | Outcome::Xpass => TestCaseStatus::non_success(NonSuccessKind::Failure),
        // As test frameworks do with a failure that is expected: it is no success.
        Outcome::Xfail | Outcome::NotApplicable | Outcome::AddedAfter => TestCaseStatus::skipped(),
        Outcome::Blocked | Outcome::KitError => TestCaseStatus::non_success(NonSuccessKind::Error),
    };
    if result.outcome != Outcome::Pass {
        status.set_message(format!("{} [{}]", result.message, result.reqs.join(" ")));
        status.set_type(result.outcome.name());
    }
    let mut case = TestCase::new(result.id.as_str(), status);
    case.set_classname(format!("meshproof.{}.{}", result.role, result.part));
    case.set_time(Duration::from_secs_f64(result.seconds));
    case
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::sample;

    #[test]
    fn the_document_is_what_build_servers_read() {
        insta::assert_snapshot!(junit(&sample::report()).expect("a document"));
    }
}
