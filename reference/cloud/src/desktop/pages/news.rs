//! Who did what and when: in a folder, or in all that a person has.

use askama::Template;
use axum::extract::{Path, Query};
use axum::response::Response;
use serde::Deserialize;
use serde_json::Value;

use super::{Open, Refusal, Shell, escaped, html, moment};
use crate::desktop::failure::Failure;
use crate::desktop::files::{Folder, Person};
use crate::desktop::graph::{Client, text};
use crate::desktop::session::Session;

/// How many are on a page.
const PAGE: usize = 50;

#[derive(Template)]
#[template(path = "desktop/news.html")]
struct News {
    shell: Shell,
    /// `None` for all folders and devices.
    folder: Option<Folder>,
    items: Vec<Item>,
    /// Where the next page begins; empty if there is none.
    older: String,
}

struct Item {
    name: String,
    did: String,
    /// Where it can be looked at.
    url: String,
    time: (String, String),
}

/// In the address: where the page begins.
#[derive(Deserialize, Default)]
#[serde(default)]
pub(crate) struct Before {
    before: String,
}

/// Of all that a person has.
pub(crate) async fn of_mesh(session: Session, Query(before): Query<Before>) -> Result<Response, Refusal> {
    let person = Person::of(&session.client).await?;
    let (items, older) = read(&session.client, "/mesh/news", &before).await?;
    html(&News { shell: Shell::of("News", &session, &person), folder: None, items, older })
}

/// Of one folder.
pub(crate) async fn of_folder(
    Path(folder): Path<String>,
    session: Session,
    Query(before): Query<Before>,
) -> Result<Response, Refusal> {
    let open = Open::new(session, &folder).await?;
    let (items, older) = read(&open.session.client, &open.folder.link("news"), &before).await?;
    html(&News { shell: open.shell("News"), folder: Some(open.folder), items, older })
}

async fn read(
    client: &Client,
    path: &str,
    Before { before }: &Before,
) -> Result<(Vec<Item>, String), Failure> {
    let from = if before.is_empty() { String::new() } else { format!("&before={}", escaped(before)) };
    let body = client.get(&format!("{path}?limit={PAGE}{from}")).await?.body;
    let items = body["items"].as_array().into_iter().flatten();
    let next = body["links"]["next"].as_str().unwrap_or_default();
    let older = next.split(['?', '&']).find_map(|field| field.strip_prefix("before=")).unwrap_or_default();
    // That bytes were stored is told by the entry that names them; that who makes a folder has it, by the folder.
    let tells = |item: &&Value| match text(item, "verb").as_str() {
        "media.stored" => false,
        "member.joined" => item["detail"]["name"] != item["name"],
        _ => true,
    };
    Ok((items.filter(tells).map(item).collect(), older.into()))
}

fn item(item: &Value) -> Item {
    let detail = &item["detail"];
    let (name, path, role) = (text(detail, "name"), text(detail, "path"), text(detail, "role"));
    let folder =
        text(item, "node").strip_prefix("/mesh/objects/").map(|rest| rest.chars().take(32).collect());
    let folder: String = folder.unwrap_or_default();
    let did = match text(item, "verb").as_str() {
        "entry.put" => format!("wrote {path}"),
        "entry.deleted" => format!("deleted {path}"),
        "member.joined" => format!("shared with {name} ({role})"),
        "member.role" => format!("made {name} {role}"),
        "member.left" if item["name"] == detail["name"] => "left the folder".into(),
        "member.left" => format!("took {name} out of the folder"),
        "mapping.added" => format!("put the folder on {name}"),
        "mapping.removed" => format!("took the folder off {name}"),
        "folder.renamed" => format!("renamed the folder to {name}"),
        "folder.appeared" => format!("got the folder {name}"),
        "folder.gone" => format!("no longer has the folder {name}"),
        "device.claimed" => format!("added the device {name}"),
        "device.renamed" => format!("renamed a device to {name}"),
        "device.revoked" => format!("revoked the device {name}"),
        other => other.replace(['.', '-'], " "),
    };
    let url = match (folder.as_str(), text(item, "verb").as_str()) {
        (_, "folder.gone") => String::new(),
        ("", verb) if verb.starts_with("device.") => "/desktop/devices".into(),
        ("", _) => String::new(),
        (folder, "entry.put") => super::file::url(folder, &path),
        (folder, _) => format!("/desktop/folders/{folder}/"),
    };
    let time = moment(item["time"].as_u64().unwrap_or_default());
    Item { name: text(item, "name"), did, url, time }
}
