//! OpenID Connect: this cloud as the relying party of configured providers (`spec/identity.md`, section 4.5).
//!
//! | file | what |
//! |---|---|
//! | `provider.rs` | what a provider says of itself, its token endpoint, its ID tokens |
//! | `browser.rs` | authorisation code with PKCE, for browsers |
//! | `device.rs` | RFC 8628, for programs without one |
//! | `identities.rs` | a user's own identities |
//! | `people.rs` | from (issuer, subject) to a user |

mod browser;
mod device;
mod identities;
mod people;
mod provider;

use axum::Router;
use axum::extract::{FromRequestParts, RawPathParams};
use axum::http::request::Parts;
use axum::routing::{delete, get, post};
use meshproof_proto::requirement::{self as req, demand_some};
use serde_json::{Value, json};

use self::provider::Provider;
use super::sessions::Way;
use crate::Error;
use crate::config::Config;
use crate::problem::Problem;
use crate::state::App;

/// AuthnContextClassRef of who signed in elsewhere: we do not know how.
const CLASS: &str = "urn:oasis:names:tc:SAML:2.0:ac:classes:unspecified";

/// The configured providers.
pub(crate) struct Federated(Vec<Provider>);

impl Federated {
    /// Reads the client secrets. The providers are asked when they are first needed.
    pub(crate) fn open(config: &Config) -> Result<Self, Error> {
        let providers = config.identity.providers.iter().map(|provider| Provider::open(config, provider));
        providers.collect::<Result<_, _>>().map(Self)
    }

    /// The items of `/identity/providers`.
    pub(crate) fn items(&self) -> impl Iterator<Item = Value> {
        self.0.iter().map(|provider| {
            let path = |last: &str| format!("/identity/federated/{}/{last}", provider.name);
            let links = json!({
                "start": path("start"),
                "link": path("link"),
                "device": path("device"),
                "identities": identities::PATH,
            });
            json!({ "name": provider.name, "kind": "oidc", "links": links })
        })
    }

    /// The provider of this name (IDN-036).
    fn named(&self, name: &str) -> Result<&Provider, Problem> {
        let found = self.0.iter().find(|provider| provider.name == name);
        let found = demand_some(found.map(Some), req::IDN_036, || self.0.first())?;
        found.ok_or(req::IDN_036.into())
    }
}

/// The name of a provider in a path.
struct Named(String);

impl FromRequestParts<App> for Named {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        let no_provider = |_| Problem::from(req::IDN_036); // a segment that is no UTF-8
        let params = RawPathParams::from_request_parts(parts, app).await.map_err(no_provider)?;
        let name = params.iter().next().map(|(_, name)| name.to_owned());
        Ok(Self(name.unwrap_or_default()))
    }
}

/// The paths below `/identity/federated`.
pub(crate) fn routes() -> Router<App> {
    Router::new()
        .route("/identity/federated/token", post(browser::post_token))
        .route(identities::PATH, get(identities::list))
        .route("/identity/federated/identities/{identity}", delete(identities::remove))
        .route("/identity/federated/{provider}/start", get(browser::start))
        .route("/identity/federated/{provider}/link", post(browser::link))
        .route("/identity/federated/{provider}/callback", get(browser::callback))
        .route("/identity/federated/{provider}/device", post(device::post))
        .route("/identity/federated/{provider}/device/token", post(device::post_token))
}

fn way(provider: &Provider) -> Way<'_> {
    Way { provider: &provider.name, class: CLASS, app_password: None }
}

/// What a provider did wrong, or somebody in its name. The client learns that it did not work, the log why.
fn failed(provider: &Provider, why: impl std::fmt::Display) -> Problem {
    tracing::warn!(provider = provider.name, %why, "federated sign-in failed");
    req::IDN_040.into()
}
