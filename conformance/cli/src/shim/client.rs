//! The op `client`: what the user of the reference's device agent wants, as `mesh` would do it.

use std::path::Path;
use std::sync::{Arc, LazyLock};

use meshproof_client::Agent;
use meshproof_client::agent::{NewFolder, Outcome};
use meshproof_client::sync::{Direction, NoProgress};
use meshproof_kit::vectors::fixtures::KEY_Y;
use serde_json::json;

use super::connect::stop;
use super::fields::{Fields, missing};
use super::{Ran, Stop, none};

/// The key of every device that is claimed here, a test key. To make one takes longer than all else, and each check has a cloud of
/// its own, in which no other device has it.
fn key() -> &'static [u8] {
    static KEY: LazyLock<Vec<u8>> = LazyLock::new(|| KEY_Y.pkcs8());
    &KEY
}

/// Does one thing, from an agent that is opened to one that is closed: what is to last is in its home.
pub(super) fn act(request: Fields<'_>) -> Ran {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Stop::BadRequest(format!("no runtime: {error}")))?;
    runtime.block_on(act_in(request))
}

async fn act_in(request: Fields<'_>) -> Ran {
    let mut agent = Agent::open(Path::new(request.text("home")?)).map_err(stop)?;
    match request.text("do")? {
        "login" => {
            let (url, ca) = (request.text("cloud")?, request.text("ca")?.as_bytes().to_vec());
            let (user, password) = (request.text("user")?, request.text("password")?);
            agent.login(url, Some(ca), user, password, false).await.map_err(stop)?;
        }
        "claim" => {
            let id = agent.add_device_with(request.text("name")?, key()).await.map_err(stop)?;
            return Ok(json!({ "device": id.to_string() }));
        }
        "join" => {
            let folder = NewFolder {
                path: request.text("path")?.into(),
                name: None,
                join: Some(request.text("folder")?.to_owned()),
                p2p_only: false,
                direction: Direction::Both,
            };
            agent.add_folder(folder).await.map_err(stop)?;
        }
        "sync" => return sync(&agent).await,
        _ => return Err(missing("do", "login, claim, join or sync")),
    }
    Ok(none())
}

async fn sync(agent: &Agent) -> Ran {
    let round = agent.sync_once(Arc::new(NoProgress)).await.map_err(stop)?;
    let mut synced = 0;
    for peer in round.peers {
        match peer.outcome {
            Outcome::Failed(error) => return Err(stop(error)),
            Outcome::Synced(_) => synced += 1,
            Outcome::Offline | Outcome::Underway | Outcome::Waiting => {}
        }
    }
    for (_, copied) in round.cloud {
        if let Some(doubt) = copied.map_err(stop)?.doubts.first() {
            return Err(stop(meshproof_proto::error::Error::from(doubt.rule).into()));
        }
    }
    Ok(json!({ "synced": synced }))
}
