//! Members of folders.

use meshproof_proto::codec::Id;
use meshproof_proto::requirement::{self as req, Requirement, demand, deviates};
use meshproof_proto::ticket::{Action, Role};
use serde_json::json;

use super::changes::{Log, Verb, Who};
use super::devices::{self, DeviceState};
use super::folders;
use super::{Row, Span, Sql, Store, StoreError, values, writers};
use crate::account::issue::actions_of;
use crate::graph::paths;

/// A user's membership in a folder.
#[derive(Clone, Debug)]
pub(crate) struct Member {
    pub(crate) user: Id,
    pub(crate) name: String,
    pub(crate) role: Role,
    pub(crate) etag: String,
}

/// Who changes something of a folder. What the request was allowed by may have gone since: so it is looked up again
/// inside the transaction of the change (GPH-019).
#[derive(Clone, Copy)]
pub(crate) struct Actor {
    pub(crate) who: Who,
    pub(crate) action: Action,
    /// The sentence that refuses a member whose role is too small.
    pub(crate) refusal: Requirement,
    /// The sentence that refused who is granted nothing.
    pub(crate) stranger: Requirement,
}

impl Actor {
    pub(super) fn check(self, sql: &Sql<'_>, folder: Id) -> Result<(), StoreError> {
        let select = "SELECT role FROM members WHERE folder_id = $1 AND user_id = $2";
        let role = sql.first(select, values![folder, self.who.user], |row| row.parsed(0, Role::parse))?;
        if let Some(device) = self.who.device {
            // TKT-026: a device that was revoked while its request was under way, which may take hours.
            let device = devices::find(sql, device)?;
            let claimed = device.is_some_and(|device| device.state == DeviceState::Claimed);
            demand(claimed || deviates(req::TKT_026), req::TKT_031)?;
        }
        let Some(role) = role else {
            // A mutant that let a stranger in lets it in here, too.
            return Ok(demand(deviates(self.stranger), req::GPH_019)?);
        };
        Ok(demand(actions_of(role).contains(&self.action), self.refusal)?)
    }
}

const COLUMNS: &str = "SELECT m.user_id, coalesce(u.name, ''), m.role, m.etag FROM members m
    LEFT JOIN users u ON u.id = m.user_id";

impl Store {
    /// The members of a folder.
    pub(crate) async fn members(
        &self,
        folder: Id,
        Span { after, most }: Span,
    ) -> Result<Vec<Member>, StoreError> {
        let select =
            format!("{COLUMNS} WHERE m.folder_id = $1 AND m.user_id > $2 ORDER BY m.user_id LIMIT $3");
        self.read(move |sql| sql.all(&select, values![folder, &after, most], member)).await
    }

    /// One member.
    pub(crate) async fn member(&self, folder: Id, user: Id) -> Result<Option<Member>, StoreError> {
        let select = format!("{COLUMNS} WHERE m.folder_id = $1 AND m.user_id = $2");
        self.read(move |sql| sql.first(&select, values![folder, user], member)).await
    }

    /// Gives the member whose tag is still `from` another role (GPH-013). The creator stays an owner (GPH-130).
    pub(crate) async fn change_role(
        &self,
        folder: Id,
        user: Id,
        role: Role,
        tags: (String, String),
        by: Actor,
    ) -> Result<(), StoreError> {
        let (from, to) = tags;
        self.change(by.who, move |sql, log| {
            by.check(sql, folder)?;
            let update = "UPDATE members SET role = $1, etag = $2
                WHERE folder_id = $3 AND user_id = $4 AND etag = $5";
            let values = values![role.name(), &to, folder, user, &from];
            demand(sql.execute(update, values)? == 1, req::GPH_013)?;
            let detail = json!({ "name": name_of(sql, user)?, "role": role.name() });
            log.record(folder, Verb::MemberRole, &paths::member(folder, user), &detail)?;
            writers::note(sql, folder, user)?; // GPH-210, GPH-211
            Ok(demand(role == Role::Owner || !is_creator(sql, folder, user)?, req::GPH_130)?)
        })
        .await
    }

    /// Removes the member whose tag is still `from` (GPH-013), and the mappings of its devices. The creator is not
    /// removed (GPH-130, GPH-131).
    pub(crate) async fn remove_member(
        &self,
        folder: Id,
        user: Id,
        from: String,
        by: Actor,
    ) -> Result<(), StoreError> {
        self.change(by.who, move |sql, log| {
            by.check(sql, folder)?;
            let delete = "DELETE FROM members WHERE folder_id = $1 AND user_id = $2 AND etag = $3";
            demand(sql.execute(delete, values![folder, user, &from])? == 1, req::GPH_013)?;
            let delete = "DELETE FROM mappings WHERE folder_id = $1
                AND device_id IN (SELECT id FROM devices WHERE user_id = $2)";
            sql.execute(delete, values![folder, user])?;
            let detail = json!({ "name": name_of(sql, user)? });
            log.record(folder, Verb::MemberLeft, &paths::member(folder, user), &detail)?;
            let detail = json!({ "name": folders::name_of(sql, folder)? });
            log.record(user, Verb::FolderGone, &paths::folder(folder), &detail)?;
            let rule = if by.who.user == user { req::GPH_131 } else { req::GPH_130 };
            Ok(demand(!is_creator(sql, folder, user)?, rule)?)
        })
        .await
    }
}

/// Adds a member, inside a transaction. `false` if the user is one already, and nothing is changed.
pub(super) fn insert_member(
    sql: &Sql<'_>,
    log: &Log<'_>,
    folder: Id,
    member: &Member,
) -> Result<bool, StoreError> {
    let insert = "INSERT INTO members (folder_id, user_id, role, etag) VALUES ($1, $2, $3, $4)
        ON CONFLICT (folder_id, user_id) DO NOTHING";
    let Member { user, role, etag, .. } = member;
    let added = sql.execute(insert, values![folder, *user, role.name(), etag])? == 1;
    if added {
        joined(sql, log, folder, *user, *role)?;
    }
    Ok(added)
}

/// Whether what the folder holds is charged to the user.
fn is_creator(sql: &Sql<'_>, folder: Id, user: Id) -> Result<bool, StoreError> {
    sql.exists("SELECT 1 FROM folders WHERE id = $1 AND creator = $2", values![folder, user])
}

/// Tells the folder of its new member, and the user's mesh of the folder.
pub(super) fn joined(
    sql: &Sql<'_>,
    log: &Log<'_>,
    folder: Id,
    user: Id,
    role: Role,
) -> Result<(), StoreError> {
    let detail = json!({ "name": name_of(sql, user)?, "role": role.name() });
    log.record(folder, Verb::MemberJoined, &paths::member(folder, user), &detail)?;
    let detail = json!({ "name": folders::name_of(sql, folder)? });
    log.record(user, Verb::FolderAppeared, &paths::folder(folder), &detail).map(drop)
}

fn name_of(sql: &Sql<'_>, user: Id) -> Result<String, StoreError> {
    let name = sql.first("SELECT name FROM users WHERE id = $1", values![user], |row| row.text(0))?;
    Ok(name.unwrap_or_default())
}

fn member(row: &Row<'_>) -> Result<Member, StoreError> {
    Ok(Member { user: row.id(0)?, name: row.text(1)?, role: row.parsed(2, Role::parse)?, etag: row.text(3)? })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::new_id;
    use crate::store::folders::{Folder, Storage};
    use meshproof_proto::time::UnixTime;

    #[tokio::test]
    async fn creators_of_before_are_owners_again() {
        let data = tempfile::tempdir().unwrap();
        let store = Store::open(&data.path().join("meshd.sqlite")).unwrap();
        let (ann, bob) = (new_id(), new_id());
        let folders = [new_id(), new_id(), new_id()];
        for folder in folders {
            let (name, etag) = ("x".to_owned(), "a".to_owned());
            let row = Folder {
                id: folder,
                name,
                storage: Storage::Cloud,
                creator: ann,
                etag: etag.clone(),
                generation: 0,
            };
            store.add_folder(row, etag, 9, Who { user: ann, device: None, at: UnixTime(1) }).await.unwrap();
        }
        let [removed, demoted, kept] = folders;
        let migration = include_str!("migrations/0012_creators.sql");
        let before = move |sql: &Sql<'_>| {
            sql.execute("UPDATE members SET user_id = $1 WHERE folder_id = $2", values![bob, removed])?;
            sql.execute("UPDATE members SET role = 'reader' WHERE folder_id = $1", values![demoted])?;
            for statement in migration.split(';').filter(|statement| statement.contains("members")) {
                sql.execute(statement, &[])?;
            }
            Ok(())
        };
        store.write(before).await.unwrap();
        for folder in folders {
            assert_eq!(store.member(folder, ann).await.unwrap().unwrap().role, Role::Owner);
        }
        assert_eq!(store.member(removed, bob).await.unwrap().unwrap().role, Role::Owner);
        assert_eq!(store.member(kept, ann).await.unwrap().unwrap().etag, "a");
    }
}
