//! The name of a folder, and its end.

use askama::Template;
use axum::extract::{Path, Query};
use axum::response::Response;

use super::{Done, Open, Refusal, Role, Shell, go, html};
use crate::desktop::files::Folder;
use crate::desktop::session::{Sent, Session};

#[derive(Template)]
#[template(path = "desktop/settings.html")]
struct Settings {
    shell: Shell,
    folder: Folder,
    is_owner: bool,
}

#[derive(Template)]
#[template(path = "desktop/removal.html")]
struct Removal {
    shell: Shell,
    folder: Folder,
    files: usize,
}

pub(crate) async fn get(
    Path(folder): Path<String>,
    Query(done): Query<Done>,
    session: Session,
) -> Result<Response, Refusal> {
    let open = Open::new(session, &folder).await?;
    let shell = open.shell("Folder settings").after(&done);
    html(&Settings { shell, is_owner: open.role == Role::Owner, folder: open.folder })
}

pub(crate) async fn rename(
    Path(folder): Path<String>,
    Sent(session, fields): Sent,
) -> Result<Response, Refusal> {
    let open = Open::new(session, &folder).await?;
    open.folder.rename(&open.session.client, fields.text("name")).await?;
    Ok(go(&format!("/desktop/folders/{folder}/settings?did=renamed")))
}

/// Asks whether to delete the folder.
pub(crate) async fn ask(Path(folder): Path<String>, session: Session) -> Result<Response, Refusal> {
    let open = Open::new(session, &folder).await?;
    let files = open.tree().await?.below("").filter(|entry| !entry.is_directory()).count();
    html(&Removal { shell: open.shell("Delete the folder"), folder: open.folder, files })
}

pub(crate) async fn remove(Path(folder): Path<String>, Sent(session, _): Sent) -> Result<Response, Refusal> {
    let open = Open::new(session, &folder).await?;
    open.folder.remove(&open.session.client).await?;
    Ok(go("/desktop/?did=removed"))
}
