//! `mesh folder`

use std::path::PathBuf;
use std::process::ExitCode;

use serde_json::json;

use super::{keys, output};
use crate::Agent;
use crate::agent::NewFolder;
use crate::error::Result;
use crate::sync::{Direction, ignore, only};

#[derive(clap::Subcommand)]
pub(super) enum Command {
    /// Add a folder to this device.
    Add {
        /// The directory. Made if it does not exist.
        path: PathBuf,
        /// Its name [default: that of the directory].
        #[arg(long, value_name = "NAME")]
        name: Option<String>,
        /// Take part in this folder instead of making a new one.
        #[arg(long, value_name = "FOLDER_ID", conflicts_with = "p2p_only")]
        join: Option<String>,
        /// Keep every byte of it out of the cloud.
        #[arg(long)]
        p2p_only: bool,
        /// Take changes of others, keep own ones here.
        #[arg(long, conflicts_with = "send_only")]
        receive_only: bool,
        /// Give own changes, leave out those of others.
        #[arg(long)]
        send_only: bool,
        /// Have only these parts of it on this device: see `mesh folder only`.
        #[arg(long, value_name = "PATH", num_args = 1..)]
        only: Vec<String>,
    },
    /// List the folders of this device.
    List,
    /// Give the cloud only what is sealed of a folder, from now on and for ever. Devices of members can read it.
    Encrypt {
        /// The folder's name or identifier.
        folder: String,
    },
    /// Make a recovery key of an encrypted folder, in twelve words: with it a new device can read it when all are lost.
    RecoveryKey {
        /// The folder's name or identifier.
        folder: String,
    },
    /// Let this device read an encrypted folder, by a recovery key. It comes from `MESH_RECOVERY_KEY`, or else from the first
    /// line of standard input.
    Recover {
        /// The folder's name or identifier.
        folder: String,
    },
    /// Say which devices have the key of an encrypted folder. The words are the same on all devices that have the same key.
    Keys {
        /// The folder's name or identifier.
        folder: String,
    },
    /// Have only parts of a folder on this device. Without a path, lists them. What is not chosen any more is removed here with the
    /// next sync, if another device that may write, or the cloud, says that it keeps it.
    Only {
        /// The folder's name or identifier.
        folder: String,
        /// Paths from the folder down, such as Photos/2026 or 'Work/*/drafts'. They replace those of before.
        paths: Vec<String>,
        /// Have all of it again.
        #[arg(long, conflicts_with = "paths")]
        all: bool,
    },
    /// Leave files out of a folder: adds a pattern, as in a .gitignore file, to its .meshignore. Without one, lists them.
    Ignore {
        /// The folder's name or identifier.
        folder: String,
        /// What to leave out, such as '*.tmp' or /build/.
        pattern: Option<String>,
        /// Take the pattern out again.
        #[arg(long, requires = "pattern")]
        remove: bool,
        /// On this device alone, whatever others write into .meshignore: for what nobody else is to see, or what takes too much room here.
        /// What is removed from this device meanwhile is deleted nowhere else and comes back when the pattern is taken out; what is edited
        /// counts then.
        #[arg(long)]
        here: bool,
    },
}

impl Command {
    pub(super) async fn run(self, agent: &mut Agent, json: bool) -> Result<ExitCode> {
        match self {
            Self::Add { path, name, join, p2p_only, receive_only, send_only, only } => {
                let direction = match (receive_only, send_only) {
                    (true, _) => Direction::ReceiveOnly,
                    (_, true) => Direction::SendOnly,
                    _ => Direction::Both,
                };
                only.iter().try_for_each(|path| only::check(path))?;
                let id = agent.add_folder(NewFolder { path, name, join, p2p_only, direction }).await?;
                // One that is added again has what it had.
                if !only.is_empty() {
                    agent.choose(&id.to_string(), &only)?;
                }
                output::tell(json, &json!({ "folder": id.to_string() }), || say!("{id}"))
            }
            Self::List => {
                let folders = agent.folder_statuses()?;
                output::tell(json, &folders, || folders.iter().for_each(output::folder))
            }
            Self::Encrypt { folder } => keys::encrypt(agent, &folder, json).await,
            Self::RecoveryKey { folder } => keys::recovery_key(agent, &folder, json).await,
            Self::Recover { folder } => keys::recover(agent, &folder, json).await,
            Self::Keys { folder } => keys::keys(agent, &folder, json).await,
            Self::Only { folder, paths, all } => {
                let changes = all || !paths.is_empty();
                let only = if changes { agent.choose(&folder, &paths)? } else { agent.chosen(&folder)? };
                output::tell(json, &json!({ "changed": changes, "only": only }), || {
                    only.iter().for_each(|path| say!("{path}"));
                    if only.is_empty() {
                        say!("all of it");
                    }
                    if changes {
                        say!(
                            "the next sync gets what is new here, and removes what is not chosen and others keep"
                        );
                    }
                })
            }
            Self::Ignore { folder, pattern, remove, here } => {
                let root = &super::history::folder(agent, &folder)?.path;
                let file = if here { ignore::HERE } else { ignore::FILE };
                let changed = match pattern {
                    Some(pattern) if here => agent.leave_out_here(&folder, &pattern, remove)?,
                    Some(pattern) => ignore::edit(root, file, &pattern, remove)?,
                    None => false,
                };
                let patterns = ignore::patterns(root, file)?;
                output::tell(json, &json!({ "changed": changed, "patterns": patterns }), || {
                    patterns.iter().for_each(|pattern| say!("{pattern}"));
                })
            }
        }
    }
}
