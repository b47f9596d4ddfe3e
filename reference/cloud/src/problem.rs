//! Problem documents (RFC 9457), the body of every refusal (GPH-008), and the one table of status codes.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use meshproof_proto::error::Error as RuleError;
use meshproof_proto::requirement::Requirement;
use serde_json::json;

use crate::store::StoreError;

/// Why a request was refused, or that the service failed.
#[derive(Debug)]
pub(crate) enum Problem {
    /// A rule of the spec.
    Refused(Requirement),
    /// A fault of the service. What happened is in the log.
    Internal,
}

impl Problem {
    /// Logs a fault of the service.
    pub(crate) fn internal(what: impl std::fmt::Display) -> Self {
        tracing::error!("{what}");
        Self::Internal
    }

    /// The error's name.
    pub(crate) fn error(&self) -> &'static str {
        match self {
            Self::Refused(requirement) => requirement.error,
            Self::Internal => "internal",
        }
    }

    fn status(&self) -> StatusCode {
        match self {
            Self::Refused(requirement) => status_of(*requirement),
            Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }
}

/// The status code with which the spec wants each requirement enforced.
fn status_of(requirement: Requirement) -> StatusCode {
    match requirement.id {
        "IDN-002" | "IDN-007" | "IDN-010" | "IDN-011" | "IDN-012" | "IDN-013" | "GPH-001" | "GPH-033" => {
            StatusCode::UNAUTHORIZED
        }
        // A set is refused as a whole (TKT-031); that a set denies an action (TKT-030) is a matter of rights.
        "TKT-030" | "TKT-035" => StatusCode::FORBIDDEN,
        id if id.starts_with("TKT-") => StatusCode::UNAUTHORIZED,
        "GPH-004" | "GPH-089" | "GPH-090" | "GPH-092" | "STO-005" => StatusCode::NOT_FOUND,
        "GPH-005" => StatusCode::METHOD_NOT_ALLOWED,
        "IDN-005" | "GPH-018" | "GPH-023" | "GPH-088" | "GPH-091" | "GPH-093" | "GPH-031" | "GPH-032"
        | "STO-003" => StatusCode::CONFLICT,
        "GPH-051" => StatusCode::GONE,
        "GPH-013" => StatusCode::PRECONDITION_FAILED,
        "GPH-007" => StatusCode::PAYLOAD_TOO_LARGE,
        "IDN-003" | "IDN-004" | "GPH-006" | "GPH-030" | "GPH-050" | "STO-001" => {
            StatusCode::UNPROCESSABLE_ENTITY
        }
        "GPH-012" => StatusCode::PRECONDITION_REQUIRED,
        "STO-002" => StatusCode::INSUFFICIENT_STORAGE,
        _ => StatusCode::FORBIDDEN,
    }
}

impl From<Requirement> for Problem {
    fn from(requirement: Requirement) -> Self {
        Self::Refused(requirement)
    }
}

impl From<RuleError> for Problem {
    fn from(error: RuleError) -> Self {
        match error.requirement() {
            Some(requirement) => Self::Refused(requirement),
            None => Self::internal(error),
        }
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Rule(rule) => rule.into(),
            error => Self::internal(error),
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let (status, error) = (self.status(), self.error());
        // GPH-008: a fault of the service breaks no sentence but this one, which wants some id to be named.
        let requirement = if let Self::Refused(requirement) = &self { requirement.id } else { "GPH-008" };
        tracing::debug!(requirement, error, status = status.as_u16(), "refused");
        let body = json!({
            "type": format!("urn:meshproof:error:{error}"),
            "title": error.replace('-', " "),
            "status": status.as_u16(),
            "requirement": requirement,
        });
        let kind = [(header::CONTENT_TYPE, "application/problem+json")];
        let mut response = (status, kind, body.to_string()).into_response();
        let challenge = match requirement {
            "GPH-001" => Some("MeshTicket"), // GPH-001
            id if id.starts_with("TKT-") && status == StatusCode::UNAUTHORIZED => Some("MeshTicket"), // TKT-031
            "IDN-007" => Some("Bearer"),
            _ => None,
        };
        if let Some(challenge) = challenge {
            response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
        }
        response
    }
}
