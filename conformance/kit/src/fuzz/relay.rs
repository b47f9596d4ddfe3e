//! A relay: what the oracle answers to a few connections, it has to answer.

use super::{Draw, Ended, What, Wrong};
use crate::check::Context;
use crate::oracle::relay::{self as oracle, Answer, JOINED, PassFields, WAITING, code_of, pong, refused};
use crate::target::peer::{PeerConn, now};
use crate::target::relay::{dial, expect, join, pass, target};

/// Connections of which some have something wrong.
pub(super) async fn session(context: &Context, draw: &mut Draw<'_>) -> Result<Ended, Wrong> {
    let relay = target(context)?;
    let mut wanted = oracle::Relay {
        key: relay.key.to_vec(),
        address: relay.name.clone(),
        now: now(),
        accepted: Vec::new(),
    };
    let base = pass(context)?;
    let (mut waiting, mut ended): (Vec<PeerConn>, _) = (Vec::new(), Ended::Fine);
    for _ in 0..=draw.below(4) {
        let mut pass = PassFields { side: draw.byte() % 2, ..base.clone() };
        match draw.below(8) {
            0 => pass.key[0] ^= 1,
            1 => pass.address.push('0'),
            2 => pass.side = draw.byte(),
            3 => pass.expires = *draw.pick(&[0, now() - 30, now() + 300]),
            4 => pass.circuit[0] ^= 1,
            _ => {}
        }
        let nonce = draw.array();
        let is_ping = draw.one_in(8);
        let mut bytes = if is_ping { oracle::ping(nonce) } else { pass.join() };
        if draw.one_in(3) {
            draw.edit(&mut bytes);
        }
        let mut conn = dial(context).await?;
        conn.send("the begin of a connection", &bytes).await?;
        match wanted.connection(&bytes) {
            Ok(Answer::Nothing) => {
                conn.finish().await?;
                conn.expect_silent_close().await?;
            }
            Ok(Answer::Pong) => {
                let said = pong(bytes[3..11].try_into().unwrap_or_default());
                expect(&mut conn, "PONG", &said, false).await?;
            }
            Ok(Answer::Waiting) => {
                expect(&mut conn, "WAITING", &WAITING, false).await?;
                waiting.push(conn);
            }
            Ok(Answer::Joined) => {
                expect(&mut conn, "JOINED", &JOINED, false).await?;
                waiting.push(conn);
            }
            Err(rule) => {
                ended = Ended::Refused;
                let told = match code_of(rule.reason) {
                    Some(code) => expect(&mut conn, "REFUSED", &refused(code), true).await,
                    None => conn.expect_silent_close().await,
                };
                told.map_err(|stop| Wrong::accepted(format!("what breaks {rule} is not refused: {stop:?}")))?;
            }
        }
    }
    Ok(ended)
}

/// Two who meet.
pub(super) async fn probe(context: &Context) -> Result<(), Wrong> {
    let conn = dial(context).await.map_err(|stop| Wrong(What::Crash, format!("{stop:?}")))?;
    drop(conn);
    let meet = async {
        let pass = pass(context)?;
        let mut caller = join(context, &pass).await?;
        expect(&mut caller, "WAITING", &WAITING, false).await?;
        let mut called = join(context, &PassFields { side: 1, ..pass }).await?;
        expect(&mut called, "JOINED", &JOINED, false).await?;
        expect(&mut caller, "JOINED", &JOINED, false).await?;
        caller.send("a word", b"mesh").await?;
        expect(&mut called, "the word", b"mesh", false).await
    };
    meet.await.map_err(|stop| Wrong(What::Hang, format!("two honest devices do not meet: {stop:?}")))
}
