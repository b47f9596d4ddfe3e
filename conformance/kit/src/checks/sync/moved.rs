//! handshake.md section 4.8: a session that goes on over another channel.

use std::collections::BTreeSet;

use super::message::{self, Entry, Message};
use super::session::{Session, bring};
use super::transfer::first_request;
use super::{check, name};
use crate::check::{Check, Context, Stop, demand};
use crate::target::fixture::PeerFixture;

/// All is asked for, as nobody moved.
const STAYS: &str = "syn.bye.after-done";

pub(super) fn checks() -> Vec<Check> {
    vec![
        check(STAYS, &[], "a device asks for all contents, also after BYE", |context| async move {
            let asked = offer(&context, true).await?;
            demand!(asked == FILES, "the device asked for {asked} of {FILES} contents");
            Ok(())
        }),
        check(
            "syn.bye.before-done",
            &["HSK-059", "HSK-060"],
            "a device asks for nothing more after a BYE without DONE, and says BYE",
            |context| async move {
                let asked = offer(&context, false).await?;
                demand!(asked < FILES, "the device went on asking, for all of {FILES} contents");
                Ok(())
            },
        )
        .twin(STAYS),
        after_bye("request", "REQUEST", |context| message::request(77, FOLDER, context.random(), 0, 1)),
        after_bye("manifest-request", "MANIFEST-REQUEST", |context| {
            message::manifest_request(77, FOLDER, context.random())
        }),
        after_bye("done", "DONE", |_| message::done(FOLDER)),
        after_bye("writers", "WRITERS", |_| message::writers(FOLDER, &[])),
    ]
}

/// A check that sends a message behind BYE, while the device still waits for a content, so that it has no other reason to close.
fn after_bye(id: &str, message: &str, bytes: fn(&Context) -> Vec<u8>) -> Check {
    let title = format!("a {message} after BYE");
    check(&format!("syn.state.{id}-after-bye"), &["SYN-015"], &title, move |context| async move {
        let path = name(&context);
        let entry = Entry::file(&path, path.as_bytes());
        let mut session = Session::open(&context).await?;
        session.give(path.as_bytes());
        let asked = first_request(&mut session, entry.clone()).await?;
        let ends = [message::done(FOLDER), message::bye(), bytes(&context)].concat();
        session.send("what must not come after BYE", &ends).await?;
        // So that a device that takes it goes on to its BYE. One that has closed does not take this.
        let _ = session.serve(asked).await;
        while let Some(message) = session.read_or_end().await? {
            demand!(message != Message::Bye, "the device ended the session in order");
        }
        bring(&context, vec![entry.deleted(&[(PeerFixture::DEVICE_X, 2)])], &[]).await.map(drop)
    })
    .twin(STAYS)
}

const FOLDER: [u8; 16] = PeerFixture::FOLDER;
/// With [`SIZE`], more than a device asks for at once.
const FILES: usize = 200;
/// As much as one REQUEST may ask for.
const SIZE: u64 = 262_144;

/// Offers many files, of which the contents are gone, and says BYE, with DONE before it or not. Gives back how many contents
/// the device asked for until its own BYE.
async fn offer(context: &Context, done: bool) -> Result<usize, Stop> {
    let mut session = Session::open(context).await?;
    let name = name(context);
    let mut entries: Vec<Entry> = (0..FILES)
        .map(|number| {
            let path = format!("{name}-{number:05}");
            let mut entry = Entry::file(&path, path.as_bytes());
            entry.contents[0].size = SIZE;
            entry
        })
        .collect();
    entries.sort_by_key(|entry| entry.id);
    let hashes: BTreeSet<[u8; 32]> = entries.iter().map(|entry| entry.contents[0].hash).collect();
    session.send("INDEX", &message::index(FOLDER, true, &entries)).await?;
    // Its answer shows that it has seen the index and asked for what it asks for at once.
    session.send("REQUEST", &message::request(77, FOLDER, context.random(), 0, 1)).await?;
    let mut asked = Vec::new();
    loop {
        match session.read().await? {
            Message::Request(request) if hashes.contains(&request.hash) => asked.push(request),
            // What an earlier check did not give is asked for again.
            Message::Request(request) => session.serve(request).await?,
            Message::ManifestRequest(number, ..) => {
                session.send("MANIFEST", &message::manifest(number, 1, &[])).await?;
            }
            Message::Block(77, ..) => break,
            _ => {}
        }
    }
    if asked.len() == FILES {
        return Err(Stop::NotApplicable(format!("the device asks for {FILES} contents at once")));
    }
    let last = if done { [message::done(FOLDER), message::bye()].concat() } else { message::bye() };
    session.send(if done { "DONE and BYE" } else { "BYE" }, &last).await?;
    let mut answered = 0;
    loop {
        for request in &asked[answered..] {
            session.serve(*request).await?;
        }
        answered = asked.len();
        match session.read().await? {
            Message::Request(request) if hashes.contains(&request.hash) => asked.push(request),
            Message::Request(request) => session.serve(request).await?,
            Message::ManifestRequest(number, ..) => {
                session.send("MANIFEST", &message::manifest(number, 1, &[])).await?;
            }
            Message::Bye => break,
            _ => {}
        }
    }
    session.finish().await?;
    // So that no later session asks for them.
    let version = [(PeerFixture::DEVICE_X, 2)];
    bring(context, entries.into_iter().map(|entry| entry.deleted(&version)).collect(), &[]).await?;
    Ok(asked.len())
}
