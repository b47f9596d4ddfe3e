//! Whom a user knows, and what a user says about itself.

use meshproof_proto::codec::Id;
use meshproof_proto::requirement::{self as req, demand};

use super::{Row, Span, Store, StoreError, values};

/// How many contacts a user may have.
const MAX_CONTACTS: u64 = 1_000;

/// Somebody a user wrote down.
#[derive(Clone, Debug)]
pub(crate) struct Contact {
    pub(crate) name: String,
    /// Invitations of this name are kept away (GPH-092).
    pub(crate) blocked: bool,
    pub(crate) note: String,
    pub(crate) etag: String,
}

/// What a user says about itself to those it shares folders with.
#[derive(Clone, Debug)]
pub(crate) struct Profile {
    pub(crate) user: Id,
    pub(crate) name: String,
    pub(crate) display_name: String,
    pub(crate) about: String,
    pub(crate) etag: String,
}

const COLUMNS: &str = "SELECT name, blocked, note, etag FROM contacts";

impl Store {
    /// The user's contacts.
    pub(crate) async fn contacts(
        &self,
        user: Id,
        Span { after, most }: Span,
    ) -> Result<Vec<Contact>, StoreError> {
        let select = format!("{COLUMNS} WHERE user_id = $1 AND name > $2 ORDER BY name LIMIT $3");
        self.read(move |sql| sql.all(&select, values![user, &after, most], contact)).await
    }

    /// One of them.
    pub(crate) async fn contact(&self, user: Id, name: String) -> Result<Option<Contact>, StoreError> {
        let select = format!("{COLUMNS} WHERE user_id = $1 AND name = $2");
        self.read(move |sql| sql.first(&select, values![user, &name], contact)).await
    }

    /// Writes a contact. `true` if it is new.
    pub(crate) async fn put_contact(&self, user: Id, contact: Contact) -> Result<bool, StoreError> {
        self.write(move |sql| {
            let Contact { name, blocked, note, etag } = &contact;
            let select = "SELECT 1 FROM contacts WHERE user_id = $1 AND name = $2";
            let known = sql.exists(select, values![user, name])?;
            let count = "SELECT count(*) FROM contacts WHERE user_id = $1";
            let contacts = sql.first(count, values![user], |row| row.number(0))?.unwrap_or(0);
            demand(known || contacts < MAX_CONTACTS, req::GPH_093)?;
            let upsert =
                "INSERT INTO contacts (user_id, name, blocked, note, etag) VALUES ($1, $2, $3, $4, $5)
                ON CONFLICT (user_id, name) DO UPDATE SET blocked = excluded.blocked, note = excluded.note,
                etag = excluded.etag";
            sql.execute(upsert, values![user, name, *blocked, note, etag])?;
            Ok(!known)
        })
        .await
    }

    /// Forgets a contact. `false` if there is none.
    pub(crate) async fn remove_contact(&self, user: Id, name: String) -> Result<bool, StoreError> {
        let delete = "DELETE FROM contacts WHERE user_id = $1 AND name = $2";
        self.write(move |sql| Ok(sql.execute(delete, values![user, &name])? == 1)).await
    }

    /// What the user says about itself; empty until it has said something. `None` if there is no such user.
    pub(crate) async fn profile(&self, user: Id) -> Result<Option<Profile>, StoreError> {
        let select = "SELECT u.id, u.name, coalesce(p.display_name, ''), coalesce(p.about, ''),
            coalesce(p.etag, 'initial') FROM users u LEFT JOIN profiles p ON p.user_id = u.id WHERE u.id = $1";
        self.read(move |sql| {
            sql.first(select, values![user], |row| {
                let (user, name, display_name) = (row.id(0)?, row.text(1)?, row.text(2)?);
                Ok(Profile { user, name, display_name, about: row.text(3)?, etag: row.text(4)? })
            })
        })
        .await
    }

    /// Keeps what the user says about itself.
    pub(crate) async fn put_profile(&self, profile: Profile) -> Result<(), StoreError> {
        self.write(move |sql| {
            let upsert = "INSERT INTO profiles (user_id, display_name, about, etag) VALUES ($1, $2, $3, $4)
                ON CONFLICT (user_id) DO UPDATE SET display_name = excluded.display_name, about = excluded.about,
                etag = excluded.etag";
            let Profile { user, display_name, about, etag, .. } = &profile;
            sql.execute(upsert, values![*user, display_name, about, etag])?;
            Ok(())
        })
        .await
    }

    /// Whether the two are members of one folder (GPH-094).
    pub(crate) async fn share_a_folder(&self, one: Id, other: Id) -> Result<bool, StoreError> {
        let select = "SELECT 1 FROM members a JOIN members b ON b.folder_id = a.folder_id
            WHERE a.user_id = $1 AND b.user_id = $2 LIMIT 1";
        self.read(move |sql| sql.exists(select, values![one, other])).await
    }
}

fn contact(row: &Row<'_>) -> Result<Contact, StoreError> {
    Ok(Contact { name: row.text(0)?, blocked: row.number(1)? != 0, note: row.text(2)?, etag: row.text(3)? })
}
