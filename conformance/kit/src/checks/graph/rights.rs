//! graph.md section 4.2.

use serde_json::json;

use super::{Folder, check, success};
use crate::check::{Check, Context, Stop, Verdict, demand};
use crate::oracle::crypto::hex;
use crate::target::cloud::{Reply, call};
use crate::target::world::{World, etag};

const READER: &str = "gph.rights.reader";
const CONTRIBUTOR: &str = "gph.rights.contributor";
const REMOVAL: &str = "gph.rights.owner-removed";
const DEMOTION: &str = "gph.rights.owner-demoted";
const LEAVING: &str = "gph.rights.owner-leaves";

pub(super) fn checks() -> Vec<Check> {
    vec![
        check(READER, &[], "a reader reads", |context| async move {
            let world = World::get(&context).await?;
            let folder = Folder::new(&context, &world, "cloud").await?;
            let bob = folder.invite(&context, &world.bob, "reader").await?;
            call(&context, "GET", &folder.path).tickets(&bob).send().await?.expect(200).map(|_| ())
        }),
        check(CONTRIBUTOR, &[], "a contributor writes entries", |context| async move {
            let reply = write_as(&context, "contributor").await?;
            success(reply, "PUT of an entry by a contributor").map(|_| ())
        }),
        check("gph.rights.stranger", &["GPH-002"], "a folder that is somebody else's", stranger).twin(READER),
        check("gph.rights.probe", &["GPH-003"], "a foreign folder and none at all look alike", probe)
            .twin(READER),
        check("gph.rights.reader-writes", &["GPH-014"], "a reader writes an entry", |context| async move {
            write_as(&context, "reader").await?.expect_problem(403, "not-authorised")
        })
        .twin(CONTRIBUTOR),
        check(
            "gph.rights.contributor-invites",
            &["GPH-015"],
            "a contributor invites",
            |context| async move {
                let world = World::get(&context).await?;
                let folder = Folder::new(&context, &world, "cloud").await?;
                let bob = folder.invite(&context, &world.bob, "contributor").await?;
                let request = call(&context, "POST", &format!("{}/invitations", folder.path)).tickets(&bob);
                request
                    .json(&json!({"name": world.alice.name, "role": "reader"}))
                    .send()
                    .await?
                    .expect_problem(403, "not-authorised")
            },
        )
        .twin(CONTRIBUTOR),
        check("gph.rights.contributor-promotes", &["GPH-015"], "a contributor makes itself owner", promotes)
            .twin(CONTRIBUTOR),
        check(
            "gph.rights.contributor-renames",
            &["GPH-002"],
            "a contributor renames the folder",
            |context| async move {
                let world = World::get(&context).await?;
                let folder = Folder::new(&context, &world, "cloud").await?;
                let bob = folder.invite(&context, &world.bob, "contributor").await?;
                let current = etag(&context, &bob, &folder.path).await?;
                let request =
                    call(&context, "PATCH", &folder.path).tickets(&bob).header("if-match", &current);
                request.json(&json!({"name": "mine"})).send().await?.expect_problem(403, "not-authorised")
            },
        )
        .twin(CONTRIBUTOR),
        check("gph.rights.leave", &[], "a reader removes itself", |context| async move {
            let (world, folder, bob) = with_bob(&context, "reader").await?;
            let member = format!("{}/members/{}", folder.path, world.bob.id);
            let current = etag(&context, &bob, &member).await?;
            let request = call(&context, "DELETE", &member).tickets(&bob).header("if-match", &current);
            success(request.send().await?, "a reader's leaving").map(|_| ())
        })
        .twin(READER),
        check("gph.rights.removed", &["GPH-019"], "a removed member with its old tickets", removed)
            .twin(READER),
        check(REMOVAL, &[], "the creator removes another owner", |context| async move {
            success(write_member(&context, "DELETE", Whom::Creator, Whom::Other).await?, "the removal")
                .map(drop)
        }),
        check(
            "gph.rights.creator-removed",
            &["GPH-130"],
            "another owner removes the creator",
            |context| async move {
                let reply = write_member(&context, "DELETE", Whom::Other, Whom::Creator).await?;
                reply.expect_problem(409, "creator-stays")
            },
        )
        .twin(REMOVAL),
        check(DEMOTION, &[], "the creator makes another owner a reader", |context| async move {
            success(write_member(&context, "PATCH", Whom::Creator, Whom::Other).await?, "the demotion")
                .map(drop)
        }),
        check(
            "gph.rights.creator-demoted",
            &["GPH-130"],
            "the creator becomes a reader",
            |context| async move {
                for by in [Whom::Other, Whom::Creator] {
                    let reply = write_member(&context, "PATCH", by, Whom::Creator).await?;
                    reply.expect_problem(409, "creator-stays")?;
                }
                Ok(())
            },
        )
        .twin(DEMOTION),
        check(LEAVING, &[], "an owner who did not make the folder leaves", |context| async move {
            success(write_member(&context, "DELETE", Whom::Other, Whom::Other).await?, "the leaving")
                .map(drop)
        }),
        check("gph.rights.creator-leaves", &["GPH-131"], "the creator leaves", |context| async move {
            let reply = write_member(&context, "DELETE", Whom::Creator, Whom::Creator).await?;
            reply.expect_problem(409, "creator-stays")
        })
        .twin(LEAVING),
        check("gph.members.twice", &["GPH-023"], "a member is invited", |context| async move {
            let (world, folder, _) = with_bob(&context, "reader").await?;
            folder.ask(&context, &world.bob.name, "owner").await?.expect_problem(409, "already-member")
        })
        .twin(READER),
        check("gph.mapping.own", &[], "a folder is mapped on a device of one's own", |context| async move {
            let world = World::get(&context).await?;
            let folder = Folder::new(&context, &world, "cloud").await?;
            let path = format!("{}/mappings/{}", folder.path, world.laptop.id);
            let reply = call(&context, "PUT", &path).tickets(&folder.tickets).json(&json!({})).send().await?;
            success(reply, "PUT of a mapping").map(|_| ())
        }),
        check(
            "gph.mapping.foreign",
            &["GPH-016"],
            "a folder is mapped on somebody else's device",
            |context| async move {
                let world = World::get(&context).await?;
                let folder = Folder::new(&context, &world, "cloud").await?;
                let path = format!("{}/mappings/{}", folder.path, world.tablet.id);
                let request = call(&context, "PUT", &path).tickets(&folder.tickets).json(&json!({}));
                request.send().await?.expect_problem(403, "not-authorised")
            },
        )
        .twin("gph.mapping.own"),
    ]
}

/// Of two owners of a folder.
#[derive(Clone, Copy)]
enum Whom {
    Creator,
    Other,
}

/// One owner of a new folder removes one (`DELETE`), or makes one a reader (`PATCH`).
async fn write_member(context: &Context, method: &str, by: Whom, whom: Whom) -> Result<Reply, Stop> {
    let (world, folder, bob) = with_bob(context, "owner").await?;
    let tickets = match by {
        Whom::Creator => &folder.tickets,
        Whom::Other => &bob,
    };
    let user = match whom {
        Whom::Creator => &world.alice.id,
        Whom::Other => &world.bob.id,
    };
    let member = format!("{}/members/{user}", folder.path);
    let current = etag(context, tickets, &member).await?;
    let request = call(context, method, &member).tickets(tickets).header("if-match", &current);
    if method == "PATCH" { request.json(&json!({"role": "reader"})) } else { request }.send().await
}

async fn with_bob(context: &Context, role: &str) -> Result<(World, Folder, Vec<String>), Stop> {
    let world = World::get(context).await?;
    let folder = Folder::new(context, &world, "cloud").await?;
    let bob = folder.invite(context, &world.bob, role).await?;
    Ok((world, folder, bob))
}

async fn write_as(context: &Context, role: &str) -> Result<Reply, Stop> {
    let (world, folder, bob) = with_bob(context, role).await?;
    let (path, body) = folder.entry(context, &world, "hello.txt");
    call(context, "PUT", &path).tickets(&bob).json(&body).send().await
}

async fn stranger(context: Context) -> Verdict {
    let world = World::get(&context).await?;
    let folder = Folder::new(&context, &world, "cloud").await?;
    let reply = call(&context, "GET", &folder.path).tickets(&world.bob.grant.tickets).send().await?;
    reply.expect_problem(403, "not-authorised")
}

async fn probe(context: Context) -> Verdict {
    let world = World::get(&context).await?;
    let folder = Folder::new(&context, &world, "cloud").await?;
    let none = format!("/mesh/objects/{}", hex(&context.random::<16>()));
    for (method, below) in [("GET", ""), ("GET", "/members"), ("DELETE", "")] {
        let ask = async |path: &str| {
            let request = call(&context, method, &format!("{path}{below}")).tickets(&world.bob.grant.tickets);
            request.header("if-match", "\"x\"").send().await
        };
        let (foreign, absent) = (ask(&folder.path).await?, ask(&none).await?);
        demand!(
            foreign.status == absent.status && foreign.body == absent.body,
            "{method} of a foreign folder gives {}, of none {}, or their bodies differ",
            foreign.status,
            absent.status
        );
    }
    Ok(())
}

async fn promotes(context: Context) -> Verdict {
    let (world, folder, bob) = with_bob(&context, "contributor").await?;
    let member = format!("{}/members/{}", folder.path, world.bob.id);
    let current = etag(&context, &bob, &member).await?;
    let request = call(&context, "PATCH", &member).tickets(&bob).header("if-match", &current);
    request.json(&json!({"role": "owner"})).send().await?.expect_problem(403, "not-authorised")
}

async fn removed(context: Context) -> Verdict {
    let (world, folder, bob) = with_bob(&context, "contributor").await?;
    let member = format!("{}/members/{}", folder.path, world.bob.id);
    let current = etag(&context, &folder.tickets, &member).await?;
    let request = call(&context, "DELETE", &member).tickets(&folder.tickets).header("if-match", &current);
    success(request.send().await?, "the removal of a member")?;
    let reply = call(&context, "GET", &folder.path).tickets(&bob).send().await?;
    reply.expect_problem(403, "not-authorised")?;
    let (path, body) = folder.entry(&context, &world, "late.txt");
    call(&context, "PUT", &path).tickets(&bob).json(&body).send().await?.expect_problem(403, "not-authorised")
}
