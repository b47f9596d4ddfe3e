//! The attribute statement: facts about devices and folders, one line of text each.

use alloc::vec::Vec;
use core::fmt;
use core::str::FromStr;

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

/// The text is no fact of this kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotAFact;

impl FromStr for KeyBinding {
    type Err = NotAFact;

    fn from_str(text: &str) -> Result<Self, NotAFact> {
        let [device, fingerprint] = words(text)?;
        Ok(Self { device: id(device)?, fingerprint: hex_array(fingerprint).ok_or(NotAFact)? })
    }
}

impl fmt::Display for KeyBinding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.device, hex(&self.fingerprint))
    }
}

impl FromStr for Claim {
    type Err = NotAFact;

    fn from_str(text: &str) -> Result<Self, NotAFact> {
        let [device, user] = words(text)?;
        Ok(Self { device: id(device)?, user: id(user)? })
    }
}

impl fmt::Display for Claim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.device, self.user)
    }
}

impl FromStr for Mapping {
    type Err = NotAFact;

    fn from_str(text: &str) -> Result<Self, NotAFact> {
        let [folder, device, role] = words(text)?;
        Ok(Self { folder: id(folder)?, device: id(device)?, role: Role::parse(role).ok_or(NotAFact)? })
    }
}

impl fmt::Display for Mapping {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.folder, self.device, self.role.name())
    }
}

/// Exactly `N` words with one space between them.
fn words<const N: usize>(text: &str) -> Result<[&str; N], NotAFact> {
    let (mut words, mut split) = ([""; N], text.split(' '));
    for word in &mut words {
        *word = split.next().ok_or(NotAFact)?;
    }
    if split.next().is_none() { Ok(words) } else { Err(NotAFact) }
}

fn id(text: &str) -> Result<Id, NotAFact> {
    Id::parse(text).ok_or(NotAFact)
}
