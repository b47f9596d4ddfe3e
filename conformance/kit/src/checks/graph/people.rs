//! graph.md section 4.9, and GPH-092, which rests on contacts.

use serde_json::json;

use super::invitations::listed;
use super::{Folder, accept, check};
use crate::check::{Check, Context, Verdict, demand};
use crate::oracle::crypto::hex;
use crate::target::cloud::call;
use crate::target::world::{World, new_user};

const CONTACT: &str = "gph.contact.put";
const PROFILE: &str = "gph.profile.own";

pub(super) fn checks() -> Vec<Check> {
    vec![
        check(CONTACT, &["GPH-010"], "a contact is written, read back and forgotten", contact),
        check(
            "gph.contact.blocked",
            &["GPH-092"],
            "an invitation by a blocked contact",
            |context| async move {
                let world = World::get(&context).await?;
                let folder = Folder::new(&context, &world, "cloud").await?;
                let carl = new_user(&context, "carl").await?;
                let path = format!("/contacts/{}", world.alice.name);
                let request = call(&context, "PUT", &path).tickets(&carl.grant.tickets);
                request.json(&json!({"blocked": true, "note": ""})).send().await?.expect(201)?;
                // The inviter is answered as ever.
                let id = folder.ask(&context, &carl.name, "reader").await?.expect(201)?.text("invitation")?;
                demand!(
                    !listed(&context, &carl, &id).await?,
                    "the invitation of a blocked contact is listed"
                );
                accept(&context, &carl, &id).await?.expect_problem(404, "no-such-node")
            },
        )
        .twin("gph.invitation.accept"),
        check(PROFILE, &["GPH-010"], "a profile is written, and seen by members of one's folder", profile),
        check(
            "gph.profile.stranger",
            &["GPH-094"],
            "a stranger's profile, and nobody's",
            |context| async move {
                let world = World::get(&context).await?;
                let carl = new_user(&context, "carl").await?;
                let ask = async |user: &str| {
                    let request = call(&context, "GET", &format!("/profiles/{user}"));
                    request.tickets(&carl.grant.tickets).send().await
                };
                let (stranger, nobody) =
                    (ask(&world.alice.id).await?, ask(&hex(&context.random::<16>())).await?);
                demand!(
                    (stranger.status, &stranger.body) == (nobody.status, &nobody.body),
                    "a stranger's profile gives {}, nobody's {}, or their bodies differ",
                    stranger.status,
                    nobody.status
                );
                stranger.expect_problem(403, "not-authorised")
            },
        )
        .twin(PROFILE),
    ]
}

async fn contact(context: Context) -> Verdict {
    let carl = new_user(&context, "carl").await?;
    let path = "/contacts/somebody";
    let send = |method| call(&context, method, path).tickets(&carl.grant.tickets);
    let body = json!({"blocked": false, "note": "a neighbour"});
    send("PUT").json(&body).send().await?.expect(201)?;
    let read = send("GET").send().await?.expect(200)?.json()?;
    demand!(read["note"] == body["note"], "the note is {} and was written as {}", read["note"], body["note"]);
    demand!(read["links"]["self"] == path, "links.self is {}", read["links"]["self"]);
    send("DELETE").send().await?.expect(204)?;
    send("GET").send().await?.expect_problem(404, "no-such-node")
}

async fn profile(context: Context) -> Verdict {
    let world = World::get(&context).await?;
    let folder = Folder::new(&context, &world, "cloud").await?;
    let carl = new_user(&context, "carl").await?;
    let body = json!({"display_name": "Carl", "about": "two\nlines"});
    let request = call(&context, "PUT", "/profile").tickets(&carl.grant.tickets);
    request.json(&body).send().await?.expect(200)?;
    let own =
        call(&context, "GET", "/profile").tickets(&carl.grant.tickets).send().await?.expect(200)?.json()?;
    demand!(
        own["about"] == body["about"],
        "`about` is {} and was written as {}",
        own["about"],
        body["about"]
    );
    folder.invite(&context, &carl, "reader").await?;
    let request = call(&context, "GET", &format!("/profiles/{}", carl.id)).tickets(&folder.tickets);
    let seen = request.send().await?.expect(200)?.json()?;
    demand!(seen["display_name"] == "Carl", "a co-member sees the display name {}", seen["display_name"]);
    Ok(())
}
