//! The ticket set and its renewal.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use meshproof_proto::codec::{Id, hex, hex_array};
use meshproof_proto::crypto::Spki;
use meshproof_proto::handshake::Device;
use meshproof_proto::identity;
use meshproof_proto::identity::{Binding, Purpose};
use meshproof_proto::requirement::{self as req, deviates};
use meshproof_proto::ticket::parse::{decode, parse};
use meshproof_proto::ticket::{MAX_SET, Ticket};
use meshproof_proto::time::UnixTime;
use reqwest::Method;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::Cloud;
use super::http::{Rights, unexpected};
use crate::error::{Error, Result};
use crate::{now, os_entropy};

/// Tickets are renewed when the first of them lives less than this, in seconds.
const MARGIN: u64 = 60;
/// The resource that governs the mesh and its devices.
pub(super) const MESH: &str = "/mesh";

/// What a sign-in gave. It has no `Debug`: tickets and token are for requests and `session.json`, and for no log.
#[derive(Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Session {
    /// The path of the mesh.
    pub root: String,
    /// Who signs tickets.
    pub issuer: Option<IssuerKeys>,
    /// The cloud's audience uri.
    pub audience: String,
    /// The tickets, as they go into requests.
    tickets: Vec<String>,
    /// The identity token, and when it ends. Only until there is a device, which signs in by its key.
    pub(super) token: Option<(String, u64)>,
}

/// Who signs tickets.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct IssuerKeys {
    /// The issuer's uri.
    pub name: String,
    /// Its one or two SPKI, in base64.
    pub keys: Vec<String>,
}

impl Session {
    /// Adds a ticket, in the place of those that it makes superfluous.
    pub(super) fn add(&mut self, text: &str) {
        let Some(new) = read(text) else { return };
        let resources = |ticket: &Ticket| -> Vec<String> {
            ticket.authz.iter().map(|statement| statement.resource.clone()).collect()
        };
        let covered = resources(&new);
        self.tickets.retain(|old| {
            read(old).is_some_and(|old| {
                let same = old.authn.is_some() == new.authn.is_some() && resources(&old) == covered;
                old.not_on_or_after > now() && !same
            })
        });
        self.tickets.push(text.into());
    }

    /// The tickets to show for `resource`: who it is, the mesh, and the resource; at most 16 (TKT-027).
    pub(super) fn set_for(&self, resource: &str) -> String {
        let matters = |ticket: &Ticket| {
            let about = |name: &str| ticket.authz.iter().any(|statement| statement.resource == name);
            ticket.authn.is_some() || about(MESH) || about(resource)
        };
        let set = self.tickets.iter().filter(|text| read(text).is_some_and(|ticket| matters(&ticket)));
        set.take(MAX_SET).map(String::as_str).collect::<Vec<_>>().join(",")
    }

    pub(super) fn has(&self, resource: &str) -> bool {
        let about = |t: &Ticket| t.authz.iter().any(|statement| statement.resource == resource);
        self.tickets.iter().filter_map(|text| read(text)).any(|ticket| about(&ticket))
    }

    pub(super) fn ends_soon(&self) -> bool {
        let ends = self.tickets.iter().map(|text| read(text).map_or(UnixTime(0), |t| t.not_on_or_after));
        ends.min().is_none_or(|end| end <= now().plus(MARGIN))
    }

    pub(super) fn issuer_keys(&self) -> Result<(String, Vec<Spki>)> {
        let bad = || unexpected("the sign-in", "its issuer has no acceptable keys");
        let issuer = self.issuer.as_ref().ok_or_else(bad)?;
        let key = |text: &String| Spki::parse(&STANDARD.decode(text).ok()?).ok();
        let keys = issuer.keys.iter().map(key).collect::<Option<Vec<_>>>().ok_or_else(bad)?;
        Ok((issuer.name.clone(), keys))
    }

    /// Takes the answer of `POST /tickets` or `POST /tickets/device`.
    fn take(&mut self, body: &Value) -> Result<()> {
        let bad = || unexpected("the sign-in", "root, issuer, audience or tickets are missing");
        self.root = body["root"].as_str().ok_or_else(bad)?.into();
        self.audience = body["audience"].as_str().ok_or_else(bad)?.into();
        self.issuer = Some(serde_json::from_value(body["issuer"].clone()).map_err(|_| bad())?);
        let tickets = body["tickets"].as_array().ok_or_else(bad)?;
        self.tickets = tickets.iter().filter_map(|ticket| ticket.as_str().map(Into::into)).collect();
        if self.tickets.is_empty() { Err(bad()) } else { Ok(()) }
    }
}

/// What a ticket says. It is for the cloud to verify; we only choose by it.
fn read(text: &str) -> Option<Ticket> {
    Some(parse(&decode(text).ok()?).ok()?.ticket)
}

impl Cloud {
    /// New tickets: by the device's key, or by the token of the last sign-in.
    pub(super) async fn renew(&self, session: &mut Session) -> Result<()> {
        match &self.device {
            Some((device, audience)) => self.renew_by_key(device, audience, session).await,
            None => self.renew_by_token(session).await,
        }
    }

    pub(super) async fn renew_by_token(&self, session: &mut Session) -> Result<()> {
        let token = session.token.clone().filter(|(_, end)| now().0 < *end);
        let (token, _) =
            token.ok_or_else(|| Error::usage("you are not signed in: use `mesh login` first"))?;
        let answer = self.send(Method::POST, "/tickets", None, Rights::Token(&token), session).await?;
        session.take(&answer.body)
    }

    /// IDN-014: the device proves its key.
    async fn renew_by_key(&self, device: &Device, audience: &str, session: &mut Session) -> Result<()> {
        let id = device.id().to_string();
        let body = json!({ "device": id });
        let challenge =
            self.send(Method::POST, "/tickets/challenge", Some(&body), Rights::None, session).await?.body;
        // Only the mutant believes what the cloud says of itself later.
        let told = (deviates(req::GPH_177) && !session.audience.is_empty()).then(|| session.audience.clone());
        let audience = told.as_deref().unwrap_or(audience); // GPH-177
        let answer = answer(device, device.id(), Purpose::SignIn, audience, &challenge)?;
        let body = json!({ "device": id, "challenge": challenge["challenge"], "answer": answer });
        let tickets = self.send(Method::POST, "/tickets/device", Some(&body), Rights::None, session).await;
        let tickets = tickets.inspect_err(|error| {
            if error.requirement() == Some(req::IDN_013) {
                tracing::warn!("this device was revoked");
            }
        })?;
        session.token = None;
        session.take(&tickets.body)
    }
}

/// Answers a challenge with the device's key, for this cloud and this purpose alone (`spec/identity.md`, section 3).
/// `id` is the device's; a device that is being claimed has it from the cloud.
pub(super) fn answer(
    device: &Device,
    id: Id,
    purpose: Purpose,
    audience: &str,
    challenge: &Value,
) -> Result<String> {
    let number = challenge["challenge"].as_str().and_then(hex_array::<16>);
    let ciphertext = challenge["ciphertext"].as_str().and_then(|text| STANDARD.decode(text).ok());
    let (Some(number), Some(ciphertext)) = (number, ciphertext) else {
        return Err(unexpected("a challenge", "it is none"));
    };
    let binding = Binding { purpose, device: id, audience };
    let (provider, key) = (device.provider(), device.key());
    Ok(hex(&identity::answer(provider, key, &number, &ciphertext, &binding, &mut os_entropy)))
}
