//! Reading paths and bodies.

use std::future::{Future as _, poll_fn};
use std::io::ErrorKind;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::{FromRequest, FromRequestParts, Query, RawPathParams, Request};
use axum::http::header::CONTENT_LENGTH;
use axum::http::request::Parts;
use hyper::body::Body as _;
use meshproof_proto::codec::Id;
use meshproof_proto::requirement::{self as req, demand, demand_some, deviates};
use meshproof_proto::storage::MediaHash;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};
use serde_json::{Value, json};

use crate::identity::users::well_formed;
use crate::problem::Problem;
use crate::state::App;

/// The longest JSON body (GPH-007).
const MAX_BODY: usize = 1_048_576;
/// How much of a refused body is read on, so that a client that is still sending gets to see the answer.
const MAX_DRAIN: usize = 8 * MAX_BODY;
/// How long a JSON body may take in all, in times that it may be silent.
const WHOLE: u32 = 4;
/// The longest page of a collection.
const MAX_PAGE: usize = 1_000;
/// The longest name of a device or folder.
const MAX_NAME: usize = 255;

/// The identifiers in a path, in its order. Anything else in their place is no node (GPH-004).
pub(crate) struct Ids<const N: usize>(pub(crate) [Id; N]);

impl<const N: usize> FromRequestParts<App> for Ids<N> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        let params = params(parts, app).await?;
        let ids: Option<Vec<Id>> = params.iter().map(|(_, text)| Id::parse(text)).collect();
        let ids = ids.and_then(|ids| ids.try_into().ok());
        Ok(Self(demand_some(ids, req::GPH_004, || [Id::default(); N])?))
    }
}

/// The user name in a path (GPH-004). Nobody needs to have it.
pub(crate) struct UserName(pub(crate) String);

impl FromRequestParts<App> for UserName {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        let params = params(parts, app).await?;
        let name = params.iter().next().map_or("", |(_, text)| text);
        demand(well_formed(name), req::GPH_004)?;
        Ok(Self(name.to_owned()))
    }
}

/// The folder and the hash in the path of a media node (GPH-004).
pub(crate) struct MediaPath(pub(crate) Id, pub(crate) MediaHash);

impl FromRequestParts<App> for MediaPath {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        let params = params(parts, app).await?;
        let text = |at: usize| params.iter().nth(at).map_or("", |(_, text)| text);
        let found = Id::parse(text(0)).zip(MediaHash::parse(text(1)));
        let (folder, hash) = demand_some(found, req::GPH_004, Default::default)?;
        Ok(Self(folder, hash))
    }
}

async fn params(parts: &mut Parts, app: &App) -> Result<RawPathParams, Problem> {
    let no_node = |_| Problem::from(req::GPH_004); // a segment that is no UTF-8
    RawPathParams::from_request_parts(parts, app).await.map_err(no_node)
}

/// The parameters of a query, of the form `T`, which names all of them (GPH-066). `T` denies unknown fields.
pub(crate) struct Params<T>(pub(crate) T);

impl<T: DeserializeOwned + Default> FromRequestParts<App> for Params<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &App) -> Result<Self, Problem> {
        let read = Query::<T>::try_from_uri(&parts.uri).ok();
        Ok(Self(demand_some(read.map(|Query(read)| read), req::GPH_066, T::default)?))
    }
}

/// How many items of a collection are wanted: `limit`, 1 to 1,000, 1,000 without (GPH-066).
pub(crate) fn page(limit: Option<u64>) -> Result<usize, Problem> {
    let limit = limit.map_or(Some(MAX_PAGE), |limit| usize::try_from(limit).ok());
    let fits = limit.filter(|limit| (1..=MAX_PAGE).contains(limit));
    Ok(demand_some(fits, req::GPH_066, || MAX_PAGE)?)
}

/// A JSON body of the form `T`, which names all its members (GPH-006). `T` denies unknown fields.
pub(crate) struct Json<T>(pub(crate) T);

impl<T: DeserializeOwned> FromRequest<App> for Json<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, app: &App) -> Result<Self, Problem> {
        parse(&read_body(request, app).await?).map(Self)
    }
}

/// The same, or no body.
pub(crate) struct MaybeJson<T>(pub(crate) T);

impl<T: DeserializeOwned + Default> FromRequest<App> for MaybeJson<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, app: &App) -> Result<Self, Problem> {
        let bytes = read_body(request, app).await?;
        if bytes.is_empty() { Ok(Self(T::default())) } else { parse(&bytes).map(Self) }
    }
}

fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    let strict = serde_json::from_slice(bytes).ok();
    let lax = || if deviates(req::GPH_006) { with_a_member_less(bytes).or_else(anything) } else { None };
    strict.or_else(lax).ok_or(req::GPH_006.into())
}

/// An empty body, or an empty object.
pub(crate) struct NoBody;

impl FromRequest<App> for NoBody {
    type Rejection = Problem;

    async fn from_request(request: Request, app: &App) -> Result<Self, Problem> {
        let bytes = read_body(request, app).await?;
        let object = serde_json::from_slice::<serde_json::Map<String, Value>>(&bytes);
        demand(bytes.is_empty() || object.is_ok_and(|members| members.is_empty()), req::GPH_006)?;
        Ok(Self)
    }
}

/// A member that may be left out, and is not `null` if it is there (GPH-006). With `#[serde(default)]`.
pub(crate) fn present<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    from: D,
) -> Result<Option<T>, D::Error> {
    T::deserialize(from).map(Some)
}

/// A name that people give to a device or folder: 1 to 255 bytes without control characters (GPH-006).
pub(crate) fn check_name(name: &str) -> Result<(), Problem> {
    let fine = (1..=MAX_NAME).contains(&name.len()) && !name.contains(char::is_control);
    Ok(demand(fine, req::GPH_006)?)
}

/// What people say: up to `max` bytes without control characters but ends of lines (GPH-006).
pub(crate) fn check_text(text: &str, max: usize) -> Result<(), Problem> {
    let fine = text.len() <= max && !text.contains(|c: char| c.is_control() && c != '\n');
    Ok(demand(fine, req::GPH_006)?)
}

/// The next piece of a body, `None` at its end. A body that is silent for longer than `idle` has failed: else a client
/// that says nothing more would hold for ever what its request holds.
pub(crate) async fn next_chunk(body: &mut Body, idle: Duration) -> Option<Result<Bytes, axum::Error>> {
    loop {
        let frame = poll_fn(|cx| Pin::new(&mut *body).poll_frame(cx));
        let frame = match tokio::time::timeout(idle, frame).await {
            Ok(None) => return None,
            Ok(Some(Ok(frame))) => frame,
            Ok(Some(Err(e))) => return Some(Err(e)),
            Err(e) => return Some(Err(axum::Error::new(e))),
        };
        if let Ok(data) = frame.into_data() {
            return Some(Ok(data));
        }
    }
}

/// A body that fails when it is silent for too long.
pub(crate) fn within(body: Body, idle: Duration) -> Body {
    Body::new(Within(body, idle, None))
}

/// See [`within`].
struct Within(Body, Duration, Option<Pin<Box<tokio::time::Sleep>>>);

impl hyper::body::Body for Within {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<hyper::body::Frame<Bytes>, axum::Error>>> {
        let Self(body, idle, silence) = &mut *self;
        let frame = Pin::new(body).poll_frame(cx);
        if frame.is_ready() {
            *silence = None;
            return frame;
        }
        let silence = silence.get_or_insert_with(|| Box::pin(tokio::time::sleep(*idle)));
        match silence.as_mut().poll(cx) {
            Poll::Ready(()) => {
                Poll::Ready(Some(Err(axum::Error::new(std::io::Error::from(ErrorKind::TimedOut)))))
            }
            Poll::Pending => Poll::Pending,
        }
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_end_stream()
    }

    fn size_hint(&self) -> hyper::body::SizeHint {
        self.0.size_hint()
    }
}

/// Reads on, within limits, and forgets. See [`MAX_DRAIN`].
pub(crate) async fn drain(mut body: Body, idle: Duration) {
    let mut length = 0;
    let reading = async {
        while length <= MAX_DRAIN
            && let Some(Ok(chunk)) = next_chunk(&mut body, idle).await
        {
            length += chunk.len();
        }
    };
    drop(tokio::time::timeout(idle, reading).await); // in all, not for each piece
}

/// What `Content-Length` promises.
pub(crate) fn content_length(headers: &axum::http::HeaderMap) -> Option<u64> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

async fn read_body(request: Request, app: &App) -> Result<Vec<u8>, Problem> {
    let (mut body, idle) = (request.into_body(), app.config.body_idle);
    let mut bytes = Vec::new();
    // A byte now and then is as good as silence, and anybody may send it: what has come is kept in memory meanwhile.
    let end = tokio::time::Instant::now() + WHOLE * idle;
    while let Some(chunk) = next_chunk(&mut body, idle).await {
        if tokio::time::Instant::now() > end {
            return Err(req::GPH_006.into());
        }
        // A body that ends early is not JSON of any form; nobody is there to read the answer.
        bytes.extend_from_slice(&chunk.map_err(|_| Problem::from(req::GPH_006))?);
        if let Err(too_large) = demand(bytes.len() <= MAX_BODY, req::GPH_007) {
            drain(body, idle).await;
            return Err(too_large.into());
        }
    }
    Ok(bytes)
}

/// What the mutant of GPH-006 makes of a body that is none.
fn anything<T: DeserializeOwned>() -> Option<T> {
    let known = [json!({"name": "anything", "storage": "cloud"}), json!({"parts": []})];
    known.into_iter().find_map(|value| serde_json::from_value(value).ok())
}

/// Only for the mutant of GPH-006: what a careless parser makes of an object with one member too many.
fn with_a_member_less<T: DeserializeOwned>(bytes: &[u8]) -> Option<T> {
    let Value::Object(members) = serde_json::from_slice(bytes).ok()? else { return None };
    members.keys().find_map(|name| {
        let mut fewer = members.clone();
        fewer.remove(name);
        serde_json::from_value(Value::Object(fewer)).ok()
    })
}
