//! Identity and account service of the double: signing in, tickets, and whose a request is.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde_json::{Value, json};

use super::http::{Reply, Request};
use super::{PASSWORD, Shared, USER, WELCOME, lock};
use crate::check::Context;
use crate::oracle::crypto::{
    base64, base64url, fingerprint, from_hex, hex, hmac, is_device_key, oaep_encrypt, public_key_from_spki,
};
use crate::oracle::sync::Entry;
use crate::oracle::ticket::{Decision, TicketFields, time, uri};
use crate::target::fixture::PeerFixture;
use crate::target::peer::now;
use crate::vectors::fixtures::{CLOUD, ISSUER, ISSUER_A, KEY_X};

/// The audience uri of the double.
pub const AUDIENCE: &str = CLOUD;
/// How long tickets live, in seconds.
const LIFE: u64 = 600;
const LABEL: &str = "meshproof/1 device challenge";

/// What the services keep.
pub(super) struct World {
    token: Option<String>,
    /// The tickets that were given out: whose they are, and when they end.
    tickets: HashMap<String, (Principal, u64)>,
    challenges: HashMap<String, Challenge>,
    pub(super) devices: BTreeMap<String, Device>,
    /// The devices that have the folder.
    pub(super) mapped: BTreeSet<String>,
    /// Whether the cloud holds the bytes of the folder.
    pub(super) stores: bool,
    /// The passes of the client that the relay takes, and the token of each rendezvous.
    pub(super) passes: HashMap<Vec<u8>, [u8; 16]>,
    /// The entries in the cloud: number of the change, and representation.
    pub(super) feed: BTreeMap<String, (u64, Value)>,
    pub(super) changes: u64,
    /// The states in the cloud: number of the change, and bytes.
    pub(super) states: BTreeMap<String, (u64, Vec<u8>)>,
    pub(super) heads: BTreeMap<String, Vec<u8>>,
    /// The contents that the cloud holds, by the hashes under which it gives them.
    pub(super) held: BTreeMap<String, Vec<u8>>,
    /// What the double's device has.
    pub(super) entries: Vec<Entry>,
    pub(super) contents: BTreeMap<[u8; 32], Vec<u8>>,
    pub(super) welcome: Vec<u8>,
}

/// Who made a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Principal {
    /// The user, by a password.
    Person,
    /// The user's device of this identifier.
    Device(String),
}

/// A device of the user.
pub(super) struct Device {
    pub(super) name: String,
    pub(super) spki: Vec<u8>,
    pub(super) state: &'static str,
}

struct Challenge {
    device: String,
    k: [u8; 32],
}

/// How a client proved the key of its device.
#[derive(Clone, Debug)]
pub struct Proof {
    /// `sign-in` or `claim`.
    pub purpose: &'static str,
    challenge: Vec<u8>,
    device: Vec<u8>,
    k: [u8; 32],
    answer: String,
}

impl Proof {
    /// Whether a cloud of this audience uri would take it.
    pub fn is_for(&self, audience: &str) -> bool {
        let length = u16::try_from(audience.len()).unwrap_or(u16::MAX).to_be_bytes();
        let purpose = self.purpose.as_bytes();
        let mac = hmac(
            &self.k,
            &[
                b"meshproof/1 device answer",
                &[u8::try_from(purpose.len()).unwrap_or(u8::MAX)],
                purpose,
                &self.challenge,
                &self.device,
                &length,
                audience.as_bytes(),
            ],
        );
        self.answer == hex(&mac)
    }
}

impl World {
    pub(super) fn new(context: &Context) -> Self {
        let own = hex(&PeerFixture::DEVICE_X);
        let device = Device { name: "the kit's".to_owned(), spki: KEY_X.spki(), state: "claimed" };
        // What a folder has at the beginning differs by check, so that no client knows it from another.
        let content = context.random::<200>().to_vec();
        Self {
            token: None,
            tickets: HashMap::new(),
            challenges: HashMap::new(),
            devices: BTreeMap::from([(own.clone(), device)]),
            mapped: BTreeSet::from([own]),
            stores: false,
            passes: HashMap::new(),
            feed: BTreeMap::new(),
            changes: 0,
            states: BTreeMap::new(),
            heads: BTreeMap::new(),
            held: BTreeMap::new(),
            entries: vec![Entry::file(WELCOME, &content)],
            contents: BTreeMap::from([(*blake3::hash(&content).as_bytes(), content.clone())]),
            welcome: content,
        }
    }
}

impl Shared {
    /// The answer to a request, changed as the plan says.
    pub(super) fn answer(&self, request: &Request) -> Reply {
        let mut reply = self.honest(request);
        (self.plan().answer)(request, &mut reply);
        self.seen().requests.push((request.line(), reply.status));
        reply
    }

    fn honest(&self, request: &Request) -> Reply {
        let path: Vec<&str> = request.path.split('/').skip(1).collect();
        match (request.method.as_str(), path.as_slice()) {
            ("GET", [""]) => Reply::json(200, &super::graph::service()),
            ("POST", ["identity", "users"]) => Reply::json(201, &json!({ "user": hex(&PeerFixture::USER) })),
            ("GET", ["identity", "providers"]) => Reply::json(
                200,
                &json!({
                    "items": [{ "name": "password", "kind": "password", "links": { "token": "/identity/token" } }],
                    "links": { "self": "/identity/providers" },
                }),
            ),
            ("POST", ["identity", "token"]) => self.sign_in(&request.json()),
            ("DELETE", ["identity", "token"]) => Reply::empty(),
            ("POST", ["tickets"]) => self.trade(request),
            ("POST", ["tickets", "challenge"]) => self.challenge(&request.json()),
            ("POST", ["tickets", "device"]) => self.device_signs_in(&request.json()),
            (_, ["mesh", ..]) => match self.principal(request) {
                Ok(principal) => self.graph(&principal, request, &path),
                Err(reply) => reply,
            },
            _ => Reply::problem(404, "no-such-node", "GPH-004"),
        }
    }

    fn sign_in(&self, body: &Value) -> Reply {
        if body["name"] != USER || body["password"] != PASSWORD {
            return Reply::problem(401, "sign-in-failed", "IDN-002");
        }
        let token = base64url(&self.context.random::<32>());
        lock(&self.world).token = Some(token.clone());
        let session = hex(&self.context.random::<16>());
        Reply::json(200, &json!({ "token": token, "expires_in": 3_600, "idle": 3_600, "session": session }))
    }

    fn trade(&self, request: &Request) -> Reply {
        let token = request.header("authorization").and_then(|value| value.strip_prefix("Bearer "));
        let good = token.is_some() && lock(&self.world).token.as_deref() == token;
        if good { self.grant(&Principal::Person) } else { Reply::problem(401, "token-rejected", "IDN-007") }
    }

    fn challenge(&self, body: &Value) -> Reply {
        let id = body["device"].as_str().unwrap_or_default().to_owned();
        let challenge = self.challenge_of(&id);
        challenge.map_or_else(
            || Reply::problem(422, "body-unacceptable", "GPH-006"),
            |body| Reply::json(200, &body),
        )
    }

    /// A challenge for a device of the user.
    pub(super) fn challenge_of(&self, id: &str) -> Option<Value> {
        let mut world = lock(&self.world);
        let key = public_key_from_spki(&world.devices.get(id)?.spki)?;
        let (number, k) = (hex(&self.context.random::<16>()), self.context.random::<32>());
        let ciphertext = oaep_encrypt(&key, LABEL, &k, &self.context.random());
        world.challenges.insert(number.clone(), Challenge { device: id.to_owned(), k });
        Some(json!({ "challenge": number, "ciphertext": base64(&ciphertext) }))
    }

    /// Whether the answer proves the device's key for this cloud. A challenge is good for once.
    pub(super) fn proves(&self, purpose: &'static str, device: &str, challenge: &str, answer: &str) -> bool {
        let taken = lock(&self.world).challenges.remove(challenge);
        let Some(Challenge { device: challenged, k }) = taken else { return false };
        let (Some(challenge), Some(id)) = (from_hex(challenge), from_hex(device)) else { return false };
        let proof = Proof { purpose, challenge, device: id, k, answer: answer.to_owned() };
        let right = challenged == device && proof.is_for(AUDIENCE);
        self.seen().proofs.push(proof);
        right
    }

    /// The challenge that was given out last for a device.
    pub(super) fn open_challenge(&self, device: &str) -> Option<String> {
        let world = lock(&self.world);
        world.challenges.iter().find(|(_, open)| open.device == device).map(|(number, _)| number.clone())
    }

    fn device_signs_in(&self, body: &Value) -> Reply {
        let text = |name: &str| body[name].as_str().unwrap_or_default().to_owned();
        let device = text("device");
        let claimed = lock(&self.world).devices.get(&device).is_some_and(|known| known.state == "claimed");
        if claimed && self.proves("sign-in", &device, &text("challenge"), &text("answer")) {
            self.grant(&Principal::Device(device))
        } else {
            Reply::problem(401, "device-proof-failed", "IDN-010")
        }
    }

    /// The first tickets.
    fn grant(&self, principal: &Principal) -> Reply {
        let folder = super::graph::folder_path();
        let all = &["Read", "Write", "Delete", "Control"][..];
        let tickets = [
            self.ticket(principal, None),
            self.ticket(principal, Some(&[("/mesh", &all[..2]), (&folder, all)])),
        ];
        Reply::json(
            200,
            &json!({
                "root": "/mesh",
                "issuer": { "name": ISSUER, "keys": [ISSUER_A.spki_text()] },
                "audience": AUDIENCE,
                "tickets": tickets,
            }),
        )
    }

    /// An authentication ticket, or one for these resources.
    pub(super) fn ticket(&self, principal: &Principal, rights: Option<&[(&str, &[&str])]>) -> String {
        let now = now();
        let subject = match principal {
            Principal::Person => format!("{}{}", uri::USER, hex(&PeerFixture::USER)),
            Principal::Device(id) => format!("{}{id}", uri::DEVICE),
        };
        let class =
            if *principal == Principal::Person { "PasswordProtectedTransport" } else { "SoftwarePKI" };
        let class = format!("urn:oasis:names:tc:SAML:2.0:ac:classes:{class}");
        let decisions = rights.unwrap_or_default().iter();
        let fields = TicketFields {
            id: format!("_{}", hex(&self.context.random::<16>())),
            issue_instant: time::to_text(now),
            issuer: ISSUER.to_owned(),
            subject,
            confirmation: None,
            not_before: time::to_text(now),
            not_on_or_after: time::to_text(now + LIFE),
            audience: AUDIENCE.to_owned(),
            authn: rights.is_none().then(|| (time::to_text(now), class)),
            authz: decisions.map(|(resource, actions)| Decision::new("Permit", resource, actions)).collect(),
            attributes: Vec::new(),
        };
        let text = base64url(fields.issue(&ISSUER_A.private).as_bytes());
        lock(&self.world).tickets.insert(text.clone(), (principal.clone(), now + LIFE));
        text
    }

    /// Whose the tickets of a request are. They have to be as they were given out.
    fn principal(&self, request: &Request) -> Result<Principal, Reply> {
        let refused = |error, requirement| {
            Reply::problem(401, error, requirement).with("www-authenticate", "MeshTicket")
        };
        let shown = request.header("authorization").and_then(|value| value.strip_prefix("MeshTicket "));
        let Some(shown) = shown else { return Err(refused("tickets-required", "GPH-001")) };
        let world = lock(&self.world);
        let mut principal = None;
        for ticket in shown.split(',') {
            match world.tickets.get(ticket) {
                Some((whose, ends)) if *ends > now() && principal.as_ref().is_none_or(|one| one == whose) => {
                    principal = Some(whose.clone());
                }
                _ => return Err(refused("ticket-rejected", "TKT-031")),
            }
        }
        principal.ok_or_else(|| refused("ticket-rejected", "TKT-031"))
    }

    /// Takes a new device in, if its key will do. Gives back its identifier.
    pub(super) fn claim(&self, body: &Value) -> Option<String> {
        let spki = crate::oracle::crypto::from_base64(body["spki"].as_str()?)?;
        let name = body["name"].as_str()?.to_owned();
        public_key_from_spki(&spki).filter(is_device_key)?;
        let id = hex(&self.context.random::<16>());
        lock(&self.world).devices.insert(id.clone(), Device { name, spki, state: "pending" });
        Some(id)
    }
}

impl Device {
    /// `H(SPKI)` in hexadecimal.
    pub(super) fn fingerprint(&self) -> String {
        public_key_from_spki(&self.spki).map(|key| hex(&fingerprint(&key))).unwrap_or_default()
    }
}
