//! Graph and storage service of the double: the nodes that a device needs to take part in one folder.

use serde_json::{Value, json};

use super::cloud::Principal;
use super::http::{Reply, Request};
use super::{Shared, USER, lock};
use crate::oracle::crypto::{RsaPublicKey, base64, base64url, fingerprint, hex, public_key_from_spki};
use crate::oracle::sync::card;
use crate::oracle::ticket::{ConfirmationKey, TicketFields, time, uri};
use crate::target::fixture::PeerFixture;
use crate::target::peer::now;
use crate::vectors::fixtures::ISSUER;

/// How many seconds an endpoint, or a rendezvous, is good for.
const TTL: u64 = 60;

/// How many folders a pair ticket has room for.
const PAIR_FOLDERS: usize = 18;

/// The folder.
pub(super) fn folder_path() -> String {
    format!("/mesh/objects/{}", hex(&PeerFixture::FOLDER))
}

/// The service document.
pub(super) fn service() -> Value {
    json!({ "version": "0.1", "links": {
        "self": "/", "schema": "/openapi.yaml", "mesh": "/mesh", "users": "/identity/users",
        "token": "/identity/token", "password": "/identity/password", "sessions": "/identity/sessions",
        "passkeys": "/identity/passkeys", "app_passwords": "/identity/app-passwords",
        "providers": "/identity/providers", "tickets": "/tickets", "challenge": "/tickets/challenge",
        "device": "/tickets/device",
    }})
}

impl Shared {
    /// The answer to an honest request below `/mesh`.
    pub(super) fn graph(&self, who: &Principal, request: &Request, path: &[&str]) -> Reply {
        let folder = hex(&PeerFixture::FOLDER);
        let method = if request.method == "HEAD" { "GET" } else { request.method.as_str() };
        match (method, &path[1..]) {
            ("GET", []) => Reply::json(200, &mesh()),
            ("POST", ["batch"]) => self.batch(who, &request.json()),
            (_, ["devices", rest @ ..]) => self.devices(method, rest, who, &request.json()),
            ("GET", ["relays"]) => {
                collection("/mesh/relays", &[json!({ "address": self.relay.to_string() })])
            }
            ("GET", ["invitations"]) => collection("/mesh/invitations", &[]),
            ("GET", ["objects"]) => {
                let mut item = self.folder();
                item["etag"] = json!("\"f1\"");
                collection("/mesh/objects", &[item])
            }
            ("GET", ["objects", id]) if *id == folder => {
                Reply::json(200, &self.folder()).with("etag", "\"f1\"")
            }
            ("POST", ["objects", id, "ticket"]) if *id == folder => {
                let all: &[&str] = &["Read", "Write", "Delete", "Control"];
                let ticket = self.ticket(who, Some(&[(&folder_path(), all)]));
                Reply::json(200, &json!({ "ticket": ticket, "links": { "self": request.path } }))
            }
            (_, ["objects", id, rest @ ..]) if *id == folder => self.below_folder(method, rest, request),
            (_, ["objects", ..]) => Reply::problem(403, "not-authorised", "GPH-003"),
            _ => Reply::problem(404, "no-such-node", "GPH-004"),
        }
    }

    fn devices(&self, method: &str, path: &[&str], who: &Principal, body: &Value) -> Reply {
        match (method, path) {
            ("GET", []) => {
                let ids: Vec<String> = lock(&self.world).devices.keys().cloned().collect();
                let items: Vec<Value> = ids.iter().filter_map(|id| self.device_item(id)).collect();
                collection("/mesh/devices", &items)
            }
            ("POST", []) => match self.claim(body) {
                Some(id) => {
                    let mut device = self.device(&id).unwrap_or_default();
                    device["proof"] = self.challenge_of(&id).unwrap_or_default();
                    Reply::json(201, &device)
                        .with("location", format!("/mesh/devices/{id}"))
                        .with("etag", "\"d0\"")
                }
                None => Reply::problem(422, "device-key-unacceptable", "GPH-030"),
            },
            (_, [id, ..]) if !lock(&self.world).devices.contains_key(*id) => {
                Reply::problem(403, "not-authorised", "GPH-017")
            }
            ("GET", [id]) => Reply::json(200, &self.device(id).unwrap_or_default()).with("etag", "\"d1\""),
            ("POST", [id, "proof"]) => self.prove(id, body),
            ("GET", [id, "endpoints"]) => {
                let own = **id == hex(&PeerFixture::DEVICE_X);
                let addresses = if own { self.addresses() } else { Vec::new() };
                let ttl = if own { TTL } else { 0 };
                let links = json!({ "self": format!("/mesh/devices/{id}/endpoints") });
                Reply::json(200, &json!({ "addresses": addresses, "ttl": ttl, "links": links }))
            }
            ("PUT", [id, "endpoints"]) => {
                let links = json!({ "self": format!("/mesh/devices/{id}/endpoints") });
                Reply::json(
                    200,
                    &json!({ "addresses": body["addresses"], "ttl": body["ttl"], "links": links }),
                )
            }
            ("DELETE", [_, "endpoints"]) => Reply::empty(),
            ("POST", [id, "pair"]) => self.pair(id, who, body),
            ("POST", [id, "rendezvous"]) => self.rendezvous(id, who),
            ("GET", [id, "rendezvous"]) => collection(&format!("/mesh/devices/{id}/rendezvous"), &[]),
            _ => Reply::problem(404, "no-such-node", "GPH-004"),
        }
    }

    fn prove(&self, id: &str, body: &Value) -> Reply {
        let answer = body["answer"].as_str().unwrap_or_default();
        let challenge = self.open_challenge(id).unwrap_or_default();
        if !self.proves("claim", id, &challenge, answer) {
            return Reply::problem(401, "device-proof-failed", "GPH-033");
        }
        if let Some(device) = lock(&self.world).devices.get_mut(id) {
            device.state = "claimed";
        }
        Reply::json(200, &self.device(id).unwrap_or_default()).with("etag", "\"d1\"")
    }

    /// A pair ticket for the client, and where the double's device is.
    fn pair(&self, id: &str, who: &Principal, body: &Value) -> Reply {
        let Principal::Device(client) = who else {
            return Reply::problem(403, "not-authorised", "GPH-043");
        };
        let folder = hex(&PeerFixture::FOLDER);
        let wish = body["folders"].as_array();
        if wish.is_some_and(|wish| wish.len() > PAIR_FOLDERS) {
            return Reply::problem(422, "body-unacceptable", "GPH-006");
        }
        let wanted = wish.is_none_or(|wish| wish.iter().any(|id| *id == *folder));
        let Some((mut fields, mut device)) = self.pair_ticket(client, id, wanted).zip(self.device(id)) else {
            return Reply::problem(403, "pair-refused", "GPH-040");
        };
        let left = if wanted || !self.shared(client, id) { Vec::new() } else { vec![folder] };
        (self.plan().ticket)(&mut fields);
        device["addresses"] = json!(self.addresses());
        let ticket = base64url(fields.issue(&self.signer().private).as_bytes());
        let lan_key = hex(&[0x4C; 32]);
        let links = json!({ "self": format!("/mesh/devices/{id}/pair") });
        Reply::json(
            200,
            &json!({ "ticket": ticket, "device": device, "lan_key": lan_key, "left": left, "links": links }),
        )
    }

    /// Whether the folder is mapped on both.
    fn shared(&self, x: &str, y: &str) -> bool {
        let mapped = &lock(&self.world).mapped;
        mapped.contains(x) && mapped.contains(y)
    }

    fn pair_ticket(&self, x: &str, y: &str, with_folder: bool) -> Option<TicketFields> {
        let world = lock(&self.world);
        let key = |id: &str| public_key_from_spki(&world.devices.get(id)?.spki);
        let ((key_x, key_y), now, user) = (key(x).zip(key(y))?, now(), hex(&PeerFixture::USER));
        let print = |key: &RsaPublicKey| hex(&fingerprint(key));
        let mapped = |id: &str| {
            let folder = hex(&PeerFixture::FOLDER);
            world.mapped.contains(id).then(|| format!("{folder} {id} owner"))
        };
        let mut attributes = vec![
            (uri::KEY.to_owned(), vec![format!("{x} {}", print(&key_x)), format!("{y} {}", print(&key_y))]),
            (uri::CLAIM.to_owned(), vec![format!("{x} {user}"), format!("{y} {user}")]),
        ];
        if let Some((one, other)) = mapped(x).zip(mapped(y)).filter(|_| with_folder) {
            attributes.push((uri::MAPPING.to_owned(), vec![one, other]));
        }
        Some(TicketFields {
            id: format!("_{}", hex(&self.context.random::<16>())),
            issue_instant: time::to_text(now),
            issuer: ISSUER.to_owned(),
            subject: format!("{}{x}", uri::DEVICE),
            confirmation: Some(ConfirmationKey::of(&key_x)),
            not_before: time::to_text(now),
            not_on_or_after: time::to_text(now + 600),
            audience: format!("{}{y}", uri::DEVICE),
            authn: None,
            authz: Vec::new(),
            attributes,
        })
    }

    fn rendezvous(&self, id: &str, who: &Principal) -> Reply {
        if !matches!(who, Principal::Device(_)) {
            return Reply::problem(403, "not-authorised", "GPH-124");
        }
        let (circuit, token) = (self.context.random::<16>(), self.context.random::<16>());
        // Only the relay, which is the double too, reads a pass: any bytes of its length will do.
        let pass = [&circuit[..], &self.context.random::<57>()].concat();
        lock(&self.world).passes.insert(pass.clone(), token);
        let links = json!({ "self": format!("/mesh/devices/{id}/rendezvous") });
        Reply::json(
            201,
            &json!({
                "circuit": hex(&circuit), "device": id, "relay": self.relay.to_string(),
                "pass": hex(&pass), "token": hex(&token), "ttl": TTL, "links": links,
            }),
        )
    }

    fn device(&self, id: &str) -> Option<Value> {
        let world = lock(&self.world);
        let device = world.devices.get(id)?;
        let path = format!("/mesh/devices/{id}");
        Some(json!({
            "device": id, "name": device.name, "spki": base64(&device.spki), "state": device.state,
            "fingerprint": device.fingerprint(), "user": hex(&PeerFixture::USER),
            "links": {
                "self": path, "endpoints": format!("{path}/endpoints"), "pair": format!("{path}/pair"),
                "rendezvous": format!("{path}/rendezvous"), "proof": format!("{path}/proof"),
            },
        }))
    }

    fn device_item(&self, id: &str) -> Option<Value> {
        let mut device = self.device(id)?;
        device["etag"] = json!("\"d1\"");
        Some(device)
    }

    fn folder(&self) -> Value {
        let path = folder_path();
        let mut links = json!({ "self": path });
        for name in [
            "members",
            "invitations",
            "mappings",
            "writers",
            "media",
            "ticket",
            "news",
            "presence",
            "uploads",
            "wanted",
        ] {
            links[name] = json!(format!("{path}/{name}"));
        }
        links["entries"] = json!(format!("{path}/feeds/files/entries"));
        links["sync"] = json!(format!("{path}/feeds/files/sync"));
        links["states"] = json!(format!("{path}/feeds/states/entries"));
        links["states_sync"] = json!(format!("{path}/feeds/states/sync"));
        links["heads"] = json!(format!("{path}/feeds/states/heads"));
        json!({
            "folder": hex(&PeerFixture::FOLDER), "name": "shared", "creator": hex(&PeerFixture::USER),
            "storage": if lock(&self.world).stores { "cloud" } else { "p2p" }, "links": links,
        })
    }

    fn below_folder(&self, method: &str, path: &[&str], request: &Request) -> Reply {
        match (method, path) {
            ("GET", ["mappings"]) => {
                let mapped = lock(&self.world).mapped.clone();
                let items: Vec<Value> = mapped.iter().map(|id| mapping(id)).collect();
                collection(&format!("{}/mappings", folder_path()), &items)
            }
            ("GET", ["writers"]) => {
                let devices = [PeerFixture::DEVICE_X, PeerFixture::DEVICE_Z];
                let items: Vec<Value> = devices.map(writer).to_vec();
                collection(&format!("{}/writers", folder_path()), &items)
            }
            ("PUT", ["mappings", id]) => {
                let known =
                    lock(&self.world).devices.get(*id).is_some_and(|device| device.state == "claimed");
                if !known {
                    return Reply::problem(403, "not-authorised", "GPH-016");
                }
                lock(&self.world).mapped.insert((*id).to_owned());
                Reply::json(201, &mapping(id)).with("location", request.path.clone()).with("etag", "\"m1\"")
            }
            ("GET", ["mappings", id]) => Reply::json(200, &mapping(id)).with("etag", "\"m1\""),
            ("GET", ["feeds", "files", "entries"]) => {
                let items: Vec<Value> =
                    lock(&self.world).feed.values().map(|(_, item)| item.clone()).collect();
                collection(&format!("{}/feeds/files/entries", folder_path()), &items)
            }
            ("GET", ["feeds", "files", "sync"]) => self.delta(&request.query),
            ("PUT", ["feeds", "files", "entries", id]) => self.put_entry(id, &request.json()),
            (_, ["feeds", "states", rest @ ..]) => self.states(method, rest, request),
            ("GET", ["media", hash]) => self.get_media(hash),
            ("GET", ["wanted"]) => self.wanted(),
            ("GET", ["uploads"]) => collection(&format!("{}/uploads", folder_path()), &[]),
            ("PUT", ["media", hash]) => self.put_media(hash, &request.body),
            _ => Reply::problem(404, "no-such-node", "GPH-004"),
        }
    }

    fn delta(&self, query: &str) -> Reply {
        let since = query.split('&').find_map(|pair| pair.strip_prefix("since="));
        let since = since.map(|watermark| watermark.strip_prefix("kit.").and_then(|n| n.parse::<u64>().ok()));
        let Some(since) = since.unwrap_or(Some(0)) else {
            return Reply::problem(410, "watermark-unknown", "GPH-061");
        };
        let world = lock(&self.world);
        let mut items: Vec<&(u64, Value)> =
            world.feed.values().filter(|(change, _)| *change > since).collect();
        items.sort_by_key(|(change, _)| *change);
        let items: Vec<&Value> = items.into_iter().map(|(_, item)| item).collect();
        let links = json!({ "self": format!("{}/feeds/files/sync", folder_path()) });
        let watermark = format!("kit.{}", world.changes);
        Reply::json(200, &json!({ "items": items, "watermark": watermark, "more": false, "links": links }))
    }

    fn put_entry(&self, id: &str, body: &Value) -> Reply {
        let mut world = lock(&self.world);
        world.changes += 1;
        let change = world.changes;
        let etag = format!("\"e{change}\"");
        let path = format!("{}/feeds/files/entries/{id}", folder_path());
        let mut item = body.clone();
        item["entry"] = json!(id);
        item["etag"] = json!(etag);
        item["links"] = json!({ "self": path });
        if body["kind"] == "file" {
            item["cloud"] = json!("wanted");
            item["links"]["media"] =
                json!(format!("{}/media/{}", folder_path(), body["hash"].as_str().unwrap_or_default()));
        }
        let before = world.feed.insert(id.to_owned(), (change, item.clone()));
        let status = if before.is_some() { 200 } else { 201 };
        Reply::json(status, &item).with("etag", etag).with("location", path)
    }

    /// What the cloud lacks of the contents that its entries name.
    fn wanted(&self) -> Reply {
        let (world, media) = (lock(&self.world), self.seen().media.clone());
        let lacking = world.feed.values().map(|(_, item)| item).filter(|item| {
            item["hash"].as_str().is_some_and(|hash| !media.contains_key(hash)) && item["deleted"] != true
        });
        let item = |item: &Value| {
            let link = format!("{}/media/{}", folder_path(), item["hash"].as_str().unwrap_or_default());
            json!({ "hash": item["hash"], "size": item["size"], "links": { "self": link } })
        };
        let mut items: Vec<Value> = lacking.map(item).collect();
        items.sort_by_key(|item| item["size"].as_u64());
        collection(&format!("{}/wanted", folder_path()), &items)
    }

    fn put_media(&self, hash: &str, body: &[u8]) -> Reply {
        if blake3::hash(body).to_hex().as_str() != hash {
            return Reply::problem(422, "media-hash-mismatch", "STO-001");
        }
        let path = format!("{}/media/{hash}", folder_path());
        self.seen().media.insert(hash.to_owned(), body.to_vec());
        let item = json!({ "hash": hash, "size": body.len(), "links": { "self": path } });
        Reply::json(201, &item).with("etag", format!("\"{hash}\"")).with("location", path)
    }

    fn batch(&self, who: &Principal, body: &Value) -> Reply {
        let parts = body["parts"].as_array().cloned().unwrap_or_default();
        let answer = |part: &Value| {
            let href = part["href"].as_str().unwrap_or_default();
            let (path, query) = href.split_once('?').unwrap_or((href, ""));
            let request = Request {
                method: part["method"].as_str().unwrap_or_default().to_owned(),
                path: path.to_owned(),
                query: query.to_owned(),
                headers: Vec::new(),
                body: part["body"].to_string().into_bytes(),
            };
            let path: Vec<&str> = request.path.split('/').skip(1).collect();
            let reply = match path.first() {
                Some(&"mesh") => self.graph(who, &request, &path),
                _ => Reply::problem(404, "no-such-node", "GPH-004"),
            };
            let field = |name: &str| reply.headers.iter().find(|(known, _)| *known == name).map(|(_, v)| v);
            self.seen().requests.push((request.line(), reply.status));
            json!({ "status": reply.status, "etag": field("etag"), "location": field("location"), "body": reply.value() })
        };
        let items: Vec<Value> = parts.iter().map(answer).collect();
        Reply::json(200, &json!({ "items": items, "links": { "self": "/mesh/batch" } }))
    }

    /// The key of a device, once it is claimed.
    pub(super) fn key_of(&self, id: &str) -> Option<RsaPublicKey> {
        let world = lock(&self.world);
        let device = world.devices.get(id).filter(|device| device.state == "claimed")?;
        public_key_from_spki(&device.spki)
    }
}

fn mesh() -> Value {
    json!({
        "user": hex(&PeerFixture::USER), "name": USER, "quota": 1 << 30, "used": 0, "uploading": 0,
        "links": {
            "self": "/mesh", "devices": "/mesh/devices", "objects": "/mesh/objects", "news": "/mesh/news",
            "queues": "/mesh/queues", "relays": "/mesh/relays", "batch": "/mesh/batch",
            "invitations": "/mesh/invitations", "contacts": "/contacts", "profile": "/profile",
        },
    })
}

/// The card of a device of the fixture.
fn writer(device: [u8; 16]) -> Value {
    let card = card(PeerFixture::FOLDER, device);
    json!({
        "device": hex(&device), "key": hex(&card.key), "signature": base64(&card.signature), "etag": "\"w1\"",
        "links": { "self": format!("/mesh/devices/{}", hex(&device)) },
    })
}

fn mapping(id: &str) -> Value {
    let path = format!("{}/mappings/{id}", folder_path());
    json!({ "device": id, "user": hex(&PeerFixture::USER), "etag": "\"m1\"", "links": { "self": path } })
}

fn collection(path: &str, items: &[Value]) -> Reply {
    Reply::json(200, &json!({ "items": items, "links": { "self": path } }))
}
