//! The attribute statement: facts about devices and folders, one line of text each.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use crate::codec::{Id, hex, hex_array};

/// The facts of a ticket. All empty means that it has no attribute statement.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Attributes {
    /// Which device has which key.
    pub keys: Vec<KeyBinding>,
    /// Which device is claimed by which user.
    pub claims: Vec<Claim>,
    /// Which folder is mapped on which device.
    pub mappings: Vec<Mapping>,
}

impl Attributes {
    /// Whether there is no fact.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty() && self.claims.is_empty() && self.mappings.is_empty()
    }
}

/// This device has the key with this fingerprint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyBinding {
    /// The device.
    pub device: Id,
    /// `H(SPKI)`.
    pub fingerprint: [u8; 32],
}

/// This device is claimed by this user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Claim {
    /// The device.
    pub device: Id,
    /// Its user.
    pub user: Id,
}

/// This folder is mapped on this device, whose user has this role.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mapping {
    /// The folder.
    pub folder: Id,
    /// The device.
    pub device: Id,
    /// What the device's user may do in the folder.
    pub role: Role,
}

/// What a member may do in a folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// Look.
    Reader,
    /// Look and change.
    Contributor,
    /// All, and decide about members.
    Owner,
}

impl Role {
    /// The name in tickets and in the graph.
    pub fn name(self) -> &'static str {
        match self {
            Self::Reader => "reader",
            Self::Contributor => "contributor",
            Self::Owner => "owner",
        }
    }

    /// The role of this name.
    pub fn parse(name: &str) -> Option<Self> {
        [Self::Reader, Self::Contributor, Self::Owner].into_iter().find(|role| role.name() == name)
    }
}

/// A fact as the text of an attribute value.
pub(super) trait Value: Sized {
    fn parse(text: &str) -> Option<Self>;
    fn write(&self) -> String;
}

impl Value for KeyBinding {
    fn parse(text: &str) -> Option<Self> {
        let (device, fingerprint) = text.split_once(' ')?;
        Some(Self { device: Id::parse(device)?, fingerprint: hex_array(fingerprint)? })
    }

    fn write(&self) -> String {
        format!("{} {}", self.device, hex(&self.fingerprint))
    }
}

impl Value for Claim {
    fn parse(text: &str) -> Option<Self> {
        let (device, user) = text.split_once(' ')?;
        Some(Self { device: Id::parse(device)?, user: Id::parse(user)? })
    }

    fn write(&self) -> String {
        format!("{} {}", self.device, self.user)
    }
}

impl Value for Mapping {
    fn parse(text: &str) -> Option<Self> {
        let mut words = text.split(' ');
        let mut next = || words.next();
        let mapping =
            Self { folder: Id::parse(next()?)?, device: Id::parse(next()?)?, role: Role::parse(next()?)? };
        next().is_none().then_some(mapping)
    }

    fn write(&self) -> String {
        format!("{} {} {}", self.folder, self.device, self.role.name())
    }
}
