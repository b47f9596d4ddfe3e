//! Folders and the files in them, read from the graph and written to it.
//!
//! An entry of the graph has a path of its own; directories are entries too, but a file may stand in one that has none.
//! Writers that do not know of each other may make two entries for one path: the first by identifier is shown.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::http::Method;
use axum::http::header::{IF_MATCH, LOCATION};
use meshproof_proto::codec::{Id, hex};
use meshproof_proto::sync::path::PortablePath;
use serde::Deserialize;
use serde_json::{Value, json};
use unicode_normalization::UnicodeNormalization as _;

use super::entries::Entries;
use super::failure::Failure;
use super::graph::{Call, Client, text};
use super::spool::Spooled;

/// The collection of a person's folders.
const FOLDERS: &str = "/mesh/objects";
/// How often a write is tried when somebody else was faster.
const TRIES: usize = 4;

/// A person, and the room that they have in the cloud, in bytes.
#[derive(Clone, Deserialize)]
pub(crate) struct Person {
    pub(crate) user: String,
    pub(crate) name: String,
    pub(crate) quota: u64,
    pub(crate) used: u64,
}

impl Person {
    /// Who the client acts for.
    pub(crate) async fn of(client: &Client) -> Result<Self, Failure> {
        serde_json::from_value(client.get("/mesh").await?.body).map_err(Failure::broken)
    }
}

/// A folder.
#[derive(Clone)]
pub(crate) struct Folder {
    pub(crate) id: String,
    pub(crate) name: String,
    /// Whether the cloud takes bytes; otherwise they stay on devices.
    pub(crate) in_cloud: bool,
    /// Whether only devices can read what is in it.
    pub(crate) encrypted: bool,
    /// The user who made it.
    pub(crate) creator: String,
    pub(crate) etag: String,
    links: Value,
}

impl Folder {
    /// All folders of a person, by name.
    pub(crate) async fn all(client: &Client) -> Result<Vec<Self>, Failure> {
        let items = client.list(FOLDERS).await?;
        let mut folders: Vec<Self> = items.iter().map(|item| Self::read(item, text(item, "etag"))).collect();
        folders.sort_by_cached_key(|folder| (folder.name.to_lowercase(), folder.id.clone()));
        Ok(folders)
    }

    /// One folder. What is no identifier is none.
    pub(crate) async fn open(client: &Client, id: &str) -> Result<Self, Failure> {
        Id::parse(id).ok_or_else(Failure::nothing_here)?;
        match client.get(&format!("{FOLDERS}/{id}")).await {
            Ok(answer) => Ok(Self::read(&answer.body, answer.etag())),
            Err(failure) if failure.is("not-authorised") => Err(Failure::nothing_here()), // GPH-003
            Err(failure) => Err(failure),
        }
    }

    /// Makes a folder; returns its identifier.
    pub(crate) async fn make(client: &Client, name: &str, in_cloud: bool) -> Result<String, Failure> {
        let body = json!({ "name": name, "storage": if in_cloud { "cloud" } else { "p2p" } });
        let answer = client.call(Call::new(Method::POST, FOLDERS).json(body)).await?;
        let location = answer.headers.get(LOCATION).and_then(|path| path.to_str().ok()).unwrap_or_default();
        Ok(location.rsplit('/').next().unwrap_or_default().to_owned())
    }

    /// Gives it another name.
    pub(crate) async fn rename(&self, client: &Client, name: &str) -> Result<(), Failure> {
        let call = Call::new(Method::PATCH, &self.link("self")).json(json!({ "name": name }));
        client.call(call.header(IF_MATCH, &self.etag)).await.map(drop)
    }

    /// Removes it with all that is in it.
    pub(crate) async fn remove(&self, client: &Client) -> Result<(), Failure> {
        let call = Call::new(Method::DELETE, &self.link("self"));
        client.call(call.header(IF_MATCH, &self.etag)).await.map(drop)
    }

    /// The path of a node below the folder, by the name of the link.
    pub(crate) fn link(&self, name: &str) -> String {
        match self.links[name].as_str() {
            Some(path) => path.into(),
            None => format!("{FOLDERS}/{}/{name}", self.id),
        }
    }

    /// The path of stored bytes.
    pub(crate) fn media(&self, hash: &str) -> String {
        format!("{}/{hash}", self.link("media"))
    }

    pub(crate) fn read(item: &Value, etag: String) -> Self {
        Self {
            id: text(item, "folder"),
            name: text(item, "name"),
            in_cloud: item["storage"] != "p2p",
            encrypted: item["encrypted"] == true,
            creator: text(item, "creator"),
            etag,
            links: item["links"].clone(),
        }
    }
}

/// An entry as the graph has it.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Entry {
    #[serde(rename = "entry")]
    pub(crate) id: String,
    pub(crate) path: String,
    kind: String,
    pub(crate) size: u64,
    pub(crate) hash: Option<String>,
    version: BTreeMap<String, u64>,
    pub(crate) modified: Option<u64>,
    pub(crate) properties: BTreeMap<String, String>,
    pub(crate) etag: String,
    pub(crate) deleted: bool,
}

impl Entry {
    pub(crate) fn is_directory(&self) -> bool {
        self.kind == "directory"
    }

    /// About how many bytes it takes: its path twice, as a key too.
    pub(crate) fn size_in_memory(&self) -> usize {
        let properties: usize = self.properties.iter().map(|(name, text)| 64 + name.len() + text.len()).sum();
        512 + 2 * self.path.len() + 64 * self.version.len() + properties
    }
}

/// What is shown under a name in a directory.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub(crate) path: String,
    /// `None`: a directory that only the files in it know of.
    pub(crate) entry: Option<Entry>,
    pub(crate) is_directory: bool,
}

impl Node {
    /// The last component of the path.
    pub(crate) fn name(&self) -> &str {
        self.path.rsplit('/').next().unwrap_or_default()
    }

    pub(crate) fn size(&self) -> u64 {
        self.entry.as_ref().map_or(0, |entry| entry.size)
    }
}

/// What an entry is to hold.
pub(crate) struct Content {
    kind: &'static str,
    size: u64,
    hash: Option<String>,
    pub(crate) modified: Option<u64>,
    pub(crate) properties: BTreeMap<String, String>,
}

impl Content {
    pub(crate) fn file(size: u64, hash: String, modified: u64) -> Self {
        let (kind, hash, modified) = ("file", Some(hash), Some(modified));
        Self { kind, size, hash, modified, properties: BTreeMap::new() }
    }

    pub(crate) fn directory(modified: u64) -> Self {
        let (kind, modified) = ("directory", Some(modified));
        Self { kind, size: 0, hash: None, modified, properties: BTreeMap::new() }
    }

    /// The same as that of an entry.
    pub(crate) fn of(entry: &Entry) -> Self {
        Self {
            kind: if entry.is_directory() { "directory" } else { "file" },
            size: entry.size,
            hash: entry.hash.clone(),
            modified: entry.modified,
            properties: entry.properties.clone(),
        }
    }
}

/// A folder with all its entries, as it was at one time, and who writes to it.
pub(crate) struct Tree {
    client: Client,
    pub(crate) folder: Folder,
    user: String,
    entries: Arc<Entries>,
}

impl Tree {
    /// `user` counts the changes in versions (as in GPH-053).
    pub(crate) async fn open(client: &Client, folder: Folder, user: &str) -> Result<Self, Failure> {
        if folder.encrypted {
            return Err(Failure::locked());
        }
        let mut tree = Self { client: client.clone(), folder, user: user.into(), entries: Arc::default() };
        tree.refresh().await?;
        Ok(tree)
    }

    /// Reads what changed.
    async fn refresh(&mut self) -> Result<(), Failure> {
        self.entries = self.client.entries(&self.folder.link("sync")).await?;
        Ok(())
    }

    /// What is at this path; `""` is the folder itself.
    pub(crate) fn node(&self, path: &str) -> Option<Node> {
        let entry = self.live(path).cloned();
        let is_directory = match &entry {
            Some(entry) => entry.is_directory(),
            None if path.is_empty() => true,
            None => self.below(path).next().is_some(),
        };
        (entry.is_some() || is_directory).then(|| Node { path: path.into(), entry, is_directory })
    }

    /// What is directly in a directory: directories first, then by name.
    pub(crate) fn children(&self, path: &str) -> Vec<Node> {
        let skip = if path.is_empty() { 0 } else { path.len() + 1 };
        let mut names: Vec<&str> = Vec::new();
        for entry in self.below(path) {
            let rest = &entry.path[skip..];
            let name = &entry.path[..skip + rest.find('/').unwrap_or(rest.len())];
            if names.last() != Some(&name) {
                names.push(name);
            }
        }
        names.sort_unstable();
        names.dedup();
        let mut nodes: Vec<Node> = names.into_iter().filter_map(|path| self.node(path)).collect();
        nodes.sort_by_cached_key(|node| (!node.is_directory, node.name().to_lowercase(), node.path.clone()));
        nodes
    }

    /// All that is there, below a directory.
    pub(crate) fn below<'a>(&'a self, path: &str) -> impl Iterator<Item = &'a Entry> + use<'a> {
        self.entries.starting_with(if path.is_empty() { String::new() } else { format!("{path}/") })
    }

    /// An entry by its identifier.
    pub(crate) fn by_id(&self, id: &str) -> Option<&Entry> {
        self.entries.by_id(id).filter(|entry| !entry.deleted)
    }

    /// A path near this one where nothing is: `a (2).txt` for `a.txt`.
    pub(crate) fn free_path(&self, path: &str) -> String {
        let (directory, name) =
            path.rsplit_once('/').map_or(("", path), |(directory, name)| (directory, name));
        let (stem, extension) = match name.rsplit_once('.') {
            Some((stem, extension)) if !stem.is_empty() => (stem, format!(".{extension}")),
            _ => (name, String::new()),
        };
        let numbered = (2..).map(|n| join(directory, &format!("{stem} ({n}){extension}")));
        let mut candidates = std::iter::once(path.to_owned()).chain(numbered);
        candidates.find(|path| self.node(path).is_none()).unwrap_or_default()
    }

    /// Sends bytes that the folder may not hold yet.
    pub(crate) async fn put_bytes(&self, file: &Spooled) -> Result<(), Failure> {
        let path = self.folder.media(&file.hash().to_string());
        self.client.call(Call::new(Method::PUT, &path).file(file.clone())).await.map(drop)
    }

    /// Makes the entry of this path, or gives it another content; there is only one to a path.
    pub(crate) async fn write(&mut self, path: &str, content: &Content) -> Result<(), Failure> {
        for _ in 1..TRIES {
            match self.try_write(path, content).await {
                // Somebody else wrote: this write comes after theirs.
                Err(failure) if failure.is("etag-mismatch") || failure.is("if-match-required") => {
                    self.refresh().await?;
                }
                done => return done,
            }
        }
        self.try_write(path, content).await
    }

    /// Removes what is at this path and below it.
    pub(crate) async fn remove(&mut self, path: &str) -> Result<(), Failure> {
        // What is deepest goes first, so that no directory goes before what is in it.
        let below = self.below(path).map(|entry| entry.path.clone());
        let mut paths: Vec<String> = below.chain([path.to_owned()]).collect();
        paths.sort_by_key(|path| std::cmp::Reverse(path.len()));
        for path in paths {
            while let Some(entry) = self.live(&path).cloned() {
                let call = Call::new(Method::DELETE, &self.entry_path(&entry.id));
                match self.client.call(call.header(IF_MATCH, &entry.etag)).await {
                    Err(failure) if !failure.is("entry-deleted") => return Err(failure),
                    _ => Arc::make_mut(&mut self.entries).remove(&entry.id),
                }
            }
        }
        Ok(())
    }

    /// Copies what is at `from`, and below it, to `to`, where nothing is. The bytes are there already.
    pub(crate) async fn copy(&mut self, from: &str, to: &str) -> Result<(), Failure> {
        if is_within(to, from) {
            return Err(Failure::unacceptable("A directory cannot be put into itself."));
        }
        let below: Vec<Entry> = self.below(from).cloned().collect();
        for entry in self.live(from).cloned().into_iter().chain(below) {
            let path = format!("{to}{}", &entry.path[from.len()..]);
            self.write(&path, &Content::of(&entry)).await?;
        }
        Ok(())
    }

    /// Moves. A rename is a new entry and a deletion (`spec/sync.md`, section 1), in this order: if it is cut short
    /// something is there twice, and nothing is lost.
    pub(crate) async fn rename(&mut self, from: &str, to: &str) -> Result<(), Failure> {
        self.copy(from, to).await?;
        self.remove(from).await
    }

    async fn try_write(&mut self, path: &str, content: &Content) -> Result<(), Failure> {
        let old = self.entries.at(path);
        let mut version = old.map(|old| old.version.clone()).unwrap_or_default();
        *version.entry(self.user.clone()).or_default() += 1;
        let id = old.map_or_else(|| self.new_id(path), |old| old.id.clone());
        let mut body = json!({ "path": path, "kind": content.kind, "version": version });
        if content.kind == "file" {
            body["size"] = content.size.into();
            body["hash"] = content.hash.clone().into();
        }
        if let Some(modified) = content.modified {
            body["modified"] = modified.into();
        }
        if !content.properties.is_empty() {
            body["properties"] = json!(content.properties);
        }
        let mut call = Call::new(Method::PUT, &self.entry_path(&id)).json(body);
        if let Some(old) = old {
            call = call.header(IF_MATCH, &old.etag);
        }
        let answer = self.client.call(call).await?;
        let etag = answer.etag();
        let entry: Entry = serde_json::from_value(answer.body).map_err(Failure::broken)?;
        Arc::make_mut(&mut self.entries).put(Entry { etag, ..entry });
        Ok(())
    }

    /// The same for all who come to this path, so that the second of two learns that there is a first; unless that
    /// entry went elsewhere.
    fn new_id(&self, path: &str) -> String {
        let name = format!("{}/{path}", self.folder.id);
        let derived = blake3::derive_key("meshproof desktop 2026 entry identifier", name.as_bytes());
        let id = hex(&derived[..16]);
        if self.entries.by_id(&id).is_some() { crate::state::new_id().to_string() } else { id }
    }

    fn live(&self, path: &str) -> Option<&Entry> {
        self.entries.at(path).filter(|entry| !entry.deleted)
    }

    fn entry_path(&self, id: &str) -> String {
        format!("{}/{id}", self.folder.link("entries"))
    }
}

/// A path of a directory and a name.
pub(crate) fn join(directory: &str, name: &str) -> String {
    if directory.is_empty() { name.into() } else { format!("{directory}/{name}") }
}

/// The directory of a path; `""` is the folder itself.
pub(crate) fn parent(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(directory, _)| directory)
}

/// A name as it is written in paths: in the one form of Unicode that they have (SYN-013).
///
/// # Errors
/// [`Failure::Refused`] if it is not one portable component.
pub(crate) fn component(name: &str) -> Result<String, Failure> {
    let name: String = name.nfc().collect();
    if name.contains('/') || PortablePath::parse(&name).is_err() {
        let status = axum::http::StatusCode::UNPROCESSABLE_ENTITY;
        return Err(Failure::Refused { status, error: "path-unacceptable".into() });
    }
    Ok(name)
}

/// Whether `path` is `directory`, or below it.
pub(crate) fn is_within(path: &str, directory: &str) -> bool {
    path.strip_prefix(directory).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}
