//! The cloud, over HTTPS: identity, account and graph services (`spec/identity.md`, `spec/graph.md`).
//!
//! [`Cloud`] keeps the ticket set: it shows with each request the tickets that matter for it, takes new ones from
//! answers, and renews all before they end, by the device's key if there is one.

mod entries;
mod http;
mod media;
mod operations;
mod people;
mod problem;
mod rendezvous;
mod session;
mod sign_in;
mod states;

use std::collections::HashMap;
use std::sync::Arc;

use meshproof_proto::codec::Id;
use meshproof_proto::crypto::Spki;
use meshproof_proto::handshake::Device;
use meshproof_proto::time::UnixTime;
use tokio::sync::Mutex;

use crate::error::{Error, Result};

pub use entries::{CloudEntry, EntryWrite};
pub use operations::{ClaimedDevice, DeviceInfo, FolderInfo, KeyNode, MappingInfo, Pair};
pub use people::{InvitationInfo, MemberInfo};
pub use problem::Problem;
pub use rendezvous::{News, Rendezvous, Told};
pub use session::{IssuerKeys, Session};
pub use sign_in::{DeviceCode, Elsewhere};
pub use states::{CloudState, StatesPage, state_body};

/// A client of one cloud for one user.
pub struct Cloud {
    http: reqwest::Client,
    url: String,
    /// Where all requests go (GPH-171).
    origin: String,
    /// Signs in without a password, at the cloud of this audience uri and no other.
    device: Option<(Arc<Device>, String)>,
    session: Mutex<Session>,
    /// What was read of entries, by folder.
    known: Mutex<HashMap<Id, entries::Known>>,
}

impl Cloud {
    /// A client of the cloud at `url`. Its certificate is checked with the PEM certificates `ca`, or with the system's
    /// if there are none. `device` comes with the audience uri of the cloud at which it was claimed. `session` is that of the last run, or an empty one.
    pub fn new(
        url: &str,
        ca: Option<&[u8]>,
        device: Option<(Arc<Device>, String)>,
        session: Session,
    ) -> Result<Self> {
        let url = url.trim_end_matches('/').to_owned();
        let (http, session) = (http::client(&url, ca)?, Mutex::new(session));
        let parsed = reqwest::Url::parse(&url).map_err(|_| Error::usage(format!("{url} is no URL")))?;
        let origin = parsed.origin().ascii_serialization();
        Ok(Self { http, url, origin, device, session, known: Mutex::default() })
    }

    /// What to keep for the next run.
    pub async fn session(&self) -> Session {
        self.session.lock().await.clone()
    }

    /// What time it is at the cloud, if it says so. Asks for nothing that needs a ticket.
    pub async fn clock(&self) -> Result<Option<UnixTime>> {
        let answer = self.http.get(&self.url).send().await;
        let answer = answer
            .map_err(|error| Error::Cloud(format!("cannot reach {}: {}", self.url, http::chain(&error))))?;
        let date = answer.headers().get(reqwest::header::DATE).and_then(|date| date.to_str().ok());
        Ok(date.and_then(http::parse_date))
    }

    /// Signs in again, for the issuer's keys of this moment.
    pub async fn sign_in_again(&self) -> Result<()> {
        self.renew(&mut *self.session.lock().await).await
    }

    /// Who signs tickets, from the last sign-in; signs in if there was none.
    pub async fn issuer(&self) -> Result<(String, Vec<Spki>)> {
        let mut session = self.session.lock().await;
        if session.issuer.is_none() {
            self.renew(&mut session).await?;
        }
        session.issuer_keys()
    }
}
