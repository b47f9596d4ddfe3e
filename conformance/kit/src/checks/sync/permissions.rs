//! sync.md section 4.5: permissions. What is on disk shows only where the kit can look.

use std::path::Path;

use super::links::folder;
use super::message::Entry;
use super::session::{bring, look};
use super::{check, name};
use crate::check::{Check, Context, Stop, Verdict, demand};
use crate::target::fixture::PeerFixture;

pub(super) fn checks() -> Vec<Check> {
    vec![
        check("syn.mode.given", &["SYN-162"], "the permissions of a file, and others for it", given),
        check("syn.mode.more-bits", &["SYN-161"], "a mode of more than nine bits", more_bits),
        check("syn.mode.edit", &["SYN-163"], "a file gets other permissions on the device", edit),
    ]
}

/// All bits of what is at a path, by which the device has the rest, too.
#[cfg(unix)]
fn mode(path: &Path) -> Result<u16, Stop> {
    use std::os::unix::fs::PermissionsExt;
    Ok(u16::try_from(std::fs::metadata(path)?.permissions().mode() & 0o7777).unwrap_or_default())
}

#[cfg(unix)]
fn set_mode(path: &Path, mode: u32) -> Verdict {
    use std::os::unix::fs::PermissionsExt;
    Ok(std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode))?)
}

// On other systems `folder` says that the check is not for them.
#[cfg(not(unix))]
fn mode(_: &Path) -> Result<u16, Stop> {
    Err(Stop::NotApplicable("the kit knows permissions on Unix only".to_owned()))
}

#[cfg(not(unix))]
fn set_mode(path: &Path, _: u32) -> Verdict {
    mode(path).map(drop)
}

fn with_mode(mut entry: Entry, mode: u16) -> Entry {
    entry.contents[0].mode = mode;
    entry
}

async fn delete(context: &Context, entry: Entry, counter: u64) -> Verdict {
    bring(context, vec![entry.deleted(&[(PeerFixture::DEVICE_X, counter)])], &[]).await.map(drop)
}

/// Only the bits of group and others: of those of its owner a device may set more.
async fn given(context: Context) -> Verdict {
    let folder = folder(&context)?;
    let path = name(&context);
    let x = PeerFixture::DEVICE_X;
    let first = with_mode(Entry::file(&path, path.as_bytes()), 0o754);
    bring(&context, vec![first.clone()], &[path.as_bytes()]).await?;
    let has = mode(&folder.join(&path))?;
    demand!(has & 0o077 == 0o054, "a file of mode 0754 has {has:04o} on disk");
    let second = with_mode(first.by(x, 2, &[(x, 2)]), 0o640);
    bring(&context, vec![second.clone()], &[path.as_bytes()]).await?;
    let has = mode(&folder.join(&path))?;
    demand!(has & 0o077 == 0o040, "a file that got mode 0640 has {has:04o} on disk");
    delete(&context, second, 3).await
}

async fn more_bits(context: Context) -> Verdict {
    let folder = folder(&context)?;
    let path = name(&context);
    let file = with_mode(Entry::file(&path, path.as_bytes()), 0o7755);
    let directory = with_mode(Entry::directory(&format!("{path}-d")), 0o5755);
    bring(&context, vec![file.clone(), directory.clone()], &[path.as_bytes()]).await?;
    for (name, given) in [(&path, 0o7755), (&format!("{path}-d"), 0o5755)] {
        let has = mode(&folder.join(name))?;
        demand!(has & 0o7000 == 0, "{name}, of mode {given:04o}, has {has:04o} on disk");
    }
    delete(&context, file, 2).await?;
    delete(&context, directory, 2).await
}

async fn edit(context: Context) -> Verdict {
    let folder = folder(&context)?;
    let path = name(&context);
    let file = Entry::file(&path, path.as_bytes());
    bring(&context, vec![file.clone()], &[path.as_bytes()]).await?;
    set_mode(&folder.join(&path), 0o600)?;
    let Some(entry) = look(&context, &path).await? else {
        return Err(Stop::Fail("the index of the device does not have the file".to_owned()));
    };
    let living: Vec<_> = entry.contents.iter().filter(|content| content.gone == 0).collect();
    let [content] = living[..] else {
        return Err(Stop::Fail(format!("the file has {} contents after a change of its mode", living.len())));
    };
    demand!(
        content.mode.trailing_zeros() >= 6, // nothing for group and others
        "the file has mode 0600 on disk and {:04o} in the index",
        content.mode
    );
    demand!(content.hash == file.contents[0].hash, "the content has another hash, with the same bytes");
    let x = PeerFixture::DEVICE_X;
    let count = |(device, counter): &([u8; 16], u64)| (*device, if *device == x { 2 } else { *counter });
    let version: Vec<([u8; 16], u64)> = entry.version.iter().map(count).collect();
    bring(&context, vec![entry.deleted(&version)], &[]).await.map(drop)
}
