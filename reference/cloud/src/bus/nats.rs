//! Wake-ups from and to other processes, over NATS.
//!
//! Each hint goes to all processes of a cloud: who shares a database is a group of bounded size (`SCALE.md`).

use std::sync::Weak;

use async_nats::{ConnectOptions, Event};
use futures_util::StreamExt as _;
use meshproof_proto::codec::Id;
use tokio::sync::mpsc;

use super::{Bus, Inner, Mutex};
use crate::{Error, config};

const SUBJECT: &str = "meshproof.wake";

/// How many hints may wait to be sent. More are lost, as hints may be.
const WAITING: usize = 4_096;

/// Joins. While the server cannot be reached wake-ups stay inside this process; when it is back everybody looks.
pub(super) async fn join(bus: &Bus, server: &config::Bus) -> Result<(), Error> {
    // Known to `rustls` before anybody asks for a connection over TLS; installed already is as good.
    drop(rustls::crypto::aws_lc_rs::default_provider().install_default());
    let failed = |e: &dyn std::fmt::Display| Error::Configuration(format!("bus.url: {e}"));
    let back = std::sync::Arc::downgrade(&bus.0);
    let mut options =
        ConnectOptions::new().name("meshd").no_echo().retry_on_initial_connect().event_callback(
            move |event| {
                let bus = upgraded(&back);
                async move {
                    tracing::info!("bus: {event}");
                    if let (Event::Connected, Some(bus)) = (event, bus) {
                        bus.wake_everybody(); // what was sent meanwhile is lost
                    }
                }
            },
        );
    if let Some(token) = &server.token {
        options = options.token(token.clone());
    }
    let client = options.connect(&server.url).await.map_err(|e| failed(&e))?;
    let mut hints = client.subscribe(SUBJECT).await.map_err(|e| failed(&e))?;
    let (others, mut waiting) = mpsc::channel::<Vec<Id>>(WAITING);
    bus.inner().others = Some(others);
    // Both end with the bus: the first when nobody can send any more, the other without a client.
    tokio::spawn(async move {
        while let Some(ids) = waiting.recv().await {
            let bytes: Vec<u8> = ids.iter().flat_map(|id| id.0).collect();
            if let Err(error) = client.publish(SUBJECT, bytes.into()).await {
                tracing::warn!("bus: {error}");
            }
        }
    });
    let bus = std::sync::Arc::downgrade(&bus.0);
    tokio::spawn(async move {
        while let Some(hint) = hints.next().await {
            let Some(bus) = upgraded(&bus) else { break };
            let ids = hint.payload.chunks_exact(16).filter_map(|id| id.try_into().ok().map(Id));
            bus.wake_here(&ids.collect::<Vec<_>>());
        }
    });
    Ok(())
}

fn upgraded(bus: &Weak<Mutex<Inner>>) -> Option<Bus> {
    bus.upgrade().map(Bus)
}
