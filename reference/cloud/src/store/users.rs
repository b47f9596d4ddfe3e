//! Users and their tokens.

use meshproof_proto::codec::Id;
use meshproof_proto::time::UnixTime;

use super::{Row, Store, StoreError, values};

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
            Ok(sql.execute(insert, values![user, &name, &password])? == 1)
        })
        .await
    }

    /// The user of this name.
    pub(crate) async fn user_named(&self, name: String) -> Result<Option<User>, StoreError> {
        let select = format!("{COLUMNS} WHERE name = $1");
        self.read(move |sql| sql.first(&select, values![&name], user)).await
    }

    /// The user.
    pub(crate) async fn user(&self, id: Id) -> Result<Option<User>, StoreError> {
        let select = format!("{COLUMNS} WHERE id = $1");
        self.read(move |sql| sql.first(&select, values![id], user)).await
    }

    /// Keeps the hash of a token, and forgets tokens that ended before `now`.
    pub(crate) async fn add_token(
        &self,
        hash: String,
        holder: TokenHolder,
        now: UnixTime,
    ) -> Result<(), StoreError> {
        self.write(move |sql| {
            sql.execute("DELETE FROM tokens WHERE expires < $1", values![now])?;
            let insert = "INSERT INTO tokens (hash, user_id, expires) VALUES ($1, $2, $3)";
            sql.execute(insert, values![&hash, holder.user, holder.expires])?;
            Ok(())
        })
        .await
    }

    /// Who holds the token with this hash. It may have ended.
    pub(crate) async fn token_holder(&self, hash: String) -> Result<Option<TokenHolder>, StoreError> {
        self.read(move |sql| {
            sql.first("SELECT user_id, expires FROM tokens WHERE hash = $1", values![&hash], |row| {
                Ok(TokenHolder { user: row.id(0)?, expires: row.time(1)? })
            })
        })
        .await
    }
}

fn user(row: &Row<'_>) -> Result<User, StoreError> {
    Ok(User { id: row.id(0)?, name: row.text(1)?, password: row.text(2)?, used: row.number(3)? })
}
