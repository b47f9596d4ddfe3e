//! graph.md section 4.8.

use serde_json::{Value, json};

use super::{Folder, accept, check, success};
use crate::check::{Check, Context, Stop, Verdict, demand};
use crate::target::cloud::{Reply, call};
use crate::target::world::{User, World, etag, fresh_name, new_user, new_user_named};

const ACCEPT: &str = "gph.invitation.accept";
const SEND: &str = "gph.invitation.send";

pub(super) fn checks() -> Vec<Check> {
    vec![
        check(
            SEND,
            &["GPH-010", "GPH-011"],
            "an owner invites, and both sides see it",
            |context| async move {
                let (world, folder, id) = invited(&context).await?;
                for (path, tickets) in [
                    (format!("{}/invitations/{id}", folder.path), &folder.tickets),
                    (format!("/mesh/invitations/{id}"), &world.bob.grant.tickets),
                ] {
                    let body =
                        call(&context, "GET", &path).tickets(tickets).send().await?.expect(200)?.json()?;
                    demand!(
                        body["invitation"] == *id,
                        "GET {path} gives the invitation {}",
                        body["invitation"]
                    );
                    demand!(body["by"] == *world.alice.name, "GET {path}: `by` is {}", body["by"]);
                    demand!(body["name"] == *world.bob.name, "GET {path}: `name` is {}", body["name"]);
                    demand!(
                        body["links"]["self"] == *path,
                        "GET {path}: links.self is {}",
                        body["links"]["self"]
                    );
                }
                demand!(
                    listed(&context, &world.bob, &id).await?,
                    "an invitation is not listed for the invited"
                );
                Ok(())
            },
        ),
        check(
            ACCEPT,
            &["GPH-085"],
            "who accepts is a member, with a ticket for the folder",
            |context| async move {
                let (world, folder, id) = invited(&context).await?;
                let reply = accept(&context, &world.bob, &id).await?.expect(201)?;
                let member = format!("{}/members/{}", folder.path, world.bob.id);
                demand!(
                    reply.header("location") == Some(member.as_str()),
                    "Location is {:?} and not {member}",
                    reply.header("location")
                );
                let new = reply.headers("mesh-ticket");
                demand!(!new.is_empty(), "the acceptance was answered without Mesh-Ticket");
                let tickets = [world.bob.grant.tickets.clone(), new].concat();
                call(&context, "GET", &folder.path).tickets(&tickets).send().await?.expect(200).map(drop)
            },
        )
        .twin(SEND),
        check(
            "gph.invitation.no-member-yet",
            &["GPH-086"],
            "who is invited is no member before it accepts",
            |context| async move {
                let (world, folder, _) = invited(&context).await?;
                let path = format!("{}/members", folder.path);
                let members = call(&context, "GET", &path)
                    .tickets(&folder.tickets)
                    .send()
                    .await?
                    .expect(200)?
                    .json()?;
                let is_bob = |item: &Value| item["user"] == *world.bob.id;
                let there = members["items"].as_array().is_some_and(|items| items.iter().any(is_bob));
                demand!(!there, "who is invited is listed as a member before it has accepted");
                let path = format!("{}/ticket", folder.path);
                let request = call(&context, "POST", &path).tickets(&world.bob.grant.tickets);
                request.send().await?.expect_problem(403, "not-authorised")
            },
        )
        .twin(ACCEPT),
        check(
            "gph.invitation.unknown",
            &["GPH-087"],
            "a name that nobody has is invited like any other",
            |context| async move {
                let world = World::get(&context).await?;
                let folder = Folder::new(&context, &world, "cloud").await?;
                let known = folder.ask(&context, &world.bob.name, "reader").await?.expect(201)?;
                let unknown = folder.ask(&context, &fresh_name(&context, "nobody"), "reader").await?;
                demand!(
                    unknown.status == 201,
                    "the invitation of a name that nobody has is answered with {}, of another with 201",
                    unknown.status
                );
                let (known, unknown) = (members_of(&known)?, members_of(&unknown)?);
                demand!(known == unknown, "the answers have the members {known:?} and {unknown:?}");
                Ok(())
            },
        )
        .twin(SEND),
        check(
            "gph.invitation.taken-later",
            &["GPH-087"],
            "who takes an invited name later",
            |context| async move {
                let world = World::get(&context).await?;
                let folder = Folder::new(&context, &world, "cloud").await?;
                let name = fresh_name(&context, "later");
                let id = folder.ask(&context, &name, "reader").await?.expect(201)?.text("invitation")?;
                let late = new_user_named(&context, &name).await?;
                demand!(!listed(&context, &late, &id).await?, "it finds what was meant for nobody");
                accept(&context, &late, &id).await?.expect_problem(404, "no-such-node")
            },
        )
        .twin(ACCEPT),
        check("gph.invitation.twice", &["GPH-088"], "a name is invited again", |context| async move {
            let (world, folder, _) = invited(&context).await?;
            let again = folder.ask(&context, &world.bob.name, "owner").await?;
            again.expect_problem(409, "already-invited")
        })
        .twin(SEND),
        check(
            "gph.invitation.of-another",
            &["GPH-089"],
            "somebody else's invitation",
            |context| async move {
                let (_, _, id) = invited(&context).await?;
                let carl = new_user(&context, "carl").await?;
                demand!(!listed(&context, &carl, &id).await?, "somebody else's invitation is listed");
                for method in ["GET", "POST", "DELETE"] {
                    let request = call(&context, method, &format!("/mesh/invitations/{id}"));
                    request.tickets(&carl.grant.tickets).send().await?.expect_problem(404, "no-such-node")?;
                }
                Ok(())
            },
        )
        .twin(ACCEPT),
        check(
            "gph.invitation.of-nobodys-owner",
            &["GPH-090"],
            "an invitation by who is no owner any more",
            outlived,
        )
        .twin(ACCEPT),
        check(
            "gph.invitation.withdrawn",
            &[],
            "an invitation that was withdrawn or declined",
            |context| async move {
                let (world, folder, id) = invited(&context).await?;
                let path = format!("{}/invitations/{id}", folder.path);
                call(&context, "DELETE", &path).tickets(&folder.tickets).send().await?.expect(204)?;
                accept(&context, &world.bob, &id).await?.expect_problem(404, "no-such-node")?;
                let again =
                    folder.ask(&context, &world.bob.name, "reader").await?.expect(201)?.text("invitation")?;
                let path = format!("/mesh/invitations/{again}");
                call(&context, "DELETE", &path)
                    .tickets(&world.bob.grant.tickets)
                    .send()
                    .await?
                    .expect(204)?;
                accept(&context, &world.bob, &again).await?.expect_problem(404, "no-such-node")
            },
        )
        .twin(ACCEPT),
        check(
            "gph.invitation.too-many",
            &["GPH-091"],
            "the 65th invitation to a folder",
            |context| async move {
                let world = World::get(&context).await?;
                let folder = Folder::new(&context, &world, "cloud").await?;
                for _ in 0..64 {
                    folder.ask(&context, &fresh_name(&context, "n"), "reader").await?.expect(201)?;
                }
                let last = folder.ask(&context, &fresh_name(&context, "n"), "reader").await?;
                last.expect_problem(409, "too-many-invitations")
            },
        )
        .twin(SEND),
    ]
}

/// Alice has invited Bob as a reader.
async fn invited(context: &Context) -> Result<(World, Folder, String), Stop> {
    let world = World::get(context).await?;
    let folder = Folder::new(context, &world, "cloud").await?;
    let id = folder.ask(context, &world.bob.name, "reader").await?.expect(201)?.text("invitation")?;
    Ok((world, folder, id))
}

/// Whether the user finds an invitation in its list.
pub(super) async fn listed(context: &Context, user: &User, id: &str) -> Result<bool, Stop> {
    let request = call(context, "GET", "/mesh/invitations").tickets(&user.grant.tickets);
    let body = request.send().await?.expect(200)?.json()?;
    let Some(items) = body["items"].as_array() else {
        return Err(Stop::Fail("the list of invitations has no items".to_owned()));
    };
    Ok(items.iter().any(|item| item["invitation"] == *id))
}

/// The names of the members of a representation.
fn members_of(reply: &Reply) -> Result<Vec<String>, Stop> {
    Ok(reply.json()?.as_object().map(|members| members.keys().cloned().collect()).unwrap_or_default())
}

/// Bob, an owner too, invites Carl, and is made a reader.
async fn outlived(context: Context) -> Verdict {
    let world = World::get(&context).await?;
    let folder = Folder::new(&context, &world, "cloud").await?;
    let bob = folder.invite(&context, &world.bob, "owner").await?;
    let carl = new_user(&context, "carl").await?;
    let body = json!({"name": carl.name, "role": "owner"});
    let request = call(&context, "POST", &format!("{}/invitations", folder.path)).tickets(&bob);
    let id = request.json(&body).send().await?.expect(201)?.text("invitation")?;
    let member = format!("{}/members/{}", folder.path, world.bob.id);
    let current = etag(&context, &folder.tickets, &member).await?;
    let request = call(&context, "PATCH", &member).tickets(&folder.tickets).header("if-match", &current);
    let demoted = request.json(&json!({"role": "reader"})).send().await?;
    success(demoted, "the demotion of one of two owners")?;
    accept(&context, &carl, &id).await?.expect_problem(404, "no-such-node")
}
