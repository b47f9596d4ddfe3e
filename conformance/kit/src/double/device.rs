//! The other device of the user, the relay before it, and a stranger at an address of it.

use std::sync::Arc;

use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use super::{Shared, WELCOME, lock, patience};
use crate::check::{Stop, Verdict};
use crate::checks::sync::message::{self, Message, Request, State};
use crate::checks::sync::session::Session;
use crate::oracle::crypto::{from_hex, h};
use crate::oracle::handshake::frame;
use crate::oracle::handshake::kind;
use crate::oracle::record::DATA;
use crate::oracle::relay::{JOINED, PASS};
use crate::oracle::sync::card;
use crate::target::caller::{Ends, Received};
use crate::target::fixture::PeerFixture;
use crate::target::peer::PeerConn;
use crate::vectors::fixtures::KEY_X;

const FOLDER: [u8; 16] = PeerFixture::FOLDER;
/// The longest REQUEST (SYN-009).
const BLOCK: u64 = 262_144;

/// What the device does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Act {
    /// What an honest one does.
    #[default]
    Honest,
    /// It confirms the handshake wrongly, as one without the key would.
    WrongConfirmation,
    /// It gives other bytes than those of its index.
    WrongBytes,
    /// It ends the connection in the second block of a content, without a word.
    Cut,
    /// Somebody on the way changes a bit of the name of the file in its index.
    Altered,
    /// It announces an index that cannot be, and expects that the client goes.
    Refused,
}

/// Accepts direct connections until it is dropped.
pub(super) async fn listen(shared: Arc<Shared>, listener: TcpListener) {
    let mut calls = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        let call = Call::new(&shared);
        calls.spawn(async move { call.run(stream, None).await });
    }
}

/// Accepts connections to the relay until it is dropped. Both devices of a circuit are there at once.
pub(super) async fn relay(shared: Arc<Shared>, listener: TcpListener) {
    let mut calls = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        let call = Call::new(&shared);
        shared.seen().relayed += 1;
        calls.spawn(async move { call.run_relayed(stream).await });
    }
}

/// Accepts connections of who takes somebody else for the device. It does what it can without the device's key.
pub(super) async fn stranger(shared: Arc<Shared>, listener: TcpListener) {
    let mut calls = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        shared.seen().stranger += 1;
        let context = shared.context.clone();
        calls.spawn(async move {
            let Ok(conn) = PeerConn::accepted(&context, stream) else { return };
            let mut conn = conn.patient(patience(&context));
            if let Ok(m1) = conn.read_frame().await {
                // An M2 of the right length, of which nothing is right.
                let body = h(&[&m1]).iter().copied().cycle().take(1_500).collect::<Vec<u8>>();
                let _ = conn.send("what a stranger has", &frame(kind::M2, &body)).await;
                conn.ending().await;
            }
        });
    }
}

/// One connection to the device.
struct Call {
    shared: Arc<Shared>,
}

impl Call {
    fn new(shared: &Arc<Shared>) -> Self {
        shared.seen().calls += 1;
        shared.open.send_modify(|open| *open += 1);
        Self { shared: shared.clone() }
    }

    async fn run(self, stream: TcpStream, rdv_token: Option<[u8; 16]>) {
        let ended = match PeerConn::accepted(&self.shared.context, stream) {
            Ok(conn) => self.talk(conn.patient(patience(&self.shared.context)), rdv_token).await,
            Err(stop) => Err(stop),
        };
        self.tell(ended);
    }

    async fn run_relayed(self, stream: TcpStream) {
        let ended = match PeerConn::accepted(&self.shared.context, stream) {
            Ok(conn) => self.join(conn.patient(patience(&self.shared.context))).await,
            Err(stop) => Err(stop),
        };
        self.tell(ended);
    }

    fn tell(&self, ended: Verdict) {
        let words = |stop| match stop {
            Stop::Fail(why) | Stop::Blocked(why) | Stop::NotApplicable(why) | Stop::KitError(why) => why,
        };
        self.shared.seen().sessions.push(ended.map_err(words));
    }

    /// Reads JOIN, and is the other device.
    async fn join(&self, mut conn: PeerConn) -> Verdict {
        let join = conn.read_exact(3 + PASS).await.map_err(|ending| ending.instead_of("JOIN"))?;
        let pass = join.strip_prefix(&[0, 1, 1]).unwrap_or_default();
        let Some(token) = lock(&self.shared.world).passes.remove(pass) else {
            return Err(Stop::Fail("the JOIN has no pass of the graph".to_owned()));
        };
        conn.send("JOINED", &JOINED).await?;
        self.talk(conn, Some(token)).await
    }

    /// From M1 to the end.
    async fn talk(&self, mut conn: PeerConn, rdv_token: Option<[u8; 16]>) -> Verdict {
        let m1 = conn.read_frame().await.map_err(|ending| ending.instead_of("M1"))?;
        let direct = rdv_token.unwrap_or_default();
        let mut received = Received::read(conn, self.ends()?, m1, Vec::new(), Some(direct))?;
        let act = self.shared.plan().act;
        if act == Act::WrongConfirmation {
            received.send_m2(|m2| m2.forge.tag_r = Some(Box::new(|tag| tag[0] ^= 1))).await?;
            return received.conn.expect_silent_close().await;
        }
        let mut session = Session::over(received.establish().await?);
        session.contents.clone_from(&lock(&self.shared.world).contents);
        self.sync(&mut session, act).await?;
        if matches!(act, Act::Honest) { session.finish().await } else { Ok(()) }
    }

    /// The client is the one device that is mapped beside this one.
    fn ends(&self) -> Result<Ends, Stop> {
        let own = crate::oracle::crypto::hex(&PeerFixture::DEVICE_X);
        let client = lock(&self.shared.world).mapped.iter().find(|id| **id != own).cloned();
        let client = client.ok_or_else(|| Stop::Fail("a device calls that has no folder".to_owned()))?;
        let key = self.shared.key_of(&client);
        let id = from_hex(&client).and_then(|id| <[u8; 16]>::try_from(id).ok());
        let (Some(initiator_key), Some(initiator)) = (key, id) else {
            return Err(Stop::KitError(format!("the double does not know the device {client}")));
        };
        Ok(Ends {
            initiator,
            initiator_key,
            responder: PeerFixture::DEVICE_X,
            responder_key: KEY_X.private.clone(),
        })
    }

    /// Gives and takes, until both have said BYE or the act is over.
    async fn sync(&self, session: &mut Session, act: Act) -> Verdict {
        session.send("HELLO", &message::hello(&[FOLDER])).await?;
        match session.read().await? {
            Message::Hello(folders) if folders.contains(&FOLDER) => {}
            Message::Hello(_) => return Err(Stop::Fail("the client does not want the folder".to_owned())),
            other => return Err(Stop::Fail(format!("the client began with {other:?} instead of HELLO"))),
        }
        let cards = [PeerFixture::DEVICE_X, PeerFixture::DEVICE_Z].map(|device| card(FOLDER, device));
        session.send("WRITERS", &message::writers(FOLDER, &cards)).await?;
        session.send("STATE", &message::state(&State::different(FOLDER))).await?;
        let mut entries = lock(&self.shared.world).entries.clone();
        entries.sort_by_key(|entry| entry.id);
        let index = message::index(FOLDER, true, &entries);
        if act == Act::Altered {
            let mut record = session.channel.sending.seal(DATA, &index, 0);
            let name = index.windows(WELCOME.len()).position(|window| window == WELCOME.as_bytes());
            record[3 + name.unwrap_or_default()] ^= 1; // a stream cipher keeps its place
            session.channel.conn.send("an INDEX that was altered", &record).await?;
        } else {
            session.send("INDEX", &index).await?;
        }
        if matches!(act, Act::Altered | Act::Refused) {
            return session.expect_close().await;
        }
        let (mut asked, mut indexed, mut said, mut bye) = (Vec::new(), false, false, false);
        while !(said && bye) {
            match session.read().await? {
                Message::Index(_, last, entries) => {
                    indexed = last;
                    for entry in &entries {
                        asked.extend(ask(session, entry).await?);
                    }
                    self.shared.seen().index.extend(entries);
                }
                Message::Request(request) => {
                    if !give(session, request, act).await? {
                        return Ok(());
                    }
                }
                // Not here: so the client has to ask for all of it.
                Message::ManifestRequest(number, ..) => {
                    session.send("MANIFEST", &message::manifest(number, 1, &[])).await?;
                }
                Message::Block(number, status, bytes) => {
                    let Some(place) = asked.iter().position(|(asked, _)| *asked == number) else {
                        return Err(Stop::Fail(format!("the client answers request {number}")));
                    };
                    let (_, hash) = asked.remove(place);
                    if status != 0 || *blake3::hash(&bytes).as_bytes() != hash {
                        return Err(Stop::Fail("the client does not give what is in its index".to_owned()));
                    }
                    self.shared.seen().contents.insert(hash, bytes);
                }
                Message::Done(_) | Message::State(_) | Message::Writers(..) | Message::Forks(..) => {}
                Message::Bye => bye = true,
                other => return Err(Stop::Fail(format!("the client sent {other:?} out of turn"))),
            }
            if indexed && asked.is_empty() && !said {
                session.send("DONE and BYE", &[message::done(FOLDER), message::bye()].concat()).await?;
                said = true;
            }
        }
        Ok(())
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        self.shared.open.send_modify(|open| *open -= 1);
    }
}

/// Asks for the content of a file that fits into a block. Gives back the number of the request.
async fn ask(session: &mut Session, entry: &message::Entry) -> Result<Option<(u32, [u8; 32])>, Stop> {
    let file = entry
        .main()
        .filter(|content| entry.is_living() && content.kind == 1 && (1..=BLOCK).contains(&content.size));
    let Some(content) = file.filter(|content| !session.contents.contains_key(&content.hash)) else {
        return Ok(None);
    };
    let number = u32::from_be_bytes([content.hash[0], content.hash[1], content.hash[2], content.hash[3]]);
    let length = u32::try_from(content.size).unwrap_or(u32::MAX);
    session.send("REQUEST", &message::request(number, FOLDER, content.hash, 0, length)).await?;
    Ok(Some((number, content.hash)))
}

/// Answers a REQUEST. `false`: the connection is to end.
async fn give(session: &mut Session, request: Request, act: Act) -> Result<bool, Stop> {
    let begins = request.offset == 0;
    if !matches!((act, begins), (Act::WrongBytes, _) | (Act::Cut, false)) {
        session.serve(request).await?;
        return Ok(true);
    }
    let content = session.contents.get(&request.hash).cloned().unwrap_or_default();
    let from = usize::try_from(request.offset).unwrap_or(usize::MAX).min(content.len());
    let to = from.saturating_add(request.length as usize).min(content.len());
    if act == Act::WrongBytes {
        let wrong: Vec<u8> = content[from..to].iter().map(|byte| byte ^ 0x55).collect();
        session.send("BLOCK", &message::block(request.number, 0, &wrong)).await?;
        return Ok(true);
    }
    let block = message::block(request.number, 0, &content[from..to]);
    session.send("half a BLOCK", &block[..block.len() / 2]).await?;
    session.channel.conn.finish().await?;
    // It has to see that this was not the end.
    session.channel.conn.ending().await;
    Ok(false)
}
