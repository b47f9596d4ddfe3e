//! The issuer's keys.

use meshproof_proto::time::UnixTime;

use super::{Row, Sql, Store, StoreError, values};

/// A key of the issuer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct IssuerKey {
    /// In hexadecimal.
    pub(crate) fingerprint: String,
    /// Base64 of the DER.
    pub(crate) spki: String,
    /// The private key, as `secrets.rs` sealed it.
    pub(crate) sealed: String,
    pub(crate) state: KeyState,
    /// When it took that state.
    pub(crate) since: UnixTime,
}

/// ```text
///  add-key --> Next --promote--> Active --promotion of the next--> Retiring --retire--> gone
///                \-------------------------retire------------------------------/
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum KeyState {
    /// Published, so that verifiers know it when it signs.
    Next,
    /// Signs.
    Active,
    /// Published, for tickets that it signed.
    Retiring,
}

impl KeyState {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Next => "next",
            Self::Active => "active",
            Self::Retiring => "retiring",
        }
    }

    fn parse(name: &str) -> Option<Self> {
        [Self::Next, Self::Active, Self::Retiring].into_iter().find(|state| state.name() == name)
    }
}

/// One change of the keys.
pub(crate) enum KeyChange {
    Add(IssuerKey),
    /// The key with this fingerprint has another state from this time on.
    Move(String, KeyState, UnixTime),
    /// The key with this fingerprint goes.
    Remove(String),
}

impl Store {
    /// All keys, the one that signs first.
    pub(crate) async fn issuer_keys(&self) -> Result<Vec<IssuerKey>, StoreError> {
        self.read(all).await
    }

    /// The same on this thread, which may block.
    pub(crate) fn issuer_keys_here(&self) -> Result<Vec<IssuerKey>, StoreError> {
        self.read_here(all)
    }

    /// Makes the changes that `plan` wants in view of the keys, in one transaction; none if it refuses. Blocks.
    pub(crate) fn change_issuer_keys<E>(
        &self,
        plan: impl Fn(&[IssuerKey]) -> Result<Vec<KeyChange>, E>,
    ) -> Result<Result<(), E>, StoreError> {
        self.write_here(|sql| {
            let changes = match plan(&all(sql)?) {
                Ok(changes) => changes,
                Err(refused) => return Ok(Err(refused)),
            };
            for change in &changes {
                match change {
                    KeyChange::Add(IssuerKey { fingerprint, spki, sealed, state, since }) => sql.execute(
                        "INSERT INTO issuer_keys (fingerprint, spki, sealed, state, since)
                            VALUES ($1, $2, $3, $4, $5)",
                        values![fingerprint, spki, sealed, state.name(), *since],
                    )?,
                    KeyChange::Move(fingerprint, state, since) => sql.execute(
                        "UPDATE issuer_keys SET state = $1, since = $2 WHERE fingerprint = $3",
                        values![state.name(), *since, fingerprint],
                    )?,
                    KeyChange::Remove(fingerprint) => {
                        sql.execute("DELETE FROM issuer_keys WHERE fingerprint = $1", values![fingerprint])?
                    }
                };
            }
            Ok(Ok(()))
        })
    }
}

fn all(sql: &Sql<'_>) -> Result<Vec<IssuerKey>, StoreError> {
    let select =
        "SELECT fingerprint, spki, sealed, state, since FROM issuer_keys ORDER BY state, fingerprint";
    sql.all(select, values![], key) // "active" comes first
}

fn key(row: &Row<'_>) -> Result<IssuerKey, StoreError> {
    Ok(IssuerKey {
        fingerprint: row.text(0)?,
        spki: row.text(1)?,
        sealed: row.text(2)?,
        state: row.parsed(3, KeyState::parse)?,
        since: row.time(4)?,
    })
}
