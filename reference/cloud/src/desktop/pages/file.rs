//! A file: what it is, and what it looks like where that is safe to show.

use askama::Template;
use axum::body::Body;
use axum::extract::{Path, Query};
use axum::http::Method;
use axum::response::Response;

use super::bytes::{Shown, shown};
use super::{At, Crumb, Open, Refusal, Role, Shell, crumbs, escaped, go, html, moment, size};
use crate::desktop::failure::Failure;
use crate::desktop::files::{Folder, parent};
use crate::desktop::graph::Call;
use crate::desktop::session::Session;

/// How much of a text is shown, in bytes.
const TEXT: usize = 128 * 1_024;

#[derive(Template)]
#[template(path = "desktop/file.html")]
struct File {
    shell: Shell,
    folder: Folder,
    name: String,
    path: String,
    entry: String,
    crumbs: Vec<Crumb>,
    size: String,
    modified: Option<(String, String)>,
    hash: String,
    may_write: bool,
    /// Whether the cloud holds the bytes.
    is_stored: bool,
    preview: Preview,
}

/// What is shown of a file.
enum Preview {
    None,
    Image,
    Video,
    Audio,
    Text { text: String, is_cut: bool },
}

/// The page of a file.
pub(crate) fn url(folder: &str, path: &str) -> String {
    format!("/desktop/folders/{folder}/file?path={}", escaped(path))
}

pub(crate) async fn get(
    Path(folder): Path<String>,
    Query(At { path }): Query<At>,
    session: Session,
) -> Result<Response, Refusal> {
    let open = Open::new(session, &folder).await?;
    let tree = open.tree().await?;
    let node = tree.node(&path).ok_or_else(Failure::nothing_here)?;
    let Some(entry) = node.entry.as_ref().filter(|_| !node.is_directory) else {
        return Ok(go(&super::directory_url(&folder, &path, "")));
    };
    let hash = entry.hash.clone().unwrap_or_default();
    let bytes = open.session.client.open(Call::new(Method::GET, &open.folder.media(&hash))).await?;
    let is_stored = bytes.status().is_success();
    let preview = match shown(node.name()) {
        _ if !is_stored => Preview::None,
        Shown::Image(_) => Preview::Image,
        Shown::Video(_) => Preview::Video,
        Shown::Audio(_) => Preview::Audio,
        Shown::Never => text_preview(bytes.into_body()).await?,
    };
    html(&File {
        shell: open.shell(node.name()),
        name: node.name().into(),
        entry: entry.id.clone(),
        crumbs: crumbs(parent(&path)),
        size: size(entry.size),
        modified: entry.modified.map(moment),
        hash,
        may_write: open.role >= Role::Contributor,
        folder: open.folder,
        path,
        is_stored,
        preview,
    })
}

/// The beginning of a file, if it is text. The rest is not read.
async fn text_preview(mut body: Body) -> Result<Preview, Failure> {
    let mut bytes = Vec::new();
    // The bytes come from this process: nothing to wait for.
    while bytes.len() <= TEXT
        && let Some(piece) = crate::extract::next_chunk(&mut body, std::time::Duration::MAX).await
    {
        bytes.extend_from_slice(&piece.map_err(Failure::broken)?);
    }
    let is_cut = bytes.len() > TEXT;
    bytes.truncate(TEXT);
    let text = match std::str::from_utf8(&bytes) {
        Ok(text) => text,
        // Cut inside of a character.
        Err(e) if is_cut && e.error_len().is_none() => {
            std::str::from_utf8(&bytes[..e.valid_up_to()]).unwrap_or_default()
        }
        Err(_) => return Ok(Preview::None),
    };
    let is_text = !text.contains(|c: char| c.is_control() && !matches!(c, '\n' | '\r' | '\t' | '\u{c}'));
    if is_text { Ok(Preview::Text { text: text.into(), is_cut }) } else { Ok(Preview::None) }
}
