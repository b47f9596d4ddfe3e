//! A device that accepts connections, set up as the fixture says.

use super::{
    Draw, Ended, What, Wrong, change_entry, change_m1, change_proofs, change_ticket, good_entries, records,
};
use crate::check::Context;
use crate::checks::sync::message::{self, State};
use crate::checks::sync::session::Session;
use crate::oracle::handshake::{HYBRID, M1Fields, Responder, SUITE, X25519, kind};
use crate::oracle::record;
use crate::oracle::sync::{self, Entry};
use crate::oracle::ticket::Issuer;
use crate::target::channel::{Broken, Channel, Record};
use crate::target::fixture::PeerFixture;
use crate::target::peer::{How, PeerConn, initiator, m1_fields, now};

/// The kit's clock and the device's are no further apart, in seconds.
const CLOCKS: u64 = 2;

/// A session with one thing changed, somewhere between M1 and the first INDEX.
pub(super) async fn session(context: &Context, draw: &mut Draw<'_>) -> Result<Ended, Wrong> {
    match draw.below(4) {
        0 => m1(context, draw).await,
        1 => m3(context, draw).await,
        2 => stream(context, draw).await,
        _ => index(context, draw).await,
    }
}

/// An honest session up to the STATE of the device.
pub(super) async fn probe(context: &Context) -> Result<(), Wrong> {
    let conn = PeerConn::dial(context).await.map_err(|stop| Wrong(What::Crash, format!("{stop:?}")))?;
    drop(conn);
    let honest = async {
        let mut session = Session::open(context).await?;
        session.state().await
    };
    honest
        .await
        .map(drop)
        .map_err(|stop| Wrong(What::Hang, format!("an honest session comes to nothing: {stop:?}")))
}

async fn m1(context: &Context, draw: &mut Draw<'_>) -> Result<Ended, Wrong> {
    let fixture = PeerFixture::get();
    let (responder, now) = (fixture.key_y.to_public_key(), now());
    let mut ticket = fixture.pair_ticket(context.random(), now);
    for _ in 0..draw.below(3) {
        change_ticket(draw, &mut ticket, now);
    }
    let mut fields = M1Fields::new(&responder, context.random(), context.random(), &context.random());
    fields.time = now;
    fields.spki_i = fixture.spki_x();
    fields.ticket = ticket.issue(&fixture.issuer).into_bytes();
    for _ in 0..draw.below(3) {
        change_m1(draw, &mut fields, &responder, now);
    }
    let frame = fields.build().frame;
    let verdict = |now: u64| {
        let issuer =
            Issuer { name: PeerFixture::ISSUER.to_owned(), keys: vec![fixture.issuer.to_public_key()] };
        let responder = Responder {
            key: fixture.key_y.clone(),
            device: crate::oracle::crypto::hex(&PeerFixture::DEVICE_Y),
            issuers: vec![issuer],
            now,
            suites: vec![SUITE, X25519, HYBRID],
            rdv_token: None,
            cookies: Vec::new(),
        };
        responder.read_m1(&frame).err().map(|failure| failure.rejection)
    };
    let whole = frame.len() >= 4
        && frame.len() - 4
            == usize::from(frame[1]) << 16 | usize::from(frame[2]) << 8 | usize::from(frame[3]);
    // What the clock may decide either way is not judged.
    let rejected = [now - CLOCKS, now, now + CLOCKS].map(verdict);
    let mut conn = PeerConn::dial(context).await?;
    let built = crate::oracle::handshake::M1 { frame: frame.clone(), ..fields.build() };
    let initiator = initiator(&fields.k_r, &built);
    conn.send("M1", &frame).await?;
    if !whole {
        conn.finish().await?;
    }
    let answer = conn.read_answer(&initiator).await?.answer;
    let [Some(_), Some(rule), Some(_)] = rejected else { return Ok(Ended::Fine) };
    match answer {
        Ok(frame) if frame[0] == kind::M2 => {
            Err(Wrong::accepted(format!("an M1 that breaks {rule} is answered with M2")))
        }
        Err(ending) if ending.how == How::Open => {
            Err(Wrong::accepted(format!("the connection stays open after an M1 that breaks {rule}")))
        }
        _ => Ok(Ended::Refused),
    }
}

async fn m3(context: &Context, draw: &mut Draw<'_>) -> Result<Ended, Wrong> {
    let fields = m1_fields(context, |_| {});
    let mut conn = PeerConn::dial(context).await?;
    let keys = conn.expect_m2(&initiator(&fields.k_r, &fields.build())).await?;
    let mut m3 = keys.m3.clone();
    draw.edit(&mut m3);
    let hello = record::Direction::new(&keys.traffic_i).seal(
        record::DATA,
        &message::hello(&[PeerFixture::FOLDER]),
        0,
    );
    let bytes = [m3, hello].concat();
    // A right M3 is right, whatever its end runs into, and where its last byte comes from.
    let right = bytes.starts_with(&keys.m3);
    conn.send("M3, and a record", &bytes).await?;
    if right {
        return Ok(Ended::Fine);
    }
    // The device has as many bytes as an M3 has, so that it decides; the first that it sends would be of its HELLO.
    match conn.read_exact(1).await {
        Ok(_) => Err(Wrong::accepted("a wrong M3 is answered (HSK-040)")),
        Err(ending) if ending.how == How::Open => {
            Err(Wrong::accepted("the connection stays open after a wrong M3 (HSK-040)"))
        }
        Err(_) => Ok(Ended::Refused),
    }
}

/// Records of any kind and HELLO behind them, or a HELLO that is changed. Who reads it after something that had to end the channel answers it.
async fn stream(context: &Context, draw: &mut Draw<'_>) -> Result<Ended, Wrong> {
    let mut channel = Channel::open(context).await?;
    let traffic = channel.sending.traffic.clone();
    let mut bytes = if draw.one_in(2) { records(draw, &mut channel.sending) } else { Vec::new() };
    let mut hello = channel.sending.seal(record::DATA, &message::hello(&[PeerFixture::FOLDER]), 0);
    if bytes.is_empty() {
        let right = hello.clone();
        draw.edit(&mut hello);
        if hello.starts_with(&right) {
            return Ok(Ended::Fine); // it is answered, whatever comes behind it
        }
    }
    bytes.extend(hello);
    let rejected = record::open(&traffic, &bytes, false).err();
    bytes.extend(channel.sending.seal(
        record::DATA,
        &message::state(&State::different(PeerFixture::FOLDER)),
        0,
    ));
    channel.conn.context().bytes("records", &bytes);
    channel.conn.send_quietly(&bytes).await?;
    let Some(rule) = rejected else { return Ok(Ended::Fine) };
    let mut messages = Vec::new();
    let end = loop {
        match channel.read().await {
            Ok(Record::Data(content)) => messages.extend(content),
            Ok(Record::CloseNotify) => {}
            Err(end) => break end,
        }
    };
    // The device says HELLO unasked, and nothing else.
    let hello = messages.get(1..5).and_then(|length| length.try_into().ok()).map_or(0, u32::from_be_bytes);
    match end {
        _ if messages.len() > hello as usize + 5 => {
            Err(Wrong::accepted(format!("a message is answered that comes behind {rule}")))
        }
        Broken::Ended(ending) if ending.how == How::Open => {
            Err(Wrong::accepted(format!("the channel stays open after {rule}")))
        }
        Broken::Ended(_) | Broken::Wrong(_) => Ok(Ended::Refused),
    }
}

/// An INDEX of entries of which one or two are changed.
async fn index(context: &Context, draw: &mut Draw<'_>) -> Result<Ended, Wrong> {
    let mut entries: Vec<Entry> = Vec::new();
    for _ in 0..=draw.below(3) {
        let mut entry = draw.pick(good_entries()).clone();
        entry.proofs = None;
        for _ in 0..draw.below(3) {
            change_entry(draw, &mut entry, &entries);
        }
        if draw.one_in(4) {
            let mut proofs = entry.proofs();
            change_proofs(draw, &mut proofs);
            entry.proofs = Some(proofs);
        }
        entries.push(entry);
    }
    if !draw.one_in(8) {
        entries.sort_by_key(|entry| entry.id);
        entries.dedup_by_key(|entry| entry.id);
    }
    let mut message = message::index(PeerFixture::FOLDER, true, &entries);
    let mut body = message.split_off(5);
    if draw.one_in(8) {
        draw.edit(&mut body);
    }
    let mut session = Session::greet(context, |_| {}).await?;
    let writers = entries.iter().flat_map(|entry| entry.version.iter().map(|(device, _)| *device));
    session.introduce(writers.collect::<Vec<_>>()).await?;
    session.send("STATE", &message::state(&State::different(PeerFixture::FOLDER))).await?;
    session.send("INDEX", &message::message(2, &body)).await?;
    match sync::index(&body) {
        Ok(_) => Ok(Ended::Fine),
        Err(rule) => {
            let ended = session.expect_close().await;
            ended.map_err(|stop| {
                Wrong::accepted(format!("an INDEX that breaks {rule} is not the end: {stop:?}"))
            })?;
            Ok(Ended::Refused)
        }
    }
}
