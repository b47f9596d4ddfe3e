//! The paths of nodes (`spec/graph.md`, section 3.1), as links and ticket resources spell them.

use meshproof_proto::codec::Id;
use meshproof_proto::storage::MediaHash;

pub(crate) const OPENAPI: &str = "/openapi.yaml";
pub(crate) const MESH: &str = "/mesh";
pub(crate) const DEVICES: &str = "/mesh/devices";
pub(crate) const FOLDERS: &str = "/mesh/objects";
pub(crate) const QUEUES: &str = "/mesh/queues";
pub(crate) const INVITATIONS: &str = "/mesh/invitations";
pub(crate) const CONTACTS: &str = "/contacts";
pub(crate) const PROFILE: &str = "/profile";
pub(crate) const NEWS: &str = "/mesh/news";
pub(crate) const RELAYS: &str = "/mesh/relays";
pub(crate) const BATCH: &str = "/mesh/batch";

pub(crate) fn device(id: Id) -> String {
    format!("{DEVICES}/{id}")
}

pub(crate) fn folder(id: Id) -> String {
    format!("{FOLDERS}/{id}")
}

pub(crate) fn endpoints(device: Id) -> String {
    format!("{DEVICES}/{device}/endpoints")
}

pub(crate) fn pair(device: Id) -> String {
    format!("{DEVICES}/{device}/pair")
}

pub(crate) fn rendezvous(device: Id) -> String {
    format!("{DEVICES}/{device}/rendezvous")
}

pub(crate) fn queue(id: Id) -> String {
    format!("{QUEUES}/{id}")
}

pub(crate) fn subscriptions(queue: Id) -> String {
    format!("{QUEUES}/{queue}/subscriptions")
}

pub(crate) fn folder_ticket(folder: Id) -> String {
    format!("{FOLDERS}/{folder}/ticket")
}

/// On the side of who is invited.
pub(crate) fn invitation(id: Id) -> String {
    format!("{INVITATIONS}/{id}")
}

pub(crate) fn invitations(folder: Id) -> String {
    format!("{FOLDERS}/{folder}/invitations")
}

pub(crate) fn contact(name: &str) -> String {
    format!("{CONTACTS}/{name}")
}

pub(crate) fn profile_of(user: Id) -> String {
    format!("/profiles/{user}")
}

pub(crate) fn members(folder: Id) -> String {
    format!("{FOLDERS}/{folder}/members")
}

pub(crate) fn mappings(folder: Id) -> String {
    format!("{FOLDERS}/{folder}/mappings")
}

pub(crate) fn entries(folder: Id) -> String {
    format!("{FOLDERS}/{folder}/feeds/files/entries")
}

/// The key record (GPH-200).
pub(crate) fn key(folder: Id) -> String {
    format!("{FOLDERS}/{folder}/key")
}

/// Whose changes devices believe (GPH-151).
pub(crate) fn writers(folder: Id) -> String {
    format!("{FOLDERS}/{folder}/writers")
}

pub(crate) fn member(folder: Id, user: Id) -> String {
    format!("{}/{user}", members(folder))
}

pub(crate) fn mapping(folder: Id, device: Id) -> String {
    format!("{}/{device}", mappings(folder))
}

pub(crate) fn entry(folder: Id, entry: Id) -> String {
    format!("{}/{entry}", entries(folder))
}

/// What changed of the entries (GPH-060).
pub(crate) fn sync(folder: Id) -> String {
    format!("{FOLDERS}/{folder}/feeds/files/sync")
}

/// What devices sign of the entries (GPH-180).
pub(crate) fn states(folder: Id) -> String {
    format!("{FOLDERS}/{folder}/feeds/states/entries")
}

pub(crate) fn state(folder: Id, entry: Id) -> String {
    format!("{}/{entry}", states(folder))
}

/// What changed of that (GPH-181).
pub(crate) fn states_sync(folder: Id) -> String {
    format!("{FOLDERS}/{folder}/feeds/states/sync")
}

/// How far the writers of a folder say that they have come.
pub(crate) fn heads(folder: Id) -> String {
    format!("{FOLDERS}/{folder}/feeds/states/heads")
}

pub(crate) fn head(folder: Id, device: Id) -> String {
    format!("{}/{device}", heads(folder))
}

/// Which devices that have the folder can be reached, and where (GPH-081).
pub(crate) fn presence(folder: Id) -> String {
    format!("{FOLDERS}/{folder}/presence")
}

/// What was done in the folder, for people (GPH-064).
pub(crate) fn news(folder: Id) -> String {
    format!("{FOLDERS}/{folder}/news")
}

/// Not a node itself: media are below it, named by their hash.
pub(crate) fn all_media(folder: Id) -> String {
    format!("{FOLDERS}/{folder}/media")
}

pub(crate) fn media(folder: Id, hash: MediaHash) -> String {
    format!("{FOLDERS}/{folder}/media/{hash}")
}

pub(crate) fn wanted(folder: Id) -> String {
    format!("{FOLDERS}/{folder}/wanted")
}

pub(crate) fn uploads(folder: Id) -> String {
    format!("{FOLDERS}/{folder}/uploads")
}
