//! `mesh fetch`

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use serde_json::json;

use super::output;
use crate::Agent;
use crate::error::{Error, Result};

#[derive(clap::Args)]
pub(super) struct Fetch {
    /// The folder's name or identifier.
    folder: String,
    /// The file's path in the folder.
    path: String,
    /// Where to write it [default: its name, here].
    #[arg(long, value_name = "FILE")]
    to: Option<PathBuf>,
}

impl Fetch {
    pub(super) async fn run(self, agent: &Agent, json: bool) -> Result<ExitCode> {
        let name = Path::new(&self.path).file_name().map(PathBuf::from);
        let to = self.to.or(name).ok_or_else(|| Error::usage("say with --to where to write it"))?;
        let size = agent.fetch_from_cloud(&self.folder, &self.path, &to).await?;
        let value = json!({ "path": to.display().to_string(), "bytes": size });
        output::tell(json, &value, || say!("{}: {}", to.display(), output::bytes(size)))
    }
}
