//! graph.md, against a cloud.
//!
//! | file | section |
//! |---|---|
//! | [`requests`] | 4.1, what holds for every request |
//! | [`rights`] | 4.2, who may do what |
//! | [`devices`] | 4.3, claims and revocation, and 4.4, meeting |
//! | [`entries`] | 4.5, entries |
//! | [`changes`] | 4.6, changes |
//! | [`queues`] | 4.7, queues and presence |
//! | [`invitations`] | 4.8, invitations |
//! | [`people`] | 4.9, contacts and profiles |
//! | [`walk`] | 4.10, reading, and what is found from the root |
//! | [`pages`] | 4.11, collections in pages |
//! | [`batch`] | 4.12, batches |
//! | [`writers`] | 4.14, writers |
//! | [`states`] | 4.15, states and heads |
//! | [`keys`] | 4.16, encrypted folders |

mod batch;
mod changes;
mod devices;
mod entries;
mod invitations;
mod keys;
mod pages;
mod pair;
mod people;
mod queues;
mod rendezvous;
mod requests;
mod rights;
mod states;
mod walk;
mod writers;

use serde_json::{Value, json};

pub(super) use keys::Encrypted;

use crate::catalog::Part;
use crate::check::{Check, Context, Role, Stop, Verdict};
use crate::oracle::crypto::{from_base64url, hex};
use crate::oracle::ticket::parse;
use crate::target::cloud::{Reply, call};
use crate::target::world::{Grant, User, World, renew};

/// The checks of this part.
pub fn checks() -> Vec<Check> {
    [
        requests::checks(),
        rights::checks(),
        devices::checks(),
        pair::checks(),
        entries::checks(),
        changes::checks(),
        queues::checks(),
        rendezvous::checks(),
        invitations::checks(),
        people::checks(),
        walk::checks(),
        pages::checks(),
        batch::checks(),
        writers::checks(),
        states::checks(),
        keys::checks(),
    ]
    .concat()
}

fn check<F, R>(id: &str, reqs: &[&str], title: &str, run: F) -> Check
where
    F: Fn(Context) -> R + Send + Sync + 'static,
    R: Future<Output = Verdict> + Send + 'static,
{
    Check::new(Role::Cloud, Part::Graph, id, reqs, title, run)
}

/// A folder of Alice's, made for one check.
pub(crate) struct Folder {
    /// Its path.
    pub path: String,
    /// Alice's tickets for it.
    pub tickets: Vec<String>,
    /// The reply that made it.
    pub reply: Reply,
}

impl Folder {
    /// Alice makes a folder.
    pub(crate) async fn new(context: &Context, world: &World, storage: &str) -> Result<Folder, Stop> {
        let name = format!("folder {}", hex(&context.random::<4>()));
        let reply = call(context, "POST", "/mesh/objects")
            .tickets(&world.alice.grant.tickets)
            .json(&json!({"name": name, "storage": storage}))
            .send()
            .await?
            .expect(201)?;
        let Some(path) = reply.header("location").map(str::to_owned) else {
            return Err(Stop::Fail("the reply to the creation of a folder has no Location".to_owned()));
        };
        let mut tickets = world.alice.grant.tickets.clone();
        tickets.extend(reply.headers("mesh-ticket"));
        Ok(Folder { path, tickets, reply })
    }

    /// Alice asks somebody in, who accepts. Gives back that person's tickets for the folder.
    pub(super) async fn invite(
        &self,
        context: &Context,
        user: &User,
        role: &str,
    ) -> Result<Vec<String>, Stop> {
        let id = self.ask(context, &user.name, role).await?.expect(201)?.text("invitation")?;
        accept(context, user, &id).await?.expect(201)?;
        Ok(pick(&renew(context, user).await?, &self.path))
    }

    /// Alice posts an invitation.
    pub(super) async fn ask(&self, context: &Context, name: &str, role: &str) -> Result<Reply, Stop> {
        let request = call(context, "POST", &format!("{}/invitations", self.path)).tickets(&self.tickets);
        request.json(&json!({"name": name, "role": role})).send().await
    }

    /// The path of a new entry, and a good body for it.
    pub(super) fn entry(&self, context: &Context, world: &World, path: &str) -> (String, Value) {
        let entry = hex(&context.random::<16>());
        let mut version = serde_json::Map::new();
        version.insert(world.laptop.id.clone(), json!(1));
        let body = json!({
            "path": path,
            "kind": "file",
            "size": 5,
            "hash": hex(blake3::hash(b"hello").as_bytes()),
            "version": version,
        });
        (format!("{}/feeds/files/entries/{entry}", self.path), body)
    }
}

/// Somebody accepts an invitation.
pub(super) async fn accept(context: &Context, user: &User, invitation: &str) -> Result<Reply, Stop> {
    let path = format!("/mesh/invitations/{invitation}");
    call(context, "POST", &path).tickets(&user.grant.tickets).send().await
}

/// Of the tickets of a grant those for a folder, its mesh and its subject: a person of many folders has more tickets than
/// one set may hold.
fn pick(grant: &Grant, folder: &str) -> Vec<String> {
    let wanted = |ticket: &&String| {
        from_base64url(ticket).and_then(|bytes| parse(&bytes).ok()).is_some_and(|ticket| {
            let authz = &ticket.fields.authz;
            ticket.fields.authn.is_some()
                || authz.iter().any(|right| right.resource == "/mesh" || right.resource == folder)
        })
    };
    grant.tickets.iter().filter(wanted).cloned().collect()
}

/// A success of any kind.
pub(super) fn success(reply: Reply, what: &str) -> Result<Reply, Stop> {
    if (200..300).contains(&reply.status) {
        Ok(reply)
    } else {
        Err(Stop::Fail(format!("{what} was answered with {} where success was expected", reply.status)))
    }
}
