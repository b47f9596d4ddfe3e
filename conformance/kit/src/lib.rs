//! Meshproof's conformance kit: everything it takes to check an implementation of the specification in `spec/`.
//!
//! | module | what it holds |
//! |---|---|
//! | [`catalog`] | the requirements, read from the specification itself |
//! | [`oracle`] | the kit's own reading of the specification: builds and reads every message |
//! | [`vectors`] | the test vectors, and how an answer to one is judged |
//! | [`target`] | implementations under test, and how to talk to them |
//! | [`check`] | what a check is and what it may find |
//! | [`checks`] | all checks, one file a section of the specification |
//! | [`double`] | all that a client talks to, played by the kit |
//! | [`evidence`] | what a check saw |
//! | [`edit`] | a conversation with less in it |
//! | [`run`] | runs checks |
//! | [`bench`](mod@bench) | how fast an implementation is, beside bare library functions |
//! | [`fuzz`] | sessions that keep the protocol but for one place |
//! | [`timing`] | whether the time of a decryption says what it found |
//! | [`wycheproof`] | the public Wycheproof files, for the primitives |
//! | [`text`] | what a target says, as a person may see it |
//! | [`report`] | what a run found: text, HTML, JSON, `JUnit` |
//!
//! The kit never depends on the reference implementation: what it knows, it knows from the specification.
//!
//! ```
//! use meshproof_kit::catalog::Catalog;
//! use meshproof_kit::target::shim::Answer;
//! use meshproof_kit::vectors::{self, Verdict};
//!
//! let catalog = Catalog::embedded();
//! let rule = catalog.get("TKT-014").expect("a requirement of the specification");
//! assert_eq!(rule.error.as_deref(), Some("ticket-expired"));
//!
//! // Every vector that tests it; an implementation that accepts all tickets fails on the expired ones.
//! let tests = vectors::all().iter().filter(|test| test.reqs.contains(&rule.id) && !test.expected.valid);
//! let yes: Answer = serde_json::from_str(r#"{"outcome": "accept"}"#)?;
//! assert!(tests.clone().count() > 10);
//! assert!(tests.into_iter().all(|test| matches!(vectors::judge(test, &yes), Verdict::Fail(_))));
//! # Ok::<(), serde_json::Error>(())
//! ```

pub mod bench;
pub mod catalog;
pub mod check;
pub mod checks;
pub mod double;
pub mod edit;
pub mod evidence;
pub mod expect;
pub mod fuzz;
pub mod oracle;
pub mod report;
pub mod run;
pub mod target;
pub mod text;
pub mod timing;
pub mod vectors;
pub mod wycheproof;
