//! What a backup needs of the database.

use std::path::Path;

use super::{Database, Store, StoreError, values};

impl Store {
    /// Writes a copy of the database, as it is at one moment, to a new file. Writers go on meanwhile. Blocks.
    pub(crate) fn copy_to(&self, file: &Path) -> Result<(), StoreError> {
        match &self.0.database {
            Database::Sqlite(sqlite) => sqlite.copy_to(file),
            #[cfg(feature = "postgres")]
            Database::Postgres(_) => Err(StoreError::NotAFile),
        }
    }

    /// Makes a database that nobody has open one file, which can be renamed. Blocks.
    pub(crate) fn settle(file: &Path) -> Result<(), StoreError> {
        super::sqlite::settle(file)
    }

    /// The names of all blobs that a row needs. Blocks.
    pub(crate) fn blob_names(&self) -> Result<Vec<String>, StoreError> {
        let select = "SELECT object FROM blobs UNION SELECT object FROM pieces";
        self.read_here(|sql| sql.all(select, values![], |row| row.text(0)))
    }

    /// Makes a copy fit to take the place of the database: watermarks that name changes which are not in it are unknown
    /// (GPH-061), and sessions end, for they may have ended since, with all that they began. Blocks.
    pub(crate) fn was_restored(&self) -> Result<(), StoreError> {
        self.write_here(|sql| {
            sql.execute("DELETE FROM epochs", values![])?;
            sql.execute("DELETE FROM sessions", values![])?;
            sql.execute("DELETE FROM ceremonies", values![])?;
            Ok(())
        })
    }
}
