//! Who writes in a folder: the keys that the issuer vouches for (`spec/graph.md`, section 4.14).

use meshproof_proto::codec::Id;
use meshproof_proto::requirement::{self as req, demand, deviates};

use super::{Row, Span, Sql, Store, StoreError, values};

/// How many writers a folder has at most, those of the past counted (GPH-210): a fourth of what a STATE may name (SYN-028).
const MOST: u64 = 1_024;
/// How many of them are devices of one user (GPH-211).
const MOST_OF_USER: u64 = 128;

/// A writer of a folder.
#[derive(Clone, Debug)]
pub(crate) struct Writer {
    pub(crate) device: Id,
    /// In hexadecimal.
    pub(crate) key: String,
    /// The fingerprint of the issuer's key that signed the card; empty before the first time.
    pub(crate) signed_by: String,
    /// In base64.
    pub(crate) signature: String,
}

/// The claimed devices on which the folder is mapped, that sign, and whose user may write (GPH-152).
const MAY_WRITE: &str = "FROM mappings m
    JOIN devices d ON d.id = m.device_id
    JOIN members r ON r.folder_id = m.folder_id AND r.user_id = d.user_id
    WHERE m.folder_id = $1 AND d.state = 'claimed' AND d.signing_key <> '' AND r.role <> $2";

impl Store {
    /// Remembers who may write now (GPH-151).
    pub(crate) async fn note_writers(&self, folder: Id) -> Result<(), StoreError> {
        let left_out = if deviates(req::GPH_152) { "" } else { "reader" };
        let news = format!(
            "SELECT 1 {MAY_WRITE} AND NOT EXISTS (SELECT 1 FROM writers w
            WHERE w.folder_id = m.folder_id AND w.device_id = d.id) LIMIT 1"
        );
        if !self.read(move |sql| sql.exists(&news, values![folder, left_out])).await? {
            return Ok(());
        }
        self.write(move |sql| insert(sql, folder).map(drop)).await
    }

    /// All who write or once wrote.
    pub(crate) async fn writers(
        &self,
        folder: Id,
        Span { after, most }: Span,
    ) -> Result<Vec<Writer>, StoreError> {
        let select = "SELECT device_id, signing_key, signed_by, signature FROM writers
            WHERE folder_id = $1 AND device_id > $2 ORDER BY device_id LIMIT $3";
        self.read(move |sql| sql.all(select, values![folder, &after, most], writer)).await
    }

    /// Keeps cards that were signed.
    pub(crate) async fn keep_cards(&self, folder: Id, signed: Vec<Writer>) -> Result<(), StoreError> {
        self.write(move |sql| {
            for Writer { device, signed_by, signature, .. } in &signed {
                let update = "UPDATE writers SET signed_by = $1, signature = $2
                    WHERE folder_id = $3 AND device_id = $4";
                sql.execute(update, values![signed_by, signature, folder, *device])?;
            }
            Ok(())
        })
        .await
    }
}

/// Remembers who may write after a change that may have made devices of this user writers, and refuses it if they are too many (GPH-210,
/// GPH-211). Inside the transaction of the change.
pub(super) fn note(sql: &Sql<'_>, folder: Id, user: Id) -> Result<(), StoreError> {
    if insert(sql, folder)? == 0 {
        return Ok(());
    }
    let all = "SELECT count(*) FROM writers WHERE folder_id = $1";
    let all = sql.first(all, values![folder], |row| row.number(0))?.unwrap_or(0);
    demand(all <= MOST, req::GPH_210)?;
    let of_user = "SELECT count(*) FROM writers w JOIN devices d ON d.id = w.device_id
        WHERE w.folder_id = $1 AND d.user_id = $2";
    let of_user = sql.first(of_user, values![folder, user], |row| row.number(0))?.unwrap_or(0);
    Ok(demand(of_user <= MOST_OF_USER, req::GPH_211)?)
}

/// How many are new.
fn insert(sql: &Sql<'_>, folder: Id) -> Result<u64, StoreError> {
    let left_out = if deviates(req::GPH_152) { "" } else { "reader" };
    let insert = format!(
        "INSERT INTO writers (folder_id, device_id, signing_key, signed_by, signature)
        SELECT m.folder_id, d.id, d.signing_key, '', '' {MAY_WRITE}
        ON CONFLICT (folder_id, device_id) DO NOTHING"
    );
    sql.execute(&insert, values![folder, left_out])
}

fn writer(row: &Row<'_>) -> Result<Writer, StoreError> {
    Ok(Writer { device: row.id(0)?, key: row.text(1)?, signed_by: row.text(2)?, signature: row.text(3)? })
}

#[cfg(test)]
mod tests {
    use meshproof_proto::requirement::Requirement;
    use meshproof_proto::ticket::Role;
    use meshproof_proto::time::UnixTime;

    use super::*;
    use crate::graph::access::Need;
    use crate::state::new_id;
    use crate::store::changes::Who;
    use crate::store::folders::{Folder, Storage};

    #[track_caller]
    fn refused<T>(result: Result<T, StoreError>, by: Requirement) {
        match result {
            Err(StoreError::Rule(rule)) if rule.is(by) => {}
            Err(error) => panic!("{error}"),
            Ok(_) => panic!("not refused"),
        }
    }

    #[tokio::test]
    async fn writers_of_a_folder_and_of_a_user() {
        // GPH-210, GPH-211
        let data = tempfile::tempdir().unwrap();
        let store = Store::open(&data.path().join("meshd.sqlite")).unwrap();
        let (ann, bob, carl, folder) = (new_id(), new_id(), new_id(), new_id());
        let who = |user| Who { user, device: None, at: UnixTime(1) };
        let (name, etag) = ("x".to_owned(), "a".to_owned());
        let storage = Storage::Cloud;
        let row = Folder { id: folder, name, storage, creator: ann, etag: etag.clone(), generation: 0 };
        store.add_folder(row, etag, 9, who(ann)).await.unwrap();
        let members = [(bob, "contributor"), (carl, "reader")];
        let devices: Vec<(Id, Id)> = [ann, bob, carl]
            .into_iter()
            .flat_map(|user| (0..=MOST_OF_USER).map(move |_| (user, new_id())))
            .collect();
        let rows = devices.clone();
        let insert = store.write(move |sql| {
            for (user, role) in members {
                let insert = "INSERT INTO members (folder_id, user_id, role, etag) VALUES ($1, $2, $3, 'a')";
                sql.execute(insert, values![folder, user, role])?;
            }
            for (user, device) in &rows {
                let insert =
                    "INSERT INTO devices (id, user_id, name, spki, fingerprint, signing_key, state, etag)
                    VALUES ($1, $2, 'x', 'x', $3, 'x', 'claimed', 'a')";
                sql.execute(insert, values![*device, *user, device.to_string()])?;
            }
            Ok(())
        });
        insert.await.unwrap();
        let of = |user| devices.iter().filter(move |(of, _)| *of == user).map(|(_, device)| *device);
        let map = |user, device| store.add_mapping(folder, device, "a".into(), Need::READ.by(who(user)));
        let unmap = |user, device| store.remove_mapping(folder, device, Need::READ.by(who(user)));
        let all = Span { after: String::new(), most: 2_000 };

        let mut bobs = of(bob);
        for device in bobs.by_ref().take(128) {
            map(bob, device).await.unwrap();
            unmap(bob, device).await.unwrap();
        }
        let last = bobs.next().unwrap();
        refused(map(bob, last).await, req::GPH_211);
        assert!(store.mapping(folder, last).await.unwrap().is_none());
        let again = of(bob).next().unwrap();
        map(bob, again).await.unwrap();
        assert_eq!(store.writers(folder, all.clone()).await.unwrap().len(), 128, "once is for ever");

        // Readers are no writers, until they are.
        for device in of(carl) {
            map(carl, device).await.unwrap();
        }
        let (tags, by) = (("a".to_owned(), "b".to_owned()), Need::CONTROL_MEMBERS.by(who(ann)));
        let promote = || store.change_role(folder, carl, Role::Contributor, tags.clone(), by);
        refused(promote().await, req::GPH_211);
        unmap(carl, of(carl).next().unwrap()).await.unwrap();
        promote().await.unwrap();
        assert_eq!(store.writers(folder, all.clone()).await.unwrap().len(), 256);

        // Many of others.
        let others = store.write(move |sql| {
            for _ in 256..MOST - 1 {
                let insert = "INSERT INTO writers (folder_id, device_id, signing_key, signed_by, signature)
                    VALUES ($1, $2, 'x', '', '')";
                sql.execute(insert, values![folder, new_id()])?;
            }
            Ok(())
        });
        others.await.unwrap();
        let mut anns = of(ann);
        map(ann, anns.next().unwrap()).await.unwrap();
        refused(map(ann, anns.next().unwrap()).await, req::GPH_210);
        assert_eq!(store.writers(folder, all).await.unwrap().len(), 1_024);
    }
}
