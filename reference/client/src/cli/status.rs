//! `mesh status`

use std::process::ExitCode;

use meshproof_proto::time::UnixTime;

use super::output;
use crate::Agent;
use crate::agent::{LastSession, Status as Info};
use crate::error::Result;

#[derive(clap::Args)]
pub(super) struct Status {}

impl Status {
    pub(super) async fn run(self, agent: &Agent, json: bool) -> Result<ExitCode> {
        let status = agent.status().await?;
        output::tell(json, &status, || {
            let or_none = |text: &Option<String>| text.clone().unwrap_or_else(|| "none".into());
            say!("cloud   {}", or_none(&status.cloud));
            say!("user    {}", or_none(&status.user));
            let name = status.device_name.as_deref().unwrap_or_default();
            say!("device  {} {name}", or_none(&status.device));
            status.folders.iter().for_each(output::folder);
            for peer in &status.peers {
                let online = if peer.online { "online" } else { "offline" };
                say!("peer    {} {online} {}", peer.device, peer.name.as_deref().unwrap_or_default());
                peer.last_session.iter().for_each(|last| say!("        {}", words(last)));
            }
            next(&status).iter().for_each(|step| say!("next: {step}"));
        })
    }
}

/// What a new device lacks.
fn next(status: &Info) -> Option<&'static str> {
    match status {
        Info { user: None, .. } => Some("mesh login --cloud URL --user NAME, or --browser"),
        Info { device: None, .. } => Some("mesh device add NAME"),
        Info { folders, .. } if folders.is_empty() => Some("mesh folder add PATH"),
        _ => None,
    }
}

fn words(last: &LastSession) -> String {
    let way = match last.way.as_str() {
        "relay" => "through a relay",
        "incoming" => "called by it",
        _ => "direct",
    };
    let (received, sent) = (output::bytes(last.bytes_received), output::bytes(last.bytes_sent));
    let rate = last.bytes_per_second.map(|rate| format!(", {}/s", output::bytes(rate))).unwrap_or_default();
    format!("at {}, {way}: received {received}, sent {sent}{rate}", UnixTime(last.time))
}
