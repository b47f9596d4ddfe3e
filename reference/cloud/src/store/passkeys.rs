//! Passkeys (`spec/identity.md`, section 4.9).

use meshproof_proto::codec::Id;
use meshproof_proto::requirement::{self as req, demand};
use meshproof_proto::time::UnixTime;

use super::sql::Sql;
use super::{Row, Store, StoreError, values};

/// A passkey of a user.
#[derive(Clone, Debug)]
pub(crate) struct Passkey {
    pub(crate) id: Id,
    pub(crate) user: Id,
    /// As the authenticator names it, in base64url.
    pub(crate) credential: String,
    /// `COSE_Key` in base64url.
    pub(crate) key: String,
    /// Of the last ceremony.
    pub(crate) counter: u64,
    /// What the person calls it.
    pub(crate) label: String,
    pub(crate) created: UnixTime,
    /// The last sign-in.
    pub(crate) used: Option<UnixTime>,
}

const COLUMNS: &str =
    "SELECT id, user_id, credential, public_key, counter, label, created, used FROM passkeys";

impl Store {
    /// Adds a passkey, unless its credential is registered (IDN-056).
    pub(crate) async fn add_passkey(&self, passkey: Passkey) -> Result<(), StoreError> {
        self.write(move |sql| {
            let Passkey { id, user, credential, key, counter, label, created, used: _ } = &passkey;
            let insert = "INSERT INTO passkeys
                (id, user_id, credential, public_key, counter, label, created, used)
                VALUES ($1, $2, $3, $4, $5, $6, $7, 0) ON CONFLICT (credential) DO NOTHING";
            let row = values![*id, *user, credential, key, *counter, label, *created];
            Ok(demand(sql.execute(insert, row)? == 1, req::IDN_056)?)
        })
        .await
    }

    /// The passkey with this credential.
    pub(crate) async fn passkey(&self, credential: String) -> Result<Option<Passkey>, StoreError> {
        let select = format!("{COLUMNS} WHERE credential = $1");
        self.read(move |sql| sql.first(&select, values![&credential], passkey)).await
    }

    /// The passkeys of a user, the oldest first.
    pub(crate) async fn passkeys_of(&self, user: Id) -> Result<Vec<Passkey>, StoreError> {
        let select = format!("{COLUMNS} WHERE user_id = $1 ORDER BY created, id");
        self.read(move |sql| sql.all(&select, values![user], passkey)).await
    }

    /// Notes that a passkey signed its user in, if its counter went on (IDN-055). Of two that come at once with one
    /// counter only one counts.
    pub(crate) async fn use_passkey(&self, id: Id, counter: u64, now: UnixTime) -> Result<(), StoreError> {
        self.write(move |sql| {
            let update = "UPDATE passkeys SET counter = $1, used = $2
                WHERE id = $3 AND (counter < $1 OR (counter = 0 AND $1 = 0))";
            Ok(demand(sql.execute(update, values![counter, now, id])? == 1, req::IDN_055)?)
        })
        .await
    }

    /// Removes a passkey of the user (IDN-059), but not the last way in (IDN-058).
    pub(crate) async fn remove_passkey(&self, user: Id, id: Id, ways: Ways) -> Result<(), StoreError> {
        self.write(move |sql| {
            let delete = "DELETE FROM passkeys WHERE id = $1 AND user_id = $2";
            demand(sql.execute(delete, values![id, user])? == 1, req::IDN_059)?;
            Ok(demand(ways.is_left(sql, user)?, req::IDN_058)?)
        })
        .await
    }
}

/// By what people can sign in, as this cloud is configured.
#[derive(Clone, Debug)]
pub(crate) struct Ways {
    pub(crate) passkeys: bool,
    pub(crate) passwords: bool,
    /// The names of the other providers.
    pub(crate) providers: Vec<String>,
}

impl Ways {
    /// Whether the user can sign in by one of them.
    pub(super) fn is_left(&self, sql: &Sql<'_>, user: Id) -> Result<bool, StoreError> {
        let passkey = "SELECT 1 FROM passkeys WHERE user_id = $1";
        let password = "SELECT 1 FROM users WHERE id = $1 AND password <> ''";
        let known = "SELECT provider FROM federated_identities WHERE user_id = $1";
        Ok((self.passkeys && sql.exists(passkey, values![user])?)
            || (self.passwords && sql.exists(password, values![user])?)
            || sql
                .all(known, values![user], |row| row.text(0))?
                .iter()
                .any(|name| self.providers.contains(name)))
    }
}

fn passkey(row: &Row<'_>) -> Result<Passkey, StoreError> {
    Ok(Passkey {
        id: row.id(0)?,
        user: row.id(1)?,
        credential: row.text(2)?,
        key: row.text(3)?,
        counter: row.number(4)?,
        label: row.text(5)?,
        created: row.time(6)?,
        used: Some(row.time(7)?).filter(|used| used.0 > 0),
    })
}
