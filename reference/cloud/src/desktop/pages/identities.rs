//! A person's identities of other providers, on the account page.

use axum::extract::Path;
use axum::http::Method;
use axum::response::Response;
use meshproof_proto::codec::Id;
use serde_json::Value;

use super::sign_in::Ways;
use super::{Refusal, go, moment};
use crate::desktop::failure::Failure;
use crate::desktop::graph::{Call, text};
use crate::desktop::session::{Sent, Session};

const IDENTITIES: &str = "/identity/federated/identities";

/// An identity, as it is listed.
pub(super) struct Row {
    pub(super) id: String,
    pub(super) provider: String,
    pub(super) issuer: String,
    pub(super) subject: String,
    pub(super) created: (String, String),
}

impl Row {
    fn of(item: &Value) -> Self {
        Self {
            id: text(item, "identity"),
            provider: text(item, "provider"),
            issuer: text(item, "issuer"),
            subject: text(item, "subject"),
            created: moment(item["created"].as_u64().unwrap_or_default()),
        }
    }
}

/// Those of the person; none where nobody signs in by other providers.
pub(super) async fn of(session: &Session, ways: &Ways) -> Result<Vec<Row>, Failure> {
    if !ways.are_elsewhere() {
        return Ok(Vec::new());
    }
    let listed = session.client.call_identity(Call::new(Method::GET, IDENTITIES)).await?;
    Ok(listed.body["items"].as_array().into_iter().flatten().map(Row::of).collect())
}

/// Removes one.
pub(crate) async fn remove(
    Path(identity): Path<String>,
    Sent(session, _): Sent,
) -> Result<Response, Refusal> {
    Id::parse(&identity).ok_or_else(Failure::nothing_here)?;
    session.client.call_identity(Call::new(Method::DELETE, &format!("{IDENTITIES}/{identity}"))).await?;
    Ok(go("/desktop/account?did=unlinked"))
}
