//! Challenges that wait for their answers, and the secret behind those that wait for none.

use meshproof_proto::codec::{Id, hex, hex_array};
use meshproof_proto::crypto::Secret;
use meshproof_proto::identity::{CHALLENGE_LIFETIME, Expected, Purpose};
use meshproof_proto::time::UnixTime;

use super::{Store, StoreError, values};

/// How many challenges of a device may wait that one address asked for. The oldest go; nobody can drive out those
/// that another address asked for.
const MAX_WAITING: u64 = 64;

/// A challenge that was handed out.
#[derive(Clone, Debug)]
pub(crate) struct Issued {
    pub(crate) device: Id,
    pub(crate) purpose: Purpose,
    pub(crate) expected: Expected,
    pub(crate) at: UnixTime,
    /// Whether it was answered before.
    pub(crate) used: bool,
}

impl Store {
    /// Keeps a challenge that `source` asked for, and forgets those that ended long ago: at twice their lifetime, so
    /// that a late answer is told from an unknown one.
    pub(crate) async fn add_challenge(
        &self,
        id: [u8; 16],
        issued: Issued,
        source: String,
    ) -> Result<(), StoreError> {
        self.write(move |sql| {
            let stale = issued.at.0.saturating_sub(2 * CHALLENGE_LIFETIME);
            sql.execute("DELETE FROM challenges WHERE issued < $1", values![stale])?;
            let purpose = issued.purpose.name();
            let delete = "DELETE FROM challenges WHERE id IN (SELECT id FROM challenges
                WHERE device_id = $1 AND purpose = $2 AND source = $3 ORDER BY issued DESC LIMIT 1000 OFFSET $4)";
            sql.execute(delete, values![issued.device, purpose, &source, MAX_WAITING - 1])?;
            let insert = "INSERT INTO challenges (id, device_id, purpose, source, expected, issued, used)
                VALUES ($1, $2, $3, $4, $5, $6, 0)";
            let expected = issued.expected.to_text();
            let row = values![hex(&id), issued.device, purpose, &source, expected, issued.at];
            sql.execute(insert, row)?;
            Ok(())
        })
        .await
    }

    /// The challenge with which the device wants to sign in. From now on it is used (IDN-011).
    pub(crate) async fn use_challenge(&self, id: [u8; 16], device: Id) -> Result<Option<Issued>, StoreError> {
        self.write(move |sql| {
            let id = hex(&id);
            let select = "SELECT expected, issued FROM challenges
                WHERE id = $1 AND device_id = $2 AND purpose = 'sign-in'";
            let found = sql.first(select, values![&id, device], |row| {
                Ok((row.parsed(0, Expected::parse)?, row.time(1)?))
            })?;
            let Some((expected, at)) = found else { return Ok(None) };
            let update = "UPDATE challenges SET used = 1 WHERE id = $1 AND used = 0";
            let used = sql.execute(update, values![&id])? == 0;
            Ok(Some(Issued { device, purpose: Purpose::SignIn, expected, at, used }))
        })
        .await
    }

    /// The challenge with which the device is claimed. It may be answered again after a wrong answer: GPH-032 has the
    /// device pending *until* its proof is right.
    pub(crate) async fn claim_challenge(&self, device: Id) -> Result<Option<Issued>, StoreError> {
        let select = "SELECT expected, issued FROM challenges
            WHERE device_id = $1 AND purpose = 'claim' ORDER BY issued DESC LIMIT 1";
        self.read(move |sql| {
            sql.first(select, values![device], |row| {
                let expected = row.parsed(0, Expected::parse)?;
                Ok(Issued { device, purpose: Purpose::Claim, expected, at: row.time(1)?, used: false })
            })
        })
        .await
    }

    /// The secret of this name that all processes share: `fresh`, unless there is one already. Blocks.
    pub(crate) fn secret_here(&self, name: &str, fresh: &Secret) -> Result<Secret, StoreError> {
        self.write_here(|sql| {
            let insert = "INSERT INTO secrets (name, value) VALUES ($1, $2) ON CONFLICT (name) DO NOTHING";
            sql.execute(insert, values![name, hex(&**fresh)])?;
            let select = "SELECT value FROM secrets WHERE name = $1";
            let kept = sql.first(select, values![name], |row| row.parsed(0, hex_array::<32>))?;
            Ok(kept.map_or_else(|| fresh.clone(), Secret::new))
        })
    }
}
