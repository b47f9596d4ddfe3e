//! The bytes of a file. They are a stranger's: whatever they are, a browser must not run them as a page of this host.
//! So only kinds that cannot be active are named as what they are; everything else is a download of no kind. Both are
//! in a sandbox, if a browser should open them nevertheless.

use axum::extract::{Path, Query};
use axum::http::header::{
    ACCEPT_RANGES, CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_LENGTH, CONTENT_RANGE,
    CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, IF_NONE_MATCH, IF_RANGE, RANGE,
};
use axum::http::{HeaderMap, HeaderValue, Method};
use axum::response::Response;
use serde::Deserialize;

use super::{Open, Refusal, escaped};
use crate::desktop::failure::Failure;
use crate::desktop::graph::{Answer, Call};
use crate::desktop::session::Session;

const SANDBOX: HeaderValue = HeaderValue::from_static("default-src 'none'; sandbox");
const DOWNLOAD: &str = "application/octet-stream";

/// How a file may be shown inside of a page, with its media type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shown {
    Image(&'static str),
    Video(&'static str),
    Audio(&'static str),
    /// As text at most, which the page itself escapes.
    Never,
}

/// What the name of a file allows. SVG and PDF hold scripts, and HTML is one.
pub(super) fn shown(name: &str) -> Shown {
    let extension = name.rsplit_once('.').map_or("", |(_, extension)| extension).to_ascii_lowercase();
    match extension.as_str() {
        "png" => Shown::Image("image/png"),
        "jpg" | "jpeg" => Shown::Image("image/jpeg"),
        "gif" => Shown::Image("image/gif"),
        "webp" => Shown::Image("image/webp"),
        "avif" => Shown::Image("image/avif"),
        "mp4" | "m4v" => Shown::Video("video/mp4"),
        "webm" => Shown::Video("video/webm"),
        "mp3" => Shown::Audio("audio/mpeg"),
        "m4a" => Shown::Audio("audio/mp4"),
        "flac" => Shown::Audio("audio/flac"),
        "ogg" | "opus" => Shown::Audio("audio/ogg"),
        "wav" => Shown::Audio("audio/wav"),
        _ => Shown::Never,
    }
}

/// In the address: whether the bytes are for inside of a page.
#[derive(Deserialize, Default)]
#[serde(default)]
pub(crate) struct How {
    show: bool,
}

pub(crate) async fn get(
    Path((folder, entry)): Path<(String, String)>,
    Query(how): Query<How>,
    headers: HeaderMap,
    session: Session,
) -> Result<Response, Refusal> {
    let open = Open::new(session, &folder).await?;
    let tree = open.tree().await?;
    let entry = tree.by_id(&entry).filter(|entry| !entry.is_directory()).ok_or_else(Failure::nothing_here)?;
    let name = entry.path.rsplit('/').next().unwrap_or_default();
    let mut call = Call::new(Method::GET, &open.folder.media(entry.hash.as_deref().unwrap_or_default()));
    for field in [RANGE, IF_RANGE, IF_NONE_MATCH] {
        if let Some(value) = headers.get(&field).and_then(|value| value.to_str().ok()) {
            call = call.header(field, value);
        }
    }
    let answer = open.session.client.open(call).await?;
    let status = answer.status();
    if !status.is_success()
        && !status.is_redirection()
        && status != axum::http::StatusCode::RANGE_NOT_SATISFIABLE
    {
        return Err(Answer::of(answer).await.err().unwrap_or(Failure::Broken).into());
    }
    let (parts, body) = answer.into_parts();
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let fields = response.headers_mut();
    for field in [CONTENT_LENGTH, CONTENT_RANGE, ACCEPT_RANGES, ETAG] {
        if let Some(value) = parts.headers.get(&field) {
            fields.insert(field, value.clone());
        }
    }
    let kind = match shown(name) {
        Shown::Image(kind) | Shown::Video(kind) | Shown::Audio(kind) if how.show => kind,
        _ => DOWNLOAD,
    };
    let disposition = if kind == DOWNLOAD { "attachment" } else { "inline" };
    let disposition = format!("{disposition}; filename*=UTF-8''{}", escaped(name));
    fields.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    fields.insert(CONTENT_DISPOSITION, HeaderValue::try_from(disposition).map_err(Failure::broken)?);
    fields.insert(CONTENT_SECURITY_POLICY, SANDBOX);
    fields.insert(CACHE_CONTROL, HeaderValue::from_static("private, no-cache"));
    Ok(response)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_active_is_shown() {
        for name in ["a.html", "a.svg", "a.xml", "a.pdf", "a.js", "a.xhtml", "png", "", "a.png.html", "a."] {
            assert_eq!(shown(name), Shown::Never, "{name}");
        }
        assert_eq!(shown("A.PNG"), Shown::Image("image/png"));
    }
}
