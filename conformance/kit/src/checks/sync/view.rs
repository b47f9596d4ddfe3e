//! sync.md sections 4.4 and 4.5: what is shown of the entries, and which entries what is on disk becomes.
//!
//! A device that shows a file has its bytes, so it gives them out; where that says nothing the kit looks into the directory.

use std::path::PathBuf;

use super::message::{Entry, Stamp};
use super::session::{bring, find, look};
use super::{check, gives, name};
use crate::check::{Check, Context, Stop, Verdict, demand};
use crate::oracle::sync::{fold, id_of};
use crate::target::fixture::PeerFixture;

pub(super) fn checks() -> Vec<Check> {
    vec![
        check("syn.view.cycle", &["SYN-038"], "two directories in each other are shown", cycle),
        check(
            "syn.view.deleted-parent",
            &["SYN-039"],
            "what is in a deleted directory is shown",
            deleted_parent,
        ),
        check("syn.view.unknown-parent", &["SYN-040"], "an entry waits for its parent", unknown_parent),
        check("syn.view.same-name", &["SYN-041"], "two names that differ in case are shown apart", same_name),
        check("syn.new.identifier", &["SYN-035"], "a new file has the identifier of its place", identifier),
        check("syn.new.rename", &["SYN-036"], "a renamed file keeps its identifier", rename),
        check(
            "syn.new.rename-directory",
            &["SYN-036"],
            "what is in a renamed directory stays",
            rename_directory,
        ),
    ]
}

/// Something that no other check writes.
fn content(context: &Context) -> Vec<u8> {
    context.random::<64>().to_vec()
}

async fn demand_given(context: &Context, content: &[u8], what: &str) -> Verdict {
    demand!(gives(context, *blake3::hash(content).as_bytes()).await?, "{what} is not shown");
    Ok(())
}

async fn cycle(context: Context) -> Verdict {
    let (a, b, content) =
        (format!("{}-a", name(&context)), format!("{}-b", name(&context)), content(&context));
    let into = |path: &str, parent: &str, lamport| {
        let mut entry = Entry::directory(path);
        (entry.parent, entry.place.lamport) = (id_of(parent), lamport);
        entry.contents[0].stamp = entry.place;
        entry
    };
    let file = Entry::file(&format!("{a}/file"), &content);
    bring(&context, vec![into(&a, &b, 5), into(&b, &a, 6), file], &[&content]).await?;
    demand_given(&context, &content, "a file below a cycle").await?;
    if let Some(folder) = folder(&context) {
        // The later is in the folder itself, the earlier in it.
        demand!(folder.join(&b).join(&a).join("file").exists(), "{b}/{a}/file is not there");
    }
    Ok(())
}

async fn deleted_parent(context: Context) -> Verdict {
    let (path, content) = (name(&context), content(&context));
    let directory = Entry::directory(&path);
    let file = Entry::file(&format!("{path}/file"), &content);
    let deleted = directory.deleted(&[(PeerFixture::DEVICE_X, 2)]);
    bring(&context, vec![deleted, file], &[&content]).await?;
    demand_given(&context, &content, "a file in a deleted directory").await
}

async fn unknown_parent(context: Context) -> Verdict {
    let (path, content) = (name(&context), content(&context));
    let file = Entry::file(&format!("{path}/file"), &content);
    bring(&context, vec![file.clone()], &[&content]).await?;
    demand!(
        !gives(&context, *blake3::hash(&content).as_bytes()).await?,
        "a file is shown whose directory nobody knows"
    );
    let index = bring(&context, vec![Entry::directory(&path), file.clone()], &[&content]).await?;
    demand!(index.iter().any(|entry| entry.id == file.id), "the device does not give the entry to others");
    demand_given(&context, &content, "a file whose directory came after it").await
}

async fn same_name(context: Context) -> Verdict {
    let Some(folder) = folder(&context) else { return unknown_folder() };
    let (path, contents) = (name(&context), [content(&context), content(&context)]);
    let upper = path.to_uppercase();
    let entries = vec![Entry::file(&path, &contents[0]), Entry::file(&upper, &contents[1])];
    bring(&context, entries, &[&contents[0], &contents[1]]).await?;
    let mut folded = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        if fold(&name).starts_with(&fold(&path)) {
            folded.push(fold(&name));
        }
    }
    folded.sort();
    demand!(folded.len() == 2, "there are {} files instead of two", folded.len());
    demand!(folded[0] != folded[1], "two files have names that differ in case only");
    Ok(())
}

async fn identifier(context: Context) -> Verdict {
    let Some(folder) = folder(&context) else { return unknown_folder() };
    let path = name(&context);
    std::fs::write(folder.join(&path), &path)?;
    let entry = look(&context, &path).await?;
    demand!(entry.is_some(), "the index of the device does not have the new file {path}");
    demand!(entry.is_some_and(|entry| entry.id == id_of(&path)), "{path} has another identifier");
    Ok(())
}

async fn rename(context: Context) -> Verdict {
    let Some(folder) = folder(&context) else { return unknown_folder() };
    let (path, content) = (name(&context), content(&context));
    bring(&context, vec![Entry::file(&path, &content)], &[&content]).await?;
    let renamed = format!("{path}-renamed");
    std::fs::rename(folder.join(&path), folder.join(&renamed))?;
    let entry = look(&context, &renamed).await?;
    demand!(entry.is_some(), "the index of the device does not have {renamed}");
    demand!(
        entry.is_some_and(|entry| entry.id == id_of(&path)),
        "{renamed} has another identifier than {path}"
    );
    Ok(())
}

async fn rename_directory(context: Context) -> Verdict {
    let Some(folder) = folder(&context) else { return unknown_folder() };
    let (path, content) = (name(&context), content(&context));
    let file = format!("{path}/file");
    bring(&context, vec![Entry::directory(&path), Entry::file(&file, &content)], &[&content]).await?;
    let before = find(&context, &file).await?;
    std::fs::rename(folder.join(&path), folder.join(format!("{path}-renamed")))?;
    let after = find(&context, &file).await?;
    let place = |entry: &Option<Entry>| entry.as_ref().map(|entry| entry.place);
    demand!(
        place(&after).is_some() && place(&after) == place(&before),
        "a file moved because its directory did"
    );
    let directory = find(&context, &path).await?;
    let moved = directory.is_some_and(|entry| entry.text() == format!("{path}-renamed") && entry.gone == 0);
    demand!(moved, "the directory {path} did not get its new name");
    let stamp: Option<Stamp> = place(&after);
    demand!(stamp.is_some_and(|stamp| stamp.writer == PeerFixture::DEVICE_X), "the file was written anew");
    Ok(())
}

fn folder(context: &Context) -> Option<PathBuf> {
    context.targets().peer.as_ref().and_then(|peer| peer.folder.clone())
}

fn unknown_folder() -> Verdict {
    Err(Stop::NotApplicable("the directory of the device is not known to the kit".to_owned()))
}
