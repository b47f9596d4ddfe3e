//! handshake.md section 3: suites with an ephemeral exchange. Not every device has them; what is sent to one that has not
//! is answered with `NO_COMMON_SUITE`, and the check does not apply.

use super::{HONEST, check, expect};
use crate::check::{Check, Context, Stop, Verdict, demand};
use crate::oracle::crypto::hex;
use crate::oracle::handshake::{Ephemeral, HYBRID, Initiator, M1Fields, SUITE, X25519};
use crate::oracle::ticket::{ConfirmationKey, uri};
use crate::target::channel::Channel;
use crate::target::fixture::PeerFixture;
use crate::target::peer::{Keys, PeerConn, initiator, m1_fields};
use crate::vectors::fixtures;

pub(super) fn checks() -> Vec<Check> {
    let mut checks = vec![
        check("hs.suite.baseline", &[], "suite 0x0101 to its first record", |c| established(c, SUITE))
            .twin(HONEST),
        check("hs.suite.x25519", &[], "suite 0x0201 to its first record", |c| established(c, X25519)),
        check("hs.suite.hybrid", &[], "suite 0x0301 to its first record", |c| established(c, HYBRID)),
        check(
            "hs.suite.strongest",
            &["HSK-016"],
            "of any two suites that the device has it chooses the stronger",
            strongest,
        )
        .twin("hs.suite.x25519"),
        check(
            "hs.suite.remembered",
            &["HSK-045"],
            "an initiator that had a stronger suite offers a weaker one",
            remembered,
        )
        .twin("hs.suite.first-weak"),
        check(
            "hs.suite.first-weak",
            &[],
            "an initiator that was never seen offers the weakest suite",
            |context| async move {
                let stranger = Stranger::new(&context);
                stranger.establish(&context, &[SUITE]).await.map(|_| ())
            },
        )
        .twin(HONEST),
    ];
    let wrong: [Wrong; 9] = [
        ("share-missing", "HSK-013", &[X25519], "no share with suite 0x0201", "hs.suite.x25519", |m1| {
            m1.share.clear();
        }),
        (
            "share-31",
            "HSK-013",
            &[X25519],
            "a share of 31 bytes with suite 0x0201",
            "hs.suite.x25519",
            |m1| {
                m1.share.pop();
            },
        ),
        (
            "share-33",
            "HSK-013",
            &[X25519],
            "a share of 33 bytes with suite 0x0201",
            "hs.suite.x25519",
            |m1| {
                m1.share.push(1);
            },
        ),
        (
            "share-1215",
            "HSK-013",
            &[HYBRID],
            "a share of 1,215 bytes with suite 0x0301",
            "hs.suite.hybrid",
            |m1| {
                m1.share.pop();
            },
        ),
        (
            "share-x25519-only",
            "HSK-013",
            &[HYBRID, X25519],
            "the share of 0x0201 with 0x0301 on offer",
            "hs.suite.hybrid",
            |m1| {
                m1.share.drain(..1184);
            },
        ),
        ("x25519-zero", "HSK-043", &[X25519], "an X25519 share of zeros", "hs.suite.x25519", |m1| {
            m1.share.fill(0);
        }),
        ("x25519-order-8", "HSK-043", &[X25519], "an X25519 share of order 8", "hs.suite.x25519", |m1| {
            m1.share.copy_from_slice(&ORDER_8);
        }),
        (
            "hybrid-x25519-zero",
            "HSK-043",
            &[HYBRID],
            "an X25519 share of zeros in suite 0x0301",
            "hs.suite.hybrid",
            |m1| {
                m1.share[1184..].fill(0);
            },
        ),
        (
            "ml-kem-coefficient",
            "HSK-044",
            &[HYBRID],
            "an ML-KEM key with a coefficient of 3,329",
            "hs.suite.hybrid",
            |m1| {
                let [low, high] = 3329_u16.to_le_bytes();
                m1.share[0] = low;
                m1.share[1] = m1.share[1] & 0xf0 | high;
            },
        ),
    ];
    for (id, req, offer, title, twin, change) in wrong {
        let run = move |context| refused(context, offer, change);
        checks.push(check(&format!("hs.suite.{id}"), &[req], title, run).twin(twin));
    }
    checks
}

/// Name, requirement, offer, title, twin, and what is wrong.
type Wrong = (&'static str, &'static str, &'static [u16], &'static str, &'static str, Change);
type Change = fn(&mut M1Fields);

/// A point of order 8 (RFC 7748, section 7; the list is that of Bernstein's curve25519 page).
const ORDER_8: [u8; 32] = [
    0xe0, 0xeb, 0x7a, 0x7c, 0x3b, 0x41, 0xb8, 0xae, 0x16, 0x56, 0xe3, 0xfa, 0xf1, 0x9f, 0xc4, 0x6a, 0xda,
    0x09, 0x8d, 0xeb, 0x9c, 0x32, 0xb1, 0xfd, 0x86, 0x62, 0x05, 0x16, 0x5f, 0x49, 0xb8, 0x00,
];

/// An M1 with an offer, and what its sender knows.
fn offering(context: &Context, offer: &[u16], change: impl FnOnce(&mut M1Fields)) -> Initiator {
    let ephemeral = Ephemeral {
        x25519: context.random(),
        kem: [context.random::<32>(), context.random::<32>()].concat(),
    };
    let mut fields = m1_fields(context, |_| {});
    fields.suites = offer.to_vec();
    fields.share = ephemeral.initiator_share(offer);
    change(&mut fields);
    Initiator { offer: offer.to_vec(), ephemeral, ..initiator(&fields.k_r, &fields.build()) }
}

/// Sends an M1 and reads M2. A device without these suites says so.
async fn answered(context: &Context, initiator: &Initiator) -> Result<(PeerConn, Keys), Stop> {
    let mut conn = PeerConn::dial(context).await?;
    let asked = conn.ask(initiator).await?;
    if asked.answer.as_ref().is_ok_and(|frame| *frame == [6, 0, 0, 0]) {
        let offer: Vec<String> = initiator.offer.iter().map(|suite| format!("{suite:#06x}")).collect();
        return Err(Stop::NotApplicable(format!("the device has no suite {}", offer.join(", "))));
    }
    Ok((conn, asked.expect_m2()?))
}

/// With an initiator of its own, for whom nothing weaker is good afterwards (HSK-045).
async fn established(context: Context, suite: u16) -> Verdict {
    let stranger = Stranger::new(&context);
    stranger.establish(&context, &[suite]).await.map(|_| ())
}

async fn strongest(context: Context) -> Verdict {
    let mut has = Vec::new();
    for suite in [SUITE, X25519, HYBRID] {
        match answered(&context, &offering(&context, &[suite], |_| {})).await {
            Ok(_) => has.push(suite),
            Err(Stop::NotApplicable(_)) => {}
            Err(stop) => return Err(stop),
        }
    }
    if has.len() < 2 {
        return Err(Stop::NotApplicable("the device has one suite".to_owned()));
    }
    for (at, strong) in has.iter().enumerate() {
        for weak in &has[..at] {
            for offer in [[*strong, *weak], [*weak, *strong]] {
                let (_, keys) = answered(&context, &offering(&context, &offer, |_| {})).await?;
                demand!(keys.suite == *strong, "of {offer:04x?} the device chose {:#06x}", keys.suite);
            }
        }
    }
    Ok(())
}

/// A wrong share, to a device that has the suite.
async fn refused(context: Context, offer: &'static [u16], change: Change) -> Verdict {
    answered(&context, &offering(&context, offer, |_| {})).await?;
    let initiator = offering(&context, offer, change);
    let mut conn = PeerConn::dial(&context).await?;
    expect(&mut conn, &initiator, super::Answer::Silence).await
}

/// An initiator that the device has never seen, with a key of its own.
struct Stranger {
    device: [u8; 16],
}

impl Stranger {
    fn new(context: &Context) -> Self {
        Self { device: context.random() }
    }

    fn initiator(&self, context: &Context, offer: &[u16]) -> Initiator {
        let (x, z) = (hex(&PeerFixture::DEVICE_X), hex(&self.device));
        let key = &fixtures::KEY_Z;
        let mut ticket = PeerFixture::get().pair_ticket(context.random(), crate::target::peer::now());
        ticket.subject = format!("{}{z}", uri::DEVICE);
        ticket.confirmation = Some(ConfirmationKey::of(&key.private.to_public_key()));
        for (name, values) in &mut ticket.attributes {
            for value in values {
                *value = if name == uri::KEY && value.starts_with(&x) {
                    format!("{z} {}", key.fingerprint())
                } else {
                    value.replace(&x, &z)
                };
            }
        }
        let ticket = ticket.issue(&PeerFixture::get().issuer).into_bytes();
        let spki = key.spki();
        let mut initiator = offering(context, offer, |m1| {
            m1.spki_i.clone_from(&spki);
            m1.ticket = ticket;
        });
        initiator.key = key.private.clone();
        initiator.names.initiator = self.device.to_vec();
        initiator.names.spki_i = spki;
        initiator
    }

    async fn establish(&self, context: &Context, offer: &[u16]) -> Result<Channel, Stop> {
        let initiator = self.initiator(context, offer);
        let (mut conn, keys) = answered(context, &initiator).await?;
        demand!(offer.contains(&keys.suite), "the device chose {:#06x}", keys.suite);
        conn.send("M3", &keys.m3).await?;
        let mut channel = Channel::over(conn, &keys);
        super::m3::first_record(&mut channel).await?;
        Ok(channel)
    }
}

async fn remembered(context: Context) -> Verdict {
    let stranger = Stranger::new(&context);
    stranger.establish(&context, &[X25519]).await?;
    let weaker = stranger.initiator(&context, &[SUITE]);
    let mut conn = PeerConn::dial(&context).await?;
    expect(&mut conn, &weaker, super::Answer::Refuse(1)).await
}
