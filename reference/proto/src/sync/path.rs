//! Portable paths (`spec/sync.md`, section 4.2): names that every file system can hold, and that leave no folder.

use alloc::string::String;

use unicode_normalization::is_nfc;

use crate::error::Error;
use crate::requirement::{self as req, demand};

const MAX_PATH: usize = 4_096;
const MAX_COMPONENT: usize = 255;

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
        demand(is_nfc(path), req::SYN_013)?;
        demand(!path.split('/').any(reserved), req::SYN_014)?;
        Ok(Self(path.into()))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
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
    let stem = component.split('.').next().unwrap_or_default();
    let device = |name: &str| stem.eq_ignore_ascii_case(name);
    let numbered = |prefix: &str| {
        let digit = stem.get(prefix.len()..).is_some_and(|d| matches!(d.as_bytes(), [b'1'..=b'9']));
        digit && stem.get(..prefix.len()).is_some_and(|p| p.eq_ignore_ascii_case(prefix))
    };
    component.ends_with(['.', ' '])
        || ["CON", "PRN", "AUX", "NUL"].into_iter().any(device)
        || ["COM", "LPT"].into_iter().any(numbered)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules() {
        let broken = |path: &str| PortablePath::parse(path).err().and_then(|e| e.requirement()).map(|r| r.id);
        for good in ["a", "a/b.txt", "…/ü", ".hidden", "console", "COM", "com10", "a b", "lpt/x"] {
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
        for name in ["a.", "a ", "con", "Aux.txt", "x/lpt9", "COM1.tar.gz"] {
            assert_eq!(broken(name), Some("SYN-014"), "{name}");
        }
    }
}
