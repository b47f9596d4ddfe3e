//! Folders.

use meshproof_proto::codec::Id;
use meshproof_proto::requirement::{self as req, demand};
use meshproof_proto::storage::MediaHash;
use meshproof_proto::ticket::Role;

use super::members::Actor;
use super::{Row, Store, StoreError, values};

/// A folder.
#[derive(Clone, Debug)]
pub(crate) struct Folder {
    pub(crate) id: Id,
    pub(crate) name: String,
    pub(crate) storage: Storage,
    /// The user whose quota is charged.
    pub(crate) creator: Id,
    pub(crate) etag: String,
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
    /// Adds a folder, whose creator becomes its owner.
    pub(crate) async fn add_folder(&self, folder: Folder, member_etag: String) -> Result<(), StoreError> {
        self.write(move |sql| {
            let Folder { id, name, storage, creator, etag } = &folder;
            let insert = "INSERT INTO folders (id, name, storage, creator, etag) VALUES ($1, $2, $3, $4, $5)";
            sql.execute(insert, values![*id, name, storage.name(), *creator, etag])?;
            let insert = "INSERT INTO members (folder_id, user_id, role, etag) VALUES ($1, $2, $3, $4)";
            sql.execute(insert, values![*id, *creator, Role::Owner.name(), &member_etag])?;
            Ok(())
        })
        .await
    }

    /// The folder, and the user's role in it: the lookup behind every access to a folder (GPH-019).
    pub(crate) async fn folder_and_role(
        &self,
        id: Id,
        user: Id,
    ) -> Result<Option<(Folder, Option<Role>)>, StoreError> {
        let select = "SELECT f.id, f.name, f.storage, f.creator, f.etag, m.role FROM folders f
            LEFT JOIN members m ON m.folder_id = f.id AND m.user_id = $1 WHERE f.id = $2";
        self.read(move |sql| {
            sql.first(select, values![user, id], |row| {
                let role = row.maybe_text(5)?;
                Ok((folder(row)?, role.as_deref().and_then(Role::parse)))
            })
        })
        .await
    }

    /// The folders of which the user is a member, with the role.
    pub(crate) async fn folders_of(&self, user: Id) -> Result<Vec<(Folder, Role)>, StoreError> {
        let select = "SELECT f.id, f.name, f.storage, f.creator, f.etag, m.role FROM members m
            JOIN folders f ON f.id = m.folder_id WHERE m.user_id = $1 ORDER BY f.id";
        self.read(move |sql| {
            sql.all(select, values![user], |row| Ok((folder(row)?, row.parsed(5, Role::parse)?)))
        })
        .await
    }

    /// Renames the folder whose tag is still `from` (GPH-013).
    pub(crate) async fn rename_folder(
        &self,
        id: Id,
        name: String,
        from: String,
        to: String,
        by: Actor,
    ) -> Result<(), StoreError> {
        self.write(move |sql| {
            by.check(sql, id)?;
            let update = "UPDATE folders SET name = $1, etag = $2 WHERE id = $3 AND etag = $4";
            Ok(demand(sql.execute(update, values![&name, &to, id, &from])? == 1, req::GPH_013)?)
        })
        .await
    }

    /// Removes the folder whose tag is still `from`, with all in it, and credits its creator. Returns the media that
    /// no folder holds any more.
    pub(crate) async fn remove_folder(
        &self,
        id: Id,
        from: String,
        by: Actor,
    ) -> Result<Vec<MediaHash>, StoreError> {
        self.write(move |sql| {
            by.check(sql, id)?;
            let charged = "SELECT CAST(coalesce(sum(size), 0) AS bigint) FROM media WHERE folder_id = $1";
            let size = sql.first(charged, values![id], |row| row.number(0))?.unwrap_or(0);
            let credit = "UPDATE users SET used = used - $1
                WHERE id = (SELECT creator FROM folders WHERE id = $2)";
            sql.execute(credit, values![size, id])?;
            let removed =
                sql.execute("DELETE FROM folders WHERE id = $1 AND etag = $2", values![id, &from])?;
            demand(removed == 1, req::GPH_013)?;
            let unheld = "SELECT hash FROM media m WHERE folder_id = $1 AND NOT EXISTS
                (SELECT 1 FROM media o WHERE o.hash = m.hash AND o.folder_id <> $1)";
            let unheld = sql.all(unheld, values![id], |row| row.parsed(0, MediaHash::parse))?;
            for table in ["members", "mappings", "entries", "media", "invitations"] {
                sql.execute(&format!("DELETE FROM {table} WHERE folder_id = $1"), values![id])?;
            }
            Ok(unheld)
        })
        .await
    }
}

fn folder(row: &Row<'_>) -> Result<Folder, StoreError> {
    Ok(Folder {
        id: row.id(0)?,
        name: row.text(1)?,
        storage: row.parsed(2, Storage::parse)?,
        creator: row.id(3)?,
        etag: row.text(4)?,
    })
}
