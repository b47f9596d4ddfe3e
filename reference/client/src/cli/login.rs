//! `mesh login`

use std::io::{BufRead, IsTerminal as _};
use std::path::PathBuf;
use std::process::ExitCode;

use qrcode::QrCode;
use qrcode::render::unicode::Dense1x2;
use serde_json::json;

use super::output;
use crate::Agent;
use crate::cloud::{DeviceCode, Elsewhere};
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
    #[arg(long, value_name = "NAME", required_unless_present_any = ["browser", "provider"], conflicts_with_all = ["browser", "provider"])]
    user: Option<String>,
    /// Sign in with a browser on any device, by passkey or whatever way the cloud has, instead of by password here.
    #[arg(long, conflicts_with = "provider")]
    browser: bool,
    /// Sign in at this provider of the cloud, with a browser on any device, instead of by password.
    #[arg(long, value_name = "NAME")]
    provider: Option<String>,
    /// Make the user first.
    #[arg(long, conflicts_with_all = ["browser", "provider"])]
    register: bool,
}

impl Login {
    pub(super) async fn run(self, agent: &mut Agent, json: bool) -> Result<ExitCode> {
        let ca = match &self.ca {
            Some(path) => Some(std::fs::read(path).map_err(Error::io("reading the CA file", path))?),
            None => None,
        };
        let elsewhere = self.provider.map(Elsewhere::Provider).or(self.browser.then_some(Elsewhere::Cloud));
        let user = if let Some(elsewhere) = elsewhere {
            agent.login_at(&self.cloud, ca, &elsewhere, show).await?
        } else {
            let (user, password) = (self.user.unwrap_or_default(), secret("MESH_PASSWORD", "the password")?);
            agent.login(&self.cloud, ca, &user, &password, self.register).await?;
            user
        };
        let device = agent.config().device.as_ref().map(|device| device.id.as_str());
        output::tell(json, &json!({ "user": user, "cloud": agent.config().cloud, "device": device }), || {
            say!("signed in as {user}");
            if device.is_none() {
                say!("next: mesh device add NAME");
            }
        })
    }
}

fn show(code: &DeviceCode) {
    // Not standard output, which the result is for.
    output::aside(&format!("open {} and enter {}", code.uri, code.user_code));
    if let Some(complete) = &code.complete {
        output::aside(&format!("or open {complete}"));
        let drawn = QrCode::new(complete).map(|qr| qr.render::<Dense1x2>().quiet_zone(true).build());
        // For people alone, on whose screens light is light; a link too long for a QR code is only told.
        if let (Ok(drawn), true) = (drawn, std::io::stderr().is_terminal()) {
            output::aside(&format!("\n{drawn}\n"));
        }
    }
}

/// A secret from the environment, or else the next line of standard input.
pub(super) fn secret(variable: &str, what: &str) -> Result<String> {
    if let Ok(secret) = std::env::var(variable) {
        return Ok(secret);
    }
    let mut line = String::new();
    let read = std::io::stdin().lock().read_line(&mut line);
    read.map_err(|source| Error::Io { what: format!("reading {what} from standard input"), source })?;
    let secret = line.trim_end_matches(['\n', '\r']);
    if secret.is_empty() {
        return Err(Error::usage(format!("{what} is missing: set {variable} or write it to standard input")));
    }
    Ok(secret.into())
}
