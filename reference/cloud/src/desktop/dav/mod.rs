//! WebDAV (RFC 4918): a person's folders as a network drive, below `/dav`. The drive is a client as the pages are; name
//! and password come with each request (RFC 7617), and become a token that is kept until it ends.
//!
//! `/dav/FOLDER/path`: the first segment is the name of a folder. Locks are known to this process alone.

mod file;
mod fs;
mod xml;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::header::{
    AUTHORIZATION, CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_SECURITY_POLICY, WWW_AUTHENTICATE,
    X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use axum::response::{IntoResponse as _, Response};
use axum::routing::any;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use dav_server::DavHandler;
use dav_server::memls::MemLs;
use meshproof_proto::time::UnixTime;

use self::fs::Drive;
use super::Desktop;
use super::failure::Failure;
use super::files::Person;
use super::graph::{Call, Client, Visitor};
use crate::extract::{next_chunk, within};

/// A token is not used any more when it lives less than this, in seconds.
const MARGIN: u64 = 60;
/// For how many names and passwords tokens are kept. They can be had again at any time.
const KEPT: usize = 4_096;
/// The longest XML, in bytes.
const MAX_XML: usize = 65_536;
/// Bytes are a stranger's: should a browser come here, it runs nothing of them as a page of this host.
const FIELDS: [(HeaderName, &str); 4] = [
    (CACHE_CONTROL, "no-store"),
    (CONTENT_DISPOSITION, "attachment"),
    (CONTENT_SECURITY_POLICY, "default-src 'none'; sandbox"),
    (X_CONTENT_TYPE_OPTIONS, "nosniff"),
];

/// What all requests share. Cloning is cheap.
#[derive(Clone)]
struct Dav {
    desktop: Desktop,
    shared: Arc<Shared>,
}

struct Shared {
    /// Makes hashes of passwords worthless outside of this process.
    secret: [u8; 32],
    /// By the hash of name and password.
    tokens: Mutex<HashMap<[u8; 32], Token>>,
    /// See [`Drive`].
    making: Arc<tokio::sync::Mutex<()>>,
    /// By user.
    locks: Mutex<HashMap<String, Box<MemLs>>>,
}

struct Token {
    text: String,
    ends: UnixTime,
}

/// The drive.
pub(super) fn router(desktop: Desktop) -> Router {
    let mut secret = [0; 32];
    secret[..16].copy_from_slice(&crate::state::new_id().0);
    secret[16..].copy_from_slice(&crate::state::new_id().0);
    let shared = Shared { secret, tokens: Mutex::default(), making: Arc::default(), locks: Mutex::default() };
    Router::new()
        .route("/dav", any(serve))
        .route("/dav/", any(serve))
        .route("/dav/{*path}", any(serve))
        .with_state(Dav { desktop, shared: Arc::new(shared) })
}

async fn serve(State(dav): State<Dav>, request: Request) -> Response {
    let credentials = basic(request.headers());
    let visitor = Visitor::of(request.headers(), request.extensions()).of_drive();
    let mut response = match dav.sign_in(credentials, visitor).await {
        Ok((client, person)) => dav.handle(client, person, request).await,
        Err(Failure::Broken) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
        Err(Failure::Refused { status, .. }) if status == StatusCode::TOO_MANY_REQUESTS => {
            status.into_response()
        }
        Err(_) => {
            let challenge = [(WWW_AUTHENTICATE, "Basic realm=\"Live Desktop\", charset=\"UTF-8\"")];
            (StatusCode::UNAUTHORIZED, challenge).into_response()
        }
    };
    for (name, value) in FIELDS {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}

impl Dav {
    /// Who sends the request.
    async fn sign_in(
        &self,
        credentials: Option<(String, String)>,
        visitor: Visitor,
    ) -> Result<(Client, Person), Failure> {
        let (name, password) = credentials.ok_or(Failure::SignedOut)?;
        let graph = &self.desktop.graph;
        let key =
            *blake3::keyed_hash(&self.shared.secret, format!("{name}\0{password}").as_bytes()).as_bytes();
        let soon = graph.now().plus(MARGIN);
        let kept = {
            let mut tokens = self.shared.tokens.lock().unwrap_or_else(PoisonError::into_inner);
            tokens.retain(|_, token| token.ends > soon);
            tokens.get(&key).map(|token| token.text.clone())
        };
        if let Some(token) = kept {
            let client = graph.client(&token, visitor.clone());
            // The session may have been ended elsewhere. Its tickets live on for minutes, and a password that was
            // removed is to open nothing from that moment on.
            match client.call_identity(Call::new(Method::GET, "/identity/app-passwords")).await {
                Err(Failure::SignedOut) => {} // the password may be good still
                Err(failure) => return Err(failure),
                Ok(_) => {
                    let person = Person::of(&client).await?;
                    return Ok((client, person));
                }
            }
        }
        let (text, seconds) = graph.sign_in(&name, &password, &visitor).await?;
        let client = graph.client(&text, visitor);
        let person = Person::of(&client).await?;
        let mut tokens = self.shared.tokens.lock().unwrap_or_else(PoisonError::into_inner);
        if tokens.len() < KEPT {
            tokens.insert(key, Token { text, ends: graph.now().plus(seconds) });
        }
        Ok((client, person))
    }

    async fn handle(&self, client: Client, person: Person, request: Request) -> Response {
        let locks = {
            let mut locks = self.shared.locks.lock().unwrap_or_else(PoisonError::into_inner);
            locks.entry(person.user.clone()).or_insert_with(MemLs::new).clone()
        };
        let (spools, making) = (self.desktop.spools.clone(), self.shared.making.clone());
        let principal = person.name.clone();
        let drive = Drive::new(client, person, spools, making);
        let handler = DavHandler::builder()
            .strip_prefix("/dav")
            .locksystem(locks)
            .principal(principal)
            .autoindex(false)
            .filesystem(Box::new(drive))
            .build_handler();
        let idle = self.desktop.body_idle;
        if *request.method() == Method::PUT {
            return handler.handle(request.map(|body| within(body, idle))).await.map(Body::new);
        }
        let (parts, body) = request.into_parts();
        match read_xml(body, idle).await {
            Ok(xml) => handler.handle(Request::from_parts(parts, Body::from(xml))).await.map(Body::new),
            Err(status) => status.into_response(),
        }
    }
}

/// A body that is no file: XML that can be parsed, or nothing.
async fn read_xml(mut body: Body, idle: Duration) -> Result<Vec<u8>, StatusCode> {
    let mut xml = Vec::new();
    while let Some(piece) = next_chunk(&mut body, idle).await {
        xml.extend_from_slice(&piece.map_err(|_| StatusCode::BAD_REQUEST)?);
        if xml.len() > MAX_XML {
            return Err(StatusCode::PAYLOAD_TOO_LARGE);
        }
    }
    if xml::is_flat(&xml) { Ok(xml) } else { Err(StatusCode::BAD_REQUEST) }
}

/// Name and password.
fn basic(headers: &HeaderMap) -> Option<(String, String)> {
    let field = headers.get(AUTHORIZATION)?.to_str().ok()?;
    let (scheme, rest) = field.split_once(' ')?;
    let text = STANDARD.decode(rest.trim()).ok().filter(|_| scheme.eq_ignore_ascii_case("basic"))?;
    let (name, password) = std::str::from_utf8(&text).ok()?.split_once(':')?;
    Some((name.into(), password.into()))
}
