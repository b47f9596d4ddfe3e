//! Users and their tokens.

use meshproof_proto::codec::Id;
use meshproof_proto::time::UnixTime;

use super::{Store, StoreError, execute, first, id, integer, number};

/// A user.
#[derive(Clone, Debug)]
pub(crate) struct User {
    pub(crate) id: Id,
    pub(crate) name: String,
    /// The PHC string of the password (IDN-006).
    pub(crate) password: String,
    /// Bytes charged.
    pub(crate) used: u64,
}

/// Who holds a token, and until when.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TokenHolder {
    pub(crate) user: Id,
    pub(crate) expires: UnixTime,
}

const COLUMNS: &str = "SELECT id, name, password, used FROM users";

impl Store {
    /// Adds a user. `false` if the name is taken, and nothing is changed.
    pub(crate) async fn add_user(
        &self,
        user: Id,
        name: String,
        password: String,
    ) -> Result<bool, StoreError> {
        self.write(move |sql| {
            let insert =
                "INSERT INTO users (id, name, password) VALUES ($1, $2, $3) ON CONFLICT (name) DO NOTHING";
            Ok(execute(sql, insert, (user.to_string(), name, password))? == 1)
        })
        .await
    }

    /// The user of this name.
    pub(crate) async fn user_named(&self, name: String) -> Result<Option<User>, StoreError> {
        self.read(move |sql| first(sql, &format!("{COLUMNS} WHERE name = $1"), [name], user)).await
    }

    /// The user.
    pub(crate) async fn user(&self, id: Id) -> Result<Option<User>, StoreError> {
        self.read(move |sql| first(sql, &format!("{COLUMNS} WHERE id = $1"), [id.to_string()], user)).await
    }

    /// Keeps the hash of a token, and forgets tokens that ended before `now`.
    pub(crate) async fn add_token(
        &self,
        hash: String,
        holder: TokenHolder,
        now: UnixTime,
    ) -> Result<(), StoreError> {
        self.write(move |sql| {
            execute(sql, "DELETE FROM tokens WHERE expires < $1", [integer(now.0)])?;
            let insert = "INSERT INTO tokens (hash, user_id, expires) VALUES ($1, $2, $3)";
            execute(sql, insert, (hash, holder.user.to_string(), integer(holder.expires.0)))?;
            Ok(())
        })
        .await
    }

    /// Who holds the token with this hash. It may have ended.
    pub(crate) async fn token_holder(&self, hash: String) -> Result<Option<TokenHolder>, StoreError> {
        self.read(move |sql| {
            first(sql, "SELECT user_id, expires FROM tokens WHERE hash = $1", [hash], |row| {
                Ok(TokenHolder { user: id(row, 0)?, expires: UnixTime(number(row, 1)?) })
            })
        })
        .await
    }
}

fn user(row: &rusqlite::Row<'_>) -> rusqlite::Result<User> {
    Ok(User { id: id(row, 0)?, name: row.get(1)?, password: row.get(2)?, used: number(row, 3)? })
}
