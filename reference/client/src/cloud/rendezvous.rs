//! Rendezvous at a relay, and the queue that tells of them (`spec/graph.md`, sections 3.4 and 4.4).

use std::collections::BTreeMap;

use meshproof_proto::codec::{Id, hex_array};
use meshproof_proto::relay::PASS;
use reqwest::{Method, header};
use serde_json::{Value, json};

use super::Cloud;
use super::http::{self, problem, unexpected};
use super::operations::{id, items, text};
use super::session::MESH;
use crate::error::{Error, Result};

/// How long one poll waits, in seconds.
const WAIT: u64 = 50;

/// What one device needs to meet another at a relay. It has no `Debug`: the pass opens the circuit.
#[derive(Clone)]
pub struct Rendezvous {
    /// Names the rendezvous.
    pub circuit: Id,
    /// The other device.
    pub device: Id,
    /// The relay, as `host:port`.
    pub relay: String,
    /// The own pass.
    pub pass: [u8; PASS],
    /// The `rdv_token` of M1.
    pub token: [u8; 16],
}

/// A queue that tells when another device calls, or announces itself.
pub struct News {
    path: String,
    watermark: String,
    /// The subscriptions for calls and announcements.
    calls: String,
    endpoints: BTreeMap<String, Id>,
    folders: BTreeMap<String, Id>,
}

/// What a queue told.
#[derive(Debug, Default)]
pub struct Told {
    /// Somebody calls.
    pub called: bool,
    /// These devices announce other addresses than before, or none any more.
    pub announced: Vec<Id>,
    /// Something of these folders changed.
    pub changed: Vec<Id>,
}

impl Cloud {
    /// The relays of this cloud, as `host:port`.
    pub async fn relays(&self) -> Result<Vec<String>> {
        let path = self.below_root("relays").await?;
        let answer = self.call(Method::GET, &path, None, MESH).await?;
        Ok(items(&answer.body)?.iter().map(|item| text(item, "address")).collect())
    }

    /// Asks to meet a device at a relay.
    pub async fn rendezvous(&self, device: Id, relay: &str) -> Result<Rendezvous> {
        let path = self.rendezvous_path(device).await?;
        let answer = self.call(Method::POST, &path, Some(&json!({ "relay": relay })), MESH).await?;
        rendezvous(&answer.body)
    }

    /// Who waits for this device at a relay.
    pub async fn callers(&self, own: Id) -> Result<Vec<Rendezvous>> {
        let path = self.rendezvous_path(own).await?;
        let answer = self.call(Method::GET, &path, None, MESH).await?;
        items(&answer.body)?.iter().map(rendezvous).collect()
    }

    /// Makes a queue that tells who calls this device.
    pub async fn listen(&self, own: Id) -> Result<News> {
        let queues = self.below_root("queues").await?;
        let answer = self.call(Method::POST, &queues, None, MESH).await?;
        let path = answer.location.ok_or_else(|| unexpected("POST of a queue", "there is no Location"))?;
        let calls = self.rendezvous_path(own).await?;
        let (watermark, none) = (text(&answer.body, "watermark"), BTreeMap::new());
        let mut news = News { path, watermark, calls, endpoints: none, folders: BTreeMap::new() };
        self.subscribe(&mut news, None).await?;
        Ok(news)
    }

    /// Has the queue tell when these devices announce themselves, too.
    pub async fn listen_for(&self, news: &mut News, devices: impl IntoIterator<Item = Id>) -> Result<()> {
        for device in devices {
            if !news.endpoints.values().any(|known| *known == device) {
                self.subscribe(news, Some(device)).await?;
            }
        }
        Ok(())
    }

    /// Has the queue tell when these folders change, too.
    pub async fn listen_to(&self, news: &mut News, folders: &[Id]) -> Result<()> {
        for folder in folders.iter().copied() {
            let resource = self.folder_path(folder).await?;
            if news.folders.contains_key(&resource) {
                continue;
            }
            let body = json!({ "resource": resource });
            let path = format!("{}/subscriptions", news.path);
            match self.call(Method::POST, &path, Some(&body), &resource).await {
                Err(Error::Problem(problem)) if problem.error != "queue-gone" => {
                    tracing::debug!(%folder, "its changes: {problem}");
                }
                subscribed => drop(subscribed?),
            }
            news.folders.insert(resource, folder);
        }
        Ok(())
    }

    /// `None`: to the calls of this device.
    async fn subscribe(&self, news: &mut News, endpoints_of: Option<Id>) -> Result<()> {
        let resource = match endpoints_of {
            None => news.calls.clone(),
            Some(device) => format!("{}/{device}/endpoints", self.below_root("devices").await?),
        };
        let body = json!({ "resource": resource });
        let subscribed =
            self.call(Method::POST, &format!("{}/subscriptions", news.path), Some(&body), MESH).await;
        match (endpoints_of, subscribed) {
            // It may not be met any more, or is not there: nothing is told of it.
            (Some(device), Err(Error::Problem(problem))) if problem.error != "queue-gone" => {
                tracing::debug!(%device, "its announcements: {problem}");
            }
            (_, subscribed) => drop(subscribed?),
        }
        if let Some(device) = endpoints_of {
            news.endpoints.insert(resource, device);
        }
        Ok(())
    }

    /// Waits until the queue tells something, or for some time. Other requests go on meanwhile.
    pub async fn wait_for_news(&self, news: &mut News) -> Result<Told> {
        let path = format!("{}?after={}&wait={WAIT}", news.path, news.watermark);
        let what = format!("GET {path}");
        let request = self.http.get(self.at(&path));
        let request = request.header(header::AUTHORIZATION, self.tickets(MESH).await?);
        let response = self.execute(request).await?;
        if !response.status().is_success() {
            return Err(problem(what, response).await);
        }
        let body = http::json(&what, response).await?;
        news.watermark = text(&body, "watermark");
        let changed: Vec<String> = items(&body)?.iter().map(|item| text(item, "resource")).collect();
        let announced = changed.iter().filter_map(|resource| news.endpoints.get(resource).copied()).collect();
        let called = changed.contains(&news.calls);
        let changed = changed.iter().filter_map(|resource| news.folders.get(resource).copied()).collect();
        Ok(Told { called, announced, changed })
    }

    async fn rendezvous_path(&self, device: Id) -> Result<String> {
        Ok(format!("{}/{device}/rendezvous", self.below_root("devices").await?))
    }
}

fn rendezvous(item: &Value) -> Result<Rendezvous> {
    let pass = item["pass"].as_str().and_then(hex_array);
    let token = item["token"].as_str().and_then(hex_array);
    Ok(Rendezvous {
        circuit: id(item, "circuit")?,
        device: id(item, "device")?,
        relay: text(item, "relay"),
        pass: pass.ok_or_else(|| unexpected("a rendezvous", "there is no pass"))?,
        token: token.ok_or_else(|| unexpected("a rendezvous", "there is no token"))?,
    })
}
