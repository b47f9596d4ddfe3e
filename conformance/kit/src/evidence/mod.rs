//! What a check saw, kept for whoever has to understand its failure.
//!
//! Reports are passed around, so tickets, tokens, passwords and keys are blotted out unless the run asks for them.

pub mod pcap;

use std::fmt::Write as _;
use std::fs;
use std::io;
use std::path::Path;

use serde::Serialize;
use sha2::{Digest, Sha256};

/// A named piece of evidence.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Exhibit {
    /// What it is: `m1`, `request`.
    pub name: String,
    /// Readable form: the text itself, or a hex dump.
    pub text: String,
    /// Whether the whole of it is secret.
    #[serde(skip)]
    secret: bool,
    /// The file itself, where the text only says what it is.
    #[serde(skip)]
    file: Option<Vec<u8>>,
}

impl Exhibit {
    /// Its file, in the folder of the check, as the exhibit of this number.
    pub(crate) fn file_name(&self, number: usize) -> String {
        let name = file_name(&self.name);
        if self.file.is_some() { name } else { format!("{:02}-{name}.txt", number + 1) }
    }

    /// Text, such as an HTTP exchange.
    pub fn text(name: &str, text: impl Into<String>) -> Self {
        Exhibit { name: name.to_owned(), text: text.into(), secret: false, file: None }
    }

    /// Bytes, shown as a hex dump.
    pub fn bytes(name: &str, bytes: &[u8]) -> Self {
        Exhibit::begin(name, bytes, bytes.len())
    }

    /// The same of `length` bytes, of which at least the first 4,096 are given.
    pub(crate) fn begin(name: &str, begin: &[u8], length: usize) -> Self {
        Exhibit::text(name, hex_dump(begin, length))
    }

    /// Bytes of which a report shows only length and fingerprint.
    pub fn secret(name: &str, bytes: &[u8]) -> Self {
        Exhibit { secret: true, ..Exhibit::bytes(name, bytes) }
    }

    /// All that went over the wire, for Wireshark.
    pub fn wire(pieces: &[pcap::Piece]) -> Self {
        let text = format!("{} pieces in wire.pcap", pieces.len());
        Exhibit { file: Some(pcap::capture(pieces)), ..Exhibit::text("wire.pcap", text) }
    }

    /// The same without anything that lets its reader in somewhere.
    #[must_use]
    pub fn redacted(self) -> Self {
        let text = if self.secret { blot(&self.text) } else { redact(&self.text) };
        Exhibit { text, ..self }
    }
}

/// Writes the evidence of one check into a folder of its own.
pub fn write(folder: &Path, exhibits: &[Exhibit]) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    for (number, exhibit) in exhibits.iter().enumerate() {
        let bytes = exhibit.file.as_deref().unwrap_or(exhibit.text.as_bytes());
        fs::write(folder.join(exhibit.file_name(number)), bytes)?;
    }
    Ok(())
}

/// A name that is safe as a file name: whatever is not a letter, digit, dot, hyphen becomes a hyphen.
pub fn file_name(name: &str) -> String {
    let name: String =
        name.chars().map(|c| if c.is_ascii_alphanumeric() || ".-_".contains(c) { c } else { '-' }).collect();
    name.trim_matches('.').chars().take(120).collect()
}

/// What comes right before a secret in a text, and the characters the secret can have.
const SECRETS: [(&str, Inside); 3] =
    [("MeshTicket ", ticket_char), ("mesh-ticket: ", ticket_char), ("Bearer ", ticket_char)];

/// Members of JSON objects whose strings, or lists of strings, are secrets.
const SECRET_MEMBERS: [&str; 10] = [
    "token",
    "password",
    "answer",
    "ticket",
    "tickets",
    "initiator_key",
    "lan_key",
    "pass",
    "new_password",
    "device_code",
];

/// Whether a character belongs to a secret.
type Inside = fn(char) -> bool;

fn ticket_char(c: char) -> bool {
    c.is_ascii_alphanumeric() || "-_=,".contains(c)
}

fn not_quote(c: char) -> bool {
    c != '"'
}

fn not_bracket(c: char) -> bool {
    c != ']'
}

fn redact(text: &str) -> String {
    let members = SECRET_MEMBERS.iter().flat_map(|member| {
        // With and without the space that makes it readable.
        ["", " "].into_iter().flat_map(move |space| {
            let begin = format!("\"{member}\":{space}");
            [(begin.clone() + "\"", not_quote as Inside), (begin + "[", not_bracket as Inside)]
        })
    });
    let known = SECRETS.iter().map(|(before, inside)| ((*before).to_owned(), *inside));
    known.chain(members).fold(text.to_owned(), |text, (before, inside)| {
        let mut clean = String::with_capacity(text.len());
        let mut rest = text.as_str();
        while let Some(at) = rest.find(&before) {
            let (head, tail) = rest.split_at(at + before.len());
            let end = tail.find(|c| !inside(c)).unwrap_or(tail.len());
            clean.push_str(head);
            if end > 0 {
                clean.push_str(&blot(&tail[..end]));
            }
            rest = &tail[end..];
        }
        clean.push_str(rest);
        clean
    })
}

/// Enough to tell two secrets apart, and no more.
fn blot(secret: &str) -> String {
    let hash = Sha256::digest(secret);
    format!(
        "[redacted, {} characters, sha256 {:02x}{:02x}{:02x}{:02x}]",
        secret.len(),
        hash[0],
        hash[1],
        hash[2],
        hash[3]
    )
}

/// At most this much of a blob is dumped; the rest is counted.
pub(crate) const DUMPED: usize = 4096;

fn hex_dump(bytes: &[u8], length: usize) -> String {
    let mut dump = String::new();
    for (row, chunk) in bytes.chunks(16).take(DUMPED / 16).enumerate() {
        let mut hex = String::new();
        for byte in chunk {
            write!(hex, "{byte:02x} ").expect("writing to a String");
        }
        let ascii: String =
            chunk.iter().map(|&b| if (0x20..0x7f).contains(&b) { char::from(b) } else { '.' }).collect();
        writeln!(dump, "{:06x}  {hex:48} {ascii}", row * 16).expect("writing to a String");
    }
    if length > DUMPED {
        writeln!(dump, "... {length} bytes in all").expect("writing to a String");
    }
    dump
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_blotted_and_the_rest_is_kept() {
        let text = "GET /mesh\nauthorization: MeshTicket abc,def\nbody {\"token\":\"xyz\",\"expires_in\":5}\n\
            {\n  \"ticket\": \"uvw\",\n  \"tickets\": [\n\"rst\"]}";
        let clean = Exhibit::text("request", text).redacted().text;
        for secret in ["abc", "def", "xyz", "uvw", "rst"] {
            assert!(!clean.contains(secret), "{clean}");
        }
        assert!(clean.contains("GET /mesh\n") && clean.contains("\"expires_in\":5"), "{clean}");
        assert!(!Exhibit::secret("k_R", b"\x01\x02").redacted().text.contains("01 02"));
    }

    #[test]
    fn dumps_are_readable_and_bounded() {
        let dump = hex_dump(b"Mesh\x00proof 0123456789", 21);
        assert!(dump.starts_with("000000  4d 65 73 68 00 70"), "{dump}");
        assert!(dump.contains("Mesh.proof 01234"), "{dump}");
        assert!(hex_dump(&vec![0; 10_000], 10_000).ends_with("... 10000 bytes in all\n"));
    }

    #[test]
    fn names_cannot_leave_the_folder() {
        assert_eq!(file_name("../../etc/passwd"), "-..-etc-passwd");
        assert_eq!(file_name(".."), "");
    }
}
