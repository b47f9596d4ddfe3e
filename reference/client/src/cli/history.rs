//! `mesh conflicts`, `mesh log`, `mesh versions`, `mesh restore`

use std::process::ExitCode;

use meshproof_proto::time::UnixTime;
use serde::Serialize;

use super::output;
use crate::Agent;
use crate::error::{Error, Result};
use crate::home::FolderConfig;
use crate::sync::journal::Happened;
use crate::sync::versions::{self, Version};

#[derive(clap::Args)]
pub(super) struct Conflicts {
    /// The folder's name or identifier [default: all].
    folder: Option<String>,
}

#[derive(Serialize)]
struct Conflict {
    folder: String,
    folder_name: String,
    path: String,
}

impl Conflicts {
    pub(super) fn run(self, agent: &Agent, json: bool) -> Result<ExitCode> {
        let wanted = self.folder.as_deref().map(|folder| agent.folder_id(folder)).transpose()?;
        let wanted = wanted.map(|id| id.to_string());
        let mut conflicts = Vec::new();
        for status in agent.folder_statuses()? {
            if wanted.as_ref().is_none_or(|wanted| *wanted == status.folder) {
                conflicts.extend(status.conflicts.into_iter().map(|path| Conflict {
                    folder: status.folder.clone(),
                    folder_name: status.name.clone(),
                    path,
                }));
            }
        }
        output::tell(json, &conflicts, || {
            conflicts.iter().for_each(|one| say!("{}: {}", one.folder_name, one.path));
            if conflicts.is_empty() {
                say!("no conflicts");
            } else {
                say!(
                    "each has another content beside it: keep what you need under a name of your own, delete the rest"
                );
            }
        })
    }
}

#[derive(clap::Args)]
pub(super) struct Log {
    /// How many events.
    #[arg(long, value_name = "N", default_value_t = 50)]
    last: usize,
}

#[derive(Serialize)]
struct Line {
    time: u64,
    kind: Happened,
    folder: Option<String>,
    device: Option<String>,
    path: Option<String>,
    text: String,
}

impl Log {
    pub(super) fn run(self, agent: &Agent, json: bool) -> Result<ExitCode> {
        let events = agent.events(self.last)?;
        let lines: Vec<Line> = events
            .into_iter()
            .map(|event| Line {
                time: event.time,
                kind: event.kind,
                folder: event.folder.map(|id| id.to_string()),
                device: event.peer.map(|id| id.to_string()),
                path: event.path,
                text: event.text,
            })
            .collect();
        output::tell(json, &lines, || {
            for line in &lines {
                let name = line.folder.as_ref().map(|id| match find(agent, id) {
                    Some(folder) => format!("{}: ", folder.name),
                    None => format!("{}: ", output::short(id)),
                });
                let who = line.device.as_ref().map(|id| format!("{}: ", output::short(id)));
                let path = line.path.as_ref().map(|path| format!("{} ", path.escape_debug()));
                say!(
                    "{} {:8} {}{}{}{}",
                    UnixTime(line.time),
                    line.kind.name(),
                    name.unwrap_or_default(),
                    who.unwrap_or_default(),
                    path.unwrap_or_default(),
                    line.text
                );
            }
        })
    }
}

#[derive(clap::Args)]
pub(super) struct Versions {
    /// The folder's name or identifier.
    folder: String,
    /// A file or directory in it [default: all].
    path: Option<String>,
}

#[derive(Serialize)]
struct Kept {
    path: String,
    /// Among those of its path: 1 is the newest.
    number: usize,
    replaced: u64,
    bytes: u64,
}

impl Versions {
    pub(super) fn run(self, agent: &Agent, json: bool) -> Result<ExitCode> {
        let folder = folder(agent, &self.folder)?;
        let kept: Vec<Kept> = numbered(versions::list(&folder.path, self.path.as_deref()))
            .into_iter()
            .map(|(number, version)| Kept {
                number,
                replaced: version.replaced.0,
                bytes: version.size,
                path: version.path,
            })
            .collect();
        output::tell(json, &kept, || {
            for one in &kept {
                let (time, size) = (UnixTime(one.replaced), output::bytes(one.bytes));
                say!("{:3} {time} {size:>10} {}", one.number, one.path);
            }
            if kept.is_empty() {
                say!("nothing is kept: only what a sync replaces or deletes is");
            }
        })
    }
}

#[derive(clap::Args)]
pub(super) struct Restore {
    /// The folder's name or identifier.
    folder: String,
    /// The file's path in the folder.
    path: String,
    /// Which version, as `mesh versions` numbers them: 1 is the newest.
    #[arg(long, value_name = "N", default_value_t = 1)]
    at: usize,
}

#[derive(Serialize)]
struct Restored {
    path: String,
    replaced: u64,
    bytes: u64,
}

impl Restore {
    pub(super) fn run(self, agent: &Agent, json: bool) -> Result<ExitCode> {
        let folder = folder(agent, &self.folder)?;
        let kept = versions::list(&folder.path, Some(&self.path));
        let kept: Vec<Version> = kept.into_iter().filter(|version| version.path == self.path).collect();
        let version = self.at.checked_sub(1).and_then(|number| kept.get(number)).ok_or_else(|| {
            Error::usage(format!(
                "there is no version {} of {}: see `mesh versions {}`",
                self.at, self.path, self.folder
            ))
        })?;
        version.restore(&folder.path)?;
        let (replaced, bytes) = (version.replaced.0, version.size);
        output::tell(json, &Restored { path: self.path.clone(), replaced, bytes }, || {
            say!("{} is as it was until {}; what was there is a version now", self.path, version.replaced);
        })
    }
}

/// With each its number among those of its path, of which the newest comes first.
fn numbered(versions: Vec<Version>) -> Vec<(usize, Version)> {
    let mut numbers = std::collections::HashMap::new();
    let number = |version: Version| {
        let number = numbers.entry(version.path.clone()).or_insert(0);
        *number += 1;
        (*number, version)
    };
    let mut numbered: Vec<_> = versions.into_iter().map(number).collect();
    numbered.sort_by(|a, b| (&a.1.path, a.0).cmp(&(&b.1.path, b.0)));
    numbered
}

fn find<'a>(agent: &'a Agent, id: &str) -> Option<&'a FolderConfig> {
    agent.config().folders.iter().find(|folder| folder.id == id)
}

/// A folder of this device, by name or identifier.
pub(super) fn folder<'a>(agent: &'a Agent, folder: &str) -> Result<&'a FolderConfig> {
    let id = agent.folder_id(folder)?.to_string();
    find(agent, &id).ok_or_else(|| {
        Error::usage(format!("the folder {folder} is not on this device: mesh folder add PATH --join {id}"))
    })
}
