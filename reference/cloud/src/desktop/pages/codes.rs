//! Signing in a program that has no browser and shows a code (`spec/identity.md`, section 4.11).

use askama::Template;
use axum::extract::Query;
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse as _, Response};
use serde::Deserialize;
use serde_json::json;

use super::{Refusal, Shell, escaped, go, html, moment};
use crate::desktop::failure::Failure;
use crate::desktop::files::Person;
use crate::desktop::graph::{Answer, Call};
use crate::desktop::session::{Sent, Session};

/// In the address: the code, where the program gave a link with it.
#[derive(Deserialize, Default)]
#[serde(default)]
pub(crate) struct Shown {
    code: String,
}

#[derive(Template)]
#[template(path = "desktop/codes.html")]
struct Codes {
    shell: Shell,
    code: String,
    /// The program that shows the code.
    program: Option<Program>,
    error: String,
}

struct Program {
    agent: String,
    source: String,
    begun: (String, String),
}

impl Program {
    fn of(waiting: &Answer) -> Self {
        Self {
            agent: waiting.text("agent"),
            source: waiting.text("source"),
            begun: moment(waiting.body["begun"].as_u64().unwrap_or_default()),
        }
    }
}

/// Asks for a code, or whether the program that shows it is to be signed in. Nothing is decided by looking.
pub(crate) async fn get(session: Session, Query(shown): Query<Shown>) -> Result<Response, Refusal> {
    let person = Person::of(&session.client).await?;
    let shell = Shell::of("Sign in a program", &session, &person);
    let mut page = Codes { shell, code: shown.code, program: None, error: String::new() };
    if page.code.is_empty() {
        return html(&page);
    }
    match session.client.call_identity(Call::new(Method::GET, &path(&page.code))).await {
        Ok(waiting) => {
            page.code = waiting.text("user_code");
            page.program = Some(Program::of(&waiting));
            html(&page)
        }
        Err(failure) if failure.is("no-such-code") => {
            page.error = failure.sentence();
            Ok((StatusCode::NOT_FOUND, html(&page)?).into_response())
        }
        Err(failure) => Err(failure.into()),
    }
}

/// Decides.
pub(crate) async fn post(Sent(session, fields): Sent) -> Result<Response, Refusal> {
    let allow = match fields.text("answer") {
        "allow" => true,
        "deny" => false,
        _ => return Err(Failure::unacceptable("Say whether the program is to be signed in.").into()),
    };
    let call = Call::new(Method::POST, &path(fields.text("code"))).json(json!({ "allow": allow }));
    session.client.call_identity(call).await?;
    Ok(go(if allow { "/desktop/account?did=allowed" } else { "/desktop/account?did=denied" }))
}

fn path(code: &str) -> String {
    format!("/identity/codes/{}", escaped(&code.replace('/', " ")))
}
