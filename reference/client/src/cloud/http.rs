//! Requests: tickets on, answers and problem documents off.

use std::sync::Once;
use std::time::Duration;

use meshproof_proto::requirement as req;
use meshproof_proto::time::UnixTime;
use reqwest::{Method, Response, StatusCode, header};
use serde_json::Value;

use super::session::MESH;
use super::{Cloud, Problem, Session};
use crate::error::{Error, Result};

/// How long an answer may take.
const TIMEOUT: Duration = Duration::from_mins(1);

pub(super) fn client(url: &str, ca: Option<&[u8]>) -> Result<reqwest::Client> {
    static PROVIDER: Once = Once::new();
    // Somebody else in this process may have chosen; then theirs serves.
    PROVIDER.call_once(|| drop(rustls::crypto::aws_lc_rs::default_provider().install_default()));
    if !url.starts_with("https://") {
        return Err(Error::usage(format!("{url} is not an https:// URL")));
    }
    let mut builder = reqwest::Client::builder().https_only(true).timeout(TIMEOUT);
    // A cloud sends nobody elsewhere: what is sent here, passwords too, is for it alone.
    builder = builder.redirect(reqwest::redirect::Policy::none());
    if let Some(pem) = ca {
        let bad = |_| Error::usage("the CA file has no PEM certificate");
        let certificates = reqwest::Certificate::from_pem_bundle(pem).map_err(bad)?;
        if certificates.is_empty() {
            return Err(Error::usage("the CA file has no PEM certificate"));
        }
        builder = builder.tls_certs_only(certificates);
    }
    builder.build().map_err(|error| Error::Cloud(format!("cannot make an HTTPS client: {}", chain(&error))))
}

/// What a request shows.
pub(super) enum Rights<'a> {
    None,
    Token(&'a str),
    /// The tickets for this resource of `spec/graph.md`, section 4.2.
    Resource(&'a str),
}

/// What came back.
pub(super) struct Answer {
    pub(super) body: Value,
    pub(super) location: Option<String>,
}

impl Cloud {
    /// One request with tickets. They are renewed first if they end soon (IDN-065) or if none of them is for `resource`,
    /// which another user may have shared meanwhile; and once if the cloud refuses them, for why is not said (TKT-031):
    /// this device's clock may be slow, or the issuer's key was taken away.
    pub(super) async fn call(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
        resource: &str,
    ) -> Result<Answer> {
        self.call_if(method, path, body, None, resource).await
    }

    /// The same on the condition that the node's `ETag` is still this one (GPH-012).
    pub(super) async fn call_if(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
        etag: Option<&str>,
        resource: &str,
    ) -> Result<Answer> {
        let mut session = self.session.lock().await;
        self.cover(resource, &mut session).await?;
        let rights = Rights::Resource(resource);
        match self.send_if(method.clone(), path, body, etag, rights, &mut session).await {
            Err(error) if error.requirement() == Some(req::TKT_031) => {
                self.renew(&mut session).await?;
                self.send_if(method, path, body, etag, Rights::Resource(resource), &mut session).await
            }
            result => result,
        }
    }

    /// Sees to it that the tickets are good for a while, and that one is for `resource` if there can be one.
    async fn cover(&self, resource: &str, session: &mut Session) -> Result<()> {
        if session.ends_soon() {
            self.renew(session).await?;
        }
        if !session.has(resource) && resource != MESH {
            // A folder that came later, or one of more than the first tickets hold (graph.md, section 4.2).
            let path = format!("{resource}/ticket");
            let given = self.send(Method::POST, &path, None, Rights::Resource(MESH), session).await;
            if let Ok(given) = given {
                given.body["ticket"].as_str().into_iter().for_each(|ticket| session.add(ticket));
            }
        }
        if session.has(resource) { Ok(()) } else { self.renew(session).await }
    }

    /// The tickets for `resource`, as they go into a request that is sent by itself.
    pub(super) async fn tickets(&self, resource: &str) -> Result<String> {
        let mut session = self.session.lock().await;
        self.cover(resource, &mut session).await?;
        Ok(format!("MeshTicket {}", session.set_for(resource)))
    }

    /// All items of a collection, page after page (GPH-067).
    pub(super) async fn list(&self, path: &str, resource: &str) -> Result<Vec<Value>> {
        let (mut all, mut next) = (Vec::new(), Some(path.to_owned()));
        while let Some(link) = next {
            let mut body = self.call(Method::GET, &link, None, resource).await?.body;
            let Value::Array(items) = body["items"].take() else {
                return Err(unexpected(&format!("GET {link}"), "there are no items"));
            };
            all.extend(items);
            next = body["links"]["next"].as_str().filter(|link| link.starts_with('/')).map(Into::into);
        }
        Ok(all)
    }

    /// One request.
    pub(super) async fn send(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
        rights: Rights<'_>,
        session: &mut Session,
    ) -> Result<Answer> {
        self.send_if(method, path, body, None, rights, session).await
    }

    async fn send_if(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
        etag: Option<&str>,
        rights: Rights<'_>,
        session: &mut Session,
    ) -> Result<Answer> {
        let what = format!("{method} {path}");
        let mut request = self.http.request(method, format!("{}{path}", self.url));
        request = match rights {
            Rights::None => request,
            Rights::Token(token) => request.bearer_auth(token),
            Rights::Resource(resource) => {
                request.header(header::AUTHORIZATION, format!("MeshTicket {}", session.set_for(resource)))
            }
        };
        if let Some(body) = body {
            request = request.json(body);
        }
        if let Some(etag) = etag {
            request = request.header(header::IF_MATCH, etag);
        }
        let unreachable = |error: reqwest::Error| {
            let why = chain(&error);
            let advice = if why.contains("UnknownIssuer") { "; give its CA with --ca FILE" } else { "" };
            Error::Cloud(format!("cannot reach {}: {why}{advice}", self.url))
        };
        let response = request.send().await.map_err(unreachable)?;
        for ticket in response.headers().get_all("mesh-ticket") {
            ticket.to_str().into_iter().for_each(|ticket| session.add(ticket)); // GPH-020
        }
        let location =
            response.headers().get(header::LOCATION).and_then(|to| to.to_str().ok()).map(Into::into);
        if !response.status().is_success() {
            return Err(problem(what, response).await);
        }
        if response.status() == StatusCode::NO_CONTENT {
            return Ok(Answer { body: Value::Null, location });
        }
        let body = response.json().await.map_err(|error| unexpected(&what, &chain(&error)))?;
        Ok(Answer { body, location })
    }
}

pub(super) async fn problem(what: String, response: Response) -> Error {
    let status = response.status().as_u16();
    Problem::read(what, status, &response.json().await.unwrap_or_default())
}

pub(super) fn unexpected(what: &str, why: &str) -> Error {
    Error::Cloud(format!("the cloud's answer to {what} is not as specified: {why}"))
}

/// The whole chain of causes: reqwest's own text leaves out why.
pub(super) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(error) = next {
        text = format!("{text}: {error}");
        next = error.source();
    }
    text
}

/// `Sun, 06 Nov 1994 08:49:37 GMT` (RFC 9110, section 5.6.7)
pub(super) fn parse_date(text: &str) -> Option<UnixTime> {
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let mut fields = text.split(' ').skip(1);
    let (day, month, year, clock) = (fields.next()?, fields.next()?, fields.next()?, fields.next()?);
    let month = MONTHS.iter().position(|name| *name == month)? + 1;
    UnixTime::parse(&format!("{year}-{month:02}-{day}T{clock}Z"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates() {
        let date = parse_date("Sun, 06 Nov 1994 08:49:37 GMT");
        assert_eq!(date, UnixTime::parse("1994-11-06T08:49:37Z"));
        for bad in ["", "Sun, 06 Foo 1994 08:49:37 GMT", "Sun, 06 Nov 1994", "1994-11-06T08:49:37Z"] {
            assert_eq!(parse_date(bad), None, "{bad}");
        }
    }
}
