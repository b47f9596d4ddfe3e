//! `/mesh/objects/{folder}/media/{hash}`

use axum::body::Body;
use axum::extract::State;
use axum::http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use axum::http::{HeaderMap, Request, StatusCode};
use axum::response::{IntoResponse, Response};
use meshproof_proto::codec::Id;
use meshproof_proto::requirement::{self as req, demand, demand_some, deviates};
use meshproof_proto::storage::MediaHash;
use serde_json::json;

use super::blobs::{Incoming, Received};
use super::file_body::FileBody;
use crate::auth::Tickets;
use crate::etag;
use crate::extract::{MediaPath, content_length, drain, next_chunk};
use crate::graph::access::{self, Need};
use crate::graph::paths;
use crate::problem::Problem;
use crate::state::App;
use crate::store::folders::Storage;

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
        drain(body).await;
    }
    let received = done?;

    // The file first, the row that names it then (STO-006).
    let gate = app.blobs.lock().await;
    let (length, file) = received;
    app.blobs.keep(&gate, file).await.map_err(Problem::internal)?;
    let added = app.store.add_media(folder, hash, length, app.config.quota).await; // STO-002
    if added.is_err() {
        app.blobs.discard(&gate, &app.store, hash).await?;
    }
    let status = if added? { StatusCode::CREATED } else { StatusCode::OK };
    let links = json!({ "links": { "self": paths::media(folder, hash) } });
    let mut response = (status, axum::Json(links)).into_response();
    etag::set(&mut response, &hash.to_string());
    Ok(response)
}

/// Reads the body to disk, as far as the rules allow.
async fn receive(
    app: &App,
    folder: Id,
    hash: MediaHash,
    tickets: &Tickets,
    headers: &HeaderMap,
    body: &mut Body,
) -> Result<(u64, Received), Problem> {
    let row = access::folder(app, tickets, folder, Need::WRITE_MEDIA).await?; // STO-007
    demand(row.storage == Storage::Cloud, req::STO_003)?; // STO-003
    let room = room(app, row.creator, folder, hash).await?;
    if let Some(announced) = content_length(headers) {
        demand(announced <= room, req::STO_002)?;
    }
    let mut incoming = app.blobs.receive().await.map_err(Problem::internal)?;
    let mut piece = Vec::with_capacity(PIECE);
    while let Some(chunk) = next_chunk(body).await {
        // Bytes cut short are not the bytes of the hash; nobody is there to read the answer.
        let chunk = chunk.map_err(|_| Problem::from(req::STO_001))?;
        piece.extend_from_slice(&chunk);
        if piece.len() >= PIECE {
            take(&mut incoming, &mut piece, room).await?;
        }
    }
    take(&mut incoming, &mut piece, room).await?;
    demand(incoming.hash() == hash, req::STO_001)?;
    let length = incoming.length();
    Ok((length, incoming.finish(hash).await.map_err(Problem::internal)?))
}

async fn take(incoming: &mut Incoming, piece: &mut Vec<u8>, room: u64) -> Result<(), Problem> {
    demand(incoming.length() + piece.len() as u64 <= room, req::STO_002)?;
    incoming.write(piece).await.map_err(Problem::internal)?;
    piece.clear();
    Ok(())
}

/// How many bytes a PUT may bring: what is left of the quota of the folder's creator, or nothing is charged because
/// the folder holds the media. What counts in the end is decided when the row is written.
async fn room(app: &App, creator: Id, folder: Id, hash: MediaHash) -> Result<u64, Problem> {
    if app.store.media_size(folder, hash).await?.is_some() {
        return Ok(app.config.quota);
    }
    let used = app.store.user(creator).await?.map_or(0, |user| user.used);
    Ok(app.config.quota.saturating_sub(used))
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
