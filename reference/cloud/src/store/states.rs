//! What devices sign of a folder and this service does not read: the states of entries, and the heads of writers
//! (`spec/graph.md`, section 4.15).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use meshproof_proto::codec::Id;
use meshproof_proto::requirement::{self as req, demand, deviates};
use meshproof_proto::storage::sealed::{HEADER, generation_of};

use super::changes;
use super::entries::{self, Bounds, charge};
use super::folders::Storage;
use super::members::Actor;
use super::{Row, Span, Store, StoreError, values};

/// Which of the two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum What {
    /// By the identifier of the entry.
    State,
    /// By that of the writer.
    Head,
}

impl What {
    fn table(self) -> &'static str {
        match self {
            Self::State => "states",
            Self::Head => "heads",
        }
    }
}

/// What a device put.
#[derive(Clone, Debug)]
pub(crate) struct Signed {
    pub(crate) id: Id,
    /// In base64.
    pub(crate) state: String,
    pub(crate) etag: String,
}

/// States in the order of their last change.
#[derive(Debug)]
pub(crate) struct StatesDelta {
    pub(crate) states: Vec<Signed>,
    /// From which number to go on.
    pub(crate) seq: u64,
    /// Whether there are more.
    pub(crate) more: bool,
}

/// What a state takes beside its bytes: identifiers, tags, its place in indexes.
const STATE_BYTES: u64 = 256;

impl Store {
    /// All states or heads of a folder.
    pub(crate) async fn states(
        &self,
        what: What,
        folder: Id,
        Span { after, most }: Span,
    ) -> Result<Vec<Signed>, StoreError> {
        let select = format!(
            "SELECT id, state, etag FROM {} WHERE folder_id = $1 AND id > $2 ORDER BY id LIMIT $3",
            what.table()
        );
        self.read(move |sql| sql.all(&select, values![folder, &after, most], signed)).await
    }

    /// One of them.
    pub(crate) async fn state(&self, what: What, folder: Id, id: Id) -> Result<Option<Signed>, StoreError> {
        let select = format!("SELECT id, state, etag FROM {} WHERE folder_id = $1 AND id = $2", what.table());
        self.read(move |sql| sql.first(&select, values![folder, id], signed)).await
    }

    /// The states of a folder that were written after the number `since` (GPH-181), `limit` at most. `None` if the feed
    /// has not come that far.
    pub(crate) async fn states_since(
        &self,
        folder: Id,
        since: u64,
        limit: usize,
    ) -> Result<Option<StatesDelta>, StoreError> {
        self.read(move |sql| {
            // Before the states: all up to this number can be seen, and what comes between has a larger one.
            let last = changes::last(sql, folder)?;
            let known = entries::is_known(sql, folder, since)?;
            if (since > last && !deviates(req::GPH_061)) || !known {
                return Ok(None);
            }
            let select = "SELECT id, state, etag, seq FROM states WHERE folder_id = $1 AND seq > $2
                ORDER BY seq LIMIT $3";
            let values = values![folder, since, limit as u64 + 1];
            let mut rows = sql.all(select, values, |row| Ok((signed(row)?, row.number(3)?)))?;
            let more = rows.len() > limit;
            rows.truncate(limit);
            let reached = rows.last().map_or(since, |(_, seq)| *seq);
            let seq = if more { reached } else { reached.max(last) };
            let mut states: Vec<Signed> = rows.into_iter().map(|(state, _)| state).collect();
            if since > 0 && deviates(req::GPH_181) {
                states.clear();
            }
            Ok(Some(StatesDelta { states, seq, more }))
        })
        .await
    }

    /// Adds a state or a head, or replaces the one whose tag is still `from` (GPH-013).
    pub(crate) async fn put_state(
        &self,
        what: What,
        folder: Id,
        new: Signed,
        from: Option<String>,
        bounds: Bounds,
        by: Actor,
    ) -> Result<(), StoreError> {
        self.change(by.who, move |sql, log| {
            by.check(sql, folder)?;
            let select = "SELECT storage, generation FROM folders WHERE id = $1";
            let found = sql
                .first(select, values![folder], |row| Ok((row.parsed(0, Storage::parse)?, row.number(1)?)))?;
            let (storage, generation) = found.unwrap_or_default();
            demand(storage != Storage::P2p, req::GPH_183)?;
            demand(is_sealed(&new.state, generation), req::GPH_208)?;
            let table = what.table();
            let select = format!(
                "SELECT CAST(octet_length(state) AS bigint) FROM {table} WHERE folder_id = $1 AND id = $2"
            );
            let taken = sql.first(&select, values![folder, new.id], |row| row.number(0))?;
            let seq = log.raise(folder)?;
            let insert = format!(
                "INSERT INTO {table} (folder_id, id, state, etag, seq) VALUES ($1, $2, $3, $4, $5)
                ON CONFLICT (folder_id, id) DO UPDATE SET state = excluded.state, etag = excluded.etag,
                seq = excluded.seq WHERE {table}.etag = $6"
            );
            let from = from.as_deref().unwrap_or_default();
            let values = values![folder, new.id, &new.state, &new.etag, seq, from];
            demand(sql.execute(&insert, values)? == 1, req::GPH_013)?;
            let takes = new.state.len() as u64 + STATE_BYTES;
            let taken = taken.map_or(0, |bytes| bytes + STATE_BYTES);
            let metadata = charge(sql, folder, taken, takes)?;
            demand(takes <= taken || metadata <= bounds.metadata, req::GPH_133)?;
            Ok(())
        })
        .await
    }
}

/// GPH-208: whether base64 begins as a sealed object; of a folder that is not encrypted (0) all does.
fn is_sealed(state: &str, generation: u64) -> bool {
    let begin = STANDARD.decode(state.get(..HEADER.div_ceil(3) * 4).unwrap_or_default()).unwrap_or_default();
    let of = begin.first_chunk().and_then(generation_of);
    generation == 0 || of.is_some_and(|of| u64::from(of) <= generation)
}

fn signed(row: &Row<'_>) -> Result<Signed, StoreError> {
    Ok(Signed { id: row.id(0)?, state: row.text(1)?, etag: row.text(2)? })
}

#[cfg(test)]
mod tests {
    use meshproof_proto::time::UnixTime;

    use super::*;
    use crate::graph::access::{FolderRight as _, WriteEntries};
    use crate::state::new_id;
    use crate::store::changes::Who;
    use crate::store::folders::Folder;

    /// What states take is limited as what entries take (GPH-133), and free again with the folder.
    #[tokio::test]
    async fn states_take_room() {
        let data = tempfile::tempdir().unwrap();
        let store = Store::open(&data.path().join("meshd.sqlite")).unwrap();
        let (id, creator) = (new_id(), new_id());
        let folder = Folder {
            id,
            name: "x".into(),
            storage: Storage::Cloud,
            creator,
            etag: "f".into(),
            generation: 0,
        };
        let who = Who { user: creator, device: None, at: UnixTime(1) };
        let by = || WriteEntries::NEED.by(who);
        store.add_user(creator, "ann".into(), String::new()).await.unwrap();
        store.add_folder(folder, String::new(), 1, who).await.unwrap();
        let bounds = Bounds { entries: 10, metadata: 2 * (STATE_BYTES + 100) };
        let put = async |entry: Id, bytes: usize, etag: &str, from: Option<&str>| {
            let new = Signed { id: entry, state: "A".repeat(bytes), etag: etag.into() };
            store.put_state(What::State, id, new, from.map(Into::into), bounds, by()).await
        };
        let (first, second) = (new_id(), new_id());
        put(first, 100, "1", None).await.unwrap();
        put(second, 101, "1", None).await.unwrap_err();
        put(second, 100, "1", None).await.unwrap();
        put(first, 101, "2", Some("1")).await.unwrap_err();
        put(first, 50, "2", Some("1")).await.unwrap();
        put(first, 60, "3", Some("1")).await.unwrap_err();
        let delta = store.states_since(id, 0, 1).await.unwrap().unwrap();
        assert_eq!((delta.states[0].id, delta.more), (second, true), "in the order of the last change");
        let rest = store.states_since(id, delta.seq, 1).await.unwrap().unwrap();
        assert_eq!((rest.states[0].id, rest.states[0].state.len(), rest.more), (first, 50, false));
        store.remove_folder(id, "f".into(), by()).await.unwrap();
        assert!(store.states(What::State, id, Span::all()).await.unwrap().is_empty());
    }
}
