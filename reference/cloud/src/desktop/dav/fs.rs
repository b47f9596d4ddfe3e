//! The folders of a person as the file system that `dav-server` wants. One is made for each request.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::http::{Method, StatusCode};
use dav_server::davpath::DavPath;
use dav_server::fs::{
    DavDirEntry, DavFile, DavFileSystem, DavMetaData, DavProp, FsError, FsFuture, FsResult, FsStream,
    OpenOptions, ReadDirMeta,
};
use futures_util::FutureExt as _;
use futures_util::future::{BoxFuture, ready};
use futures_util::stream;
use tokio::sync::{Mutex, MutexGuard};
use unicode_normalization::UnicodeNormalization as _;

use super::file::{Reader, Writer};
use super::xml::is_flat;
use crate::desktop::failure::Failure;
use crate::desktop::files::{Content, Entry, Folder, Node, Person, Tree, component, is_within, parent};
use crate::desktop::graph::{Call, Client};
use crate::desktop::spool::{Spool, Spools};
use crate::extract::next_chunk;

/// The year 10000, in seconds since 1970: the dates of HTTP have four digits for a year, and who writes others panics.
const END_OF_DATES: u64 = 253_402_300_800;

/// A person's drive.
#[derive(Clone)]
pub(super) struct Drive(Arc<Inner>);

pub(super) struct Inner {
    pub(super) client: Client,
    person: Person,
    pub(super) spools: Spools,
    /// Held by who makes a folder: clients make one several times at once, and folders may have the same name.
    making: Arc<Mutex<()>>,
    /// Read when they are needed.
    seen: Mutex<Seen>,
}

/// What the request has read of the graph.
#[derive(Default)]
pub(super) struct Seen {
    /// By the name that they have in the drive.
    folders: Option<Vec<(String, Folder)>>,
    /// By the identifier of the folder.
    trees: HashMap<String, Tree>,
}

/// Where a path of the drive leads.
pub(super) enum Place {
    /// The list of folders.
    Root,
    /// A folder, by its name, or a path in it.
    Within { folder: String, path: String },
}

impl Drive {
    pub(super) fn new(client: Client, person: Person, spools: Spools, making: Arc<Mutex<()>>) -> Self {
        Self(Arc::new(Inner { client, person, spools, making, seen: Mutex::default() }))
    }
}

impl Inner {
    pub(super) async fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().await
    }

    async fn folders<'a>(&self, seen: &'a mut Seen) -> FsResult<&'a [(String, Folder)]> {
        if seen.folders.is_none() {
            seen.folders = Some(named(Folder::all(&self.client).await.map_err(refused)?, &self.person.user));
        }
        Ok(seen.folders.as_deref().unwrap_or_default())
    }

    /// The tree of a folder, by the folder's name.
    pub(super) async fn tree<'a>(&self, seen: &'a mut Seen, name: &str) -> FsResult<&'a mut Tree> {
        let folders = self.folders(seen).await?;
        let folder = folders.iter().find(|(known, _)| known == name).map(|(_, folder)| folder.clone());
        let folder = folder.ok_or(FsError::NotFound)?;
        let id = folder.id.clone();
        if !seen.trees.contains_key(&id) {
            let tree = Tree::open(&self.client, folder, &self.person.user).await.map_err(refused)?;
            seen.trees.insert(id.clone(), tree);
        }
        seen.trees.get_mut(&id).ok_or(FsError::GeneralFailure)
    }

    async fn node(&self, path: &DavPath) -> FsResult<Option<Node>> {
        let Place::Within { folder, path } = place(path)? else { return Ok(None) };
        let mut seen = self.seen().await;
        self.tree(&mut seen, &folder).await?.node(&path).ok_or(FsError::NotFound).map(Some)
    }

    async fn open(
        &self,
        inner: &Arc<Self>,
        path: &DavPath,
        options: OpenOptions,
    ) -> FsResult<Box<dyn DavFile>> {
        let Place::Within { folder, path } = place(path)? else { return Err(FsError::Forbidden) };
        let mut seen = self.seen().await;
        let tree = self.tree(&mut seen, &folder).await?;
        let node = tree.node(&path);
        if node.as_ref().is_some_and(|node| node.is_directory) {
            return Err(FsError::Forbidden);
        }
        if !options.write {
            let entry = node.and_then(|node| node.entry).ok_or(FsError::NotFound)?;
            let media = tree.folder.media(entry.hash.as_deref().unwrap_or_default());
            return Ok(Box::new(Reader::new(self.client.clone(), media, entry)));
        }
        match &node {
            Some(_) if options.create_new => return Err(FsError::Exists),
            None if !options.create && !options.create_new => return Err(FsError::NotFound),
            // Parts of files cannot be written: content is named by its hash.
            Some(_) if !options.truncate => return Err(FsError::NotImplemented),
            _ => {}
        }
        demand_directory(tree, parent(&path))?;
        checked(&path)?;
        let spool = Spool::new(&self.spools, &self.person).await.map_err(refused)?;
        drop(seen);
        let mut file = Writer::new(inner.clone(), folder, path, spool);
        if node.is_none() && !options.truncate {
            file.flush().await?; // a lock of what does not exist makes an empty file, and does not write to it
        }
        Ok(Box::new(file))
    }

    async fn create_dir(&self, path: &DavPath) -> FsResult<()> {
        let Place::Within { folder, path } = place(path)? else { return Err(FsError::Exists) };
        let mut seen = self.seen().await;
        if path.is_empty() {
            let _making = self.making.lock().await;
            seen.folders = None;
            if self.folders(&mut seen).await?.iter().any(|(known, _)| *known == folder) {
                return Err(FsError::Exists);
            }
            Folder::make(&self.client, &folder, true).await.map_err(refused)?;
            seen.folders = None;
            return Ok(());
        }
        let tree = self.tree(&mut seen, &folder).await?;
        if tree.node(&path).is_some() {
            return Err(FsError::Exists);
        }
        demand_directory(tree, parent(&path))?;
        checked(&path)?;
        tree.write(&path, &Content::directory(self.client.now().0)).await.map_err(refused)
    }

    /// Removes a file, or a directory with nothing in it. Folders are not removed by chance.
    async fn remove(&self, path: &DavPath, directory: bool) -> FsResult<()> {
        let Place::Within { folder, path } = place(path)? else { return Err(FsError::Forbidden) };
        if path.is_empty() {
            return Err(FsError::Forbidden);
        }
        let mut seen = self.seen().await;
        let tree = self.tree(&mut seen, &folder).await?;
        let Some(node) = tree.node(&path) else {
            // A directory that only its files knew of goes with the last of them.
            return if directory { Ok(()) } else { Err(FsError::NotFound) };
        };
        if node.is_directory != directory {
            return Err(FsError::Forbidden);
        }
        if directory && tree.below(&path).next().is_some() {
            return Err(FsError::Exists);
        }
        tree.remove(&path).await.map_err(refused)
    }

    async fn copy(&self, from: &DavPath, to: &DavPath, and_remove: bool) -> FsResult<()> {
        let (Place::Within { folder: source, path: from }, Place::Within { folder: target, path: to }) =
            (place(from)?, place(to)?)
        else {
            return Err(FsError::Forbidden);
        };
        if from.is_empty() || to.is_empty() || (source == target && is_within(&to, &from)) {
            return Err(FsError::Forbidden);
        }
        checked(&to)?;
        let mut seen = self.seen().await;
        let tree = self.tree(&mut seen, &source).await?;
        tree.node(&from).ok_or(FsError::NotFound)?;
        let own = tree.node(&from).and_then(|node| node.entry);
        let below = tree.below(&from).cloned();
        let entries: Vec<Entry> = own.into_iter().chain(below.collect::<Vec<_>>()).collect();
        let media = tree.folder.clone();
        for entry in entries {
            let path = format!("{to}{}", &entry.path[from.len()..]);
            let target = self.tree(&mut seen, &target).await?;
            demand_directory(target, parent(&path))?;
            if target.folder.id != media.id && !entry.is_directory() {
                // What one folder holds another does not: the bytes go over.
                let file = self.fetch(&media.media(entry.hash.as_deref().unwrap_or_default())).await?;
                target.put_bytes(&file).await.map_err(refused)?;
            }
            target.write(&path, &Content::of(&entry)).await.map_err(refused)?;
        }
        if and_remove {
            self.tree(&mut seen, &source).await?.remove(&from).await.map_err(refused)?;
        }
        Ok(())
    }

    async fn fetch(&self, media: &str) -> FsResult<crate::desktop::spool::Spooled> {
        let answer = self.client.open(Call::new(Method::GET, media)).await.map_err(refused)?;
        if !answer.status().is_success() {
            return Err(FsError::NotFound);
        }
        let mut spool = Spool::new(&self.spools, &self.person).await.map_err(refused)?;
        let mut body = answer.into_body();
        while let Some(piece) = next_chunk(&mut body, Duration::MAX).await {
            let piece = piece.map_err(|_| FsError::GeneralFailure)?;
            spool.write(&piece).await.map_err(refused)?;
        }
        spool.finish().await.map_err(refused)
    }

    async fn patch_props(
        &self,
        path: &DavPath,
        patch: Vec<(bool, DavProp)>,
    ) -> FsResult<Vec<(StatusCode, DavProp)>> {
        let Place::Within { folder, path } = place(path)? else { return Err(FsError::Forbidden) };
        let mut seen = self.seen().await;
        let tree = self.tree(&mut seen, &folder).await?;
        let node = tree.node(&path).filter(|_| !path.is_empty()).ok_or(FsError::Forbidden)?;
        let mut content =
            node.entry.as_ref().map_or_else(|| Content::directory(self.client.now().0), Content::of);
        let mut done = Vec::new();
        for (set, mut prop) in patch {
            let xml = prop.xml.take().and_then(|xml| String::from_utf8(xml).ok());
            match xml.filter(|_| set) {
                Some(xml) => drop(content.properties.insert(key(&prop), xml)),
                None => drop(content.properties.remove(&key(&prop))),
            }
            done.push((StatusCode::OK, prop));
        }
        tree.write(&path, &content).await.map_err(|failure| match failure {
            failure if failure.is("body-unacceptable") => FsError::InsufficientStorage, // too many
            failure => refused(failure),
        })?;
        Ok(done)
    }
}

impl DavFileSystem for Drive {
    fn open<'a>(&'a self, path: &'a DavPath, options: OpenOptions) -> FsFuture<'a, Box<dyn DavFile>> {
        self.0.open(&self.0, path, options).boxed()
    }

    fn read_dir<'a>(
        &'a self,
        path: &'a DavPath,
        _: ReadDirMeta,
    ) -> FsFuture<'a, FsStream<Box<dyn DavDirEntry>>> {
        async move {
            let mut seen = self.0.seen().await;
            let listed: Vec<Listed> = match place(path)? {
                Place::Root => {
                    let folders = self.0.folders(&mut seen).await?;
                    let listed =
                        |(name, _): &(String, Folder)| Listed { name: name.clone(), meta: Meta::FOLDER };
                    folders.iter().map(listed).collect()
                }
                Place::Within { folder, path } => {
                    let tree = self.0.tree(&mut seen, &folder).await?;
                    demand_directory(tree, &path)?;
                    let listed = |node: Node| Listed { name: node.name().into(), meta: Meta::of(&node) };
                    tree.children(&path).into_iter().map(listed).collect()
                }
            };
            let boxed = listed.into_iter().map(|listed| Ok(Box::new(listed) as Box<dyn DavDirEntry>));
            Ok(Box::pin(stream::iter(boxed)) as FsStream<_>)
        }
        .boxed()
    }

    fn metadata<'a>(&'a self, path: &'a DavPath) -> FsFuture<'a, Box<dyn DavMetaData>> {
        async move {
            let node = self.0.node(path).await?;
            Ok(Box::new(node.map_or(Meta::FOLDER, |node| Meta::of(&node))) as Box<dyn DavMetaData>)
        }
        .boxed()
    }

    fn create_dir<'a>(&'a self, path: &'a DavPath) -> FsFuture<'a, ()> {
        self.0.create_dir(path).boxed()
    }

    fn remove_dir<'a>(&'a self, path: &'a DavPath) -> FsFuture<'a, ()> {
        self.0.remove(path, true).boxed()
    }

    fn remove_file<'a>(&'a self, path: &'a DavPath) -> FsFuture<'a, ()> {
        self.0.remove(path, false).boxed()
    }

    fn rename<'a>(&'a self, from: &'a DavPath, to: &'a DavPath) -> FsFuture<'a, ()> {
        self.0.copy(from, to, true).boxed()
    }

    fn copy<'a>(&'a self, from: &'a DavPath, to: &'a DavPath) -> FsFuture<'a, ()> {
        // A directory is made, and what is in it copied, one by one.
        self.0.copy(from, to, false).boxed()
    }

    fn have_props<'a>(&'a self, path: &'a DavPath) -> BoxFuture<'a, bool> {
        // Folders themselves have no entry that could keep them.
        ready(matches!(place(path), Ok(Place::Within { path, .. }) if !path.is_empty())).boxed()
    }

    fn patch_props<'a>(
        &'a self,
        path: &'a DavPath,
        patch: Vec<(bool, DavProp)>,
    ) -> FsFuture<'a, Vec<(StatusCode, DavProp)>> {
        self.0.patch_props(path, patch).boxed()
    }

    fn get_props<'a>(&'a self, path: &'a DavPath, content: bool) -> FsFuture<'a, Vec<DavProp>> {
        async move {
            let entry = self.0.node(path).await?.and_then(|node| node.entry).unwrap_or_default();
            // Any member may have written them, and not by way of here.
            let flat = entry.properties.iter().filter(|(_, xml)| is_flat(xml.as_bytes()));
            Ok(flat.filter_map(|(key, xml)| prop(key, content.then_some(xml))).collect())
        }
        .boxed()
    }

    fn get_prop<'a>(&'a self, path: &'a DavPath, prop: DavProp) -> FsFuture<'a, Vec<u8>> {
        async move {
            let entry = self.0.node(path).await?.and_then(|node| node.entry).unwrap_or_default();
            let xml = entry.properties.get(&key(&prop)).filter(|xml| is_flat(xml.as_bytes()));
            let xml = xml.ok_or(FsError::NotFound)?;
            Ok(xml.clone().into_bytes())
        }
        .boxed()
    }

    fn get_quota(&self) -> FsFuture<'_, (u64, Option<u64>)> {
        ready(Ok((self.0.person.used, Some(self.0.person.quota)))).boxed()
    }
}

/// Size, time and tag of a file or directory.
#[derive(Clone, Debug)]
pub(super) struct Meta {
    length: u64,
    is_directory: bool,
    modified: Option<u64>,
    etag: Option<String>,
}

impl Meta {
    /// A folder, or the list of them.
    const FOLDER: Self = Self { length: 0, is_directory: true, modified: None, etag: None };

    fn of(node: &Node) -> Self {
        let blank = Self { is_directory: node.is_directory, ..Self::FOLDER };
        node.entry.as_ref().map_or(blank, Self::of_entry)
    }

    pub(super) fn of_entry(entry: &Entry) -> Self {
        Self {
            length: entry.size,
            is_directory: entry.is_directory(),
            modified: entry.modified,
            etag: Some(entry.etag.trim_matches('"').into()),
        }
    }
}

impl DavMetaData for Meta {
    fn len(&self) -> u64 {
        self.length
    }

    fn modified(&self) -> FsResult<SystemTime> {
        let seconds = self.modified.filter(|seconds| *seconds < END_OF_DATES);
        let time = seconds.and_then(|seconds| UNIX_EPOCH.checked_add(Duration::from_secs(seconds)));
        time.ok_or(FsError::NotImplemented)
    }

    fn is_dir(&self) -> bool {
        self.is_directory
    }

    fn etag(&self) -> Option<String> {
        self.etag.clone()
    }
}

/// A name in a directory.
struct Listed {
    name: String,
    meta: Meta,
}

impl DavDirEntry for Listed {
    fn name(&self) -> Vec<u8> {
        self.name.clone().into_bytes()
    }

    fn metadata(&self) -> FsFuture<'_, Box<dyn DavMetaData>> {
        ready(Ok(Box::new(self.meta.clone()) as Box<dyn DavMetaData>)).boxed()
    }
}

fn place(path: &DavPath) -> FsResult<Place> {
    let text = std::str::from_utf8(path.as_bytes()).map_err(|_| FsError::NotFound)?;
    let text: String = text.nfc().collect();
    let text = text.trim_matches('/');
    match text.split_once('/') {
        _ if text.is_empty() => Ok(Place::Root),
        None => Ok(Place::Within { folder: text.into(), path: String::new() }),
        Some((folder, path)) => Ok(Place::Within { folder: folder.into(), path: path.into() }),
    }
}

/// Gives each folder a name that can be a segment, and that no other folder has. Of several with one name the first by
/// identifier keeps it, one that the person made before those of others: else whoever shares a folder could give it the
/// name of a private one, and get what is written there.
fn named(folders: Vec<Folder>, person: &str) -> Vec<(String, Folder)> {
    let mut named: Vec<(String, Folder)> = Vec::new();
    let mut folders = folders;
    folders.sort_by_cached_key(|folder| (folder.creator != person, folder.id.clone()));
    for folder in folders {
        let name: String = folder.name.replace('/', "_").nfc().collect();
        let is_taken = matches!(name.as_str(), "." | "..") || named.iter().any(|(known, _)| *known == name);
        let id: String = folder.id.chars().take(8).collect();
        named.push((if is_taken { format!("{name} ({id})") } else { name }, folder));
    }
    named
}

fn demand_directory(tree: &Tree, path: &str) -> FsResult<()> {
    let is_directory = tree.node(path).is_some_and(|node| node.is_directory);
    if is_directory { Ok(()) } else { Err(FsError::NotFound) }
}

/// The last component has to be a name that every device can have.
fn checked(path: &str) -> FsResult<()> {
    component(path.rsplit('/').next().unwrap_or_default()).map(drop).map_err(refused)
}

/// The name under which an entry keeps a property.
fn key(prop: &DavProp) -> String {
    format!("{{{}}}{}", prop.namespace.as_deref().unwrap_or_default(), prop.name)
}

/// A property, by the name under which it is kept. What has another form is not one.
fn prop(key: &str, xml: Option<&String>) -> Option<DavProp> {
    let (namespace, name) = key.strip_prefix('{')?.rsplit_once('}')?;
    let namespace = Some(namespace).filter(|namespace| !namespace.is_empty()).map(Into::into);
    Some(DavProp { name: name.into(), prefix: None, namespace, xml: xml.map(|xml| xml.clone().into_bytes()) })
}

#[allow(clippy::needless_pass_by_value)] // for `map_err`
pub(super) fn refused(failure: Failure) -> FsError {
    match failure.status() {
        StatusCode::INSUFFICIENT_STORAGE => FsError::InsufficientStorage,
        StatusCode::NOT_FOUND | StatusCode::GONE => FsError::NotFound,
        status if status.is_client_error() => FsError::Forbidden,
        _ => FsError::GeneralFailure,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn folders_of_others_take_no_names() {
        let folder = |id: &str, creator: &str| {
            Folder::read(&json!({ "folder": id, "name": "Photos", "creator": creator }), String::new())
        };
        let named = named(vec![folder("1", "bob"), folder("2", "ann"), folder("3", "ann")], "ann");
        let names: Vec<_> = named.iter().map(|(name, folder)| (name.as_str(), folder.id.as_str())).collect();
        assert_eq!(names, [("Photos", "2"), ("Photos (3)", "3"), ("Photos (1)", "1")]);
    }

    #[test]
    fn times_that_http_cannot_write() {
        let at = |modified| Meta { modified: Some(modified), ..Meta::FOLDER }.modified();
        assert!(at(END_OF_DATES - 1).is_ok());
        assert!(at(END_OF_DATES).is_err() && at(u64::MAX).is_err());
    }
}
