//! graph.md sections 4.3 and 4.4.

use std::time::Duration;

use serde_json::json;

use super::{Folder, check, success};
use crate::check::{Check, Context, Stop, Verdict, demand};
use crate::oracle::crypto::{base64, from_base64url, from_hex, hex, public_key_from_spki, spki};
use crate::oracle::ticket::{Issuer, Verification, pair, uri, verify};
use crate::target::cloud::{Reply, call};
use crate::target::peer::now;
use crate::target::world::{
    Binding, Device, User, World, answer, claim, device_tickets, new_user, post_claim, post_proof, revoke,
};
use crate::vectors::fixtures::{self, Key};

const HONEST: &str = "gph.device.claim";
const PAIR: &str = "gph.pair.same-user";
const ENDPOINT: &str = "gph.endpoint.own";

pub(super) fn checks() -> Vec<Check> {
    [claims(), meeting()].concat()
}

fn claims() -> Vec<Check> {
    let mut checks = vec![
        check(HONEST, &[], "a device is claimed with a proof of its key", |context| async move {
            let world = World::get(&context).await?;
            let path = format!("/mesh/devices/{}", world.laptop.id);
            let device =
                call(&context, "GET", &path).tickets(&world.alice.grant.tickets).send().await?.expect(200)?;
            demand!(device.json()?["state"] == "claimed", "the state is {}", device.json()?["state"]);
            Ok(())
        }),
        check(
            "gph.device.key-in-use",
            &["GPH-031"],
            "the key of a claimed device is claimed again",
            |context| async move {
                let world = World::get(&context).await?;
                let key = spki(&world.laptop.key.to_public_key());
                for user in [&world.alice, &world.bob] {
                    post_claim(&context, user, "copy", &key)
                        .await?
                        .expect_problem(409, "device-key-in-use")?;
                }
                Ok(())
            },
        )
        .twin(HONEST),
        check("gph.device.pending", &["GPH-032"], "a device whose proof is missing", pending)
            .twin(HONEST)
            .in_turn("spare key"),
        check("gph.device.many-pending", &["GPH-135"], "17 claims without proof", many_pending)
            .twin("gph.device.pending")
            .in_turn("spare key"),
        check("gph.device.wrong-proof", &["GPH-033", "GPH-032"], "a claim with a wrong proof", wrong_proof)
            .twin(HONEST)
            .in_turn("spare key"),
        check("gph.device.revoked", &["GPH-034"], "a revoked device has neither mappings nor pairs", revoked)
            .twin(PAIR)
            .in_turn("spare key"),
        check(
            "gph.device.successor",
            &["GPH-035"],
            "a device claims, changes and revokes other devices",
            successor,
        )
        .twin(HONEST)
        .in_turn("spare key"),
        check("gph.device.foreign", &["GPH-017"], "somebody else's device", foreign).twin(HONEST),
    ];
    let bad: [(&str, GetKey); 4] = [
        ("1024", || &fixtures::KEY_1024),
        ("2047", || &fixtures::KEY_2047),
        ("3080", || &fixtures::KEY_3080),
        ("e3", || &fixtures::KEY_E3),
    ];
    for (id, key) in bad {
        let title = format!("the claim of the key vectors/keys/{}", key().name);
        let check = check(&format!("gph.device.key-{id}"), &["GPH-030"], &title, move |context| async move {
            let world = World::get(&context).await?;
            let reply = post_claim(&context, &world.alice, "weak", &key().spki()).await?;
            reply.expect_problem(422, "device-key-unacceptable")
        });
        checks.push(check.twin(HONEST));
    }
    checks
}

/// A key that is read when it is needed.
type GetKey = fn() -> &'static Key;

fn meeting() -> Vec<Check> {
    vec![
        check(PAIR, &[], "a pair ticket for two devices of one user", |context| async move {
            let world = World::get(&context).await?;
            let reply = post_pair(&context, &world.laptop, &world.phone.id).await?.expect(200)?;
            let grounds = verified_pair(&world, &world.laptop, &world.phone, &reply)?;
            demand!(grounds.user.is_some(), "the pair ticket does not say that one user claims both");
            Ok(())
        }),
        check(
            "gph.pair.same-folder",
            &[],
            "a pair ticket for two devices that a folder is mapped on",
            same_folder,
        ),
        check(
            "gph.pair.lan-key",
            &["GPH-140"],
            "both devices of a pair get one lan_key",
            |context| async move {
                let world = World::get(&context).await?;
                let key = lan_key(&context, &world.laptop, &world.phone).await?;
                for (x, y) in [(&world.phone, &world.laptop), (&world.laptop, &world.phone)] {
                    let again = lan_key(&context, x, y).await?;
                    demand!(again == key, "the lan_key of one pair is {key} and then {again}");
                }
                Ok(())
            },
        )
        .twin(PAIR),
        check(
            "gph.pair.lan-key-of-others",
            &["GPH-141"],
            "another pair gets another lan_key",
            |context| async move {
                let world = World::get(&context).await?;
                same_folder(context.clone()).await?;
                let own = lan_key(&context, &world.phone, &world.laptop).await?;
                let other = lan_key(&context, &world.phone, &world.tablet).await?;
                demand!(own != other, "two pairs have the lan_key {own}");
                Ok(())
            },
        )
        .twin("gph.pair.lan-key"),
        check(
            "gph.pair.unrelated",
            &["GPH-040"],
            "a pair ticket for two devices that have nothing in common",
            |context| async move {
                let world = World::get(&context).await?;
                post_pair(&context, &world.laptop, &world.tablet.id)
                    .await?
                    .expect_problem(403, "pair-refused")
            },
        )
        .twin(PAIR),
        check(
            "gph.pair.nobody",
            &["GPH-040"],
            "a pair ticket for a device that does not exist",
            |context| async move {
                let world = World::get(&context).await?;
                let nobody = hex(&context.random::<16>());
                post_pair(&context, &world.laptop, &nobody).await?.expect_problem(403, "pair-refused")
            },
        )
        .twin(PAIR),
        check(
            "gph.pair.by-user",
            &["GPH-043"],
            "a pair ticket asked for with a user's tickets",
            |context| async move {
                let world = World::get(&context).await?;
                let path = format!("/mesh/devices/{}/pair", world.phone.id);
                let reply = call(&context, "POST", &path).tickets(&world.alice.grant.tickets).send().await?;
                reply.expect_problem(403, "not-authorised")
            },
        )
        .twin(PAIR),
        check(ENDPOINT, &[], "a device says where it is", |context| async move {
            let world = World::get(&context).await?;
            let reply = put_endpoint(&context, &world.laptop.grant.tickets, &world.laptop, 600).await?;
            success(reply, "PUT of an endpoint by its device")?;
            demand!(
                addresses(&context, &world, &world.laptop).await? == ["192.0.2.1:4000"],
                "the address is not there"
            );
            Ok(())
        }),
        check("gph.endpoint.by-user", &["GPH-041"], "a user says where a device is", |context| async move {
            let world = World::get(&context).await?;
            let reply = put_endpoint(&context, &world.alice.grant.tickets, &world.laptop, 600).await?;
            reply.expect_problem(403, "not-authorised")
        })
        .twin(ENDPOINT),
        check(
            "gph.endpoint.by-other-device",
            &["GPH-041"],
            "a device says where another one is",
            |context| async move {
                let world = World::get(&context).await?;
                let reply = put_endpoint(&context, &world.phone.grant.tickets, &world.laptop, 600).await?;
                reply.expect_problem(403, "not-authorised")
            },
        )
        .twin(ENDPOINT),
        check("gph.endpoint.ttl", &["GPH-042"], "an address whose time has passed", ttl_passes)
            .twin(ENDPOINT),
    ]
}

async fn many_pending(context: Context) -> Verdict {
    let world = World::get(&context).await?;
    let user = new_user(&context, "claimant").await?;
    let key = spki(&world.spare_key.to_public_key());
    let mut last = String::new();
    for _ in 0..17 {
        last = post_claim(&context, &user, "never proved", &key).await?.expect(201)?.text("device")?;
    }
    let reply =
        call(&context, "GET", "/mesh/devices").tickets(&user.grant.tickets).send().await?.expect(200)?;
    let body = reply.json()?;
    let items = body["items"].as_array().map_or(&[][..], Vec::as_slice);
    demand!(items.len() <= 16, "{} devices are pending", items.len());
    demand!(items.iter().any(|item| item["device"] == last.as_str()), "the last of 17 is not among them");
    Ok(())
}

async fn pending(context: Context) -> Verdict {
    let world = World::get(&context).await?;
    let id = claim_only(&context, &world.alice, &world).await?.0;
    let path = format!("/mesh/devices/{id}");
    let device =
        call(&context, "GET", &path).tickets(&world.alice.grant.tickets).send().await?.expect(200)?;
    demand!(device.json()?["state"] == "pending", "the state is {}", device.json()?["state"]);
    let folder = Folder::new(&context, &world, "cloud").await?;
    let mapping = format!("{}/mappings/{id}", folder.path);
    let reply = call(&context, "PUT", &mapping).tickets(&folder.tickets).json(&json!({})).send().await?;
    reply.expect_problem(409, "device-pending")?;
    post_pair(&context, &world.laptop, &id).await?.expect_problem(409, "device-pending")?;
    let tickets = match device_tickets(&context, &id, &world.spare_key, &world.alice.grant.audience).await {
        // A challenge that nobody can answer is as good as a refused answer.
        Err(Stop::Fail(_)) => None,
        other => Some(other?.status),
    };
    demand!(tickets.is_none_or(|status| status == 401), "a pending device got tickets: status {tickets:?}");
    success(revoke(&context, &world.alice, &id).await?, "revoking a pending device").map(|_| ())
}

/// Posts a claim of the spare key and gives back the device and its challenge.
async fn claim_only(
    context: &Context,
    user: &User,
    world: &World,
) -> Result<(String, serde_json::Value), Stop> {
    let reply =
        post_claim(context, user, "new", &spki(&world.spare_key.to_public_key())).await?.expect(201)?;
    Ok((reply.text("device")?, reply.json()?["proof"].clone()))
}

fn claiming<'a>(world: &'a World, device: &'a str) -> Binding<'a> {
    Binding { purpose: "claim", device, audience: &world.alice.grant.audience }
}

async fn wrong_proof(context: Context) -> Verdict {
    let world = World::get(&context).await?;
    let (id, proof) = claim_only(&context, &world.alice, &world).await?;
    let right = answer(&world.spare_key, &claiming(&world, &id), &proof)?;
    let wrong: String = right.chars().rev().collect();
    post_proof(&context, &world.alice, &id, &wrong).await?.expect_problem(401, "device-proof-failed")?;
    let path = format!("/mesh/devices/{id}");
    let device =
        call(&context, "GET", &path).tickets(&world.alice.grant.tickets).send().await?.expect(200)?;
    demand!(
        device.json()?["state"] == "pending",
        "after a wrong proof the state is {}",
        device.json()?["state"]
    );
    success(revoke(&context, &world.alice, &id).await?, "revoking a pending device").map(|_| ())
}

async fn revoked(context: Context) -> Verdict {
    let world = World::get(&context).await?;
    let device = claim(&context, &world.alice, "lost", &world.spare_key).await?;
    let folder = Folder::new(&context, &world, "cloud").await?;
    let mapping = format!("{}/mappings/{}", folder.path, device.id);
    let mapped = call(&context, "PUT", &mapping).tickets(&folder.tickets).json(&json!({})).send().await?;
    let before = post_pair(&context, &world.laptop, &device.id).await?;
    success(revoke(&context, &world.alice, &device.id).await?, "revoking a device")?;
    success(mapped, "PUT of a mapping")?;
    before.expect(200)?;
    post_pair(&context, &world.laptop, &device.id).await?.expect_problem(403, "pair-refused")?;
    let path = format!("{}/mappings", folder.path);
    let reply = call(&context, "GET", &path).tickets(&folder.tickets).send().await?.expect(200)?;
    let listed = String::from_utf8_lossy(&reply.body).contains(&device.id);
    demand!(!listed, "the mappings of the folder still have the revoked device");
    Ok(())
}

async fn foreign(context: Context) -> Verdict {
    let world = World::get(&context).await?;
    let path = format!("/mesh/devices/{}", world.laptop.id);
    for method in ["GET", "DELETE"] {
        let request =
            call(&context, method, &path).tickets(&world.bob.grant.tickets).header("if-match", "\"x\"");
        request.send().await?.expect_problem(403, "not-authorised")?;
    }
    Ok(())
}

/// What a thief of the laptop would do: everything is the same as when Alice does it, but for the tickets.
async fn successor(context: Context) -> Verdict {
    let world = World::get(&context).await?;
    let thief = &world.laptop.grant.tickets;
    let body = json!({"name": "successor", "spki": base64(&spki(&world.spare_key.to_public_key()))});
    let reply = call(&context, "POST", "/mesh/devices").tickets(thief).json(&body).send().await?;
    reply.expect_problem(403, "not-authorised")?;

    let (id, proof) = claim_only(&context, &world.alice, &world).await?;
    let body = json!({"answer": answer(&world.spare_key, &claiming(&world, &id), &proof)?});
    let path = format!("/mesh/devices/{id}/proof");
    let proved = call(&context, "POST", &path).tickets(thief).json(&body).send().await?;
    success(revoke(&context, &world.alice, &id).await?, "revoking a pending device")?;
    proved.expect_problem(403, "not-authorised")?;

    // A tag that matches nothing: where the rule is broken, the phone that other checks need stays what it is.
    let path = format!("/mesh/devices/{}", world.phone.id);
    let rename = call(&context, "PATCH", &path).tickets(thief).header("if-match", "\"x\"");
    rename.json(&json!({"name": "mine"})).send().await?.expect_problem(403, "not-authorised")?;
    let revoke = call(&context, "DELETE", &path).tickets(thief).header("if-match", "\"x\"");
    revoke.send().await?.expect_problem(403, "not-authorised")
}

pub(super) async fn post_pair(context: &Context, x: &Device, y: &str) -> Result<Reply, Stop> {
    call(context, "POST", &format!("/mesh/devices/{y}/pair")).tickets(&x.grant.tickets).send().await
}

/// By what the graph says that two devices know each other on a local network.
async fn lan_key(context: &Context, x: &Device, y: &Device) -> Result<String, Stop> {
    let reply = post_pair(context, x, &y.id).await?.expect(200)?.json()?;
    let key = reply["lan_key"].as_str().unwrap_or_default();
    demand!(from_hex(key).is_some_and(|key| key.len() == 32), "lan_key is not 32 bytes but \"{key}\"");
    Ok(key.to_owned())
}

/// Verifies a pair ticket as its responder would.
pub(super) fn verified_pair(
    world: &World,
    x: &Device,
    y: &Device,
    reply: &Reply,
) -> Result<crate::oracle::ticket::Pair, Stop> {
    let ticket = from_base64url(&reply.text("ticket")?)
        .ok_or_else(|| Stop::Fail("the pair ticket is no base64url".to_owned()))?;
    let keys = world.alice.grant.issuer_keys.iter().filter_map(|spki| public_key_from_spki(spki)).collect();
    let by = Verification {
        now: now(),
        audience: format!("{}{}", uri::DEVICE, y.id),
        issuers: vec![Issuer { name: world.alice.grant.issuer.clone(), keys }],
        proved: Some(spki(&x.key.to_public_key())),
        revoked: Vec::new(),
    };
    verify(&ticket, &by)
        .and_then(|ticket| pair(&ticket, &y.id, &spki(&y.key.to_public_key())))
        .map_err(|rule| Stop::Fail(format!("the responder would refuse the pair ticket: {rule}")))
}

/// Alice's phone and Bob's tablet, which have a folder in common and no user.
async fn same_folder(context: Context) -> Verdict {
    let world = World::get(&context).await?;
    let folder = Folder::new(&context, &world, "cloud").await?;
    let bob = folder.invite(&context, &world.bob, "contributor").await?;
    for (tickets, device) in [(&folder.tickets, &world.phone), (&bob, &world.tablet)] {
        let path = format!("{}/mappings/{}", folder.path, device.id);
        let reply = call(&context, "PUT", &path).tickets(tickets).json(&json!({})).send().await?;
        success(reply, "PUT of a mapping")?;
    }
    let reply = post_pair(&context, &world.phone, &world.tablet.id).await?.expect(200)?;
    let grounds = verified_pair(&world, &world.phone, &world.tablet, &reply)?;
    demand!(grounds.user.is_none(), "the pair ticket says that one user claims both");
    Ok(())
}

async fn put_endpoint(
    context: &Context,
    tickets: &[String],
    device: &Device,
    ttl: u32,
) -> Result<Reply, Stop> {
    let path = format!("/mesh/devices/{}/endpoints", device.id);
    let body = json!({"addresses": ["192.0.2.1:4000"], "ttl": ttl});
    call(context, "PUT", &path).tickets(tickets).json(&body).send().await
}

async fn addresses(context: &Context, world: &World, device: &Device) -> Result<Vec<String>, Stop> {
    let path = format!("/mesh/devices/{}/endpoints", device.id);
    let reply = call(context, "GET", &path).tickets(&world.alice.grant.tickets).send().await?.expect(200)?;
    let body = reply.json()?;
    let list =
        body["addresses"].as_array().ok_or_else(|| Stop::Fail("an endpoint has no addresses".to_owned()))?;
    Ok(list.iter().filter_map(|address| address.as_str().map(str::to_owned)).collect())
}

async fn ttl_passes(context: Context) -> Verdict {
    let world = World::get(&context).await?;
    success(
        put_endpoint(&context, &world.phone.grant.tickets, &world.phone, 1).await?,
        "PUT of an endpoint",
    )?;
    // The rule is about time, and the shortest time it knows is one second.
    tokio::time::sleep(Duration::from_millis(2_100)).await;
    let left = addresses(&context, &world, &world.phone).await?;
    demand!(left.is_empty(), "{left:?} is still there after twice its ttl of one second");
    Ok(())
}
