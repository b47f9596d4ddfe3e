//! Queues, their subscriptions, and what is to be told (`spec/graph.md`, section 4.7).

use meshproof_proto::codec::Id;
use meshproof_proto::requirement::{self as req, demand, demand_some, deviates};
use meshproof_proto::time::UnixTime;

use super::changes::{self, Log, Who};
use super::{Row, Sql, Store, StoreError, devices, values};

/// How many queues an owner has at most (GPH-077).
const MAX_QUEUES: u64 = 8;
/// How many subscriptions a queue has at most (GPH-076).
const MAX_SUBSCRIPTIONS: u64 = 64;
/// How many seconds a queue lives at least after its last poll (GPH-078).
const LIFE: u64 = 300;
/// How many it gets, so that not each poll has to write.
const LONG_LIFE: u64 = 540;

/// A queue.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Queue {
    pub(crate) id: Id,
    user: Id,
    device: Option<Id>,
    /// Of the last notification.
    pub(crate) seq: u64,
    expires: UnixTime,
}

/// What somebody wants to be told of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Folder,
    Mesh,
    /// Where a device can be reached.
    Presence,
    /// Who waits for a device at a relay.
    Rendezvous,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Folder => "folder",
            Self::Mesh => "mesh",
            Self::Presence => "presence",
            Self::Rendezvous => "rendezvous",
        }
    }

    /// The feed of what has this identifier, and what has this feed. A device has two feeds, of which one is named by the
    /// complement of its identifier.
    pub(crate) fn feed_of(self, id: Id) -> Id {
        if self == Self::Rendezvous { Id(id.0.map(|byte| !byte)) } else { id }
    }

    fn parse(name: &str) -> Option<Self> {
        let all = [Self::Folder, Self::Mesh, Self::Presence, Self::Rendezvous];
        all.into_iter().find(|kind| kind.name() == name)
    }
}

/// A subscription, and how far it was told.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Subscription {
    pub(crate) kind: Kind,
    /// The folder, user or device.
    pub(crate) feed: Id,
    /// The number of the feed that was told last.
    pub(crate) seen: u64,
    /// With which notification.
    told: u64,
    /// That the right to it is gone was told, and nothing will be told any more.
    pub(crate) lost: bool,
    /// The number of the feed now.
    last: u64,
    /// When what a device announced ends.
    ends: Option<UnixTime>,
}

impl Subscription {
    fn is_fresh(&self, now: UnixTime) -> bool {
        let ended = self.ends.is_some_and(|ends| ends <= now) && !deviates(req::GPH_082);
        !self.lost && (self.last > self.seen || ended)
    }
}

/// What there is for who polls a queue.
#[derive(Debug)]
pub(crate) struct Look {
    pub(crate) queue: Queue,
    /// All feeds of the subscriptions, ascending.
    pub(crate) feeds: Vec<Id>,
    /// Something happened that was not told yet.
    pub(crate) fresh: bool,
    /// What was told, and not acknowledged.
    pub(crate) told: Vec<Subscription>,
    /// When the next of the subscribed addresses ends.
    pub(crate) ends: Option<UnixTime>,
}

impl Store {
    /// Makes a queue; the owner's first goes if there are too many (GPH-077), and so do all that have expired.
    pub(crate) async fn add_queue(&self, id: Id, by: Who) -> Result<(), StoreError> {
        self.change(by, move |sql, log| {
            let expired = "SELECT id FROM queues WHERE expires <= $1";
            for id in sql.all(expired, values![by.at], |row| row.id(0))? {
                remove(sql, log, id)?;
            }
            let owned = "SELECT id, made FROM queues WHERE owner = $1 ORDER BY made DESC";
            let owned = sql.all(owned, values![owner(by)], |row| Ok((row.id(0)?, row.number(1)?)))?;
            let made = owned.first().map_or(0, |(_, made)| made + 1);
            let kept = if deviates(req::GPH_077) { u64::MAX } else { MAX_QUEUES - 1 };
            for (id, _) in owned.into_iter().skip(usize::try_from(kept).unwrap_or(usize::MAX)) {
                remove(sql, log, id)?;
            }
            let insert = "INSERT INTO queues (id, owner, user_id, device_id, made, seq, expires)
                VALUES ($1, $2, $3, $4, $5, 0, $6)";
            let expires = by.at.plus(LONG_LIFE);
            sql.execute(insert, values![id, owner(by), by.user, by.device, made, expires])?;
            Ok(())
        })
        .await
    }

    /// The queues of who asks.
    pub(crate) async fn queues(&self, by: Who) -> Result<Vec<Queue>, StoreError> {
        let select = format!("{QUEUE} WHERE owner = $1 AND expires > $2 ORDER BY made");
        self.read(move |sql| sql.all(&select, values![owner(by), by.at], queue)).await
    }

    /// Removes a queue; who waits for it learns of it.
    pub(crate) async fn remove_queue(&self, id: Id, by: Who) -> Result<(), StoreError> {
        self.change(by, move |sql, log| {
            find(sql, id, by, by.at)?;
            remove(sql, log, id)
        })
        .await
    }

    /// Lets a queue live on while it is waited for `wait` seconds, and for some time after that (GPH-078).
    pub(crate) async fn keep_queue(&self, queue: Queue, now: UnixTime, wait: u64) -> Result<(), StoreError> {
        if queue.expires >= now.plus(wait + LIFE) {
            return Ok(());
        }
        self.write(move |sql| {
            let update = "UPDATE queues SET expires = $1 WHERE id = $2";
            sql.execute(update, values![now.plus(wait + LONG_LIFE), queue.id]).map(drop)
        })
        .await
    }

    /// Subscribes a queue to a feed, from now on. `false` if it was subscribed already, which changes nothing unless the
    /// right to it was lost meanwhile.
    pub(crate) async fn subscribe(
        &self,
        id: Id,
        kind: Kind,
        feed: Id,
        by: Who,
    ) -> Result<(Subscription, bool), StoreError> {
        self.change(by, move |sql, log| {
            find(sql, id, by, by.at)?;
            let old = subscriptions(sql, id)?;
            let old_one = old.iter().find(|old| old.feed == feed);
            if let Some(old) = old_one.filter(|old| !old.lost) {
                return Ok((*old, false));
            }
            if old_one.is_none() {
                demand((old.len() as u64) < MAX_SUBSCRIPTIONS, req::GPH_076)?;
            }
            let last = changes::last(sql, feed)?;
            let new = Subscription { kind, feed, seen: last, told: 0, lost: false, last, ends: None };
            let upsert = "INSERT INTO subscriptions (queue_id, feed, kind, seen, told, lost)
                VALUES ($1, $2, $3, $4, 0, 0) ON CONFLICT (queue_id, feed) DO UPDATE SET
                seen = excluded.seen, told = 0, lost = 0";
            sql.execute(upsert, values![id, feed, kind.name(), new.seen])?;
            log.touch(id); // who waits already waits for this, too
            Ok((new, true))
        })
        .await
    }

    /// The subscriptions of a queue.
    pub(crate) async fn subscriptions(&self, id: Id, by: Who) -> Result<Vec<Subscription>, StoreError> {
        self.read(move |sql| {
            find(sql, id, by, by.at)?;
            subscriptions(sql, id)
        })
        .await
    }

    /// Ends a subscription. `false` if there is none.
    pub(crate) async fn unsubscribe(&self, id: Id, feed: Id, by: Who) -> Result<bool, StoreError> {
        self.change(by, move |sql, log| {
            find(sql, id, by, by.at)?;
            log.touch(id);
            let delete = "DELETE FROM subscriptions WHERE queue_id = $1 AND feed = $2";
            Ok(sql.execute(delete, values![id, feed])? == 1)
        })
        .await
    }

    /// What there is in a queue after the notification `after`.
    pub(crate) async fn look(&self, id: Id, after: u64, by: Who, now: UnixTime) -> Result<Look, StoreError> {
        self.read(move |sql| {
            let queue = find(sql, id, by, now)?;
            demand(after <= queue.seq, req::GPH_061)?;
            let all = subscriptions(sql, id)?;
            Ok(Look {
                queue,
                feeds: all.iter().map(|one| one.feed).collect(),
                fresh: all.iter().any(|one| one.is_fresh(now)),
                told: unacknowledged(&all, after),
                ends: all.iter().filter(|one| !one.lost).filter_map(|one| one.ends).min(),
            })
        })
        .await
    }

    /// Notes as told what is fresh, and returns all that was told after the notification `after`, with the number of the
    /// last. Rights are looked up here, for they may have gone since the subscription (GPH-075).
    pub(crate) async fn tell(
        &self,
        id: Id,
        after: u64,
        by: Who,
        now: UnixTime,
    ) -> Result<(Vec<Subscription>, u64), StoreError> {
        self.change(by, move |sql, log| {
            let queue = find(sql, id, by, now)?;
            let seq = queue.seq + 1;
            let mut raised = false;
            let mut all = subscriptions(sql, id)?;
            for one in all.iter_mut().filter(|one| one.is_fresh(now)) {
                if one.ends.is_some_and(|ends| ends <= now) {
                    one.last = devices::end_endpoint(sql, log, one.feed, now)?; // GPH-082
                }
                (one.seen, one.told, raised) = (one.last, seq, true);
                one.lost = !may_see(sql, &queue, one)? && !deviates(req::GPH_075);
                let update = "UPDATE subscriptions SET seen = $1, told = $2, lost = $3
                    WHERE queue_id = $4 AND feed = $5";
                sql.execute(update, values![one.seen, seq, one.lost, id, one.feed])?;
            }
            if raised {
                sql.execute("UPDATE queues SET seq = $1 WHERE id = $2", values![seq, id])?;
            }
            let after = if deviates(req::GPH_073) { queue.seq } else { after };
            Ok((unacknowledged(&all, after), if raised { seq } else { queue.seq }))
        })
        .await
    }
}

const QUEUE: &str = "SELECT id, user_id, device_id, seq, expires FROM queues";

/// Ends the queues of a device that was revoked (GPH-079).
pub(super) fn remove_of(sql: &Sql<'_>, log: &Log<'_>, owner: Id) -> Result<(), StoreError> {
    let select = "SELECT id FROM queues WHERE owner = $1";
    let queues = sql.all(select, values![owner], |row| row.id(0))?;
    queues.into_iter().try_for_each(|id| remove(sql, log, id))
}

fn remove(sql: &Sql<'_>, log: &Log<'_>, id: Id) -> Result<(), StoreError> {
    sql.execute("DELETE FROM subscriptions WHERE queue_id = $1", values![id])?;
    sql.execute("DELETE FROM queues WHERE id = $1", values![id])?;
    log.touch(id);
    Ok(())
}

/// The queue, if it is of who asks and has not expired; all else is alike (GPH-071).
fn find(sql: &Sql<'_>, id: Id, by: Who, now: UnixTime) -> Result<Queue, StoreError> {
    let select = format!("{QUEUE} WHERE id = $1");
    let queue = sql.first(&select, values![id], queue)?;
    let own = queue.filter(|queue| queue.device.unwrap_or(queue.user) == owner(by) && now < queue.expires);
    let found = demand_some(own.map(Some), req::GPH_071, || queue)?;
    found.ok_or(StoreError::Rule(req::GPH_071.into())) // only the mutant comes here with another's queue
}

fn owner(who: Who) -> Id {
    who.device.unwrap_or(who.user)
}

fn subscriptions(sql: &Sql<'_>, queue: Id) -> Result<Vec<Subscription>, StoreError> {
    let select = "SELECT s.kind, s.feed, s.seen, s.told, s.lost, coalesce(f.seq, 0), coalesce(e.expires, 0)
        FROM subscriptions s LEFT JOIN feeds f ON f.id = s.feed
        LEFT JOIN endpoints e ON e.device_id = s.feed AND s.kind = 'presence'
        WHERE s.queue_id = $1 ORDER BY s.feed";
    sql.all(select, values![queue], |row| {
        let ends = row.time(6)?;
        Ok(Subscription {
            kind: row.parsed(0, Kind::parse)?,
            feed: row.id(1)?,
            seen: row.number(2)?,
            told: row.number(3)?,
            lost: row.number(4)? != 0,
            last: row.number(5)?,
            ends: Some(ends).filter(|ends| *ends > UnixTime(0)),
        })
    })
}

fn unacknowledged(all: &[Subscription], after: u64) -> Vec<Subscription> {
    all.iter().filter(|one| one.told > after).copied().collect()
}

/// Whether the owner of the queue may still see what it subscribed to.
fn may_see(sql: &Sql<'_>, queue: &Queue, one: &Subscription) -> Result<bool, StoreError> {
    match one.kind {
        Kind::Mesh => Ok(true),
        Kind::Folder => {
            let select = "SELECT 1 FROM members WHERE folder_id = $1 AND user_id = $2";
            sql.exists(select, values![one.feed, queue.user])
        }
        Kind::Presence => devices::may_meet(sql, queue.user, queue.device, one.feed),
        Kind::Rendezvous => Ok(queue.device == Some(Kind::Rendezvous.feed_of(one.feed))),
    }
}

fn queue(row: &Row<'_>) -> Result<Queue, StoreError> {
    let device = row.maybe_text(2)?.map(|text| Id::parse(&text).ok_or(StoreError::Column(2)));
    Ok(Queue {
        id: row.id(0)?,
        user: row.id(1)?,
        device: device.transpose()?,
        seq: row.number(3)?,
        expires: row.time(4)?,
    })
}
