//! A device's program, end to end: it signs in, claims its device, joins a folder and syncs it, while the kit is the
//! cloud, the relay and the other device ([`crate::double`]). Every check has a client and a double of its own.
//!
//! | file | who is hostile |
//! |---|---|
//! | [`honest`] | nobody |
//! | [`server`] | who stands between the client and its cloud, and where the cloud sends it |
//! | [`cloud`] | the cloud: its answers, its tickets, what it says of the other device |
//! | [`peer`] | the other device, and the relay |
//! | [`replica`] | the cloud as what passes changes on |

mod cloud;
mod honest;
mod peer;
mod replica;
mod server;

use crate::catalog::Part;
use crate::check::{Check, Context, Role, Stop, Verdict, demand};
use crate::double::{Double, Seen, WELCOME};
use crate::target::client::{Client, accepted};

/// The checks of clients.
pub fn checks() -> Vec<Check> {
    [honest::checks(), server::checks(), cloud::checks(), peer::checks(), replica::checks()].concat()
}

/// A client that signs in.
const LOGIN: &str = "client.login.honest";
/// A client that syncs directly.
const DIRECT: &str = "client.sync.direct";
/// A client that syncs through the relay.
const RELAYED: &str = "client.sync.relayed";
/// A client whose folder the cloud holds, too.
const STORED: &str = "client.sync.stored";

fn check<F, R>(part: Part, id: &str, reqs: &[&str], title: &str, run: F) -> Check
where
    F: Fn(Context) -> R + Send + Sync + 'static,
    R: Future<Output = Verdict> + Send + 'static,
{
    Check::new(Role::Client, part, id, reqs, title, run)
}

/// A client that has signed in at an honest double, claimed its device and joined the folder.
async fn enrolled(context: &Context) -> Result<(Double, Client), Stop> {
    let (double, client) = (Double::start(context).await?, Client::start(context)?);
    accepted("login", &client.login(&double).await?)?;
    accepted("claim", &client.claim().await?)?;
    accepted("join", &client.join().await?)?;
    double.look_away();
    Ok((double, client))
}

/// Demands that the device's file arrived, and nothing else is there but `own`.
fn demand_synced(double: &Double, client: &Client, own: &[(&str, &[u8])]) -> Verdict {
    let welcome = double.welcome();
    let mut wanted: Vec<(String, Vec<u8>)> =
        own.iter().map(|(name, content)| (format!("folder/{name}"), content.to_vec())).collect();
    wanted.push((format!("folder/{WELCOME}"), welcome));
    wanted.sort();
    let found = client.files()?;
    demand!(found == wanted, "the client has {}, not {}", names(&found), names(&wanted));
    Ok(())
}

/// Demands that nothing came into the folder or beside it.
fn demand_nothing_came(client: &Client) -> Verdict {
    let found = client.files()?;
    demand!(found.is_empty(), "the client has {}", names(&found));
    Ok(())
}

/// Demands that the last session of the double's device went well.
fn demand_good_session(seen: &Seen) -> Verdict {
    match seen.sessions.last() {
        None => Err(Stop::Fail("the client does not call the device".to_owned())),
        Some(Ok(())) => Ok(()),
        Some(Err(why)) => Err(Stop::Fail(why.clone())),
    }
}

fn names(files: &[(String, Vec<u8>)]) -> String {
    let names: Vec<String> =
        files.iter().map(|(name, content)| format!("{name} of {} bytes", content.len())).collect();
    if names.is_empty() { "nothing".to_owned() } else { names.join(", ") }
}
