//! `/identity/federated/identities`: by which identities of other providers a user can sign in. Who had a token for a moment
//! may have linked one; here its owner sees it.

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use meshproof_proto::codec::hex;
use meshproof_proto::requirement::{self as req, demand_some, deviates};
use meshproof_proto::time::UnixTime;
use serde_json::{Value, json};

use super::people;
use crate::extract::Ids;
use crate::identity::{sessions, ways};
use crate::problem::Problem;
use crate::state::App;
use crate::store::federated::Identity;

/// Of the list.
pub(super) const PATH: &str = "/identity/federated/identities";

/// The identities of the user (IDN-075).
pub(super) async fn list(State(app): State<App>, headers: HeaderMap) -> Result<axum::Json<Value>, Problem> {
    let user = sessions::holder(&app, &headers).await?.user;
    let linked = if deviates(req::IDN_075) { Vec::new() } else { app.store.identities_of(user).await? };
    let items: Vec<Value> = linked.iter().map(|(identity, created)| item(identity, *created)).collect();
    Ok(axum::Json(json!({ "items": items, "links": { "self": PATH } })))
}

/// Removes an identity of the user (IDN-058, IDN-076).
pub(super) async fn remove(
    State(app): State<App>,
    Ids([id]): Ids<1>,
    headers: HeaderMap,
) -> Result<StatusCode, Problem> {
    let user = sessions::holder(&app, &headers).await?.user;
    let linked = app.store.identities_of(user).await?;
    let own =
        linked.into_iter().map(|(identity, _)| identity).find(|identity| id_of(identity) == id.to_string());
    if let Some(identity) = demand_some(own.map(Some), req::IDN_076, || None)? {
        tracing::info!(%user, provider = identity.provider, "identity of another provider removed");
        app.store.remove_identity(user, identity, ways(&app)).await?;
    }
    Ok(StatusCode::NO_CONTENT)
}

fn item(identity: &Identity, created: UnixTime) -> Value {
    let id = id_of(identity);
    json!({
        "identity": id,
        "provider": identity.provider,
        "issuer": identity.issuer,
        "subject": identity.subject,
        "created": created.0,
        "links": { "self": format!("{PATH}/{id}") },
    })
}

/// The first 16 bytes of a hash: an issuer's URL has no place in a path.
fn id_of(identity: &Identity) -> String {
    hex(&people::hash(identity)[..16])
}
