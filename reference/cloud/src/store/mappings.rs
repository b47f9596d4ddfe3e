//! Which folder is mapped on which device.

use meshproof_proto::codec::Id;
use meshproof_proto::error::Error as RuleError;
use meshproof_proto::requirement::{self as req, demand, deviates};
use serde_json::json;

use super::changes::Verb;
use super::devices::{self, DeviceState, Endpoint};
use super::members::Actor;
use super::{Row, Span, Sql, Store, StoreError, values, writers};
use crate::graph::paths;

/// A folder on a device.
#[derive(Clone, Debug)]
pub(crate) struct MappingRow {
    pub(crate) device: Id,
    pub(crate) user: Id,
    pub(crate) etag: String,
    /// The device's key, base64 of the DER.
    pub(crate) spki: String,
}

/// A device that has a folder.
#[derive(Clone, Debug)]
pub(crate) struct Present {
    pub(crate) device: Id,
    pub(crate) name: String,
    pub(crate) user: Id,
    /// What it announced; that may have ended.
    pub(crate) endpoint: Option<Endpoint>,
}

const COLUMNS: &str =
    "SELECT m.device_id, coalesce(d.user_id, m.device_id), m.etag, coalesce(d.spki, '') FROM mappings m
    LEFT JOIN devices d ON d.id = m.device_id";

impl Store {
    /// The mappings of a folder.
    pub(crate) async fn mappings(
        &self,
        folder: Id,
        Span { after, most }: Span,
    ) -> Result<Vec<MappingRow>, StoreError> {
        let select =
            format!("{COLUMNS} WHERE m.folder_id = $1 AND m.device_id > $2 ORDER BY m.device_id LIMIT $3");
        self.read(move |sql| sql.all(&select, values![folder, &after, most], mapping)).await
    }

    /// The devices on which the folder is mapped, as far as the user, or one device of the user if it asks, may meet them
    /// (GPH-081): one's own always, others if the folder is mapped on the asking side too.
    pub(crate) async fn present(
        &self,
        folder: Id,
        user: Id,
        own: Option<Id>,
    ) -> Result<Vec<Present>, StoreError> {
        let select = "SELECT d.id, d.name, d.user_id, coalesce(e.addresses, ''), coalesce(e.expires, 0) FROM mappings m
            JOIN devices d ON d.id = m.device_id
            JOIN members r ON r.folder_id = m.folder_id AND r.user_id = d.user_id
            LEFT JOIN endpoints e ON e.device_id = d.id
            WHERE m.folder_id = $1 AND d.state = 'claimed' ORDER BY d.id";
        self.read(move |sql| {
            let mut all = sql.all(select, values![folder], |row| {
                let expires = row.time(4)?;
                let addresses = row.parsed(3, |text| match text {
                    "" => Some(None),
                    json => Some(Some(serde_json::from_str(json).ok()?)),
                })?;
                let endpoint = addresses.map(|addresses| Endpoint { addresses, expires });
                Ok(Present { device: row.id(0)?, name: row.text(1)?, user: row.id(2)?, endpoint })
            })?;
            let mapped = all.iter().any(|one| own.map_or(one.user == user, |own| one.device == own));
            all.retain(|one| mapped || one.user == user || deviates(req::GPH_081));
            Ok(all)
        })
        .await
    }

    /// One mapping.
    pub(crate) async fn mapping(&self, folder: Id, device: Id) -> Result<Option<MappingRow>, StoreError> {
        let select = format!("{COLUMNS} WHERE m.folder_id = $1 AND m.device_id = $2");
        self.read(move |sql| sql.first(&select, values![folder, device], mapping)).await
    }

    /// Maps a folder on a device. `false` if it was mapped already.
    pub(crate) async fn add_mapping(
        &self,
        folder: Id,
        device: Id,
        etag: String,
        by: Actor,
    ) -> Result<bool, StoreError> {
        self.change(by.who, move |sql, log| {
            check(sql, folder, device, by)?;
            let insert = "INSERT INTO mappings (folder_id, device_id, etag) VALUES ($1, $2, $3)
                ON CONFLICT (folder_id, device_id) DO NOTHING";
            let added = sql.execute(insert, values![folder, device, &etag])? == 1;
            if added {
                let detail = json!({ "name": devices::name_of(sql, device)? });
                log.record(folder, Verb::MappingAdded, &paths::mapping(folder, device), &detail)?;
                writers::note(sql, folder, by.who.user)?; // GPH-210, GPH-211
            }
            Ok(added)
        })
        .await
    }

    /// Takes a folder off a device. `false` if it was not mapped.
    pub(crate) async fn remove_mapping(&self, folder: Id, device: Id, by: Actor) -> Result<bool, StoreError> {
        self.change(by.who, move |sql, log| {
            check(sql, folder, device, by)?;
            let delete = "DELETE FROM mappings WHERE folder_id = $1 AND device_id = $2";
            let removed = sql.execute(delete, values![folder, device])? == 1;
            if removed {
                let detail = json!({ "name": devices::name_of(sql, device)? });
                log.record(folder, Verb::MappingRemoved, &paths::mapping(folder, device), &detail)?;
            }
            Ok(removed)
        })
        .await
    }
}

/// GPH-016: the device is claimed by the user who asks. One that does not exist is like one of somebody else. Here, for
/// a device that is revoked, or a member who is removed, meanwhile must not leave a mapping (GPH-034, GPH-019).
fn check(sql: &Sql<'_>, folder: Id, device: Id, by: Actor) -> Result<(), StoreError> {
    by.check(sql, folder)?;
    let device = devices::find(sql, device)?.ok_or(RuleError::from(req::GPH_016))?;
    demand(device.user == by.who.user, req::GPH_016)?;
    demand(device.state != DeviceState::Pending, req::GPH_032)?;
    Ok(demand(device.state != DeviceState::Revoked, req::GPH_016)?)
}

fn mapping(row: &Row<'_>) -> Result<MappingRow, StoreError> {
    Ok(MappingRow { device: row.id(0)?, user: row.id(1)?, etag: row.text(2)?, spki: row.text(3)? })
}
