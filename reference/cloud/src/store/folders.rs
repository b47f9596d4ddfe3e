//! Folders.

use meshproof_proto::codec::Id;
use meshproof_proto::requirement::{self as req, demand, deviates};
use meshproof_proto::ticket::Role;
use serde_json::json;

use super::changes::{Verb, Who};
use super::members::Actor;
use super::{Row, Span, Sql, Store, StoreError, media, members, values, wanted};
use crate::graph::paths;
use crate::storage::blobs::Object;

/// A folder.
#[derive(Clone, Debug)]
pub(crate) struct Folder {
    pub(crate) id: Id,
    pub(crate) name: String,
    pub(crate) storage: Storage,
    /// The user whose quota is charged.
    pub(crate) creator: Id,
    pub(crate) etag: String,
    /// Of its key record; 0 if it is not encrypted.
    pub(crate) generation: u64,
}

/// Where the bytes of a folder's files may be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Storage {
    /// In the cloud too.
    #[default]
    Cloud,
    /// On devices only (STO-003).
    P2p,
}

impl Storage {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Cloud => "cloud",
            Self::P2p => "p2p",
        }
    }

    pub(crate) fn parse(name: &str) -> Option<Self> {
        [Self::Cloud, Self::P2p].into_iter().find(|storage| storage.name() == name)
    }
}

impl Store {
    /// Adds a folder, whose creator becomes its owner, unless the creator has made `most` (GPH-134).
    pub(crate) async fn add_folder(
        &self,
        folder: Folder,
        member_etag: String,
        most: u64,
        by: Who,
    ) -> Result<(), StoreError> {
        self.change(by, move |sql, log| {
            let Folder { id, name, storage, creator, etag, .. } = &folder;
            let count = "SELECT count(*) FROM folders WHERE creator = $1";
            let made = sql.first(count, values![*creator], |row| row.number(0))?.unwrap_or(0);
            demand(made < most, req::GPH_134)?;
            let insert = "INSERT INTO folders (id, name, storage, creator, etag) VALUES ($1, $2, $3, $4, $5)";
            sql.execute(insert, values![*id, name, storage.name(), *creator, etag])?;
            let insert = "INSERT INTO members (folder_id, user_id, role, etag) VALUES ($1, $2, $3, $4)";
            sql.execute(insert, values![*id, *creator, Role::Owner.name(), &member_etag])?;
            members::joined(sql, log, *id, *creator, Role::Owner)
        })
        .await
    }

    /// The folder, and the user's role in it: the lookup behind every access to a folder (GPH-019).
    pub(crate) async fn folder_and_role(
        &self,
        id: Id,
        user: Id,
    ) -> Result<Option<(Folder, Option<Role>)>, StoreError> {
        let select = "SELECT f.id, f.name, f.storage, f.creator, f.etag, f.generation, m.role FROM folders f
            LEFT JOIN members m ON m.folder_id = f.id AND m.user_id = $1 WHERE f.id = $2";
        self.read(move |sql| {
            sql.first(select, values![user, id], |row| {
                let role = row.maybe_text(6)?;
                Ok((folder(row)?, role.as_deref().and_then(Role::parse)))
            })
        })
        .await
    }

    /// The folders of which the user is a member, with the role.
    pub(crate) async fn folders_of(
        &self,
        user: Id,
        Span { after, most }: Span,
    ) -> Result<Vec<(Folder, Role)>, StoreError> {
        let select = "SELECT f.id, f.name, f.storage, f.creator, f.etag, f.generation, m.role FROM members m
            JOIN folders f ON f.id = m.folder_id WHERE m.user_id = $1 AND f.id > $2
            ORDER BY f.id LIMIT $3";
        self.read(move |sql| {
            sql.all(select, values![user, &after, most], |row| {
                Ok((folder(row)?, row.parsed(6, Role::parse)?))
            })
        })
        .await
    }

    /// Gives the folder whose tag is still `from` the name, storage and tag of `to` (GPH-013). Returns the objects that
    /// a folder which became P2P-only held (STO-040).
    pub(crate) async fn change_folder(
        &self,
        to: Folder,
        from: String,
        by: Actor,
    ) -> Result<Vec<Object>, StoreError> {
        self.change(by.who, move |sql, log| {
            by.check(sql, to.id)?;
            let select = "SELECT storage, name FROM folders WHERE id = $1";
            let before =
                sql.first(select, values![to.id], |row| Ok((row.parsed(0, Storage::parse)?, row.text(1)?)))?;
            let update = "UPDATE folders SET name = $1, storage = $2, etag = $3 WHERE id = $4 AND etag = $5";
            let values = values![&to.name, to.storage.name(), &to.etag, to.id, &from];
            demand(sql.execute(update, values)? == 1, req::GPH_013)?;
            let (before, name) = before.unwrap_or((to.storage, to.name.clone()));
            let node = paths::folder(to.id);
            if name != to.name {
                let detail = json!({ "name": to.name });
                log.record(to.id, Verb::FolderRenamed, &node, &detail)?;
                for user in members_of(sql, to.id)? {
                    log.record(user, Verb::FolderRenamed, &node, &detail)?;
                }
            }
            if before != to.storage {
                let detail = json!({ "storage": to.storage.name() });
                log.record(to.id, Verb::FolderStorage, &node, &detail)?;
            }
            match (before, to.storage) {
                (Storage::Cloud, Storage::P2p) if !deviates(req::STO_040) => {
                    sql.execute("DELETE FROM missing WHERE folder_id = $1", values![to.id])?;
                    media::release_all(sql, to.id)
                }
                (Storage::P2p, Storage::Cloud) if !deviates(req::STO_041) => {
                    wanted::miss_all(sql, to.id)?;
                    Ok(Vec::new())
                }
                _ => Ok(Vec::new()),
            }
        })
        .await
    }

    /// Removes the folder whose tag is still `from`, with all in it, and credits its creator. Returns the objects that
    /// no folder needs any more.
    pub(crate) async fn remove_folder(
        &self,
        id: Id,
        from: String,
        by: Actor,
    ) -> Result<Vec<Object>, StoreError> {
        self.change(by.who, move |sql, log| {
            by.check(sql, id)?;
            let select = "SELECT 1 FROM folders WHERE id = $1 AND etag = $2";
            demand(sql.exists(select, values![id, &from])?, req::GPH_013)?;
            log.raise(id)?; // who waits for news of the folder learns that it has gone
            let detail = json!({ "name": name_of(sql, id)? });
            for user in members_of(sql, id)? {
                log.record(user, Verb::FolderGone, &paths::folder(id), &detail)?;
            }
            let garbage = media::release_all(sql, id)?;
            let credit = "UPDATE users SET metadata = metadata - (SELECT metadata FROM folders WHERE id = $1)
                WHERE id = (SELECT creator FROM folders WHERE id = $1)";
            sql.execute(credit, values![id])?;
            sql.execute("DELETE FROM folders WHERE id = $1", values![id])?;
            for table in [
                "members",
                "mappings",
                "writers",
                "folder_keys",
                "entries",
                "states",
                "heads",
                "missing",
                "invitations",
            ] {
                sql.execute(&format!("DELETE FROM {table} WHERE folder_id = $1"), values![id])?;
            }
            sql.execute("DELETE FROM changes WHERE feed = $1", values![id])?;
            Ok(garbage)
        })
        .await
    }
}

pub(super) fn name_of(sql: &Sql<'_>, id: Id) -> Result<String, StoreError> {
    let name = sql.first("SELECT name FROM folders WHERE id = $1", values![id], |row| row.text(0))?;
    Ok(name.unwrap_or_default())
}

fn members_of(sql: &Sql<'_>, folder: Id) -> Result<Vec<Id>, StoreError> {
    let select = "SELECT user_id FROM members WHERE folder_id = $1 ORDER BY user_id";
    sql.all(select, values![folder], |row| row.id(0))
}

fn folder(row: &Row<'_>) -> Result<Folder, StoreError> {
    Ok(Folder {
        id: row.id(0)?,
        name: row.text(1)?,
        storage: row.parsed(2, Storage::parse)?,
        creator: row.id(3)?,
        etag: row.text(4)?,
        generation: row.number(5)?,
    })
}
