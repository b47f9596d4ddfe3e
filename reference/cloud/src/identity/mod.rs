//! The identity service: finds out who somebody is, and gives out a token (`spec/identity.md`).
//!
//! How is a matter of providers, which the configuration chooses: passwords (`tokens.rs`), OpenID Connect
//! (`federated/`), passkeys (`passkeys/`), somebody who is signed in elsewhere (`codes.rs`). All end in [`sessions::begin`].

pub(crate) mod app_passwords;
pub(crate) mod change;
pub(crate) mod codes;
#[cfg(feature = "oidc")]
pub(crate) mod federated;
#[cfg(not(feature = "oidc"))]
#[path = "without_federated.rs"]
pub(crate) mod federated;
pub(crate) mod passkeys;
pub(crate) mod password;
pub(crate) mod sessions;
pub(crate) mod throttle;
pub(crate) mod tokens;
pub(crate) mod users;

use axum::extract::State;
use meshproof_proto::requirement::{self as req, demand, deviates};
use serde_json::{Value, json};

use crate::problem::Problem;
use crate::state::App;
use crate::store::passkeys::Ways;

/// By name and password.
pub(crate) const PASSWORD: sessions::Way<'static> = sessions::Way {
    provider: "password",
    class: "urn:oasis:names:tc:SAML:2.0:ac:classes:PasswordProtectedTransport",
    app_password: None,
};

/// `GET /identity/providers`: how people may sign in here (IDN-035).
pub(crate) async fn providers(State(app): State<App>) -> axum::Json<Value> {
    let mut items = Vec::new();
    if app.config.identity.password_sign_in && !deviates(req::IDN_035) {
        items.push(json!({ "name": PASSWORD.provider, "kind": "password" }));
    }
    items.extend(app.federated.items());
    items.extend(passkeys::item(&app));
    items.extend(codes::item(&app));
    axum::Json(json!({ "items": items, "links": { "self": "/identity/providers" } }))
}

/// By what people can sign in here.
fn ways(app: &App) -> Ways {
    let providers = app.federated.items().filter_map(|item| item["name"].as_str().map(str::to_owned));
    Ways {
        passkeys: passkeys::item(app).is_some(),
        passwords: app.config.identity.password_sign_in,
        providers: providers.collect(),
    }
}

/// Whether people may sign in by password here (IDN-036).
fn passwords_are_on(app: &App) -> Result<(), Problem> {
    Ok(demand(app.config.identity.password_sign_in, req::IDN_036)?)
}
