//! `/mesh/objects/{folder}/media/{hash}`

use axum::body::Body;
use axum::extract::State;
use axum::http::header::{ACCEPT_RANGES, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE};
use axum::http::{HeaderMap, HeaderValue, Method, Request, StatusCode};
use axum::response::{IntoResponse, Response};
use meshproof_proto::codec::Id;
use meshproof_proto::requirement::{self as req, demand, demand_some, deviates};
use meshproof_proto::storage::{MediaHash, MediaHasher};
use serde_json::json;

use super::blobs::{Incoming, Kept, Object};
use super::ranges::{Part, asked};
use super::receive::{Next, PIECE, Pieces, Reservation, check_sealed, terms};
use super::sweep;
use crate::auth::Tickets;
use crate::etag;
use crate::extract::{MediaPath, content_length, drain};
use crate::graph::access::{self, Need};
use crate::graph::paths;
use crate::problem::Problem;
use crate::state::{App, to_its_end};
use crate::store::StoreError;
use crate::store::folders::Storage;
use crate::store::media::{Media, NewMedia};
use crate::store::members::Actor;

/// The bytes (STO-004) or a part of them (STO-008), or for HEAD what would come with them all.
pub(crate) async fn get(
    State(app): State<App>,
    MediaPath(folder, hash): MediaPath,
    tickets: Tickets,
    method: Method,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    access::folder(&app, &tickets, folder, Need::READ_MEDIA).await?; // STO-007
    let Media { size, object } = held(&app, folder, hash).await?;
    let tag = hash.to_string();
    etag::check_if_any(&headers, &tag)?; // GPH-013
    if etag::is_known(&headers, &tag) && !deviates(req::STO_011) {
        let mut response = StatusCode::NOT_MODIFIED.into_response();
        etag::set(&mut response, &tag);
        return Ok(response);
    }
    let part = if method == Method::GET { asked(&headers, &tag, size) } else { Part::Whole };
    let (status, range) = match part {
        Part::Nothing if !deviates(req::STO_009) => return Ok(not_there(size)),
        Part::Whole | Part::Nothing => (StatusCode::OK, 0..size),
        Part::Some(range) => (StatusCode::PARTIAL_CONTENT, range),
    };
    let mut range = range;
    if deviates(req::STO_004) && range.end > range.start {
        range.end -= 1; // the mutant keeps the last byte
    }
    let reading = app.blobs.open(&object, range.clone()).await.map_err(Problem::internal)?;
    let reading =
        reading.ok_or_else(|| Problem::internal(format!("the bytes of media {hash} are missing")))?;
    let mut response = (status, Body::new(reading)).into_response();
    etag::set(&mut response, &tag);
    let fields = response.headers_mut();
    fields.insert(CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
    fields.insert(CONTENT_LENGTH, (range.end - range.start).into());
    if !deviates(req::STO_012) {
        fields.insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    }
    if status == StatusCode::PARTIAL_CONTENT {
        let text = format!("bytes {}-{}/{size}", range.start, range.end.saturating_sub(1));
        fields.insert(CONTENT_RANGE, HeaderValue::try_from(text).map_err(Problem::internal)?);
    }
    Ok(response)
}

/// Keeps bytes: 201, or 200 if the folder held them.
pub(crate) async fn put(
    State(app): State<App>,
    MediaPath(folder, hash): MediaPath,
    tickets: Tickets,
    request: Request<Body>,
) -> Result<Response, Problem> {
    let (parts, mut body) = request.into_parts();
    let done = receive(&app, folder, hash, &tickets, &parts.headers, &mut body).await;
    if done.is_err() {
        drain(body, app.config.body_idle).await;
    }
    let by = Need::WRITE_MEDIA.by(tickets.who());
    // A client that goes away between the bytes and their row must not leave the ones without the other (STO-002).
    let is_new = to_its_end(async move {
        match done? {
            None => Ok(!app.store.hold_media(folder, hash, terms(&app), by).await?),
            Some(Came { incoming, reservation, sealed }) => {
                let row = reservation.row();
                let is_new = keep(&app, folder, (hash, sealed), incoming, row, by).await;
                match is_new {
                    Ok(_) => reservation.charged(),
                    Err(_) => reservation.release().await,
                }
                is_new
            }
        }
    })
    .await?;
    Ok(kept(folder, hash, is_new))
}

/// Removes a media that no live entry names (STO-038).
pub(crate) async fn delete(
    State(app): State<App>,
    MediaPath(folder, hash): MediaPath,
    tickets: Tickets,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    access::folder(&app, &tickets, folder, Need::DELETE_MEDIA).await?; // STO-007
    held(&app, folder, hash).await?;
    etag::check_if_any(&headers, &hash.to_string())?; // GPH-013
    let by = Need::DELETE_MEDIA.by(tickets.who());
    to_its_end(async move {
        let removed = app.store.remove_media(folder, hash, by).await?;
        let garbage = demand_some(removed, req::STO_005, Vec::new)?;
        sweep::remove(&app, garbage).await;
        Ok(StatusCode::NO_CONTENT.into_response())
    })
    .await
}

/// The answer to bytes that are kept.
pub(super) fn kept(folder: Id, hash: MediaHash, is_new: bool) -> Response {
    let status = if is_new { StatusCode::CREATED } else { StatusCode::OK };
    let links = json!({ "links": { "self": paths::media(folder, hash) } });
    let mut response = (status, axum::Json(links)).into_response();
    etag::set(&mut response, &hash.to_string());
    response
}

/// Keeps what has come, which is sealed or not, and charges for it in place of what counted on the way. `false` if the folder
/// held it.
pub(super) async fn keep(
    app: &App,
    folder: Id,
    (hash, sealed): (MediaHash, bool),
    incoming: Incoming,
    upload: Option<Id>,
    by: Actor,
) -> Result<bool, Problem> {
    // The object first, the row that names it then (STO-006).
    let bytes = incoming.keep().await.map_err(Problem::internal)?;
    let object = bytes.object().map_err(Problem::internal)?.clone();
    let Kept { length: size, .. } = bytes;
    let new = NewMedia { folder, hash, size, object: object.clone(), upload, sealed };
    match app.store.add_media(new, terms(app), by).await {
        Ok((is_new, garbage)) => {
            sweep::remove(app, garbage).await;
            Ok(is_new)
        }
        Err(error) => {
            // After another error the row may be there all the same; if it is not, the sweep finds the object.
            if matches!(error, StoreError::Rule(_)) {
                sweep::remove(app, vec![object]).await;
            }
            Err(error.into())
        }
    }
}

/// Bytes that have come, and what they take of the quota.
struct Came {
    incoming: Incoming,
    /// Whether they begin as a sealed object.
    sealed: bool,
    reservation: Reservation,
}

/// Reads the body to disk, as far as the rules allow. `None` if the folder holds the media: then it only looks whether
/// these are its bytes, which takes no room.
async fn receive(
    app: &App,
    folder: Id,
    hash: MediaHash,
    tickets: &Tickets,
    headers: &HeaderMap,
    body: &mut Body,
) -> Result<Option<Came>, Problem> {
    let row = access::folder(app, tickets, folder, Need::WRITE_MEDIA).await?; // STO-007
    demand(row.storage == Storage::Cloud, req::STO_003)?; // STO-003
    let mut pieces = Pieces::new(body, app);
    if let Some(held) = app.store.media(folder, hash).await? {
        compare(hash, held.size, &mut pieces).await?;
        return Ok(None);
    }
    let mut reservation = Reservation::new(app, folder, row.creator, hash, content_length(headers));
    reservation.announce().await?; // STO-002
    match take(app, hash, row.generation, &mut pieces, &mut reservation).await {
        Ok(incoming) => Ok(Some(Came { incoming, sealed: row.generation > 0, reservation })),
        Err(problem) => {
            reservation.release().await;
            Err(problem)
        }
    }
}

async fn take(
    app: &App,
    hash: MediaHash,
    generation: u64,
    pieces: &mut Pieces<'_>,
    reservation: &mut Reservation,
) -> Result<Incoming, Problem> {
    let mut incoming = app.blobs.receive(Object::media(hash)).await.map_err(Problem::internal)?;
    loop {
        let next = pieces.next().await?;
        let (Next::Piece(piece) | Next::End(piece)) = &next else {
            // Bytes cut short are not the bytes of the hash; nobody is there to read the answer.
            return Err(req::STO_001.into());
        };
        let is_last = matches!(next, Next::End(_));
        if incoming.length() == 0 {
            check_sealed(generation, piece)?;
        }
        let length = incoming.length() + piece.len() as u64;
        // What is not more than a piece is charged in the next moment.
        if !is_last || length > PIECE as u64 {
            reservation.grow(length).await?; // STO-002
        }
        incoming.write(piece).await.map_err(Problem::internal)?;
        if is_last {
            demand(incoming.hash() == hash, req::STO_001)?;
            return Ok(incoming);
        }
    }
}

/// Reads bytes that are held already, and forgets them (STO-001).
async fn compare(hash: MediaHash, size: u64, pieces: &mut Pieces<'_>) -> Result<(), Problem> {
    let (mut hasher, mut length) = (MediaHasher::default(), 0);
    loop {
        let next = pieces.next().await?;
        let (Next::Piece(piece) | Next::End(piece)) = &next else { return Err(req::STO_001.into()) };
        length += piece.len() as u64;
        demand(length <= size, req::STO_001)?;
        hasher.update(piece);
        if matches!(next, Next::End(_)) {
            return Ok(demand(hasher.finish() == hash, req::STO_001)?);
        }
    }
}

/// STO-005: what other folders hold is not there.
async fn held(app: &App, folder: Id, hash: MediaHash) -> Result<Media, Problem> {
    let mut media = app.store.media(folder, hash).await?;
    if media.is_none() && deviates(req::STO_005) {
        media = app.store.media_anywhere(hash).await?; // the mutant knows no folders, only hashes
    }
    Ok(media.ok_or(req::STO_005)?)
}

/// STO-009
fn not_there(size: u64) -> Response {
    let mut response = Problem::from(req::STO_009).into_response();
    if let Ok(text) = HeaderValue::try_from(format!("bytes */{size}")) {
        response.headers_mut().insert(CONTENT_RANGE, text);
    }
    response
}
