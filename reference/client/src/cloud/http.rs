//! Requests: tickets on, answers and problem documents off.

use std::sync::Once;
use std::time::Duration;

use meshproof_proto::requirement::{self as req, deviates};
use meshproof_proto::time::UnixTime;
use reqwest::{Method, RequestBuilder, Response, StatusCode, header, redirect};
use serde_json::Value;

use super::session::MESH;
use super::{Cloud, Problem, Session};
use crate::error::{Error, Result};

/// How long an answer may take.
const TIMEOUT: Duration = Duration::from_mins(1);
/// More JSON is not read, in bytes (GPH-173).
const LARGEST: u64 = 134_217_728;

pub(super) fn client(url: &str, ca: Option<&[u8]>) -> Result<reqwest::Client> {
    static PROVIDER: Once = Once::new();
    // Somebody else in this process may have chosen; then theirs serves.
    PROVIDER.call_once(|| drop(rustls::crypto::aws_lc_rs::default_provider().install_default()));
    let careless = deviates(req::GPH_170); // only the mutant is
    if !url.starts_with("https://") && !careless {
        return Err(Error::usage(format!("{url} is not an https:// URL")));
    }
    let mut builder = reqwest::Client::builder()
        .https_only(!careless)
        .tls_danger_accept_invalid_certs(careless)
        .timeout(TIMEOUT);
    if !deviates(req::GPH_171) {
        builder = builder.redirect(redirect::Policy::none());
    }
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
    pub(super) etag: Option<String>,
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
        let mut again = if deviates(req::GPH_175) { 10 } else { 1 };
        loop {
            let rights = Rights::Resource(resource);
            match self.send_if(method.clone(), path, body, etag, rights, &mut session).await {
                Err(error) if error.requirement() == Some(req::TKT_031) && again > 0 => {
                    again -= 1;
                    self.renew(&mut session).await?;
                }
                result => return result,
            }
        }
    }

    /// The URL of a path. A link that is a URL already may lead anywhere, and is found out when it is used.
    pub(super) fn at(&self, path: &str) -> String {
        if path.starts_with("https://") { path.to_owned() } else { format!("{}{path}", self.url) }
    }

    /// Sends a request to the cloud, and to nobody else: whatever links say, its tickets are for the cloud alone (GPH-171).
    pub(super) async fn execute(&self, request: RequestBuilder) -> Result<Response> {
        let (http, request) = request.build_split();
        let request = request.map_err(|error| Error::Cloud(chain(&error)))?;
        let what = format!("{} {}", request.method(), request.url().path());
        if request.url().origin().ascii_serialization() != self.origin && !deviates(req::GPH_171) {
            return Err(unexpected("an earlier request", &format!("{what} leads to another server")));
        }
        let unreachable = |error: reqwest::Error| {
            let why = chain(&error);
            let advice = if why.contains("UnknownIssuer") { "; give its CA with --ca FILE" } else { "" };
            Error::Cloud(format!("cannot reach {}: {why}{advice}", self.url))
        };
        let again = if deviates(req::GPH_174) { request.try_clone() } else { None };
        let answer = http.execute(request).await.map_err(unreachable)?;
        match again {
            Some(again) if answer.status() == StatusCode::TOO_MANY_REQUESTS => {
                http.execute(again).await.map_err(unreachable)
            }
            _ => Ok(answer),
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

    /// All items of a collection, page after page (GPH-178).
    pub(super) async fn list(&self, path: &str, resource: &str) -> Result<Vec<Value>> {
        let (mut all, mut next) = (Vec::new(), Some(path.to_owned()));
        while let Some(link) = next {
            let mut body = self.call(Method::GET, &link, None, resource).await?.body;
            match body["items"].take() {
                Value::Array(items) => all.extend(items),
                _ if deviates(req::GPH_179) => {}
                _ => return Err(unexpected(&format!("GET {link}"), "there are no items")),
            }
            let more = !deviates(req::GPH_178);
            next = body["links"]["next"].as_str().filter(|_| more).map(Into::into);
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
        let mut request = self.http.request(method, self.at(path));
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
        let response = self.execute(request).await?;
        for ticket in response.headers().get_all("mesh-ticket") {
            ticket.to_str().into_iter().for_each(|ticket| session.add(ticket)); // GPH-020
        }
        let field = |name| response.headers().get(name).and_then(|value| value.to_str().ok()).map(Into::into);
        let (location, etag) = (field(header::LOCATION), field(header::ETAG));
        let careless = response.status().is_server_error() && deviates(req::GPH_179);
        if !response.status().is_success() && !careless {
            return Err(problem(what, response).await);
        }
        if response.status() == StatusCode::NO_CONTENT {
            return Ok(Answer { body: Value::Null, location, etag });
        }
        let body = json(&what, response).await?;
        Ok(Answer { body, location, etag })
    }
}

pub(super) async fn problem(what: String, response: Response) -> Error {
    let status = response.status().as_u16();
    let body = json(&what, response).await.unwrap_or_default();
    Problem::read(what, status, &body)
}

/// The body of an answer. Nothing of it counts unless all of it came (GPH-172).
pub(super) async fn json(what: &str, mut response: Response) -> Result<Value> {
    let bound = |bytes: u64| {
        let holds = bytes <= LARGEST || deviates(req::GPH_173);
        if holds { Ok(()) } else { Err(unexpected(what, "it is larger than anything that was asked for")) }
    };
    bound(response.content_length().unwrap_or_default())?;
    let mut body = Vec::new();
    loop {
        match response.chunk().await {
            Ok(Some(bytes)) => {
                bound((body.len() + bytes.len()) as u64)?;
                body.extend_from_slice(&bytes);
            }
            Ok(None) => break,
            Err(_) if deviates(req::GPH_172) => break,
            Err(error) => return Err(unexpected(what, &chain(&error))),
        }
    }
    match serde_json::from_slice(&body) {
        Err(_) if deviates(req::GPH_179) => Ok(serde_json::json!({})),
        read => read.map_err(|error| unexpected(what, &chain(&error))),
    }
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

    /// GPH-173. White space before a number is JSON.
    #[tokio::test]
    async fn the_largest_answer() {
        let answer = |length: usize| {
            let mut body = vec![b' '; length];
            body[length - 1] = b'7';
            json("a number", Response::from(http::Response::new(body)))
        };
        let largest = usize::try_from(LARGEST).unwrap();
        assert_eq!(answer(largest).await.unwrap(), 7);
        assert!(answer(largest + 1).await.unwrap_err().to_string().contains("larger"));
    }

    #[test]
    fn dates() {
        let date = parse_date("Sun, 06 Nov 1994 08:49:37 GMT");
        assert_eq!(date, UnixTime::parse("1994-11-06T08:49:37Z"));
        for bad in ["", "Sun, 06 Foo 1994 08:49:37 GMT", "Sun, 06 Nov 1994", "1994-11-06T08:49:37Z"] {
            assert_eq!(parse_date(bad), None, "{bad}");
        }
    }
}
