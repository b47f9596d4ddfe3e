//! sync.md sections 3.2, 4.3 and 4.6: what is not sent again, and what is forgotten.

use super::message::{self, Entry, State};
use super::session::{Session, bring, find};
use super::{check, name};
use crate::check::{Check, Context, Stop, Verdict, demand};
use crate::oracle::sync::{Id, head};
use crate::target::fixture::PeerFixture;

pub(super) fn checks() -> Vec<Check> {
    vec![
        check("syn.state.nothing-differs", &["SYN-043"], "what is the same is not sent", nothing_differs),
        check(
            "syn.state.one-differs",
            &["SYN-043", "SYN-044"],
            "of a bucket that differs all is sent",
            one_differs,
        )
        .twin("syn.state.nothing-differs"),
        check("syn.state.tombstone", &["SYN-044"], "a tombstone is sent", tombstone),
        check(
            "syn.forget.seen",
            &["SYN-045"],
            "what a peer saw and has no more is forgotten",
            |context| async move { forgets(&context, 1, 5).await.map(|_| ()) },
        ),
        check("syn.forget.unseen", &["SYN-045"], "what a peer did not see is kept", |context| async move {
            keeps(&context, 1, 4).await
        })
        .twin("syn.forget.seen"),
        check(
            "syn.forget.incomplete",
            &["SYN-048"],
            "nothing is forgotten for an incomplete STATE",
            |context| async move { keeps(&context, 0, 5).await },
        )
        .twin("syn.forget.seen"),
        check(
            "syn.forget.again",
            &["SYN-046"],
            "what was forgotten does not come back",
            |context| async move {
                let entry = forgets(&context, 1, 5).await?;
                bring(&context, vec![entry.clone()], &[]).await?;
                demand!(!is_there(&context, &entry).await?, "{} came back", entry.text());
                Ok(())
            },
        ),
        check(
            "syn.forget.changed",
            &["SYN-046"],
            "what was changed since does come back",
            |context| async move {
                let entry = forgets(&context, 1, 5).await?;
                let writer = entry.place.writer;
                let entry = entry.by(writer, 6, &[(writer, 6)]);
                bring(&context, vec![entry.clone()], &[]).await?;
                demand!(is_there(&context, &entry).await?, "{} did not come back", entry.text());
                Ok(())
            },
        )
        .twin("syn.forget.again"),
    ]
}

/// Opens a session with digests that are those of the device, but for these buckets. Gives back its INDEX.
async fn index_beside(context: &Context, differing: &[u8]) -> Result<Vec<Entry>, Stop> {
    let mut session = Session::greet(context, |_| {}).await?;
    let mut state = session.state().await?;
    (state.heads, state.complete) = (Vec::new(), 0);
    for bucket in differing {
        state.digests[usize::from(*bucket)][0] ^= 1;
    }
    session.send("STATE", &message::state(&state)).await?;
    let index = session.exchange(Vec::new()).await?;
    session.finish().await?;
    Ok(index)
}

async fn nothing_differs(context: Context) -> Verdict {
    bring(&context, vec![Entry::directory(&name(&context))], &[]).await?;
    let index = index_beside(&context, &[]).await?;
    demand!(index.is_empty(), "the device sent {} entries that are the same on both sides", index.len());
    Ok(())
}

async fn one_differs(context: Context) -> Verdict {
    let entry = Entry::directory(&name(&context));
    bring(&context, vec![entry.clone()], &[]).await?;
    let all = bring(&context, Vec::new(), &[]).await?;
    let bucket = entry.id[0];
    let expected: Vec<Id> = all.iter().map(|entry| entry.id).filter(|id| id[0] == bucket).collect();
    let index: Vec<Id> = index_beside(&context, &[bucket]).await?.iter().map(|entry| entry.id).collect();
    demand!(index == expected, "the device sent {} entries of a bucket of {}", index.len(), expected.len());
    Ok(())
}

async fn tombstone(context: Context) -> Verdict {
    let path = name(&context);
    let entry = Entry::directory(&path);
    bring(&context, vec![entry.clone()], &[]).await?;
    bring(&context, vec![entry.clone().deleted(&[(entry.place.writer, 2)])], &[]).await?;
    let there = find(&context, &path).await?;
    demand!(there.is_some_and(|entry| !entry.is_living()), "the index does not have the tombstone of {path}");
    Ok(())
}

/// Brings a directory by a device that nobody else knows, whose change is its fifth. In the next session the kit has not got
/// it any more, and has seen `seen` changes of that device. Whether it is there after that.
async fn missing(context: &Context, complete: u8, seen: u64) -> Result<(Entry, bool), Stop> {
    let writer = context.random::<16>();
    let entry = Entry::directory(&name(context)).by(writer, 1, &[(writer, 5)]);
    bring(context, vec![entry.clone()], &[]).await?;
    let mut others = bring(context, Vec::new(), &[]).await?;
    demand!(others.iter().any(|other| other.id == entry.id), "the device did not take {}", entry.text());
    others.retain(|other| other.id[0] == entry.id[0] && other.id != entry.id);

    let mut session = Session::greet(context, |_| {}).await?;
    let theirs = session.state().await?;
    let heads = vec![head(PeerFixture::FOLDER, writer, seen, [1; 32])];
    let mut state = State { complete, heads, ..theirs };
    state.digests[usize::from(entry.id[0])][0] ^= 1;
    session.send("STATE", &message::state(&state)).await?;
    let entries = if complete == 1 { others } else { Vec::new() };
    session.exchange(entries).await?;
    session.finish().await?;
    let there = is_there(context, &entry).await?;
    Ok((entry, there))
}

async fn forgets(context: &Context, complete: u8, seen: u64) -> Result<Entry, Stop> {
    let (entry, there) = missing(context, complete, seen).await?;
    demand!(!there, "the device still has {}, which its peer saw and has no more", entry.text());
    Ok(entry)
}

async fn keeps(context: &Context, complete: u8, seen: u64) -> Verdict {
    let (entry, there) = missing(context, complete, seen).await?;
    demand!(there, "the device forgot {}", entry.text());
    Ok(())
}

async fn is_there(context: &Context, entry: &Entry) -> Result<bool, Stop> {
    let index = bring(context, Vec::new(), &[]).await?;
    Ok(index.iter().any(|other| other.id == entry.id && other.is_living()))
}
