//! `mesh password`

use std::process::ExitCode;

use serde_json::json;

use super::login::secret;
use super::output;
use crate::Agent;
use crate::error::Result;

#[derive(clap::Args)]
pub(super) struct Password {}

impl Password {
    pub(super) async fn run(self, agent: &Agent, json: bool) -> Result<ExitCode> {
        let old = secret("MESH_PASSWORD", "the password")?;
        let new = secret("MESH_NEW_PASSWORD", "the new password")?;
        agent.change_password(&old, &new).await?;
        output::tell(json, &json!({ "changed": true }), || {
            say!("the password is changed; all sessions of before have ended");
        })
    }
}
