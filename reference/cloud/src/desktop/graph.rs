//! The services as the desktop sees them: a client, which happens to be in the same process. It knows nothing of their
//! insides: it signs in, trades the token for tickets, shows tickets, and reads JSON.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::http::header::{AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, ETAG, USER_AGENT};
use axum::http::{Extensions, HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode};
use meshproof_proto::ticket::MAX_SET;
use meshproof_proto::ticket::parse::{decode, parse};
use meshproof_proto::time::UnixTime;
use serde_json::{Value, json};
use tokio::sync::Mutex as AsyncMutex;
use tower::ServiceExt as _;

use super::entries::Shelf;
use super::failure::Failure;
use super::spool::Spooled;
use crate::source::FromDrive;
use crate::state::Clock;

/// The resource that governs the mesh and its devices (`spec/graph.md`, section 4.2).
const MESH: &str = "/mesh";
/// Below it are the folders.
const FOLDERS: &str = "/mesh/objects/";
/// Tickets are renewed when one of them lives less than this, in seconds.
const MARGIN: u64 = 60;
/// For how many tokens tickets are kept. They can be had again at any time.
const KEPT: usize = 4_096;
/// The longest JSON that is read; a list of a folder's entries may be long.
const MAX_JSON: usize = 512 * 1_024 * 1_024;

/// Where requests go, and the tickets that were got with tokens.
#[derive(Clone)]
pub(crate) struct Graph(Arc<Inner>);

struct Inner {
    services: Router,
    clock: Arc<dyn Clock>,
    /// By the hash of the token. A cache: losing it costs a request.
    kept: Mutex<HashMap<[u8; 32], Arc<AsyncMutex<Held>>>>,
    shelf: Shelf,
}

/// The tickets of one token.
#[derive(Default)]
struct Held {
    tickets: Vec<Ticket>,
}

#[derive(Clone)]
struct Ticket {
    text: String,
    says_who: bool,
    resources: Vec<String>,
    ends: UnixTime,
}

impl Graph {
    pub(crate) fn new(services: Router, clock: Arc<dyn Clock>) -> Self {
        Self(Arc::new(Inner { services, clock, kept: Mutex::default(), shelf: Shelf::default() }))
    }

    /// Acts for the holder of a token.
    pub(crate) fn client(&self, token: &str, visitor: Visitor) -> Client {
        Client { graph: self.clone(), token: token.into(), visitor }
    }

    /// A token for a name and password, and the seconds that it lives.
    pub(crate) async fn sign_in(
        &self,
        name: &str,
        password: &str,
        visitor: &Visitor,
    ) -> Result<(String, u64), Failure> {
        let body = json!({ "name": name, "password": password });
        self.begin(Call::new(Method::POST, "/identity/token").json(body), visitor).await
    }

    /// The token that a call begins a session with, and the seconds that it lives.
    pub(crate) async fn begin(&self, call: Call, visitor: &Visitor) -> Result<(String, u64), Failure> {
        let answer = self.ask(call, visitor).await?;
        let token = answer.body["token"].as_str().ok_or_else(|| Failure::broken("there is no token"))?;
        Ok((token.to_owned(), answer.body["expires_in"].as_u64().unwrap_or_default()))
    }

    /// Adds a user.
    pub(crate) async fn register(
        &self,
        name: &str,
        password: &str,
        visitor: &Visitor,
    ) -> Result<(), Failure> {
        let body = json!({ "name": name, "password": password });
        self.ask(Call::new(Method::POST, "/identity/users").json(body), visitor).await.map(drop)
    }

    /// Asks for something that needs no authorisation.
    pub(crate) async fn ask(&self, call: Call, visitor: &Visitor) -> Result<Answer, Failure> {
        Answer::of(self.send(&call, None, visitor).await?).await
    }

    /// The clock reading.
    pub(crate) fn now(&self) -> UnixTime {
        self.0.clock.now()
    }

    async fn send(
        &self,
        call: &Call,
        authorization: Option<&str>,
        visitor: &Visitor,
    ) -> Result<Response<Body>, Failure> {
        let mut request = call.request().await?;
        if let Some(text) = authorization {
            let value = HeaderValue::from_str(text).map_err(|_| Failure::SignedOut)?;
            request.headers_mut().insert(AUTHORIZATION, value);
        }
        if let Some(peer) = visitor.peer {
            request.extensions_mut().insert(ConnectInfo(peer));
        }
        if visitor.is_drive {
            request.extensions_mut().insert(FromDrive);
        }
        for (name, value) in &visitor.fields {
            request.headers_mut().append(name, value.clone());
        }
        let Ok(response) = self.0.services.clone().oneshot(request).await;
        Ok(response)
    }

    fn held(&self, token: &str) -> Arc<AsyncMutex<Held>> {
        let mut kept = self.0.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() >= KEPT {
            // Who is in the middle of something holds an `Arc` of its own.
            kept.retain(|_, held| Arc::strong_count(held) > 1);
        }
        kept.entry(key(token)).or_default().clone()
    }

    fn forget(&self, token: &str) {
        self.0.kept.lock().unwrap_or_else(PoisonError::into_inner).remove(&key(token));
    }
}

/// Where a request came from: the limits of the services are about people, not about the desktop.
#[derive(Clone, Default)]
pub(crate) struct Visitor {
    peer: Option<SocketAddr>,
    fields: HeaderMap,
    is_drive: bool,
}

impl Visitor {
    pub(crate) fn of(headers: &HeaderMap, extensions: &Extensions) -> Self {
        let peer = extensions.get::<ConnectInfo<SocketAddr>>().map(|ConnectInfo(peer)| *peer);
        let kept = [USER_AGENT, HeaderName::from_static("x-forwarded-for")];
        let all = kept.iter().flat_map(|name| headers.get_all(name).iter().map(move |value| (name, value)));
        let fields = all.map(|(name, value)| (name.clone(), value.clone())).collect();
        Self { peer, fields, is_drive: false }
    }

    /// The same at the network drive, where app passwords sign in.
    #[cfg(feature = "webdav")]
    pub(crate) fn of_drive(self) -> Self {
        Self { is_drive: true, ..self }
    }
}

/// Tokens are not kept as they are, not even here.
fn key(token: &str) -> [u8; 32] {
    *blake3::hash(token.as_bytes()).as_bytes()
}

/// A client that acts for one person.
#[derive(Clone)]
pub(crate) struct Client {
    graph: Graph,
    token: Arc<str>,
    visitor: Visitor,
}

impl Client {
    /// Sends a request with tickets, and reads the JSON that comes back.
    pub(crate) async fn call(&self, call: Call) -> Result<Answer, Failure> {
        Answer::of(self.open(call).await?).await
    }

    /// GET of a node.
    pub(crate) async fn get(&self, path: &str) -> Result<Answer, Failure> {
        self.call(Call::new(Method::GET, path)).await
    }

    /// All items of a collection, page after page.
    pub(crate) async fn list(&self, path: &str) -> Result<Vec<Value>, Failure> {
        let mut next = Some(path.to_owned());
        let mut all = Vec::new();
        while let Some(path) = next {
            let mut body = self.get(&path).await?.body;
            let Value::Array(items) = body["items"].take() else {
                return Err(Failure::broken(format!("{path} has no items")));
            };
            all.extend(items);
            next = body["links"]["next"].as_str().map(Into::into);
        }
        Ok(all)
    }

    /// Sends a request with tickets. What comes back may be anything, and is not read yet.
    pub(crate) async fn open(&self, call: Call) -> Result<Response<Body>, Failure> {
        let resource = resource_of(&call.path);
        let mut response = None;
        // Roles change while tickets live: what was refused is asked for once more, with new ones.
        for renew in [false, true] {
            let set = self.tickets(&resource, renew).await?;
            let answer = self.graph.send(&call, Some(&format!("MeshTicket {set}")), &self.visitor).await?;
            let refused = matches!(answer.status(), StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN);
            response = Some(answer);
            if !refused {
                break;
            }
        }
        response.ok_or_else(|| Failure::broken("no answer"))
    }

    /// Asks the identity service for something that is the session's own.
    pub(crate) async fn call_identity(&self, call: Call) -> Result<Answer, Failure> {
        let answer = self.graph.send(&call, Some(&format!("Bearer {}", self.token)), &self.visitor).await?;
        match Answer::of(answer).await {
            Err(failure) if failure.is("token-rejected") => Err(Failure::SignedOut),
            answer => answer,
        }
    }

    /// Whether the session goes on: it may have been ended elsewhere, and its tickets live on for minutes.
    pub(crate) async fn demand_session(&self) -> Result<(), Failure> {
        let asked = self.call_identity(Call::new(Method::GET, "/identity/sessions")).await;
        if let Err(Failure::SignedOut) = asked {
            self.graph.forget(&self.token);
        }
        asked.map(drop)
    }

    /// Ends the session.
    pub(crate) async fn sign_out(&self) -> Result<(), Failure> {
        self.graph.forget(&self.token);
        self.call_identity(Call::new(Method::DELETE, "/identity/token")).await.map(drop)
    }

    /// What was read of folders.
    pub(super) fn shelf(&self) -> &Shelf {
        &self.graph.0.shelf
    }

    /// The clock reading.
    pub(crate) fn now(&self) -> UnixTime {
        self.graph.now()
    }

    /// The tickets to show for a resource, as they go into a request.
    async fn tickets(&self, resource: &str, renew: bool) -> Result<String, Failure> {
        let held = self.graph.held(&self.token);
        let mut held = held.lock().await;
        let soon = self.graph.now().plus(MARGIN);
        if renew || held.tickets.is_empty() || held.tickets.iter().any(|ticket| ticket.ends <= soon) {
            held.tickets.clear();
            held.tickets = self.first_tickets().await?;
        }
        if resource != MESH && !held.tickets.iter().any(|ticket| ticket.is_about(resource)) {
            // A folder that came later, or one of very many (graph.md, section 4.2). Without rights there is none.
            let set = set_for(&held.tickets, resource);
            let call = Call::new(Method::POST, &format!("{resource}/ticket"));
            let answer = self.graph.send(&call, Some(&format!("MeshTicket {set}")), &self.visitor).await?;
            if let Ok(answer) = Answer::of(answer).await {
                held.tickets.extend(answer.body["ticket"].as_str().and_then(Ticket::read));
            }
        }
        Ok(set_for(&held.tickets, resource))
    }

    /// Trades the token (IDN-008).
    async fn first_tickets(&self) -> Result<Vec<Ticket>, Failure> {
        let call = Call::new(Method::POST, "/tickets");
        let answer = self.graph.send(&call, Some(&format!("Bearer {}", self.token)), &self.visitor).await?;
        if answer.status() == StatusCode::UNAUTHORIZED {
            self.graph.forget(&self.token);
            return Err(Failure::SignedOut); // IDN-007
        }
        let body = Answer::of(answer).await?.body;
        let texts = body["tickets"].as_array().into_iter().flatten().filter_map(Value::as_str);
        Ok(texts.filter_map(Ticket::read).collect())
    }
}

/// The resource whose ticket a path needs.
fn resource_of(path: &str) -> String {
    match path.strip_prefix(FOLDERS).and_then(|rest| rest.split(['/', '?']).next()) {
        Some(folder) if !folder.is_empty() => format!("{FOLDERS}{folder}"),
        _ => MESH.into(),
    }
}

fn set_for(tickets: &[Ticket], resource: &str) -> String {
    let matters = |t: &&Ticket| t.says_who || t.is_about(MESH) || t.is_about(resource);
    let texts: Vec<&str> = tickets.iter().filter(matters).take(MAX_SET).map(|t| t.text.as_str()).collect();
    texts.join(",")
}

impl Ticket {
    /// What a ticket says. It is for the services to verify; here it is only chosen by it.
    fn read(text: &str) -> Option<Self> {
        let ticket = parse(&decode(text).ok()?).ok()?.ticket;
        Some(Self {
            text: text.into(),
            says_who: ticket.authn.is_some(),
            resources: ticket.authz.into_iter().map(|statement| statement.resource).collect(),
            ends: ticket.not_on_or_after,
        })
    }

    fn is_about(&self, resource: &str) -> bool {
        self.resources.iter().any(|name| name == resource)
    }
}

/// A request that can be sent more than once.
pub(crate) struct Call {
    method: Method,
    path: String,
    headers: HeaderMap,
    body: Payload,
}

enum Payload {
    Empty,
    Json(Value),
    File(Spooled),
}

impl Call {
    pub(crate) fn new(method: Method, path: &str) -> Self {
        Self { method, path: path.into(), headers: HeaderMap::new(), body: Payload::Empty }
    }

    pub(crate) fn json(mut self, body: Value) -> Self {
        self.body = Payload::Json(body);
        self
    }

    pub(crate) fn file(mut self, file: Spooled) -> Self {
        self.body = Payload::File(file);
        self
    }

    /// Adds a field, unless its value cannot be one.
    pub(crate) fn header(mut self, name: HeaderName, value: &str) -> Self {
        if let Ok(value) = HeaderValue::from_str(value) {
            self.headers.insert(name, value);
        }
        self
    }

    async fn request(&self) -> Result<Request<Body>, Failure> {
        let mut request = Request::new(match &self.body {
            Payload::Empty => Body::empty(),
            Payload::Json(value) => Body::from(value.to_string()),
            Payload::File(file) => file.body().await?,
        });
        *request.method_mut() = self.method.clone();
        *request.uri_mut() =
            self.path.parse().map_err(|_| Failure::broken(format!("{} is no path", self.path)))?;
        *request.headers_mut() = self.headers.clone();
        match &self.body {
            Payload::Empty => {}
            Payload::Json(_) => {
                request.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
            }
            Payload::File(file) => {
                request.headers_mut().insert(CONTENT_LENGTH, file.length().into());
            }
        }
        Ok(request)
    }
}

/// An answer with JSON, read to its end.
pub(crate) struct Answer {
    pub(crate) headers: HeaderMap,
    pub(crate) body: Value,
}

impl Answer {
    /// # Errors
    /// [`Failure::Refused`] if the status says so.
    pub(crate) async fn of(response: Response<Body>) -> Result<Self, Failure> {
        let (parts, body) = response.into_parts();
        let bytes = axum::body::to_bytes(body, MAX_JSON).await.map_err(Failure::broken)?;
        let body: Value = serde_json::from_slice(&bytes).unwrap_or_default();
        if !parts.status.is_success() {
            return Err(Failure::refused(parts.status, &body));
        }
        Ok(Self { headers: parts.headers, body })
    }

    /// The entity tag, with its quotes.
    pub(crate) fn etag(&self) -> String {
        self.headers.get(ETAG).and_then(|tag| tag.to_str().ok()).unwrap_or_default().into()
    }

    pub(crate) fn text(&self, member: &str) -> String {
        text(&self.body, member)
    }
}

/// A member that is text; empty if there is none.
pub(crate) fn text(item: &Value, member: &str) -> String {
    item[member].as_str().unwrap_or_default().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resources() {
        for (path, resource) in [
            ("/mesh", "/mesh"),
            ("/mesh/objects", "/mesh"),
            ("/mesh/objects/", "/mesh"),
            ("/mesh/devices/0a", "/mesh"),
            ("/mesh/objects/0a", "/mesh/objects/0a"),
            ("/mesh/objects/0a?limit=1", "/mesh/objects/0a"),
            ("/mesh/objects/0a/feeds/files/entries", "/mesh/objects/0a"),
        ] {
            assert_eq!(resource_of(path), resource, "{path}");
        }
    }
}
