//! What can go wrong in the desktop, in words for people.

use axum::http::StatusCode;
use serde_json::Value;

/// Why something was not done.
#[derive(Debug)]
pub(crate) enum Failure {
    /// There is no session, or it has ended.
    SignedOut,
    /// A service refused it.
    Refused {
        /// Its status.
        status: StatusCode,
        /// The name of the error (`spec/graph.md`, section 3.2).
        error: String,
    },
    /// The desktop itself refuses it, with this status and sentence.
    Unacceptable(StatusCode, String),
    /// A fault of the cloud. What happened is in the log.
    Broken,
}

impl Failure {
    /// Logs a fault.
    pub(crate) fn broken(what: impl std::fmt::Display) -> Self {
        tracing::error!("desktop: {what}");
        Self::Broken
    }

    /// What a problem document says.
    pub(crate) fn refused(status: StatusCode, problem: &Value) -> Self {
        if status.is_server_error() && status != StatusCode::INSUFFICIENT_STORAGE {
            return Self::Broken;
        }
        let name = problem["type"].as_str().and_then(|name| name.rsplit(':').next());
        Self::Refused { status, error: name.unwrap_or_default().into() }
    }

    /// What a person asked for cannot be done.
    pub(crate) fn unacceptable(sentence: impl Into<String>) -> Self {
        Self::Unacceptable(StatusCode::UNPROCESSABLE_ENTITY, sentence.into())
    }

    /// The folder is encrypted: what is in it is for devices that have its key (`spec/graph.md`, section 4.16).
    pub(crate) fn locked() -> Self {
        let sentence =
            "This folder is encrypted: the devices of its members can read it, and nobody on the web.";
        Self::Unacceptable(StatusCode::FORBIDDEN, sentence.into())
    }

    /// There is no such page, or nothing that this person may see.
    pub(crate) fn nothing_here() -> Self {
        Self::Unacceptable(
            StatusCode::NOT_FOUND,
            "There is nothing here, or it is not shared with you.".into(),
        )
    }

    /// Whether the service refused it with this error.
    pub(crate) fn is(&self, name: &str) -> bool {
        matches!(self, Self::Refused { error, .. } if error == name)
    }

    pub(crate) fn status(&self) -> StatusCode {
        match self {
            Self::SignedOut => StatusCode::UNAUTHORIZED,
            Self::Refused { status, .. } | Self::Unacceptable(status, _) => *status,
            Self::Broken => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// A sentence for people.
    pub(crate) fn sentence(&self) -> String {
        let (status, error) = match self {
            Self::SignedOut => return "Your session has ended. Sign in again.".into(),
            Self::Unacceptable(_, sentence) => return sentence.clone(),
            Self::Broken => return "Something went wrong in the cloud. Try again in a moment.".into(),
            Self::Refused { status, error } => (status, error.as_str()),
        };
        match error {
            "sign-in-failed" => "Name or password is wrong.",
            "passkey-failed" => "This passkey does not sign in here, or it took too long. Try again.",
            "passkey-unacceptable" => "This passkey cannot be used here. Take another one.",
            "last-sign-in" => "This is the only way in which you can sign in. Add another one first.",
            "no-such-passkey" => "This passkey is not there any more.",
            "no-such-identity" => "This account is not linked any more.",
            "no-such-code" => "No program waits with this code. It may have waited too long: begin there again.",
            "federated-sign-in-failed" => "Signing in there did not work, or it took too long. Try again.",
            "name-taken" => "This name is taken. Choose another one.",
            "name-unacceptable" => {
                "A name has 2 to 63 characters: a to z, 0 to 9, dot, underscore, hyphen, with a letter or digit first."
            }
            "password-unacceptable" => "A password has at least 8 characters.",
            "path-unacceptable" => {
                "This name does not work on every device. Names have no \\ : * ? \" < > | and no dot or space at \
                 the end."
            }
            "not-authorised" => "You may not do this. The owner of the folder can give you the right to.",
            "etag-mismatch" | "if-match-required" => {
                "Somebody changed this at the same time. Look at it again, then repeat what you wanted."
            }
            "quota-exceeded" => "There is not enough room left in the cloud for this.",
            "folder-is-p2p" => "The bytes of this folder stay on its devices: the cloud takes none.",
            "no-such-media" => "The cloud does not hold the bytes of this file. A device that has it can send it.",
            "already-invited" => "This person is invited already.",
            "already-member" => "This person is a member already.",
            "creator-stays" => {
                "Who made a folder stays its owner, for it takes their space. They can delete the folder."
            },
            "too-many-entries" => "This folder has as many files as a folder may have.",
            "metadata-full" => "There is not enough room left in the cloud for the names of more files.",
            "too-many-writers" => {
                "More devices have written in this folder than may. Take a new folder, or a device that is in this one."
            }
            "too-many-folders" => "There are as many folders as one person may have.",
            "body-unacceptable" => "This cannot be accepted: names have 1 to 255 characters.",
            "no-such-node" | "entry-deleted" => "This is not there any more.",
            "device-pending" => "This device has not been added completely yet.",
            _ if *status == StatusCode::TOO_MANY_REQUESTS => "That was too often. Wait a little, then try again.",
            _ => return format!("The cloud refused this ({}).", error.replace('-', " ")),
        }
        .into()
    }
}
