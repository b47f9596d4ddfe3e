//! Limits that all processes of a cloud share and that outlive them.
//!
//! Each key has one number, the time at which all that was taken is free again (GCRA, a leaky bucket without drops).

use meshproof_proto::codec::Id;
use meshproof_proto::time::UnixTime;

use super::{Sql, Store, StoreError, values};
use crate::config::Limit;

/// Something that is limited.
#[derive(Clone, Debug)]
pub(crate) struct Bucket {
    /// Told apart by this.
    pub(crate) key: String,
    pub(crate) limit: Limit,
}

/// That there was not enough left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Exhausted {
    /// Which of the buckets, counted from 0.
    pub(crate) bucket: usize,
    /// When there will be, in seconds from now, at least 1.
    pub(crate) seconds: u64,
}

impl Store {
    /// Takes one from each bucket; from none if one of them is exhausted.
    pub(crate) async fn take(
        &self,
        buckets: Vec<Bucket>,
        now: UnixTime,
    ) -> Result<Result<(), Exhausted>, StoreError> {
        let now = now.0.saturating_mul(1_000);
        self.write(move |sql| {
            sql.execute("DELETE FROM throttle WHERE busy_until <= $1", values![now])?;
            let mut refused: Option<Exhausted> = None;
            let mut taken = Vec::new();
            for (index, Bucket { key, limit }) in buckets.iter().enumerate() {
                let select = "SELECT busy_until FROM throttle WHERE key = $1";
                let busy = sql.first(select, values![key], |row| row.number(0))?.unwrap_or(now);
                let room = now + limit.cost() * limit.burst;
                // More than all was never taken: then the clock was set back, and nobody is to wait until it is there again.
                let then = busy.clamp(now, room) + limit.cost();
                if then > room {
                    let seconds = (then - room).div_ceil(1_000);
                    if refused.is_none_or(|refused| refused.seconds < seconds) {
                        refused = Some(Exhausted { bucket: index, seconds });
                    }
                }
                taken.push((key, then));
            }
            if let Some(refused) = refused {
                return Ok(Err(refused));
            }
            for (key, then) in taken {
                let upsert = "INSERT INTO throttle (key, busy_until) VALUES ($1, $2)
                    ON CONFLICT (key) DO UPDATE SET busy_until = excluded.busy_until";
                sql.execute(upsert, values![key, then])?;
            }
            Ok(Ok(()))
        })
        .await
    }

    /// Whether the user signed in from there since `since`.
    pub(crate) async fn knows_source(
        &self,
        user: Id,
        source: String,
        since: UnixTime,
    ) -> Result<bool, StoreError> {
        let select = "SELECT 1 FROM known_sources WHERE user_id = $1 AND source = $2 AND last >= $3";
        self.read(move |sql| sql.exists(select, values![user, &source, since])).await
    }
}

/// Puts back what was taken for an attempt that succeeded.
pub(super) fn put_back(sql: &Sql<'_>, buckets: &[Bucket]) -> Result<(), StoreError> {
    for Bucket { key, limit } in buckets {
        let update = "UPDATE throttle SET busy_until = busy_until - $1 WHERE key = $2";
        sql.execute(update, values![limit.cost(), key])?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_was_taken_comes_back_with_time() {
        let data = tempfile::tempdir().unwrap();
        let path = data.path().join("meshd.sqlite");
        let store = Store::open(&path).unwrap();
        let bucket = |key: &str, burst| Bucket { key: key.into(), limit: Limit { burst, per: 60 } };
        let take = async |store: &Store, now: u64| {
            store.take(vec![bucket("wide", 100), bucket("a", 3)], UnixTime(now)).await.unwrap()
        };
        for _ in 0..3 {
            assert_eq!(take(&store, 1_000).await, Ok(()));
        }
        assert_eq!(take(&store, 1_000).await, Err(Exhausted { bucket: 1, seconds: 20 }));
        // Another process, and a restart.
        let other = Store::open(&path).unwrap();
        assert_eq!(take(&other, 1_005).await, Err(Exhausted { bucket: 1, seconds: 15 }));
        // What is refused takes nothing, and does not make the wait longer.
        assert_eq!(take(&other, 1_020).await, Ok(()));
        assert_eq!(take(&store, 1_020).await, Err(Exhausted { bucket: 1, seconds: 20 }));
        store.write(move |sql| put_back(sql, &[bucket("a", 3)])).await.unwrap();
        assert_eq!(take(&store, 1_020).await, Ok(()));
        // A clock that was set back.
        let early = bucket("a", 3);
        let early = store.take(vec![early], UnixTime(1)).await.unwrap();
        assert_eq!(early, Err(Exhausted { bucket: 0, seconds: 20 }));
        // All is free, and nothing is kept, after the whole time.
        assert_eq!(store.take(vec![bucket("b", 1)], UnixTime(1_100)).await.unwrap(), Ok(()));
        let rows = store.read(|sql| sql.all("SELECT key FROM throttle", &[], |row| row.text(0))).await;
        assert_eq!(rows.unwrap(), ["b"]);
    }
}
