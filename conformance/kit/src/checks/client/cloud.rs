//! A cloud that answers wrongly, and one whose tickets are not right.

use std::sync::Arc;

use serde_json::Value;

use super::{
    DIRECT, LOGIN, STORED, check, demand_good_session, demand_nothing_came, demand_synced, enrolled,
};
use crate::catalog::Part;
use crate::check::{Check, Context, Verdict, demand};
use crate::double::http::{ENDLESS, Manner, Reply};
use crate::double::{Double, Place};
use crate::oracle::crypto::hex;
use crate::oracle::ticket::{TicketFields, time, uri};
use crate::target::client::{Client, accepted, rejected};
use crate::target::fixture::PeerFixture;
use crate::target::peer::now;
use crate::vectors::fixtures::KEY_Z;

pub(super) fn checks() -> Vec<Check> {
    [tickets(), answers(), presence()].concat()
}

/// HSK-039: with a ticket that is not right a device says nothing to anybody.
fn tickets() -> Vec<Check> {
    let wrong = |id: &str, reqs: &'static [&'static str], title: &str, change: fn(&Double)| {
        check(Part::Handshake, &format!("client.pair.{id}"), reqs, title, move |context| async move {
            let (double, client) = enrolled(&context).await?;
            change(&double);
            let answer = client.sync().await?;
            let seen = double.seen().await;
            demand!(seen.like("POST /mesh/devices/", "/pair") > 0, "the client asks for no pair ticket");
            demand!(seen.calls == 0, "the client calls the device, directly or through the relay");
            demand_nothing_came(&client)?;
            rejected("sync", &answer)
        })
        .twin(DIRECT)
    };
    vec![
        wrong("forged", &["HSK-039", "TKT-021"], "the pair ticket is signed by somebody else", |double| {
            double.plan(|plan| plan.forged = true);
        }),
        wrong("expired", &["HSK-039", "TKT-014"], "the pair ticket is over", |double| {
            ticket(double, |ticket| {
                ticket.not_before = time::to_text(now() - 500);
                ticket.issue_instant.clone_from(&ticket.not_before);
                ticket.not_on_or_after = time::to_text(now() - 100);
            });
        }),
        wrong(
            "other-responder",
            &["HSK-039", "TKT-024"],
            "the pair ticket is for another device",
            |double| {
                let other = format!("{}{}", uri::DEVICE, hex(&PeerFixture::DEVICE_Z));
                double.plan(|plan| plan.ticket = Arc::new(move |ticket| ticket.audience.clone_from(&other)));
            },
        ),
        wrong("other-initiator", &["HSK-039"], "the pair ticket is another device's", |double| {
            ticket(double, |ticket| {
                let own = ticket.subject.trim_start_matches(uri::DEVICE).to_owned();
                let other = hex(&PeerFixture::DEVICE_Z);
                ticket.subject = ticket.subject.replace(&own, &other);
                for (_, values) in &mut ticket.attributes {
                    values.iter_mut().for_each(|value| *value = value.replace(&own, &other));
                }
            });
        }),
        wrong("other-key", &["HSK-039", "TKT-025"], "the pair ticket confirms another key", |double| {
            ticket(double, |ticket| ticket.confirmation = Some(KEY_Z.confirmation()));
        }),
        wrong(
            "responder-key",
            &["HSK-039", "TKT-033"],
            "the pair ticket has another key of the other device",
            |double| {
                ticket(double, |ticket| {
                    let device = hex(&PeerFixture::DEVICE_X);
                    let keys = ticket.attributes.iter_mut().filter(|(name, _)| name == uri::KEY);
                    for value in
                        keys.flat_map(|(_, values)| values).filter(|value| value.starts_with(&device))
                    {
                        *value = format!("{device} {}", KEY_Z.fingerprint());
                    }
                });
            },
        ),
        wrong(
            "document-key",
            &["HSK-039", "TKT-033"],
            "the device's document has another key than the pair ticket",
            |double| {
                double.edit(|request, reply| {
                    if request.path.ends_with("/pair") {
                        reply.edit(|body| body["device"]["spki"] = KEY_Z.spki_text());
                    }
                });
            },
        ),
    ]
}

fn ticket(double: &Double, change: fn(&mut TicketFields)) {
    double.plan(|plan| plan.ticket = Arc::new(change));
}

fn answers() -> Vec<Check> {
    vec![
        check(
            Part::Graph,
            "client.answer.cut",
            &["GPH-172"],
            "the answer ends before all of it came",
            |context| async move {
                let (double, client) = enrolled(&context).await?;
                double.edit(|request, reply| {
                    if request.path.ends_with("/mappings") {
                        reply.manner = Manner::Cut;
                    }
                });
                rejected("sync", &client.sync().await?)?;
                demand!(double.seen().await.calls == 0, "the client goes by what came of the answer");
                Ok(())
            },
        )
        .twin(DIRECT),
        check(
            Part::Graph,
            "client.answer.endless",
            &["GPH-173"],
            "an answer has no end in sight",
            |context| async move {
                let (double, client) = enrolled(&context).await?;
                double.edit(|request, reply| {
                    if request.path.ends_with("/mappings") {
                        reply.manner = Manner::Endless;
                    }
                });
                rejected("sync", &client.sync().await?)?;
                let seen = double.seen().await;
                demand!(seen.endless == 0, "the client takes {ENDLESS} bytes of one answer, and more");
                Ok(())
            },
        )
        .twin(DIRECT),
        check(
            Part::Graph,
            "client.answer.retry-after",
            &["GPH-174"],
            "the sign-in is put off for ten minutes",
            |context| async move {
                let (double, client) = (Double::start(&context).await?, Client::start(&context)?);
                double.edit(|request, reply| {
                    if request.line() == "POST /identity/token" {
                        *reply =
                            Reply::problem(429, "too-many-attempts", "IDN-018").with("retry-after", "600");
                    }
                });
                rejected("login", &client.login(&double).await?)?;
                let tried = double.seen().await.count("POST /identity/token");
                demand!(tried == 1, "the client tries {tried} times within ten minutes");
                Ok(())
            },
        )
        .twin(LOGIN),
        check(
            Part::Graph,
            "client.answer.refused-twice",
            &["GPH-175"],
            "new tickets are refused like the old ones",
            |context| async move {
                let (double, client) = enrolled(&context).await?;
                double.edit(|request, reply| {
                    if request.path.ends_with("/mappings") {
                        *reply = Reply::problem(401, "ticket-rejected", "TKT-031")
                            .with("www-authenticate", "MeshTicket");
                    }
                });
                rejected("sync", &client.sync().await?)?;
                let tried = double.seen().await.like("GET", "/mappings");
                demand!(tried <= 2, "the client shows tickets {tried} times where they are refused");
                Ok(())
            },
        )
        .twin(DIRECT),
        check(
            Part::Graph,
            "client.answer.refused-once",
            &[],
            "the tickets are refused, and new ones are taken",
            |context| async move {
                let (double, client) = enrolled(&context).await?;
                refuse_first(&double);
                accepted("sync", &client.sync().await?)?;
                demand_good_session(&double.seen().await)?;
                demand_synced(&double, &client, &[])
            },
        )
        .twin(DIRECT),
        unreadable("html", "a list is a page for people", 200, "<html>Please sign in to the network</html>"),
        unreadable("no-items", "a list has no items", 200, "{}"),
        unreadable("server-error", "a list cannot be had now", 500, "<html>Internal Server Error</html>"),
        check(
            Part::Graph,
            "client.answer.pages",
            &["GPH-178"],
            "what is looked for is on the second page",
            |context| async move {
                let (double, client) = enrolled(&context).await?;
                double.edit(|request, reply| {
                    if request.path.ends_with("/mappings") {
                        let second = request.query.contains("after=kit");
                        let next = format!("{}?after=kit", request.path);
                        reply.edit(|body| page(body, second, &next));
                    }
                });
                accepted("sync", &client.sync().await?)?;
                demand_good_session(&double.seen().await)?;
                demand_synced(&double, &client, &[])
            },
        )
        .twin(DIRECT),
        check(
            Part::Graph,
            "client.proof.other-cloud",
            &["GPH-177"],
            "the cloud says that it is another one, and passes its challenge on",
            |context| async move {
                let (double, client) = enrolled(&context).await?;
                let other = "https://cloud.other.example/";
                refuse_first(&double);
                double.and_edit(move |request, reply| {
                    if request.line() == "POST /tickets/device" {
                        reply.edit(|body| body["audience"] = other.into());
                    }
                });
                // The second sync signs in with what the first sign-in said.
                client.sync().await?;
                refuse_first(&double);
                client.sync().await?;
                let proofs = double.seen().await.proofs;
                demand!(!proofs.is_empty(), "the client does not sign in again");
                let passed_on = proofs.iter().any(|proof| proof.is_for(other));
                demand!(!passed_on, "the client proves its key for another cloud than its own");
                Ok(())
            },
        )
        .twin("client.answer.refused-once"),
        check(
            Part::Storage,
            "client.quota",
            &["STO-050"],
            "the cloud has no room for one of two files",
            quota,
        )
        .twin(STORED),
    ]
}

/// GPH-179: the list of the devices that have the folder cannot be read.
fn unreadable(id: &str, title: &str, status: u16, body: &'static str) -> Check {
    check(Part::Graph, &format!("client.answer.{id}"), &["GPH-179"], title, move |context| async move {
        let (double, client) = enrolled(&context).await?;
        double.edit(move |request, reply| {
            if request.path.ends_with("/mappings") {
                *reply = Reply { status, body: body.as_bytes().to_vec(), ..Reply::empty() };
            }
        });
        let answer = client.sync().await?;
        demand!(double.seen().await.calls == 0, "the client goes by what it cannot read");
        rejected("sync", &answer)
    })
    .twin(DIRECT)
}

/// Leaves the mapping of the double's device for the second page.
fn page(body: &mut Value, second: bool, next: &str) {
    let own = hex(&PeerFixture::DEVICE_X);
    let items = body["items"].as_array().cloned().unwrap_or_default();
    let items = items.into_iter().filter(|item| (item["device"] == own.as_str()) == second);
    body["items"] = items.collect();
    if !second {
        body["links"]["next"] = next.into();
    }
}

/// Refuses the tickets of the next request below `/mesh` that a sync begins with.
fn refuse_first(double: &Double) {
    let first = std::sync::atomic::AtomicBool::new(true);
    double.edit(move |request, reply| {
        if request.path.starts_with("/mesh") && first.swap(false, std::sync::atomic::Ordering::Relaxed) {
            *reply = Reply::problem(401, "ticket-rejected", "TKT-031").with("www-authenticate", "MeshTicket");
        }
    });
}

async fn quota(context: Context) -> Verdict {
    let (double, client) = enrolled(&context).await?;
    double.store_bytes();
    let (one, other) = (context.random::<300>(), context.random::<500>());
    client.write("one", &one)?;
    client.write("other", &other)?;
    let hash = blake3::hash(&one).to_hex().to_string();
    double.edit(move |request, reply| {
        if request.method == "PUT" && request.path.ends_with(&hash) {
            *reply = Reply::problem(507, "quota-exceeded", "STO-002");
        }
    });
    client.sync().await?;
    let seen = double.seen().await;
    demand_good_session(&seen)?;
    let given = |content: &[u8]| seen.contents.contains_key(blake3::hash(content).as_bytes());
    demand!(given(&one) && given(&other), "the other device did not get both files");
    let stored = seen.count(&format!("PUT {}", media(&other)));
    demand!(stored > 0, "the cloud did not get the file for which it has room");
    let tried = seen.count(&format!("PUT {}", media(&one)));
    demand!(tried <= 1, "the client tries {tried} times to bring what finds no room");
    Ok(())
}

fn media(content: &[u8]) -> String {
    format!("/mesh/objects/{}/media/{}", hex(&PeerFixture::FOLDER), blake3::hash(content).to_hex())
}

/// Where the cloud says that the other device is.
fn presence() -> Vec<Check> {
    let somewhere = |id: &str, title: &str, places: &'static [Place]| {
        check(Part::Graph, id, &["GPH-176"], title, move |context| async move {
            let (double, client) = enrolled(&context).await?;
            double.plan(|plan| plan.places = places.to_vec());
            accepted("sync", &client.sync().await?)?;
            let seen = double.seen().await;
            demand!(seen.stranger > 0, "the client does not try the first address");
            demand_good_session(&seen)?;
            demand_synced(&double, &client, &[])
        })
    };
    vec![
        somewhere(
            "client.presence.stranger-first",
            "at the first address of the device is another one",
            &[Place::Stranger, Place::Here],
        )
        .twin(DIRECT),
        somewhere(
            "client.presence.stranger-only",
            "at the only address is another one, and there is a relay",
            &[Place::Stranger],
        )
        .twin(super::RELAYED),
    ]
}
