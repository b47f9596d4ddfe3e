//! Devices: challenges and answers.

use super::check;
use crate::check::{Check, Context, Verdict, demand};
use crate::checks::ticket::verified;
use crate::oracle::crypto::{from_base64, from_hex, hex};
use crate::oracle::ticket::uri;
use crate::target::world::{
    Binding, Grant, World, answer, challenge, claim, device_tickets, post_answer, revoke,
};

const HONEST: &str = "idn.device.honest";

pub(super) fn checks() -> Vec<Check> {
    vec![
        check(HONEST, &["IDN-014"], "a device proves its key and gets tickets", honest),
        check(
            "idn.device.challenge-unknown",
            &["IDN-009"],
            "a challenge for a device that does not exist",
            unknown,
        )
        .twin(HONEST),
        check("idn.device.wrong-answer", &["IDN-010"], "an answer with one bit flipped", wrong_answer)
            .twin(HONEST),
        check("idn.device.other-key", &["IDN-010"], "an answer for another device's challenge", other_device)
            .twin(HONEST),
        check("idn.device.answer-twice", &["IDN-011"], "a right answer for the second time", twice)
            .twin(HONEST),
        check(
            "idn.device.right-after-wrong",
            &["IDN-011"],
            "the right answer after a wrong one",
            right_after_wrong,
        )
        .twin(HONEST),
        check(
            "idn.device.bound-to-audience",
            &["IDN-015"],
            "an answer for a cloud with another audience",
            other_audience,
        )
        .twin(HONEST),
        check(
            "idn.device.bound-to-device",
            &["IDN-016"],
            "an answer in the name of another device",
            bound_to_other_device,
        )
        .twin(HONEST),
        check("idn.device.bound-to-purpose", &["IDN-017"], "an answer for a claim", other_purpose)
            .twin(HONEST),
        check("idn.device.revoked", &["IDN-013"], "the proof of a revoked device", revoked)
            .twin(HONEST)
            .in_turn("spare key"),
    ]
}

const FAILED: &str = "device-proof-failed";

async fn honest(context: Context) -> Verdict {
    let world = World::get(&context).await?;
    let reply = device_tickets(&context, &world.laptop.id, &world.laptop.key, &world.alice.grant.audience)
        .await?
        .expect(200)?;
    let tickets = verified(&Grant::read(&reply)?)?;
    let subject = format!("{}{}", uri::DEVICE, world.laptop.id);
    demand!(
        tickets.iter().all(|ticket| ticket.fields.subject == subject),
        "a ticket is not about the device"
    );
    demand!(
        tickets.iter().any(|ticket| {
            let class = ticket.fields.authn.as_ref().map(|(_, class)| class.as_str());
            class == Some("urn:oasis:names:tc:SAML:2.0:ac:classes:SoftwarePKI")
        }),
        "there is no authentication ticket by key"
    );
    demand!(
        tickets.iter().flat_map(|ticket| &ticket.fields.authz).any(|statement| statement.resource == "/mesh"),
        "the device does not get its user's ticket for /mesh"
    );
    Ok(())
}

async fn unknown(context: Context) -> Verdict {
    let world = World::get(&context).await?;
    let known = challenge(&context, &world.laptop.id).await?.expect(200)?.json()?;
    let nobody = hex(&context.random::<16>());
    let unknown = challenge(&context, &nobody).await?.expect(200)?.json()?;
    let same = challenge(&context, &nobody).await?.expect(200)?.json()?;
    let form = |body: &serde_json::Value| {
        let challenge = body["challenge"].as_str().and_then(from_hex).map(|bytes| bytes.len());
        let ciphertext = body["ciphertext"].as_str().and_then(from_base64).map_or(0, |bytes| bytes.len());
        let members = body.as_object().map(|object| object.keys().cloned().collect::<Vec<_>>());
        (challenge, members, (256..=384).contains(&ciphertext), ciphertext)
    };
    let (known_form, unknown_form, same_form) = (form(&known), form(&unknown), form(&same));
    demand!(known_form.0 == Some(16), "a challenge is not 16 bytes in hexadecimal");
    let alike =
        (&known_form.0, &known_form.1, known_form.2) == (&unknown_form.0, &unknown_form.1, unknown_form.2);
    demand!(alike, "the two challenges differ in form: {known_form:?} and {unknown_form:?}");
    demand!(
        unknown_form == same_form,
        "one device has keys of two sizes: {unknown_form:?} and {same_form:?}"
    );
    demand!(unknown["ciphertext"] != same["ciphertext"], "the same ciphertext was given out twice");
    // The same device again: one that exists gets a new ciphertext every time, and so does one that does not.
    let again = challenge(&context, &world.laptop.id).await?.expect(200)?.json()?;
    demand!(known["challenge"] != again["challenge"], "the same challenge was given out twice");
    Ok(())
}

async fn wrong_answer(context: Context) -> Verdict {
    let world = World::get(&context).await?;
    let asked = challenge(&context, &world.laptop.id).await?.expect(200)?.json()?;
    let wrong = flipped(&answer(&world.laptop.key, &honest_binding(&world), &asked)?);
    post_answer(&context, &world.laptop.id, &asked, &wrong).await?.expect_problem(401, FAILED)
}

async fn other_device(context: Context) -> Verdict {
    let world = World::get(&context).await?;
    let asked = challenge(&context, &world.laptop.id).await?.expect(200)?.json()?;
    // Bound to the device that shows it: only that the challenge was another's is wrong with it.
    let binding = Binding { device: &world.phone.id, ..honest_binding(&world) };
    let right = answer(&world.laptop.key, &binding, &asked)?;
    post_answer(&context, &world.phone.id, &asked, &right).await?.expect_problem(401, FAILED)
}

async fn twice(context: Context) -> Verdict {
    let world = World::get(&context).await?;
    let asked = challenge(&context, &world.laptop.id).await?.expect(200)?.json()?;
    let right = answer(&world.laptop.key, &honest_binding(&world), &asked)?;
    post_answer(&context, &world.laptop.id, &asked, &right).await?.expect(200)?;
    post_answer(&context, &world.laptop.id, &asked, &right).await?.expect_problem(401, FAILED)
}

async fn right_after_wrong(context: Context) -> Verdict {
    let world = World::get(&context).await?;
    let asked = challenge(&context, &world.laptop.id).await?.expect(200)?.json()?;
    let right = answer(&world.laptop.key, &honest_binding(&world), &asked)?;
    post_answer(&context, &world.laptop.id, &asked, &flipped(&right)).await?.expect(401)?;
    post_answer(&context, &world.laptop.id, &asked, &right).await?.expect_problem(401, FAILED)
}

async fn revoked(context: Context) -> Verdict {
    let world = World::get(&context).await?;
    let device = claim(&context, &world.alice, "lost", &world.spare_key).await?;
    // Asked before: a challenge for a revoked device is one that nobody can answer (IDN-009).
    let asked = challenge(&context, &device.id).await?.expect(200)?.json()?;
    let right = answer(&device.key, &Binding { device: &device.id, ..honest_binding(&world) }, &asked)?;
    let reply = revoke(&context, &world.alice, &device.id).await?;
    demand!((200..300).contains(&reply.status), "revoking a device was answered with {}", reply.status);
    post_answer(&context, &device.id, &asked, &right).await?.expect_problem(401, FAILED)
}

fn honest_binding(world: &World) -> Binding<'_> {
    Binding { purpose: "sign-in", device: &world.laptop.id, audience: &world.alice.grant.audience }
}

/// Each answer is that of the twin but for one part of what it is bound to.
async fn refused_bindings(
    context: &Context,
    world: &World,
    bindings: impl IntoIterator<Item = Binding<'_>>,
) -> Verdict {
    for binding in bindings {
        let asked = challenge(context, &world.laptop.id).await?.expect(200)?.json()?;
        let answer = answer(&world.laptop.key, &binding, &asked)?;
        context.note("binding", format!("{binding:?}"));
        post_answer(context, &world.laptop.id, &asked, &answer).await?.expect_problem(401, FAILED)?;
    }
    Ok(())
}

async fn other_audience(context: Context) -> Verdict {
    let world = World::get(&context).await?;
    let right = honest_binding(&world);
    let longer = format!("{}.example", right.audience);
    let others = [longer.as_str(), "urn:meshproof:cloud:elsewhere", ""];
    refused_bindings(&context, &world, others.map(|audience| Binding { audience, ..right })).await
}

async fn bound_to_other_device(context: Context) -> Verdict {
    let world = World::get(&context).await?;
    let right = honest_binding(&world);
    let nobody = "0".repeat(32);
    let others = [world.phone.id.as_str(), &nobody];
    refused_bindings(&context, &world, others.map(|device| Binding { device, ..right })).await
}

async fn other_purpose(context: Context) -> Verdict {
    let world = World::get(&context).await?;
    let right = honest_binding(&world);
    refused_bindings(&context, &world, ["claim", ""].map(|purpose| Binding { purpose, ..right })).await
}

fn flipped(answer: &str) -> String {
    let mut bytes = from_hex(answer).unwrap_or_default();
    if let Some(last) = bytes.last_mut() {
        *last ^= 1;
    }
    hex(&bytes)
}
