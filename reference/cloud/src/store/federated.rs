//! Users of other providers: whose identities are whose.

use meshproof_proto::codec::Id;
use meshproof_proto::requirement::{self as req, demand};
use meshproof_proto::time::UnixTime;

use super::passkeys::Ways;
use super::{Row, Store, StoreError, values};

/// Somebody, as a provider knows that person.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Identity {
    pub(crate) issuer: String,
    pub(crate) subject: String,
    /// The provider's name, for people.
    pub(crate) provider: String,
}

impl Store {
    /// The user with this identity; a new one, `fresh`, with the first name of `names` that is free, if there is none.
    pub(crate) async fn federated_user(
        &self,
        identity: Identity,
        fresh: Id,
        names: Vec<String>,
        now: UnixTime,
    ) -> Result<Id, StoreError> {
        self.write(move |sql| {
            let Identity { issuer, subject, provider } = &identity;
            if let Some(user) = sql.first(OWNER, values![issuer, subject], |row| row.id(0))? {
                return Ok(user);
            }
            for name in &names {
                // Without a password nobody signs in by one.
                let insert =
                    "INSERT INTO users (id, name, password) VALUES ($1, $2, '') ON CONFLICT (name) DO NOTHING";
                if sql.execute(insert, values![fresh, name])? == 1 {
                    sql.execute(INSERT, values![issuer, subject, fresh, provider, now])?;
                    return Ok(fresh);
                }
            }
            Err(demand(false, req::IDN_005).err().map_or(StoreError::Column(0), StoreError::Rule))
        })
        .await
    }

    /// Gives the user this identity, unless another has it (IDN-045).
    pub(crate) async fn link_identity(
        &self,
        identity: Identity,
        user: Id,
        now: UnixTime,
    ) -> Result<(), StoreError> {
        self.write(move |sql| {
            let Identity { issuer, subject, provider } = &identity;
            if let Some(owner) = sql.first(OWNER, values![issuer, subject], |row| row.id(0))? {
                return Ok(demand(owner == user, req::IDN_045)?);
            }
            sql.execute(INSERT, values![issuer, subject, user, provider, now])?;
            Ok(())
        })
        .await
    }

    /// The identities of a user and when each was linked, the oldest first (IDN-075).
    pub(crate) async fn identities_of(&self, user: Id) -> Result<Vec<(Identity, UnixTime)>, StoreError> {
        let select = "SELECT issuer, subject, provider, created FROM federated_identities WHERE user_id = $1
            ORDER BY created, issuer, subject";
        let identity = |row: &Row<'_>| {
            let identity = Identity { issuer: row.text(0)?, subject: row.text(1)?, provider: row.text(2)? };
            Ok((identity, row.time(3)?))
        };
        self.read(move |sql| sql.all(select, values![user], identity)).await
    }

    /// Removes an identity of the user (IDN-076), but not the last way in (IDN-058).
    pub(crate) async fn remove_identity(
        &self,
        user: Id,
        identity: Identity,
        ways: Ways,
    ) -> Result<(), StoreError> {
        self.write(move |sql| {
            let Identity { issuer, subject, .. } = &identity;
            let delete =
                "DELETE FROM federated_identities WHERE issuer = $1 AND subject = $2 AND user_id = $3";
            demand(sql.execute(delete, values![issuer, subject, user])? == 1, req::IDN_076)?;
            Ok(demand(ways.is_left(sql, user)?, req::IDN_058)?)
        })
        .await
    }
}

const OWNER: &str = "SELECT user_id FROM federated_identities WHERE issuer = $1 AND subject = $2";
const INSERT: &str = "INSERT INTO federated_identities (issuer, subject, user_id, provider, created)
    VALUES ($1, $2, $3, $4, $5)";
