//! handshake.md section 4.1: frames, and how TCP delivers them.

use std::time::Duration;

use super::{Answer, HONEST, check, expect, m1, sends_m1};
use crate::check::{Check, Context, Verdict};
use crate::oracle::handshake::kind;
use crate::target::peer::PeerConn;

pub(super) fn checks() -> Vec<Check> {
    use Answer::{M2, Silence};
    let header = |id: &str, reqs: &[&str], title: &str, header: [u8; 4]| {
        check(id, reqs, title, move |context| only_header(context, header)).twin("hs.frame.header-waits")
    };
    let mut checks = vec![
        check("hs.frame.bytewise", &[], "M1 byte by byte is answered with M2", bytewise).twin(HONEST),
        check("hs.frame.halves", &[], "M1 in two pieces is answered with M2", halves).twin(HONEST),
        check(
            "hs.frame.header-waits",
            &[],
            "after the header of the largest M1 the responder waits for its body",
            header_waits,
        )
        .twin(HONEST),
        header(
            "hs.frame.m1-too-large",
            &["HSK-002"],
            "the header of an M1 of 24,577 bytes",
            [kind::M1, 0, 0x60, 1],
        ),
        header(
            "hs.frame.m1-huge",
            &["HSK-002"],
            "the header of an M1 of 16,777,215 bytes",
            [kind::M1, 255, 255, 255],
        ),
        sends_m1("hs.frame.m1-large", &[], "an M1 of 23 blocks, filled with unknown parameters", M2, |m1| {
            let used = 8 + 2 + m1.spki_i.len() + 3 + m1.ticket.len() + 2 + 4;
            let filling = 23 * 1024 - used;
            let length = u16::try_from(filling).expect("less than 23 blocks").to_be_bytes();
            m1.params = [&[0x7f, 0x01], &length[..], &vec![0xa5; filling]].concat();
        }),
        sends_m1(
            "hs.frame.body-longer",
            &["HSK-003"],
            "M1 with a byte behind mac1, and nothing else wrong",
            Silence,
            |m1| {
                m1.forge.trailing = vec![0];
            },
        ),
        sends_m1(
            "hs.frame.body-shorter",
            &["HSK-003"],
            "M1 whose box1 is said to be longer than the body",
            Silence,
            |m1| {
                m1.forge.before_mac = Some(Box::new(|frame| {
                    frame.pop();
                }));
            },
        ),
        check("hs.frame.after-m1", &["HSK-001"], "M1 twice in one connection", m1_twice).twin(HONEST),
        check(
            "hs.frame.nothing",
            &["HSK-006"],
            "a connection that ends before its first byte",
            |context| async move {
                let mut conn = PeerConn::dial(&context).await?;
                conn.finish().await?;
                conn.expect_silent_close().await
            },
        )
        .twin(HONEST),
        check("hs.frame.http", &["HSK-001"], "an HTTP request", |context| async move {
            let mut conn = PeerConn::dial(&context).await?;
            conn.send("request", b"GET / HTTP/1.1\r\nHost: peer\r\n\r\n").await?;
            conn.expect_silent_close().await
        })
        .twin(HONEST),
    ];
    checks.extend([0, 2, 3, 4, 5, 6, 7, 255].map(|kind| {
        let id = format!("hs.frame.type-{kind}");
        let title = format!("a good M1 in a frame of type {kind}");
        check(&id, &["HSK-001"], &title, move |context| async move {
            let mut initiator = m1(&context, |_| {}, |_| {});
            initiator.m1[0] = kind;
            let mut conn = PeerConn::dial(&context).await?;
            expect(&mut conn, &initiator, Silence).await
        })
        .twin(HONEST)
    }));
    checks.extend(CUTS.map(cut_m1));
    checks
}

/// Places at which TCP ends within M1: one in and one between each of its fields, with one suite and a key of 2,048 bits.
const CUTS: [(&str, Cut); 12] = [
    ("type", Cut::After(1)),
    ("len", Cut::After(3)),
    ("header", Cut::After(4)),
    ("version", Cut::After(6)),
    ("suites", Cut::After(8)),
    ("nonce", Cut::After(20)),
    ("rdv-token", Cut::After(50)),
    ("share", Cut::After(60)),
    ("ct", Cut::After(200)),
    ("box1", Cut::After(1000)),
    ("mac1", Cut::Before(16)),
    ("last-byte", Cut::Before(1)),
];

#[derive(Clone, Copy)]
enum Cut {
    After(usize),
    Before(usize),
}

fn cut_m1((name, cut): (&str, Cut)) -> Check {
    let id = format!("hs.frame.cut-{name}");
    let title = match cut {
        Cut::After(length) => format!("TCP ends after {length} bytes of M1"),
        Cut::Before(length) => format!("TCP ends {length} bytes before the end of M1"),
    };
    check(&id, &["HSK-006"], &title, move |context| async move {
        let m1 = m1(&context, |_| {}, |_| {}).m1;
        let length = match cut {
            Cut::After(length) => length,
            Cut::Before(length) => m1.len() - length,
        };
        let mut conn = PeerConn::dial(&context).await?;
        conn.send("a piece of M1", &m1[..length]).await?;
        conn.finish().await?;
        conn.expect_silent_close().await
    })
    .twin(HONEST)
}

async fn bytewise(context: Context) -> Verdict {
    let initiator = m1(&context, |_| {}, |_| {});
    let mut conn = PeerConn::dial(&context).await?;
    for byte in &initiator.m1 {
        conn.send_quietly(std::slice::from_ref(byte)).await?;
    }
    conn.read_m2(&initiator).await.map(|_| ())
}

async fn halves(context: Context) -> Verdict {
    let initiator = m1(&context, |_| {}, |_| {});
    let mut conn = PeerConn::dial(&context).await?;
    let (front, back) = initiator.m1.split_at(initiator.m1.len() / 2);
    conn.send("front", front).await?;
    conn.expect_nothing(Duration::from_millis(50)).await?;
    conn.send("back", back).await?;
    conn.read_m2(&initiator).await.map(|_| ())
}

async fn header_waits(context: Context) -> Verdict {
    let mut conn = PeerConn::dial(&context).await?;
    conn.send("header", &[kind::M1, 0, 0x60, 0]).await?;
    conn.expect_nothing(Duration::from_millis(200)).await
}

/// No body follows the header, so a responder that waits for it is found out.
async fn only_header(context: Context, header: [u8; 4]) -> Verdict {
    let mut conn = PeerConn::dial(&context).await?;
    conn.send("header", &header).await?;
    conn.expect_silent_close().await
}

async fn m1_twice(context: Context) -> Verdict {
    let initiator = m1(&context, |_| {}, |_| {});
    let mut conn = PeerConn::dial(&context).await?;
    conn.expect_m2(&initiator).await?;
    conn.send("M1 again", &initiator.m1).await?;
    conn.expect_silent_close().await
}
