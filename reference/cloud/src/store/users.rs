//! Users.

use meshproof_proto::codec::Id;

use super::{Row, Store, StoreError, values};

/// A user.
#[derive(Clone, Debug)]
pub(crate) struct User {
    pub(crate) id: Id,
    pub(crate) name: String,
    /// The PHC string of the password (IDN-006), if there is one.
    pub(crate) password: Option<String>,
    /// Bytes charged.
    pub(crate) used: u64,
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
}

fn user(row: &Row<'_>) -> Result<User, StoreError> {
    Ok(User {
        id: row.id(0)?,
        name: row.text(1)?,
        password: Some(row.text(2)?).filter(|hash| !hash.is_empty()),
        used: row.number(3)?,
    })
}
