//! Who has a folder, and what they may do in it.

use askama::Template;
use axum::extract::{Path, Query};
use axum::http::Method;
use axum::http::header::IF_MATCH;
use axum::response::Response;
use meshproof_proto::codec::Id;
use serde_json::json;

use super::{Done, Open, Refusal, Role, Shell, go, html};
use crate::desktop::failure::Failure;
use crate::desktop::files::Folder;
use crate::desktop::graph::{Call, text};
use crate::desktop::session::{Sent, Session};

#[derive(Template)]
#[template(path = "desktop/sharing.html")]
struct Sharing {
    shell: Shell,
    folder: Folder,
    is_owner: bool,
    members: Vec<Member>,
    waiting: Vec<Waiting>,
}

/// An invitation that was not answered yet.
struct Waiting {
    id: String,
    name: String,
}

struct Member {
    user: String,
    name: String,
    role: String,
    is_self: bool,
    /// Who made the folder, and stays its owner (GPH-130).
    is_creator: bool,
}

pub(crate) async fn get(
    Path(folder): Path<String>,
    Query(done): Query<Done>,
    session: Session,
) -> Result<Response, Refusal> {
    let open = Open::new(session, &folder).await?;
    let items = open.session.client.list(&open.folder.link("members")).await?;
    let member = |item| {
        let user = text(item, "user");
        Member {
            is_self: user == open.person.user,
            is_creator: user == open.folder.creator,
            user,
            name: text(item, "name"),
            role: text(item, "role"),
        }
    };
    let mut members: Vec<Member> = items.iter().map(member).collect();
    members.sort_by(|a, b| a.name.cmp(&b.name));
    let is_owner = open.role == Role::Owner;
    let mut waiting = Vec::new();
    if is_owner {
        let items = open.session.client.list(&open.folder.link("invitations")).await?;
        waiting.extend(
            items.iter().map(|item| Waiting { id: text(item, "invitation"), name: text(item, "name") }),
        );
    }
    let shell = open.shell("Sharing").after(&done);
    html(&Sharing { shell, is_owner, folder: open.folder, members, waiting })
}

/// Asks somebody to take part. Whether there is somebody of this name is not told (GPH-087).
pub(crate) async fn add(
    Path(folder): Path<String>,
    Sent(session, fields): Sent,
) -> Result<Response, Refusal> {
    let open = Open::new(session, &folder).await?;
    let body = json!({ "name": fields.text("name"), "role": fields.text("role") });
    open.session.client.call(Call::new(Method::POST, &open.folder.link("invitations")).json(body)).await?;
    Ok(go(&format!("/desktop/folders/{folder}/members?did=invited")))
}

/// Takes an invitation back.
pub(crate) async fn withdraw(
    Path((folder, invitation)): Path<(String, String)>,
    Sent(session, _): Sent,
) -> Result<Response, Refusal> {
    Id::parse(&invitation).ok_or_else(Failure::nothing_here)?;
    let open = Open::new(session, &folder).await?;
    let path = format!("{}/{invitation}", open.folder.link("invitations"));
    open.session.client.call(Call::new(Method::DELETE, &path)).await?;
    Ok(go(&format!("/desktop/folders/{folder}/members?did=withdrawn")))
}

/// Gives a member another role, or removes it.
pub(crate) async fn change(
    Path((folder, user)): Path<(String, String)>,
    Sent(session, fields): Sent,
) -> Result<Response, Refusal> {
    Id::parse(&user).ok_or_else(Failure::nothing_here)?;
    let open = Open::new(session, &folder).await?;
    let client = &open.session.client;
    let path = format!("{}/{user}", open.folder.link("members"));
    let etag = client.get(&path).await?.etag();
    if fields.text("role") == "none" {
        client.call(Call::new(Method::DELETE, &path).header(IF_MATCH, &etag)).await?;
        if user == open.person.user {
            return Ok(go("/desktop/"));
        }
        return Ok(go(&format!("/desktop/folders/{folder}/members?did=member-removed")));
    }
    let call = Call::new(Method::PATCH, &path).json(json!({ "role": fields.text("role") }));
    client.call(call.header(IF_MATCH, &etag)).await?;
    Ok(go(&format!("/desktop/folders/{folder}/members?did=role")))
}
