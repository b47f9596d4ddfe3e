//! Requests to the graph: paths, queries, bodies and preconditions, right and wrong, by who may and who may not; and
//! which rules each breaks, so that it must not be granted.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use super::Draw;
use crate::oracle::sync;

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
    "a",
    "a/b",
    "a/../b",
    "/a",
    "a/",
    "..",
    "a//b",
    "CON",
    "a/com1.txt",
    "a:b",
    "u\u{308}",
    "x.",
    "a\u{1}b",
    "\u{df}",
];
const TEXTS: [&str; 10] =
    ["", "owner", "reader", "cloud", "p2p", "bob", "file", "directory", "a\nb", "\u{0}"];

/// A folder, and who may or may not ask for it.
pub struct Place<'a> {
    /// Its path.
    pub path: &'a str,
    /// Its owner's tickets.
    pub tickets: &'a [String],
    /// Of these the ones that were there before the folder was.
    pub before: &'a [String],
    /// The owner.
    pub user: &'a str,
    /// Tickets of somebody who is no member.
    pub stranger: &'a [String],
}

/// What was written in the folder so far.
#[derive(Default)]
pub struct History {
    /// Of the two entries, as they came.
    tags: [Option<String>; 2],
    /// Entries that are there, or were.
    written: BTreeSet<usize>,
}

/// A request.
pub struct Plan {
    /// The method.
    pub method: &'static str,
    /// Path and query.
    pub path: String,
    /// The field `Authorization`.
    pub authorization: Option<String>,
    /// The field `If-Match`.
    pub if_match: Option<String>,
    /// JSON, or nearly.
    pub body: Vec<u8>,
    /// The rules that it breaks: it must not be granted.
    pub breaks: Vec<&'static str>,
    /// The entry that it is for.
    entry: Option<usize>,
}

/// A request to this folder, or beside it.
pub fn request(draw: &mut Draw<'_>, place: &Place<'_>, history: &History) -> Plan {
    let route = draw.pick(&ROUTES);
    let entry = draw.below(2);
    let mut breaks = Vec::new();
    let mut path = route.path.replace("{f}", place.path).replace("{u}", place.user);
    path = path.replace("{e}", &format!("{:032x}", entry + 1)).replace("{x}", &"0d".repeat(16));
    let mut is_node = true;
    if draw.one_in(12) {
        path += *draw.pick(&["0", "/", "/x", "%00", "%2e%2e", "%ff"]);
        is_node = false;
        // A contact may have any name.
        breaks.extend((!route.path.starts_with("/contacts")).then_some("GPH-004"));
    }
    breaks.extend((query(draw, &mut path) && route.pages).then_some("GPH-066"));
    let (authorization, rule) = tickets(draw, place);
    // What is not in the folder, a stranger may have too, and nobody needs a ticket of the folder for it.
    breaks
        .extend(rule.filter(|rule| !["GPH-002", "GPH-003"].contains(rule) || route.path.starts_with("{f}")));

    let of_entry = route.path.ends_with("{e}");
    let if_match = match draw.below(4) {
        0 | 1 => history.tags[entry].clone().filter(|_| of_entry),
        2 => Some((*draw.pick(&["*", "\"x\"", "W/\"x\"", "", "x"])).to_owned()),
        _ => None,
    };
    let unguarded =
        of_entry && route.method != "GET" && history.written.contains(&entry) && if_match.is_none();
    breaks.extend(unguarded.then_some("GPH-012"));

    let body = route.body.map(|members| body(draw, members)).unwrap_or_default();
    if let Some(members) = route.body {
        breaks.extend((!has_form(&body, members)).then_some("GPH-006"));
        let is_wrong = members.len() == 7 && path_of(&body).is_some_and(|path| !is_portable(&path));
        breaks.extend(is_wrong.then_some("GPH-050"));
    }
    let entry = (of_entry && is_node).then_some(entry);
    Plan { method: route.method, path, authorization, if_match, body, breaks, entry }
}

impl History {
    /// What the answer to a request says.
    pub fn heard(&mut self, plan: &Plan, status: u16, etag: Option<&str>) {
        let Some(entry) = plan.entry.filter(|_| (200..300).contains(&status)) else { return };
        if plan.method != "GET" {
            self.written.insert(entry);
        }
        self.tags[entry] = etag.map(str::to_owned);
    }
}

/// What is wrong with an answer: the service failed, a refusal names no rule (GPH-008), or something was granted that must
/// not be.
pub fn judge(plan: &Plan, status: u16, body: &[u8]) -> Result<(), String> {
    let text = String::from_utf8_lossy(body);
    if status >= 500 && status != 507 {
        return Err(format!("the service failed: {status} {text}"));
    }
    if (200..300).contains(&status) && !plan.breaks.is_empty() {
        let asked = String::from_utf8_lossy(&plan.body);
        return Err(format!(
            "{} {} {asked} was granted, and breaks {}",
            plan.method,
            plan.path,
            plan.breaks.join(", ")
        ));
    }
    if status > 400 {
        let problem: Value = serde_json::from_slice(body).unwrap_or_default();
        let rule = problem["requirement"].as_str().unwrap_or_default();
        let is_rule = rule.len() == 7 && rule.is_ascii() && rule.as_bytes()[3] == b'-';
        if !is_rule || problem["status"] != status {
            return Err(format!("{status} without a problem document that names a rule (GPH-008): {text}"));
        }
    }
    Ok(())
}

/// Whether a query was added that no node of pages takes.
fn query(draw: &mut Draw<'_>, path: &mut String) -> bool {
    const WRONG: [&str; 7] =
        ["limit=0", "limit=1001", "limit=-1", "limit=x", "limit=", "other=1", "limit=1&limit=2"];
    match draw.below(8) {
        0 => {
            path.push('?');
            *path += *draw.pick(&WRONG);
            true
        }
        1 => {
            *path += *draw.pick(&["?limit=1", "?limit=1000"]);
            false
        }
        _ => false,
    }
}

/// The field `Authorization`, and the rule that it breaks.
fn tickets(draw: &mut Draw<'_>, place: &Place<'_>) -> (Option<String>, Option<&'static str>) {
    let set = |tickets: &[String]| Some(format!("MeshTicket {}", tickets.join(",")));
    match draw.below(8) {
        0 => (None, Some("GPH-001")),
        1 => (set(place.stranger), Some("GPH-003")),
        2 => {
            let mut tickets = place.tickets.to_vec();
            let at = draw.below(tickets.len());
            let mut changed = tickets[at].clone().into_bytes();
            draw.edit(&mut changed);
            let changed = String::from_utf8_lossy(&changed).into_owned();
            let is_other =
                changed != tickets[at] && changed.chars().all(|c| c.is_ascii_graphic() && c != ',');
            if !changed.chars().all(|c| c.is_ascii_graphic()) {
                return (set(&tickets), None); // no client sends it
            }
            tickets[at] = changed;
            (set(&tickets), is_other.then_some("TKT-031"))
        }
        3 if draw.one_in(2) => (set(place.before), Some("GPH-002")),
        _ => (set(place.tickets), None),
    }
}

fn body(draw: &mut Draw<'_>, members: &[Member]) -> Vec<u8> {
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
        && members
            .iter()
            .all(|(name, needed, kind)| body.get(*name).map_or(!needed, |value| is(value, *kind)))
}

fn path_of(body: &[u8]) -> Option<String> {
    serde_json::from_slice::<Value>(body).ok()?["path"].as_str().map(str::to_owned)
}

/// As the oracle has names; a path is of at most 4,096 bytes (SYN-010).
fn is_portable(path: &str) -> bool {
    path.len() <= 4_096 && path.split('/').all(|name| sync::name(name.as_bytes()).is_ok())
}
