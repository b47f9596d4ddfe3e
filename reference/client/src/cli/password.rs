//! `mesh password`

use std::process::ExitCode;

use super::login::secret;
use crate::Agent;
use crate::error::Result;

#[derive(clap::Args)]
pub(super) struct Password {}

impl Password {
    pub(super) async fn run(self, agent: &Agent) -> Result<ExitCode> {
        let old = secret("MESH_PASSWORD", "the password")?;
        let new = secret("MESH_NEW_PASSWORD", "the new password")?;
        agent.change_password(&old, &new).await?;
        println!("the password is changed; all sessions of before have ended");
        Ok(ExitCode::SUCCESS)
    }
}
