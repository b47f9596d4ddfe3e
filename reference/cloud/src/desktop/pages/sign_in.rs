//! Signing in and out, and making an account.

use askama::Template;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::http::header::SET_COOKIE;
use axum::response::{IntoResponse as _, Response};
use serde::Deserialize;

use super::{Refusal, Shell, escaped, go, html};
use crate::desktop::Desktop;
use crate::desktop::failure::Failure;
use crate::desktop::session::{self, AnyForm, Sent};

/// In the address: the page to show afterwards.
#[derive(Deserialize, Default)]
#[serde(default)]
pub(crate) struct Next {
    next: String,
}

#[derive(Template)]
#[template(path = "desktop/sign_in.html")]
struct SignIn {
    shell: Shell,
    is_new: bool,
    next: String,
    name: String,
    error: String,
}

impl SignIn {
    fn new(is_new: bool, next: String) -> Self {
        let shell = Shell::outside(if is_new { "Create an account" } else { "Sign in" });
        Self { shell, is_new, next, name: String::new(), error: String::new() }
    }
}

/// Sends a browser without a session to sign in, and then to `page`.
pub(crate) fn first(page: &str) -> Response {
    go(&format!("/desktop/sign-in?next={}", escaped(page)))
}

pub(crate) async fn get(Query(Next { next }): Query<Next>) -> Result<Response, Refusal> {
    html(&SignIn::new(false, next))
}

pub(crate) async fn get_register(Query(Next { next }): Query<Next>) -> Result<Response, Refusal> {
    html(&SignIn::new(true, next))
}

/// Begins a session.
pub(crate) async fn post(State(desktop): State<Desktop>, form: AnyForm) -> Result<Response, Refusal> {
    let name = form.0.text("name").to_owned();
    match begin(&desktop, &form, &name).await {
        Ok(response) => Ok(response),
        Err(failure) => again(false, &form, failure),
    }
}

/// Makes an account, and begins a session.
pub(crate) async fn post_register(
    State(desktop): State<Desktop>,
    form: AnyForm,
) -> Result<Response, Refusal> {
    let AnyForm(fields, visitor) = &form;
    let (name, password) = (fields.text("name").to_owned(), fields.raw("password"));
    if fields.raw("again") != password {
        return again(true, &form, Failure::unacceptable("The two passwords are not the same."));
    }
    let made = desktop.graph.register(&name, password, visitor).await;
    match made {
        Ok(()) => Ok(begin(&desktop, &form, &name).await?),
        Err(failure) => again(true, &form, failure),
    }
}

/// Ends the session.
pub(crate) async fn sign_out(Sent(session, _): Sent) -> Response {
    // A session that has ended already has ended; the browser is to forget it in any case.
    drop(session.client.sign_out().await);
    let mut response = go("/desktop/sign-in");
    response.headers_mut().insert(SET_COOKIE, session::END);
    response
}

async fn begin(desktop: &Desktop, form: &AnyForm, name: &str) -> Result<Response, Failure> {
    let AnyForm(fields, visitor) = form;
    let (token, seconds) = desktop.graph.sign_in(name, fields.raw("password"), visitor).await?;
    let mut response = go(own_page(fields.raw("next")));
    response.headers_mut().insert(SET_COOKIE, session::begin(&token, seconds)?);
    Ok(response)
}

/// The same page, with what was wrong.
fn again(is_new: bool, form: &AnyForm, failure: Failure) -> Result<Response, Refusal> {
    if matches!(failure, Failure::Broken) {
        return Err(failure.into());
    }
    let mut page = SignIn::new(is_new, form.0.raw("next").into());
    (page.name, page.error) = (form.0.text("name").into(), failure.sentence());
    // As a status of its own: 401 would make some browsers ask for a password themselves.
    let status = match failure.status() {
        StatusCode::UNAUTHORIZED => StatusCode::FORBIDDEN,
        status => status,
    };
    Ok((status, html(&page)?).into_response())
}

/// Only pages of the desktop: the address may come from anybody.
fn own_page(next: &str) -> &str {
    let is_own = next.starts_with("/desktop/") && next.bytes().all(|b| b.is_ascii_graphic() && b != b'\\');
    if is_own { next } else { "/desktop/" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_a_sign_in_leads() {
        assert_eq!(own_page("/desktop/folders/0a/?path=a"), "/desktop/folders/0a/?path=a");
        for other in
            ["", "https://b.example/", "//b.example/", "/desktop", "/desktop/\\b", "/desktop/\r\nx", "/mesh"]
        {
            assert_eq!(own_page(other), "/desktop/", "{other}");
        }
    }
}
