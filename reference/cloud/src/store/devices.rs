//! Devices, and where they can be reached.

use meshproof_proto::codec::Id;
use meshproof_proto::requirement::{self as req, demand, deviates};
use meshproof_proto::ticket::{Mapping, Role};
use meshproof_proto::time::UnixTime;
use serde_json::json;

use super::changes::{self, Log, Verb, Who};
use super::{Row, Span, Sql, Store, StoreError, queues, values};
use crate::graph::paths;

/// A device.
#[derive(Clone, Debug)]
pub(crate) struct Device {
    pub(crate) id: Id,
    pub(crate) user: Id,
    pub(crate) name: String,
    /// Base64 of the DER.
    pub(crate) spki: String,
    /// In hexadecimal.
    pub(crate) fingerprint: String,
    /// In hexadecimal. Empty: it writes nothing.
    pub(crate) signing_key: String,
    pub(crate) state: DeviceState,
    pub(crate) etag: String,
}

/// ```text
///  claim --> Pending --right proof--> Claimed --revoke--> Revoked
///               \----------------revoke----------------------/
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DeviceState {
    /// Its key is not proved yet (GPH-032).
    Pending,
    Claimed,
    Revoked,
}

impl DeviceState {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Claimed => "claimed",
            Self::Revoked => "revoked",
        }
    }

    fn parse(name: &str) -> Option<Self> {
        [Self::Pending, Self::Claimed, Self::Revoked].into_iter().find(|state| state.name() == name)
    }
}

/// Addresses at which a device can be reached, until a time.
#[derive(Clone, Debug)]
pub(crate) struct Endpoint {
    pub(crate) addresses: Vec<String>,
    pub(crate) expires: UnixTime,
}

/// How many devices of a user may be pending (GPH-135), and for how many seconds (GPH-136).
const MOST_PENDING: u64 = 16;
const PENDING_LIFETIME: u64 = 300;
/// How many revoked devices of a user are remembered. What is forgotten is as little claimed as before.
const MOST_REVOKED: u64 = 256;

const COLUMNS: &str = "SELECT id, user_id, name, spki, fingerprint, state, etag, signing_key FROM devices";

impl Store {
    /// Adds a pending device, unless another claimed device has its key (GPH-031). The oldest go if there are many
    /// (GPH-135).
    pub(crate) async fn add_device(&self, device: Device, now: UnixTime) -> Result<(), StoreError> {
        self.write(move |sql| {
            demand(!key_in_use(sql, &device)?, req::GPH_031)?;
            let Device { id, user, name, spki, fingerprint, signing_key, state, etag } = &device;
            if !deviates(req::GPH_135) {
                forget_but(sql, *user, DeviceState::Pending, MOST_PENDING - 1)?;
            }
            let insert =
                "INSERT INTO devices (id, user_id, name, spki, fingerprint, state, etag, since, signing_key)
                VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)";
            let state = state.name();
            sql.execute(insert, values![*id, *user, name, spki, fingerprint, state, etag, now, signing_key])?;
            Ok(())
        })
        .await
    }

    /// The device.
    pub(crate) async fn device(&self, id: Id) -> Result<Option<Device>, StoreError> {
        self.read(move |sql| find(sql, id)).await
    }

    /// The user's devices, in all states.
    pub(crate) async fn devices_of(
        &self,
        user: Id,
        Span { after, most }: Span,
    ) -> Result<Vec<Device>, StoreError> {
        let select = format!("{COLUMNS} WHERE user_id = $1 AND id > $2 ORDER BY id LIMIT $3");
        self.read(move |sql| sql.all(&select, values![user, &after, most], device)).await
    }

    /// Forgets devices that were pending for too long (GPH-136).
    pub(crate) async fn forget_pending(&self, now: UnixTime) -> Result<(), StoreError> {
        let since = now.0.saturating_sub(PENDING_LIFETIME);
        let due = "SELECT 1 FROM devices WHERE state = 'pending' AND since <= $1 LIMIT 1";
        if self.read(move |sql| sql.exists(due, values![since])).await? {
            let delete = "DELETE FROM devices WHERE state = 'pending' AND since <= $1";
            self.write(move |sql| sql.execute(delete, values![since]).map(drop)).await?;
        }
        Ok(())
    }

    /// Makes a pending device claimed, unless another claimed device has got its key meanwhile (GPH-031), or the user
    /// has `most` (GPH-137).
    pub(crate) async fn claim_device(
        &self,
        device: Device,
        etag: String,
        most: u64,
        by: Who,
    ) -> Result<(), StoreError> {
        self.change(by, move |sql, log| {
            demand(!key_in_use(sql, &device)?, req::GPH_031)?;
            let count = "SELECT count(*) FROM devices WHERE user_id = $1 AND state = 'claimed'";
            let claimed = sql.first(count, values![device.user], |row| row.number(0))?.unwrap_or(0);
            demand(claimed < most, req::GPH_137)?;
            let update = "UPDATE devices SET state = 'claimed', etag = $1, since = $2
                WHERE id = $3 AND state = 'pending'";
            let claimed = sql.execute(update, values![&etag, by.at, device.id])? == 1;
            demand(claimed, req::GPH_033)?;
            let detail = json!({ "name": device.name });
            log.record(device.user, Verb::DeviceClaimed, &paths::device(device.id), &detail)?;
            Ok(())
        })
        .await
    }

    /// Renames the device whose tag is still `from` (GPH-013).
    pub(crate) async fn rename_device(
        &self,
        id: Id,
        name: String,
        tags: (String, String),
        by: Who,
    ) -> Result<(), StoreError> {
        let (from, to) = tags;
        self.change(by, move |sql, log| {
            let update = "UPDATE devices SET name = $1, etag = $2 WHERE id = $3 AND etag = $4";
            demand(sql.execute(update, values![&name, &to, id, &from])? == 1, req::GPH_013)?;
            log.record(by.user, Verb::DeviceRenamed, &paths::device(id), &json!({ "name": name }))?;
            Ok(())
        })
        .await
    }

    /// Revokes the device whose tag is still `from`; its mappings and addresses go (GPH-034).
    pub(crate) async fn revoke_device(
        &self,
        id: Id,
        tags: (String, String),
        by: Who,
    ) -> Result<(), StoreError> {
        let (from, to) = tags;
        self.change(by, move |sql, log| {
            let update =
                "UPDATE devices SET state = 'revoked', etag = $1, since = $2 WHERE id = $3 AND etag = $4";
            demand(sql.execute(update, values![&to, by.at, id, &from])? == 1, req::GPH_013)?;
            forget_but(sql, by.user, DeviceState::Revoked, MOST_REVOKED)?;
            let detail = json!({ "name": name_of(sql, id)? });
            log.record(by.user, Verb::DeviceRevoked, &paths::device(id), &detail)?;
            let select = "SELECT folder_id FROM mappings WHERE device_id = $1 ORDER BY folder_id";
            for folder in sql.all(select, values![id], |row| row.id(0))? {
                log.record(folder, Verb::MappingRemoved, &paths::mapping(folder, id), &detail)?;
            }
            sql.execute("DELETE FROM mappings WHERE device_id = $1", values![id])?; // GPH-034
            sql.execute("DELETE FROM endpoints WHERE device_id = $1", values![id])?;
            log.raise(id)?;
            if !deviates(req::GPH_079) {
                queues::remove_of(sql, log, id)?;
            }
            Ok(())
        })
        .await
    }

    /// Keeps where the device can be reached, unless it was revoked meanwhile (GPH-041). That it is so for longer is no
    /// news.
    pub(crate) async fn put_endpoint(
        &self,
        device: Id,
        endpoint: Endpoint,
        by: Who,
    ) -> Result<(), StoreError> {
        self.change(by, move |sql, log| {
            let revoked = find(sql, device)?.is_none_or(|device| device.state == DeviceState::Revoked);
            demand(!revoked, req::GPH_041)?;
            let upsert = "INSERT INTO endpoints (device_id, addresses, expires) VALUES ($1, $2, $3)
                ON CONFLICT (device_id) DO UPDATE SET addresses = excluded.addresses, expires = excluded.expires";
            let known = "SELECT 1 FROM endpoints WHERE device_id = $1 AND addresses = $2 AND expires > $3";
            let addresses = serde_json::Value::from(endpoint.addresses.clone()).to_string();
            if !sql.exists(known, values![device, &addresses, by.at])? {
                log.raise(device)?;
            }
            sql.execute(upsert, values![device, addresses, endpoint.expires])?;
            Ok(())
        })
        .await
    }

    /// Where the device said that it can be reached. It may have ended.
    pub(crate) async fn endpoint(&self, device: Id) -> Result<Option<Endpoint>, StoreError> {
        let select = "SELECT addresses, expires FROM endpoints WHERE device_id = $1";
        self.read(move |sql| {
            sql.first(select, values![device], |row| {
                let addresses = row.parsed(0, |text| serde_json::from_str(text).ok())?;
                Ok(Endpoint { addresses, expires: row.time(1)? })
            })
        })
        .await
    }

    /// Every folder that is mapped on both devices: a fact about `x`, and one about `y` (GPH-040). Ascending.
    pub(crate) async fn shared_folders(&self, x: Id, y: Id) -> Result<Vec<(Mapping, Mapping)>, StoreError> {
        let select = "SELECT mx.folder_id, rx.role, ry.role FROM mappings mx
            JOIN mappings my ON my.folder_id = mx.folder_id
            JOIN devices dx ON dx.id = mx.device_id
            JOIN devices dy ON dy.id = my.device_id
            JOIN members rx ON rx.folder_id = mx.folder_id AND rx.user_id = dx.user_id
            JOIN members ry ON ry.folder_id = mx.folder_id AND ry.user_id = dy.user_id
            WHERE mx.device_id = $1 AND my.device_id = $2 ORDER BY mx.folder_id";
        self.read(move |sql| {
            sql.all(select, values![x, y], |row| {
                let folder = row.id(0)?;
                let fact = |device, column| {
                    let role = row.parsed(column, Role::parse)?;
                    Ok::<_, StoreError>(Mapping { folder, device, role })
                };
                Ok((fact(x, 1)?, fact(y, 2)?))
            })
        })
        .await
    }

    /// Forgets where the device can be reached.
    pub(crate) async fn remove_endpoint(&self, device: Id, by: Who) -> Result<(), StoreError> {
        self.change(by, move |sql, log| {
            let delete = "DELETE FROM endpoints WHERE device_id = $1";
            if sql.execute(delete, values![device])? == 1 {
                log.raise(device)?;
            }
            Ok(())
        })
        .await
    }

    /// Whether the user, or one device of the user if it asks, may know where `device` can be reached: it is the user's
    /// own, or a folder is mapped on both, all users being members (GPH-017, GPH-019).
    pub(crate) async fn may_meet(&self, user: Id, own: Option<Id>, device: Id) -> Result<bool, StoreError> {
        self.read(move |sql| may_meet(sql, user, own, device)).await
    }
}

/// As [`Store::may_meet`].
pub(super) fn may_meet(sql: &Sql<'_>, user: Id, own: Option<Id>, device: Id) -> Result<bool, StoreError> {
    let select = "SELECT 1 FROM devices WHERE id = $1 AND user_id = $2";
    if sql.exists(select, values![device, user])? {
        return Ok(true);
    }
    let select = "SELECT 1 FROM mappings theirs
        JOIN mappings ours ON ours.folder_id = theirs.folder_id
        JOIN devices d ON d.id = ours.device_id
        JOIN devices t ON t.id = theirs.device_id
        JOIN members md ON md.folder_id = ours.folder_id AND md.user_id = d.user_id
        JOIN members mt ON mt.folder_id = ours.folder_id AND mt.user_id = t.user_id
        WHERE theirs.device_id = $1 AND d.user_id = $2 AND d.state = 'claimed'
        AND (d.id = $3 OR $3 = '') LIMIT 1";
    let own = own.map(|own| own.to_string()).unwrap_or_default();
    sql.exists(select, values![device, user, own])
}

/// Forgets where the device can be reached if its time has passed. Returns the number of its feed.
pub(super) fn end_endpoint(
    sql: &Sql<'_>,
    log: &Log<'_>,
    device: Id,
    now: UnixTime,
) -> Result<u64, StoreError> {
    let delete = "DELETE FROM endpoints WHERE device_id = $1 AND expires <= $2";
    if sql.execute(delete, values![device, now])? == 1 {
        return log.raise(device);
    }
    changes::last(sql, device)
}

/// The device, inside a transaction.
pub(super) fn find(sql: &Sql<'_>, id: Id) -> Result<Option<Device>, StoreError> {
    sql.first(&format!("{COLUMNS} WHERE id = $1"), values![id], device)
}

/// The name of the device, or nothing.
pub(super) fn name_of(sql: &Sql<'_>, id: Id) -> Result<String, StoreError> {
    Ok(find(sql, id)?.map(|device| device.name).unwrap_or_default())
}

/// Forgets all devices of a user in this state but the last `kept`.
fn forget_but(sql: &Sql<'_>, user: Id, state: DeviceState, kept: u64) -> Result<(), StoreError> {
    let select = "SELECT id FROM devices WHERE user_id = $1 AND state = $2
        ORDER BY since DESC, id LIMIT 1000 OFFSET $3";
    for id in sql.all(select, values![user, state.name(), kept], |row| row.id(0))? {
        sql.execute("DELETE FROM feeds WHERE id = $1", values![id])?; // of its endpoint
        sql.execute("DELETE FROM devices WHERE id = $1", values![id])?;
    }
    Ok(())
}

/// Whether another claimed device has its key.
fn key_in_use(sql: &Sql<'_>, device: &Device) -> Result<bool, StoreError> {
    let select = "SELECT 1 FROM devices WHERE fingerprint = $1 AND id <> $2 AND state = 'claimed' LIMIT 1";
    sql.exists(select, values![&device.fingerprint, device.id])
}

fn device(row: &Row<'_>) -> Result<Device, StoreError> {
    Ok(Device {
        id: row.id(0)?,
        user: row.id(1)?,
        name: row.text(2)?,
        spki: row.text(3)?,
        fingerprint: row.text(4)?,
        state: row.parsed(5, DeviceState::parse)?,
        etag: row.text(6)?,
        signing_key: row.text(7)?,
    })
}
