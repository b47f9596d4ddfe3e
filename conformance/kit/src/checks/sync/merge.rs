//! sync.md section 4.3: versions of one entry, brought to the device one after the other.
//!
//! The kit's device shows versions that it says it has from others; the device under test cannot tell.

use super::message::{Entry, Stamp};
use super::session::{Session, bring, find, look};
use super::{check, gives, name};
use crate::check::{Check, Context, Stop, Verdict, demand};
use crate::oracle::sync::{Deleted, Id, merge};
use crate::oracle::ticket::uri;
use crate::target::fixture::PeerFixture;

const X: Id = PeerFixture::DEVICE_X;
const Z: Id = PeerFixture::DEVICE_Z;

const OVERDONE_TWIN: &str = "syn.merge.deleted-32";

type Version<'a> = &'a [(Id, u64)];

pub(super) fn checks() -> Vec<Check> {
    vec![
        check(
            "syn.merge.later",
            &["SYN-037"],
            "a content that was written in knowledge of another replaces it",
            |context| async move { second_wins(context, (&[(X, 1)], 1), (&[(X, 2)], 2), 1).await },
        ),
        check(
            "syn.merge.earlier",
            &["SYN-037"],
            "an earlier content does not come back, whatever its lamport",
            |context| async move { first_stays(context, (&[(X, 2)], 1), (&[(X, 1)], 9), 1).await },
        ),
        check(
            "syn.merge.lamport",
            &["SYN-020", "SYN-037"],
            "of two concurrent versions the larger lamport is first, and both stay",
            |context| async move { second_wins(context, (&[(X, 1)], 5), (&[(Z, 1)], 6), 2).await },
        ),
        check(
            "syn.merge.lamport-lost",
            &["SYN-020", "SYN-037"],
            "of two concurrent versions the smaller lamport is second, and both stay",
            |context| async move { first_stays(context, (&[(X, 1)], 6), (&[(Z, 1)], 5), 2).await },
        ),
        check(
            "syn.merge.writer",
            &["SYN-020"],
            "of two concurrent versions of one lamport the larger writer is first",
            |context| async move { second_wins(context, (&[(X, 1)], 5), (&[(Z, 1)], 5), 2).await },
        ),
        check("syn.merge.place", &["SYN-020"], "of two concurrent moves the later wins", later_move),
        check(
            "syn.merge.place-lost",
            &["SYN-020"],
            "of two concurrent moves the earlier loses",
            earlier_move,
        ),
        check("syn.merge.move-and-edit", &["SYN-037"], "a move and an edit both survive", move_and_edit),
        check(
            "syn.merge.full-version",
            &["SYN-016"],
            "a concurrent version that would make one of more than 64 devices is ignored",
            |context| async move {
                let versions =
                    [1..=40, 41..=80].map(|devices| devices.map(|n| ([n; 16], 1)).collect::<Vec<_>>());
                first_stays(context, (&versions[0], 1), (&versions[1], 9), 1).await
            },
        )
        .twin("syn.merge.lamport"),
        check(OVERDONE_TWIN, &[], "a change that deleted 32 contents", |context| async move {
            demand!(takes(&context, 32).await?, "the device ignored a change that deleted 32 contents");
            Ok(())
        }),
        check(
            "syn.merge.deleted-33",
            &["SYN-160"],
            "an entry with a change that deleted 33 contents is ignored, and what comes beside it is not",
            |context| async move {
                demand!(!takes(&context, 33).await?, "the device took a change that deleted 33 contents");
                Ok(())
            },
        )
        .twin(OVERDONE_TWIN),
        check(
            "syn.merge.conflict-copy",
            &["SYN-021"],
            "the losing content is kept and given out",
            conflict_copy,
        ),
        check(
            "syn.merge.edit-beats-delete",
            &["SYN-022"],
            "a deletion that did not know of a content does not delete it",
            edit_beats_delete,
        ),
        check(
            "syn.merge.move-beats-delete",
            &["SYN-022"],
            "a deletion that did not know of a move does not undo it",
            move_beats_delete,
        ),
        check("syn.merge.delete", &[], "a later deletion deletes", later_delete),
        check("syn.merge.reader", &["SYN-023"], "the entries of a reader are ignored", reader_is_ignored),
    ]
}

/// Whether the device takes an entry with a change that deleted so many contents. What comes beside it it has to take.
async fn takes(context: &Context, deleted: u8) -> Result<bool, Stop> {
    let (path, beside) = (name(context), name(context));
    let entry = Entry::directory(&path);
    let mut proofs = entry.proofs();
    for proof in &mut proofs {
        proof.deleted = (1..=deleted).map(|n| Deleted { part: 2, change: ([n; 16], 1) }).collect();
        proof.sign(entry.id);
    }
    let entry = Entry { proofs: Some(proofs), ..entry };
    bring(context, vec![entry, Entry::directory(&beside)], &[]).await?;
    demand!(find(context, &beside).await?.is_some(), "the device did not take what came beside the entry");
    Ok(find(context, &path).await?.is_some())
}

fn content(number: usize) -> Vec<u8> {
    format!("version {number}\n").into_bytes()
}

/// The entry as it came out at the device has to be what the oracle makes of both.
async fn demand_merged(context: &Context, path: &str, first: &Entry, second: &Entry) -> Result<Entry, Stop> {
    let expected = merge(first, second, (&[], &[]));
    let Some(entry) = find(context, path).await? else {
        return Err(Stop::Fail(format!("the index of the device does not have {path}")));
    };
    context.note("entry in the index of the device", format!("{entry:#?}"));
    let expected = expected.unwrap_or_else(|| first.clone());
    demand!(entry.place == expected.place, "the place of {path} is not the later one");
    demand!(entry.contents == expected.contents, "the contents of {path} are not what 4.3 makes of both");
    demand!(entry.version == expected.version, "the version of {path} is not the least upper bound");
    Ok(entry)
}

/// Brings two versions of one file, the second with an older mtime, for no clock has a say.
async fn two_versions(
    context: &Context,
    first: (Version<'_>, u64),
    second: (Version<'_>, u64),
) -> Result<Entry, Stop> {
    let path = format!("{}.txt", name(context));
    let mut brought: Vec<Entry> = Vec::new();
    for (number, (version, lamport)) in [first, second].into_iter().enumerate() {
        let content = content(number + 1);
        let mut entry = Entry::file(&path, &content).by(version[0].0, lamport, version);
        entry.contents[0].mtime -= number as u64 * 1_000_000_000;
        if let Some(before) = brought.last() {
            entry = entry.knowing(before);
        }
        bring(context, vec![entry.clone()], &[&content]).await?;
        brought.push(entry);
    }
    demand_merged(context, &path, &brought[0], &brought[1]).await
}

async fn demand_main(context: &Context, entry: &Entry, number: usize, contents: usize) -> Verdict {
    let hash = *blake3::hash(&content(number)).as_bytes();
    demand!(
        entry.main().is_some_and(|main| main.hash == hash),
        "the device does not have version {number} of {} first",
        entry.text()
    );
    demand!(entry.contents.len() == contents, "{} has not {contents} contents", entry.text());
    demand!(gives(context, hash).await?, "the device does not give out version {number} of {}", entry.text());
    Ok(())
}

async fn second_wins(
    context: Context,
    first: (Version<'_>, u64),
    second: (Version<'_>, u64),
    contents: usize,
) -> Verdict {
    let entry = two_versions(&context, first, second).await?;
    demand_main(&context, &entry, 2, contents).await
}

async fn first_stays(
    context: Context,
    first: (Version<'_>, u64),
    second: (Version<'_>, u64),
    contents: usize,
) -> Verdict {
    let entry = two_versions(&context, first, second).await?;
    demand_main(&context, &entry, 1, contents).await
}

/// A file by X, moved by X, and in ignorance of that by Z.
async fn two_moves(context: Context, lamports: [u64; 2]) -> Verdict {
    let path = name(&context);
    let file = Entry::file(&path, &content(1));
    bring(&context, vec![file.clone()], &[&content(1)]).await?;
    let moved = |writer, counter, lamport, version: Version<'_>| {
        file.clone().moved(&format!("{path}-{lamport}"), Stamp { lamport, writer, counter }, version)
    };
    let first = moved(X, 2, lamports[0], &[(X, 2)]);
    let second = moved(Z, 1, lamports[1], &[(X, 1), (Z, 1)]);
    bring(&context, vec![first.clone()], &[]).await?;
    bring(&context, vec![second.clone()], &[]).await?;
    demand_merged(&context, &path, &first, &second).await?;
    let later = format!("{path}-{}", lamports[0].max(lamports[1]));
    demand!(look(&context, &later).await?.is_some(), "the index of the device does not have {later}");
    Ok(())
}

async fn later_move(context: Context) -> Verdict {
    two_moves(context, [5, 6]).await
}

async fn earlier_move(context: Context) -> Verdict {
    two_moves(context, [6, 5]).await
}

async fn move_and_edit(context: Context) -> Verdict {
    let path = name(&context);
    let file = Entry::file(&path, &content(1));
    bring(&context, vec![file.clone()], &[&content(1)]).await?;
    let stamp = Stamp { lamport: 2, writer: X, counter: 2 };
    let moved = file.clone().moved(&format!("{path}-b"), stamp, &[(X, 2)]);
    let mut edited = Entry::file(&path, &content(2)).by(Z, 2, &[(X, 1), (Z, 1)]);
    edited.place = Entry::directory(&path).place;
    let edited = edited.knowing(&file);
    bring(&context, vec![moved.clone()], &[]).await?;
    bring(&context, vec![edited.clone()], &[&content(2)]).await?;
    let entry = demand_merged(&context, &path, &moved, &edited).await?;
    demand!(entry.name == moved.name, "{path} lost its new name");
    demand_main(&context, &entry, 2, 1).await
}

async fn conflict_copy(context: Context) -> Verdict {
    let entry = two_versions(&context, (&[(X, 1)], 5), (&[(Z, 1)], 7)).await?;
    for number in [1, 2] {
        let hash = *blake3::hash(&content(number)).as_bytes();
        demand!(gives(&context, hash).await?, "the device does not have version {number} any more");
    }
    let Some(folder) = context.targets().peer.as_ref().and_then(|peer| peer.folder.clone()) else {
        return Ok(());
    };
    let shown = crate::oracle::sync::view(&[entry]);
    for shown in shown {
        let bytes = std::fs::read(folder.join(&shown.path)).unwrap_or_default();
        let hash = shown.content.map(|content| content.hash);
        demand!(Some(*blake3::hash(&bytes).as_bytes()) == hash, "{} is not in the directory", shown.path);
    }
    Ok(())
}

async fn edit_beats_delete(context: Context) -> Verdict {
    let path = format!("{}.txt", name(&context));
    let file = Entry::file(&path, &content(1));
    bring(&context, vec![file.clone()], &[&content(1)]).await?;
    let deleted = Entry::file(&path, &content(2)).by(Z, 9, &[(Z, 1)]).deleted(&[(Z, 2)]);
    bring(&context, vec![deleted.clone()], &[]).await?;
    let entry = demand_merged(&context, &path, &file, &deleted).await?;
    demand!(entry.is_living(), "{path} is deleted");
    demand!(gives(&context, file.contents[0].hash).await?, "the device does not have {path} any more");
    Ok(())
}

async fn move_beats_delete(context: Context) -> Verdict {
    let path = name(&context);
    let file = Entry::file(&path, &content(1));
    bring(&context, vec![file.clone()], &[&content(1)]).await?;
    let deleted = file.clone().deleted(&[(X, 1), (Z, 1)]);
    let stamp = Stamp { lamport: 2, writer: X, counter: 2 };
    let moved = file.clone().moved(&format!("{path}-b"), stamp, &[(X, 2)]);
    bring(&context, vec![deleted.clone()], &[]).await?;
    bring(&context, vec![moved.clone()], &[&content(1)]).await?;
    demand_merged(&context, &path, &deleted, &moved).await?;
    demand!(gives(&context, file.contents[0].hash).await?, "the device does not have {path}-b");
    Ok(())
}

async fn later_delete(context: Context) -> Verdict {
    let path = format!("{}.txt", name(&context));
    let file = Entry::file(&path, &content(1));
    bring(&context, vec![file.clone()], &[&content(1)]).await?;
    bring(&context, vec![file.clone().deleted(&[(X, 2)])], &[]).await?;
    demand!(look(&context, &path).await?.is_none(), "{path} is still there after a later deletion");
    Ok(())
}

async fn reader_is_ignored(context: Context) -> Verdict {
    let path = name(&context);
    let mut session = Session::open_with(&context, |ticket| {
        for (_, values) in ticket.attributes.iter_mut().filter(|(name, _)| name == uri::MAPPING) {
            values[0] = values[0].replace("owner", "reader");
        }
    })
    .await?;
    session.exchange(vec![Entry::directory(&path)]).await?;
    session.finish().await?;
    demand!(look(&context, &path).await?.is_none(), "the device took over {path} from a reader");
    Ok(())
}
