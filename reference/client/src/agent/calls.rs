//! What the graph tells while this device is online: who waits for it at a relay, and which peer announces itself.

use std::collections::BTreeSet;
use std::sync::Arc;

use meshproof_proto::codec::Id;
use tokio::time::Instant;

use super::Agent;
use crate::backoff::Backoff;
use crate::cloud::News;
use crate::error::{Error, Result};
use crate::relay;
use crate::responder::Responder;

impl Agent {
    /// Begins to listen for calls.
    pub(super) async fn listen_for_calls(&self) -> Result<News> {
        self.cloud()?.listen(self.device()?.id()).await
    }

    /// Answers calls for ever. `news` is what [`listen_for_calls`](Self::listen_for_calls) gave before.
    pub(super) async fn answer_calls(&self, mut news: Result<News>, responder: &Arc<Responder>) {
        let (mut backoff, mut seen) = (Backoff::default(), BTreeSet::new());
        loop {
            let ended = match news {
                Ok(news) => self.answer_until_broken(news, responder, &mut seen, &mut backoff).await,
                Err(error) => Err(error),
            };
            if let Err(error) = ended {
                tracing::debug!(requirement = error.requirement_id(), "listening for calls: {error}");
                tokio::time::sleep(backoff.next(&mut crate::os_entropy)).await;
            }
            news = self.listen_for_calls().await;
        }
    }

    async fn answer_until_broken(
        &self,
        mut news: News,
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
                let (responder, user) = (responder.clone(), self.owner(caller.device).user);
                tokio::spawn(async move {
                    let join = async {
                        let stream = relay::join(&caller.relay, &caller.pass).await?;
                        let failed = |source| Error::Io { what: "the relay".into(), source };
                        let relay = stream.peer_addr().map_err(failed)?;
                        Ok((stream, relay))
                    };
                    responder.answer_call(user, caller.token, join).await;
                });
            }
            loop {
                let peers = super::lock(&self.known_peers).clone();
                cloud.listen_for(&mut news, peers).await?;
                let folders: Vec<Id> = self.folders()?.iter().map(|folder| folder.id()).collect();
                cloud.listen_to(&mut news, &folders).await?;
                let told = cloud.wait_for_news(&mut news).await?;
                if !told.changed.is_empty() {
                    self.cloud_news.notify_one();
                }
                for peer in told.announced {
                    if !cloud.addresses(peer).await?.is_empty() {
                        self.retries.announced(peer, Instant::now());
                    }
                }
                if told.called {
                    break;
                }
            }
        }
    }
}
