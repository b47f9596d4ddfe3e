//! `mesh status`

use std::process::ExitCode;

use super::output;
use crate::Agent;
use crate::error::Result;

#[derive(clap::Args)]
pub(super) struct Status {
    /// Write JSON.
    #[arg(long)]
    json: bool,
}

impl Status {
    pub(super) async fn run(self, agent: &Agent) -> Result<ExitCode> {
        let status = agent.status().await?;
        if self.json {
            return output::json(&status);
        }
        let or_none = |text: &Option<String>| text.clone().unwrap_or_else(|| "none".into());
        println!("cloud   {}", or_none(&status.cloud));
        println!("user    {}", or_none(&status.user));
        println!("device  {} {}", or_none(&status.device), status.device_name.unwrap_or_default());
        status.folders.iter().for_each(output::folder);
        for peer in &status.peers {
            let online = if peer.online { "online" } else { "offline" };
            println!("peer    {} {online} {}", peer.device, peer.name.as_deref().unwrap_or_default());
        }
        Ok(ExitCode::SUCCESS)
    }
}
