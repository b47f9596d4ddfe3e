//! The first page: the ring of devices, the folders, the room in the cloud.

use askama::Template;
use axum::extract::{Path, Query};
use axum::http::Method;
use axum::response::Response;
use meshproof_proto::codec::Id;

use super::devices::{self, Device};
use super::{Done, Refusal, Shell, go, html, size};
use crate::desktop::failure::Failure;
use crate::desktop::files::{Folder, Person};
use crate::desktop::graph::{Call, text};
use crate::desktop::session::{Sent, Session};

/// How many devices the ring has room for.
const ON_THE_RING: usize = 12;
const INVITATIONS: &str = "/mesh/invitations";

#[derive(Template)]
#[template(path = "desktop/home.html")]
struct Home {
    shell: Shell,
    person: Person,
    used: String,
    quota: String,
    folders: Vec<Folder>,
    devices: Vec<Device>,
    ring: Vec<Place>,
    invitations: Vec<Invitation>,
}

/// A folder to which somebody invites this person.
struct Invitation {
    id: String,
    folder: String,
    by: String,
}

/// A device on the ring, in units of the drawing.
struct Place {
    x: i32,
    y: i32,
    name: String,
    is_online: bool,
}

pub(crate) async fn get(session: Session, Query(done): Query<Done>) -> Result<Response, Refusal> {
    let person = Person::of(&session.client).await?;
    let folders = Folder::all(&session.client).await?;
    let devices = devices::claimed(&session.client).await?;
    let ring = ring(&devices);
    let waiting = session.client.list(INVITATIONS).await?;
    let invitation = |item| Invitation {
        id: text(item, "invitation"),
        folder: text(item, "folder_name"),
        by: text(item, "by"),
    };
    let invitations = waiting.iter().map(invitation).collect();
    let shell = Shell::of("Home", &session, &person).after(&done);
    let (used, quota) = (size(person.used), size(person.quota));
    html(&Home { shell, person, used, quota, folders, devices, ring, invitations })
}

/// Accepts an invitation, or declines it.
pub(crate) async fn answer(
    Path(invitation): Path<String>,
    Sent(session, fields): Sent,
) -> Result<Response, Refusal> {
    Id::parse(&invitation).ok_or_else(Failure::nothing_here)?;
    let path = format!("{INVITATIONS}/{invitation}");
    if fields.text("answer") != "accept" {
        session.client.call(Call::new(Method::DELETE, &path)).await?;
        return Ok(go("/desktop/?did=declined"));
    }
    let folder = text(&session.client.get(&path).await?.body, "folder");
    session.client.call(Call::new(Method::POST, &path)).await?;
    Ok(go(&format!("/desktop/folders/{folder}/?did=accepted")))
}

/// Makes a folder.
pub(crate) async fn make_folder(Sent(session, fields): Sent) -> Result<Response, Refusal> {
    let in_cloud = fields.text("storage") != "p2p";
    let folder = Folder::make(&session.client, fields.text("name"), in_cloud).await?;
    Ok(go(&format!("/desktop/folders/{folder}/?did=made")))
}

/// Evenly around the middle, the first at the top.
fn ring(devices: &[Device]) -> Vec<Place> {
    let shown = &devices[..devices.len().min(ON_THE_RING)];
    let place = |(n, device): (usize, &Device)| {
        #[allow(clippy::cast_precision_loss)] // a dozen
        let angle = std::f64::consts::TAU * n as f64 / shown.len() as f64;
        #[allow(clippy::cast_possible_truncation)] // below 200
        let at = |middle: f64, offset: f64| (middle + offset).round() as i32;
        let name = device.name.chars().take(16).collect();
        Place {
            x: at(180.0, 110.0 * angle.sin()),
            y: at(150.0, -105.0 * angle.cos()),
            name,
            is_online: device.is_online,
        }
    };
    shown.iter().enumerate().map(place).collect()
}
