//! Being called: other devices that cannot reach this one wait for it at a relay, and the graph tells.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use meshproof_proto::codec::Id;

use super::Agent;
use crate::backoff::Backoff;
use crate::cloud::Calls;
use crate::error::Result;
use crate::relay;
use crate::responder::Responder;

/// How often to look whether the cloud has a relay now.
const LOOK_AGAIN: Duration = Duration::from_mins(5);

impl Agent {
    /// Begins to listen for calls, if the cloud has relays.
    pub(super) async fn listen_for_calls(&self) -> Result<Option<Calls>> {
        let cloud = self.cloud()?;
        if cloud.relays().await?.is_empty() {
            return Ok(None);
        }
        cloud.listen(self.device()?.id()).await.map(Some)
    }

    /// Answers calls for ever. `calls` is what [`listen_for_calls`](Self::listen_for_calls) gave before.
    pub(super) async fn answer_calls(&self, mut calls: Result<Option<Calls>>, responder: &Arc<Responder>) {
        let (mut backoff, mut seen) = (Backoff::default(), BTreeSet::new());
        loop {
            let ended = match calls {
                Ok(Some(calls)) => self.answer_until_broken(calls, responder, &mut seen, &mut backoff).await,
                Ok(None) => {
                    tokio::time::sleep(LOOK_AGAIN).await;
                    Ok(())
                }
                Err(error) => Err(error),
            };
            if let Err(error) = ended {
                tracing::debug!(requirement = error.requirement_id(), "listening for calls: {error}");
                tokio::time::sleep(backoff.next(&mut crate::os_entropy)).await;
            }
            calls = self.listen_for_calls().await;
        }
    }

    async fn answer_until_broken(
        &self,
        mut calls: Calls,
        responder: &Arc<Responder>,
        seen: &mut BTreeSet<Id>,
        backoff: &mut Backoff,
    ) -> Result<()> {
        let (cloud, own) = (self.cloud()?, self.device()?.id());
        loop {
            let callers = cloud.callers(own).await?;
            backoff.reset();
            seen.retain(|circuit| callers.iter().any(|caller| caller.circuit == *circuit));
            for caller in callers {
                if !seen.insert(caller.circuit) {
                    continue;
                }
                let responder = responder.clone();
                tokio::spawn(async move {
                    match relay::join(&caller.relay, &caller.pass).await {
                        Ok(stream) => responder.answer_relayed(stream, caller.circuit, caller.token).await,
                        Err(error) => tracing::debug!(peer = %caller.device, "answering at a relay: {error}"),
                    }
                });
            }
            while !cloud.wait_for_call(&mut calls).await? {}
        }
    }
}
