//! `mesh folder encrypt`, `recovery-key`, `recover`, `keys`

use std::process::ExitCode;

use meshproof_proto::codec::Id;
use serde_json::{Value, json};

use super::login::secret;
use super::{output, words};
use crate::Agent;
use crate::agent::KeyStatus;
use crate::error::{Error, Result};

pub(super) async fn encrypt(agent: &Agent, folder: &str, json: bool) -> Result<ExitCode> {
    let status = agent.encrypt_folder(folder).await?;
    output::tell(json, &value(&status), || {
        say!("from now on the cloud has only sealed bytes and names of {folder}");
        say!("what was there before it has deleted, and may have read");
        say!("next: mesh folder recovery-key {folder}, for when all devices are lost");
    })
}

pub(super) async fn recovery_key(agent: &Agent, folder: &str, json: bool) -> Result<ExitCode> {
    let key = agent.new_recovery_key(folder).await?;
    let said = words::of_key(&key);
    output::tell(json, &json!({ "recovery_key": said.as_str() }), || {
        say!("{}", said.as_str());
        output::aside(&format!(
            "write this down: with it, and your password, a new device can read {folder}"
        ));
    })
}

pub(super) async fn recover(agent: &Agent, folder: &str, json: bool) -> Result<ExitCode> {
    let said = secret("MESH_RECOVERY_KEY", "the recovery key")?;
    let key = words::key_of(&said);
    let key =
        key.ok_or_else(|| Error::usage("this is no recovery key: it has twelve words, and one is wrong"))?;
    let status = agent.recover_folder(folder, key).await?;
    output::tell(json, &value(&status), || say!("this device can read {folder} now"))
}

pub(super) async fn keys(agent: &Agent, folder: &str, json: bool) -> Result<ExitCode> {
    let status = agent.key_status(folder).await?;
    output::tell(json, &status.as_ref().map(value), || match &status {
        None => say!("{folder} is not encrypted"),
        Some(status) => {
            say!("generation {}, {}", status.generation, words::words(&status.check));
            status.devices.iter().for_each(|device| say!("{device}"));
            say!("{} recovery keys", status.recoveries);
        }
    })
}

fn value(status: &KeyStatus) -> Value {
    json!({
        "generation": status.generation,
        "check": status.check,
        "words": words::words(&status.check),
        "devices": status.devices.iter().map(Id::to_string).collect::<Vec<_>>(),
        "recovery_keys": status.recoveries,
    })
}
