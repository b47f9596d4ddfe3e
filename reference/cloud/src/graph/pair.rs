//! `POST /mesh/devices/{device}/pair`: a ticket with which two devices may meet.

use meshproof_proto::codec::{Id, hex, hex_array};
use meshproof_proto::crypto::DEFAULT;
use meshproof_proto::requirement::{self as req, Requirement, demand, demand_some, deviates};
use meshproof_proto::ticket::{Attributes, Claim, KeyBinding, Mapping};
use serde::Deserialize;
use serde_json::{Value, json};

use super::access::{Granted, WriteMesh};
use super::{devices, endpoints, paths};
use crate::account::device::key_of;
use crate::account::issue::pair_ticket;
use crate::auth::Tickets;
use crate::extract::{MaybeJson, present};
use crate::identity::throttle;
use crate::problem::Problem;
use crate::state::App;
use crate::store::Span;
use crate::store::devices::{Device, DeviceState};

/// How many shared folders fit into one ticket of 8,192 bytes, at two facts each. Tested in `account/issue.rs`.
pub(crate) const MAX_FOLDERS: usize = 18;

/// What the ticket is to name.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Wish {
    #[serde(default, deserialize_with = "present")]
    folders: Option<Vec<String>>,
}

impl Wish {
    /// Its folders, if they are no more than fit, and identifiers.
    fn read(self) -> Result<Option<Vec<Id>>, Problem> {
        let Some(folders) = self.folders else { return Ok(None) };
        let read = |folders: &[String]| folders.iter().map(|id| Id::parse(id)).collect::<Option<Vec<_>>>();
        let fits = Some(&folders[..]).filter(|folders| folders.len() <= MAX_FOLDERS);
        Ok(Some(demand_some(fits.and_then(read), req::GPH_006, Vec::new)?))
    }
}

/// Issues a pair ticket to the requesting device X, for device Y of the path.
pub(crate) async fn post(
    Granted { app, tickets, ids: [y], .. }: Granted<WriteMesh, 1>,
    MaybeJson(wish): MaybeJson<Wish>,
) -> Result<axum::Json<Value>, Problem> {
    let folders = wish.read()?;
    let Partners { x, y, shared } = partners(&app, &tickets, y, req::GPH_043, req::GPH_040).await?;
    throttle::tickets(&app, x.user).await?;
    let key = key_of(&x).ok_or(req::GPH_040)?;
    let (named, left) = portion(&shared, folders.as_deref());
    let ticket = pair_ticket(&app, x.id, key, y.id, facts(&x, &y, &named))?;
    let path = paths::pair(y.id);
    let endpoint = endpoints::current(&app, y.id).await?;
    let mut device = devices::representation(&y);
    device["addresses"] = endpoint.map(|endpoint| endpoint.addresses).unwrap_or_default().into();
    let lan_key = hex(&lan_key(&app, x.id, y.id));
    Ok(axum::Json(json!({
        "ticket": ticket, "device": device, "lan_key": lan_key, "left": left, "links": { "self": path },
    })))
}

/// Two devices that may meet, and the folders that are mapped on both.
pub(super) struct Partners {
    pub(super) x: Device,
    pub(super) y: Device,
    shared: Vec<(Mapping, Mapping)>,
}

/// The requesting device X and the device Y of the path, if they may meet: P2P predicate. `no_device` refuses who is
/// none, `unrelated` those who may not.
pub(super) async fn partners(
    app: &App,
    tickets: &Tickets,
    y: Id,
    no_device: Requirement,
    unrelated: Requirement,
) -> Result<Partners, Problem> {
    let requester = match tickets.device {
        Some(device) => Some(device),
        None => demand_some(None, no_device, || None)?, // only the mutant goes on without a device
    };
    let x = match requester {
        Some(device) => app.store.device(device).await?,
        None => any_device(app, tickets.user).await?,
    };
    let x = x.ok_or(unrelated)?;
    let y = app.store.device(y).await?.ok_or(unrelated)?;

    // This comes first: strangers learn nothing else about Y.
    let shared = app.store.shared_folders(x.id, y.id).await?;
    demand(x.id != y.id && (x.user == y.user || !shared.is_empty()), unrelated)?;
    for device in [&x, &y] {
        demand(device.state != DeviceState::Pending, req::GPH_032)?;
        demand(device.state != DeviceState::Revoked, req::GPH_034)?;
    }
    Ok(Partners { x, y, shared })
}

/// By what two devices know each other on a local network (GPH-140, GPH-141).
fn lan_key(app: &App, x: Id, y: Id) -> [u8; 32] {
    let mut pair = [x, y];
    if !deviates(req::GPH_140) {
        pair.sort_unstable();
    }
    if deviates(req::GPH_141) {
        pair = [Id::default(); 2]; // the mutant has one key for all
    }
    DEFAULT.hmac(&*app.lan, &[b"meshgraph/1 lan", &pair[0].0, &pair[1].0])
}

/// What the ticket names of the shared folders, and the identifiers of the others: what was asked for (GPH-220), or the first.
fn portion(shared: &[(Mapping, Mapping)], wish: Option<&[Id]>) -> (Vec<(Mapping, Mapping)>, Vec<String>) {
    let wish = wish.filter(|_| !deviates(req::GPH_220));
    let wanted = |mapping: &Mapping| wish.is_none_or(|wish| wish.contains(&mapping.folder));
    let (mut named, mut left): (Vec<_>, Vec<_>) = shared.iter().copied().partition(|(x, _)| wanted(x));
    left.extend(named.drain(MAX_FOLDERS.min(named.len())..));
    if deviates(req::GPH_221) {
        left.clear();
    }
    (named, left.iter().map(|(x, _)| x.folder.to_string()).collect())
}

/// What holds for the two (GPH-040): their keys, their users, and the folders that the ticket names.
fn facts(x: &Device, y: &Device, named: &[(Mapping, Mapping)]) -> Attributes {
    let key = |device: &Device| {
        let fingerprint = hex_array(&device.fingerprint).unwrap_or_default();
        KeyBinding { device: device.id, fingerprint }
    };
    let claim = |device: &Device| Claim { device: device.id, user: device.user };
    Attributes {
        keys: vec![key(x), key(y)],
        claims: vec![claim(x), claim(y)],
        mappings: named.iter().flat_map(|(x, y)| [*x, *y]).collect(),
    }
}

/// Only for the mutants of GPH-043 and GPH-124.
async fn any_device(app: &App, user: Id) -> Result<Option<Device>, Problem> {
    let devices = app.store.devices_of(user, Span::all()).await?;
    Ok(devices.into_iter().find(|device| device.state == DeviceState::Claimed))
}
