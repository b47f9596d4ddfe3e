//! Signing a person in, out, and over (`spec/identity.md`).

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};

use super::Cloud;
use super::http::{Rights, unexpected};
use super::session::{MESH, Session};
use crate::error::{Error, Result};
use crate::now;

/// How long one waits between two questions if the cloud does not say, and how much longer when it asks for patience
/// (RFC 8628, section 3.5).
const INTERVAL: u64 = 5;

/// Where a person signs in who has a browser, on this device or any other.
#[derive(Clone, Debug)]
pub enum Elsewhere {
    /// At the cloud's own pages, by whatever way it has.
    Cloud,
    /// At this provider of the cloud.
    Provider(String),
}

impl Elsewhere {
    /// Where codes are asked for, and where the questions go.
    fn paths(&self) -> (String, String) {
        let begin = match self {
            Self::Cloud => "/identity/codes".to_owned(),
            Self::Provider(name) => format!("/identity/federated/{name}/device"),
        };
        let question = format!("{begin}/token");
        (begin, question)
    }
}

/// What a person needs to sign in elsewhere. It has no `Debug`: who has `ours` gets the token.
#[derive(Clone)]
pub struct DeviceCode {
    /// The page to open, on any device.
    pub uri: String,
    /// The code to enter there.
    pub user_code: String,
    /// The page with the code in it already, if the provider has one.
    pub complete: Option<String>,
    ours: String,
    interval: u64,
    ends: u64,
}

impl Cloud {
    /// Makes a new user.
    pub async fn register(&self, name: &str, password: &str) -> Result<()> {
        let body = json!({ "name": name, "password": password });
        let mut session = self.session.lock().await;
        self.send(Method::POST, "/identity/users", Some(&body), Rights::None, &mut session).await.map(drop)
    }

    /// Signs the user in by name and password.
    pub async fn sign_in(&self, name: &str, password: &str) -> Result<()> {
        let body = json!({ "name": name, "password": password });
        let mut session = self.session.lock().await;
        let answer =
            self.send(Method::POST, "/identity/token", Some(&body), Rights::None, &mut session).await?;
        self.take_token(&answer.body, &mut session).await
    }

    /// Begins to sign somebody in without a browser on this device.
    pub async fn begin_sign_in_at(&self, elsewhere: &Elsewhere) -> Result<DeviceCode> {
        let mut session = self.session.lock().await;
        let (path, _) = elsewhere.paths();
        let body = self.send(Method::POST, &path, None, Rights::None, &mut session).await?.body;
        let text = |name: &str| body[name].as_str().map(str::to_owned);
        let bad = || unexpected(&format!("POST {path}"), "it has no codes");
        Ok(DeviceCode {
            uri: text("verification_uri").ok_or_else(bad)?,
            user_code: text("user_code").ok_or_else(bad)?,
            complete: text("verification_uri_complete"),
            ours: text("device_code").ok_or_else(bad)?,
            interval: body["interval"].as_u64().unwrap_or(INTERVAL),
            ends: now().plus(body["expires_in"].as_u64().unwrap_or(600)).0,
        })
    }

    /// Waits until the person has signed in there.
    pub async fn finish_sign_in_at(&self, elsewhere: &Elsewhere, code: &DeviceCode) -> Result<()> {
        let (_, path) = elsewhere.paths();
        let body = json!({ "device_code": code.ours });
        let mut interval = code.interval;
        while now().0 < code.ends {
            tokio::time::sleep(Duration::from_secs(interval)).await;
            let mut session = self.session.lock().await;
            let answer = self.send(Method::POST, &path, Some(&body), Rights::None, &mut session).await?.body;
            if answer["token"].is_string() {
                return self.take_token(&answer, &mut session).await;
            }
            interval += if answer["slow_down"] == true { INTERVAL } else { 0 };
        }
        Err(Error::usage("nobody signed in in time: try again"))
    }

    /// The name of the user who is signed in.
    pub async fn user_name(&self) -> Result<String> {
        let root = self.root().await?;
        let mesh = self.call(Method::GET, &root, None, MESH).await?;
        let name = mesh.body["name"].as_str().map(str::to_owned);
        name.ok_or_else(|| unexpected("GET of the mesh", "there is no name"))
    }

    /// Ends the session of the last sign-in, if there is one.
    pub async fn sign_out(&self) -> Result<()> {
        let mut session = self.session.lock().await;
        let Some((token, _)) = session.token.take() else { return Ok(()) };
        let rights = Rights::Token(&token);
        self.send(Method::DELETE, "/identity/token", None, rights, &mut session).await.map(drop)
    }

    /// Changes the password of the user who is signed in by it. All other sessions end.
    pub async fn change_password(&self, password: &str, new: &str) -> Result<()> {
        let body = json!({ "password": password, "new_password": new });
        let mut session = self.session.lock().await;
        let token = session.token.clone().map(|(token, _)| token).unwrap_or_default();
        let rights = Rights::Token(&token);
        self.send(Method::PUT, "/identity/password", Some(&body), rights, &mut session).await.map(drop)
    }

    /// Takes a token, and gets tickets for it.
    async fn take_token(&self, answer: &Value, session: &mut Session) -> Result<()> {
        let (token, life) = (answer["token"].as_str(), answer["expires_in"].as_u64());
        let (Some(token), Some(life)) = (token, life) else {
            return Err(unexpected("the sign-in", "token or expires_in is missing"));
        };
        session.token = Some((token.into(), now().plus(life).0));
        self.renew_by_token(session).await
    }
}
