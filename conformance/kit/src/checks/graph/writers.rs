//! graph.md section 4.14, and the signing keys of claims in 4.3.

use serde_json::{Value, json};

use super::{Folder, check};
use crate::check::{Check, Context, Stop, Verdict, demand};
use crate::oracle::crypto::{base64, from_base64, from_hex, hex, public_key_from_spki, spki, verify};
use crate::target::cloud::call;
use crate::target::world::{
    Binding, Device, User, World, answer, etag, revoke, sign_claim, signing_key_beside,
};

const LISTED: &str = "gph.writers.listed";
const PROVED: &str = "gph.signing-key.proved";

pub(super) fn checks() -> Vec<Check> {
    vec![
        check(PROVED, &[], "a claim that its signing key signed", |context| async move {
            claim_signed_by(&context, true).await
        })
        .in_turn("spare key"),
        check(
            "gph.signing-key.unproved",
            &["GPH-150"],
            "a claim that another key signed than it names",
            |context| async move { claim_signed_by(&context, false).await },
        )
        .twin(PROVED)
        .in_turn("spare key"),
        check(LISTED, &["GPH-151"], "the card of a device that writes", listed),
        check("gph.writers.reader", &["GPH-152"], "no card of a device that reads", reader).twin(LISTED),
        check("gph.writers.kept", &["GPH-153"], "the card of a device that wrote", kept).twin(LISTED),
    ]
}

async fn claim_signed_by(context: &Context, own: bool) -> Verdict {
    let world = World::get(context).await?;
    let (alice, key) = (&world.alice, &world.spare_key);
    let spki = spki(&key.to_public_key());
    let named = signing_key_beside(&spki);
    let body =
        json!({"name": "signs", "spki": base64(&spki), "signing_key": hex(named.verifying_key().as_bytes())});
    let claim = call(context, "POST", "/mesh/devices").tickets(&alice.grant.tickets).json(&body);
    let claimed = claim.send().await?.expect(201)?;
    let (id, body) = (claimed.text("device")?, claimed.json()?);
    let audience = &alice.grant.audience;
    let answer = answer(key, &Binding { purpose: "claim", device: &id, audience }, &body["proof"])?;
    let signing = if own { named } else { signing_key_beside(b"another") };
    let proof = json!({"answer": answer, "signature": sign_claim(&signing, &id, &spki)});
    let path = format!("/mesh/devices/{id}/proof");
    let proved = call(context, "POST", &path).tickets(&alice.grant.tickets).json(&proof).send().await?;
    let verdict =
        if own { proved.expect(200).map(drop) } else { proved.expect_problem(401, "signing-key-unproven") };
    revoke(context, alice, &id).await?.expect(204)?;
    verdict
}

/// The card of a device in the writers of a folder.
async fn card(context: &Context, folder: &Folder, device: &Device) -> Result<Option<Value>, Stop> {
    let path = format!("{}/writers", folder.path);
    let list = call(context, "GET", &path).tickets(&folder.tickets).send().await?.expect(200)?.json()?;
    let items = list["items"].as_array().cloned().unwrap_or_default();
    Ok(items.into_iter().find(|item| item["device"] == device.id.as_str()))
}

async fn map(context: &Context, folder: &Folder, device: &Device, tickets: &[String]) -> Verdict {
    let path = format!("{}/mappings/{}", folder.path, device.id);
    let reply = call(context, "PUT", &path).tickets(tickets).json(&json!({})).send().await?;
    super::success(reply, "the mapping of a folder").map(drop)
}

async fn listed(context: Context) -> Verdict {
    let world = World::get(&context).await?;
    let folder = Folder::new(&context, &world, "cloud").await?;
    map(&context, &folder, &world.laptop, &folder.tickets).await?;
    let Some(card) = card(&context, &folder, &world.laptop).await? else {
        return Err(Stop::Fail("the device on which the folder is mapped is no writer".to_owned()));
    };
    demand_card(&folder, &world.alice, &world.laptop, &card)
}

fn demand_card(folder: &Folder, user: &User, device: &Device, card: &Value) -> Verdict {
    let public = signing_key_beside(&spki(&device.key.to_public_key()));
    let public = public.verifying_key().to_bytes();
    demand!(card["key"] == hex(&public).as_str(), "the card has the key {}", card["key"]);
    let id = folder.path.rsplit('/').next().and_then(from_hex).unwrap_or_default();
    let statement =
        [b"meshproof writer", &id[..], &from_hex(&device.id).unwrap_or_default(), &public].concat();
    let signature = card["signature"].as_str().and_then(from_base64).unwrap_or_default();
    let signed = user
        .grant
        .issuer_keys
        .iter()
        .any(|key| public_key_from_spki(key).is_some_and(|key| verify(&key, &statement, &signature)));
    demand!(signed, "no key of the issuer signed the card");
    Ok(())
}

async fn reader(context: Context) -> Verdict {
    let world = World::get(&context).await?;
    let folder = Folder::new(&context, &world, "cloud").await?;
    let tickets = folder.invite(&context, &world.bob, "reader").await?;
    map(&context, &folder, &world.tablet, &tickets).await?;
    let card = card(&context, &folder, &world.tablet).await?;
    demand!(card.is_none(), "the device of a reader is a writer");
    Ok(())
}

async fn kept(context: Context) -> Verdict {
    let world = World::get(&context).await?;
    let folder = Folder::new(&context, &world, "cloud").await?;
    let tickets = folder.invite(&context, &world.bob, "contributor").await?;
    map(&context, &folder, &world.tablet, &tickets).await?;
    demand!(card(&context, &folder, &world.tablet).await?.is_some(), "a contributor's device is no writer");
    let member = format!("{}/members/{}", folder.path, world.bob.id);
    let etag = etag(&context, &folder.tickets, &member).await?;
    let gone = call(&context, "DELETE", &member).tickets(&folder.tickets).header("if-match", &etag);
    gone.send().await?.expect(204)?;
    let card = card(&context, &folder, &world.tablet).await?;
    demand!(card.is_some(), "the card of a device that wrote is not listed any more");
    Ok(())
}
