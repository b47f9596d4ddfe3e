//! The requirements of the specification, read from its documents.
//!
//! The documents are compiled in, so that a report can quote the sentence a check enforces. [`Catalog::parse`] is also
//! the linter of the specification: it returns every departure from the style of `spec/README.md` with file and line.

mod coverage;
mod parse;
mod set;

use std::fmt;
use std::sync::OnceLock;

use serde::Serialize;

pub use coverage::Coverage;
pub use parse::Problem;
pub use set::FrozenSet;

/// Version of the specification that this kit checks.
pub const SPEC_VERSION: &str = "0.1";

/// Every Markdown document of the specification: name and text. A test compares this list with the folder.
const DOCUMENTS: &[(&str, &str)] = &[
    ("README.md", include_str!("../../spec/README.md")),
    ("identity.md", include_str!("../../spec/identity.md")),
    ("ticket.md", include_str!("../../spec/ticket.md")),
    ("graph.md", include_str!("../../spec/graph.md")),
    ("handshake.md", include_str!("../../spec/handshake.md")),
    ("record.md", include_str!("../../spec/record.md")),
    ("relay.md", include_str!("../../spec/relay.md")),
    ("sync.md", include_str!("../../spec/sync.md")),
    ("storage.md", include_str!("../../spec/storage.md")),
    ("threats.md", include_str!("../../spec/threats.md")),
];

/// A part of the protocol. Each has one document and one prefix for its requirement ids.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Part {
    /// Signing people and devices in.
    Identity,
    /// The SAML ticket profile and the P2P predicate.
    Ticket,
    /// The resource graph.
    Graph,
    /// Mutual authentication and key exchange between devices.
    Handshake,
    /// Protection of data after the handshake.
    Record,
    /// Forwarding between devices that cannot connect.
    Relay,
    /// Synchronising folders.
    Sync,
    /// File bytes and quota in the cloud.
    Storage,
}

impl Part {
    /// All parts, in the order of `spec/README.md`.
    pub const ALL: [Part; 8] = [
        Part::Identity,
        Part::Ticket,
        Part::Graph,
        Part::Handshake,
        Part::Record,
        Part::Relay,
        Part::Sync,
        Part::Storage,
    ];

    /// The name used for documents and folders: `ticket`.
    pub fn name(self) -> &'static str {
        match self {
            Part::Identity => "identity",
            Part::Ticket => "ticket",
            Part::Graph => "graph",
            Part::Handshake => "handshake",
            Part::Record => "record",
            Part::Relay => "relay",
            Part::Sync => "sync",
            Part::Storage => "storage",
        }
    }

    /// The prefix of its requirement ids: `TKT`.
    pub fn prefix(self) -> &'static str {
        match self {
            Part::Identity => "IDN",
            Part::Ticket => "TKT",
            Part::Graph => "GPH",
            Part::Handshake => "HSK",
            Part::Record => "REC",
            Part::Relay => "RLY",
            Part::Sync => "SYN",
            Part::Storage => "STO",
        }
    }

    /// The part with this name.
    pub fn from_name(name: &str) -> Option<Part> {
        Part::ALL.into_iter().find(|part| part.name() == name)
    }

    /// The part a requirement id belongs to, by its prefix.
    pub fn of_requirement(id: &str) -> Option<Part> {
        let (prefix, _) = id.split_once('-')?;
        Part::ALL.into_iter().find(|part| part.prefix() == prefix)
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// How binding a requirement is: its RFC 2119 keyword.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Level {
    /// Breaking it is non-conformance.
    Must,
    /// Doing it is non-conformance.
    MustNot,
    /// Breaking it is reported as a warning.
    Should,
    /// Permission; nothing fails.
    May,
}

impl Level {
    /// Whether breaking it makes an implementation non-conformant.
    pub fn is_binding(self) -> bool {
        matches!(self, Level::Must | Level::MustNot)
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Level::Must => "MUST",
            Level::MustNot => "MUST NOT",
            Level::Should => "SHOULD",
            Level::May => "MAY",
        })
    }
}

/// One requirement: an id line of the specification with the block quote under it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Requirement {
    /// `TKT-014`.
    pub id: String,
    /// The part whose document states it.
    pub part: Part,
    /// Its keyword.
    pub level: Level,
    /// Who it binds: `relying service`.
    pub actor: String,
    /// The sentence, without id and error, as written (Markdown).
    pub sentence: String,
    /// The name of the error it demands; nothing for `Error: none.`
    pub error: Option<String>,
    /// The reason the document gives.
    pub why: Option<String>,
    /// Other lines of its block quote.
    pub note: Option<String>,
    /// Why nothing tests it.
    pub excluded: Option<String>,
    /// The document: `ticket.md`.
    pub document: String,
    /// The line of its id, from 1.
    pub line: usize,
}

/// The requirements of a set of documents, in document order.
#[derive(Clone, Debug, Default)]
pub struct Catalog {
    requirements: Vec<Requirement>,
    withdrawn: Vec<String>,
}

impl Catalog {
    /// The catalog of the specification this kit was built with.
    ///
    /// Lines that break the style are left out; a test of this crate sees to it that there are none.
    pub fn embedded() -> &'static Catalog {
        static CATALOG: OnceLock<Catalog> = OnceLock::new();
        CATALOG.get_or_init(|| Catalog::parse(DOCUMENTS).0)
    }

    /// Reads documents (name and text) and lints them. `README.md` has to be among them: it defines the actors.
    pub fn parse(documents: &[(&str, &str)]) -> (Catalog, Vec<Problem>) {
        parse::parse(documents)
    }

    /// The documents compiled in: name and text.
    pub fn documents() -> impl Iterator<Item = (&'static str, &'static str)> {
        DOCUMENTS.iter().copied()
    }

    /// Every departure of the compiled-in specification from its style.
    pub fn lint() -> Vec<Problem> {
        Catalog::parse(DOCUMENTS).1
    }

    /// All requirements, in document order.
    pub fn requirements(&self) -> &[Requirement] {
        &self.requirements
    }

    /// The requirement with this id.
    pub fn get(&self, id: &str) -> Option<&Requirement> {
        self.requirements.iter().find(|requirement| requirement.id == id)
    }

    /// The strongest level among the requirements a check cites, which is what its failure weighs. A check that cites
    /// nothing, such as a baseline, weighs as much as a MUST.
    pub fn level_of<'a>(&self, ids: impl IntoIterator<Item = &'a str>) -> Level {
        ids.into_iter().filter_map(|id| self.get(id)).map(|r| r.level).min().unwrap_or(Level::Must)
    }
}
