//! sync.md section 4.4, chunks.

use super::message::{self, Chunk, Entry, Message, Request, cut};
use super::session::{Session, bring, look};
use super::{check, name};
use crate::check::{Check, Context, Stop, Verdict, demand};
use crate::target::fixture::PeerFixture;

pub(super) fn checks() -> Vec<Check> {
    vec![
        check("syn.manifest.given", &["SYN-073"], "the chunks of a content are its parts", given),
        check(
            "syn.manifest.unknown",
            &["SYN-074"],
            "MANIFEST-REQUEST for content the device has not",
            unknown,
        ),
        check(
            "syn.chunk.older-version",
            &["SYN-076"],
            "chunks that the older version has are not asked for",
            |context| async move { offer(context, &EVEN, Answer::Honest).await },
        ),
        check(
            "syn.chunk.resume",
            &["SYN-075"],
            "what came before the channel was cut is not asked for again",
            resume,
        ),
        check("syn.chunk.short", &["SYN-070"], "a chunk of 16,383 bytes that is not the last", |context| {
            offer(context, &[16_383], Answer::Closes)
        })
        .twin("syn.chunk.shortest"),
        check("syn.chunk.shortest", &[], "a chunk of 16,384 bytes", |context| {
            offer(context, &[16_384], Answer::Honest)
        }),
        check("syn.chunk.empty", &["SYN-070"], "an empty chunk at the end", |context| {
            offer(context, &[LENGTH], Answer::Closes)
        })
        .twin("syn.chunk.shortest"),
        check("syn.manifest.sum", &["SYN-071"], "chunks of one byte more than the content", |context| {
            offer(context, &EVEN, Answer::ClosesOnSum)
        })
        .twin("syn.chunk.older-version"),
        check(
            "syn.chunk.wrong-bytes",
            &["SYN-072"],
            "a chunk with other bytes than its hash says",
            |context| offer(context, &EVEN, Answer::WrongBytes),
        )
        .twin("syn.chunk.older-version"),
    ]
}

const FOLDER: [u8; 16] = PeerFixture::FOLDER;
/// More than a content that needs no chunks.
const LENGTH: usize = 1_500_000;
/// Chunks that one REQUEST each can ask for.
const EVEN: [usize; 7] = [200_000; 7];

/// How the kit answers, and what it expects.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Answer {
    /// With what is true; the file arrives.
    Honest,
    /// With a manifest that closes the channel.
    Closes,
    /// The same, by a length that is one more.
    ClosesOnSum,
    /// With a good manifest, and then with bytes of no chunk; the channel is closed.
    WrongBytes,
}

/// Content in which no two chunks are alike.
fn content(context: &Context) -> Vec<u8> {
    let (seed, mut counter) = (context.random::<32>(), 0_u64);
    let mut content = Vec::new();
    while content.len() < LENGTH {
        content.extend(blake3::keyed_hash(&seed, &counter.to_be_bytes()).as_bytes());
        counter += 1;
    }
    content.truncate(LENGTH);
    content
}

/// Answers a MANIFEST-REQUEST: with these chunks if it is for the content of this session.
async fn answer(session: &mut Session, number: u32, hash: [u8; 32], chunks: &[Chunk]) -> Verdict {
    let manifest = if session.contents.contains_key(&hash) {
        message::manifest(number, 0, chunks)
    } else {
        message::manifest(number, 1, &[])
    };
    session.send("MANIFEST", &manifest).await
}

/// Answers what the device asks until it wants nothing more. Gives back what it asked for of this content.
async fn serve_all(session: &mut Session, chunks: &[Chunk]) -> Result<Vec<Request>, Stop> {
    session.send("DONE and BYE", &[message::done(FOLDER), message::bye()].concat()).await?;
    let mut requests = Vec::new();
    loop {
        match session.read().await? {
            Message::ManifestRequest(number, _, hash) => {
                answer(session, number, hash, chunks).await?;
            }
            Message::Request(request) => {
                // What an earlier check did not give is asked for again.
                if session.contents.contains_key(&request.hash) {
                    requests.push(request);
                }
                session.serve(request).await?;
            }
            Message::Bye => return Ok(requests),
            _ => {}
        }
    }
}

/// Where the later version differs: in the fourth and in the sixth chunk of 200,000 bytes.
const CHANGED: [usize; 2] = [700_000, 1_100_000];

/// Brings a file, and offers a later version of it.
async fn offer(context: Context, lengths: &[usize], answer: Answer) -> Verdict {
    let path = name(&context);
    let before = content(&context);
    let x = PeerFixture::DEVICE_X;
    bring(&context, vec![Entry::file(&path, &before)], &[&before]).await?;
    let mut after = before;
    CHANGED.into_iter().for_each(|at| after[at] ^= 1);
    let mut chunks = cut(&after, lengths);
    if answer == Answer::ClosesOnSum {
        chunks.last_mut().into_iter().for_each(|last| last.length += 1);
    }
    let mut session = Session::open(&context).await?;
    session.give(&after);
    let entry = Entry::file(&path, &after).by(x, 2, &[(x, 2)]);
    session.send("INDEX", &message::index(FOLDER, true, &[entry])).await?;
    if answer != Answer::Honest {
        return dishonest(&context, session, &chunks, answer).await;
    }
    let requests = serve_all(&mut session, &chunks).await?;
    session.finish().await?;
    let mut end = 0;
    let changed: Vec<_> = chunks
        .iter()
        .map(|chunk| {
            let start = end;
            end += u64::from(chunk.length);
            start..end
        })
        .filter(|chunk| CHANGED.iter().any(|at| chunk.contains(&(*at as u64))))
        .collect();
    let is_needed = |request: &Request| {
        let end = request.offset + u64::from(request.length);
        changed.iter().any(|chunk| chunk.start <= request.offset && end <= chunk.end)
    };
    let needless = requests.iter().find(|request| !is_needed(request));
    demand!(needless.is_none(), "the device asked for what its older version has: {needless:?}");
    let entry = look(&context, &path).await?;
    let hash = *blake3::hash(&after).as_bytes();
    let is_later = |entry: Entry| entry.main().is_some_and(|main| main.hash == hash);
    demand!(entry.is_some_and(is_later), "the device does not have the later version");
    Ok(())
}

/// Answers as must not be, and demands that the device ends the channel before it reads anything more.
async fn dishonest(context: &Context, mut session: Session, chunks: &[Chunk], answer: Answer) -> Verdict {
    let probe = message::manifest_request(78, FOLDER, context.random());
    loop {
        match session.read().await? {
            Message::ManifestRequest(number, _, hash) if !session.contents.contains_key(&hash) => {
                self::answer(&mut session, number, hash, chunks).await?;
            }
            Message::Request(request) if !session.contents.contains_key(&request.hash) => {
                session.serve(request).await?;
            }
            Message::ManifestRequest(number, ..) => {
                let manifest = message::manifest(number, 0, chunks);
                if answer == Answer::WrongBytes {
                    session.send("MANIFEST", &manifest).await?;
                } else {
                    session.send("a bad MANIFEST, and a question", &[manifest, probe].concat()).await?;
                    break;
                }
            }
            Message::Request(request) if answer == Answer::WrongBytes => {
                // The other chunk is not answered, so that not the hash of the whole tells.
                let wrong = message::block(request.number, 0, &vec![0x5A; request.length as usize]);
                session.send("BLOCK with wrong bytes, and a question", &[wrong, probe].concat()).await?;
                break;
            }
            Message::Request(_) | Message::Bye => {
                return Err(Stop::NotApplicable("the device asks for no manifest".to_owned()));
            }
            _ => {}
        }
    }
    while let Some(message) = session.read_or_end().await? {
        let goes_on = matches!(message, Message::Manifest(78, ..));
        demand!(!goes_on, "the device went on instead of closing the channel");
    }
    Ok(())
}

/// The chunks that the device names, each fetched and hashed.
async fn given(context: Context) -> Verdict {
    let path = name(&context);
    let content = content(&context);
    bring(&context, vec![Entry::file(&path, &content)], &[&content]).await?;
    let chunks = match ask(&context, *blake3::hash(&content).as_bytes()).await? {
        (0, chunks) => chunks,
        (status, _) => return Err(Stop::Fail(format!("status {status} for content that the device has"))),
    };
    let mut rest = &content[..];
    for chunk in &chunks {
        let length = usize::try_from(chunk.length).unwrap_or(usize::MAX);
        let Some((bytes, more)) = rest.split_at_checked(length) else {
            return Err(Stop::Fail("the chunks are longer than the content".to_owned()));
        };
        demand!(more.is_empty() || length >= 16_384, "a chunk of {length} bytes");
        demand!(length <= 4_194_304, "a chunk of {length} bytes");
        demand!(
            *blake3::hash(bytes).as_bytes() == chunk.hash,
            "a chunk has another hash than the manifest says"
        );
        rest = more;
    }
    demand!(rest.is_empty(), "{} bytes of the content are in no chunk", rest.len());
    Ok(())
}

async fn unknown(context: Context) -> Verdict {
    let (status, chunks) = ask(&context, context.random()).await?;
    demand!(status == 1, "the device answered with status {status} for content that nobody has");
    demand!(chunks.is_empty(), "the device named {} chunks with status 1", chunks.len());
    Ok(())
}

async fn ask(context: &Context, hash: [u8; 32]) -> Result<(u8, Vec<Chunk>), Stop> {
    let mut session = Session::open(context).await?;
    session.send("INDEX", &message::index(FOLDER, true, &[])).await?;
    session.send("MANIFEST-REQUEST", &message::manifest_request(77, FOLDER, hash)).await?;
    loop {
        if let Message::Manifest(77, status, chunks) = session.read().await? {
            return Ok((status, chunks));
        }
    }
}

/// Gives half of a new file, cuts the channel, and offers it again.
async fn resume(context: Context) -> Verdict {
    let path = name(&context);
    let content = content(&context);
    let entry = Entry::file(&path, &content);
    let mut session = Session::open(&context).await?;
    session.give(&content);
    session.send("INDEX", &message::index(FOLDER, true, std::slice::from_ref(&entry))).await?;
    let chunks = cut(&content, &EVEN);
    let (mut given, mut asked_more) = (0, false);
    while given < 800_000 || !asked_more {
        match session.read().await? {
            Message::ManifestRequest(number, _, hash) => {
                answer(&mut session, number, hash, &chunks).await?;
            }
            Message::Request(request) if !session.contents.contains_key(&request.hash) => {
                session.serve(request).await?;
            }
            Message::Request(request) if given < 800_000 => {
                given += u64::from(request.length);
                session.serve(request).await?;
            }
            // The rest is never answered.
            Message::Request(_) => asked_more = true,
            Message::Bye => {
                return Err(Stop::Fail("the device wants nothing more of half a file".to_owned()));
            }
            _ => {}
        }
    }
    session.channel.conn.finish().await?;
    session.expect_close().await?;
    drop(session);

    let mut session = Session::open(&context).await?;
    session.give(&content);
    session.send("INDEX", &message::index(FOLDER, true, &[entry])).await?;
    let requests = serve_all(&mut session, &chunks).await?;
    session.finish().await?;
    let asked: u64 = requests.iter().map(|request| u64::from(request.length)).sum();
    // The chunk in which the first session ended may come again.
    let most = LENGTH as u64 - given + 200_000;
    demand!(asked <= most, "the device had {given} of {LENGTH} bytes and asked for {asked} more");
    demand!(look(&context, &path).await?.is_some(), "the index of the device does not have {path}");
    Ok(())
}
