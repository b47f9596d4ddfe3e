//! `mesh device add`, `mesh device list`

use std::process::ExitCode;

use meshproof_proto::codec::Id;
use meshproof_proto::crypto::KeyBits;
use serde::Serialize;
use serde_json::json;

use super::output;
use super::words::words;
use crate::Agent;
use crate::cloud::DeviceInfo;
use crate::error::{Error, Result};

#[derive(clap::Subcommand)]
pub(super) enum Command {
    /// Make a key on this device and claim it.
    Add {
        /// What to call this device.
        name: String,
        /// Size of the RSA key.
        #[arg(long, default_value = "3072", value_parser = ["2048", "3072"])]
        bits: String,
    },
    /// Accept a weaker suite from a device than it had before, after it was set up anew.
    ForgetSuite {
        /// Its identifier.
        device: String,
    },
    /// List the user's devices.
    List,
}

impl Command {
    pub(super) async fn run(self, agent: &mut Agent, json: bool) -> Result<ExitCode> {
        match self {
            Self::Add { name, bits } => {
                let bits = if bits == "2048" { KeyBits::B2048 } else { KeyBits::B3072 };
                let id = agent.add_device(&name, bits).await?.to_string();
                let fingerprint = agent.fingerprint()?;
                let words = words(&fingerprint);
                let value = json!({ "device": id, "fingerprint": fingerprint, "words": words });
                output::tell(json, &value, || {
                    say!("{id}");
                    output::aside(&format!("    its key in words: {words}"));
                })
            }
            Self::ForgetSuite { device } => {
                let id =
                    Id::parse(&device).ok_or_else(|| Error::usage("a device identifier has 32 digits"))?;
                let known = agent.forget_suite(id);
                output::tell(json, &json!({ "forgotten": known }), || {
                    say!("{}", if known { "forgotten" } else { "nothing was remembered of this device" });
                })
            }
            Self::List => {
                let devices = agent.cloud()?.devices().await?;
                let listed: Vec<Listed> = devices
                    .into_iter()
                    .map(|device| Listed { words: words(&device.fingerprint), device })
                    .collect();
                output::tell(json, &listed, || {
                    for Listed { device, words } in &listed {
                        say!("{} {:8} {}", device.device, device.state, device.name);
                        say!("    fingerprint {}", device.fingerprint);
                        say!("    in words    {words}");
                    }
                })
            }
        }
    }
}

#[derive(Serialize)]
struct Listed {
    #[serde(flatten)]
    device: DeviceInfo,
    words: String,
}
