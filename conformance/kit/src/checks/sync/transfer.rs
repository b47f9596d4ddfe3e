//! sync.md section 4.7: contents.

use super::message::{self, Entry, Message, Request};
use super::session::{Session, bring, look};
use super::{check, name};
use crate::check::{Check, Context, Stop, Verdict, demand};
use crate::target::fixture::PeerFixture;

pub(super) fn checks() -> Vec<Check> {
    vec![
        check("syn.file.small", &[], "a file arrives and is given out again", |context| async move {
            roundtrip(context, 1_000).await
        }),
        check("syn.file.empty", &[], "an empty file arrives", |context| async move {
            let path = name(&context);
            bring(&context, vec![Entry::file(&path, b"")], &[b""]).await?;
            demand!(look(&context, &path).await?.is_some(), "the index of the device does not have {path}");
            Ok(())
        }),
        check(
            "syn.file.blocks",
            &[],
            "a file of several blocks arrives and is given out again",
            |context| async move { roundtrip(context, 600_000).await },
        ),
        check(
            "syn.file.wrong-content",
            &["SYN-030"],
            "bytes that do not have the hash are discarded",
            wrong_content,
        ),
        check("syn.file.cut", &["SYN-033", "SYN-031"], "a file whose transfer was cut is not there", cut),
        check(
            "syn.file.partial-invisible",
            &["SYN-031"],
            "a file is not visible while it is received",
            partial,
        ),
        check("syn.request.unknown", &["SYN-032"], "REQUEST for content the device has not", unknown_content),
        check(
            "syn.request.outside",
            &["SYN-034", "SYN-032"],
            "REQUEST for content behind a symbolic link",
            outside,
        ),
    ]
}

const FOLDER: [u8; 16] = PeerFixture::FOLDER;

/// Content that does not compress and differs by check.
fn content(context: &Context, length: usize) -> Vec<u8> {
    let block = context.random::<4096>();
    block.iter().copied().cycle().take(length).collect()
}

/// Asks the device for content and gives back the status and bytes of its answer.
pub(super) async fn fetch(
    session: &mut Session,
    hash: [u8; 32],
    offset: u64,
    length: u32,
) -> Result<(u8, Vec<u8>), Stop> {
    session.send("REQUEST", &message::request(77, FOLDER, hash, offset, length)).await?;
    loop {
        match session.read().await? {
            Message::Block(77, status, bytes) => return Ok((status, bytes)),
            Message::Block(number, ..) => {
                return Err(Stop::Fail(format!("the device answered request {number}")));
            }
            _ => {}
        }
    }
}

/// Opens a session and shows an empty index, so that REQUESTs are in turn.
pub(super) async fn asking(context: &Context) -> Result<Session, Stop> {
    let mut session = Session::open(context).await?;
    session.send("INDEX", &message::index(FOLDER, true, &[])).await?;
    Ok(session)
}

async fn roundtrip(context: Context, length: usize) -> Verdict {
    let path = name(&context);
    let content = content(&context, length);
    let hash = *blake3::hash(&content).as_bytes();
    bring(&context, vec![Entry::file(&path, &content)], &[&content]).await?;
    let mut session = asking(&context).await?;
    let mut got = Vec::new();
    while got.len() < length {
        let wanted = u32::try_from((length - got.len()).min(262_144)).expect("at most 262,144");
        let (status, bytes) = fetch(&mut session, hash, got.len() as u64, wanted).await?;
        demand!(status == 0, "the device does not have the content of {path}: status {status}");
        demand!(!bytes.is_empty(), "the device answered with no bytes at offset {}", got.len());
        got.extend(bytes);
    }
    demand!(got == content, "the device gives out other bytes than it was given");
    Ok(())
}

/// The first REQUEST for a content that the kit's index offers.
pub(super) async fn first_request(session: &mut Session, entry: Entry) -> Result<Request, Stop> {
    let hash = entry.contents[0].hash;
    session.send("INDEX", &message::index(FOLDER, true, &[entry])).await?;
    next_request(session, hash).await
}

/// The next REQUEST for this content. What an earlier check did not give may be asked for again.
async fn next_request(session: &mut Session, hash: [u8; 32]) -> Result<Request, Stop> {
    loop {
        match session.read().await? {
            Message::Request(request) if request.hash == hash => return Ok(request),
            Message::Request(other) => session.serve(other).await?,
            Message::ManifestRequest(number, ..) => {
                session.send("MANIFEST", &message::manifest(number, 1, &[])).await?;
            }
            _ => {}
        }
    }
}

async fn wrong_content(context: Context) -> Verdict {
    let path = name(&context);
    let right = content(&context, 1_000);
    let mut wrong = right.clone();
    wrong[500] ^= 1;
    let mut session = Session::open(&context).await?;
    let request = first_request(&mut session, Entry::file(&path, &right)).await?;
    session.send("BLOCK with wrong bytes", &message::block(request.number, 0, &wrong)).await?;
    // Whether it asks again or gives up is its own business; it is not let go without having seen the bytes.
    session.send("DONE and BYE", &[message::done(FOLDER), message::bye()].concat()).await?;
    while let Some(message) = session.read_or_end().await? {
        match message {
            Message::Request(again) => session.send("BLOCK", &message::block(again.number, 1, &[])).await?,
            Message::Bye => break,
            _ => {}
        }
    }
    demand_not_there(&context, &path, &[&right, &wrong]).await
}

/// Neither the contents nor the directory of the device have the file.
async fn demand_not_there(context: &Context, path: &str, contents: &[&[u8]]) -> Verdict {
    let mut session = asking(context).await?;
    for content in contents {
        let (status, _) = fetch(&mut session, *blake3::hash(content).as_bytes(), 0, 100).await?;
        demand!(status != 0, "the device gives out bytes of {path}, which it cannot have");
    }
    if let Some(folder) = context.targets().peer.as_ref().and_then(|peer| peer.folder.as_ref()) {
        demand!(!folder.join(path).exists(), "{path} is in the directory of the device");
    }
    Ok(())
}

async fn cut(context: Context) -> Verdict {
    let path = name(&context);
    let content = content(&context, 300_000);
    let mut session = Session::open(&context).await?;
    let request = first_request(&mut session, Entry::file(&path, &content)).await?;
    let half = usize::try_from(request.length).unwrap_or(0).min(100_000) / 2;
    let block = message::block(
        request.number,
        0,
        &content[..usize::try_from(request.length).unwrap_or(0).min(300_000)],
    );
    // The BLOCK says how long it is, and TCP ends in its middle.
    session.send("half a BLOCK", &block[..half]).await?;
    session.channel.conn.finish().await?;
    session.expect_close().await?;
    drop(session);
    demand_not_there(&context, &path, &[&content]).await
}

/// Looks into the directory of the device while it waits for the second half of a file.
async fn partial(context: Context) -> Verdict {
    let Some(folder) = context.targets().peer.as_ref().and_then(|peer| peer.folder.clone()) else {
        return Err(Stop::NotApplicable("the directory of the device is not known to the kit".to_owned()));
    };
    let path = name(&context);
    let content = content(&context, 300_000);
    let mut session = Session::open(&context).await?;
    session.give(&content);
    let request = first_request(&mut session, Entry::file(&path, &content)).await?;
    session.serve(request).await?;
    // 300,000 bytes are more than one REQUEST may ask for, so the device has to ask again and is given nothing yet.
    let second = next_request(&mut session, request.hash).await?;
    demand!(!folder.join(&path).exists(), "{path} is visible before its second half has arrived");
    session.serve(second).await?;
    session.send("DONE and BYE", &[message::done(FOLDER), message::bye()].concat()).await?;
    loop {
        match session.read().await? {
            Message::Request(request) => session.serve(request).await?,
            // Of what an earlier check did not give whole: a device that is not answered waits.
            Message::ManifestRequest(number, ..) => {
                session.send("MANIFEST", &message::manifest(number, 1, &[])).await?;
            }
            Message::Bye => break,
            _ => {}
        }
    }
    session.finish().await?;
    demand!(folder.join(&path).exists(), "{path} is not visible after all of it has arrived");
    Ok(())
}

async fn unknown_content(context: Context) -> Verdict {
    let mut session = asking(&context).await?;
    let (status, bytes) = fetch(&mut session, context.random(), 0, 100).await?;
    demand!(status == 1, "the device answered with status {status} for content that nobody has");
    demand!(bytes.is_empty(), "the device sent {} bytes with status 1", bytes.len());
    Ok(())
}

/// A symbolic link in the folder to a file outside: a device that follows it would give out what is not in the folder.
async fn outside(context: Context) -> Verdict {
    let Some(folder) = context.targets().peer.as_ref().and_then(|peer| peer.folder.clone()) else {
        return Err(Stop::NotApplicable("the directory of the device is not known to the kit".to_owned()));
    };
    let name = name(&context);
    let secret = content(&context, 500);
    let file = tempfile::env::temp_dir().join(format!("{name}-outside"));
    let link = folder.join(&name);
    std::fs::write(&file, &secret)?;
    link_to(&file, &link)?;
    let answer = async {
        // A session, so that the device looks into its directory.
        let index = bring(&context, Vec::new(), &[]).await?;
        let is_file = |entry: &Entry| entry.contents.iter().any(|content| content.kind == 1);
        let listed = index.iter().any(|entry| entry.name == name.as_bytes() && is_file(entry));
        let mut session = asking(&context).await?;
        let (status, _) = fetch(&mut session, *blake3::hash(&secret).as_bytes(), 0, 100).await?;
        Ok::<_, Stop>((listed, status))
    }
    .await;
    std::fs::remove_file(&link)?;
    std::fs::remove_file(&file)?;
    let (listed, status) = answer?;
    demand!(!listed, "the device lists a symbolic link as a file");
    demand!(status != 0, "the device gives out a file outside the folder");
    Ok(())
}

/// Makes a symbolic link.
#[cfg(unix)]
pub(super) fn link_to(file: &std::path::Path, link: &std::path::Path) -> Result<(), Stop> {
    Ok(std::os::unix::fs::symlink(file, link)?)
}

#[cfg(not(unix))]
pub(super) fn link_to(_: &std::path::Path, _: &std::path::Path) -> Result<(), Stop> {
    Err(Stop::NotApplicable("the kit makes symbolic links on Unix only".to_owned()))
}
