//! Passkeys: signing in with one, and a person's own. `assets/passkeys.js` asks the browser for them and fills in the
//! forms that come here.

use axum::extract::{Path, State};
use axum::http::Method;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse as _, Response};
use meshproof_proto::codec::Id;
use serde_json::{Map, Value, json};

use super::sign_in::{Ways, again, signed_in};
use super::{Refusal, go, moment};
use crate::desktop::Desktop;
use crate::desktop::failure::Failure;
use crate::desktop::graph::{Call, text};
use crate::desktop::session::{AnyForm, Fields, Sent, Session};

const PASSKEYS: &str = "/identity/passkeys";

/// A person's passkeys.
pub(super) struct Passkeys {
    /// Where browsers can use them.
    pub(super) origin: String,
    pub(super) rows: Vec<Row>,
}

/// A passkey, as it is listed.
pub(super) struct Row {
    pub(super) id: String,
    pub(super) label: String,
    pub(super) created: (String, String),
    pub(super) used: Option<(String, String)>,
}

impl Passkeys {
    /// `None` where people do not sign in with passkeys.
    pub(super) async fn of(session: &Session, ways: &Ways) -> Result<Option<Self>, Failure> {
        let Some(origin) = ways.passkeys.clone() else { return Ok(None) };
        let listed = session.client.call_identity(Call::new(Method::GET, PASSKEYS)).await?;
        let items = listed.body["items"].as_array().into_iter().flatten();
        Ok(Some(Self { origin, rows: items.map(Row::of).collect() }))
    }
}

impl Row {
    fn of(item: &Value) -> Self {
        Self {
            id: text(item, "passkey"),
            label: text(item, "label"),
            created: moment(item["created"].as_u64().unwrap_or_default()),
            used: item["used"].as_u64().map(moment),
        }
    }
}

/// What a script asks the browser with, to sign in.
pub(crate) async fn sign_in_options(
    State(desktop): State<Desktop>,
    AnyForm(_, visitor): AnyForm,
) -> Result<Response, Refusal> {
    let call = Call::new(Method::POST, &format!("{PASSKEYS}/challenge"));
    Ok(json_of(&desktop.graph.ask(call, &visitor).await?.body))
}

/// Begins a session.
pub(crate) async fn sign_in(State(desktop): State<Desktop>, form: AnyForm) -> Result<Response, Refusal> {
    let AnyForm(fields, visitor) = &form;
    let names = ["credential", "client_data", "authenticator_data", "signature", "user_handle"];
    let call = Call::new(Method::POST, &format!("{PASSKEYS}/token")).json(members(fields, &names));
    match desktop.graph.begin(call, visitor).await {
        Ok(begun) => Ok(signed_in(&begun, fields.raw("next"))?),
        Err(failure) => again(&desktop, false, &form, failure).await,
    }
}

/// What a script asks the browser with, to add one.
pub(crate) async fn options(Sent(session, _): Sent) -> Result<Response, Refusal> {
    let call = Call::new(Method::POST, &format!("{PASSKEYS}/registration"));
    Ok(json_of(&session.client.call_identity(call).await?.body))
}

/// Adds one.
pub(crate) async fn add(Sent(session, fields): Sent) -> Result<Response, Refusal> {
    let mut body = members(&fields, &["client_data", "attestation"]);
    body["label"] = fields.text("label").into();
    session.client.call_identity(Call::new(Method::POST, PASSKEYS).json(body)).await?;
    Ok(go("/desktop/account?did=passkey"))
}

/// Removes one.
pub(crate) async fn remove(Path(passkey): Path<String>, Sent(session, _): Sent) -> Result<Response, Refusal> {
    Id::parse(&passkey).ok_or_else(Failure::nothing_here)?;
    session.client.call_identity(Call::new(Method::DELETE, &format!("{PASSKEYS}/{passkey}"))).await?;
    Ok(go("/desktop/account?did=passkey-removed"))
}

fn members(fields: &Fields, names: &[&str]) -> Value {
    names.iter().map(|name| ((*name).to_owned(), json!(fields.text(name)))).collect::<Map<_, _>>().into()
}

fn json_of(body: &Value) -> Response {
    ([(CONTENT_TYPE, "application/json")], body.to_string()).into_response()
}
