//! sync.md section 4.3: two versions of one path, brought to the device one after the other.
//!
//! The kit's device shows versions that it says it has from others; the device under test cannot tell.

use super::check;
use super::message::Entry;
use super::name;
use super::session::{Session, bring, look};
use crate::check::{Check, Context, Stop, Verdict, demand};
use crate::oracle::crypto::hex;
use crate::oracle::ticket::uri;
use crate::target::fixture::PeerFixture;

const X: [u8; 16] = PeerFixture::DEVICE_X;
const Z: [u8; 16] = PeerFixture::DEVICE_Z;

pub(super) fn checks() -> Vec<Check> {
    vec![
        check(
            "syn.merge.dominating",
            &["SYN-020"],
            "a later version replaces an earlier one",
            |context| async move { second_wins(context, &[(X, 1)], 1, &[(X, 2)], 2).await },
        ),
        check(
            "syn.merge.dominated",
            &["SYN-020"],
            "an earlier version does not replace a later one",
            |context| async move { first_stays(context, &[(X, 2)], 1, &[(X, 1)], 9).await },
        ),
        check(
            "syn.merge.lamport",
            &["SYN-020"],
            "of two concurrent versions the larger lamport wins",
            |context| async move { second_wins(context, &[(X, 1)], 5, &[(Z, 1)], 6).await },
        ),
        check(
            "syn.merge.lamport-lost",
            &["SYN-020"],
            "of two concurrent versions the smaller lamport loses",
            |context| async move { first_stays(context, &[(X, 1)], 6, &[(Z, 1)], 5).await },
        ),
        check(
            "syn.merge.writer",
            &["SYN-020"],
            "of two concurrent versions of one lamport the larger writer wins",
            |context| async move { second_wins(context, &[(X, 1)], 5, &[(Z, 1)], 5).await },
        ),
        check(
            "syn.merge.version",
            &["SYN-020"],
            "the result of a conflict has the least dominating version",
            merged_version,
        ),
        check(
            "syn.merge.full-version",
            &["SYN-016"],
            "a concurrent version that would make one of more than 64 devices is ignored",
            |context| async move {
                let versions =
                    [1..=40, 41..=80].map(|devices| devices.map(|n| ([n; 16], 1)).collect::<Vec<_>>());
                first_stays(context, &versions[0], 1, &versions[1], 9).await
            },
        )
        .twin("syn.merge.version"),
        check(
            "syn.merge.conflict-copy",
            &["SYN-021"],
            "the losing file is kept under a name of its own",
            conflict_copy,
        ),
        check(
            "syn.merge.edit-beats-delete",
            &["SYN-022"],
            "a concurrent deletion does not delete",
            edit_beats_delete,
        ),
        check("syn.merge.delete", &[], "a later deletion deletes", later_delete),
        check("syn.merge.reader", &["SYN-023"], "the entries of a reader are ignored", reader_is_ignored),
    ]
}

/// Brings two versions of one file, the second with an older mtime, for no clock has a say. Gives back the path.
async fn two_versions(
    context: &Context,
    first: (&[([u8; 16], u64)], u64),
    second: (&[([u8; 16], u64)], u64),
) -> Result<String, Stop> {
    let path = format!("{}.txt", name(context));
    for (number, (version, lamport)) in [first, second].into_iter().enumerate() {
        let content = content(number + 1);
        let mut entry = Entry::file(&path, &content).by(version[0].0, lamport, version);
        entry.mtime -= number as u64 * 1_000_000_000;
        bring(context, vec![entry], &[&content]).await?;
    }
    Ok(path)
}

fn content(number: usize) -> Vec<u8> {
    format!("version {number}\n").into_bytes()
}

async fn demand_content(context: &Context, path: &str, number: usize) -> Result<Entry, Stop> {
    let Some(entry) = look(context, path).await? else {
        return Err(Stop::Fail(format!("the index of the device does not have {path}")));
    };
    context.note("entry in the index of the device", format!("{entry:#?}"));
    demand!(
        entry.kind == 1 && entry.hash == *blake3::hash(&content(number)).as_bytes(),
        "the device does not have version {number} under {path}"
    );
    Ok(entry)
}

async fn second_wins(
    context: Context,
    first: &[([u8; 16], u64)],
    first_lamport: u64,
    second: &[([u8; 16], u64)],
    second_lamport: u64,
) -> Verdict {
    let path = two_versions(&context, (first, first_lamport), (second, second_lamport)).await?;
    demand_content(&context, &path, 2).await.map(|_| ())
}

async fn first_stays(
    context: Context,
    first: &[([u8; 16], u64)],
    first_lamport: u64,
    second: &[([u8; 16], u64)],
    second_lamport: u64,
) -> Verdict {
    let path = two_versions(&context, (first, first_lamport), (second, second_lamport)).await?;
    demand_content(&context, &path, 1).await.map(|_| ())
}

async fn merged_version(context: Context) -> Verdict {
    let path = two_versions(&context, (&[(X, 3), (Z, 1)], 5), (&[(X, 1), (Z, 4)], 6)).await?;
    let entry = demand_content(&context, &path, 2).await?;
    demand!(entry.version == [(X, 3), (Z, 4)], "the version of the result is not (X 3, Z 4)");
    Ok(())
}

async fn conflict_copy(context: Context) -> Verdict {
    let path = two_versions(&context, (&[(X, 1)], 5), (&[(Z, 1)], 7)).await?;
    let stem = path.trim_end_matches(".txt");
    let copy = format!("{stem} (conflict {} 5).txt", &hex(&X)[..8]);
    demand_content(&context, &copy, 1).await?;
    Ok(())
}

async fn edit_beats_delete(context: Context) -> Verdict {
    let path = format!("{}.txt", name(&context));
    bring(&context, vec![Entry::file(&path, &content(1))], &[&content(1)]).await?;
    bring(&context, vec![Entry::tombstone(&path).by(Z, 9, &[(Z, 1)])], &[]).await?;
    demand_content(&context, &path, 1).await.map(|_| ())
}

async fn later_delete(context: Context) -> Verdict {
    let path = format!("{}.txt", name(&context));
    bring(&context, vec![Entry::file(&path, &content(1))], &[&content(1)]).await?;
    bring(&context, vec![Entry::tombstone(&path).by(X, 2, &[(X, 2)])], &[]).await?;
    let entry = look(&context, &path).await?;
    demand!(entry.is_none_or(|entry| entry.kind == 0), "{path} is still there after a later deletion");
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
