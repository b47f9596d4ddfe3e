//! The devices of a person, and whether they can be reached.

use askama::Template;
use axum::extract::{Path, Query};
use axum::http::Method;
use axum::http::header::IF_MATCH;
use axum::response::Response;
use meshproof_proto::codec::Id;

use super::{Done, Refusal, Shell, go, html};
use crate::desktop::failure::Failure;
use crate::desktop::files::Person;
use crate::desktop::graph::{Call, Client, text};
use crate::desktop::session::{Sent, Session};

/// The collection of devices.
const DEVICES: &str = "/mesh/devices";

/// A device that was claimed.
pub(crate) struct Device {
    pub(crate) id: String,
    pub(crate) name: String,
    /// Of its key, in groups that can be compared by eye.
    pub(crate) fingerprint: String,
    pub(crate) is_online: bool,
    pub(crate) addresses: String,
}

#[derive(Template)]
#[template(path = "desktop/devices.html")]
struct Devices {
    shell: Shell,
    devices: Vec<Device>,
}

#[derive(Template)]
#[template(path = "desktop/revoke.html")]
struct Revoke {
    shell: Shell,
    id: String,
    name: String,
}

/// The devices that take part, by name.
pub(crate) async fn claimed(client: &Client) -> Result<Vec<Device>, Failure> {
    let mut devices = Vec::new();
    for item in client.list(DEVICES).await? {
        if item["state"] != "claimed" {
            continue;
        }
        let id = text(&item, "device");
        let endpoint = client.get(&format!("{DEVICES}/{id}/endpoints")).await?.body;
        let addresses = endpoint["addresses"].as_array().into_iter().flatten();
        let addresses: Vec<&str> = addresses.filter_map(|address| address.as_str()).collect();
        devices.push(Device {
            id,
            name: text(&item, "name"),
            fingerprint: grouped(&text(&item, "fingerprint")),
            is_online: !addresses.is_empty(),
            addresses: addresses.join(", "),
        });
    }
    devices.sort_by_cached_key(|device| (device.name.to_lowercase(), device.id.clone()));
    Ok(devices)
}

pub(crate) async fn get(session: Session, Query(done): Query<Done>) -> Result<Response, Refusal> {
    let person = Person::of(&session.client).await?;
    let devices = claimed(&session.client).await?;
    html(&Devices { shell: Shell::of("Devices", &session, &person).after(&done), devices })
}

pub(crate) async fn rename(
    Path(device): Path<String>,
    Sent(session, fields): Sent,
) -> Result<Response, Refusal> {
    let path = path(&device)?;
    let etag = session.client.get(&path).await?.etag();
    let call = Call::new(Method::PATCH, &path).json(serde_json::json!({ "name": fields.text("name") }));
    session.client.call(call.header(IF_MATCH, &etag)).await?;
    Ok(go("/desktop/devices?did=renamed"))
}

/// Asks whether to revoke a device.
pub(crate) async fn ask(Path(device): Path<String>, session: Session) -> Result<Response, Refusal> {
    let person = Person::of(&session.client).await?;
    let found = session.client.get(&path(&device)?).await?;
    let name = found.text("name");
    html(&Revoke { shell: Shell::of("Revoke a device", &session, &person), id: device, name })
}

pub(crate) async fn revoke(Path(device): Path<String>, Sent(session, _): Sent) -> Result<Response, Refusal> {
    let path = path(&device)?;
    let etag = session.client.get(&path).await?.etag();
    session.client.call(Call::new(Method::DELETE, &path).header(IF_MATCH, &etag)).await?;
    Ok(go("/desktop/devices?did=revoked"))
}

fn path(device: &str) -> Result<String, Failure> {
    Id::parse(device).ok_or_else(Failure::nothing_here)?;
    Ok(format!("{DEVICES}/{device}"))
}

fn grouped(fingerprint: &str) -> String {
    let groups: Vec<&str> =
        (0..fingerprint.len()).step_by(8).filter_map(|at| fingerprint.get(at..at + 8)).collect();
    groups.join(" ")
}
