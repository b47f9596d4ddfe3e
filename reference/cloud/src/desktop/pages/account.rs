//! A person's own sessions, passkeys and passwords.

use askama::Template;
use axum::extract::{Path, Query};
use axum::http::Method;
use axum::response::Response;
use meshproof_proto::codec::Id;
use serde_json::{Value, json};

use super::app_passwords::AppPasswords;
use super::passkeys::Passkeys;
use super::sign_in::Ways;
use super::{Done, Refusal, Shell, go, html, identities, moment};
use crate::desktop::failure::Failure;
use crate::desktop::files::Person;
use crate::desktop::graph::{Call, text};
use crate::desktop::session::{Sent, Session};

#[derive(Template)]
#[template(path = "desktop/account.html")]
struct Account {
    shell: Shell,
    name: String,
    sessions: Vec<Row>,
    passkeys: Option<Passkeys>,
    identities: Vec<identities::Row>,
    app_passwords: Option<AppPasswords>,
}

/// A session, as it is listed.
struct Row {
    id: String,
    agent: String,
    source: String,
    used: (String, String),
    is_current: bool,
}

impl Row {
    fn of(item: &Value) -> Self {
        let agent = text(item, "agent");
        Self {
            id: text(item, "session"),
            agent: if agent.is_empty() { "A program without a name".into() } else { agent },
            source: text(item, "source"),
            used: moment(item["used"].as_u64().unwrap_or_default()),
            is_current: item["current"] == true,
        }
    }
}

pub(crate) async fn get(session: Session, Query(done): Query<Done>) -> Result<Response, Refusal> {
    page(&session, &done, String::new()).await
}

/// The page. `made` is an app password that is to be shown.
pub(super) async fn page(session: &Session, done: &Done, made: String) -> Result<Response, Refusal> {
    let person = Person::of(&session.client).await?;
    let listed = session.client.call_identity(Call::new(Method::GET, "/identity/sessions")).await?;
    let items = listed.body["items"].as_array().into_iter().flatten();
    let mut sessions: Vec<Row> = items.map(Row::of).collect();
    sessions.sort_by_key(|row| !row.is_current);
    let providers = session.client.call_identity(Call::new(Method::GET, "/identity/providers")).await?;
    let ways = Ways::of(&providers.body, "");
    let passkeys = Passkeys::of(session, &ways).await?;
    let identities = identities::of(session, &ways).await?;
    let app_passwords = AppPasswords::of(session, made).await?;
    let shell = Shell::of("Your account", session, &person).after(done);
    html(&Account { shell, name: person.name, sessions, passkeys, identities, app_passwords })
}

/// Ends a session: this one or another.
pub(crate) async fn end(Path(ended): Path<String>, Sent(session, _): Sent) -> Result<Response, Refusal> {
    Id::parse(&ended).ok_or_else(Failure::nothing_here)?;
    let call = Call::new(Method::DELETE, &format!("/identity/sessions/{ended}"));
    session.client.call_identity(call).await?;
    Ok(go("/desktop/account?did=ended"))
}

/// Changes the password, which ends all other sessions.
pub(crate) async fn change_password(Sent(session, fields): Sent) -> Result<Response, Refusal> {
    if fields.raw("new") != fields.raw("again") {
        return Err(Failure::unacceptable("The two new passwords are not the same.").into());
    }
    let body = json!({ "password": fields.raw("password"), "new_password": fields.raw("new") });
    session.client.call_identity(Call::new(Method::PUT, "/identity/password").json(body)).await?;
    Ok(go("/desktop/account?did=password"))
}
