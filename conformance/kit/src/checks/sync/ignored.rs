//! sync.md section 4.8: what `.meshignore` names is neither sent nor put on disk, and stays.
//!
//! Every check brings patterns of its own, for names that no other check uses, and deletes what they hid at its end: nothing
//! of it comes to light when the next check brings others.

use super::message::{Entry, Stamp};
use super::session::{bring, find, look};
use super::transfer::{asking, fetch};
use super::{check, gives, name};
use crate::check::{Check, Context, Stop, Verdict, demand};
use crate::target::fixture::PeerFixture;

const FILE: &str = ".meshignore";
const X: [u8; 16] = PeerFixture::DEVICE_X;

pub(super) fn checks() -> Vec<Check> {
    vec![
        check("syn.ignore.not-sent", &["SYN-080"], "what is ignored is not in the index", not_sent),
        check("syn.ignore.not-taken", &["SYN-081"], "what is ignored is not put on disk", not_taken),
        check("syn.ignore.stays", &["SYN-082"], "what is ignored survives its deletion by others", stays),
        check("syn.ignore.first", &["SYN-083"], "new patterns are in force before other contents", first),
        check(
            "syn.ignore.not-kept",
            &["SYN-151"],
            "a content is kept only where no path that shows it is ignored",
            not_kept,
        ),
    ]
}

/// The entry of the patterns as the kit's device writes it, in knowledge of what the device has.
async fn patterns(context: &Context, patterns: &str) -> Result<Entry, Stop> {
    let new = Entry::file(FILE, patterns.as_bytes());
    let Some(before) = find(context, FILE).await? else { return Ok(new) };
    let counters = before.version.iter();
    let mut version: Vec<_> = counters.copied().filter(|(device, _)| *device != X).collect();
    let counter =
        before.version.iter().find(|(device, _)| *device == X).map_or(0, |(_, counter)| *counter) + 1;
    version.push((X, counter));
    version.sort_unstable();
    let lamport = before.contents.iter().map(|content| content.stamp.lamport).max().unwrap_or_default() + 1;
    Ok(new.by(X, lamport, &version))
}

pub(super) async fn ignore(context: &Context, text: &str) -> Verdict {
    let entry = patterns(context, text).await?;
    bring(context, vec![entry], &[text.as_bytes()]).await?;
    let hash = *blake3::hash(text.as_bytes()).as_bytes();
    demand!(gives(context, hash).await?, "{FILE} is not taken as other files are");
    Ok(())
}

/// Deletes what the kit's device made.
async fn delete(context: &Context, entries: &[Entry]) -> Verdict {
    let deleted = entries.iter().map(|entry| entry.clone().deleted(&[(X, 2)])).collect();
    bring(context, deleted, &[]).await.map(drop)
}

async fn not_sent(context: Context) -> Verdict {
    let Some(folder) = context.targets().peer.as_ref().and_then(|peer| peer.folder.clone()) else {
        return Err(Stop::NotApplicable("the directory of the device is not known to the kit".to_owned()));
    };
    let path = name(&context);
    ignore(&context, &format!("# not this: {path}-sent\n\n{path}-i*d\n")).await?;
    for file in [format!("{path}-sent"), format!("{path}-ignored")] {
        std::fs::write(folder.join(&file), &file)?;
    }
    let sent = look(&context, &format!("{path}-sent")).await?;
    demand!(sent.is_some(), "the index of the device does not have {path}-sent, which no pattern matches");
    let ignored = look(&context, &format!("{path}-ignored")).await?;
    demand!(ignored.is_none(), "the index of the device has {path}-ignored, which is ignored");
    Ok(())
}

async fn not_taken(context: Context) -> Verdict {
    let name = name(&context);
    let text = format!("*.{name}\n!kept.{name}\n{name}-build/\n/{name}/[a-c]?\n{name}/**/deep\n");
    ignore(&context, &text).await?;
    let directories = [name.clone(), format!("{name}/x"), format!("{name}/x/y"), format!("{name}-build")];
    let mut entries: Vec<Entry> = directories.iter().map(|path| Entry::directory(path)).collect();
    let files = [
        (format!("{name}/some.{name}"), true),
        (format!("{name}/some.{name}s"), false),
        (format!("{name}/kept.{name}"), false),
        (format!("{name}-build/kept.{name}"), true),
        (format!("{name}/x/{name}-build"), false),
        (format!("{name}/b1"), true),
        (format!("{name}/x/b1"), false),
        (format!("{name}/d1"), false),
        (format!("{name}/x/y/deep"), true),
    ];
    let contents: Vec<String> = files.iter().map(|(path, _)| format!("content of {path}")).collect();
    entries.extend(
        files.iter().zip(&contents).map(|((path, _), content)| Entry::file(path, content.as_bytes())),
    );
    let given: Vec<&[u8]> = contents.iter().map(String::as_bytes).collect();
    bring(&context, entries.clone(), &given).await?;
    for ((path, ignored), content) in files.iter().zip(&contents) {
        let here = gives(&context, *blake3::hash(content.as_bytes()).as_bytes()).await?;
        demand!(here || *ignored, "{path} is not taken, and no pattern matches it");
        demand!(!here || !ignored, "{path} is taken, and it is ignored");
        demand!(find(&context, path).await?.is_some(), "the index of the device does not have {path}");
    }
    delete(&context, &entries).await
}

async fn stays(context: Context) -> Verdict {
    let path = name(&context);
    let (ignored, other) = (format!("{path}-ignored"), format!("{path}-other"));
    let entries = [&ignored, &other].map(|path| Entry::file(path, path.as_bytes()));
    ignore(&context, "").await?;
    bring(&context, entries.to_vec(), &[ignored.as_bytes(), other.as_bytes()]).await?;
    ignore(&context, &format!("{ignored}\n")).await?;
    let has = async |path: &str| gives(&context, *blake3::hash(path.as_bytes()).as_bytes()).await;
    demand!(has(&ignored).await? && has(&other).await?, "the device does not have both files");
    // An edit, then a deletion.
    let edited = format!("{ignored} is edited");
    let stamp = Stamp { lamport: 2, writer: X, counter: 2 };
    let mut edit = entries[0].clone();
    edit.contents = Entry::file(&ignored, edited.as_bytes()).contents;
    edit.contents[0].stamp = stamp;
    edit.version = vec![(X, 2)];
    let edit = edit.knowing(&entries[0]);
    bring(&context, vec![edit.clone()], &[edited.as_bytes()]).await?;
    demand!(has(&ignored).await?, "{ignored} is replaced, and it is ignored");
    bring(&context, vec![edit.deleted(&[(X, 3)]), entries[1].clone().deleted(&[(X, 2)])], &[]).await?;
    demand!(!has(&other).await?, "{other} is deleted, no pattern matches it, and it is still there");
    demand!(has(&ignored).await?, "{ignored} is removed, and it is ignored");
    Ok(())
}

async fn first(context: Context) -> Verdict {
    let path = name(&context);
    let (ignored, other) = (format!("{path}/ignored"), format!("{path}/other"));
    ignore(&context, "").await?;
    let text = format!("/{ignored}\n");
    let entries = [
        Entry::directory(&path),
        Entry::file(&ignored, ignored.as_bytes()),
        Entry::file(&other, other.as_bytes()),
    ];
    let all = [&entries[..], &[patterns(&context, &text).await?]].concat();
    bring(&context, all, &[ignored.as_bytes(), other.as_bytes(), text.as_bytes()]).await?;
    let has = async |path: &str| gives(&context, *blake3::hash(path.as_bytes()).as_bytes()).await;
    demand!(has(&other).await?, "{other} is not taken, and no pattern matches it");
    demand!(!has(&ignored).await?, "{ignored} is taken, and a pattern that came with it matches it");
    delete(&context, &entries).await
}

/// The question of a device that gives up what its user does not choose any more.
async fn not_kept(context: Context) -> Verdict {
    let path = name(&context);
    let [ignored, other, alone] = ["ignored", "other", "alone"].map(|word| format!("{path}-{word}"));
    ignore(&context, &format!("/{ignored}\n")).await?;
    let entries = [(&ignored, &other), (&other, &other), (&alone, &alone)];
    let entries = entries.map(|(path, content)| Entry::file(path, content.as_bytes()));
    bring(&context, entries.to_vec(), &[other.as_bytes(), alone.as_bytes()]).await?;
    let mut session = asking(&context).await?;
    let mut kept = async |content: &str| {
        let hash = *blake3::hash(content.as_bytes()).as_bytes();
        Ok::<_, Stop>(fetch(&mut session, hash, u64::MAX, 0).await?.0 == 0)
    };
    let (is_other, is_alone, is_any) = (kept(&other).await?, kept(&alone).await?, kept("no content").await?);
    drop(session);
    demand!(is_alone, "the device says that it does not keep {alone}");
    demand!(!is_other, "the device says that it keeps a content that it ignores at {ignored}");
    demand!(!is_any, "the device says that it keeps what nobody has");
    delete(&context, &entries).await
}
