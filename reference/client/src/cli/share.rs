//! `mesh share`, `unshare`, `members`, `invitations`, `accept`, `decline`, `leave`

use std::process::ExitCode;

use meshproof_proto::ticket::Role;
use meshproof_proto::time::UnixTime;
use serde_json::json;

use super::output;
use crate::Agent;
use crate::agent::Shared;
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
    pub(super) async fn run(self, agent: &Agent, json: bool) -> Result<ExitCode> {
        let role = Role::parse(&self.role).ok_or_else(|| Error::usage("no such role"))?;
        let shared = agent.share(&self.folder, &self.user, role).await?;
        let result = if matches!(shared, Shared::Changed) { "changed" } else { "invited" };
        output::tell(json, &json!({ "result": result }), || match shared {
            Shared::Changed => say!("{} is {} now", self.user, self.role),
            // Whether there is such a user the cloud does not tell (GPH-087).
            Shared::Invited => {
                say!("{} is invited, if there is such a user; there: mesh invitations", self.user);
            }
        })
    }
}

#[derive(clap::Args)]
pub(super) struct Unshare {
    /// The folder's name or identifier.
    folder: String,
    /// The member's name.
    user: String,
}

impl Unshare {
    pub(super) async fn run(self, agent: &Agent, json: bool) -> Result<ExitCode> {
        agent.unshare(&self.folder, &self.user).await?;
        output::tell(json, &json!({ "result": "unshared" }), || {
            say!("{} takes no part any more", self.user);
        })
    }
}

#[derive(clap::Args)]
pub(super) struct Leave {
    /// The folder's name or identifier.
    folder: String,
}

impl Leave {
    pub(super) async fn run(self, agent: &mut Agent, json: bool) -> Result<ExitCode> {
        agent.leave(&self.folder).await?;
        output::tell(json, &json!({ "result": "left" }), || say!("left; the files stay where they are"))
    }
}

#[derive(clap::Args)]
pub(super) struct Members {
    /// The folder's name or identifier.
    folder: String,
}

impl Members {
    pub(super) async fn run(self, agent: &Agent, json: bool) -> Result<ExitCode> {
        let members = agent.members(&self.folder).await?;
        output::tell(json, &members, || {
            members.iter().for_each(|member| say!("{:11} {}", member.role, member.name));
        })
    }
}

#[derive(clap::Args)]
pub(super) struct Invitations {}

impl Invitations {
    pub(super) async fn run(self, agent: &Agent, json: bool) -> Result<ExitCode> {
        let invitations = agent.invitations().await?;
        output::tell(json, &invitations, || {
            if invitations.is_empty() {
                say!("none");
            }
            for one in &invitations {
                let until = UnixTime(one.expires);
                say!(
                    "{} {} invites you to {} as {}, until {until}",
                    one.invitation,
                    one.by,
                    one.folder_name,
                    one.role
                );
            }
        })
    }
}

/// The answer to an invitation.
#[derive(clap::Args)]
pub(super) struct Answer {
    /// The invitation's identifier: see `mesh invitations`.
    invitation: String,
}

impl Answer {
    pub(super) async fn accept(self, agent: &Agent, json: bool) -> Result<ExitCode> {
        let folder = agent.accept(&self.invitation).await?;
        output::tell(json, &json!({ "folder": folder.to_string() }), || {
            say!("{folder}; put it on this device: mesh folder add PATH --join {folder}");
        })
    }

    pub(super) async fn decline(self, agent: &Agent, json: bool) -> Result<ExitCode> {
        agent.decline(&self.invitation).await?;
        output::tell(json, &json!({ "result": "declined" }), || say!("declined"))
    }
}
