//! The HTTPS services: raw requests and replies, with evidence of both.

use std::fmt::Write as _;
use std::time::Duration;

use anyhow::Context as _;
use reqwest::{Client, Method, redirect};
use serde_json::Value;
use tokio::sync::OnceCell;

use super::world::World;
use crate::check::{Context, Stop, Verdict, demand};
use crate::edit::{Heard, Message, steady};
use crate::oracle::crypto::RsaPrivateKey;

/// A longer body is no reply to anything that the kit asks for: it never uploads a content of this size and asks for it.
const LARGEST_BODY: usize = 16 << 20;

/// Where the services under test are.
pub struct CloudTarget {
    /// The root, without the last slash: `https://cloud.example:8443`.
    pub url: String,
    /// Speaks HTTP/2 where the cloud does.
    client: Client,
    /// Speaks HTTP/1.1.
    client_http1: Client,
    /// Keys for the devices that the checks claim.
    pub(super) keys: Vec<RsaPrivateKey>,
    /// The users and devices that all checks share, made by the first that needs them.
    pub(super) world: OnceCell<Result<World, Stop>>,
}

/// What becomes of a connection when its request is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Connections {
    /// It is used again.
    Kept,
    /// It is closed: of several servers behind one address each gets some requests.
    Fresh,
}

impl CloudTarget {
    /// A cloud by its URL. `ca` is the PEM of the authority that signed its certificate, if it is not a public one.
    ///
    /// The caller has installed a `rustls` provider. `keys` are RSA keys of 2,048 to 3,072 bits that no claimed device
    /// of this cloud has; if there are fewer than [`World::KEYS`], the rest is generated, which takes a second or two.
    pub fn new(url: &str, ca: Option<&str>, keys: Vec<RsaPrivateKey>) -> anyhow::Result<Self> {
        Self::connecting(url, ca, keys, Connections::Kept)
    }

    /// The same, with a say in what becomes of connections.
    pub fn connecting(
        url: &str,
        ca: Option<&str>,
        keys: Vec<RsaPrivateKey>,
        connections: Connections,
    ) -> anyhow::Result<Self> {
        let client = |http1: bool| -> anyhow::Result<Client> {
            let mut builder =
                Client::builder().redirect(redirect::Policy::none()).timeout(Duration::from_secs(20));
            if let Some(ca) = ca {
                let ca =
                    reqwest::Certificate::from_pem(ca.as_bytes()).context("the CA is no PEM certificate")?;
                builder = builder.tls_certs_only([ca]);
            }
            if http1 {
                builder = builder.http1_only();
            }
            if connections == Connections::Fresh {
                builder = builder.pool_max_idle_per_host(0);
            }
            builder.build().context("cannot make an HTTPS client")
        };
        Ok(CloudTarget {
            url: url.trim_end_matches('/').to_owned(),
            client: client(false)?,
            client_http1: client(true)?,
            keys,
            world: OnceCell::new(),
        })
    }
}

impl CloudTarget {
    /// Whether the cloud answers at all.
    pub async fn probe(&self) -> anyhow::Result<()> {
        let asked = self.client.get(format!("{}/", self.url)).send().await;
        asked.map(drop).map_err(|error| {
            let error = anyhow::Error::from(error);
            // Why a handshake failed stands at the end of a long chain.
            let hint = if format!("{error:#}").contains("certificate") {
                "; --ca names the authority that signed its certificate"
            } else {
                ""
            };
            error.context(format!("cannot reach {}{hint}", self.url))
        })
    }
}

/// A request in the making.
pub struct Call {
    context: Context,
    method: Method,
    path: String,
    headers: Vec<(String, String)>,
    body: Option<Vec<u8>>,
    http1: bool,
}

/// A request of a check: method and path.
pub fn call(context: &Context, method: &str, path: &str) -> Call {
    Call {
        context: context.clone(),
        method: Method::from_bytes(method.as_bytes()).unwrap_or(Method::GET),
        path: path.to_owned(),
        headers: Vec::new(),
        body: None,
        http1: false,
    }
}

impl Call {
    /// With a header field.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// With tickets.
    #[must_use]
    pub fn tickets<S: AsRef<str>>(self, tickets: &[S]) -> Self {
        let tickets: Vec<&str> = tickets.iter().map(AsRef::as_ref).collect();
        self.header("authorization", &format!("MeshTicket {}", tickets.join(",")))
    }

    /// With a JSON body.
    #[must_use]
    pub fn json(self, body: &Value) -> Self {
        self.header("content-type", "application/json").body(body.to_string().into_bytes())
    }

    /// With any body.
    #[must_use]
    pub fn body(mut self, body: Vec<u8>) -> Self {
        self.body = Some(body);
        self
    }

    /// Over HTTP/1.1.
    #[must_use]
    pub fn http1(mut self) -> Self {
        self.http1 = true;
        self
    }

    /// Sends it and reads the whole reply. What is wrong with the connection blocks the check.
    pub async fn send(mut self) -> Result<Reply, Stop> {
        let context = self.context.clone();
        let Some(script) = context.script() else { return self.send_as_it_is().await };
        let message = Message {
            name: steady(&format!("{} {}", self.method, self.path)),
            headers: self.headers.iter().map(|(name, _)| name.clone()).collect(),
            bytes: self.body.clone().unwrap_or_default(),
            reply: None,
        };
        let taken = script.take(message);
        let what = format!("{} {}", self.method, self.path);
        if !taken.sent {
            context.note(&format!("left out: {what}"), "");
            let Some(Heard { status, headers, body }) = taken.instead else {
                script.unanswered(taken.number);
                return Err(Stop::Blocked(format!("{what} is left out, and nothing answers it")));
            };
            return Ok(Reply { what, status, headers, body });
        }
        self.headers.retain(|(name, _)| !taken.without.contains(name));
        self.body = self.body.map(|_| taken.bytes);
        let reply = self.send_as_it_is().await?;
        let Reply { status, headers, body, .. } = reply.clone();
        script.heard(taken.number, Heard { status, headers, body });
        Ok(reply)
    }

    async fn send_as_it_is(self) -> Result<Reply, Stop> {
        let Some(cloud) = &self.context.targets().cloud else {
            return Err(Stop::NotApplicable("no cloud was given".to_owned()));
        };
        let client = if self.http1 { &cloud.client_http1 } else { &cloud.client };
        let mut exchange = format!("{} {}\n", self.method, self.path);
        let mut request = client.request(self.method.clone(), format!("{}{}", cloud.url, self.path));
        for (name, value) in &self.headers {
            writeln!(exchange, "{name}: {}", shortened(value)).expect("writing to a String");
            request = request.header(name, value);
        }
        if let Some(body) = self.body {
            writeln!(exchange, "\n{}", shortened(&String::from_utf8_lossy(&body)))
                .expect("writing to a String");
            request = request.body(body);
        }
        let what = format!("{} {}", self.method, self.path);
        let response = request.send().await.with_context(|| format!("{what} was not answered"))?;
        let version = format!("{:?}", response.version());
        let status = response.status().as_u16();
        let headers: Vec<(String, String)> = response
            .headers()
            .iter()
            .map(|(name, value)| (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned()))
            .collect();
        let body = whole(response, &what).await?;
        writeln!(exchange, "\n{version} {status}").expect("writing to a String");
        for (name, value) in &headers {
            writeln!(exchange, "{name}: {}", shortened(value)).expect("writing to a String");
        }
        writeln!(exchange, "\n{}", shortened(&String::from_utf8_lossy(&body))).expect("writing to a String");
        self.context.note(&what, exchange);
        Ok(Reply { what, status, headers, body })
    }
}

/// A reply.
#[derive(Clone, Debug)]
pub struct Reply {
    what: String,
    /// The status.
    pub status: u16,
    headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

impl Reply {
    /// The first header field of this name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(have, _)| have.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    /// All header fields of this name.
    pub fn headers(&self, name: &str) -> Vec<String> {
        let same = self.headers.iter().filter(|(have, _)| have.eq_ignore_ascii_case(name));
        same.map(|(_, value)| value.clone()).collect()
    }

    /// The body as JSON.
    pub fn json(&self) -> Result<Value, Stop> {
        serde_json::from_slice(&self.body)
            .map_err(|error| Stop::Fail(format!("{}: the body is no JSON: {error}", self.what)))
    }

    /// A text member of the JSON body.
    pub fn text(&self, member: &str) -> Result<String, Stop> {
        self.json()?[member]
            .as_str()
            .map(str::to_owned)
            .ok_or_else(|| Stop::Fail(format!("{}: the body has no text `{member}`", self.what)))
    }

    /// Fails unless the status is this.
    pub fn expect(self, status: u16) -> Result<Self, Stop> {
        if self.status == status {
            return Ok(self);
        }
        let problem = self.problem_name().map(|name| format!(" ({name})")).unwrap_or_default();
        Err(Stop::Fail(format!("{}: status {}{problem} where {status} was expected", self.what, self.status)))
    }

    /// Fails unless this is a problem document of this status and name (graph.md section 3.2).
    pub fn expect_problem(self, status: u16, name: &str) -> Verdict {
        let reply = self.expect(status)?;
        let got = reply.problem_name();
        demand!(
            got.as_deref() == Some(name),
            "{}: the problem is {} where {name} was expected",
            reply.what,
            got.as_deref().unwrap_or("not named")
        );
        Ok(())
    }

    /// The same where the sentence leaves the name to a wider rule; any of them will do.
    pub fn expect_problem_of(self, status: u16, names: &[&str]) -> Verdict {
        let name = self.problem_name().filter(|name| names.contains(&name.as_str()));
        self.expect_problem(status, &name.unwrap_or_else(|| names[0].to_owned()))
    }

    fn problem_name(&self) -> Option<String> {
        let body: Value = serde_json::from_slice(&self.body).ok()?;
        Some(body["type"].as_str()?.strip_prefix("urn:meshproof:error:")?.to_owned())
    }
}

/// The body of a reply, unless it is longer than any that the services have to give.
async fn whole(mut response: reqwest::Response, what: &str) -> Result<Vec<u8>, Stop> {
    let mut body = Vec::new();
    while let Some(piece) =
        response.chunk().await.with_context(|| format!("the reply to {what} broke off"))?
    {
        body.extend_from_slice(&piece);
        demand!(body.len() <= LARGEST_BODY, "{what}: the reply has more than {LARGEST_BODY} bytes");
    }
    Ok(body)
}

/// What evidence shows of a long text.
fn shortened(text: &str) -> String {
    match text.char_indices().nth(8_000) {
        Some((end, _)) => format!("{} ... {} bytes in all", &text[..end], text.len()),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reply(mebibytes: usize) -> reqwest::Response {
        reqwest::Response::from(http::Response::new(vec![b'x'; mebibytes << 20]))
    }

    #[tokio::test]
    async fn a_body_without_end_is_a_finding() {
        assert_eq!(whole(reply(16), "GET /mesh").await.map(|body| body.len()), Ok(LARGEST_BODY));
        let found = whole(reply(17), "GET /mesh").await;
        let words = "GET /mesh: the reply has more than 16777216 bytes";
        assert_eq!(found, Err(Stop::Fail(words.to_owned())));
    }

    #[test]
    fn a_problem_has_its_status_and_its_name() {
        let reply = |status, body: &str| {
            let body = body.as_bytes().to_vec();
            Reply { what: "GET /".to_owned(), status, headers: Vec::new(), body }
        };
        let late = r#"{"type":"urn:meshproof:error:too-late"}"#;
        assert!(reply(403, late).expect_problem(403, "too-late").is_ok());
        assert!(reply(404, late).expect_problem(403, "too-late").is_err());
        assert!(reply(403, late).expect_problem(403, "too-early").is_err());
        assert!(reply(403, "no JSON").expect_problem(403, "too-late").is_err());
        assert!(reply(403, late).expect_problem_of(403, &["too-early", "too-late"]).is_ok());
        assert!(reply(403, late).expect_problem_of(403, &["too-early", "gone"]).is_err());
        assert!(reply(404, late).expect_problem_of(403, &["too-early", "too-late"]).is_err());
    }
}
