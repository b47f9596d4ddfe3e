//! One check a test vector, through a shim.

use std::sync::{Arc, PoisonError};

use crate::catalog::Part;
use crate::check::{Check, Context, Role, Stop, Verdict};
use crate::vectors::{self, VectorTest, Verdict as Judged};

/// A check for every committed vector, in the order of the files.
pub fn checks() -> Vec<Check> {
    vectors::all().iter().map(check).collect()
}

fn check(test: &'static VectorTest) -> Check {
    let reqs: Vec<&str> = test.reqs.iter().map(String::as_str).collect();
    let part = test.id.split('.').next().and_then(Part::from_name);
    // A vector of no part is a fault of the kit, which a test of this module finds.
    let part = part.unwrap_or(Part::Ticket);
    let id = format!("vector.{}", test.id);
    let check = Check::new(Role::Vectors, part, &id, &reqs, &test.comment, move |context| run(context, test));
    match &test.twin {
        Some(twin) => check.twin(&format!("vector.{twin}")),
        None => check,
    }
}

async fn run(context: Context, test: &'static VectorTest) -> Verdict {
    let Some(shim) = context.targets().shim.clone() else {
        return Err(Stop::NotApplicable("no shim was given".to_owned()));
    };
    let request = vectors::request(test);
    context.note("request", serde_json::to_string_pretty(&request)?);
    let asked = Arc::clone(&shim);
    // A shim is a process that is waited for; a thread of its own keeps the other checks going meanwhile.
    let answer = tokio::task::spawn_blocking(move || {
        asked.lock().unwrap_or_else(PoisonError::into_inner).call(&request)
    })
    .await
    .map_err(|error| Stop::KitError(format!("calling the shim panicked: {error}")))??;
    context.note("answer", serde_json::to_string_pretty(&answer)?);
    match vectors::judge(test, &answer) {
        Judged::Pass => Ok(()),
        Judged::Fail(text) => Err(Stop::Fail(text)),
        Judged::Unsupported => Err(Stop::NotApplicable(format!("the shim does not do {}", test.kind))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_vector_belongs_to_a_part_and_names_a_twin_that_exists() {
        let checks = checks();
        for test in vectors::all() {
            assert!(test.id.split('.').next().and_then(Part::from_name).is_some(), "{}", test.id);
            if let Some(twin) = &test.twin {
                assert!(
                    vectors::all().iter().any(|other| other.id == *twin && other.expected.valid),
                    "{}",
                    test.id
                );
            }
        }
        assert_eq!(checks.len(), vectors::all().len());
    }
}
