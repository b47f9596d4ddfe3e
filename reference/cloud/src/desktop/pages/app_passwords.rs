//! A person's passwords for programs that use the network drive.

use axum::extract::Path;
use axum::http::Method;
use axum::response::Response;
use meshproof_proto::codec::Id;
use serde_json::{Value, json};

use super::{Done, Refusal, account, go, moment};
use crate::desktop::failure::Failure;
use crate::desktop::graph::{Call, text};
use crate::desktop::session::{Sent, Session};

const APP_PASSWORDS: &str = "/identity/app-passwords";

/// A person's app passwords.
pub(super) struct AppPasswords {
    pub(super) rows: Vec<Row>,
    /// The password that was just made. It is shown once.
    pub(super) made: String,
}

/// An app password, as it is listed.
pub(super) struct Row {
    pub(super) id: String,
    pub(super) label: String,
    pub(super) created: (String, String),
    pub(super) used: Option<(String, String)>,
}

impl AppPasswords {
    /// `None` where there is no network drive.
    pub(super) async fn of(session: &Session, made: String) -> Result<Option<Self>, Failure> {
        if !cfg!(feature = "webdav") {
            return Ok(None);
        }
        let listed = session.client.call_identity(Call::new(Method::GET, APP_PASSWORDS)).await?;
        let items = listed.body["items"].as_array().into_iter().flatten();
        Ok(Some(Self { rows: items.map(Row::of).collect(), made }))
    }
}

impl Row {
    fn of(item: &Value) -> Self {
        Self {
            id: text(item, "app_password"),
            label: text(item, "label"),
            created: moment(item["created"].as_u64().unwrap_or_default()),
            used: item["used"].as_u64().map(moment),
        }
    }
}

/// Makes one, and shows the page with it: in no address, and not a second time.
pub(crate) async fn add(Sent(session, fields): Sent) -> Result<Response, Refusal> {
    let call = Call::new(Method::POST, APP_PASSWORDS).json(json!({ "label": fields.text("label") }));
    let made = session.client.call_identity(call).await?.text("password");
    account::page(&session, &Done::default(), made).await
}

/// Removes one.
pub(crate) async fn remove(
    Path(app_password): Path<String>,
    Sent(session, _): Sent,
) -> Result<Response, Refusal> {
    Id::parse(&app_password).ok_or_else(Failure::nothing_here)?;
    session
        .client
        .call_identity(Call::new(Method::DELETE, &format!("{APP_PASSWORDS}/{app_password}")))
        .await?;
    Ok(go("/desktop/account?did=app-password-removed"))
}
