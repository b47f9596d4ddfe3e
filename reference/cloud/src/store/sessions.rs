//! Sessions: a token is that of one.

use meshproof_proto::codec::Id;
use meshproof_proto::requirement::{self as req, demand, deviates};
use meshproof_proto::time::UnixTime;

use super::throttle::{Bucket, put_back};
use super::{Row, Store, StoreError, values};

/// A sign-in of a user, from its beginning to its end.
#[derive(Clone, Debug)]
pub(crate) struct Session {
    pub(crate) id: Id,
    pub(crate) user: Id,
    /// AuthnContextClassRef.
    pub(crate) class: String,
    /// The provider that said who it is.
    pub(crate) provider: String,
    /// As the client calls itself.
    pub(crate) agent: String,
    pub(crate) source: String,
    pub(crate) created: UnixTime,
    /// Last, to the minute.
    pub(crate) used: UnixTime,
    pub(crate) expires: UnixTime,
    /// By which it began: it ends with it.
    pub(crate) app_password: Option<Id>,
}

/// How many sessions a user has at once (IDN-066).
const MOST: u64 = 64;

const COLUMNS: &str =
    "SELECT id, user_id, class, provider, agent, source, created, used, expires, app_password FROM sessions";

impl Store {
    /// Begins a session under the hash of its token. `taken` is put back; the user is known at its source for
    /// `known_for` seconds, at 0 not at all. Forgets sessions that are over, and ends the
    /// one that was unused longest if there are too many (IDN-066).
    pub(crate) async fn add_session(
        &self,
        hash: String,
        session: Session,
        taken: Vec<Bucket>,
        known_for: u64,
    ) -> Result<(), StoreError> {
        self.write(move |sql| {
            let Session { id, user, class, provider, agent, source, created, used, expires, app_password } =
                &session;
            sql.execute("DELETE FROM sessions WHERE expires < $1", values![*created])?;
            if !deviates(req::IDN_066) {
                let end = "DELETE FROM sessions WHERE id IN (SELECT id FROM sessions WHERE user_id = $1
                    ORDER BY used DESC, created DESC, id LIMIT 1000 OFFSET $2)";
                sql.execute(end, values![*user, MOST - 1])?;
            }
            let insert = "INSERT INTO sessions
                (id, hash, user_id, class, provider, agent, source, created, used, expires, app_password)
                VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)";
            let row = values![
                *id,
                &hash,
                *user,
                class,
                provider,
                agent,
                source,
                *created,
                *used,
                *expires,
                *app_password
            ];
            sql.execute(insert, row)?;
            put_back(sql, &taken)?;
            if known_for > 0 {
                let stale = created.0.saturating_sub(known_for);
                let forget = "DELETE FROM known_sources WHERE user_id = $1 AND last < $2";
                sql.execute(forget, values![*user, stale])?;
                let upsert = "INSERT INTO known_sources (user_id, source, last) VALUES ($1, $2, $3)
                    ON CONFLICT (user_id, source) DO UPDATE SET last = excluded.last";
                sql.execute(upsert, values![*user, source, *created])?;
            }
            Ok(())
        })
        .await
    }

    /// The session of the token with this hash. It may be over.
    pub(crate) async fn session(&self, hash: String) -> Result<Option<Session>, StoreError> {
        let select = format!("{COLUMNS} WHERE hash = $1");
        self.read(move |sql| sql.first(&select, values![&hash], session)).await
    }

    /// Notes that a session was used.
    pub(crate) async fn touch_session(&self, id: Id, now: UnixTime) -> Result<(), StoreError> {
        let update = "UPDATE sessions SET used = $1 WHERE id = $2";
        self.write(move |sql| sql.execute(update, values![now, id]).map(drop)).await
    }

    /// The sessions of a user that are not over: none that ended by `now`, none that was used last before `idle`.
    pub(crate) async fn sessions_of(
        &self,
        user: Id,
        now: UnixTime,
        idle: UnixTime,
    ) -> Result<Vec<Session>, StoreError> {
        let whose = if deviates(req::IDN_026) { "$1 = $1" } else { "user_id = $1" };
        let select = format!("{COLUMNS} WHERE {whose} AND expires > $2 AND used > $3 ORDER BY created, id");
        self.read(move |sql| sql.all(&select, values![user, now, idle], session)).await
    }

    /// Ends a session of the user (IDN-033).
    pub(crate) async fn end_session(&self, user: Id, id: Id) -> Result<(), StoreError> {
        self.write(move |sql| {
            let own = "SELECT 1 FROM sessions WHERE id = $1 AND user_id = $2";
            demand(sql.exists(own, values![id, user])?, req::IDN_033)?;
            sql.execute("DELETE FROM sessions WHERE id = $1 AND user_id = $2", values![id, user])?;
            Ok(())
        })
        .await
    }

    /// Changes a user's password, and ends every session but `keep` (IDN-030). What is known of where the user signs in is
    /// forgotten: somebody else may have been there.
    pub(crate) async fn change_password(
        &self,
        user: Id,
        password: String,
        keep: Id,
        taken: Vec<Bucket>,
    ) -> Result<(), StoreError> {
        self.write(move |sql| {
            if !deviates(req::IDN_031) {
                sql.execute("UPDATE users SET password = $1 WHERE id = $2", values![&password, user])?;
            }
            if !deviates(req::IDN_030) {
                let delete = "DELETE FROM sessions WHERE user_id = $1 AND id <> $2";
                sql.execute(delete, values![user, keep])?;
            }
            sql.execute("DELETE FROM known_sources WHERE user_id = $1", values![user])?;
            put_back(sql, &taken)
        })
        .await
    }
}

fn session(row: &Row<'_>) -> Result<Session, StoreError> {
    Ok(Session {
        id: row.id(0)?,
        user: row.id(1)?,
        class: row.text(2)?,
        provider: row.text(3)?,
        agent: row.text(4)?,
        source: row.text(5)?,
        created: row.time(6)?,
        used: row.time(7)?,
        expires: row.time(8)?,
        app_password: row.maybe_text(9)?.and_then(|text| Id::parse(&text)),
    })
}
