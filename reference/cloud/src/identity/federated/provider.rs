//! A provider: what it says of itself (OpenID Connect Discovery), its token endpoint, its ID tokens.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use jsonwebtoken::jwk::JwkSet;
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, decode_header};
use meshproof_proto::requirement::{self as req, demand};
use reqwest::{Client, StatusCode, redirect};
use serde::Deserialize;
use serde_json::Value;

use super::failed;
use crate::Error;
use crate::config::{Config, OidcProvider};
use crate::problem::Problem;

/// How long an answer of a provider may take.
const TIMEOUT: Duration = Duration::from_secs(10);
/// The bytes of an answer of a provider.
const LARGEST: usize = 1_048_576;
/// How long what a provider says of itself is believed, and how soon it may be asked again for a key we do not know.
const FRESH: Duration = Duration::from_mins(10);
const KEYS_MAY_BE_NEW: Duration = Duration::from_secs(10);

/// A signature that the cloud's own secret could make is none of the provider's.
const ALGORITHMS: [Algorithm; 9] = [
    Algorithm::RS256,
    Algorithm::RS384,
    Algorithm::RS512,
    Algorithm::PS256,
    Algorithm::PS384,
    Algorithm::PS512,
    Algorithm::ES256,
    Algorithm::ES384,
    Algorithm::EdDSA,
];

/// A configured provider.
pub(super) struct Provider {
    pub(super) name: String,
    pub(super) issuer: String,
    pub(super) client_id: String,
    secret: String,
    http: Client,
    known: Mutex<Option<(Instant, Arc<Metadata>)>>,
}

/// What a provider says of itself, and its keys.
#[derive(Deserialize)]
pub(super) struct Metadata {
    issuer: String,
    pub(super) authorization_endpoint: String,
    token_endpoint: String,
    jwks_uri: String,
    pub(super) device_authorization_endpoint: Option<String>,
    /// RFC 9207
    #[serde(default)]
    pub(super) authorization_response_iss_parameter_supported: bool,
    token_endpoint_auth_methods_supported: Option<Vec<String>>,
    #[serde(skip, default = "no_keys")]
    keys: JwkSet,
}

/// What an ID token says.
#[derive(Deserialize)]
pub(super) struct Claims {
    pub(super) sub: String,
    pub(super) nonce: Option<String>,
    pub(super) preferred_username: Option<String>,
    pub(super) email: Option<String>,
    azp: Option<String>,
}

/// What the token endpoint said.
pub(super) enum Tokens {
    /// The ID token.
    Id(String),
    /// The person has not decided yet (RFC 8628); `true`: we ask too often.
    Pending(bool),
}

fn no_keys() -> JwkSet {
    JwkSet { keys: Vec::new() }
}

impl Provider {
    /// Reads the client secret of a provider.
    pub(super) fn open(config: &Config, provider: &OidcProvider) -> Result<Self, Error> {
        // Somebody else in this process may have chosen; then theirs serves.
        drop(rustls::crypto::aws_lc_rs::default_provider().install_default());
        let secret = if let Some(secret) = &provider.client_secret {
            secret.clone()
        } else {
            let path = config.data.join(format!("oidc-{}.secret", provider.name));
            let text = std::fs::read_to_string(&path).map_err(|source| Error::Data { path, source })?;
            text.trim_end_matches(['\n', '\r']).to_owned()
        };
        let http = Client::builder().redirect(redirect::Policy::none()).timeout(TIMEOUT).build();
        Ok(Self {
            name: provider.name.clone(),
            issuer: provider.issuer.clone(),
            client_id: provider.client_id.clone(),
            secret,
            http: http.map_err(|e| Error::Stopped(format!("no HTTPS client: {e}")))?,
            known: Mutex::new(None),
        })
    }

    /// What the provider says of itself.
    pub(super) async fn metadata(&self) -> Result<Arc<Metadata>, Problem> {
        self.metadata_of_age(FRESH).await
    }

    async fn metadata_of_age(&self, age: Duration) -> Result<Arc<Metadata>, Problem> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some((_, metadata)) = known.filter(|(at, _)| at.elapsed() < age) {
            return Ok(metadata);
        }
        let url = format!("{}/.well-known/openid-configuration", self.issuer.trim_end_matches('/'));
        let mut metadata: Metadata = self.get(&url).await?;
        if metadata.issuer != self.issuer {
            return Err(failed(self, format!("the provider calls itself {}", metadata.issuer)));
        }
        metadata.keys = self.get(&metadata.jwks_uri).await?;
        let metadata = Arc::new(metadata);
        let known = Some((Instant::now(), Arc::clone(&metadata)));
        *self.known.lock().unwrap_or_else(PoisonError::into_inner) = known;
        Ok(metadata)
    }

    async fn get<T: serde::de::DeserializeOwned>(&self, url: &str) -> Result<T, Problem> {
        let answer = async { self.http.get(url).send().await?.error_for_status() };
        let answer = answer.await.map_err(|e| failed(self, format!("{url}: {e}")))?;
        json(answer).await.map_err(|e| failed(self, format!("{url}: {e}")))
    }

    /// Posts a form as this client.
    pub(super) async fn post(
        &self,
        url: &str,
        form: &[(&str, &str)],
    ) -> Result<(StatusCode, Value), Problem> {
        let metadata = self.metadata().await?;
        // client_secret_basic is what there is if nothing is said.
        let methods = metadata.token_endpoint_auth_methods_supported.as_deref();
        let in_body = methods.is_some_and(|methods| {
            !methods.iter().any(|m| m == "client_secret_basic")
                && methods.iter().any(|m| m == "client_secret_post")
        });
        let mut form = form.to_vec();
        let mut request = self.http.post(url);
        if in_body {
            form.extend([("client_id", self.client_id.as_str()), ("client_secret", &self.secret)]);
        } else {
            request = request.basic_auth(form_encoded(&self.client_id), Some(form_encoded(&self.secret)));
        }
        let body = form.iter().map(|(name, value)| format!("{name}={}", form_encoded(value)));
        let body = body.collect::<Vec<_>>().join("&");
        let request = request.header("content-type", "application/x-www-form-urlencoded").body(body);
        let response = request.send().await.map_err(|e| failed(self, format!("{url}: {e}")))?;
        let status = response.status();
        Ok((status, json(response).await.map_err(|e| failed(self, format!("{url}: {e}")))?))
    }

    /// Asks the token endpoint.
    pub(super) async fn tokens(&self, form: &[(&str, &str)]) -> Result<Tokens, Problem> {
        let endpoint = self.metadata().await?.token_endpoint.clone();
        let (status, body) = self.post(&endpoint, form).await?;
        match (status.is_success(), body["id_token"].as_str(), body["error"].as_str()) {
            (true, Some(token), _) => Ok(Tokens::Id(token.to_owned())),
            (false, _, Some("authorization_pending")) => Ok(Tokens::Pending(false)),
            (false, _, Some("slow_down")) => Ok(Tokens::Pending(true)),
            (_, _, error) => Err(failed(self, format!("the token endpoint says {status}, {error:?}"))),
        }
    }

    /// Verifies an ID token (IDN-040); `nonce` is that of the sign-in, if it has one (IDN-041).
    pub(super) async fn verify(&self, token: &str, nonce: Option<&str>) -> Result<Claims, Problem> {
        let refused = |e: jsonwebtoken::errors::Error| failed(self, format!("the ID token: {e}"));
        let header = decode_header(token).map_err(refused)?;
        if !ALGORITHMS.contains(&header.alg) {
            return Err(failed(self, format!("the ID token is signed with {:?}", header.alg)));
        }
        let mut metadata = self.metadata().await?;
        let find = |metadata: &Metadata| match &header.kid {
            Some(kid) => metadata.keys.find(kid).cloned(),
            None => metadata.keys.keys.first().filter(|_| metadata.keys.keys.len() == 1).cloned(),
        };
        if find(&metadata).is_none() {
            metadata = self.metadata_of_age(KEYS_MAY_BE_NEW).await?;
        }
        let jwk = find(&metadata).ok_or_else(|| failed(self, "the ID token is signed by an unknown key"))?;
        let key = DecodingKey::from_jwk(&jwk).map_err(refused)?;
        let mut validation = Validation::new(header.alg);
        validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
        validation.set_issuer(&[&self.issuer]);
        validation.set_audience(&[&self.client_id]);
        let claims = decode::<Claims>(token, &key, &validation).map_err(refused)?.claims;
        if claims.azp.as_ref().is_some_and(|azp| *azp != self.client_id) {
            return Err(failed(self, "the ID token was given to another client"));
        }
        demand(nonce.is_none() || claims.nonce.as_deref() == nonce, req::IDN_041)?;
        Ok(claims)
    }
}

const HEX: [char; 16] = ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'A', 'B', 'C', 'D', 'E', 'F'];

/// `application/x-www-form-urlencoded`
pub(super) fn form_encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.extend(['%', HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]);
        }
    }
    encoded
}

/// The JSON of an answer, if it ends within [`LARGEST`].
async fn json<T: serde::de::DeserializeOwned>(mut answer: reqwest::Response) -> Result<T, String> {
    let mut body = Vec::new();
    while let Some(bytes) = answer.chunk().await.map_err(|e| e.to_string())? {
        if body.len() + bytes.len() > LARGEST {
            return Err(format!("the answer has more than {LARGEST} bytes"));
        }
        body.extend_from_slice(&bytes);
    }
    serde_json::from_slice(&body).map_err(|e| e.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// White space before a number is JSON.
    #[tokio::test]
    async fn the_largest_answer() {
        let answer = |length: usize| {
            let mut body = vec![b' '; length];
            body[length - 1] = b'7';
            json::<u64>(axum::http::Response::new(body).into())
        };
        assert_eq!(answer(LARGEST).await, Ok(7));
        assert!(answer(LARGEST + 1).await.unwrap_err().contains("more than"));
    }
}
