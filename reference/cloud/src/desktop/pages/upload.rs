//! Upload of files, from a form or one by one from the script.

use axum::extract::multipart::{Field, Multipart};
use axum::extract::{Path, State};
use axum::response::{IntoResponse as _, Response};

use super::{Open, Refusal, Role, directory_url, go};
use crate::desktop::Desktop;
use crate::desktop::failure::Failure;
use crate::desktop::files::{Content, Tree, component, join};
use crate::desktop::session::{FORM_TOKEN, Session};
use crate::desktop::spool::{Spool, Spooled};

/// The longest field that is no file, in bytes.
const MAX_FIELD: usize = 16 * 1_024;

/// Takes files. The fields before them say where to put them: `token`, `path` of the directory, and `replace` if what
/// has the same name is to be replaced. Otherwise a file gets another name.
pub(crate) async fn post(
    Path(folder): Path<String>,
    State(desktop): State<Desktop>,
    session: Session,
    form: Multipart,
) -> Result<Response, Refusal> {
    let open = Open::new(session, &folder).await?;
    let path = match receive(&desktop, &open, form).await {
        Ok(path) => path,
        Err(failure) => return Err(failure.into()),
    };
    if open.session.is_script {
        return Ok(axum::http::StatusCode::NO_CONTENT.into_response());
    }
    Ok(go(&directory_url(&folder, &path, "uploaded")))
}

/// Returns the path of the directory.
async fn receive(desktop: &Desktop, open: &Open, mut form: Multipart) -> Result<String, Failure> {
    let (mut is_own, mut path, mut replace) = (false, String::new(), false);
    let mut tree = None;
    loop {
        let next = tokio::time::timeout(desktop.body_idle, form.next_field()).await;
        let Some(field) = next.map_err(|_| cut_short())?.map_err(|_| cut_short())? else { return Ok(path) };
        match field.name().unwrap_or_default() {
            FORM_TOKEN => {
                open.session.demand_token(Some(&text(desktop, field).await?))?;
                is_own = true;
            }
            "path" => path = text(desktop, field).await?,
            "replace" => replace = !text(desktop, field).await?.is_empty(),
            "file" if !is_own => {
                return Err(open.session.demand_token(None).err().unwrap_or(Failure::Broken));
            }
            "file" if field.file_name().is_none_or(str::is_empty) => {} // nothing was chosen
            "file" => {
                if open.role < Role::Contributor {
                    return Err(Failure::unacceptable("You may look at this folder, and not change it."));
                }
                // Some browsers send the path on their disk.
                let name =
                    field.file_name().unwrap_or_default().rsplit(['/', '\\']).next().unwrap_or_default();
                let name = component(name)?;
                let file = spool(desktop, open, field).await?;
                let tree = match &mut tree {
                    Some(tree) => tree,
                    none => none.insert(open.tree().await?),
                };
                keep(tree, open, &join(&path, &name), replace, &file).await?;
            }
            _ => {}
        }
    }
}

/// Puts the bytes, then the entry that names them.
async fn keep(
    tree: &mut Tree,
    open: &Open,
    path: &str,
    replace: bool,
    file: &Spooled,
) -> Result<(), Failure> {
    let is_directory = tree.node(path).is_some_and(|node| node.is_directory);
    let path = if replace && !is_directory { path.to_owned() } else { tree.free_path(path) };
    tree.put_bytes(file).await?;
    let now = open.session.client.now().0;
    tree.write(&path, &Content::file(file.length(), file.hash().to_string(), now)).await
}

/// The bytes of a field on disk.
async fn spool(desktop: &Desktop, open: &Open, mut field: Field<'_>) -> Result<Spooled, Failure> {
    let mut spool = Spool::new(&desktop.spools, &open.person).await?;
    while let Some(piece) = next_piece(desktop, &mut field).await? {
        spool.write(&piece).await?;
    }
    spool.finish().await
}

async fn text(desktop: &Desktop, mut field: Field<'_>) -> Result<String, Failure> {
    let mut bytes = Vec::new();
    while let Some(piece) = next_piece(desktop, &mut field).await? {
        bytes.extend_from_slice(&piece);
        if bytes.len() > MAX_FIELD {
            return Err(Failure::unacceptable("A field of this form is too long."));
        }
    }
    String::from_utf8(bytes).map_err(|_| Failure::unacceptable("A field of this form is no text."))
}

async fn next_piece(desktop: &Desktop, field: &mut Field<'_>) -> Result<Option<axum::body::Bytes>, Failure> {
    let next = tokio::time::timeout(desktop.body_idle, field.chunk()).await;
    next.map_err(|_| cut_short())?.map_err(|_| cut_short())
}

fn cut_short() -> Failure {
    Failure::Unacceptable(axum::http::StatusCode::BAD_REQUEST, "The upload was cut short.".into())
}
