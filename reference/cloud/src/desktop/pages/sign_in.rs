//! Signing in and out, and making an account.

use std::convert::Infallible;

use askama::Template;
use axum::extract::{FromRequestParts, Query, State};
use axum::http::header::{COOKIE, SET_COOKIE};
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method, StatusCode};
use axum::response::{IntoResponse as _, Response};
use serde::Deserialize;
use serde_json::Value;

use super::{Refusal, Shell, escaped, go, html};
use crate::desktop::Desktop;
use crate::desktop::failure::Failure;
use crate::desktop::graph::{Call, Visitor, text};
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
    ways: Ways,
    name: String,
    error: String,
}

impl SignIn {
    async fn new(desktop: &Desktop, visitor: &Visitor, is_new: bool, next: String) -> Result<Self, Failure> {
        let shell = Shell::outside(if is_new { "Create an account" } else { "Sign in" });
        let call = Call::new(Method::GET, "/identity/providers");
        let ways = Ways::of(&desktop.graph.ask(call, visitor).await?.body, &next);
        Ok(Self { shell, is_new, next, ways, name: String::new(), error: String::new() })
    }
}

/// How people sign in here.
#[derive(Default)]
pub(super) struct Ways {
    password: bool,
    /// The origin at which browsers can use them.
    pub(super) passkeys: Option<String>,
    providers: Vec<Provider>,
}

/// A provider elsewhere.
struct Provider {
    name: String,
    /// Where a sign-in begins.
    start: String,
}

impl Ways {
    /// Reads the list of providers. `next` is the page to show afterwards.
    pub(super) fn of(listed: &Value, next: &str) -> Self {
        let back = escaped(&format!("/desktop/sign-in/provider?next={}", escaped(next)));
        let mut ways = Self::default();
        for item in listed["items"].as_array().into_iter().flatten() {
            match item["kind"].as_str() {
                Some("password") => ways.password = true,
                Some("passkey") => ways.passkeys = Some(text(item, "origin")),
                Some("oidc") => ways.providers.push(Provider {
                    name: text(item, "name"),
                    start: format!("{}?return={back}", text(&item["links"], "start")),
                }),
                _ => {}
            }
        }
        ways
    }

    /// Whether people sign in by providers elsewhere.
    pub(super) fn are_elsewhere(&self) -> bool {
        !self.providers.is_empty()
    }
}

/// Who asks for a page, before there is a session.
pub(crate) struct Guest(Visitor);

impl<S: Sync> FromRequestParts<S> for Guest {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(Self(Visitor::of(&parts.headers, &parts.extensions)))
    }
}

/// Sends a browser without a session to sign in, and then to `page`.
pub(crate) fn first(page: &str) -> Response {
    go(&format!("/desktop/sign-in?next={}", escaped(page)))
}

pub(crate) async fn get(
    State(desktop): State<Desktop>,
    Query(Next { next }): Query<Next>,
    Guest(visitor): Guest,
) -> Result<Response, Refusal> {
    html(&SignIn::new(&desktop, &visitor, false, next).await?)
}

pub(crate) async fn get_register(
    State(desktop): State<Desktop>,
    Query(Next { next }): Query<Next>,
    Guest(visitor): Guest,
) -> Result<Response, Refusal> {
    html(&SignIn::new(&desktop, &visitor, true, next).await?)
}

/// Begins the session of a browser that comes back from a provider: it has a cookie by which the identity service
/// knows what came of it.
pub(crate) async fn get_provider(
    State(desktop): State<Desktop>,
    Query(Next { next }): Query<Next>,
    Guest(visitor): Guest,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let mut call = Call::new(Method::POST, "/identity/federated/token");
    for cookies in headers.get_all(COOKIE).iter().filter_map(|cookies| cookies.to_str().ok()) {
        call = call.header(COOKIE, cookies);
    }
    match desktop.graph.begin(call, &visitor).await {
        Ok(begun) => Ok(signed_in(&begun, &next)?),
        Err(failure) => refused(SignIn::new(&desktop, &visitor, false, next).await?, &failure),
    }
}

/// Begins a session.
pub(crate) async fn post(State(desktop): State<Desktop>, form: AnyForm) -> Result<Response, Refusal> {
    let name = form.0.text("name").to_owned();
    match begin(&desktop, &form, &name).await {
        Ok(response) => Ok(response),
        Err(failure) => again(&desktop, false, &form, failure).await,
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
        let failure = Failure::unacceptable("The two passwords are not the same.");
        return again(&desktop, true, &form, failure).await;
    }
    let made = desktop.graph.register(&name, password, visitor).await;
    match made {
        Ok(()) => Ok(begin(&desktop, &form, &name).await?),
        Err(failure) => again(&desktop, true, &form, failure).await,
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
    let begun = desktop.graph.sign_in(name, fields.raw("password"), visitor).await?;
    signed_in(&begun, fields.raw("next"))
}

/// Goes on with a token and the seconds that it lives.
pub(super) fn signed_in(begun: &(String, u64), next: &str) -> Result<Response, Failure> {
    let mut response = go(own_page(next));
    response.headers_mut().insert(SET_COOKIE, session::begin(&begun.0, begun.1)?);
    Ok(response)
}

/// The same page, with what was wrong.
pub(super) async fn again(
    desktop: &Desktop,
    is_new: bool,
    form: &AnyForm,
    failure: Failure,
) -> Result<Response, Refusal> {
    let AnyForm(fields, visitor) = form;
    let mut page = SignIn::new(desktop, visitor, is_new, fields.raw("next").into()).await?;
    page.name = fields.text("name").into();
    refused(page, &failure)
}

fn refused(mut page: SignIn, failure: &Failure) -> Result<Response, Refusal> {
    page.error = failure.sentence();
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
    use serde_json::json;

    use super::*;

    #[test]
    fn ways_to_sign_in() {
        let links = json!({ "start": "/identity/federated/example/start" });
        let listed = json!({ "items": [
            { "name": "password", "kind": "password" },
            { "name": "example", "kind": "oidc", "links": links },
            { "name": "passkey", "kind": "passkey", "origin": "https://mesh.example" },
            { "name": "new", "kind": "of which nobody knows yet" },
        ]});
        let ways = Ways::of(&listed, "/desktop/news?a=b");
        assert!(ways.password && ways.passkeys.as_deref() == Some("https://mesh.example"));
        let [provider] = &ways.providers[..] else { panic!("{} providers", ways.providers.len()) };
        assert_eq!(provider.name, "example");
        let back = "/desktop/sign-in/provider%3Fnext%3D/desktop/news%253Fa%253Db";
        assert_eq!(provider.start, format!("/identity/federated/example/start?return={back}"));
    }

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
