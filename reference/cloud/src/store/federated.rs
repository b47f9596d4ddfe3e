//! Sign-ins at other providers: those under way, and whose identities are whose.

use meshproof_proto::codec::Id;
use meshproof_proto::requirement::{self as req, demand};
use meshproof_proto::time::UnixTime;

use super::{Row, Store, StoreError, values};

/// How long the longest may be under way, in seconds.
pub(crate) const CEREMONY_LIFETIME: u64 = 1_800;

/// A sign-in under way.
#[derive(Clone, Debug)]
pub(crate) struct Ceremony {
    /// The user, if it is known.
    pub(crate) user: Option<Id>,
    /// JSON.
    pub(crate) state: String,
}

/// Somebody, as a provider knows that person.
#[derive(Clone, Debug)]
pub(crate) struct Identity {
    pub(crate) issuer: String,
    pub(crate) subject: String,
    /// The provider's name, for people.
    pub(crate) provider: String,
}

impl Store {
    /// Keeps a sign-in under the hash of what only its client has; forgets old ones.
    pub(crate) async fn add_ceremony(
        &self,
        kind: &'static str,
        hash: String,
        ceremony: Ceremony,
        now: UnixTime,
    ) -> Result<(), StoreError> {
        self.write(move |sql| {
            let stale = now.0.saturating_sub(CEREMONY_LIFETIME);
            sql.execute("DELETE FROM ceremonies WHERE issued < $1", values![stale])?;
            let insert =
                "INSERT INTO ceremonies (hash, kind, user_id, state, issued) VALUES ($1, $2, $3, $4, $5)";
            sql.execute(insert, values![&hash, kind, ceremony.user, &ceremony.state, now])?;
            Ok(())
        })
        .await
    }

    /// The sign-in under this hash, if it began at most `lifetime` seconds ago.
    pub(crate) async fn ceremony(
        &self,
        kind: &'static str,
        hash: String,
        now: UnixTime,
        lifetime: u64,
    ) -> Result<Option<Ceremony>, StoreError> {
        let since = now.0.saturating_sub(lifetime);
        self.read(move |sql| sql.first(CEREMONY, values![&hash, kind, since], ceremony)).await
    }

    /// The same, once: it is gone then.
    pub(crate) async fn take_ceremony(
        &self,
        kind: &'static str,
        hash: String,
        now: UnixTime,
        lifetime: u64,
    ) -> Result<Option<Ceremony>, StoreError> {
        let since = now.0.saturating_sub(lifetime);
        self.write(move |sql| {
            let found = sql.first(CEREMONY, values![&hash, kind, since], ceremony)?;
            let delete = "DELETE FROM ceremonies WHERE hash = $1 AND kind = $2";
            let gone = sql.execute(delete, values![&hash, kind])? == 1;
            Ok(found.filter(|_| gone))
        })
        .await
    }

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
}

const CEREMONY: &str = "SELECT user_id, state FROM ceremonies WHERE hash = $1 AND kind = $2 AND issued >= $3";
const OWNER: &str = "SELECT user_id FROM federated_identities WHERE issuer = $1 AND subject = $2";
const INSERT: &str = "INSERT INTO federated_identities (issuer, subject, user_id, provider, created)
    VALUES ($1, $2, $3, $4, $5)";

fn ceremony(row: &Row<'_>) -> Result<Ceremony, StoreError> {
    let user = row.maybe_text(0)?.and_then(|text| Id::parse(&text));
    Ok(Ceremony { user, state: row.text(1)? })
}
