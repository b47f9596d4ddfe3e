//! handshake.md section 4.6: a new ticket on an open channel.

use super::check;
use crate::check::{Check, Context, Stop, Verdict};
use crate::checks::sync::session::Session;
use crate::oracle::crypto::hex;
use crate::oracle::record::TICKET;
use crate::oracle::ticket::{TicketFields, time, uri};
use crate::target::channel::Record;
use crate::target::fixture::PeerFixture;
use crate::target::peer::now;
use crate::vectors::fixtures;

/// A good renewal.
const RENEWED: &str = "hs.renew.honest";

pub(super) fn checks() -> Vec<Check> {
    let wrong = |id: &str, title: &str, change: fn(&mut TicketFields)| {
        check(&format!("hs.renew.{id}"), &["HSK-054"], title, move |context| async move {
            let ticket = ticket(&context, change);
            ends_after(context, ticket).await
        })
        .twin(RENEWED)
    };
    vec![
        check(RENEWED, &[], "a channel goes on after a new ticket", honest).twin("hs.m3.honest"),
        wrong("expired", "a ticket that is over", |ticket| {
            ticket.not_before = time::to_text(now() - 500);
            ticket.issue_instant.clone_from(&ticket.not_before);
            ticket.not_on_or_after = time::to_text(now() - 100);
        }),
        wrong("other-audience", "a ticket for another device", |ticket| {
            ticket.audience = format!("{}{}", uri::DEVICE, hex(&PeerFixture::DEVICE_Z));
        }),
        wrong("other-initiator", "a ticket of another device with the same key", |ticket| {
            let (x, z) = (hex(&PeerFixture::DEVICE_X), hex(&PeerFixture::DEVICE_Z));
            ticket.subject = format!("{}{z}", uri::DEVICE);
            for (_, values) in &mut ticket.attributes {
                values.iter_mut().for_each(|value| *value = value.replace(&x, &z));
            }
        }),
        wrong("other-key", "a ticket of the same device with another key", |ticket| {
            let key = &fixtures::KEY_Z;
            ticket.confirmation = Some(key.confirmation());
            let (_, keys) = &mut ticket.attributes[0];
            keys[0] = format!("{} {}", hex(&PeerFixture::DEVICE_X), key.fingerprint());
        }),
        check(
            "hs.renew.folder-gone",
            &["HSK-057"],
            "a ticket without the folder of the one before",
            |context| {
                let ticket =
                    ticket(&context, |ticket| ticket.attributes.retain(|(name, _)| name != uri::MAPPING));
                ends_after(context, ticket)
            },
        )
        .twin(RENEWED),
        check("hs.renew.role-less", &["HSK-057"], "a ticket with a lesser role in the folder", |context| {
            let ticket = ticket(&context, |ticket| set_role(ticket, "reader"));
            ends_after(context, ticket)
        })
        .twin(RENEWED),
        check(
            "hs.renew.role-greater",
            &["HSK-057"],
            "a ticket with a greater role in the folder",
            |context| {
                let ticket = ticket(&context, |_| {});
                async move {
                    let as_reader = Session::open_with(&context, |ticket| set_role(ticket, "reader")).await?;
                    ends_after_in(as_reader, ticket).await
                }
            },
        )
        .twin(RENEWED),
        check("hs.renew.garbage", &["HSK-054"], "a ticket record that holds no ticket", |context| {
            ends_after(context, b"no ticket".to_vec())
        })
        .twin(RENEWED),
        check("hs.renew.empty", &["HSK-054"], "an empty ticket record", |context| {
            ends_after(context, Vec::new())
        })
        .twin(RENEWED),
        check("hs.renew.signer-other", &["HSK-054"], "a ticket signed by somebody else", |context| {
            let ticket = PeerFixture::get().pair_ticket(context.random(), now());
            ends_after(context, ticket.issue(&fixtures::ISSUER_EVIL.private).into_bytes())
        })
        .twin(RENEWED),
    ]
}

fn ticket(context: &Context, change: fn(&mut TicketFields)) -> Vec<u8> {
    let fixture = PeerFixture::get();
    let mut ticket = fixture.pair_ticket(context.random(), now());
    change(&mut ticket);
    ticket.issue(&fixture.issuer).into_bytes()
}

/// Gives the kit's device another role in the folder than owner.
fn set_role(ticket: &mut TicketFields, role: &str) {
    for (_, values) in ticket.attributes.iter_mut().filter(|(name, _)| name == uri::MAPPING) {
        values[0] = values[0].replace("owner", role);
    }
}

/// A session on whose channel a ticket record was sent.
async fn renewing(context: &Context, ticket: &[u8]) -> Result<Session, Stop> {
    renewing_in(Session::open(context).await?, ticket).await
}

async fn renewing_in(mut session: Session, ticket: &[u8]) -> Result<Session, Stop> {
    let record = session.channel.sending.seal(TICKET, ticket, 0);
    session.channel.conn.send("a ticket record", &record).await?;
    Ok(session)
}

async fn honest(context: Context) -> Verdict {
    let ticket = ticket(&context, |_| {});
    renewing(&context, &ticket).await?.exchange(Vec::new()).await.map(|_| ())
}

/// The device ends the channel with close_notify. It may have sent its index before.
async fn ends_after(context: Context, ticket: Vec<u8>) -> Verdict {
    ends_after_in(Session::open(&context).await?, ticket).await
}

async fn ends_after_in(session: Session, ticket: Vec<u8>) -> Verdict {
    let mut channel = renewing_in(session, &ticket).await?.channel;
    loop {
        match channel.read().await {
            Ok(Record::CloseNotify) => return Ok(()),
            Ok(Record::Data(_)) => {}
            Err(broken) => return Err(broken.instead_of("close_notify")),
        }
    }
}
