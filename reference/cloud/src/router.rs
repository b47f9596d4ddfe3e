//! The table of contents: every path, and what answers it.

use axum::extract::{MatchedPath, OriginalUri};
use axum::http::Method;
use axum::middleware::from_fn_with_state;
use axum::routing::{delete, get, post, put};
use axum::{Extension, Router};
use meshproof_proto::requirement::{self as req, demand, deviates};
use serde_json::Value;

use crate::config::Service;
use crate::graph::{
    batch, claim, contacts, devices, endpoints, entries, folder_ticket, folders, invitations, keys, mappings,
    members, news, options, pair, paths, presence, profile, queues, received, rendezvous, root, states,
    subscriptions, sync, writers,
};
use crate::problem::Problem;
use crate::state::App;
use crate::storage::{media, uploads, wanted};
use crate::{account, desktop, identity, observe};

/// The services that the configuration names, in one.
pub(crate) fn router(app: App) -> Router {
    let identity = Router::new()
        .route("/identity/users", post(identity::users::post))
        .route("/identity/token", post(identity::tokens::post).delete(identity::sessions::sign_out))
        .route("/identity/providers", get(identity::providers))
        .route("/identity/password", put(identity::change::put))
        .route(
            "/identity/app-passwords",
            get(identity::app_passwords::list).post(identity::app_passwords::post),
        )
        .route("/identity/app-passwords/{app_password}", delete(identity::app_passwords::delete))
        .route("/identity/sessions", get(identity::sessions::list))
        .route("/identity/sessions/{session}", delete(identity::sessions::delete))
        .route("/identity/codes", post(identity::codes::post))
        .route("/identity/codes/token", post(identity::codes::post_token))
        .route("/identity/codes/{user_code}", get(identity::codes::get).post(identity::codes::decide))
        .merge(identity::federated::routes())
        .merge(identity::passkeys::routes());

    let account = Router::new()
        .route("/tickets", post(account::tickets::post))
        .route("/tickets/challenge", post(account::device::post_challenge))
        .route("/tickets/device", post(account::device::post_device));

    // What a batch may ask for too (GPH-099): nothing that waits, streams, or hands out tickets or challenges.
    let graph = Router::new()
        .route("/mesh", get(root::get_mesh))
        .route("/mesh/news", get(news::of_mesh))
        .route("/mesh/devices", get(devices::list))
        .route("/mesh/devices/{device}", get(devices::get).patch(devices::patch).delete(devices::delete))
        .route(
            "/mesh/devices/{device}/endpoints",
            get(endpoints::get).put(endpoints::put).delete(endpoints::delete),
        )
        .route("/mesh/invitations", get(received::list))
        .route(
            "/mesh/invitations/{invitation}",
            get(received::get).post(received::post).delete(received::delete),
        )
        .route("/contacts", get(contacts::list))
        .route("/contacts/{name}", get(contacts::get).put(contacts::put).delete(contacts::delete))
        .route("/profile", get(profile::get_own).put(profile::put))
        .route("/profiles/{user}", get(profile::get))
        .route("/mesh/objects", get(folders::list).post(folders::post))
        .route("/mesh/objects/{folder}", get(folders::get).patch(folders::patch).delete(folders::delete));

    // The same, below /mesh/objects/{folder}.
    let below_folder = Router::new()
        .route("/members", get(members::list))
        .route("/invitations", get(invitations::list).post(invitations::post))
        .route("/invitations/{invitation}", get(invitations::get).delete(invitations::delete))
        .route("/members/{user}", get(members::get).patch(members::patch).delete(members::delete))
        .route("/writers", get(writers::list))
        .route("/mappings", get(mappings::list))
        .route("/mappings/{device}", get(mappings::get).put(mappings::put).delete(mappings::delete))
        .route("/feeds/files/entries", get(entries::list))
        .route("/feeds/files/entries/{entry}", get(entries::get).put(entries::put).delete(entries::delete))
        .route("/feeds/files/sync", get(sync::get))
        .route("/feeds/states/entries", get(states::list))
        .route("/feeds/states/entries/{entry}", get(states::get).put(states::put))
        .route("/feeds/states/sync", get(states::sync))
        .route("/feeds/states/heads", get(states::list_heads))
        .route("/feeds/states/heads/{device}", get(states::get_head).put(states::put_head))
        .route("/news", get(news::of_folder))
        .route("/presence", get(presence::get));

    let graph_alone = Router::new()
        .route("/", get(root::get_service))
        .route("/openapi.yaml", get(options::openapi))
        .route("/mesh/queues", get(queues::list).post(queues::post))
        .route("/mesh/queues/{queue}", get(queues::get).delete(queues::delete))
        .route("/mesh/queues/{queue}/subscriptions", get(subscriptions::list).post(subscriptions::post))
        .route(
            "/mesh/queues/{queue}/subscriptions/{subscription}",
            get(subscriptions::get).delete(subscriptions::delete),
        )
        .route("/mesh/devices", post(claim::post))
        .route("/mesh/devices/{device}/proof", post(claim::post_proof))
        .route("/mesh/devices/{device}/pair", post(pair::post))
        .route("/mesh/relays", get(rendezvous::relays))
        .route("/mesh/devices/{device}/rendezvous", get(rendezvous::get).post(rendezvous::post))
        .route("/mesh/objects/{folder}/key", get(keys::get).put(keys::put))
        .route("/mesh/objects/{folder}/ticket", post(folder_ticket::post));

    let storage = Router::new()
        .route("/media/{hash}", put(media::put).get(media::get).delete(media::delete))
        .route("/uploads", get(uploads::list).post(uploads::post))
        .route("/uploads/{upload}", get(uploads::get).patch(uploads::patch).delete(uploads::delete))
        .route("/wanted", get(wanted::list));

    let folders = |below| Router::new().nest("/mesh/objects/{folder}", below);
    let graph = graph.merge(folders(below_folder));
    let named = graph.clone().fallback(batch::not_here).method_not_allowed_fallback(batch::not_here);
    let services = [
        (Service::Identity, identity),
        (Service::Account, account),
        (Service::Graph, graph.merge(graph_alone)),
        (Service::Storage, folders(storage)),
    ];
    let here = services.into_iter().filter(|(service, _)| app.config.services.contains(service));
    let config = app.config.clone();
    let observed = from_fn_with_state(app.clone(), observe::around);
    let mut services = here
        .fold(Router::new(), |all, (_, service)| all.merge(service))
        .fallback(no_such_node)
        .method_not_allowed_fallback(method_not_allowed)
        .layer(observed.clone())
        .with_state(app.clone());
    if config.services.contains(&Service::Graph) {
        let named = named.layer(observed.clone()).with_state(app.clone());
        let targets = batch::Targets { named, all: services.clone() };
        let batch = Router::new()
            .route(paths::BATCH, post(batch::post))
            .method_not_allowed_fallback(method_not_allowed)
            .layer(Extension(targets))
            .layer(observed)
            .with_state(app);
        services = services.merge(batch);
    }
    if !config.services.contains(&Service::Desktop) {
        return services;
    }
    // A client: it gets the services as they are seen from outside.
    let settings = desktop::Settings {
        spool: config.data.join("spool"),
        body_idle: config.body_idle,
        clock: config.clock.clone(),
    };
    services.clone().merge(desktop::router(services, settings))
}

/// GPH-004
async fn no_such_node() -> Result<(), Problem> {
    Ok(demand(false, req::GPH_004)?)
}

/// GPH-005 and GPH-100; the router adds `Allow`.
async fn method_not_allowed(
    method: Method,
    template: MatchedPath,
    OriginalUri(uri): OriginalUri,
) -> Result<axum::Json<Value>, Problem> {
    if method == Method::OPTIONS && !deviates(req::GPH_100) {
        return Ok(options::describe(&template, uri.path()));
    }
    demand(false, req::GPH_005)?;
    Err(req::GPH_004.into()) // what the mutant answers
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// The other direction, with the methods, is in `tests/cloud/openapi.rs`.
    #[test]
    fn every_path_is_in_openapi() {
        let data = tempfile::tempdir().unwrap();
        let mut config = crate::Config::new(data.path());
        config.identity.passwords = crate::PasswordCost::FOR_TESTS;
        config.services.retain(|service| *service != Service::Desktop); // pages for people
        let app = App::open(&config).unwrap();
        // The router has no list of its paths, but shows them: `paths: {RouteId(3): "/mesh", ...}`.
        let shown = format!("{:?}", router(app));
        let paths: BTreeSet<&str> = shown
            .split("RouteId(")
            .filter_map(|text| text.split_once("): \"/")?.1.split_once('"').map(|(path, _)| path))
            .filter(|path| !path.contains("__private__"))
            .collect();
        assert!(paths.contains("mesh/devices/{device}") && paths.len() > 20, "{paths:?}");
        let described: Vec<&str> = include_str!("../spec/openapi.yaml")
            .lines()
            .filter_map(|line| line.strip_prefix("  /")?.strip_suffix(':'))
            .collect();
        for path in paths {
            assert!(described.contains(&path), "spec/openapi.yaml does not have /{path}");
        }
    }
}
