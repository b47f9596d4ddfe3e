//! In place of `federated/` where the program was built without the feature `oidc`: there is no provider.

use axum::Router;
use axum::routing::{delete, get, post};
use meshproof_proto::requirement::{self as req, demand};
use serde_json::Value;

use crate::Error;
use crate::config::Config;
use crate::problem::Problem;
use crate::state::App;

/// No provider.
pub(crate) struct Federated;

impl Federated {
    #[expect(clippy::unnecessary_wraps, reason = "as with the feature")]
    pub(crate) fn open(_: &Config) -> Result<Self, Error> {
        Ok(Self)
    }

    #[expect(clippy::unused_self, reason = "as with the feature")]
    pub(crate) fn items(&self) -> impl Iterator<Item = Value> {
        std::iter::empty()
    }
}

/// The paths below `/identity/federated`.
pub(crate) fn routes() -> Router<App> {
    Router::new()
        .route("/identity/federated/token", post(no_such_provider))
        .route("/identity/federated/identities", get(no_such_provider))
        .route("/identity/federated/identities/{identity}", delete(no_such_provider))
        .route("/identity/federated/{provider}/start", get(no_such_provider))
        .route("/identity/federated/{provider}/link", post(no_such_provider))
        .route("/identity/federated/{provider}/callback", get(no_such_provider))
        .route("/identity/federated/{provider}/device", post(no_such_provider))
        .route("/identity/federated/{provider}/device/token", post(no_such_provider))
}

/// IDN-036
async fn no_such_provider() -> Result<(), Problem> {
    Ok(demand(false, req::IDN_036)?)
}
