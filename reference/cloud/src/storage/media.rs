//! `/mesh/objects/{folder}/media/{hash}`

use axum::body::Body;
use axum::extract::State;
use axum::http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use axum::http::{HeaderMap, Request, StatusCode};
use axum::response::{IntoResponse, Response};
use meshproof_proto::codec::Id;
use meshproof_proto::requirement::{self as req, demand, demand_some, deviates};
use meshproof_proto::storage::{MediaHash, MediaHasher};
use serde_json::json;

use super::blobs::{Incoming, Received};
use super::file_body::FileBody;
use super::reserved::Reservation;
use crate::auth::Tickets;
use crate::etag;
use crate::extract::{MediaPath, content_length, drain, next_chunk};
use crate::graph::access::{self, Need};
use crate::graph::paths;
use crate::problem::Problem;
use crate::state::{App, to_its_end};
use crate::store::folders::Storage;
use crate::store::members::Actor;

/// Bytes are hashed and written in pieces of this size.
const PIECE: usize = 512 * 1_024;

/// The bytes (STO-004), or for HEAD what would come with them.
pub(crate) async fn get(
    State(app): State<App>,
    MediaPath(folder, hash): MediaPath,
    tickets: Tickets,
) -> Result<Response, Problem> {
    access::folder(&app, &tickets, folder, Need::READ_MEDIA).await?; // STO-007
    let size = size_in_folder(&app, folder, hash).await?;
    let file = app.blobs.open_file(hash).await.map_err(Problem::internal)?;
    let file = file.ok_or_else(|| Problem::internal(format!("the bytes of media {hash} are missing")))?;
    let fields = [(CONTENT_TYPE, "application/octet-stream".to_owned()), (CONTENT_LENGTH, size.to_string())];
    let mut response = (fields, Body::new(FileBody::new(file, size))).into_response();
    etag::set(&mut response, &hash.to_string());
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
    let status = match done? {
        None => StatusCode::OK,
        // A client that goes away between the file and its row must not leave the one without the other (STO-002).
        Some(upload) => {
            let by = Need::WRITE_MEDIA.by(tickets.user);
            to_its_end(keep(app, folder, hash, upload, by)).await?
        }
    };
    let links = json!({ "links": { "self": paths::media(folder, hash) } });
    let mut response = (status, axum::Json(links)).into_response();
    etag::set(&mut response, &hash.to_string());
    Ok(response)
}

/// Bytes that have come, and their place in the quota.
struct Upload {
    length: u64,
    received: Received,
    reservation: Reservation,
}

/// Keeps what has come, and charges for it.
async fn keep(
    app: App,
    folder: Id,
    hash: MediaHash,
    upload: Upload,
    by: Actor,
) -> Result<StatusCode, Problem> {
    let Upload { length, received, reservation } = upload;
    // The file first, the row that names it then (STO-006).
    let gate = app.blobs.lock().await;
    app.blobs.keep(&gate, received).await.map_err(Problem::internal)?;
    let added = {
        let _charging = app.reserved.charging().await;
        let added = app.store.add_media(folder, hash, length, app.config.storage.quota, by).await; // STO-002
        drop(reservation); // what was reserved is charged now
        added
    };
    if added.is_err() {
        app.blobs.discard(&gate, &app.store, hash).await?;
    }
    Ok(if added? { StatusCode::CREATED } else { StatusCode::OK })
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
) -> Result<Option<Upload>, Problem> {
    let row = access::folder(app, tickets, folder, Need::WRITE_MEDIA).await?; // STO-007
    demand(row.storage == Storage::Cloud, req::STO_003)?; // STO-003
    if let Some(size) = app.store.media_size(folder, hash).await? {
        compare(app, hash, size, body).await?;
        return Ok(None);
    }
    let mut reservation = Reservation::new(app, row.creator);
    if let Some(announced) = content_length(headers) {
        reservation.announce(announced).await?; // STO-002
    }
    let mut incoming = app.blobs.receive().await.map_err(Problem::internal)?;
    let mut piece = Vec::with_capacity(PIECE);
    while let Some(chunk) = next_chunk(body, app.config.body_idle).await {
        // Bytes cut short are not the bytes of the hash; nobody is there to read the answer.
        let chunk = chunk.map_err(|_| Problem::from(req::STO_001))?;
        piece.extend_from_slice(&chunk);
        if piece.len() >= PIECE {
            take(&mut incoming, &mut piece, &mut reservation).await?;
        }
    }
    take(&mut incoming, &mut piece, &mut reservation).await?;
    demand(incoming.hash() == hash, req::STO_001)?;
    let length = incoming.length();
    let received = incoming.finish(hash).await.map_err(Problem::internal)?;
    Ok(Some(Upload { length, received, reservation }))
}

async fn take(
    incoming: &mut Incoming,
    piece: &mut Vec<u8>,
    reservation: &mut Reservation,
) -> Result<(), Problem> {
    reservation.grow(piece.len() as u64).await?; // STO-002
    incoming.write(piece).await.map_err(Problem::internal)?;
    piece.clear();
    Ok(())
}

/// Reads bytes that are held already, and forgets them (STO-001).
async fn compare(app: &App, hash: MediaHash, size: u64, body: &mut Body) -> Result<(), Problem> {
    let (mut hasher, mut length) = (MediaHasher::default(), 0);
    while let Some(chunk) = next_chunk(body, app.config.body_idle).await {
        let chunk = chunk.map_err(|_| Problem::from(req::STO_001))?;
        length += chunk.len() as u64;
        demand(length <= size, req::STO_001)?;
        hasher.update(&chunk);
    }
    Ok(demand(hasher.finish() == hash, req::STO_001)?)
}

/// STO-005: what other folders hold is not there.
async fn size_in_folder(app: &App, folder: Id, hash: MediaHash) -> Result<u64, Problem> {
    let mut size = app.store.media_size(folder, hash).await?;
    if size.is_none() && deviates(req::STO_005) {
        // The mutant knows no folders, only hashes.
        let file = app.blobs.open_file(hash).await.map_err(Problem::internal)?;
        if let Some(file) = file {
            size = Some(file.metadata().await.map_err(Problem::internal)?.len());
        }
    }
    Ok(demand_some(size, req::STO_005, || 0)?)
}
