//! Renaming, moving and deleting what is in a folder.

use askama::Template;
use axum::extract::{Path, Query};
use axum::response::Response;

use super::{At, Open, Refusal, Shell, directory_url, go, html};
use crate::desktop::failure::Failure;
use crate::desktop::files::{Folder, Node, Tree, component, join, parent};
use crate::desktop::session::{Sent, Session};

#[derive(Template)]
#[template(path = "desktop/rename.html")]
struct Rename {
    shell: Shell,
    folder: Folder,
    path: String,
    name: String,
    directory: String,
    /// Where it can go: all directories but itself, and those in it.
    directories: Vec<String>,
}

#[derive(Template)]
#[template(path = "desktop/remove.html")]
struct Remove {
    shell: Shell,
    folder: Folder,
    path: String,
    name: String,
    directory: String,
    is_directory: bool,
    /// How many files go with it.
    files: usize,
}

/// The form for another name or directory.
pub(crate) async fn ask_rename(
    Path(folder): Path<String>,
    Query(At { path }): Query<At>,
    session: Session,
) -> Result<Response, Refusal> {
    let open = Open::new(session, &folder).await?;
    let tree = open.tree().await?;
    let node = existing(&tree, &path)?;
    let mut directories: Vec<String> = tree
        .below("")
        .flat_map(|entry| {
            let own = entry.is_directory().then(|| entry.path.clone());
            let above = super::crumbs(parent(&entry.path)).into_iter().map(|crumb| crumb.path);
            above.chain(own)
        })
        .filter(|directory| !crate::desktop::files::is_within(directory, &path))
        .collect();
    directories.sort_unstable();
    directories.dedup();
    html(&Rename {
        shell: open.shell("Rename or move"),
        folder: open.folder,
        name: node.name().into(),
        directory: parent(&path).into(),
        path,
        directories,
    })
}

pub(crate) async fn rename(
    Path(folder): Path<String>,
    Sent(session, fields): Sent,
) -> Result<Response, Refusal> {
    let (from, within) = (fields.raw("path"), fields.raw("directory"));
    let to = join(within, &component(fields.text("name"))?);
    let open = Open::new(session, &folder).await?;
    let mut tree = open.tree().await?;
    existing(&tree, from)?;
    if from != to {
        if !tree.node(within).is_some_and(|node| node.is_directory) {
            return Err(Failure::nothing_here().into());
        }
        if tree.node(&to).is_some() {
            return Err(Failure::unacceptable("There is something of this name already.").into());
        }
        tree.rename(from, &to).await?;
    }
    Ok(go(&directory_url(&folder, within, "renamed")))
}

/// Asks whether to delete.
pub(crate) async fn ask_remove(
    Path(folder): Path<String>,
    Query(At { path }): Query<At>,
    session: Session,
) -> Result<Response, Refusal> {
    let open = Open::new(session, &folder).await?;
    let tree = open.tree().await?;
    let node = existing(&tree, &path)?;
    html(&Remove {
        shell: open.shell("Delete"),
        folder: open.folder,
        name: node.name().into(),
        directory: parent(&path).into(),
        is_directory: node.is_directory,
        files: tree.below(&path).filter(|entry| !entry.is_directory()).count(),
        path,
    })
}

pub(crate) async fn remove(
    Path(folder): Path<String>,
    Sent(session, fields): Sent,
) -> Result<Response, Refusal> {
    let path = fields.raw("path");
    let open = Open::new(session, &folder).await?;
    let mut tree = open.tree().await?;
    existing(&tree, path)?;
    tree.remove(path).await?;
    Ok(go(&directory_url(&folder, parent(path), "removed")))
}

/// What is at this path below the folder, which itself is neither renamed nor deleted here.
fn existing(tree: &Tree, path: &str) -> Result<Node, Failure> {
    tree.node(path).filter(|_| !path.is_empty()).ok_or_else(Failure::nothing_here)
}
