//! What the double's cloud keeps of what devices sign (graph.md, section 4.15), and the contents that it holds.

use serde_json::{Value, json};

use super::graph::folder_path;
use super::http::{Reply, Request};
use super::{Shared, lock};
use crate::oracle::crypto::{base64, from_base64};

impl Shared {
    /// The answer to an honest request below `/feeds/states`.
    pub(super) fn states(&self, method: &str, path: &[&str], request: &Request) -> Reply {
        match (method, path) {
            ("GET", ["sync"]) => self.states_since(&request.query),
            ("GET", ["entries"]) => self.all("entries"),
            ("GET", ["heads"]) => self.all("heads"),
            ("GET", [what @ ("entries" | "heads"), id]) => match self.one(what, id) {
                Some(item) => {
                    let tag = item["etag"].as_str().unwrap_or_default().to_owned();
                    Reply::json(200, &item).with("etag", tag)
                }
                None => Reply::problem(404, "no-such-node", "GPH-004"),
            },
            ("PUT", [what @ ("entries" | "heads"), id]) => self.put(what, id, &request.json()),
            _ => Reply::problem(404, "no-such-node", "GPH-004"),
        }
    }

    /// A content, with whatever bytes the cloud says that it has.
    pub(super) fn get_media(&self, hash: &str) -> Reply {
        let held = lock(&self.world).held.get(hash).cloned().or_else(|| self.seen().media.get(hash).cloned());
        match held {
            Some(body) => Reply { status: 200, body, ..Reply::empty() }.with("etag", format!("\"{hash}\"")),
            None => Reply::problem(404, "no-such-media", "STO-005"),
        }
    }

    fn put(&self, what: &str, id: &str, body: &Value) -> Reply {
        let member = if what == "heads" { "head" } else { "state" };
        let Some(bytes) = body[member].as_str().and_then(from_base64) else {
            return Reply::problem(422, "body-unacceptable", "GPH-006");
        };
        let before = {
            let mut world = lock(&self.world);
            world.changes += 1;
            let change = world.changes;
            if what == "heads" {
                world.heads.insert(id.to_owned(), bytes.clone()).is_some()
            } else {
                world.states.insert(id.to_owned(), (change, bytes.clone())).is_some()
            }
        };
        self.seen().put.push((format!("{what}/{id}"), bytes));
        let item = self.one(what, id).unwrap_or_default();
        let tag = item["etag"].as_str().unwrap_or_default().to_owned();
        let path = format!("{}/feeds/states/{what}/{id}", folder_path());
        Reply::json(if before { 200 } else { 201 }, &item).with("etag", tag).with("location", path)
    }

    fn one(&self, what: &str, id: &str) -> Option<Value> {
        let world = lock(&self.world);
        let links = json!({ "self": format!("{}/feeds/states/{what}/{id}", folder_path()) });
        if what == "heads" {
            let head = world.heads.get(id)?;
            let tag = format!("\"h{}\"", blake3::hash(head).to_hex());
            return Some(json!({ "device": id, "head": base64(head), "etag": tag, "links": links }));
        }
        let (change, state) = world.states.get(id)?;
        let tag = format!("\"s{change}\"");
        Some(json!({ "entry": id, "state": base64(state), "etag": tag, "links": links }))
    }

    fn all(&self, what: &str) -> Reply {
        let ids: Vec<String> = {
            let world = lock(&self.world);
            if what == "heads" {
                world.heads.keys().cloned().collect()
            } else {
                world.states.keys().cloned().collect()
            }
        };
        let items: Vec<Value> = ids.iter().filter_map(|id| self.one(what, id)).collect();
        let links = json!({ "self": format!("{}/feeds/states/{what}", folder_path()) });
        Reply::json(200, &json!({ "items": items, "links": links }))
    }

    fn states_since(&self, query: &str) -> Reply {
        let since = query.split('&').find_map(|pair| pair.strip_prefix("since="));
        let since = since.map(|watermark| watermark.strip_prefix("kit.").and_then(|n| n.parse::<u64>().ok()));
        let Some(since) = since.unwrap_or(Some(0)) else {
            return Reply::problem(410, "watermark-unknown", "GPH-061");
        };
        let (mut ids, last): (Vec<(u64, String)>, u64) = {
            let world = lock(&self.world);
            let changed = world.states.iter().filter(|(_, (change, _))| *change > since);
            (changed.map(|(id, (change, _))| (*change, id.clone())).collect(), world.changes)
        };
        ids.sort();
        let items: Vec<Value> = ids.iter().filter_map(|(_, id)| self.one("entries", id)).collect();
        let links = json!({ "self": format!("{}/feeds/states/sync", folder_path()) });
        let watermark = format!("kit.{last}");
        Reply::json(200, &json!({ "items": items, "watermark": watermark, "more": false, "links": links }))
    }
}
