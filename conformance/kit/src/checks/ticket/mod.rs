//! ticket.md, against a cloud: what its issuer writes, and what its services refuse.
//!
//! The kit has no key that the cloud trusts, so it cannot make a ticket that is wrong in one thing and rightly signed:
//! those rules are tested by the vectors. Here, real tickets are altered, mixed and put to the wrong use.

use serde_json::json;

use crate::catalog::Part;
use crate::check::{Check, Context, Role, Stop, Verdict, demand};
use crate::oracle::crypto::{base64url, from_base64url, public_key_from_spki};
use crate::oracle::ticket::{Issuer, Ticket, Verification, from_header, uri, verify};
use crate::target::cloud::{Reply, call};
use crate::target::peer::now;
use crate::target::world::{Grant, World, claim, renew, revoke};
use crate::vectors::fixtures;

/// GET of the mesh with the tickets of its user.
const HONEST: &str = "tkt.http.honest";

/// The checks of this part.
pub fn checks() -> Vec<Check> {
    let mut checks = vec![
        check(HONEST, &[], "GET /mesh with a set of two tickets", |context| async move {
            let world = World::get(&context).await?;
            get(&context, &world.alice.grant.tickets).await?.expect(200).map(|_| ())
        }),
        check("tkt.http1.honest", &[], "the same over HTTP/1.1", |context| async move {
            let world = World::get(&context).await?;
            let request = call(&context, "GET", "/mesh").http1().tickets(&world.alice.grant.tickets);
            request.send().await?.expect(200).map(|_| ())
        }),
        check(
            "tkt.issue.grammar",
            &["TKT-001", "TKT-002"],
            "every ticket the cloud issues is canonical and short-lived",
            issued,
        ),
        check("tkt.set.sixteen", &[], "a set of sixteen tickets of one subject", |context| async move {
            set_of(&context, 16).await?.expect(200).map(|_| ())
        }),
        check(
            "tkt.set.seventeen",
            &["TKT-027"],
            "a set of seventeen tickets of one subject",
            |context| async move { rejected(set_of(&context, 17).await?) },
        )
        .twin("tkt.set.sixteen"),
        check("tkt.set.two-users", &["TKT-029"], "tickets of two users in one set", |context| async move {
            let world = World::get(&context).await?;
            let mixed = [&world.alice.grant.tickets[..], &world.bob.grant.tickets].concat();
            rejected(get(&context, &mixed).await?)
        })
        .twin(HONEST),
        check(
            "tkt.set.user-and-device",
            &["TKT-029"],
            "tickets of a user and of her device in one set",
            |context| async move {
                let world = World::get(&context).await?;
                let mixed = [&world.alice.grant.tickets[..], &world.laptop.grant.tickets].concat();
                rejected(get(&context, &mixed).await?)
            },
        )
        .twin(HONEST),
        check(
            "tkt.http.pair-ticket",
            &["TKT-024", "TKT-025"],
            "a pair ticket shown to the cloud",
            pair_ticket,
        )
        .twin(HONEST),
        check("tkt.http.revoked", &["TKT-026"], "the tickets of a device that was revoked", revoked)
            .twin(HONEST)
            .in_turn("spare key"),
        check("tkt.http.alike", &["TKT-031"], "four rejected sets get one and the same answer", alike)
            .twin(HONEST),
    ];
    for (id, reqs, title, alter) in ALTERATIONS {
        let check = check(&format!("tkt.{id}"), reqs, title, move |context| async move {
            let world = World::get(&context).await?;
            let mut tickets = world.alice.grant.tickets.clone();
            tickets[0] =
                alter(&tickets[0]).ok_or_else(|| Stop::Blocked("the ticket has no such place".to_owned()))?;
            rejected(get(&context, &tickets).await?)
        });
        checks.push(check.twin(HONEST));
    }
    for (id, title, value) in HEADERS {
        let check = check(&format!("tkt.header.{id}"), &["TKT-031"], title, move |context| async move {
            let world = World::get(&context).await?;
            let value = value.replace('~', &world.alice.grant.tickets.join(","));
            rejected(call(&context, "GET", "/mesh").header("authorization", &value).send().await?)
        });
        checks.push(check.twin(HONEST));
    }
    checks
}

fn check<F, R>(id: &str, reqs: &[&str], title: &str, run: F) -> Check
where
    F: Fn(Context) -> R + Send + Sync + 'static,
    R: Future<Output = Verdict> + Send + 'static,
{
    let check = Check::new(Role::Cloud, Part::Ticket, id, reqs, title, run);
    if id == HONEST { check } else { check.twin(HONEST) }
}

/// Changes one ticket of a set, in its header form.
type Alter = fn(&str) -> Option<String>;

/// The first ticket of a set, altered: check, requirements, title, alteration. The second stays good (TKT-028).
const ALTERATIONS: [(&str, &[&str], &str, Alter); 15] = [
    ("wire.padding", &["TKT-003", "TKT-028"], "a ticket with base64 padding", |ticket| {
        Some(format!("{ticket}="))
    }),
    ("wire.alphabet", &["TKT-003"], "a ticket with a plus sign", |ticket| Some(format!("{ticket}+"))),
    ("wire.trailing-bits", &["TKT-003"], "a ticket whose last character has bits too many", trailing_bits),
    ("wire.one-more", &["TKT-003"], "a ticket with a character more than any base64 has", |ticket| {
        Some(format!("{ticket}{}", &"AAAAA"[..(5 - ticket.len() % 4) % 4]))
    }),
    ("wire.too-large", &["TKT-004"], "a ticket of more than 8,192 bytes", |ticket| {
        text(ticket, |text| {
            text.replacen("<saml2:Issuer>", &format!("<saml2:Issuer>{}", " ".repeat(9000)), 1)
        })
    }),
    ("syntax.newline", &["TKT-005"], "a ticket with a line feed at its end", |ticket| {
        text(ticket, |text| text + "\n")
    }),
    ("syntax.comment", &["TKT-006"], "a ticket with a comment in its subject", |ticket| {
        text(ticket, |text| text.replacen("</saml2:NameID>", "<!-- -->0</saml2:NameID>", 1))
    }),
    ("syntax.declaration", &["TKT-006"], "a ticket behind an XML declaration", |ticket| {
        text(ticket, |text| format!("<?xml version=\"1.0\"?>{text}"))
    }),
    ("syntax.doctype", &["TKT-006"], "a ticket behind a DOCTYPE", |ticket| {
        text(ticket, |text| format!("<!DOCTYPE a>{text}"))
    }),
    ("syntax.space", &["TKT-006"], "a ticket with one space more in its first tag", |ticket| {
        text(ticket, |text| text.replacen(" ID=", "  ID=", 1))
    }),
    ("syntax.wrapped", &["TKT-006"], "a ticket wrapped in another element", |ticket| {
        text(ticket, |text| format!("<a>{text}</a>"))
    }),
    ("issuer.other", &["TKT-019"], "a ticket that names another issuer", |ticket| {
        text(ticket, |text| text.replacen("</saml2:Issuer>", "/x</saml2:Issuer>", 1))
    }),
    ("digest.subject", &["TKT-020"], "a ticket with another digit in its subject", |ticket| {
        text(ticket, |text| {
            let digit = text.split("</saml2:NameID>").next().and_then(|before| before.chars().last());
            let other = if digit == Some('0') { '1' } else { '0' };
            text.replacen(
                &format!("{}</saml2:NameID>", digit.unwrap_or('0')),
                &format!("{other}</saml2:NameID>"),
                1,
            )
        })
    }),
    ("digest.end", &["TKT-020"], "a ticket that ends a century later", |ticket| {
        text(ticket, |text| text.replacen(" NotOnOrAfter=\"20", " NotOnOrAfter=\"21", 1))
    }),
    (
        "signature.resigned",
        &["TKT-021"],
        "a ticket of the right issuer's name, signed by somebody else",
        resigned,
    ),
];

/// Header values that are no set of tickets; `~` stands for a good set.
const HEADERS: [(&str, &str, &str); 5] = [
    ("empty", "a header without tickets", "MeshTicket"),
    ("comma", "a set with an empty ticket at its end", "MeshTicket ~,"),
    ("space", "a set with a space behind the comma", "MeshTicket ~, ~"),
    ("garbage", "a set of one word that is no ticket", "MeshTicket AAAA"),
    ("scheme", "a good set under another scheme", "Bearer ~"),
];

async fn get(context: &Context, tickets: &[String]) -> Result<Reply, Stop> {
    call(context, "GET", "/mesh").tickets(tickets).send().await
}

/// TKT-031.
fn rejected(reply: Reply) -> Verdict {
    let reply = reply.expect(401)?;
    let challenge = reply.header("www-authenticate").unwrap_or_default().to_owned();
    demand!(challenge == "MeshTicket", "WWW-Authenticate is {challenge:?} instead of MeshTicket");
    reply.expect_problem_of(401, &["ticket-rejected", "tickets-required"])
}

/// The text of a ticket changed, with its old digest and signature.
fn text(ticket: &str, change: impl FnOnce(String) -> String) -> Option<String> {
    let old = String::from_utf8(from_base64url(ticket)?).ok()?;
    let new = change(old.clone());
    (new != old).then(|| base64url(new.as_bytes()))
}

/// Sets bits in the last character that carry nothing. A ticket whose length divides by three has none.
fn trailing_bits(ticket: &str) -> Option<String> {
    const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let (front, last) = ticket.split_at(ticket.len() - 1);
    if ticket.len().is_multiple_of(4) {
        // No spare bits here, so one byte is taken away first; base64 is still what it was made to be wrong in.
        let shorter = from_base64url(ticket)?;
        return trailing_bits(&base64url(shorter.split_last()?.1));
    }
    let value = ALPHABET.iter().position(|letter| last.as_bytes() == [*letter])?;
    Some(format!("{front}{}", char::from(ALPHABET[value | 1])))
}

fn resigned(ticket: &str) -> Option<String> {
    let read = crate::oracle::ticket::parse(&from_base64url(ticket)?).ok()?;
    Some(base64url(read.fields.issue(&fixtures::ISSUER_EVIL.private).as_bytes()))
}

/// Reads and verifies every ticket of a grant as a relying service of the same cloud would.
pub fn verified(grant: &Grant) -> Result<Vec<Ticket>, Stop> {
    let keys: Option<Vec<_>> = grant.issuer_keys.iter().map(|spki| public_key_from_spki(spki)).collect();
    let keys = keys.ok_or_else(|| Stop::Fail("a key of the issuer is no SPKI".to_owned()))?;
    demand!((1..=2).contains(&keys.len()), "the issuer has {} keys", keys.len());
    let by = Verification {
        now: now(),
        audience: grant.audience.clone(),
        issuers: vec![Issuer { name: grant.issuer.clone(), keys }],
        ..Verification::default()
    };
    grant
        .tickets
        .iter()
        .map(|ticket| {
            from_header(ticket)
                .and_then(|bytes| verify(&bytes, &by))
                .map_err(|rule| Stop::Fail(format!("a ticket that the cloud issued breaks {rule}")))
        })
        .collect()
}

async fn issued(context: Context) -> Verdict {
    let world = World::get(&context).await?;
    for grant in [&world.alice.grant, &world.laptop.grant] {
        let tickets = verified(grant)?;
        demand!(tickets.len() >= 2, "there are {} tickets where two were expected", tickets.len());
        let mut ids: Vec<&str> = tickets.iter().map(|ticket| ticket.fields.id.as_str()).collect();
        ids.sort_unstable();
        ids.dedup();
        demand!(ids.len() == tickets.len(), "two tickets have the same ID");
    }
    Ok(())
}

/// A set of so many different tickets of one user.
async fn set_of(context: &Context, count: usize) -> Result<Reply, Stop> {
    let world = World::get(context).await?;
    let mut tickets = world.bob.grant.tickets.clone();
    while tickets.len() < count {
        let more = renew(context, &world.bob).await?.tickets;
        demand!(!more.is_empty(), "POST /tickets gave no tickets");
        tickets.extend(more);
    }
    get(context, &tickets[..count]).await
}

async fn pair_ticket(context: Context) -> Verdict {
    let world = World::get(&context).await?;
    let path = format!("/mesh/devices/{}/pair", world.phone.id);
    let pair =
        call(&context, "POST", &path).tickets(&world.laptop.grant.tickets).send().await?.expect(200)?;
    let mut tickets = world.laptop.grant.tickets.clone();
    tickets.push(pair.text("ticket")?);
    rejected(get(&context, &tickets).await?)
}

async fn revoked(context: Context) -> Verdict {
    let world = World::get(&context).await?;
    let device = claim(&context, &world.alice, "stolen", &world.spare_key).await?;
    let before = get(&context, &device.grant.tickets).await?;
    let reply = revoke(&context, &world.alice, &device.id).await?;
    before.expect(200)?;
    demand!((200..300).contains(&reply.status), "revoking a device was answered with {}", reply.status);
    rejected(get(&context, &device.grant.tickets).await?)
}

async fn alike(context: Context) -> Verdict {
    let world = World::get(&context).await?;
    let good = &world.alice.grant.tickets;
    let mut answers = Vec::new();
    for (name, alter) in ALTERATIONS.iter().map(|(id, _, _, alter)| (*id, alter)) {
        if !["wire.padding", "syntax.comment", "digest.end", "signature.resigned"].contains(&name) {
            continue;
        }
        let Some(altered) = alter(&good[0]) else { continue };
        let reply = get(&context, &[altered]).await?.expect(401)?;
        answers.push((name, reply.header("www-authenticate").map(str::to_owned), reply.body));
    }
    for pair in answers.windows(2) {
        demand!(
            pair[0].1 == pair[1].1 && pair[0].2 == pair[1].2,
            "{} and {} are answered differently: {} and {}",
            pair[0].0,
            pair[1].0,
            json!(String::from_utf8_lossy(&pair[0].2)),
            json!(String::from_utf8_lossy(&pair[1].2))
        );
    }
    demand!(answers.len() > 1, "fewer than two answers to compare; subject prefix {}", uri::USER);
    Ok(())
}
