//! Portable names and paths (`spec/sync.md`, section 4.2): what every file system can hold, and what leaves no folder.

use alloc::format;
use alloc::string::{String, ToString};

use super::entry::Stamp;
use super::unicode;
use crate::error::Error;
use crate::requirement::{self as req, demand};

const MAX_PATH: usize = 4_096;
const MAX_COMPONENT: usize = 255;
/// What is longer behind the last dot is no extension that a conflict name keeps.
const MAX_EXTENSION: usize = 32;

/// The name of an entry: a component of a path that broke none of SYN-010 to SYN-014.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name(String);

impl Name {
    /// Checks the rules.
    pub fn parse(name: &str) -> Result<Self, Error> {
        demand(!matches!(name, "" | "." | "..") && !name.contains('/'), req::SYN_010)?;
        demand(name.len() <= MAX_COMPONENT, req::SYN_011)?;
        demand(!name.contains(unportable), req::SYN_012)?;
        demand(unicode::is_composed(name), req::SYN_013)?;
        demand(!reserved(name), req::SYN_014)?;
        Ok(Self(name.into()))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What names have in common that some file system takes for the same.
    pub fn folded(&self) -> String {
        unicode::fold(&self.0)
    }

    /// The name of the `attempt`th choice, from 1, for what has to make room: marked with a change, before the last dot.
    /// The stem is shortened until the name is portable.
    #[must_use]
    pub fn marked(&self, stamp: Stamp, attempt: usize) -> Self {
        let (stem, mark, extension) = self.pieces(stamp, attempt);
        Self(format!("{stem}{mark}{extension}"))
    }

    /// What decides, beside the number, how the choices fold whose numbers have as many digits as this one. A stem is shortened by
    /// what the mark takes, not by what it says, and no character joins with the begin of a mark or an extension.
    pub(super) fn family(&self, stamp: Stamp, attempt: usize) -> Family {
        let (stem, mark, extension) = self.pieces(stamp, attempt);
        Family(unicode::fold(stem), mark, unicode::fold(extension))
    }

    /// What stays of the stem, the mark, and the extension with its dot.
    fn pieces(&self, stamp: Stamp, attempt: usize) -> (&str, String, &str) {
        let writer: String = stamp.writer.to_string().chars().take(8).collect();
        let again = if attempt > 1 { format!(" {attempt}") } else { String::new() };
        let mark = format!(" (conflict {writer} {}{again})", stamp.lamport);
        let dot = self.0.rfind('.').filter(|dot| *dot > 0 && self.0.len() - dot - 1 <= MAX_EXTENSION);
        let (stem, extension) = self.0.split_at(dot.unwrap_or(self.0.len()));
        let portable = |stem: &&str| Self::parse(&format!("{stem}{mark}{extension}")).is_ok();
        match (0..=stem.len()).rev().filter_map(|end| stem.get(..end)).find(portable) {
            Some(stem) => (stem, mark, extension),
            // A stem of nothing: what is left is portable, for the extension was.
            None => ("", mark.trim_start().into(), extension),
        }
    }
}

/// The choices of names that fold to the same where they have the same number: see [`Name::family`].
#[derive(PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Family(String, String, String);

impl core::fmt::Display for Name {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(&self.0)
    }
}

/// A relative path with components joined by `/`, that broke none of SYN-010 to SYN-014.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PortablePath(String);

impl PortablePath {
    /// Checks the rules.
    pub fn parse(path: &str) -> Result<Self, Error> {
        let traverses = |c: &str| matches!(c, "" | "." | "..");
        demand(path.len() <= MAX_PATH && !path.split('/').any(traverses), req::SYN_010)?;
        demand(path.split('/').all(|c| c.len() <= MAX_COMPONENT), req::SYN_011)?;
        demand(!path.contains(unportable), req::SYN_012)?;
        demand(unicode::is_composed(path), req::SYN_013)?;
        demand(!path.split('/').any(reserved), req::SYN_014)?;
        Ok(Self(path.into()))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// This path and a name below it, if that is not too long (SYN-010).
    pub fn join(parent: Option<&Self>, name: &Name) -> Option<Self> {
        let path = parent.map_or_else(|| name.0.clone(), |parent| format!("{}/{name}", parent.0));
        (path.len() <= MAX_PATH).then_some(Self(path))
    }

    /// The path above, if there is one, and the last component.
    pub fn split(&self) -> (Option<Self>, Name) {
        match self.0.rsplit_once('/') {
            Some((parent, name)) => (Some(Self(parent.into())), Name(name.into())),
            None => (None, Name(self.0.clone())),
        }
    }

    /// The components, at least one.
    pub fn components(&self) -> impl Iterator<Item = &str> {
        self.0.split('/')
    }
}

impl core::fmt::Display for PortablePath {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(&self.0)
    }
}

fn unportable(c: char) -> bool {
    c.is_control() || matches!(c, '\\' | ':' | '*' | '?' | '"' | '<' | '>' | '|')
}

fn reserved(component: &str) -> bool {
    let stem = component.split('.').next().unwrap_or_default().trim_end_matches(' ');
    let device = |name: &str| stem.eq_ignore_ascii_case(name);
    let numbered = |prefix: &str| {
        let digit = stem.get(prefix.len()..).and_then(|rest| rest.parse().ok());
        let digit = digit.is_some_and(|c: char| matches!(c, '1'..='9' | '¹' | '²' | '³'));
        digit && stem.get(..prefix.len()).is_some_and(|p| p.eq_ignore_ascii_case(prefix))
    };
    component.ends_with(['.', ' '])
        || ["CON", "PRN", "AUX", "NUL", "CONIN$", "CONOUT$"].into_iter().any(device)
        || ["COM", "LPT"].into_iter().any(numbered)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules() {
        let broken = |path: &str| PortablePath::parse(path).err().and_then(|e| e.requirement()).map(|r| r.id);
        for good in [
            "a", "a/b.txt", "…/ü", ".hidden", "console", "COM", "com10", "a b", "lpt/x", "com⁴", "conin",
            " con",
        ] {
            assert_eq!(broken(good), None, "{good}");
        }
        for traversal in ["", "/a", "a/", "a//b", ".", "..", "a/../b", "a/./b"] {
            assert_eq!(broken(traversal), Some("SYN-010"), "{traversal}");
        }
        assert_eq!(broken(&"a/".repeat(2_048)[..4_095]), None);
        assert_eq!(broken(&"a/".repeat(2_049)[..4_097]), Some("SYN-010"));
        assert_eq!(broken(&"x".repeat(256)), Some("SYN-011"));
        for character in ["a\\b", "a:b", "a\nb", "a\u{7f}", "a\u{85}"] {
            assert_eq!(broken(character), Some("SYN-012"), "{character}");
        }
        assert_eq!(broken("u\u{308}"), Some("SYN-013"));
        for name in ["a.", "a ", "con", "Aux.txt", "x/lpt9", "COM1.tar.gz", "nul .txt", "com²", "CONOUT$"] {
            assert_eq!(broken(name), Some("SYN-014"), "{name}");
        }
    }
}
