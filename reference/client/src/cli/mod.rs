//! The command line. Every command is one call of [`Agent`] and words for a person.

#![deny(clippy::print_stdout, clippy::print_stderr)]

// Its macro is for all that come after.
#[macro_use]
mod output;

mod device;
mod doctor;
mod fetch;
mod folder;
mod history;
mod keys;
mod login;
mod manual;
mod password;
mod share;
mod status;
mod sync;
mod words;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::Agent;
use crate::error::{Error, Result};
use crate::home::Home;

/// What the exit code says.
const CODES: &str = "Exit codes: 0 done; 1 it failed, or something is not as it should be; 2 it cannot be done so: the text says \
    what to do instead.";

/// Keeps folders the same on a person's devices and those of the people they share with.
#[derive(Parser)]
#[command(name = "mesh", version, after_help = CODES)]
struct Arguments {
    /// The state directory [default: meshproof in the configuration directory].
    #[arg(long, env = "MESH_HOME", value_name = "DIR", global = true)]
    home: Option<PathBuf>,
    /// Write JSON: reference/client/COMMANDS.md has the shapes.
    #[arg(long, global = true)]
    json: bool,
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
    /// List what several devices changed at once, and has to be looked at.
    Conflicts(history::Conflicts),
    /// Say what happened lately.
    Log(history::Log),
    /// List what is kept of files that a sync replaced or deleted.
    Versions(history::Versions),
    /// Put a file back as it was. What is there now is kept as a version.
    Restore(history::Restore),
    /// Find out what keeps this device from syncing, and what to do about it.
    Doctor(doctor::Doctor),
    /// Write completions for a shell to standard output.
    Completions(manual::Completions),
    /// Write the manual page to standard output, or all pages into a directory.
    Man(manual::Man),
    /// Say who this is, what is here, and who else is there.
    Status(status::Status),
}

/// Runs the program with the arguments of the process.
pub async fn run() -> ExitCode {
    let arguments = Arguments::parse();
    let code = match dispatch(arguments).await {
        Ok(code) => code,
        Err(error) => {
            // One line, whatever a cause had to say.
            output::complain(&error.to_string().replace('\n', " "));
            ExitCode::from(if matches!(error, Error::Usage(_)) { 2 } else { 1 })
        }
    };
    match output::failure() {
        Some(error) => {
            output::complain(&format!("cannot write to standard output: {error}"));
            ExitCode::FAILURE
        }
        None => code,
    }
}

async fn dispatch(arguments: Arguments) -> Result<ExitCode> {
    let json = arguments.json;
    // These need no device.
    let command = match arguments.command {
        Command::Completions(completions) => return Ok(completions.run()),
        Command::Man(man) => return man.run(),
        command => command,
    };
    let home = match arguments.home {
        Some(home) => home,
        None => Home::default_directory()?,
    };
    let mut agent = Agent::open(&home)?;
    match command {
        Command::Login(login) => login.run(&mut agent, json).await,
        Command::Password(password) => password.run(&agent, json).await,
        Command::Device(command) => command.run(&mut agent, json).await,
        Command::Folder(command) => command.run(&mut agent, json).await,
        Command::Share(share) => share.run(&agent, json).await,
        Command::Unshare(unshare) => unshare.run(&agent, json).await,
        Command::Members(members) => members.run(&agent, json).await,
        Command::Invitations(invitations) => invitations.run(&agent, json).await,
        Command::Accept(answer) => answer.accept(&agent, json).await,
        Command::Decline(answer) => answer.decline(&agent, json).await,
        Command::Leave(leave) => leave.run(&mut agent, json).await,
        Command::Sync(sync) => sync.run(&agent, json).await,
        Command::Fetch(fetch) => fetch.run(&agent, json).await,
        Command::Status(status) => status.run(&agent, json).await,
        Command::Conflicts(conflicts) => conflicts.run(&agent, json),
        Command::Log(log) => log.run(&agent, json),
        Command::Versions(versions) => versions.run(&agent, json),
        Command::Restore(restore) => restore.run(&agent, json),
        Command::Doctor(doctor) => doctor.run(&agent, json).await,
        Command::Completions(_) | Command::Man(_) => Ok(ExitCode::SUCCESS), // above
    }
}
