//! The command line. Every command is one call of [`Agent`] and words for a person.

mod device;
mod fetch;
mod folder;
mod login;
mod output;
mod password;
mod share;
mod status;
mod sync;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::Agent;
use crate::error::{Error, Result};
use crate::home::Home;

/// Keeps folders the same on a person's devices and those of the people they share with.
#[derive(Parser)]
#[command(name = "mesh", version)]
struct Arguments {
    /// The state directory [default: meshproof in the configuration directory].
    #[arg(long, env = "MESH_HOME", value_name = "DIR", global = true)]
    home: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Sign in to a cloud. The password comes from MESH_PASSWORD, or else from the first line of standard input.
    Login(login::Login),
    /// Change the password: that of now and the new one, from MESH_PASSWORD and MESH_NEW_PASSWORD, or else from two lines
    /// of standard input.
    Password(password::Password),
    /// Claim this device, or list the user's devices.
    #[command(subcommand)]
    Device(device::Command),
    /// Add a folder to this device, or list its folders.
    #[command(subcommand)]
    Folder(folder::Command),
    /// Ask somebody to take part in a folder, or give a member another role.
    Share(share::Share),
    /// End somebody's membership in a folder.
    Unshare(share::Unshare),
    /// List who takes part in a folder.
    Members(share::Members),
    /// List the invitations that wait for an answer.
    Invitations(share::Invitations),
    /// Accept an invitation.
    Accept(share::Answer),
    /// Decline an invitation.
    Decline(share::Answer),
    /// Take no part in a folder any more. Its files stay.
    Leave(share::Leave),
    /// Sync with every peer that is online, once, or stay online.
    Sync(sync::Sync),
    /// Get a file from the cloud, without any peer. One that broke off goes on.
    Fetch(fetch::Fetch),
    /// Say who this is, what is here, and who else is there.
    Status(status::Status),
}

/// Runs the program with the arguments of the process.
pub async fn run() -> ExitCode {
    let arguments = Arguments::parse();
    match dispatch(arguments).await {
        Ok(code) => code,
        Err(error) => {
            // One line, whatever a cause had to say.
            output::complain(&error.to_string().replace('\n', " "));
            ExitCode::from(if matches!(error, Error::Usage(_)) { 2 } else { 1 })
        }
    }
}

async fn dispatch(arguments: Arguments) -> Result<ExitCode> {
    let home = match arguments.home {
        Some(home) => home,
        None => Home::default_directory()?,
    };
    let mut agent = Agent::open(&home)?;
    match arguments.command {
        Command::Login(login) => login.run(&mut agent).await,
        Command::Password(password) => password.run(&agent).await,
        Command::Device(command) => command.run(&mut agent).await,
        Command::Folder(command) => command.run(&mut agent).await,
        Command::Share(share) => share.run(&agent).await,
        Command::Unshare(unshare) => unshare.run(&agent).await,
        Command::Members(members) => members.run(&agent).await,
        Command::Invitations(invitations) => invitations.run(&agent).await,
        Command::Accept(answer) => answer.accept(&agent).await,
        Command::Decline(answer) => answer.decline(&agent).await,
        Command::Leave(leave) => leave.run(&mut agent).await,
        Command::Sync(sync) => sync.run(&agent).await,
        Command::Fetch(fetch) => fetch.run(&agent).await,
        Command::Status(status) => status.run(&agent).await,
    }
}
