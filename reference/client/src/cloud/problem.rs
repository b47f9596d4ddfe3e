//! Problem documents (RFC 9457) as errors that a person can act on.

use std::fmt;

use serde_json::Value;

use super::http::unexpected;
use crate::error::Error;

/// A refusal by the cloud.
#[derive(Clone, Debug)]
pub struct Problem {
    /// The status code.
    pub status: u16,
    /// The error's name in `spec/`, such as `name-taken`.
    pub error: String,
    /// The id of the sentence that the cloud enforced.
    pub requirement: String,
    /// What was tried.
    pub what: String,
}

impl Problem {
    /// The problem document of an answer.
    pub(super) fn read(what: String, status: u16, body: &Value) -> Error {
        let text = |name: &str| body[name].as_str().unwrap_or_default().to_owned();
        match text("type").strip_prefix("urn:meshproof:error:") {
            Some(error) => {
                Self { status, error: error.to_owned(), requirement: text("requirement"), what }.into()
            }
            None => unexpected(&what, &format!("status {status} without a problem document (GPH-008)")),
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} ({})", self.what, self.error, self.requirement)?;
        match advice(&self.error) {
            "" => Ok(()),
            advice => write!(f, "; {advice}"),
        }
    }
}

impl std::error::Error for Problem {}

/// What to do next.
fn advice(error: &str) -> &'static str {
    match error {
        "sign-in-failed" => "check name and password, or add --register to make a new user",
        "too-many-attempts" => "wait some minutes and try again",
        "federated-sign-in-failed" => "try again, or ask who runs the cloud",
        "no-such-provider" => "the cloud has no such way to sign in",
        "name-taken" => "choose another name, or leave out --register",
        "name-unacceptable" => "use 2 to 63 of a-z, 0-9, `.`, `_`, `-`, the first a letter or digit",
        "password-unacceptable" => "use 8 to 1024 bytes",
        "token-rejected" | "tickets-required" | "device-proof-failed" | "ticket-rejected" => {
            "sign in again with `mesh login`"
        }
        "ticket-expired" => "sign in again with `mesh login`, and check this device's clock",
        "not-authorised" => "you have no right to this, or it does not exist",
        "device-key-in-use" => "this device is claimed already: see `mesh device list`",
        "pair-refused" => "the two devices share no folder and no user",
        "already-invited" => "the invitation waits already; it ends after a week",
        "no-such-node" => "it does not exist, or not any more",
        "too-many-entries" => "the folder is full: put further files into another one",
        "metadata-full" => "delete a folder that is not needed",
        "too-many-writers" => {
            "as many devices as may have written in this folder: use one that is in it already, or a new folder"
        }
        "too-many-folders" | "too-many-devices" => "give one up that is not needed",
        "creator-stays" => "who made a folder stays its owner: delete the folder to be rid of it",
        _ => "",
    }
}
