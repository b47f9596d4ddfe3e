//! Bodies of bytes: how slowly they may come, and what they take of a quota meanwhile.

use std::time::Instant;

use axum::body::{Body, Bytes};
use meshproof_proto::codec::Id;
use meshproof_proto::error::Error as RuleError;
use meshproof_proto::requirement::{self as req, demand};
use meshproof_proto::storage::{MediaHash, sealed};

use super::sweep;
use crate::extract::next_chunk;
use crate::problem::Problem;
use crate::state::{App, new_id};
use crate::store::media::Terms;
use crate::store::uploads::Upload;

/// Bytes are hashed and written in pieces of this size.
pub(super) const PIECE: usize = 512 * 1_024;
/// What a PUT that says its length counts ahead of its bytes, at most.
const AHEAD: u64 = 8 * 1_024 * 1_024;
/// How long a PUT counts after its last sign of life, in seconds: this long it does after a crash of the server.
const LEASE: u64 = 120;
/// When it gives that sign, in seconds.
const RENEWAL: u64 = 30;

/// The rules for what is charged, now.
pub(super) fn terms(app: &App) -> Terms {
    Terms { quota: app.config.storage.quota, now: app.now(), grace: app.config.storage.grace }
}

/// STO-080: whether bytes for a folder with a key record of this generation begin as a sealed object. Of a folder that is not
/// encrypted (0) all are good.
pub(super) fn check_sealed(generation: u64, begin: &[u8]) -> Result<(), RuleError> {
    let sealed =
        || begin.first_chunk().and_then(sealed::generation_of).is_some_and(|of| u64::from(of) <= generation);
    demand(generation == 0 || sealed(), req::STO_080)
}

/// A body as pieces of [`PIECE`] bytes, the last one shorter.
pub(super) struct Pieces<'a> {
    body: &'a mut Body,
    app: &'a App,
    left: Option<Bytes>,
    window: Instant,
    came: u64,
}

/// How a body went on.
pub(super) enum Next {
    /// With a piece.
    Piece(Vec<u8>),
    /// With its last bytes, which may be none: it is complete.
    End(Vec<u8>),
    /// It broke off after these bytes.
    Broken(Vec<u8>),
}

impl<'a> Pieces<'a> {
    pub(super) fn new(body: &'a mut Body, app: &'a App) -> Self {
        Self { body, app, left: None, window: Instant::now(), came: 0 }
    }

    /// The next piece.
    ///
    /// # Errors
    /// STO-027 if the bytes come too slowly. Silence is a body that broke off.
    pub(super) async fn next(&mut self) -> Result<Next, Problem> {
        let mut piece = Vec::new();
        loop {
            let chunk = match self.left.take() {
                Some(left) => left,
                None => match next_chunk(self.body, self.app.config.body_idle).await {
                    None => return Ok(Next::End(piece)),
                    Some(Err(_)) => return Ok(Next::Broken(piece)),
                    Some(Ok(chunk)) => {
                        self.keep_up(chunk.len() as u64)?;
                        chunk
                    }
                },
            };
            let mut chunk = chunk;
            let rest = chunk.split_off(chunk.len().min(PIECE - piece.len()));
            piece.extend_from_slice(&chunk);
            self.left = Some(rest).filter(|rest| !rest.is_empty());
            if piece.len() == PIECE {
                return Ok(Next::Piece(piece));
            }
        }
    }

    /// STO-027: in each window enough comes for its length.
    fn keep_up(&mut self, bytes: u64) -> Result<(), Problem> {
        let limits = &self.app.config.storage;
        self.came += bytes;
        let elapsed = self.window.elapsed();
        if elapsed >= limits.rate_window {
            let least = u128::from(limits.min_rate) * elapsed.as_millis() / 1_000;
            demand(u128::from(self.came) >= least, req::STO_027)?;
            (self.window, self.came) = (Instant::now(), 0);
        }
        Ok(())
    }
}

/// What a PUT under way takes of a quota (STO-002). It is to be [`release`](Self::release)d; one that is dropped is
/// released behind the caller's back, and one that a crash left, when it expires.
pub(super) struct Reservation {
    app: App,
    upload: Upload,
    announced: u64,
    is_counted: bool,
}

impl Reservation {
    pub(super) fn new(app: &App, folder: Id, creator: Id, hash: MediaHash, announced: Option<u64>) -> Self {
        let upload = Upload {
            id: new_id(),
            folder,
            user: creator,
            hash,
            length: announced.unwrap_or(0),
            received: 0,
            expires: app.now(),
        };
        Self { app: app.clone(), upload, announced: announced.unwrap_or(0), is_counted: false }
    }

    /// Whether what was announced would fit now. An announcement alone takes nothing from others.
    pub(super) async fn announce(&self) -> Result<(), Problem> {
        if self.announced > 0 {
            let garbage = self.app.store.announce(self.upload.user, self.announced, terms(&self.app)).await?;
            sweep::remove(&self.app, garbage).await;
        }
        Ok(())
    }

    /// Counts so many bytes in all.
    pub(super) async fn grow(&mut self, received: u64) -> Result<(), Problem> {
        let terms = terms(&self.app);
        let lives = self.upload.expires > terms.now.plus(LEASE - RENEWAL);
        if received <= self.upload.received && lives {
            return Ok(());
        }
        let ahead = self.announced.min(received.saturating_add(AHEAD));
        let wanted = self.upload.received.max(received).max(ahead);
        let upload = Upload { received: wanted, expires: terms.now.plus(LEASE), ..self.upload.clone() };
        self.is_counted = true; // in doubt it is
        let garbage = self.app.store.reserve(upload.clone(), terms).await?;
        self.upload = upload;
        sweep::remove(&self.app, garbage).await;
        Ok(())
    }

    /// The row that is to go when the bytes are charged.
    pub(super) fn row(&self) -> Option<Id> {
        self.is_counted.then_some(self.upload.id)
    }

    /// The row has gone.
    pub(super) fn charged(mut self) {
        self.is_counted = false;
    }

    /// Counts no more.
    pub(super) async fn release(mut self) {
        if std::mem::take(&mut self.is_counted) {
            drop(self.app.store.remove_upload(self.upload.id).await);
        }
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        if self.is_counted {
            let (app, id) = (self.app.clone(), self.upload.id);
            tokio::spawn(async move { drop(app.store.remove_upload(id).await) });
        }
    }
}
