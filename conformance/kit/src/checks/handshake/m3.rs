//! handshake.md sections 4.3 to 4.5: the answer to a good M1, and what follows it.

use std::time::Duration;

use super::{HONEST, check, m1};
use crate::check::{Check, Context, Stop, Verdict};
use crate::oracle::handshake::{SUITE, frame, kind};
use crate::oracle::record::{DATA, Direction};
use crate::target::channel::{Channel, Record};
use crate::target::peer::{Keys, PeerConn, initiator, m1_fields};

/// A whole honest handshake, up to the first record of the responder.
const ESTABLISHED: &str = "hs.m3.honest";

pub(super) fn checks() -> Vec<Check> {
    let wrong = |id: &str, reqs: &[&str], title: &str, change: fn(&Keys) -> Vec<u8>| {
        check(id, reqs, title, move |context| wrong_m3(context, change)).twin(ESTABLISHED)
    };
    vec![
        check(ESTABLISHED, &[], "an honest handshake ends in records of both sides", honest).twin(HONEST),
        check(
            "hs.m3.silence-before",
            &["HSK-041"],
            "the responder sends nothing between M2 and M3",
            silence_before_m3,
        )
        .twin(ESTABLISHED),
        wrong(
            "hs.m3.tag-first-bit",
            &["HSK-040", "HSK-041", "HSK-006"],
            "M3 with its first bit flipped",
            |keys| edited(keys, |m3| m3[4] ^= 0x80),
        ),
        wrong("hs.m3.tag-last-bit", &["HSK-040", "HSK-041"], "M3 with its last bit flipped", |keys| {
            edited(keys, |m3| m3[35] ^= 1)
        }),
        wrong("hs.m3.tag-zeros", &["HSK-040"], "M3 of zeros", |_| frame(kind::M3, &[0; 32])),
        wrong("hs.m3.tag-reflected", &["HSK-040"], "M3 that reflects tag_R", |keys| {
            frame(kind::M3, &keys.m2[keys.m2.len() - 32..])
        }),
        wrong("hs.m3.short", &["HSK-003"], "M3 of 31 bytes", |keys| frame(kind::M3, &keys.m3[4..35])),
        wrong("hs.m3.empty", &["HSK-003"], "M3 of no bytes", |_| frame(kind::M3, &[])),
        wrong("hs.m3.too-large", &["HSK-002"], "the header of an M3 of 33 bytes", |_| {
            vec![kind::M3, 0, 0, 33]
        }),
        wrong("hs.m3.type-m1", &["HSK-001"], "the right tag in a frame of type M1", |keys| {
            frame(kind::M1, &keys.m3[4..])
        }),
        wrong("hs.m3.type-m2", &["HSK-001"], "the right tag in a frame of type M2", |keys| {
            frame(kind::M2, &keys.m3[4..])
        }),
        wrong("hs.m3.reflected-m2", &["HSK-001"], "M2 sent back instead of M3", |keys| keys.m2.clone()),
        wrong("hs.m3.record-instead", &["HSK-001", "HSK-041"], "a good record instead of M3", |keys| {
            Direction::new(&keys.traffic_i).seal(DATA, b"", 0)
        }),
        wrong("hs.m3.other-session", &["HSK-040"], "M3 of a session that never was", |keys| {
            let tag = crate::oracle::crypto::hmac(&keys.traffic_i, &[&keys.m2]);
            frame(kind::M3, &tag)
        }),
        check(
            "hs.m3.from-earlier-session",
            &["HSK-040"],
            "M3 of an earlier session of the same devices, after an M1 with the same secrets",
            replayed_m3,
        )
        .twin(ESTABLISHED),
        check("hs.m3.with-record", &[], "M3 and the first record in one segment", |context| async move {
            m3_and_record(context, true).await
        })
        .twin(ESTABLISHED),
        check("hs.m3.bytewise", &[], "M3 and the first record byte by byte", |context| async move {
            m3_and_record(context, false).await
        })
        .twin(ESTABLISHED),
    ]
    .into_iter()
    .chain([0, 1, 4, 5, 35].map(truncated_m3))
    .collect()
}

async fn honest(context: Context) -> Verdict {
    let mut channel = Channel::open(&context).await?;
    first_record(&mut channel).await
}

/// An established responder begins with its HELLO (sync.md section 3.1).
pub(super) async fn first_record(channel: &mut Channel) -> Verdict {
    match channel.read().await {
        Ok(Record::Data(_)) => Ok(()),
        Ok(Record::CloseNotify) => Err(Stop::Fail("the device closed the channel at once".to_owned())),
        Err(broken) => Err(broken.instead_of("a record")),
    }
}

async fn until_m2(context: &Context) -> Result<(PeerConn, Keys), Stop> {
    let initiator = m1(context, |_| {}, |_| {});
    let mut conn = PeerConn::dial(context).await?;
    let keys = conn.expect_m2(&initiator).await?;
    Ok((conn, keys))
}

fn edited(keys: &Keys, edit: impl Fn(&mut Vec<u8>)) -> Vec<u8> {
    let mut m3 = keys.m3.clone();
    edit(&mut m3);
    m3
}

async fn wrong_m3(context: Context, change: fn(&Keys) -> Vec<u8>) -> Verdict {
    let (mut conn, keys) = until_m2(&context).await?;
    conn.send("instead of M3", &change(&keys)).await?;
    conn.expect_silent_close().await
}

async fn silence_before_m3(context: Context) -> Verdict {
    let (mut conn, keys) = until_m2(&context).await?;
    // An eager responder sends its HELLO right behind M2; this is hundreds of times what that takes.
    conn.expect_nothing(Duration::from_millis(300)).await?;
    conn.send("M3", &keys.m3).await?;
    first_record(&mut Channel::over(conn, &keys)).await
}

async fn replayed_m3(context: Context) -> Verdict {
    let [first, second] = {
        let mut fields = m1_fields(&context, |_| {});
        // Another offer makes it another M1 (HSK-051).
        [vec![SUITE], vec![SUITE, 0x7f01]].map(|suites| {
            fields.suites = suites;
            initiator(&fields.k_r, &fields.build())
        })
    };
    let mut earlier = PeerConn::dial(&context).await?;
    let old = earlier.expect_m2(&first).await?;
    let mut conn = PeerConn::dial(&context).await?;
    conn.expect_m2(&second).await?;
    conn.send("M3 of the earlier session", &old.m3).await?;
    conn.expect_silent_close().await
}

async fn m3_and_record(context: Context, together: bool) -> Verdict {
    let (conn, keys) = until_m2(&context).await?;
    let mut channel = Channel::over(conn, &keys);
    let empty = channel.sending.seal(DATA, b"", 0);
    let bytes = [&keys.m3[..], &empty].concat();
    if together {
        channel.conn.send("M3 and a record", &bytes).await?;
    } else {
        for byte in bytes {
            channel.conn.send_quietly(&[byte]).await?;
        }
    }
    first_record(&mut channel).await
}

/// TCP ends in the middle of M3.
fn truncated_m3(length: usize) -> Check {
    let id = format!("hs.m3.cut-{length}");
    let title = format!("TCP ends after {length} bytes of M3");
    check(&id, &["HSK-006", "HSK-041"], &title, move |context| async move {
        let (mut conn, keys) = until_m2(&context).await?;
        conn.send("a piece of M3", &keys.m3[..length]).await?;
        conn.finish().await?;
        conn.expect_silent_close().await
    })
    .twin(ESTABLISHED)
}
