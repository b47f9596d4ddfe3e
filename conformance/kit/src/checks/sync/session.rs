//! An honest session over a channel: what the kit's device says and how it answers.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{LazyLock, Mutex};

use super::message::{self, Card, Entry, Fork, Message, Request, State};
use crate::check::{Context, Stop, Verdict};
use crate::oracle::sync::{card, id_of};
use crate::oracle::ticket::TicketFields;
use crate::target::channel::{Broken, Channel, Record};
use crate::target::fixture::PeerFixture;

/// A session in the one folder of the fixture.
pub struct Session {
    /// The channel below.
    pub channel: Channel,
    /// What the device named in its HELLO.
    pub folders: Vec<[u8; 16]>,
    /// What the kit's device can give.
    pub contents: BTreeMap<[u8; 32], Vec<u8>>,
    /// Whose cards the device showed.
    pub cards: Vec<Card>,
    /// Which forks it showed.
    pub forks: Vec<Fork>,
    introduced: BTreeSet<[u8; 16]>,
    received: Vec<u8>,
}

impl Session {
    /// Opens a channel, exchanges HELLOs, and says that everything differs.
    pub async fn open(context: &Context) -> Result<Self, Stop> {
        Session::open_with(context, |_| {}).await
    }

    /// The same with a changed pair ticket.
    pub async fn open_with(context: &Context, ticket: impl FnOnce(&mut TicketFields)) -> Result<Self, Stop> {
        let mut session = Session::greet(context, ticket).await?;
        if session.folders.contains(&PeerFixture::FOLDER) {
            session.introduce([]).await?;
        }
        session.send("STATE", &message::state(&State::different(PeerFixture::FOLDER))).await?;
        Ok(session)
    }

    /// The STATE that the device sends after HELLO.
    pub async fn state(&mut self) -> Result<State, Stop> {
        loop {
            match self.read().await? {
                Message::State(state) => return Ok(state),
                Message::Writers(_, cards) => self.cards.extend(cards),
                Message::Forks(_, forks) => self.forks.extend(forks),
                other => return Err(Stop::Fail(format!("the device sent {other:?} instead of STATE"))),
            }
        }
    }

    /// A session over a channel on which nothing was said.
    pub fn over(channel: Channel) -> Self {
        Session {
            channel,
            folders: Vec::new(),
            contents: BTreeMap::new(),
            cards: Vec::new(),
            forks: Vec::new(),
            introduced: BTreeSet::new(),
            received: Vec::new(),
        }
    }

    /// Opens a channel and exchanges HELLOs.
    pub async fn greet(context: &Context, ticket: impl FnOnce(&mut TicketFields)) -> Result<Self, Stop> {
        let mut session = Session::over(Channel::open_with(context, ticket).await?);
        session.send("HELLO", &message::hello(&[PeerFixture::FOLDER])).await?;
        match session.read().await? {
            Message::Hello(folders) => session.folders = folders,
            other => return Err(Stop::Fail(format!("the device began with {other:?} instead of HELLO"))),
        }
        Ok(session)
    }

    /// Shows the cards of these writers, and of the three devices of the fixture.
    pub async fn introduce(&mut self, writers: impl IntoIterator<Item = [u8; 16]>) -> Verdict {
        let fixed = [PeerFixture::DEVICE_X, PeerFixture::DEVICE_Y, PeerFixture::DEVICE_Z];
        let writers: BTreeSet<[u8; 16]> = writers.into_iter().chain(fixed).collect();
        let new: Vec<[u8; 16]> = writers.difference(&self.introduced).copied().collect();
        if new.is_empty() {
            return Ok(());
        }
        self.introduced.extend(&new);
        let cards: Vec<Card> = new.into_iter().map(cached_card).collect();
        self.send("WRITERS", &message::writers(PeerFixture::FOLDER, &cards)).await
    }

    /// Shows no card of this writer.
    pub fn known(&mut self, writer: [u8; 16]) {
        self.introduced.insert(writer);
    }

    /// Offers a file with its content.
    pub fn give(&mut self, content: &[u8]) {
        self.contents.insert(*blake3::hash(content).as_bytes(), content.to_vec());
    }

    /// Sends one message, in as many records as it takes.
    pub async fn send(&mut self, name: &str, message: &[u8]) -> Verdict {
        for piece in message.chunks(32_768) {
            self.channel.send_data(name, piece).await?;
        }
        Ok(())
    }

    /// The next message of the device.
    pub async fn read(&mut self) -> Result<Message, Stop> {
        self.next().await.map_err(|ended| ended.instead_of("a message"))
    }

    async fn next(&mut self) -> Result<Message, Ended> {
        loop {
            if let Some((header, rest)) = self.received.split_first_chunk::<5>() {
                let length = u32::from_be_bytes([header[1], header[2], header[3], header[4]]) as usize;
                if length > 1 << 20 {
                    return Err(Ended::Wrong(format!("the device sent a message of {length} bytes")));
                }
                if let Some(body) = rest.get(..length) {
                    let message = Message::read(header[0], body).map_err(|problem| {
                        Ended::Wrong(format!("the device sent what is no message: {problem}"))
                    })?;
                    self.received.drain(..5 + length);
                    return Ok(message);
                }
            }
            match self.channel.read().await {
                Ok(Record::Data(content)) => self.received.extend(content),
                Ok(Record::CloseNotify) => return Err(Ended::Closed),
                Err(broken) => return Err(Ended::Broken(broken)),
            }
        }
    }

    /// The next message, or nothing if the device ended the channel. One that keeps it and says nothing fails: it hangs.
    pub async fn read_or_end(&mut self) -> Result<Option<Message>, Stop> {
        match self.next().await {
            Ok(message) => Ok(Some(message)),
            Err(Ended::Closed) => Ok(None),
            Err(Ended::Broken(broken)) if broken.is_end() => Ok(None),
            Err(ended) => Err(ended.instead_of("the end of the channel")),
        }
    }

    /// Both indexes, all contents, both BYEs. Gives back the index of the device.
    pub async fn exchange(&mut self, mut entries: Vec<Entry>) -> Result<Vec<Entry>, Stop> {
        entries.sort_by_key(|entry| entry.id);
        let folder = PeerFixture::FOLDER;
        let proofs = entries.iter().flat_map(Entry::proofs);
        self.introduce(proofs.map(|proof| proof.stamp.writer).collect::<Vec<_>>()).await?;
        self.send("INDEX", &message::index(folder, true, &entries)).await?;
        self.send("DONE and BYE", &[message::done(folder), message::bye()].concat()).await?;
        let mut index = Vec::new();
        loop {
            match self.read().await? {
                Message::Index(_, _, more) => index.extend(more),
                Message::Request(request) => self.serve(request).await?,
                // Not here: so the device has to ask for all of it.
                Message::ManifestRequest(number, ..) => {
                    self.send("MANIFEST", &message::manifest(number, 1, &[])).await?;
                }
                Message::Done(_) | Message::State(_) => {}
                Message::Writers(_, cards) => self.cards.extend(cards),
                Message::Forks(_, forks) => self.forks.extend(forks),
                Message::Bye => return Ok(index),
                other => return Err(Stop::Fail(format!("the device sent {other:?} out of turn"))),
            }
        }
    }

    /// Answers a REQUEST out of [`Session::contents`].
    pub async fn serve(&mut self, request: Request) -> Verdict {
        let answer = match self.contents.get(&request.hash) {
            Some(content) => {
                let from = usize::try_from(request.offset).unwrap_or(usize::MAX).min(content.len());
                let to = from.saturating_add(request.length as usize).min(content.len());
                message::block(request.number, 0, &content[from..to])
            }
            None => message::block(request.number, 1, &[]),
        };
        self.send("BLOCK", &answer).await
    }

    /// Ends the channel after both BYEs: `close_notify` both ways, then the end of TCP.
    pub async fn finish(mut self) -> Verdict {
        self.channel.send_close().await?;
        match self.channel.read().await {
            Ok(Record::CloseNotify) => {}
            Ok(Record::Data(_)) => return Err(Stop::Fail("the device sent data behind its BYE".to_owned())),
            Err(broken) => return Err(broken.instead_of("close_notify")),
        }
        self.channel.conn.finish().await?;
        self.channel.conn.expect_silent_close().await
    }

    /// Demands that the device ends the channel, whatever it had to say before.
    pub async fn expect_close(&mut self) -> Verdict {
        loop {
            match self.channel.read().await {
                Ok(Record::CloseNotify) => return Ok(()),
                Ok(Record::Data(_)) => {}
                Err(broken) if broken.is_end() => return Ok(()),
                Err(broken) => return Err(broken.instead_of("the end of the channel")),
            }
        }
    }
}

/// Why no message comes any more.
enum Ended {
    /// `close_notify`.
    Closed,
    /// The connection ended, or nothing came.
    Broken(Broken),
    /// What came is no message.
    Wrong(String),
}

impl Ended {
    /// The failure of a check that expected something else.
    fn instead_of(self, expected: &str) -> Stop {
        match self {
            Ended::Closed => Stop::Fail("the device closed the channel instead of going on".to_owned()),
            Ended::Broken(broken) => broken.instead_of(expected),
            Ended::Wrong(why) => Stop::Fail(why),
        }
    }
}

/// Cards take an RSA signature each, so they are made once.
fn cached_card(device: [u8; 16]) -> Card {
    static CARDS: LazyLock<Mutex<BTreeMap<[u8; 16], Card>>> = LazyLock::new(Mutex::default);
    let mut cards = CARDS.lock().expect("nobody panics with the cards");
    cards.entry(device).or_insert_with(|| card(PeerFixture::FOLDER, device)).clone()
}

/// A whole session that brings entries with their contents to the device. Gives back its index of that moment.
pub async fn bring(context: &Context, entries: Vec<Entry>, contents: &[&[u8]]) -> Result<Vec<Entry>, Stop> {
    let mut session = Session::open(context).await?;
    for content in contents {
        session.give(content);
    }
    let index = session.exchange(entries).await?;
    session.finish().await?;
    Ok(index)
}

/// The entry that has this path by its name and those of what it is in, in the index that the device shows in a session of
/// its own. Not a deleted one.
pub async fn look(context: &Context, path: &str) -> Result<Option<Entry>, Stop> {
    let index = bring(context, Vec::new(), &[]).await?;
    let entry = Entry::directory(path);
    let here = |one: &&Entry| (one.parent, &one.name) == (entry.parent, &entry.name) && one.is_living();
    Ok(index.iter().find(here).cloned())
}

/// The entry that was made at this path, wherever it is now, living or not.
pub async fn find(context: &Context, path: &str) -> Result<Option<Entry>, Stop> {
    let index = bring(context, Vec::new(), &[]).await?;
    Ok(index.into_iter().find(|entry| entry.id == id_of(path)))
}
