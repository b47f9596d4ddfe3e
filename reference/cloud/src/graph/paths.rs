//! The paths of nodes (`spec/graph.md`, section 3.1), as links and ticket resources spell them.

use meshproof_proto::codec::Id;
use meshproof_proto::storage::MediaHash;

pub(crate) const MESH: &str = "/mesh";
pub(crate) const DEVICES: &str = "/mesh/devices";
pub(crate) const FOLDERS: &str = "/mesh/objects";
pub(crate) const INVITATIONS: &str = "/mesh/invitations";
pub(crate) const CONTACTS: &str = "/contacts";
pub(crate) const PROFILE: &str = "/profile";

pub(crate) fn device(id: Id) -> String {
    format!("{DEVICES}/{id}")
}

pub(crate) fn folder(id: Id) -> String {
    format!("{FOLDERS}/{id}")
}

pub(crate) fn folder_ticket(folder: Id) -> String {
    format!("{FOLDERS}/{folder}/ticket")
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

/// Not a node itself: media are below it, named by their hash.
pub(crate) fn all_media(folder: Id) -> String {
    format!("{FOLDERS}/{folder}/media")
}

pub(crate) fn media(folder: Id, hash: MediaHash) -> String {
    format!("{FOLDERS}/{folder}/media/{hash}")
}
