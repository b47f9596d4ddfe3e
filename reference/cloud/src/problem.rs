//! Problem documents (RFC 9457), the body of every refusal (GPH-008), and the one table of status codes.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use meshproof_proto::error::Error as RuleError;
use meshproof_proto::requirement::{self as req, Requirement, deviates};
use serde_json::json;

use crate::observe::Refusal;
use crate::store::StoreError;

/// Why a request was refused, or that the service failed.
#[derive(Debug)]
pub(crate) enum Problem {
    /// A rule of the spec.
    Refused(Requirement),
    /// A rule of the spec, which will not refuse the same after so many seconds.
    Later(Requirement, u64),
    /// Too much to do now. Nothing was done, and a second later it may go.
    Busy,
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
            Self::Refused(requirement) | Self::Later(requirement, _) => requirement.error,
            Self::Busy => "busy",
            Self::Internal => "internal",
        }
    }

    fn status(&self) -> StatusCode {
        match self {
            Self::Refused(requirement) => status_of(*requirement),
            Self::Later(..) => StatusCode::TOO_MANY_REQUESTS,
            Self::Busy => StatusCode::SERVICE_UNAVAILABLE,
            Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }
}

/// The status code with which the spec wants each requirement enforced.
fn status_of(requirement: Requirement) -> StatusCode {
    match requirement.id {
        id if id.starts_with("IDN-") => status_of_identity(id),
        "GPH-001" | "GPH-033" | "GPH-150" => StatusCode::UNAUTHORIZED,
        // A set is refused as a whole (TKT-031); that a set denies an action (TKT-030) is a matter of rights.
        "TKT-030" | "TKT-035" => StatusCode::FORBIDDEN,
        id if id.starts_with("TKT-") => StatusCode::UNAUTHORIZED,
        "GPH-004" | "GPH-089" | "GPH-090" | "GPH-092" | "STO-005" | "STO-024" => StatusCode::NOT_FOUND,
        "GPH-005" => StatusCode::METHOD_NOT_ALLOWED,
        "GPH-023" | "GPH-031" | "GPH-032" | "GPH-076" | "GPH-088" | "GPH-091" | "GPH-093" | "GPH-130"
        | "GPH-131" | "GPH-132" | "GPH-134" | "GPH-137" | "GPH-183" | "GPH-202" | "GPH-203" | "GPH-208"
        | "GPH-210" | "GPH-211" | "STO-003" | "STO-015" | "STO-022" | "STO-028" | "STO-038" => {
            StatusCode::CONFLICT
        }
        "GPH-051" | "GPH-061" | "GPH-071" => StatusCode::GONE,
        "GPH-013" => StatusCode::PRECONDITION_FAILED,
        "GPH-007" | "GPH-097" | "GPH-098" => StatusCode::PAYLOAD_TOO_LARGE,
        "GPH-006" | "GPH-030" | "GPH-050" | "GPH-066" | "GPH-070" | "GPH-099" | "GPH-125" | "GPH-201"
        | "STO-001" | "STO-017" | "STO-018" | "STO-080" => StatusCode::UNPROCESSABLE_ENTITY,
        "GPH-012" => StatusCode::PRECONDITION_REQUIRED,
        "GPH-101" => StatusCode::FAILED_DEPENDENCY,
        "GPH-133" | "STO-002" | "STO-020" | "STO-021" => StatusCode::INSUFFICIENT_STORAGE,
        "STO-009" => StatusCode::RANGE_NOT_SATISFIABLE,
        "STO-027" => StatusCode::REQUEST_TIMEOUT,
        _ => StatusCode::FORBIDDEN,
    }
}

fn status_of_identity(id: &str) -> StatusCode {
    match id {
        "IDN-005" | "IDN-045" | "IDN-058" => StatusCode::CONFLICT,
        "IDN-033" | "IDN-036" | "IDN-059" | "IDN-073" | "IDN-076" => StatusCode::NOT_FOUND,
        "IDN-003" | "IDN-004" | "IDN-034" | "IDN-046" | "IDN-056" => StatusCode::UNPROCESSABLE_ENTITY,
        _ => StatusCode::UNAUTHORIZED,
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
            error if error.is_busy() => Self::Busy,
            error => Self::internal(error),
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let (status, error) = (self.status(), self.error());
        // GPH-008: a fault of the service breaks no sentence but this one, which wants some id to be named.
        let (requirement, wait) = match &self {
            Self::Refused(requirement) => (requirement.id, None),
            Self::Later(requirement, seconds) => (requirement.id, Some(*seconds)),
            Self::Busy => ("GPH-008", Some(1)),
            Self::Internal => ("GPH-008", None),
        };
        let requirement = if deviates(req::GPH_008) { "" } else { requirement };
        let body = json!({
            "type": format!("urn:meshproof:error:{error}"),
            "title": error.replace('-', " "),
            "status": status.as_u16(),
            "requirement": requirement,
        });
        let kind = [(header::CONTENT_TYPE, "application/problem+json")];
        let mut response = (status, kind, body.to_string()).into_response();
        if !matches!(self, Self::Internal | Self::Busy) {
            response.extensions_mut().insert(Refusal(requirement)); // for the log and the metrics
        }
        let challenge = match requirement {
            "GPH-001" => Some("MeshTicket"), // GPH-001
            id if id.starts_with("TKT-") && status == StatusCode::UNAUTHORIZED => Some("MeshTicket"), // TKT-031
            "IDN-007" | "IDN-032" | "IDN-064" => Some("Bearer"),
            _ => None,
        };
        if let Some(challenge) = challenge {
            response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
        }
        if let Some(seconds) = wait.filter(|_| !deviates(req::IDN_019)) {
            response.headers_mut().insert(header::RETRY_AFTER, seconds.into()); // IDN-019
        }
        response
    }
}
