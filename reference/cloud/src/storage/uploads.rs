//! `/mesh/objects/{folder}/uploads`, and the uploads below it: bytes that come in several requests, after the manner of
//! draft-ietf-httpbis-resumable-upload.
//!
//! What is kept of an upload are pieces, each an object that is never changed; how many bytes they are is in the
//! database. So an offset that was answered survives everything that objects and database survive, and any server that
//! shares them can go on.

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, Request, StatusCode};
use axum::response::{IntoResponse, Response};
use meshproof_proto::codec::Id;
use meshproof_proto::requirement::{self as req, demand, demand_some, deviates};
use meshproof_proto::storage::MediaHash;
use meshproof_proto::storage::sealed::HEADER;
use serde::Deserialize;
use serde_json::{Value, json};

use super::blobs::{Incoming, Kept, Object};
use super::media::{keep, kept};
use super::receive::{Next, Pieces, check_sealed, terms};
use super::sweep;
use crate::auth::Tickets;
use crate::extract::{Ids, Json, drain, next_chunk};
use crate::graph::access::{self, Need};
use crate::graph::paths;
use crate::problem::Problem;
use crate::state::{App, new_id, to_its_end};
use crate::store::members::Actor;
use crate::store::uploads::{Piece, Upload};

/// A piece is kept when it has so many bytes, or the request ends.
const FULL: u64 = 8 * 1_024 * 1_024;
/// A last piece that is smaller is written anew with what follows: so there are never many pieces.
const SMALL: u64 = 1_024 * 1_024;
/// SQL and JSON readers agree on numbers up to here.
const MAX_LENGTH: u64 = i64::MAX as u64;

/// An upload that is to begin.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct New {
    hash: String,
    length: u64,
}

/// The unfinished uploads of the folder.
pub(crate) async fn list(
    State(app): State<App>,
    Ids([folder]): Ids<1>,
    tickets: Tickets,
) -> Result<axum::Json<Value>, Problem> {
    access::folder(&app, &tickets, folder, Need::READ_MEDIA).await?; // STO-007
    let uploads = app.store.uploads(folder, app.now()).await?;
    let items: Vec<Value> = uploads.iter().map(|upload| representation(&app, upload)).collect();
    Ok(axum::Json(json!({ "items": items, "links": { "self": paths::uploads(folder) } })))
}

/// Begins an upload (STO-014).
pub(crate) async fn post(
    State(app): State<App>,
    Ids([folder]): Ids<1>,
    tickets: Tickets,
    Json(New { hash, length }): Json<New>,
) -> Result<Response, Problem> {
    let row = access::folder(&app, &tickets, folder, Need::WRITE_MEDIA).await?; // STO-007
    let hash = MediaHash::parse(&hash).filter(|_| length <= MAX_LENGTH).ok_or(req::GPH_006)?;
    let expires = app.now().plus(app.config.storage.upload_idle);
    let upload = Upload { id: new_id(), folder, user: row.creator, hash, length, received: 0, expires };
    let by = Need::WRITE_MEDIA.by(tickets.who());
    let most = app.config.storage.uploads;
    let garbage = app.store.add_upload(upload.clone(), most, terms(&app), by).await?; // STO-021, STO-022, STO-028
    sweep::remove(&app, garbage).await;
    let mut response = (StatusCode::CREATED, axum::Json(representation(&app, &upload))).into_response();
    describe(&mut response, upload.received, upload.length);
    if !deviates(req::STO_014) {
        set(&mut response, "location", &path(&upload));
    }
    set(&mut response, "upload-limit", &format!("max-age={}", app.config.storage.upload_idle));
    Ok(response)
}

/// How far an upload is (STO-016); HEAD does to know it.
pub(crate) async fn get(
    State(app): State<App>,
    Ids([folder, id]): Ids<2>,
    tickets: Tickets,
) -> Result<Response, Problem> {
    access::folder(&app, &tickets, folder, Need::READ_MEDIA).await?; // STO-007
    let upload = find(&app, folder, id).await?;
    let mut response = axum::Json(representation(&app, &upload)).into_response();
    describe(&mut response, upload.received, upload.length);
    Ok(response)
}

/// Appends bytes, and makes a media of them when all have come (STO-019).
pub(crate) async fn patch(
    State(app): State<App>,
    Ids([folder, id]): Ids<2>,
    tickets: Tickets,
    request: Request<Body>,
) -> Result<Response, Problem> {
    let row = access::folder(&app, &tickets, folder, Need::WRITE_MEDIA).await?; // STO-007
    let upload = find(&app, folder, id).await?;
    let by = Need::WRITE_MEDIA.by(tickets.who());
    let (parts, mut body) = request.into_parts();
    // What came from a client that goes away in the middle is kept too.
    to_its_end(async move {
        let appending = Appending { app: &app, upload, generation: row.generation, by };
        let done = appending.append(&parts.headers, &mut body).await;
        if !done.as_ref().is_ok_and(|response| response.status().is_success()) {
            drain(body, app.config.body_idle).await;
        }
        done
    })
    .await
}

/// Forgets an upload (STO-023).
pub(crate) async fn delete(
    State(app): State<App>,
    Ids([folder, id]): Ids<2>,
    tickets: Tickets,
) -> Result<Response, Problem> {
    access::folder(&app, &tickets, folder, Need::WRITE_MEDIA).await?; // STO-007
    find(&app, folder, id).await?;
    to_its_end(async move {
        if !deviates(req::STO_023) {
            let garbage = app.store.remove_upload(id).await?;
            sweep::remove(&app, garbage).await;
        }
        Ok(StatusCode::NO_CONTENT.into_response())
    })
    .await
}

/// A request that appends.
struct Appending<'a> {
    app: &'a App,
    upload: Upload,
    /// Of the folder's key record (STO-080).
    generation: u64,
    by: Actor,
}

/// The piece that is being written.
struct Writing {
    start: u64,
    incoming: Incoming,
}

impl Appending<'_> {
    async fn append(mut self, headers: &HeaderMap, body: &mut Body) -> Result<Response, Problem> {
        if offset(headers) != Some(self.upload.received) && !deviates(req::STO_015) {
            return self.mismatch().await;
        }
        let mut pieces = Pieces::new(body, self.app);
        let mut writing = None;
        loop {
            // Too slow is too slow, but what has come stays.
            let next = pieces.next().await;
            let (bytes, is_last) = match &next {
                Ok(Next::Piece(bytes)) => (&bytes[..], false),
                Ok(Next::End(bytes) | Next::Broken(bytes)) => (&bytes[..], true),
                Err(_) => (&[][..], true),
            };
            if !bytes.is_empty() {
                let mut current = match writing.take() {
                    Some(current) => current,
                    None => self.begin().await?,
                };
                let before = current.start + current.incoming.length();
                if before == 0 && bytes.len() >= HEADER {
                    check_sealed(self.generation, bytes)?; // before anything is kept; short ones are looked at in the end
                }
                let length = before + bytes.len() as u64;
                demand(length <= self.upload.length, req::STO_017)?;
                current.incoming.write(bytes).await.map_err(Problem::internal)?;
                writing = Some(current);
            }
            let is_full = writing.as_ref().is_some_and(|current| current.incoming.length() >= FULL);
            if let Some(current) = writing.take_if(|_| is_full || is_last)
                && !self.commit(current).await?
            {
                return self.mismatch().await;
            }
            if is_last {
                next?;
                break;
            }
        }
        let Upload { received, length, .. } = self.upload;
        if received < length {
            let mut response = StatusCode::NO_CONTENT.into_response();
            describe(&mut response, received, length);
            return Ok(response);
        }
        self.complete().await
    }

    /// Starts a piece behind what is kept: with the last piece in it, if that is small.
    async fn begin(&self) -> Result<Writing, Problem> {
        let object = Object::piece(self.upload.id);
        let mut incoming = self.app.blobs.receive(object).await.map_err(Problem::internal)?;
        let last = self.app.store.pieces(self.upload.id).await?.pop();
        let Some(last) = last.filter(|last| last.size < SMALL) else {
            return Ok(Writing { start: self.upload.received, incoming });
        };
        copy(self.app, &last, &mut incoming).await?;
        Ok(Writing { start: last.start, incoming })
    }

    /// Keeps a piece (STO-016). `false` if another request was faster.
    async fn commit(&mut self, writing: Writing) -> Result<bool, Problem> {
        let Writing { start, incoming } = writing;
        let bytes = incoming.keep().await.map_err(Problem::internal)?;
        let object = bytes.object().map_err(Problem::internal)?.clone();
        let Kept { length: size, .. } = bytes;
        let piece = Piece { start, size, object: object.clone() };
        let (id, from, terms) = (self.upload.id, self.upload.received, terms(self.app));
        let expires = terms.now.plus(self.app.config.storage.upload_idle);
        let appended = self.app.store.append(id, from, piece, expires, terms, self.by).await;
        match appended {
            Ok(Some(garbage)) => {
                sweep::remove(self.app, garbage).await;
                self.upload.received = start + size;
                Ok(true)
            }
            Ok(None) => {
                sweep::remove(self.app, vec![object]).await;
                Ok(false)
            }
            Err(error) => {
                if matches!(error, crate::store::StoreError::Rule(_)) {
                    sweep::remove(self.app, vec![object]).await;
                }
                Err(error.into())
            }
        }
    }

    /// All bytes are here: they become a media if they are what they should be. One request at a time does that, for it
    /// takes as much room again as the upload, and whoever says that there are no more bytes can ask for it.
    async fn complete(&self) -> Result<Response, Problem> {
        let Upload { id, folder, hash, length, .. } = self.upload;
        let turn = self.app.completing.of(id);
        let _turn = turn.lock().await;
        if self.app.store.upload(folder, id, self.app.now()).await?.is_none() {
            // Another request did it, or removed it.
            self.app.store.media(folder, hash).await?.ok_or(req::STO_024)?;
            let mut response = kept(folder, hash, false);
            describe(&mut response, length, length);
            return Ok(response);
        }
        let pieces = self.app.store.pieces(id).await?;
        if let Err(wrong) = check_sealed(self.generation, &begin(self.app, pieces.first()).await?) {
            let garbage = self.app.store.remove_upload(id).await?;
            sweep::remove(self.app, garbage).await;
            return Err(wrong.into());
        }
        let mut incoming = self.app.blobs.receive(Object::media(hash)).await.map_err(Problem::internal)?;
        for piece in pieces {
            copy(self.app, &piece, &mut incoming).await?;
        }
        if let Err(wrong) = demand(incoming.hash() == hash, req::STO_018) {
            let garbage = self.app.store.remove_upload(id).await?;
            sweep::remove(self.app, garbage).await;
            return Err(wrong.into());
        }
        if deviates(req::STO_019) {
            // The mutant says that all is well, and does not hold it.
            let garbage = self.app.store.remove_upload(id).await?;
            sweep::remove(self.app, garbage).await;
            return Ok(kept(folder, hash, true));
        }
        let is_new = keep(self.app, folder, (hash, self.generation > 0), incoming, Some(id), self.by).await?;
        let mut response = kept(folder, hash, is_new);
        describe(&mut response, length, length);
        Ok(response)
    }

    /// STO-015: the bytes are not those that come next. The answer says which do.
    async fn mismatch(&self) -> Result<Response, Problem> {
        let now = find(self.app, self.upload.folder, self.upload.id).await?;
        let mut response = Problem::from(req::STO_015).into_response();
        describe(&mut response, now.received, now.length);
        Ok(response)
    }
}

/// STO-024
async fn find(app: &App, folder: Id, id: Id) -> Result<Upload, Problem> {
    let lax = || {
        let (user, hash, expires) = (Id::default(), MediaHash::default(), app.now());
        Upload { id, folder, user, hash, length: 1, received: 0, expires }
    };
    Ok(demand_some(app.store.upload(folder, id, app.now()).await?, req::STO_024, lax)?)
}

/// The first bytes of an upload: only the last piece of one may be small, so all of them are in the first piece.
async fn begin(app: &App, piece: Option<&Piece>) -> Result<Vec<u8>, Problem> {
    let Some(piece) = piece else { return Ok(Vec::new()) };
    let range = 0..piece.size.min(HEADER as u64);
    let reading = app.blobs.open(&piece.object, range).await.map_err(Problem::internal)?;
    let missing = || Problem::internal(format!("the piece {} is missing", piece.object.as_str()));
    let mut body = Body::new(reading.ok_or_else(missing)?);
    let mut begin = Vec::new();
    while let Some(chunk) = next_chunk(&mut body, app.config.body_idle).await {
        begin.extend_from_slice(&chunk.map_err(Problem::internal)?);
    }
    Ok(begin)
}

async fn copy(app: &App, piece: &Piece, to: &mut Incoming) -> Result<(), Problem> {
    let reading = app.blobs.open(&piece.object, 0..piece.size).await.map_err(Problem::internal)?;
    let missing = || Problem::internal(format!("the piece {} is missing", piece.object.as_str()));
    let mut body = Body::new(reading.ok_or_else(missing)?);
    while let Some(chunk) = next_chunk(&mut body, app.config.body_idle).await {
        to.write(&chunk.map_err(Problem::internal)?).await.map_err(Problem::internal)?;
    }
    Ok(())
}

fn representation(app: &App, upload: &Upload) -> Value {
    json!({
        "upload": upload.id.to_string(),
        "hash": upload.hash.to_string(),
        "length": upload.length,
        "offset": upload.received,
        "expires": upload.expires.0.saturating_sub(app.now().0),
        "links": { "self": path(upload), "media": paths::media(upload.folder, upload.hash) },
    })
}

fn path(upload: &Upload) -> String {
    format!("{}/{}", paths::uploads(upload.folder), upload.id)
}

/// The fields of the draft.
fn describe(response: &mut Response, offset: u64, length: u64) {
    let told = if deviates(req::STO_016) { 0 } else { offset };
    set(response, "upload-offset", &told.to_string());
    set(response, "upload-length", &length.to_string());
    set(response, "upload-complete", if offset == length { "?1" } else { "?0" });
}

fn set(response: &mut Response, name: &'static str, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        response.headers_mut().insert(name, value);
    }
}

/// The field `Upload-Offset`.
fn offset(headers: &HeaderMap) -> Option<u64> {
    let text = headers.get("upload-offset")?.to_str().ok()?;
    text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse().ok())?
}
