//! `mesh share`, `unshare`, `members`, `invitations`, `accept`, `decline`, `leave`

use std::process::ExitCode;

use meshproof_proto::ticket::Role;
use meshproof_proto::time::UnixTime;

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
    pub(super) async fn run(self, agent: &Agent) -> Result<ExitCode> {
        let role = Role::parse(&self.role).ok_or_else(|| Error::usage("no such role"))?;
        match agent.share(&self.folder, &self.user, role).await? {
            Shared::Changed => println!("{} is {} now", self.user, self.role),
            // Whether there is such a user the cloud does not tell (GPH-087).
            Shared::Invited => {
                println!("{} is invited, if there is such a user; there: mesh invitations", self.user);
            }
        }
        Ok(ExitCode::SUCCESS)
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
    pub(super) async fn run(self, agent: &Agent) -> Result<ExitCode> {
        agent.unshare(&self.folder, &self.user).await?;
        Ok(ExitCode::SUCCESS)
    }
}

#[derive(clap::Args)]
pub(super) struct Leave {
    /// The folder's name or identifier.
    folder: String,
}

impl Leave {
    pub(super) async fn run(self, agent: &mut Agent) -> Result<ExitCode> {
        agent.leave(&self.folder).await?;
        println!("left; the files stay where they are");
        Ok(ExitCode::SUCCESS)
    }
}

#[derive(clap::Args)]
pub(super) struct Members {
    /// The folder's name or identifier.
    folder: String,
    /// Write JSON.
    #[arg(long)]
    json: bool,
}

impl Members {
    pub(super) async fn run(self, agent: &Agent) -> Result<ExitCode> {
        let members = agent.members(&self.folder).await?;
        if self.json {
            return output::json(&members);
        }
        members.iter().for_each(|member| println!("{:11} {}", member.role, member.name));
        Ok(ExitCode::SUCCESS)
    }
}

#[derive(clap::Args)]
pub(super) struct Invitations {
    /// Write JSON.
    #[arg(long)]
    json: bool,
}

impl Invitations {
    pub(super) async fn run(self, agent: &Agent) -> Result<ExitCode> {
        let invitations = agent.invitations().await?;
        if self.json {
            return output::json(&invitations);
        }
        for one in &invitations {
            let until = UnixTime(one.expires);
            println!(
                "{} {} invites you to {} as {}, until {until}",
                one.invitation, one.by, one.folder_name, one.role
            );
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// The answer to an invitation.
#[derive(clap::Args)]
pub(super) struct Answer {
    /// The invitation's identifier: see `mesh invitations`.
    invitation: String,
}

impl Answer {
    pub(super) async fn accept(self, agent: &Agent) -> Result<ExitCode> {
        let folder = agent.accept(&self.invitation).await?;
        println!("{folder}; put it on this device: mesh folder add PATH --join {folder}");
        Ok(ExitCode::SUCCESS)
    }

    pub(super) async fn decline(self, agent: &Agent) -> Result<ExitCode> {
        agent.decline(&self.invitation).await?;
        Ok(ExitCode::SUCCESS)
    }
}
