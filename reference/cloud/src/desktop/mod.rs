//! Live Desktop: the cloud's web pages, below `/desktop`, and with the feature `webdav` its network drive, below `/dav`.
//!
//! The desktop is a client. It reaches the services by requests alone, which happen to stay in the process
//! ([`graph`]); all that it may do is decided by tickets, as for everybody else. It keeps nothing: the cookie of a
//! browser is the token that the identity service gave out, so any process can answer any request. This folder imports
//! neither `store` nor the insides of a service; a test of the house looks.
//!
//! Pages are plain HTML that works without scripts. Bytes of users are never served in a form that a browser would run
//! (`pages/bytes.rs`), and [`guard`] refuses writes that do not come from the desktop's own pages.

mod assets;
#[cfg(feature = "webdav")]
mod dav;
mod entries;
mod failure;
mod files;
mod graph;
mod guard;
mod pages;
mod session;
mod spool;

use std::future::ready;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Request};
use axum::middleware::{from_fn, map_request};
use axum::routing::{any, get, post};

use self::graph::Graph;
use self::spool::Spools;
use crate::extract::within;
use crate::state::Clock;

/// What the desktop has to be told.
pub(crate) struct Settings {
    /// Where bytes wait on their way into the cloud.
    pub(crate) spool: PathBuf,
    /// How long the next piece of a body may take to come.
    pub(crate) body_idle: Duration,
    pub(crate) clock: Arc<dyn Clock>,
}

/// What all pages share. Cloning is cheap.
#[derive(Clone)]
pub(crate) struct Desktop {
    graph: Graph,
    spools: Spools,
    body_idle: Duration,
}

/// The pages. `services` is where their requests go.
pub(crate) fn router(services: Router, settings: Settings) -> Router {
    let graph = Graph::new(services, settings.clock);
    let desktop = Desktop { graph, spools: Spools::new(settings.spool), body_idle: settings.body_idle };

    let folder = |path: &str| format!("/desktop/folders/{{folder}}/{path}");
    let pages = Router::new()
        .route("/desktop", get(pages::to_home))
        .route("/desktop/", get(pages::home::get))
        .route("/desktop/sign-in", get(pages::sign_in::get).post(pages::sign_in::post))
        .route("/desktop/register", get(pages::sign_in::get_register).post(pages::sign_in::post_register))
        .route("/desktop/sign-in/provider", get(pages::sign_in::get_provider))
        .route("/desktop/sign-in/passkey", post(pages::passkeys::sign_in))
        .route("/desktop/sign-in/passkey/options", post(pages::passkeys::sign_in_options))
        .route("/desktop/sign-out", post(pages::sign_in::sign_out))
        .route("/desktop/account", get(pages::account::get))
        .route("/desktop/account/password", post(pages::account::change_password))
        .route("/desktop/account/sessions/{session}", post(pages::account::end))
        .route("/desktop/account/passkeys", post(pages::passkeys::add))
        .route("/desktop/account/passkeys/options", post(pages::passkeys::options))
        .route("/desktop/account/passkeys/{passkey}", post(pages::passkeys::remove))
        .route("/desktop/account/identities/{identity}", post(pages::identities::remove))
        .route("/desktop/account/app-passwords", post(pages::app_passwords::add))
        .route("/desktop/account/app-passwords/{app_password}", post(pages::app_passwords::remove))
        .route("/desktop/codes", get(pages::codes::get).post(pages::codes::post))
        .route("/desktop/folders", post(pages::home::make_folder))
        .route("/desktop/invitations/{invitation}", post(pages::home::answer))
        .route("/desktop/news", get(pages::news::of_mesh))
        .route("/desktop/devices", get(pages::devices::get))
        .route("/desktop/devices/{device}/name", post(pages::devices::rename))
        .route("/desktop/devices/{device}/revocation", get(pages::devices::ask).post(pages::devices::revoke))
        .route(&folder(""), get(pages::folder::get))
        .route(&folder("news"), get(pages::news::of_folder))
        .route(&folder("settings"), get(pages::settings::get))
        .route(&folder("name"), post(pages::settings::rename))
        .route(&folder("removal"), get(pages::settings::ask).post(pages::settings::remove))
        .route(&folder("members"), get(pages::sharing::get).post(pages::sharing::add))
        .route(&folder("members/{user}"), post(pages::sharing::change))
        .route(&folder("invitations/{invitation}"), post(pages::sharing::withdraw))
        .route(&folder("directories"), post(pages::folder::make_directory))
        .route(&folder("upload"), post(pages::upload::post).layer(DefaultBodyLimit::disable()))
        .route(&folder("file"), get(pages::file::get))
        .route(&folder("rename"), get(pages::change::ask_rename).post(pages::change::rename))
        .route(&folder("remove"), get(pages::change::ask_remove).post(pages::change::remove))
        .route(&folder("entries/{entry}/bytes"), get(pages::bytes::get))
        .route("/desktop/assets/{name}", get(assets::get))
        .route("/desktop/{*path}", any(pages::nothing));
    let idle = desktop.body_idle;
    let pages =
        pages.layer(map_request(move |request: Request| ready(request.map(|body| within(body, idle)))));
    let pages = pages.layer(from_fn(guard::guard));
    #[cfg(feature = "webdav")]
    return pages.with_state(desktop.clone()).merge(dav::router(desktop));
    #[cfg(not(feature = "webdav"))]
    pages.with_state(desktop)
}
