//! The storage service: bytes up and down (`spec/storage.md`).
//!
//! What is large goes up in pieces, each acknowledged before the next is sent, and comes down by ranges: what broke off
//! goes on where it ended, in this run or a later one.

use std::io::SeekFrom;
use std::path::Path;
use std::time::Duration;

use meshproof_proto::codec::Id;
use meshproof_proto::requirement::{self as req, deviates};
use meshproof_proto::storage::{MediaHash, MediaHasher};
use reqwest::{Method, RequestBuilder, Response, StatusCode, header};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncSeekExt as _, AsyncWriteExt as _};

use super::Cloud;
use super::http::{chain, problem, unexpected};
use super::operations::items;
use crate::error::{Error, Result};

/// What is not larger goes up in one request.
const PIECE: u64 = 8 * 1_024 * 1_024;
/// How long a piece may take, or the next bytes of a download.
const PATIENCE: Duration = Duration::from_mins(10);
/// How often one transfer goes on after it broke off.
const ATTEMPTS: u32 = 5;

impl Cloud {
    /// What the cloud wants of a folder: hash and size, the first in its line first.
    pub async fn wanted(&self, folder: Id) -> Result<Vec<(MediaHash, u64)>> {
        let path = self.folder_path(folder).await?;
        let answer = self.call(Method::GET, &format!("{path}/wanted"), None, &path).await?;
        let item = |item: &Value| item["hash"].as_str().and_then(MediaHash::parse).zip(item["size"].as_u64());
        let wanted = items(&answer.body)?.iter().map(item).collect::<Option<_>>();
        wanted.ok_or_else(|| unexpected("GET of what is wanted", "an item is none"))
    }

    /// Brings `size` bytes that have the hash. Goes on with an upload that broke off, whoever began it.
    pub async fn upload(&self, folder: Id, hash: MediaHash, size: u64, file: std::fs::File) -> Result<()> {
        let path = self.folder_path(folder).await?;
        let mut file = tokio::fs::File::from_std(file);
        if size <= PIECE {
            let bytes = part(&mut file, 0, size).await?;
            let request =
                |http: &reqwest::Client| http.put(self.at(&format!("{path}/media/{hash}"))).body(bytes);
            return self.raw(&path, request).await.map(drop);
        }
        let (upload, mut offset) = self.begin(&path, hash, size).await?;
        let mut broken = 0;
        loop {
            let bytes = part(&mut file, offset, PIECE.min(size - offset)).await?;
            let request = |http: &reqwest::Client| {
                let request = http.patch(self.at(&upload)).header("upload-offset", offset);
                request.header(header::CONTENT_TYPE, "application/partial-upload").body(bytes)
            };
            match self.raw(&path, request).await {
                Ok(answer) if answer.status() != StatusCode::NO_CONTENT => return Ok(()),
                Ok(answer) => offset = kept(&answer).filter(|kept| *kept <= size).ok_or_else(no_offset)?,
                Err(Error::Problem(problem)) if problem.error != "upload-offset-mismatch" => {
                    return Err(problem.into());
                }
                Err(error) => {
                    broken += 1;
                    if broken > ATTEMPTS {
                        return Err(error);
                    }
                    tracing::info!(%hash, "an upload broke off, going on: {error}");
                    let asked = self.raw(&path, |http| http.head(self.at(&upload))).await;
                    offset = match asked {
                        Ok(answer) => kept(&answer).filter(|kept| *kept <= size).ok_or_else(no_offset)?,
                        Err(_) => offset,
                    };
                }
            }
        }
    }

    /// Whether the cloud has the bytes of a folder that have the hash.
    pub async fn has_media(&self, folder: Id, hash: MediaHash) -> Result<bool> {
        let path = self.folder_path(folder).await?;
        let tickets = self.tickets(&path).await?;
        let request = self.http.head(self.at(&format!("{path}/media/{hash}")));
        let request = request.header(header::AUTHORIZATION, tickets).timeout(PATIENCE);
        let answer = self.execute(request).await?;
        match answer.status() {
            StatusCode::NOT_FOUND => Ok(false), // without a body, which would say why
            status if status.is_success() => Ok(true),
            _ => Err(problem(format!("HEAD of {path}/media/{hash}"), answer).await),
        }
    }

    /// Gets bytes into a file, behind those that an earlier attempt left there. They have the hash, or this fails.
    pub async fn download(&self, folder: Id, hash: MediaHash, size: u64, to: &Path) -> Result<()> {
        let path = self.folder_path(folder).await?;
        let failed = || Error::io("writing", to);
        let options = tokio::fs::OpenOptions::new().create(true).append(true).read(true).open(to).await;
        let mut file = options.map_err(failed())?;
        let mut broken = 0;
        loop {
            // A write of a transfer that broke off may still be under way, and counts.
            file.flush().await.map_err(failed())?;
            let have = file.metadata().await.map_err(failed())?.len();
            if have >= size {
                break;
            }
            match self.fetch(&path, hash, (have, size), &mut file).await {
                Err(Error::Cloud(why)) if broken < ATTEMPTS => {
                    tracing::info!(%hash, "a download broke off, going on: {why}");
                    broken += 1;
                }
                result => result?,
            }
            let now = file.metadata().await.map_err(failed())?.len();
            if now <= have {
                broken += 1;
                if broken > ATTEMPTS {
                    return Err(Error::Cloud("the cloud sends nothing of a content that it has".into()));
                }
            }
        }
        file.seek(SeekFrom::Start(0)).await.map_err(failed())?;
        let (mut hasher, mut piece) = (MediaHasher::default(), vec![0; 256 * 1_024]);
        loop {
            match file.read(&mut piece).await.map_err(failed())? {
                0 => break,
                read => hasher.update(&piece[..read]),
            }
        }
        if hasher.finish() != hash && !deviates(req::STO_052) {
            // What is wrong would be wrong for ever.
            tokio::fs::remove_file(to).await.map_err(failed())?;
            return Err(Error::WrongBytes(hash));
        }
        file.sync_all().await.map_err(failed())
    }

    /// The bytes from `offset` on, to the end of the file, as far as they come.
    async fn fetch(
        &self,
        path: &str,
        hash: MediaHash,
        (offset, size): (u64, u64),
        file: &mut tokio::fs::File,
    ) -> Result<()> {
        let request = |http: &reqwest::Client| {
            let request = http.get(self.at(&format!("{path}/media/{hash}")));
            request
                .header(header::RANGE, format!("bytes={offset}-"))
                .header(header::IF_RANGE, format!("\"{hash}\""))
        };
        let mut answer = self.raw(path, request).await?;
        if answer.status() != StatusCode::PARTIAL_CONTENT {
            // It knows no ranges: from the start, then.
            file.set_len(0).await.map_err(Error::io("writing", Path::new("the download")))?;
        }
        // More than one byte too many is not written: whoever sends could fill the disk.
        let mut room = (size + 1).saturating_sub(file.metadata().await.map_or(0, |file| file.len()));
        let broke =
            |error: reqwest::Error| Error::Cloud(format!("the download broke off: {}", chain(&error)));
        let ended = loop {
            match answer.chunk().await {
                Ok(Some(bytes)) => {
                    let bytes = &bytes[..bytes.len().min(usize::try_from(room).unwrap_or(usize::MAX))];
                    room -= bytes.len() as u64;
                    if bytes.is_empty() {
                        break Ok(None);
                    }
                    file.write_all(bytes).await.map_err(Error::io("writing", Path::new("the download")))?;
                }
                ended => break ended,
            }
        };
        // Writes go on behind our back: how long the file is tells where to go on, only when they have ended.
        file.flush().await.map_err(Error::io("writing", Path::new("the download")))?;
        ended.map(drop).map_err(broke)
    }

    /// The upload of these bytes that is unfinished, or a new one; with how many are kept.
    async fn begin(&self, path: &str, hash: MediaHash, size: u64) -> Result<(String, u64)> {
        let uploads = format!("{path}/uploads");
        let listed = self.call(Method::GET, &uploads, None, path).await?.body; // in one piece (section 3.5)
        let same = |item: &&Value| item["hash"] == hash.to_string() && item["length"] == size;
        let begun = items(&listed)?.iter().find(same).cloned();
        let upload = if let Some(begun) = begun {
            begun
        } else {
            let body = json!({ "hash": hash.to_string(), "length": size });
            self.call(Method::POST, &uploads, Some(&body), path).await?.body
        };
        let link = upload["links"]["self"].as_str().filter(|link| link.starts_with('/'));
        let found = link.map(str::to_owned).zip(upload["offset"].as_u64().filter(|offset| *offset <= size));
        found.ok_or_else(|| unexpected("POST of an upload", "links.self or offset is missing"))
    }

    /// One request with the tickets for a resource, which may take long: others need not wait for it.
    pub(super) async fn raw(
        &self,
        resource: &str,
        request: impl FnOnce(&reqwest::Client) -> RequestBuilder,
    ) -> Result<Response> {
        let tickets = self.tickets(resource).await?;
        let request = request(&self.http).header(header::AUTHORIZATION, tickets).timeout(PATIENCE);
        let answer = self.execute(request).await?;
        let what = format!("a request for {}", answer.url().path());
        if answer.status().is_success() { Ok(answer) } else { Err(problem(what, answer).await) }
    }
}

async fn part(file: &mut tokio::fs::File, offset: u64, length: u64) -> Result<Vec<u8>> {
    let failed = |source| Error::Io { what: "reading a file for the cloud".into(), source };
    file.seek(SeekFrom::Start(offset)).await.map_err(failed)?;
    let mut bytes = Vec::new();
    file.take(length).read_to_end(&mut bytes).await.map_err(failed)?;
    if bytes.len() as u64 == length {
        Ok(bytes)
    } else {
        Err(failed(std::io::ErrorKind::UnexpectedEof.into()))
    }
}

fn kept(answer: &Response) -> Option<u64> {
    answer.headers().get("upload-offset")?.to_str().ok()?.parse().ok()
}

fn no_offset() -> Error {
    unexpected("PATCH of an upload", "there is no Upload-Offset")
}
