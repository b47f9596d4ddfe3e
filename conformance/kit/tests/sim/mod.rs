//! A device made of the oracle, with faults that can be switched on: what the peer checks are tested against.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use meshproof_kit::checks::sync::message;
use meshproof_kit::oracle::crypto::{from_hex, hex, spki};
use meshproof_kit::oracle::handshake::read::{may_be_asked, read_m3};
use meshproof_kit::oracle::handshake::{
    Answer, LARGEST, M2Fields, Names, Responder, SUITE, frame as oracle_frame, kind,
};
use meshproof_kit::oracle::record::{self, CLOSE_NOTIFY, DATA, Direction};
use meshproof_kit::oracle::ticket::Issuer;
use meshproof_kit::target::fixture::PeerFixture;
use meshproof_kit::target::peer::now;
use meshproof_kit::vectors::fixtures::KEY_Z;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// What is wrong with a simulated device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Nothing.
    None,
    /// It closes every connection at once.
    RefusesAll,
    /// It answers a failed M1 with a byte.
    Talks,
    /// It says HELLO before M3.
    Eager,
    /// It takes the end of TCP for `close_notify`.
    TakesFinForClose,
    /// It waits for bodies of any length.
    Patient,
    /// It lets every M3 in.
    TakesAnyM3,
    /// It says HELLO, and nothing more, and keeps the connection.
    Hangs,
    /// No fault: it asks everybody for a cookie, as one under load does.
    UnderLoad,
    /// It asks for a cookie again and again.
    AsksForEver,
}

/// What a device under load gives out. It has one source only, and a short life.
const COOKIE: [u8; 40] = [0xc0; 40];

/// Starts a device and gives back its address. It lives as long as the runtime.
pub(crate) async fn start(fault: Fault) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move {
        let answered: Arc<Mutex<BTreeSet<Vec<u8>>>> = Arc::default();
        while let Ok((stream, _)) = listener.accept().await {
            let answered = answered.clone();
            tokio::spawn(async move {
                // Nothing comes back when the connection ended, which is how every session ends.
                let _ = serve(stream, fault, &answered).await;
            });
        }
    });
    address
}

async fn serve(mut stream: TcpStream, fault: Fault, answered: &Mutex<BTreeSet<Vec<u8>>>) -> Option<()> {
    if fault == Fault::RefusesAll {
        return None;
    }
    let fixture = PeerFixture::get();
    let mut m1 = frame(&mut stream, kind::M1, LARGEST, fault).await?;
    let mut responder = Responder {
        key: fixture.key_y.clone(),
        device: hex(&PeerFixture::DEVICE_Y),
        issuers: vec![Issuer {
            name: PeerFixture::ISSUER.to_owned(),
            keys: vec![fixture.issuer.to_public_key()],
        }],
        now: now(),
        suites: vec![SUITE],
        rdv_token: None,
        cookies: Vec::new(),
    };
    while fault == Fault::AsksForEver || fault == Fault::UnderLoad && may_be_asked(&m1, &fixture.spki_y()) {
        responder.cookies = vec![COOKIE.to_vec()];
        stream.write_all(&oracle_frame(kind::RETRY, &COOKIE)).await.ok()?;
        m1 = frame(&mut stream, kind::M1, LARGEST, fault).await?;
    }
    let (ck1, pair) = match responder.read_m1(&m1) {
        Ok(Answer::M2 { ck1, pair, .. }) => (ck1, pair),
        Err(failure) => {
            match failure.answer {
                Answer::Refuse { frame, .. } => stream.write_all(&frame).await.ok()?,
                Answer::NoCommonSuite => stream.write_all(&[kind::NO_COMMON_SUITE, 0, 0, 0]).await.ok()?,
                _ if fault == Fault::Talks => stream.write_all(b"!").await.ok()?,
                _ => {}
            }
            return None;
        }
        Ok(_) => return None,
    };
    // HSK-051
    if !answered.lock().ok()?.insert(m1.clone()) {
        return None;
    }
    let key_i = if pair.initiator == hex(&PeerFixture::DEVICE_X) { &fixture.key_x } else { &KEY_Z.private };
    let key_i = key_i.to_public_key();
    // Random enough for a simulation: every connection has a port of its own, and M1 differs.
    let port = stream.peer_addr().ok()?.port().to_be_bytes();
    let random = |label: &[u8]| meshproof_kit::oracle::crypto::h(&[label, &port, &m1]);
    let m2 = {
        let mut fields = M2Fields::new(&key_i, random(b"nonce"), random(b"k"), &random(b"seed"));
        fields.names = Names {
            initiator: from_hex(&pair.initiator)?,
            responder: PeerFixture::DEVICE_Y.to_vec(),
            spki_i: spki(&key_i),
            spki_r: fixture.spki_y(),
        };
        fields.build(&ck1, &m1)
    };
    stream.write_all(&m2.frame).await.ok()?;
    let (traffic_i, traffic_r) = m2.traffic();
    let mut sending = Direction::new(&traffic_r);
    let hello = sending.seal(DATA, &message::hello(&[PeerFixture::FOLDER]), 0);
    if fault == Fault::Eager {
        stream.write_all(&hello).await.ok()?;
    }
    let m3 = frame(&mut stream, kind::M3, 32, fault).await?;
    if fault != Fault::TakesAnyM3 {
        read_m3(&m3, &m2.confirmation.ck3, &m2.confirmation.th2).ok()?;
    }
    if fault != Fault::Eager {
        stream.write_all(&hello).await.ok()?;
    }
    let renews = |ticket: &[u8]| responder.renews(ticket, &pair, &spki(&key_i));
    channel(stream, &traffic_i, sending, fault, renews).await
}

/// HSK-001, HSK-002 and the bytes of a frame.
async fn frame(stream: &mut TcpStream, kind: u8, largest: usize, fault: Fault) -> Option<Vec<u8>> {
    let mut frame = vec![0; 4];
    stream.read_exact(&mut frame).await.ok()?;
    let length = usize::from(frame[1]) << 16 | usize::from(frame[2]) << 8 | usize::from(frame[3]);
    if frame[0] != kind || (length > largest && fault != Fault::Patient) {
        return None;
    }
    frame.resize(4 + length, 0);
    stream.read_exact(&mut frame[4..]).await.ok()?;
    Some(frame)
}

/// Records, with a folder that is empty and stays so.
async fn channel(
    mut stream: TcpStream,
    traffic: &[u8],
    mut sending: Direction,
    fault: Fault,
    renews: impl Fn(&[u8]) -> bool,
) -> Option<()> {
    let mut received = Vec::new();
    let mut answered = 0;
    loop {
        let fin = stream.read_buf(&mut received).await.ok()? == 0;
        let opened = match record::open(traffic, &received, fin) {
            Ok(opened) => opened,
            Err(_) if fault == Fault::TakesFinForClose && fin => {
                stream.write_all(&sending.seal(CLOSE_NOTIFY, &[], 0)).await.ok()?;
                return None;
            }
            Err(_) => return None,
        };
        let content = opened.contents.concat();
        while let Some((kind, length)) = header(&content[answered..]) {
            if content.len() < answered + 5 + length {
                break;
            }
            answered += 5 + length;
            let answer = match kind {
                _ if fault == Fault::Hangs => continue,
                message::kind::HELLO => message::index(PeerFixture::FOLDER, true, &[]),
                message::kind::INDEX => [message::done(PeerFixture::FOLDER), message::bye()].concat(),
                _ => continue,
            };
            stream.write_all(&sending.seal(DATA, &answer, 0)).await.ok()?;
        }
        if opened.closed || !opened.tickets.iter().all(|ticket| renews(ticket)) {
            stream.write_all(&sending.seal(CLOSE_NOTIFY, &[], 0)).await.ok()?;
            return None;
        }
    }
}

fn header(bytes: &[u8]) -> Option<(u8, usize)> {
    let (header, _) = bytes.split_first_chunk::<5>()?;
    Some((header[0], u32::from_be_bytes([header[1], header[2], header[3], header[4]]) as usize))
}
