//! A directory of a folder.

use askama::Template;
use axum::extract::{Path, Query};
use axum::response::Response;

use super::{At, Crumb, Done, Open, Refusal, Role, Shell, crumbs, directory_url, go, html, moment, size};
use crate::desktop::failure::Failure;
use crate::desktop::files::{Content, Folder, Node, component, join};
use crate::desktop::session::{Sent, Session};

#[derive(Template)]
#[template(path = "desktop/folder.html")]
struct Directory {
    shell: Shell,
    folder: Folder,
    path: String,
    crumbs: Vec<Crumb>,
    rows: Vec<Row>,
    may_write: bool,
}

/// A file or directory, as it is listed.
struct Row {
    name: String,
    path: String,
    is_directory: bool,
    size: String,
    /// Since when, for people and for programs.
    modified: Option<(String, String)>,
}

impl Row {
    fn of(node: &Node) -> Self {
        let modified = node.entry.as_ref().and_then(|entry| entry.modified);
        Self {
            name: node.name().into(),
            path: node.path.clone(),
            is_directory: node.is_directory,
            size: if node.is_directory { String::new() } else { size(node.size()) },
            modified: modified.map(moment),
        }
    }
}

pub(crate) async fn get(
    Path(folder): Path<String>,
    Query(At { path }): Query<At>,
    Query(done): Query<Done>,
    session: Session,
) -> Result<Response, Refusal> {
    let open = Open::new(session, &folder).await?;
    let tree = open.tree().await?;
    let node = tree.node(&path).ok_or_else(Failure::nothing_here)?;
    if !node.is_directory {
        return Ok(go(&super::file::url(&folder, &path)));
    }
    let rows = tree.children(&path).iter().map(Row::of).collect();
    let shell = open.shell(if path.is_empty() { &open.folder.name } else { node.name() }).after(&done);
    let (crumbs, may_write) = (crumbs(&path), open.role >= Role::Contributor);
    html(&Directory { shell, folder: open.folder, path, crumbs, rows, may_write })
}

/// Makes a directory in a directory.
pub(crate) async fn make_directory(
    Path(folder): Path<String>,
    Sent(session, fields): Sent,
) -> Result<Response, Refusal> {
    let name = component(fields.text("name"))?;
    let open = Open::new(session, &folder).await?;
    let mut tree = open.tree().await?;
    let within = fields.raw("path");
    let path = join(within, &name);
    if !tree.node(within).is_some_and(|node| node.is_directory) {
        return Err(Failure::nothing_here().into());
    }
    if tree.node(&path).is_some() {
        return Err(Failure::unacceptable("There is something of this name already.").into());
    }
    let now = open.session.client.now().0;
    tree.write(&path, &Content::directory(now)).await?;
    Ok(go(&directory_url(&folder, within, "made")))
}
