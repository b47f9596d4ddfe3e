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
//! | [`run`] | runs checks |
//! | [`bench`] | how fast an implementation is, beside bare library functions |
//! | [`fuzz`] | sessions that keep the protocol but for one place |
//! | [`timing`] | whether the time of a decryption says what it found |
//! | [`report`] | what a run found: text, HTML, JSON, `JUnit` |
//!
//! The kit never depends on the reference implementation: what it knows, it knows from the specification.

pub mod bench;
pub mod catalog;
pub mod check;
pub mod checks;
pub mod double;
pub mod evidence;
pub mod expect;
pub mod fuzz;
pub mod oracle;
pub mod report;
pub mod run;
pub mod target;
pub mod timing;
pub mod vectors;
