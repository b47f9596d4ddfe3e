//! Requests to the graph: paths, queries, bodies and preconditions, right and wrong, by who may and who may not.

use std::collections::BTreeSet;

use meshproof_kit::oracle::sync::name as portable_name;
use serde_json::{Map, Value, json};

use crate::cloud::{Answer, Ask, Cloud, authorization};
use crate::draw::Draw;

/// A member of a body: its name, whether it has to be there, and what it has to be: a text, a number, a boolean, a list, an object.
type Member = (&'static str, bool, char);

/// What can be asked for. `{f}` is a folder, `{e}` an entry, `{u}` a user, `{x}` an identifier that nothing has.
struct Route {
    method: &'static str,
    path: &'static str,
    /// Of what members its body has to be; none if it has no body.
    body: Option<&'static [Member]>,
    /// Whether it takes `limit`; other nodes need not mind a query (GPH-066).
    pages: bool,
}

const fn get(path: &'static str, pages: bool) -> Route {
    Route { method: "GET", path, body: None, pages }
}

const fn with(method: &'static str, path: &'static str, body: &'static [Member]) -> Route {
    Route { method, path, body: Some(body), pages: false }
}

const ENTRY: Route = with(
    "PUT",
    "{f}/feeds/files/entries/{e}",
    &[
        ("path", true, 't'),
        ("kind", true, 't'),
        ("size", false, 'n'),
        ("hash", false, 't'),
        ("version", true, 'o'),
        ("modified", false, 'n'),
        ("properties", false, 'o'),
    ],
);

const ROUTES: [Route; 24] = [
    ENTRY,
    ENTRY,
    ENTRY,
    get("{f}/feeds/files/entries/{e}", false),
    Route { method: "DELETE", path: "{f}/feeds/files/entries/{e}", body: None, pages: false },
    get("{f}/feeds/files/entries", true),
    get("{f}/feeds/files/sync", true),
    get("{f}", false),
    with("PATCH", "{f}", &[("name", false, 't'), ("storage", false, 't')]),
    get("{f}/members", true),
    with("PATCH", "{f}/members/{u}", &[("role", true, 't')]),
    get("{f}/invitations", true),
    with("POST", "{f}/invitations", &[("name", true, 't'), ("role", true, 't')]),
    get("{f}/news", true),
    get("{f}/wanted", false),
    get("{f}/writers", true),
    get("{f}/mappings", true),
    with("PUT", "{f}/mappings/{x}", &[]),
    get("/mesh", false),
    get("/mesh/objects", true),
    get("/mesh/devices/{x}", false),
    get("/contacts", true),
    with("PUT", "/contacts/carol", &[("blocked", true, 'b'), ("note", true, 't')]),
    with("PUT", "/profile", &[("display_name", true, 't'), ("about", true, 't')]),
];

const PATHS: [&str; 14] = [
    "a", "a/b", "a/../b", "/a", "a/", "..", "a//b", "CON", "a/com1.txt", "a:b", "u\u{308}", "x.", "a\u{1}b", "\u{df}",
];
const TEXTS: [&str; 10] = ["", "owner", "reader", "cloud", "p2p", "bob", "file", "directory", "a\nb", "\u{0}"];

/// Whether a request was granted.
pub fn graph(data: &[u8]) -> bool {
    let mut draw = Draw(data);
    let mut cloud = Cloud::get();
    let folder = cloud.folder();
    let mut run = Run { cloud: &cloud, folder: &folder, tags: Default::default(), written: BTreeSet::new() };
    let mut granted = false;
    for _ in 0..1 + draw.below(6) {
        granted |= run.step(&mut draw);
    }
    cloud.remove(&folder);
    granted
}

struct Run<'a> {
    cloud: &'a Cloud,
    folder: &'a (String, Vec<String>),
    /// Of the two entries, as they came.
    tags: [Option<String>; 2],
    /// Entries that are there, or were.
    written: BTreeSet<usize>,
}

impl Run<'_> {
    fn step(&mut self, draw: &mut Draw<'_>) -> bool {
        let route = draw.pick(&ROUTES);
        let entry = draw.below(2);
        let mut path = route.path.replace("{f}", &self.folder.0).replace("{u}", &self.cloud.user);
        path = path.replace("{e}", &format!("{:032x}", entry + 1)).replace("{x}", &"0d".repeat(16));
        let mut no_node = false;
        if draw.one_in(12) {
            let before = path.len();
            path += *draw.pick(&["0", "/", "/x", "%00", "%2e%2e", "%ff"]);
            no_node = path.len() > before && !route.path.starts_with("/contacts");
        }
        let query = self.query(draw, &mut path);

        let (who, tickets) = self.tickets(draw);
        let mut headers = vec![("content-type", b"application/json".to_vec())];
        headers.extend(tickets.map(|tickets| ("authorization", tickets)));
        let of_entry = route.path.ends_with("{e}");
        let mut matches = None;
        match draw.below(4) {
            0 | 1 => matches = self.tags[entry].clone().filter(|_| of_entry),
            2 => matches = Some((*draw.pick(&["*", "\"x\"", "W/\"x\"", "", "x"])).to_owned()),
            _ => {}
        }
        headers.extend(matches.as_ref().map(|tag| ("if-match", tag.as_bytes().to_vec())));

        let body = route.body.map(|members| self.body(draw, members)).unwrap_or_default();
        let wrong_body = route.body.is_some_and(|members| !has_form(&body, members));
        let shown = format!("{} {path} {}", route.method, String::from_utf8_lossy(&body));
        let wrong_path = path_of(&body).filter(|_| route.body.is_some_and(|members| members.len() == 7));
        let wrong_path = wrong_path.is_some_and(|path| !is_portable(&path));

        let answer = self.cloud.ask(Ask { method: route.method, path: &path, headers, body });
        answer.check();
        let refuse = |rule: &str, holds: bool| {
            assert!(!holds || !answer.is_success(), "{rule}: {who:?} was granted {shown}");
        };
        refuse("GPH-001", who == Who::Nobody);
        refuse("GPH-002", who == Who::Forger);
        refuse("GPH-003", who == Who::Stranger && route.path.starts_with("{f}"));
        refuse("GPH-004", no_node);
        refuse("GPH-006", wrong_body);
        refuse("GPH-012", of_entry && route.method != "GET" && self.written.contains(&entry) && matches.is_none());
        refuse("GPH-050", wrong_path);
        refuse("GPH-066", query == Query::Wrong && route.pages);
        if of_entry && !no_node && answer.is_success() {
            if route.method != "GET" {
                self.written.insert(entry);
            }
            self.tags[entry] = answer.header("etag").map(str::to_owned);
        }
        pages_agree(&answer);
        answer.is_success()
    }

    fn query(&self, draw: &mut Draw<'_>, path: &mut String) -> Query {
        const WRONG: [&str; 7] = ["limit=0", "limit=1001", "limit=-1", "limit=x", "limit=", "other=1", "limit=1&limit=2"];
        match draw.below(8) {
            0 => {
                path.push('?');
                *path += *draw.pick(&WRONG);
                Query::Wrong
            }
            1 => {
                *path += *draw.pick(&["?limit=1", "?limit=1000"]);
                Query::Right
            }
            _ => Query::Right,
        }
    }

    fn tickets(&self, draw: &mut Draw<'_>) -> (Who, Option<Vec<u8>>) {
        match draw.below(8) {
            0 => (Who::Nobody, None),
            1 => (Who::Stranger, Some(authorization(&self.cloud.bob))),
            2 => {
                let mut tickets = self.folder.1.clone();
                let at = draw.below(tickets.len());
                let mut changed = tickets[at].clone().into_bytes();
                draw.edit(&mut changed);
                let changed = String::from_utf8_lossy(&changed).into_owned();
                let is_other = changed != tickets[at] && changed.chars().all(|c| c.is_ascii_graphic() && c != ',');
                tickets[at] = changed;
                (if is_other { Who::Forger } else { Who::Somebody }, Some(authorization(&tickets)))
            }
            _ => (Who::Owner, Some(authorization(&self.folder.1))),
        }
    }

    fn body(&self, draw: &mut Draw<'_>, members: &[Member]) -> Vec<u8> {
        let mut body = Map::new();
        for (name, needed, kind) in members {
            if !needed && draw.one_in(2) && !["hash", "size"].contains(name) {
                continue;
            }
            let value = match (*name, kind) {
                ("path", _) => json!(if draw.one_in(3) { *draw.pick(&PATHS) } else { "a/b.txt" }),
                ("kind", _) => json!("file"),
                ("hash", _) => json!("4a".repeat(32)),
                ("version", _) => json!({ "0d".repeat(16): 1 }),
                ("role", _) => json!("reader"),
                ("storage", _) => json!("cloud"),
                ("name", _) => json!("bob"),
                (_, 't') => json!(*draw.pick(&TEXTS)),
                (_, 'n') => json!(u64::from(draw.byte())),
                (_, 'b') => json!(draw.one_in(2)),
                _ => json!({}),
            };
            body.insert((*name).to_owned(), value);
        }
        let names: Vec<String> = body.keys().cloned().collect();
        match draw.below(12) {
            0 => drop(body.insert("other".to_owned(), Value::Null)),
            1 if !names.is_empty() => drop(body.remove(draw.pick(&names))),
            2 if !names.is_empty() => {
                let odd = [Value::Null, json!(-1), json!(1.5), json!("x"), json!([]), json!({}), json!(true)];
                body.insert(draw.pick(&names).clone(), draw.pick(&odd).clone());
            }
            3 if !names.is_empty() => drop(body.insert(draw.pick(&names).clone(), json!(*draw.pick(&TEXTS)))),
            _ => {}
        }
        let mut text = Value::Object(body).to_string().into_bytes();
        if draw.one_in(8) {
            draw.edit(&mut text);
        }
        text
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Who {
    Nobody,
    Stranger,
    Forger,
    Somebody,
    Owner,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Query {
    Right,
    Wrong,
}

/// Whether these bytes are an object of these members (GPH-006).
fn has_form(body: &[u8], members: &[Member]) -> bool {
    let Ok(Value::Object(body)) = serde_json::from_slice::<Value>(body) else { return false };
    let is = |value: &Value, kind| match kind {
        't' => value.is_string(),
        'n' => value.is_u64(),
        'b' => value.is_boolean(),
        _ => value.is_object(),
    };
    body.keys().all(|name| members.iter().any(|(known, ..)| known == name))
        && members.iter().all(|(name, needed, kind)| body.get(*name).map_or(!needed, |value| is(value, *kind)))
}

fn path_of(body: &[u8]) -> Option<String> {
    serde_json::from_slice::<Value>(body).ok()?["path"].as_str().map(str::to_owned)
}

/// As the oracle has names; a path is of at most 4,096 bytes (SYN-010).
fn is_portable(path: &str) -> bool {
    path.len() <= 4_096 && path.split('/').all(|name| portable_name(name.as_bytes()).is_ok())
}

/// A page has no more than was asked for, and says where it goes on.
fn pages_agree(answer: &Answer) {
    let body: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
    if let Some(items) = body["items"].as_array() {
        assert!(items.len() <= 1_000, "a page of {} items", items.len());
    }
}
