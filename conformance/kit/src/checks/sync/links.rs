//! sync.md section 4.5: symbolic links are what they say, and lead nowhere. What is on disk shows only where the kit can look.

use std::path::PathBuf;

use super::ignored::ignore;
use super::message::Entry;
use super::session::{bring, find, look};
use super::transfer::link_to;
use super::{check, gives, name};
use crate::check::{Check, Context, Stop, Verdict, demand};
use crate::target::fixture::PeerFixture;

pub(super) fn checks() -> Vec<Check> {
    vec![
        check("syn.link.sent", &["SYN-131"], "a symbolic link is in the index, with its target", sent),
        check("syn.link.made", &["SYN-132"], "a symbolic link arrives as one", made),
        check(
            "syn.link.leads-out",
            &["SYN-042"],
            "symbolic links to what is outside of the folder",
            leads_out,
        ),
        check("syn.link.zero", &["SYN-042"], "a symbolic link with a byte of zero in its target", zero),
        check("syn.link.through", &["SYN-133"], "a directory where there is a symbolic link", through),
    ]
}

/// Where the device has its folder.
pub(super) fn folder(context: &Context) -> Result<PathBuf, Stop> {
    if !cfg!(unix) {
        return Err(Stop::NotApplicable("the kit makes symbolic links on Unix only".to_owned()));
    }
    let folder = context.targets().peer.as_ref().and_then(|peer| peer.folder.clone());
    folder
        .ok_or_else(|| Stop::NotApplicable("the directory of the device is not known to the kit".to_owned()))
}

fn link(path: &str, target: &str) -> Entry {
    let mut link = Entry::file(path, target.as_bytes());
    link.contents[0].kind = 3;
    link
}

async fn delete(context: &Context, entries: &[Entry]) -> Verdict {
    let deleted = entries.iter().map(|entry| entry.clone().deleted(&[(PeerFixture::DEVICE_X, 2)])).collect();
    bring(context, deleted, &[]).await.map(drop)
}

async fn sent(context: Context) -> Verdict {
    let folder = folder(&context)?;
    let path = name(&context);
    let target = format!("no where/{path}");
    link_to(target.as_ref(), &folder.join(&path))?;
    let listed = look(&context, &path).await;
    let hash = *blake3::hash(target.as_bytes()).as_bytes();
    let given = gives(&context, hash).await;
    std::fs::remove_file(folder.join(&path))?;
    let Some(entry) = listed? else {
        return Err(Stop::Fail("the index of the device does not have the link".to_owned()));
    };
    let content = &entry.contents[0];
    let is_link = (content.kind, content.size, content.hash) == (3, target.len() as u64, hash);
    demand!(is_link, "the device lists a link to {target:?} as {content:?}");
    demand!(given?, "the device does not give out the target of a link");
    Ok(())
}

async fn made(context: Context) -> Verdict {
    let folder = folder(&context)?;
    let path = name(&context);
    let links = [("l", "f"), ("d/up", "../f"), ("d/here", "./no where//"), ("d/all", "..")];
    let mut entries = vec![Entry::directory(&path), Entry::directory(&format!("{path}/d"))];
    entries.extend(links.iter().map(|(at, target)| link(&format!("{path}/{at}"), target)));
    let contents: Vec<&[u8]> = links.iter().map(|(_, target)| target.as_bytes()).collect();
    bring(&context, entries.clone(), &contents).await?;
    for (at, target) in links {
        let made = std::fs::read_link(folder.join(&path).join(at)).ok();
        let same = made.as_deref().is_some_and(|made| made.as_os_str() == target);
        demand!(same, "the link {at} to {target:?} is on disk {made:?}");
    }
    delete(&context, &entries).await
}

async fn leads_out(context: Context) -> Verdict {
    let folder = folder(&context)?;
    let path = name(&context);
    let absolute = folder.join("inside").to_string_lossy().into_owned();
    let links = [
        ("absolute", &*absolute, false),
        ("two-up", "../..", false),
        ("d/three-up", "../../../outside", false),
        ("d/around", "../d/../../../outside", false),
        ("d/two-up", "../../inside", true),
    ];
    let mut entries = vec![Entry::directory(&path), Entry::directory(&format!("{path}/d"))];
    entries.extend(links.iter().map(|(at, target, _)| link(&format!("{path}/{at}"), target)));
    let contents: Vec<&[u8]> = links.iter().map(|(_, target, _)| target.as_bytes()).collect();
    bring(&context, entries.clone(), &contents).await?;
    for (at, target, inside) in links {
        let made = std::fs::symlink_metadata(folder.join(&path).join(at)).is_ok();
        demand!(made || !inside, "the link {at} to {target:?} stays in the folder, and is not made");
        demand!(!made || inside, "the link {at} to {target:?} leads out of the folder, and is made");
        let known = find(&context, &format!("{path}/{at}")).await?.is_some();
        demand!(known, "the index of the device does not have the link {at} to {target:?}");
    }
    delete(&context, &entries).await
}

/// To a system that ends strings at a zero the first is `..`. What is behind it in the same session is made all the same.
async fn zero(context: Context) -> Verdict {
    let folder = folder(&context)?;
    let path = name(&context);
    let links = [("cut-up", "..\0/inside", false), ("in-it", "inside\0", false), ("good", "inside", true)];
    let mut entries = vec![Entry::directory(&path)];
    entries.extend(links.iter().map(|(at, target, _)| link(&format!("{path}/{at}"), target)));
    let contents: Vec<&[u8]> = links.iter().map(|(_, target, _)| target.as_bytes()).collect();
    bring(&context, entries.clone(), &contents).await?;
    for (at, target, good) in links {
        let made = std::fs::symlink_metadata(folder.join(&path).join(at)).is_ok();
        demand!(made == good, "whether the link {at} to {target:?} is on disk: {made}");
        let known = find(&context, &format!("{path}/{at}")).await?.is_some();
        demand!(known, "the index of the device does not have the link {at} to {target:?}");
    }
    delete(&context, &entries).await
}

/// The link is ignored, and directories of that name are not: so nothing moves it out of the way.
async fn through(context: Context) -> Verdict {
    let folder = folder(&context)?;
    let path = name(&context);
    let outside = tempfile::env::temp_dir().join(format!("{path}-outside"));
    ignore(&context, &format!("/{path}\n!/{path}/\n")).await?;
    std::fs::create_dir(&outside)?;
    link_to(&outside, &folder.join(&path))?;
    let (file, other) = (format!("{path}/file"), format!("{path}-other/file"));
    let directories = [path.clone(), format!("{path}-other")].map(|path| Entry::directory(&path));
    let files = [&file, &other].map(|path| Entry::file(path, path.as_bytes()));
    let entries = [directories, files].concat();
    let brought = bring(&context, entries.clone(), &[file.as_bytes(), other.as_bytes()]).await;
    let (came, escaped) = (folder.join(&other).exists(), outside.join("file").exists());
    std::fs::remove_file(folder.join(&path))?;
    std::fs::remove_dir_all(&outside)?;
    brought?;
    demand!(came, "the device has not put {other} on disk");
    demand!(!escaped, "the device has put {file} where a link leads, outside of the folder");
    ignore(&context, "").await?;
    delete(&context, &entries).await
}
