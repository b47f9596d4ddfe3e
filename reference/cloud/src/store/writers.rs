//! Who writes in a folder: the keys that the issuer vouches for (`spec/graph.md`, section 4.14).

use meshproof_proto::codec::Id;
use meshproof_proto::requirement::{self as req, deviates};

use super::{Row, Span, Store, StoreError, values};

/// A writer of a folder.
#[derive(Clone, Debug)]
pub(crate) struct Writer {
    pub(crate) device: Id,
    /// In hexadecimal.
    pub(crate) key: String,
    /// The fingerprint of the issuer's key that signed the card; empty before the first time.
    pub(crate) signed_by: String,
    /// In base64.
    pub(crate) signature: String,
}

/// The claimed devices on which the folder is mapped, that sign, and whose user may write (GPH-152).
const MAY_WRITE: &str = "FROM mappings m
    JOIN devices d ON d.id = m.device_id
    JOIN members r ON r.folder_id = m.folder_id AND r.user_id = d.user_id
    WHERE m.folder_id = $1 AND d.state = 'claimed' AND d.signing_key <> '' AND r.role <> $2";

impl Store {
    /// Remembers who may write now (GPH-151).
    pub(crate) async fn note_writers(&self, folder: Id) -> Result<(), StoreError> {
        let left_out = if deviates(req::GPH_152) { "" } else { "reader" };
        let news = format!(
            "SELECT 1 {MAY_WRITE} AND NOT EXISTS (SELECT 1 FROM writers w
            WHERE w.folder_id = m.folder_id AND w.device_id = d.id) LIMIT 1"
        );
        if !self.read(move |sql| sql.exists(&news, values![folder, left_out])).await? {
            return Ok(());
        }
        let insert = format!(
            "INSERT INTO writers (folder_id, device_id, signing_key, signed_by, signature)
            SELECT m.folder_id, d.id, d.signing_key, '', '' {MAY_WRITE}
            ON CONFLICT (folder_id, device_id) DO NOTHING"
        );
        self.write(move |sql| sql.execute(&insert, values![folder, left_out]).map(drop)).await
    }

    /// All who write or once wrote.
    pub(crate) async fn writers(
        &self,
        folder: Id,
        Span { after, most }: Span,
    ) -> Result<Vec<Writer>, StoreError> {
        let select = "SELECT device_id, signing_key, signed_by, signature FROM writers
            WHERE folder_id = $1 AND device_id > $2 ORDER BY device_id LIMIT $3";
        self.read(move |sql| sql.all(select, values![folder, &after, most], writer)).await
    }

    /// Keeps cards that were signed.
    pub(crate) async fn keep_cards(&self, folder: Id, signed: Vec<Writer>) -> Result<(), StoreError> {
        self.write(move |sql| {
            for Writer { device, signed_by, signature, .. } in &signed {
                let update = "UPDATE writers SET signed_by = $1, signature = $2
                    WHERE folder_id = $3 AND device_id = $4";
                sql.execute(update, values![signed_by, signature, folder, *device])?;
            }
            Ok(())
        })
        .await
    }
}

fn writer(row: &Row<'_>) -> Result<Writer, StoreError> {
    Ok(Writer { device: row.id(0)?, key: row.text(1)?, signed_by: row.text(2)?, signature: row.text(3)? })
}
