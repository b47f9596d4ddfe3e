//! sync.md sections 3.4, 3.5 and 4.9: changes that their writers did not make.

use super::message::{self, Card, Entry, Fork, State};
use super::session::{Session, bring, find, look};
use super::{check, name};
use crate::check::{Check, Context, Stop, Verdict, demand};
use crate::oracle::crypto::sign;
use crate::oracle::sync::{Head, Id, Proof, card, head, public_key};
use crate::target::caller::rename;
use crate::target::fixture::PeerFixture;
use crate::vectors::fixtures;

const FOLDER: Id = PeerFixture::FOLDER;
const X: Id = PeerFixture::DEVICE_X;
const Y: Id = PeerFixture::DEVICE_Y;
const Z: Id = PeerFixture::DEVICE_Z;
const KNOWN: &str = "syn.signed.known-writer";
const HEAD: &str = "syn.head.honest";
const FORK: &str = "syn.fork.shown";

pub(super) fn checks() -> Vec<Check> {
    [proofs(), signatures(), heads(), forks(), cards()].concat()
}

/// A check that brings a deleted directory with other proofs, and demands that the channel ends.
fn refuses(id: &str, req: &str, title: &str, change: fn(&mut Vec<Proof>)) -> Check {
    check(id, &[req], title, move |context| async move {
        let entry = Entry::directory(&name(&context)).deleted(&[(X, 2)]);
        let mut proofs = entry.proofs();
        change(&mut proofs);
        demand_refused(&context, Entry { proofs: Some(proofs), ..entry }).await
    })
}

async fn demand_refused(context: &Context, entry: Entry) -> Verdict {
    let mut session = Session::open(context).await?;
    session.send("INDEX", &message::index(FOLDER, true, &[entry])).await?;
    session.expect_close().await
}

fn proofs() -> Vec<Check> {
    vec![
        refuses("syn.proof.falling", "SYN-050", "proofs that fall", |proofs| proofs.reverse()),
        refuses("syn.proof.twice", "SYN-050", "one proof twice", |proofs| proofs.push(proofs[1].clone())),
        refuses("syn.proof.unneeded", "SYN-050", "the proof of a change that left nothing", |proofs| {
            let mut unneeded = proofs[1].clone();
            unneeded.stamp.counter = 3;
            unneeded.deleted.clear();
            proofs.push(unneeded);
        }),
        refuses("syn.proof.deleted-falling", "SYN-050", "deletions that fall", |proofs| {
            proofs[1].deleted.reverse();
        }),
        refuses("syn.proof.none", "SYN-051", "an entry without proofs", Vec::clear),
        refuses("syn.proof.counter", "SYN-051", "a counter that no proof says", |proofs| {
            proofs.truncate(1);
        }),
        refuses("syn.proof.lamport", "SYN-051", "a stamp that is not that of the proof", |proofs| {
            proofs[0].stamp.lamport += 1;
        }),
        refuses("syn.proof.place", "SYN-051", "a place that its proof does not say", |proofs| {
            proofs[0].place[0] ^= 1;
        }),
        refuses("syn.proof.content", "SYN-051", "a content that its proof does not say", |proofs| {
            proofs[0].content[0] ^= 1;
        }),
        refuses("syn.proof.deletion", "SYN-051", "a deletion that no proof says", |proofs| {
            proofs[1].deleted.pop();
        }),
    ]
}

fn signatures() -> Vec<Check> {
    vec![
        check("syn.signed.flipped", &["SYN-052"], "a signature with another bit", |context| async move {
            let entry = Entry::directory(&name(&context));
            let mut proofs = entry.proofs();
            proofs[0].signature[0] ^= 1;
            demand_refused(&context, Entry { proofs: Some(proofs), ..entry }).await
        }),
        check("syn.signed.by-another", &["SYN-052"], "a change of Z that X signed", |context| async move {
            let entry = Entry::directory(&name(&context));
            let mut proofs = entry.proofs();
            let of_x = proofs[0].signature;
            let entry = entry.by(Z, 1, &[(Z, 1)]);
            proofs = entry.proofs();
            proofs[0].signature = of_x;
            demand_refused(&context, Entry { proofs: Some(proofs), ..entry }).await
        }),
        check(
            "syn.signed.passed-on",
            &["SYN-052"],
            "a content of Z that whoever passes it on has changed",
            |context| async move {
                let mut entry = Entry::file(&name(&context), b"of Z").by(Z, 1, &[(Z, 1)]);
                let theirs = entry.proofs()[0].signature;
                entry.contents[0].hash = *blake3::hash(b"of X").as_bytes();
                let mut proofs = entry.proofs();
                proofs[0].signature = theirs;
                demand_refused(&context, Entry { proofs: Some(proofs), ..entry }).await
            },
        ),
        check(KNOWN, &[], "a change by a device whose card came just now", |context| async move {
            let (entry, path) = of_nobody(&context);
            bring(&context, vec![entry], &[]).await?;
            demand!(look(&context, &path).await?.is_some(), "the device did not take {path}");
            Ok(())
        }),
        check(
            "syn.signed.unknown-writer",
            &["SYN-053"],
            "a change by a device whose card is not known",
            |context| async move {
                let (entry, path) = of_nobody(&context);
                exchange_without_card(&context, entry.clone()).await?;
                demand!(
                    look(&context, &path).await?.is_none(),
                    "the device took {path} of an unknown writer"
                );
                bring(&context, vec![entry], &[]).await?;
                demand!(
                    look(&context, &path).await?.is_some(),
                    "the device did not take {path} with the card"
                );
                Ok(())
            },
        )
        .twin(KNOWN),
        check(
            "syn.signed.fork",
            &["SYN-054"],
            "one change that says something else than it said before",
            |context| async move {
                let path = name(&context);
                bring(&context, vec![Entry::file(&path, b"1")], &[b"1"]).await?;
                demand_refused(&context, Entry::file(&path, b"2")).await
            },
        ),
        check("syn.signed.own", &["SYN-059"], "a device signs what it changes", own_changes),
    ]
}

/// A directory by a device that nobody else knows.
fn of_nobody(context: &Context) -> (Entry, String) {
    let (writer, path) = (context.random::<16>(), name(context));
    (Entry::directory(&path).by(writer, 1, &[(writer, 1)]), path)
}

/// A session that brings an entry, and shows no card but those of the fixture.
async fn exchange_without_card(context: &Context, entry: Entry) -> Verdict {
    let mut session = Session::open(context).await?;
    session.known(entry.place.writer);
    session.exchange(vec![entry]).await?;
    session.finish().await
}

async fn own_changes(context: Context) -> Verdict {
    let Some(folder) = context.targets().peer.as_ref().and_then(|peer| peer.folder.clone()) else {
        return Err(Stop::NotApplicable("the directory of the device is not known to the kit".to_owned()));
    };
    let path = name(&context);
    std::fs::write(folder.join(&path), &path)?;
    let Some(entry) = find(&context, &path).await? else {
        return Err(Stop::Fail(format!("the index of the device does not have the new file {path}")));
    };
    for proof in entry.proofs().iter().filter(|proof| proof.stamp.writer == Y) {
        let signed = proof.is_signed(FOLDER, entry.id, &public_key(Y));
        demand!(signed, "the device did not sign its change of {path}");
    }
    let mut session = Session::greet(&context, |_| {}).await?;
    let state = session.state().await?;
    let own = state.heads.iter().find(|head| head.device == Y);
    let counter = entry.version.iter().find(|(device, _)| *device == Y).map(|(_, counter)| *counter);
    demand!(
        own.is_some_and(|head| head.is_signed(FOLDER, &public_key(Y))),
        "the device did not sign its head"
    );
    demand!(
        own.map(|head| head.counter) >= counter && counter.is_some(),
        "the head of the device is behind {path}"
    );
    Ok(())
}

fn heads() -> Vec<Check> {
    vec![
        check(HEAD, &[], "a STATE with a head that its writer signed", |context| async move {
            let writer = context.random::<16>();
            tell(&context, writer, head(FOLDER, writer, 5, [1; 32]), true).await?;
            demand!(knows(&context, writer).await?, "the device does not pass on what it has seen");
            Ok(())
        }),
        check("syn.head.forged", &["SYN-055"], "a head with another counter", |context| async move {
            let writer = context.random::<16>();
            let forged = Head { counter: 6, ..head(FOLDER, writer, 5, [1; 32]) };
            demand_head_refused(&context, writer, forged).await
        })
        .twin(HEAD),
        check(
            "syn.head.forked",
            &["SYN-058"],
            "two chains of one length, by the peer itself",
            |context| async move {
                let writer = context.random::<16>();
                tell(&context, writer, head(FOLDER, writer, 5, [1; 32]), true).await?;
                let mut session = Session::greet(&context, |ticket| rename(ticket, X, writer)).await?;
                session.introduce([writer]).await?;
                let state =
                    State { heads: vec![head(FOLDER, writer, 5, [2; 32])], ..State::different(FOLDER) };
                session.send("STATE", &message::state(&state)).await?;
                session.expect_close().await
            },
        )
        .twin(HEAD),
        check(
            "syn.head.unknown-writer",
            &["SYN-060"],
            "a head of a device whose card is not known",
            |context| async move {
                let writer = context.random::<16>();
                tell(&context, writer, head(FOLDER, writer, 5, [1; 32]), false).await?;
                demand!(!knows(&context, writer).await?, "the device believes the head of an unknown writer");
                Ok(())
            },
        )
        .twin(HEAD),
    ]
}

/// A whole session whose STATE has this head.
async fn tell(context: &Context, writer: Id, head: Head, introduced: bool) -> Verdict {
    let mut session = Session::greet(context, |_| {}).await?;
    session.introduce(introduced.then_some(writer)).await?;
    session.send("STATE", &message::state(&State { heads: vec![head], ..State::different(FOLDER) })).await?;
    session.exchange(Vec::new()).await?;
    session.finish().await
}

async fn demand_head_refused(context: &Context, writer: Id, head: Head) -> Verdict {
    let mut session = Session::greet(context, |_| {}).await?;
    session.introduce([writer]).await?;
    session.send("STATE", &message::state(&State { heads: vec![head], ..State::different(FOLDER) })).await?;
    session.expect_close().await
}

fn forks() -> Vec<Check> {
    vec![
        check(
            "syn.fork.passed-on",
            &["SYN-110"],
            "somebody passes on a change by a third device that says something else than before",
            |context| async move {
                let (writer, path, other) = (context.random::<16>(), name(&context), name(&context));
                let of_writer = |content: &[u8]| Entry::file(&path, content).by(writer, 1, &[(writer, 1)]);
                bring(&context, vec![of_writer(b"1")], &[b"1"]).await?;
                bring(&context, vec![of_writer(b"2"), Entry::directory(&other)], &[b"2"]).await?;
                demand!(look(&context, &other).await?.is_some(), "the device did not take {other} beside it");
                let kept = look(&context, &path).await?.map(|entry| entry.contents[0].hash);
                demand!(kept == Some(*blake3::hash(b"1").as_bytes()), "the device took another {path}");
                Ok(())
            },
        ),
        check(
            "syn.fork.head",
            &["SYN-111"],
            "somebody passes on another chain of one length by a third device",
            |context| async move {
                let writer = fork(&context).await?;
                demand!(
                    !knows(&context, writer).await?,
                    "the device passes on a head of a writer that forked"
                );
                tell(&context, writer, head(FOLDER, writer, 9, [3; 32]), true).await?;
                demand!(!knows(&context, writer).await?, "the device believes a later head of that writer");
                Ok(())
            },
        )
        .twin(HEAD),
        check(
            "syn.fork.given",
            &["SYN-112"],
            "a device that knows of a fork gives it",
            |context| async move {
                let writer = fork(&context).await?;
                let mut session = Session::greet(&context, |_| {}).await?;
                session.state().await?;
                let given = session.forks.iter().find(|fork| fork.writer() == writer);
                let Some(Fork::Heads([one, other])) = given else {
                    return Err(Stop::Fail("the device does not give the fork before its STATE".to_owned()));
                };
                let signed = [one, other].iter().all(|head| head.is_signed(FOLDER, &public_key(writer)));
                demand!(signed && one.chain != other.chain, "the device gives something else than the fork");
                Ok(())
            },
        ),
        check(FORK, &[], "a fork that somebody else found", |context| async move {
            let writer = context.random::<16>();
            show(&context, writer, two_heads(writer)).await?.finish().await?;
            demand!(!knows(&context, writer).await?, "the device believes a head of a writer that forked");
            Ok(())
        }),
        check("syn.fork.forged", &["SYN-113"], "a fork that its writer did not sign", |context| async move {
            let writer = context.random::<16>();
            let mut two = two_heads(writer);
            two[1].signature[7] ^= 1;
            demand_fork_refused(&context, writer, two).await
        })
        .twin(FORK),
        check(
            "syn.fork.none",
            &["SYN-113"],
            "two heads that do not contradict each other",
            |context| async move {
                let writer = context.random::<16>();
                let two = [head(FOLDER, writer, 5, [1; 32]), head(FOLDER, writer, 6, [2; 32])];
                demand_fork_refused(&context, writer, two).await
            },
        )
        .twin(FORK),
        check(
            "syn.fork.none-of-nobody",
            &["SYN-113"],
            "the same of a writer whose card the device does not have",
            |context| async move {
                let writer = context.random::<16>();
                let two = [head(FOLDER, writer, 5, [1; 32]), head(FOLDER, writer, 6, [2; 32])];
                let mut session = Session::greet(&context, |_| {}).await?;
                session.send("FORKS", &message::forks(FOLDER, &[Fork::Heads(two)])).await?;
                session.expect_close().await
            },
        )
        .twin(FORK),
        fork_of_counter("syn.fork.counter-zero", "two heads of a writer that made no change", 0),
        fork_of_counter("syn.fork.counter-end", "two heads with a counter of 2^48", 1 << 48),
    ]
}

fn fork_of_counter(id: &str, title: &str, counter: u64) -> Check {
    check(id, &["SYN-113"], title, move |context| async move {
        let writer = context.random::<16>();
        let two = [1, 2].map(|chain| head(FOLDER, writer, counter, [chain; 32]));
        demand_fork_refused(&context, writer, two).await
    })
    .twin(FORK)
}

fn two_heads(writer: Id) -> [Head; 2] {
    [head(FOLDER, writer, 5, [1; 32]), head(FOLDER, writer, 5, [2; 32])]
}

/// Two sessions in which X passes on what a writer forked.
async fn fork(context: &Context) -> Result<Id, Stop> {
    let writer = context.random::<16>();
    for head in two_heads(writer) {
        tell(context, writer, head, true).await?;
    }
    Ok(writer)
}

/// A session in which X shows a fork, and then a head of the writer.
async fn show(context: &Context, writer: Id, two: [Head; 2]) -> Result<Session, Stop> {
    let mut session = Session::greet(context, |_| {}).await?;
    session.introduce([writer]).await?;
    session.send("FORKS", &message::forks(FOLDER, &[Fork::Heads(two)])).await?;
    let state = State { heads: vec![head(FOLDER, writer, 7, [1; 32])], ..State::different(FOLDER) };
    session.send("STATE", &message::state(&state)).await?;
    session.exchange(Vec::new()).await?;
    Ok(session)
}

async fn demand_fork_refused(context: &Context, writer: Id, two: [Head; 2]) -> Verdict {
    let mut session = Session::greet(context, |_| {}).await?;
    session.introduce([writer]).await?;
    session.send("FORKS", &message::forks(FOLDER, &[Fork::Heads(two)])).await?;
    session.expect_close().await
}

async fn knows(context: &Context, writer: Id) -> Result<bool, Stop> {
    let state = Session::greet(context, |_| {}).await?.state().await?;
    Ok(state.heads.iter().any(|head| head.device == writer))
}

fn cards() -> Vec<Check> {
    vec![
        check("syn.card.forged", &["SYN-056"], "a card that another issuer signed", |context| async move {
            let (entry, path) = of_nobody(&context);
            let good = card(FOLDER, entry.place.writer);
            let statement = [b"meshproof writer", &FOLDER[..], &good.device, &good.key].concat();
            let forged = Card { signature: sign(&fixtures::ISSUER_B.private, &statement), ..good };
            let mut session = Session::greet(&context, |_| {}).await?;
            session.send("WRITERS", &message::writers(FOLDER, &[forged])).await?;
            session.introduce([]).await?;
            session.send("STATE", &message::state(&State::different(FOLDER))).await?;
            session.known(entry.place.writer);
            session.exchange(vec![entry]).await?;
            session.finish().await?;
            demand!(look(&context, &path).await?.is_none(), "the device took {path} by a forged card");
            Ok(())
        })
        .twin(KNOWN),
        check(
            "syn.card.changed",
            &["SYN-057"],
            "a second key of a device, which the issuer signed",
            |context| async move {
                let (entry, path) = of_nobody(&context);
                let writer = entry.place.writer;
                bring(&context, vec![entry], &[]).await?;
                demand!(look(&context, &path).await?.is_some(), "the device did not take {path}");
                let key = public_key(context.random());
                let statement = [b"meshproof writer", &FOLDER[..], &writer, &key].concat();
                let signature = sign(&PeerFixture::get().issuer, &statement);
                let mut session = Session::greet(&context, |_| {}).await?;
                let second = Card { device: writer, key, signature };
                session.send("WRITERS", &message::writers(FOLDER, &[second])).await?;
                session.send("STATE", &message::state(&State::different(FOLDER))).await?;
                session.expect_close().await
            },
        )
        .twin(KNOWN),
        check(
            "syn.card.given",
            &["SYN-061"],
            "a device gives the cards of the writers whose changes it has",
            |context| async move {
                let (entry, _) = of_nobody(&context);
                let writer = entry.place.writer;
                bring(&context, vec![entry], &[]).await?;
                let mut session = Session::greet(&context, |_| {}).await?;
                session.state().await?;
                let given = session.cards.iter().find(|card| card.device == writer);
                demand!(
                    given == Some(&card(FOLDER, writer)),
                    "the device does not give the card of a writer"
                );
                Ok(())
            },
        ),
    ]
}
