//! Who waits for whom at a relay (`spec/graph.md`, section 4.4).

use meshproof_proto::codec::Id;
use meshproof_proto::requirement::{self as req, deviates};
use meshproof_proto::time::UnixTime;

use super::changes::Who;
use super::queues::Kind;
use super::{Row, Store, StoreError, values};

/// That one device waits for another at a relay.
#[derive(Clone, Debug)]
pub(crate) struct Rendezvous {
    pub(crate) caller: Id,
    pub(crate) called: Id,
    pub(crate) circuit: Id,
    pub(crate) token: Id,
    pub(crate) relay: String,
    pub(crate) expires: UnixTime,
}

impl Store {
    /// Notes a rendezvous, in place of an older one of the two (GPH-127), and tells the called device (GPH-122).
    pub(crate) async fn add_rendezvous(&self, new: Rendezvous, by: Who) -> Result<(), StoreError> {
        self.change(by, move |sql, log| {
            sql.execute("DELETE FROM rendezvous WHERE expires <= $1", values![by.at])?;
            let insert = "INSERT INTO rendezvous (caller, called, circuit, token, relay, expires)
                VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (caller, called)";
            let newest = "DO UPDATE SET circuit = excluded.circuit, token = excluded.token,
                relay = excluded.relay, expires = excluded.expires";
            let insert = format!("{insert} {}", if deviates(req::GPH_127) { "DO NOTHING" } else { newest });
            let Rendezvous { caller, called, circuit, token, relay, expires } = &new;
            sql.execute(&insert, values![*caller, *called, *circuit, *token, relay, *expires])?;
            if !deviates(req::GPH_122) {
                log.raise(Kind::Rendezvous.feed_of(*called))?;
            }
            Ok(())
        })
        .await
    }

    /// Who waits for the device, by the callers' identifiers.
    pub(crate) async fn rendezvous_of(
        &self,
        called: Id,
        now: UnixTime,
    ) -> Result<Vec<Rendezvous>, StoreError> {
        let select = "SELECT caller, called, circuit, token, relay, expires FROM rendezvous
            WHERE called = $1 AND expires > $2 ORDER BY caller";
        self.read(move |sql| sql.all(select, values![called, now], rendezvous)).await
    }
}

fn rendezvous(row: &Row<'_>) -> Result<Rendezvous, StoreError> {
    Ok(Rendezvous {
        caller: row.id(0)?,
        called: row.id(1)?,
        circuit: row.id(2)?,
        token: row.id(3)?,
        relay: row.text(4)?,
        expires: row.time(5)?,
    })
}
