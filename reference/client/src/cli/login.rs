//! `mesh login`

use std::io::BufRead;
use std::path::PathBuf;
use std::process::ExitCode;

use crate::Agent;
use crate::error::{Error, Result};

#[derive(clap::Args)]
pub(super) struct Login {
    /// The cloud's URL, such as <https://mesh.example>.
    #[arg(long, value_name = "URL")]
    cloud: String,
    /// PEM certificates to check the cloud's with, instead of the system's.
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// The user's name.
    #[arg(long, value_name = "NAME")]
    user: String,
    /// Make the user first.
    #[arg(long)]
    register: bool,
}

impl Login {
    pub(super) async fn run(self, agent: &mut Agent) -> Result<ExitCode> {
        let ca = match &self.ca {
            Some(path) => Some(std::fs::read(path).map_err(Error::io("reading the CA file", path))?),
            None => None,
        };
        agent.login(&self.cloud, ca, &self.user, &password()?, self.register).await?;
        println!("signed in as {}", self.user);
        if agent.config().device.is_none() {
            println!("next: mesh device add NAME");
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn password() -> Result<String> {
    if let Ok(password) = std::env::var("MESH_PASSWORD") {
        return Ok(password);
    }
    let mut line = String::new();
    let read = std::io::stdin().lock().read_line(&mut line);
    read.map_err(|source| Error::Io { what: "reading the password from standard input".into(), source })?;
    let password = line.trim_end_matches(['\n', '\r']);
    if password.is_empty() {
        return Err(Error::usage("there is no password: set MESH_PASSWORD or write it to standard input"));
    }
    Ok(password.into())
}
