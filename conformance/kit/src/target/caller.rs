//! A device that opens connections: the kit listens, asks the shim to have the device dial it, and plays the responder.

use std::net::SocketAddr;
use std::sync::PoisonError;

use anyhow::Context as _;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::channel::Channel;
use super::fixture::PeerFixture;
use super::peer::{Keys, PeerConn, now};
use super::shim::{Answer, Outcome};
use crate::catalog::Catalog;
use crate::check::{Context, Stop, Verdict};
use crate::oracle::crypto::{RsaPrivateKey, RsaPublicKey, base64, from_hex, hex, oaep_decrypt, spki};
use crate::oracle::handshake::read::read_m3;
use crate::oracle::handshake::{
    Answer as Heard, Ephemeral, HYBRID, LABEL_R, M2, M2Fields, Names, Responder, SUITE, X25519, frame, kind,
};
use crate::oracle::ticket::{Issuer, TicketFields};
use crate::vectors::fixtures::{ISSUER_A, KEY_X, KEY_Y, issuers};

/// A shim runs one connection at a time, so one that hangs keeps its own check waiting and no other.
pub const TURN: &str = "the shim that connects";

/// What the device is told about the connection that it is to open. [`PeerFixture`] says who the two are.
pub struct Dial {
    /// The suites that the device may use, strongest first.
    pub suites: Vec<u16>,
    /// Its pair ticket.
    pub ticket: TicketFields,
    /// What it is to send, one data record each, as soon as the channel is open.
    pub send: Vec<Vec<u8>>,
    /// The token of a rendezvous.
    pub rdv_token: [u8; 16],
    /// The identifier of the device that it expects.
    pub responder: [u8; 16],
    /// Whether it is to begin as if it had never met this device.
    pub forget: bool,
}

impl Dial {
    /// A direct connection with an honest ticket in the baseline suite, on which nothing is said.
    pub fn new(context: &Context) -> Self {
        Self {
            suites: vec![SUITE],
            ticket: PeerFixture::get().pair_ticket(context.random(), now()),
            send: Vec::new(),
            rdv_token: [0; 16],
            responder: PeerFixture::DEVICE_Y,
            forget: true,
        }
    }

    /// The same to a device that no other check talks to, though it has the same key.
    pub fn to_another(context: &Context) -> Self {
        let mut dial = Self { responder: PeerFixture::DEVICE_Z, ..Self::new(context) };
        rename(&mut dial.ticket, PeerFixture::DEVICE_Y, PeerFixture::DEVICE_Z);
        dial
    }

    /// The request of `conformance/shims/README.md`.
    fn request(&self, address: SocketAddr) -> Value {
        json!({
            "op": "connect",
            "address": address.to_string(),
            "initiator_key": KEY_X.pkcs8_text(),
            "initiator": hex(&PeerFixture::DEVICE_X),
            "responder": hex(&self.responder),
            "responder_spki": KEY_Y.spki_text(),
            "issuers": issuers(&[(PeerFixture::ISSUER, &[&ISSUER_A])]),
            "ticket": base64(self.ticket.issue(&ISSUER_A.private).as_bytes()),
            "suites": self.suites,
            "rdv_token": hex(&self.rdv_token),
            "forget": self.forget,
            "send": self.send.iter().map(|content| hex(content)).collect::<Vec<_>>(),
        })
    }
}

/// A call of the device under test, from before it comes in.
pub struct Call {
    context: Context,
    listener: TcpListener,
    responder: [u8; 16],
    answer: JoinHandle<anyhow::Result<Answer>>,
}

/// A call that came in, with its M1 read.
pub struct Received {
    /// The connection.
    pub conn: PeerConn,
    /// Who is at its ends.
    pub ends: Ends,
    /// The frame.
    pub m1: Vec<u8>,
    /// What the oracle makes of it.
    pub ck1: [u8; 32],
    /// The suite that the oracle chose.
    pub suite: u16,
    /// The clear fields.
    pub clear: Clear,
}

/// Who is at the ends of a connection that the kit accepts.
#[derive(Clone)]
pub struct Ends {
    /// The identifier of the device that calls.
    pub initiator: [u8; 16],
    /// Its key.
    pub initiator_key: RsaPublicKey,
    /// The identifier of the kit's device.
    pub responder: [u8; 16],
    /// Its key.
    pub responder_key: RsaPrivateKey,
}

impl Ends {
    /// The devices of the fixture, the one that is called under any name.
    fn of_fixture(responder: [u8; 16]) -> Self {
        let fixture = PeerFixture::get();
        Self {
            initiator: PeerFixture::DEVICE_X,
            initiator_key: fixture.key_x.to_public_key(),
            responder,
            responder_key: fixture.key_y.clone(),
        }
    }
}

/// What stands in the clear in M1, and what `ct_R` held.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Clear {
    /// The suites offered.
    pub suites: Vec<u16>,
    /// Random.
    pub nonce: Vec<u8>,
    /// Zeros on a direct connection.
    pub rdv_token: Vec<u8>,
    /// Empty, or what RETRY brought.
    pub cookie: Vec<u8>,
    /// As the offer says.
    pub share: Vec<u8>,
    /// The ciphertext.
    pub ct_r: Vec<u8>,
    /// What it decrypts to.
    pub k_r: Vec<u8>,
}

impl Call {
    /// Listens, and has the device told to dial.
    pub async fn start(context: &Context, dial: &Dial) -> Result<Self, Stop> {
        let Some(shim) = context.targets().caller.clone() else {
            return Err(Stop::NotApplicable("no shim was given that can connect".to_owned()));
        };
        if let Some(claimed) = &context.targets().caller_suites
            && let Some(suite) = dial.suites.iter().find(|suite| !claimed.contains(suite))
        {
            return Err(Stop::NotApplicable(format!("the device does not claim suite 0x{suite:04x}")));
        }
        let listener = TcpListener::bind("127.0.0.1:0").await.context("no port to listen on")?;
        let request = dial.request(listener.local_addr().context("no address to listen on")?);
        context.note("request", serde_json::to_string_pretty(&request)?);
        let answer = tokio::task::spawn_blocking(move || {
            shim.lock().unwrap_or_else(PoisonError::into_inner).call(&request)
        });
        Ok(Self { context: context.clone(), listener, responder: dial.responder, answer })
    }

    /// The connection of the device.
    pub async fn accept(&mut self) -> Result<PeerConn, Stop> {
        // An answer before the call says why there is none.
        tokio::select! {
            accepted = timeout(self.context.targets().patience.0, self.listener.accept()) => {
                let (stream, _) = accepted.context("the device does not connect")?.context("cannot accept")?;
                Ok(PeerConn::accepted(&self.context, stream)?)
            }
            answer = &mut self.answer => {
                let answer = answered(&self.context, answer)?;
                Err(Stop::Fail(format!("the device did not connect: {}", words(&answer))))
            }
        }
    }

    /// The connection and its M1, which has to be good.
    pub async fn receive(&mut self) -> Result<Received, Stop> {
        let mut conn = self.accept().await?;
        let m1 = conn.read_frame().await.map_err(|ending| ending.instead_of("M1"))?;
        Received::read(conn, Ends::of_fixture(self.responder), m1, Vec::new(), None)
    }

    /// Whether the device has connected, or tried again, by now.
    pub async fn has_another(&mut self) -> bool {
        // What was dialled before the answer came is in the backlog, so one poll is enough.
        tokio::select! {
            biased;
            accepted = self.listener.accept() => accepted.is_ok(),
            () = std::future::ready(()) => false,
        }
    }

    /// What the shim says came of it, once the connection has ended.
    pub async fn outcome(&mut self) -> Result<Answer, Stop> {
        let answer = timeout(self.context.targets().patience.0 * 2, &mut self.answer).await;
        answered(&self.context, answer.context("the shim does not say what came of the connection")?)
    }

    /// Demands that the device fails before it connects to anybody.
    pub async fn demand_no_call(&mut self) -> Verdict {
        let answer = tokio::select! {
            accepted = self.listener.accept() => {
                accepted.context("cannot accept")?;
                return Err(Stop::Fail("the device connects".to_owned()));
            }
            answer = timeout(self.context.targets().patience.0, &mut self.answer) => {
                answered(&self.context, answer.context("the shim neither connects nor answers")?)?
            }
        };
        match answer.outcome {
            Outcome::Reject if !self.has_another().await => Ok(()),
            _ => Err(Stop::Fail(format!("the device did not fail: {}", words(&answer)))),
        }
    }

    /// Demands that the device took what it was sent, and what it got out of it.
    pub async fn demand_accepted(&mut self) -> Result<Value, Stop> {
        let answer = self.outcome().await?;
        if answer.outcome == Outcome::Accept {
            return Ok(answer.output);
        }
        Err(Stop::Fail(format!("the device failed where nothing is wrong: {}", words(&answer))))
    }

    /// Demands that the device failed, and for this requirement if it says for which.
    pub async fn demand_rejected(&mut self, requirement: &str) -> Verdict {
        let Ok(answer) = timeout(self.context.targets().patience.0, &mut self.answer).await else {
            return Err(Stop::Fail("the device goes on as if nothing were wrong".to_owned()));
        };
        let answer = answered(&self.context, answer)?;
        let error = Catalog::embedded().get(requirement).and_then(|entry| entry.error.clone());
        let right = match (&answer.reason, &error) {
            (Some(reason), Some(error)) => reason == error,
            _ => true,
        };
        match answer.outcome {
            Outcome::Reject if right => Ok(()),
            Outcome::Reject => Err(Stop::Fail(format!(
                "the device failed for another reason than {requirement}: {}",
                words(&answer)
            ))),
            _ => Err(Stop::Fail(format!("the device did not fail: {}", words(&answer)))),
        }
    }
}

impl Received {
    /// Has the oracle read an M1, at a responder that gave out these cookies, behind a relay if there is a token.
    pub(crate) fn read(
        conn: PeerConn,
        ends: Ends,
        m1: Vec<u8>,
        cookies: Vec<Vec<u8>>,
        rdv_token: Option<[u8; 16]>,
    ) -> Result<Self, Stop> {
        let oracle = Responder {
            key: ends.responder_key.clone(),
            device: hex(&ends.responder),
            issuers: vec![Issuer {
                name: PeerFixture::ISSUER.to_owned(),
                keys: vec![PeerFixture::get().issuer.to_public_key()],
            }],
            now: now(),
            suites: vec![HYBRID, X25519, SUITE],
            rdv_token: rdv_token.map(|token| token.to_vec()),
            cookies,
        };
        let (suite, ck1) = match oracle.read_m1(&m1) {
            Ok(Heard::M2 { suite, ck1, .. }) => (suite, ck1),
            Ok(_) => return Err(Stop::KitError("the oracle neither answers nor refuses".to_owned())),
            Err(failure) => {
                let (rule, why) = (failure.rejection.requirement, failure.rejection.reason);
                return Err(Stop::Fail(format!("the M1 of the device is wrong by {rule}: {why}")));
            }
        };
        let ended = || Stop::Fail("the M1 of the device ends too early".to_owned());
        let clear = Clear::of(&m1, &ends.responder_key).ok_or_else(ended)?;
        Ok(Self { conn, ends, m1, ck1, suite, clear })
    }

    /// Answers with RETRY and reads the M1 that comes then.
    pub async fn retry(mut self, cookie: [u8; 40]) -> Result<Self, Stop> {
        self.conn.send("RETRY", &frame(kind::RETRY, &cookie)).await?;
        let m1 = self.conn.read_frame().await.map_err(|ending| ending.instead_of("another M1"))?;
        Self::read(self.conn, self.ends, m1, vec![cookie.to_vec()], None)
    }

    /// The fields of an honest M2 in a suite.
    pub fn m2_fields(&self, suite: u16) -> Result<M2Fields, Stop> {
        let context = self.conn.context();
        let ephemeral = Ephemeral { x25519: context.random(), kem: context.random::<32>().to_vec() };
        let answer = ephemeral.answer(suite, &self.clear.share);
        let (share, ss_e) =
            answer.map_err(|why| Stop::Fail(format!("the share of the device is wrong: {why}")))?;
        let ends = &self.ends;
        let mut fields =
            M2Fields::new(&ends.initiator_key, context.random(), context.random(), &context.random());
        fields.names = Names {
            initiator: ends.initiator.to_vec(),
            responder: ends.responder.to_vec(),
            spki_i: spki(&ends.initiator_key),
            spki_r: spki(&ends.responder_key.to_public_key()),
        };
        Ok(M2Fields { suite, share, ss_e, ..fields })
    }

    /// Sends an M2 that a function may change first.
    pub async fn send_m2(&mut self, change: impl FnOnce(&mut M2Fields)) -> Result<M2, Stop> {
        let m2 = {
            // The fields cannot go to another thread, so they end before the await.
            let mut fields = self.m2_fields(self.suite)?;
            change(&mut fields);
            fields.build(&self.ck1, &self.m1)
        };
        self.conn.send("M2", &m2.frame).await?;
        Ok(m2)
    }

    /// Sends an honest M2 and reads M3: the channel, in which the kit is the responder.
    pub async fn establish(mut self) -> Result<Channel, Stop> {
        let m2 = self.send_m2(|_| {}).await?;
        let m3 = self.conn.read_frame().await.map_err(|ending| ending.instead_of("M3"))?;
        let read = read_m3(&m3, &m2.confirmation.ck3, &m2.confirmation.th2);
        let (traffic_i, traffic_r) =
            read.map_err(|why| Stop::Fail(format!("the M3 of the device is wrong: {why}")))?;
        // Roles swapped: what the kit sends is the responder's.
        let keys = Keys {
            m1: self.m1.clone(),
            suite: self.suite,
            k_i: Vec::new(),
            m2: m2.frame,
            m3,
            traffic_i: traffic_r,
            traffic_r: traffic_i,
        };
        Ok(Channel::over(self.conn, &keys))
    }
}

impl Clear {
    /// From an M1 that the oracle read without complaint.
    fn of(m1: &[u8], responder: &RsaPrivateKey) -> Option<Self> {
        let mut rest = m1.get(6..)?;
        let mut take = |count: usize| {
            let (taken, after) = rest.split_at_checked(count)?;
            rest = after;
            Some(taken.to_vec())
        };
        let count = usize::from(take(1)?[0]);
        let suites = take(2 * count)?.chunks(2).map(|two| u16::from_be_bytes([two[0], two[1]])).collect();
        let (nonce, rdv_token) = (take(32)?, take(16)?);
        let length = usize::from(take(1)?[0]);
        let cookie = take(length)?;
        let mut list = || {
            let length = take(2)?;
            take(usize::from(u16::from_be_bytes([length[0], length[1]])))
        };
        let (share, ct_r) = (list()?, list()?);
        let k_r = oaep_decrypt(responder, LABEL_R, &ct_r)?;
        Some(Self { suites, nonce, rdv_token, cookie, share, ct_r, k_r })
    }
}

/// Puts one device in the place of another, wherever a ticket names it.
pub fn rename(ticket: &mut TicketFields, from: [u8; 16], to: [u8; 16]) {
    let (from, to) = (hex(&from), hex(&to));
    ticket.subject = ticket.subject.replace(&from, &to);
    ticket.audience = ticket.audience.replace(&from, &to);
    for (_, values) in &mut ticket.attributes {
        values.iter_mut().for_each(|value| *value = value.replace(&from, &to));
    }
}

/// The contents that a shim reports, joined.
pub fn contents(output: &Value) -> Option<Vec<u8>> {
    let contents = output["contents"].as_array()?;
    let bytes: Option<Vec<Vec<u8>>> = contents.iter().map(|content| from_hex(content.as_str()?)).collect();
    Some(bytes?.concat())
}

fn answered(
    context: &Context,
    answer: Result<anyhow::Result<Answer>, tokio::task::JoinError>,
) -> Result<Answer, Stop> {
    let answer = answer.map_err(|error| Stop::KitError(format!("calling the shim panicked: {error}")))??;
    context.note("answer", serde_json::to_string_pretty(&answer)?);
    match answer.outcome {
        // Whoever is asked has claimed it.
        Outcome::Unsupported => Err(Stop::Fail(
            "the shim claims connect in its hello, with these suites, and says unsupported".to_owned(),
        )),
        Outcome::Error => Err(Stop::Blocked(format!("the shim failed: {}", words(&answer)))),
        _ => Ok(answer),
    }
}

fn words(answer: &Answer) -> String {
    let said = [&answer.requirement, &answer.reason, &answer.detail];
    let said: Vec<&str> = said.into_iter().flatten().map(String::as_str).collect();
    match (answer.outcome, said.is_empty()) {
        (Outcome::Accept, _) => "it accepts".to_owned(),
        (_, true) => "no reason given".to_owned(),
        (_, false) => said.join(", "),
    }
}
