//! Passwords for the network drive (`spec/identity.md`, section 4.10).

use meshproof_proto::codec::Id;
use meshproof_proto::requirement::{self as req, demand};
use meshproof_proto::time::UnixTime;

use super::{Row, Store, StoreError, values};

/// A password for one program of a user.
#[derive(Clone, Debug)]
pub(crate) struct AppPassword {
    pub(crate) id: Id,
    pub(crate) user: Id,
    /// What the person calls the program.
    pub(crate) label: String,
    pub(crate) created: UnixTime,
    /// The last sign-in.
    pub(crate) used: Option<UnixTime>,
}

impl Store {
    /// Adds one under the hash of the password.
    pub(crate) async fn add_app_password(&self, hash: String, added: AppPassword) -> Result<(), StoreError> {
        self.write(move |sql| {
            let insert = "INSERT INTO app_passwords (id, user_id, hash, label, created, used)
                VALUES ($1, $2, $3, $4, $5, 0)";
            sql.execute(insert, values![added.id, added.user, &hash, &added.label, added.created]).map(drop)
        })
        .await
    }

    /// Those of a user, the oldest first.
    pub(crate) async fn app_passwords_of(&self, user: Id) -> Result<Vec<AppPassword>, StoreError> {
        let select = "SELECT id, user_id, label, created, used FROM app_passwords
            WHERE user_id = $1 ORDER BY created, id";
        self.read(move |sql| sql.all(select, values![user], app_password)).await
    }

    /// The one of this user with this hash, if there is one. It is used then.
    pub(crate) async fn use_app_password(
        &self,
        user: Id,
        hash: String,
        now: UnixTime,
    ) -> Result<Option<Id>, StoreError> {
        self.write(move |sql| {
            let update = "UPDATE app_passwords SET used = $1 WHERE user_id = $2 AND hash = $3 RETURNING id";
            sql.first(update, values![now, user, &hash], |row| row.id(0))
        })
        .await
    }

    /// Removes one of the user (GPH-004), and ends the sessions that it began.
    pub(crate) async fn remove_app_password(&self, user: Id, id: Id) -> Result<(), StoreError> {
        self.write(move |sql| {
            let delete = "DELETE FROM app_passwords WHERE id = $1 AND user_id = $2";
            demand(sql.execute(delete, values![id, user])? == 1, req::GPH_004)?;
            sql.execute("DELETE FROM sessions WHERE app_password = $1", values![id]).map(drop)
        })
        .await
    }
}

fn app_password(row: &Row<'_>) -> Result<AppPassword, StoreError> {
    Ok(AppPassword {
        id: row.id(0)?,
        user: row.id(1)?,
        label: row.text(2)?,
        created: row.time(3)?,
        used: Some(row.time(4)?).filter(|used| used.0 > 0),
    })
}
