//! `mesh share`

use std::process::ExitCode;

use meshproof_proto::ticket::Role;

use crate::Agent;
use crate::error::{Error, Result};

#[derive(clap::Args)]
pub(super) struct Share {
    /// The folder's name or identifier.
    folder: String,
    /// The other user's name.
    user: String,
    /// What the user may do: look; look and change; all.
    #[arg(long, value_parser = ["reader", "contributor", "owner"])]
    role: String,
}

impl Share {
    pub(super) async fn run(self, agent: &Agent) -> Result<ExitCode> {
        let role = Role::parse(&self.role).ok_or_else(|| Error::usage("no such role"))?;
        agent.share(&self.folder, &self.user, role).await?;
        let id = agent.folder_id(&self.folder)?;
        println!("{} is {} now; there: mesh folder add PATH --join {id}", self.user, self.role);
        Ok(ExitCode::SUCCESS)
    }
}
