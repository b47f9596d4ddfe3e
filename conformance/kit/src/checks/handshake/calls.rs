//! handshake.md section 4.4 and what else it asks of an initiator: the kit is dialled and answers.

use crate::catalog::Part;
use crate::check::{Check, Context, Role, Stop, Verdict, demand};
use crate::oracle::crypto::{h, hex, oaep_encrypt};
use crate::oracle::handshake::{HYBRID, LABEL_I, M1Keys, M2Fields, SUITE, X25519, frame, kind};
use crate::oracle::ticket::{time, uri};
use crate::target::caller::{self, Call, Clear, Dial, Received, rename};
use crate::target::channel::Record;
use crate::target::fixture::PeerFixture;
use crate::target::peer::now;
use crate::vectors::fixtures::KEY_Z;

/// The call that the negative checks differ from in one thing.
pub(crate) const HONEST: &str = "hs.call.honest";

pub(super) fn checks() -> Vec<Check> {
    [honest(), m2(), replies(), own_ticket(), again()].concat()
}

fn check<F, R>(id: &str, reqs: &[&str], title: &str, run: F) -> Check
where
    F: Fn(Context) -> R + Send + Sync + 'static,
    R: Future<Output = Verdict> + Send + 'static,
{
    Check::new(Role::Initiator, Part::Handshake, id, reqs, title, run).in_turn(caller::TURN)
}

fn honest() -> Vec<Check> {
    let in_suite = |id: &str, title: &str, suites: &'static [u16]| {
        check(id, &[], title, move |context| establishes(context, suites))
    };
    vec![
        in_suite(HONEST, "a device dials, and its M1, M3 and close_notify are right", &[SUITE]),
        in_suite("hs.call.x25519", "the same in suite 0x0201", &[X25519]).twin(HONEST),
        in_suite("hs.call.hybrid", "the same in suite 0x0301", &[HYBRID]).twin(HONEST),
        in_suite("hs.call.all", "the same with all three suites on offer", &[HYBRID, X25519, SUITE])
            .twin(HONEST),
        check("hs.call.rdv-token", &[], "the token of a rendezvous stands in M1", |context| async move {
            let rdv_token = context.random();
            let mut call = Call::start(&context, &Dial { rdv_token, ..Dial::new(&context) }).await?;
            let received = call.receive().await?;
            demand!(received.clear.rdv_token == rdv_token, "M1 has another rdv_token than it should");
            Ok(())
        })
        .twin(HONEST),
        check("hs.call.fresh", &["HSK-038"], "two calls have no secret in common", |context| async move {
            let (one, other) = (first_m1(&context).await?, first_m1(&context).await?);
            demand!(one.nonce != other.nonce, "nonce_I is the same in two M1");
            demand!(one.k_r != other.k_r, "k_R is the same in two M1");
            demand!(one.ct_r != other.ct_r, "ct_R is the same in two M1");
            demand!(one.share != other.share, "the share is the same in two M1");
            Ok(())
        })
        .twin(HONEST),
    ]
}

/// An M2 with one thing wrong, before what protects it is computed.
fn m2() -> Vec<Check> {
    let wrong = |id: &str, reqs: &'static [&'static str], title: &str, change: fn(&mut M2Fields)| {
        check(&format!("hs.call.m2-{id}"), reqs, title, move |context| async move {
            let (mut call, mut received) = called(&context, &[SUITE]).await?;
            received.send_m2(change).await?;
            fails_silently(&mut call, received, reqs[0]).await
        })
        .twin(HONEST)
    };
    vec![
        wrong("suite-not-offered", &["HSK-030"], "an M2 of suite 0x0102", |m2| m2.suite = 0x0102),
        wrong("share-unasked", &["HSK-031"], "a share where the suite has none", |m2| m2.share = vec![7; 32]),
        wrong("box2", &["HSK-032", "HSK-006"], "a bit of box2 flipped", |m2| {
            m2.forge.sealed = Some(Box::new(|bytes| bytes[20] ^= 1));
        }),
        wrong("ct-garbage", &["HSK-033"], "a ct_I that does not decrypt", |m2| m2.ct_i.fill(0x55)),
        wrong("ct-31-bytes", &["HSK-033"], "a ct_I that holds 31 bytes", |m2| {
            let key = PeerFixture::get().key_x.to_public_key();
            m2.ct_i = oaep_encrypt(&key, LABEL_I, &m2.k_i[..31], &[3; 32]);
        }),
        wrong("tag", &["HSK-034", "HSK-006"], "a bit of tag_R flipped", |m2| {
            m2.forge.tag_r = Some(Box::new(|bytes| bytes[0] ^= 1));
        }),
        wrong("other-responder", &["HSK-034"], "a responder that takes itself for another device", |m2| {
            m2.names.responder = PeerFixture::DEVICE_Z.to_vec();
        }),
        wrong("other-key", &["HSK-034"], "a responder with another key in its transcript", |m2| {
            m2.names.spki_r = KEY_Z.spki();
        }),
        wrong("params", &["HSK-003"], "params with half a parameter", |m2| m2.params = vec![0xff]),
        wrong("padding", &["HSK-004"], "padding that is not zeros", |m2| {
            m2.forge.plaintext = Some(Box::new(|bytes| bytes[1023] = 1));
        }),
        check(
            "hs.call.m2-x25519-zero",
            &["HSK-043"],
            "a point of low order in 0x0201",
            |context| async move {
                let (mut call, mut received) = called(&context, &[X25519]).await?;
                received.send_m2(|m2| (m2.share, m2.ss_e) = (vec![0; 32], vec![0; 32])).await?;
                fails_silently(&mut call, received, "HSK-043").await
            },
        )
        .twin("hs.call.x25519"),
    ]
}

/// Frames other than M2.
fn replies() -> Vec<Check> {
    let wrong = |id: &str, reqs: &'static [&'static str], title: &str, reply: fn(&Received) -> Vec<u8>| {
        check(&format!("hs.call.{id}"), reqs, title, move |context| async move {
            let (mut call, mut received) = called(&context, &[SUITE]).await?;
            let reply = reply(&received);
            received.conn.send("reply", &reply).await?;
            fails_silently(&mut call, received, reqs[0]).await
        })
        .twin(HONEST)
    };
    vec![
        wrong("reflected", &["HSK-001", "HSK-006"], "its own M1 as the answer", |received| {
            received.m1.clone()
        }),
        wrong("type-m3", &["HSK-001"], "an M3 as the answer", |_| frame(kind::M3, &[0; 32])),
        wrong("too-large", &["HSK-002"], "the header of an M2 of 24,577 bytes", |_| vec![2, 0, 0x60, 1]),
        wrong("refuse-forged", &["HSK-035"], "a REFUSE that does not authenticate", |_| {
            frame(kind::REFUSE, &[0; 64])
        }),
        wrong("refuse-other-m1", &["HSK-035"], "the REFUSE of another M1", |received| {
            M1Keys { ck1: received.ck1, k1: Vec::new() }.refuse(&h(&[&received.m1]), 2)
        }),
        wrong("no-common-suite", &["HSK-037", "HSK-036"], "NO_COMMON_SUITE, and no second try", |_| {
            frame(kind::NO_COMMON_SUITE, &[])
        }),
        check("hs.call.refused", &["HSK-006"], "an authentic REFUSE", |context| async move {
            let (mut call, mut received) = called(&context, &[SUITE]).await?;
            let refuse = M1Keys { ck1: received.ck1, k1: Vec::new() }.refuse(&received.m1, 1);
            received.conn.send("REFUSE", &refuse).await?;
            received.conn.expect_silent_close().await?;
            let answer = call.outcome().await?;
            let said = answer.reason.as_deref().unwrap_or("refused");
            demand!(said == "refused", "the device was refused, and says {said}");
            Ok(())
        })
        .twin(HONEST),
        check("hs.call.retry", &["HSK-047"], "RETRY, then M2", |context| async move {
            let (mut call, received) = called(&context, &[HYBRID, X25519, SUITE]).await?;
            let (before, cookie) = (received.clear.clone(), context.random());
            let received = received.retry(cookie).await?;
            let wanted = Clear { cookie: cookie.to_vec(), ..before };
            demand!(received.clear == wanted, "the second M1 differs in more than the cookie, box1 and mac1");
            close(received, &mut call).await
        })
        .twin("hs.call.all"),
        check("hs.call.retry-twice", &["HSK-048"], "a second RETRY", |context| async move {
            let (mut call, received) = called(&context, &[SUITE]).await?;
            let mut received = received.retry(context.random()).await?;
            let again = frame(kind::RETRY, &context.random::<40>());
            received.conn.send("a second RETRY", &again).await?;
            fails_silently(&mut call, received, "HSK-048").await
        })
        .twin("hs.call.retry"),
    ]
}

/// HSK-039: a device with a wrong ticket says nothing to anybody.
fn own_ticket() -> Vec<Check> {
    let wrong = |id: &str, title: &str, change: fn(&mut Dial)| {
        check(&format!("hs.call.ticket-{id}"), &["HSK-039"], title, move |context| async move {
            let mut dial = Dial::new(&context);
            change(&mut dial);
            Call::start(&context, &dial).await?.demand_no_call().await
        })
        .twin(HONEST)
    };
    vec![
        wrong("other-responder", "a ticket for another responder", |dial| {
            dial.responder = PeerFixture::DEVICE_Z;
            dial.forget = false; // `hs.call.no-weaker` talks to it
        }),
        wrong("other-initiator", "a ticket of another device", |dial| {
            rename(&mut dial.ticket, PeerFixture::DEVICE_X, PeerFixture::DEVICE_Z);
        }),
        wrong("other-key", "a ticket that confirms another key", |dial| {
            dial.ticket.confirmation = Some(KEY_Z.confirmation());
        }),
        wrong("responder-key", "a ticket with another key of the responder", |dial| {
            for (name, values) in &mut dial.ticket.attributes {
                if name == uri::KEY {
                    let y = hex(&PeerFixture::DEVICE_Y);
                    values[1] = format!("{y} {}", KEY_Z.fingerprint());
                }
            }
        }),
        wrong("expired", "a ticket that is over", |dial| {
            dial.ticket.not_before = time::to_text(now() - 500);
            dial.ticket.issue_instant.clone_from(&dial.ticket.not_before);
            dial.ticket.not_on_or_after = time::to_text(now() - 100);
        }),
    ]
}

/// What a device remembers from one call to the next.
fn again() -> Vec<Check> {
    vec![
        check("hs.call.no-weaker", &["HSK-046"], "after 0x0201 no 0x0101", |context| async move {
            let mut dial = Dial { suites: vec![X25519, SUITE], ..Dial::to_another(&context) };
            let mut call = Call::start(&context, &dial).await?;
            close(call.receive().await?, &mut call).await?;
            dial.forget = false;
            let received = Call::start(&context, &dial).await?.receive().await?;
            let weaker = received.clear.suites.contains(&SUITE);
            demand!(!weaker, "the device offers a weaker suite than that of the channel before");
            Ok(())
        })
        .twin(HONEST),
    ]
}

async fn called(context: &Context, suites: &[u16]) -> Result<(Call, Received), Stop> {
    let dial = Dial { suites: suites.to_vec(), ..Dial::new(context) };
    let mut call = Call::start(context, &dial).await?;
    let received = call.receive().await?;
    demand!(received.clear.suites == suites, "M1 offers {:04x?}, not {suites:04x?}", received.clear.suites);
    demand!(received.clear.rdv_token == [0; 16], "M1 of a direct connection has a rdv_token");
    Ok((call, received))
}

async fn first_m1(context: &Context) -> Result<Clear, Stop> {
    Ok(called(context, &[HYBRID, X25519, SUITE]).await?.1.clear)
}

async fn establishes(context: Context, suites: &'static [u16]) -> Verdict {
    let (mut call, received) = called(&context, suites).await?;
    demand!(received.suite == suites[0], "the oracle chose another suite");
    close(received, &mut call).await
}

/// Goes on to the end of an empty session.
async fn close(received: Received, call: &mut Call) -> Verdict {
    let suite = received.suite;
    let mut channel = received.establish().await?;
    channel.send_close().await?;
    match channel.read().await {
        Ok(Record::CloseNotify) => {}
        Ok(Record::Data(_)) => return Err(Stop::Fail("the device sent what it was not told to".to_owned())),
        Err(broken) => return Err(broken.instead_of("close_notify")),
    }
    channel.conn.finish().await?;
    let output = call.demand_accepted().await?;
    let told = output["suite"].as_u64();
    demand!(told.is_none_or(|told| told == u64::from(suite)), "the device takes the suite for {told:?}");
    Ok(())
}

/// The device closes without a byte (HSK-006), tells the right rule, and does not try again.
async fn fails_silently(call: &mut Call, mut received: Received, requirement: &str) -> Verdict {
    received.conn.expect_silent_close().await?;
    call.demand_rejected(requirement).await?;
    demand!(!call.has_another().await, "the device connects again by itself");
    Ok(())
}
