//! Sign-ins under way: at other providers, with passkeys, and of programs that wait for a person.

use meshproof_proto::codec::Id;
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

    /// Gives a sign-in another state, if it still has the state `from`.
    pub(crate) async fn change_ceremony(
        &self,
        kind: &'static str,
        hash: String,
        from: String,
        to: String,
    ) -> Result<bool, StoreError> {
        let update = "UPDATE ceremonies SET state = $1 WHERE hash = $2 AND kind = $3 AND state = $4";
        self.write(move |sql| Ok(sql.execute(update, values![&to, &hash, kind, &from])? == 1)).await
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
}

const CEREMONY: &str = "SELECT user_id, state FROM ceremonies WHERE hash = $1 AND kind = $2 AND issued >= $3";

fn ceremony(row: &Row<'_>) -> Result<Ceremony, StoreError> {
    let user = row.maybe_text(0)?.and_then(|text| Id::parse(&text));
    Ok(Ceremony { user, state: row.text(1)? })
}
