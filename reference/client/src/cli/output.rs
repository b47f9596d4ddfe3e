//! Words, JSON and progress bars.

use std::fmt::Arguments;
use std::io::{Error as IoError, ErrorKind, IsTerminal, Write, stdout};
use std::process::ExitCode;
use std::sync::OnceLock;

use indicatif::{HumanBytes, ProgressBar, ProgressDrawTarget, ProgressStyle};
use meshproof_proto::codec::Id;
use meshproof_proto::sync::PortablePath;
use serde::Serialize;

use crate::agent::FolderStatus;
use crate::error::{Error, Result};
use crate::sync::{Direction, Progress, Skipped};

/// Why standard output takes no more. Nothing is written after it.
static FAILURE: OnceLock<IoError> = OnceLock::new();

/// A line on standard output, as `println!` takes it. A reader that has seen enough ends nothing, least of all a device that
/// is online.
macro_rules! say {
    ($($words:tt)+) => { $crate::cli::output::write(format_args!("{}\n", format_args!($($words)+))) };
}

/// Writes to standard output, unless that failed before.
pub(super) fn write(text: Arguments) {
    if FAILURE.get().is_none()
        && let Err(error) = stdout().write_fmt(text)
    {
        // Whoever was first has said it.
        let _ = FAILURE.set(error);
    }
}

/// Why words are missing, if their reader did not leave.
pub(super) fn failure() -> Option<&'static IoError> {
    if let Err(error) = stdout().flush() {
        let _ = FAILURE.set(error);
    }
    FAILURE.get().filter(|error| error.kind() != ErrorKind::BrokenPipe)
}

pub(super) fn complain(text: &str) {
    aside(&format!("mesh: {text}"));
}

/// For the person, whoever reads the output.
pub(super) fn aside(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}

fn json<T: Serialize>(value: &T) -> Result<ExitCode> {
    let text = serde_json::to_string_pretty(value).map_err(|error| Error::Cloud(error.to_string()))?;
    say!("{text}");
    Ok(ExitCode::SUCCESS)
}

/// JSON, or words for a person.
pub(super) fn tell<T: Serialize>(as_json: bool, value: &T, words: impl FnOnce()) -> Result<ExitCode> {
    if as_json {
        return json(value);
    }
    words();
    Ok(ExitCode::SUCCESS)
}

/// One JSON object in one line: there are more to come.
pub(super) fn json_line<T: Serialize>(value: &T) {
    if let Ok(text) = serde_json::to_string(value) {
        say!("{text}");
    }
}

/// The begin of an identifier.
pub(super) fn short(id: &str) -> String {
    id.chars().take(8).collect()
}

pub(super) fn bytes(count: u64) -> String {
    HumanBytes(count).to_string()
}

/// `1 file`, `2 files`.
pub(super) fn counted(count: u64, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}

pub(super) fn folder(folder: &FolderStatus) {
    say!("folder  {} {} {}", folder.folder, folder.name, folder.path);
    let synced = match folder.last_sync {
        _ if folder.waits_for_past => "not in sync".into(),
        Some(time) => format!("in sync at {}", meshproof_proto::time::UnixTime(time)),
        None => "never synced".into(),
    };
    let entries = counted(folder.entries, "entry", "entries");
    say!("        {entries}, {}, {synced}", bytes(folder.bytes));
    say!("        {}", ways(folder));
    if folder.waits_for_past {
        say!(
            "        restored from a backup: nothing that is here goes to others before this device has what they have of it{}",
            match folder.direction {
                Direction::SendOnly =>
                    "; it only sends, so join the folder again without --send-only until it is in sync",
                _ => "; keep a device online that writes in the folder",
            }
        );
    }
    if folder.locked {
        say!(
            "        locked: this device has no key of it yet; keep a device online that has it, or use `mesh folder recover`"
        );
    }
    if !folder.only.is_empty() {
        say!("        only {} here: see `mesh folder only`", folder.only.join(", "));
    }
    if folder.not_chosen > 0 {
        say!(
            "        {} files outside of that stay until another device that may write, or the cloud, has said that it keeps them",
            folder.not_chosen
        );
    }
    if folder.links_not_made > 0 {
        say!("        {} symbolic links are not made here, and kept for others", folder.links_not_made);
    }
    folder.cloud_doubts.iter().for_each(|doubt| {
        say!("        at {}: {}", meshproof_proto::time::UnixTime(doubt.time), doubt.text);
    });
    folder.conflicts.iter().for_each(|path| say!("        conflict: {path}"));
}

/// Which way a folder's changes and bytes go.
fn ways(folder: &FolderStatus) -> String {
    let storage = match folder.storage.as_deref() {
        Some("p2p") => "no byte in the cloud",
        Some(_) => "in the cloud too",
        None => "the cloud was not asked",
    };
    let sealed = match folder.encrypted {
        Some(true) => ", encrypted",
        Some(false) => ", not encrypted",
        None => "",
    };
    let direction = match folder.direction {
        Direction::Both => "",
        Direction::ReceiveOnly => ", only receives",
        Direction::SendOnly => ", only sends",
    };
    format!("{storage}{sealed}{direction}")
}

/// Progress on a terminal as a bar, elsewhere as nothing but lines for what a person should know.
pub(super) struct Bars {
    bar: ProgressBar,
}

impl Bars {
    pub(super) fn new() -> Self {
        let bar = ProgressBar::new(0);
        let terminal = std::io::stderr().is_terminal();
        bar.set_draw_target(if terminal {
            ProgressDrawTarget::stderr()
        } else {
            ProgressDrawTarget::hidden()
        });
        let template = "{bar:32} {bytes}/{total_bytes} {bytes_per_sec} {msg}";
        bar.set_style(
            ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar()),
        );
        Self { bar }
    }

    pub(super) fn finish(&self) {
        self.bar.finish_and_clear();
    }

    fn line(&self, text: &str) {
        self.bar.suspend(|| complain(text));
    }
}

impl Progress for Bars {
    fn expected(&self, _: Id, _: u64, bytes: u64) {
        self.bar.inc_length(bytes);
    }

    fn received(&self, _: Id, _: u64, bytes: u64) {
        self.bar.inc(bytes);
    }

    fn skipped(&self, _: Id, skipped: &Skipped) {
        self.line(&format!("left out {}: {}", skipped.path.escape_debug(), skipped.reason));
    }

    fn conflict(&self, _: Id, kept: &PortablePath) {
        self.line(&format!("two devices changed one file; the other content is in {kept}"));
    }
}
