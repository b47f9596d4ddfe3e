//! Who is at the browser. The cookie is the token of the identity service: no page and no script can read it, it goes to
//! this host alone, and it is worth nothing once the token has ended. Every sign-in makes a new one, so nobody can be
//! given a session in advance.

use std::collections::HashMap;

use axum::extract::{Form, FromRequest, FromRequestParts, Request};
use axum::http::header::{ACCEPT, COOKIE};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use meshproof_proto::codec::hex;

use super::Desktop;
use super::failure::Failure;
use super::graph::{Client, Visitor};
use super::pages::Refusal;

/// `__Host-`: a browser takes it from this host only, over TLS only, for all paths.
const NAME: &str = "__Host-mesh";
/// In forms: what only pages of this session know.
pub(crate) const FORM_TOKEN: &str = "token";

/// A browser with a session.
pub(crate) struct Session {
    pub(crate) client: Client,
    /// Has to come back with every form.
    pub(crate) form_token: String,
    /// Whether the answer is for a script, which wants a status and not a page.
    pub(crate) is_script: bool,
}

impl Session {
    fn of(parts: &Parts, desktop: &Desktop) -> Result<Self, Failure> {
        let token = cookie(&parts.headers).ok_or(Failure::SignedOut)?;
        let accept = parts.headers.get(ACCEPT).map(HeaderValue::as_bytes).unwrap_or_default();
        Ok(Self {
            client: desktop.graph.client(token, Visitor::of(&parts.headers, &parts.extensions)),
            form_token: form_token(token),
            is_script: accept == b"text/plain",
        })
    }

    /// Whether a form came from a page of this session.
    pub(crate) fn demand_token(&self, found: Option<&str>) -> Result<(), Failure> {
        // Comparing hashes takes as long for every guess.
        let same = found
            .is_some_and(|found| blake3::hash(found.as_bytes()) == blake3::hash(self.form_token.as_bytes()));
        let sentence = "This form belongs to another session. Go back, load the page again, and repeat it.";
        if same { Ok(()) } else { Err(Failure::Unacceptable(StatusCode::FORBIDDEN, sentence.into())) }
    }
}

impl FromRequestParts<Desktop> for Session {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, desktop: &Desktop) -> Result<Self, Refusal> {
        let session = Self::of(parts, desktop)?;
        session.client.demand_session().await?;
        Ok(session)
    }
}

/// The fields of a form that a page of this session sent.
pub(crate) struct Fields(HashMap<String, String>);

impl Fields {
    /// A field without the white space around it; empty if it was not sent.
    pub(crate) fn text(&self, name: &str) -> &str {
        self.0.get(name).map(|text| text.trim()).unwrap_or_default()
    }

    /// A field as it is.
    pub(crate) fn raw(&self, name: &str) -> &str {
        self.0.get(name).map(String::as_str).unwrap_or_default()
    }
}

/// A session and a form that belongs to it.
pub(crate) struct Sent(pub(crate) Session, pub(crate) Fields);

impl FromRequest<Desktop> for Sent {
    type Rejection = Refusal;

    async fn from_request(request: Request, desktop: &Desktop) -> Result<Self, Refusal> {
        let (mut parts, body) = request.into_parts();
        let session = Session::from_request_parts(&mut parts, desktop).await?;
        let fields = AnyForm::from_request(Request::from_parts(parts, body), desktop).await?.0;
        session.demand_token(fields.0.get(FORM_TOKEN).map(String::as_str))?;
        Ok(Self(session, fields))
    }
}

/// A form, whoever sent it: for those who have no session yet.
pub(crate) struct AnyForm(pub(crate) Fields, pub(crate) Visitor);

impl FromRequest<Desktop> for AnyForm {
    type Rejection = Refusal;

    async fn from_request(request: Request, desktop: &Desktop) -> Result<Self, Refusal> {
        let visitor = Visitor::of(request.headers(), request.extensions());
        let form = Form::from_request(request, desktop).await;
        let Form(fields) = form.map_err(|e| Failure::Unacceptable(e.status(), "This is no form.".into()))?;
        Ok(Self(Fields(fields), visitor))
    }
}

/// The field that begins a session.
pub(crate) fn begin(token: &str, seconds: u64) -> Result<HeaderValue, Failure> {
    let cookie = format!("{NAME}={token}; Path=/; Max-Age={seconds}; Secure; HttpOnly; SameSite=Lax");
    HeaderValue::try_from(cookie).map_err(Failure::broken)
}

/// The field that ends it.
pub(crate) const END: HeaderValue =
    HeaderValue::from_static("__Host-mesh=; Path=/; Max-Age=0; Secure; HttpOnly; SameSite=Lax");

fn cookie(headers: &HeaderMap) -> Option<&str> {
    let fields = headers.get_all(COOKIE).iter().filter_map(|value| value.to_str().ok());
    let mut pairs = fields.flat_map(|field| field.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.find(|(name, value)| *name == NAME && !value.is_empty()).map(|(_, value)| value)
}

/// Who knows it cannot find the session's token from it.
fn form_token(token: &str) -> String {
    hex(&blake3::derive_key("meshproof desktop 2026 form token", token.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cookies() {
        let found = |field: &'static str| {
            let headers = HeaderMap::from_iter([(COOKIE, HeaderValue::from_static(field))]);
            cookie(&headers).map(str::to_owned)
        };
        assert_eq!(found("__Host-mesh=abc").as_deref(), Some("abc"));
        assert_eq!(found("a=b; __Host-mesh=abc; c=d").as_deref(), Some("abc"));
        for none in ["", "__Host-mesh=", "__Host-mesh", "__Host-mesh2=abc", "mesh=abc"] {
            assert_eq!(found(none), None, "{none}");
        }
    }
}
