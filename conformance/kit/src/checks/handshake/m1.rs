//! handshake.md section 4.2, the steps up to and including the RSA operation, and box1's tag.

use super::{Answer, ChangeM1, HONEST, check, m1, sends_m1};
use crate::check::{Check, Context, Stop, Verdict, demand};
use crate::oracle::crypto::oaep_encrypt;
use crate::oracle::handshake::{LABEL_I, LABEL_R, SUITE};
use crate::target::fixture::PeerFixture;
use crate::target::peer::{Ending, PeerConn, initiator, m1_fields};
use crate::vectors::fixtures;

pub(super) fn checks() -> Vec<Check> {
    use Answer::{M2, NoCommonSuite, Silence};
    vec![
        sends_m1(HONEST, &[], "an honest M1 is answered with M2", M2, |_| {}),
        sends_m1("hs.m1.version-0", &["HSK-010"], "M1 of version 0", Silence, |m1| m1.version = 0),
        sends_m1("hs.m1.version-2", &["HSK-010"], "M1 of version 2", Silence, |m1| m1.version = 2),
        sends_m1("hs.m1.suites-empty", &["HSK-011"], "M1 that offers no suite", Silence, |m1| {
            m1.suites.clear();
        }),
        sends_m1("hs.m1.suites-nine", &["HSK-011"], "M1 that offers nine suites", Silence, |m1| {
            m1.suites = (0x0101..=0x0109).collect();
        }),
        sends_m1(
            "hs.m1.suites-eight",
            &["HSK-016"],
            "M1 that offers eight suites, seven of them unknown",
            M2,
            |m1| {
                m1.suites = vec![0x7f01, 0x7f02, 0x7f03, 0x0101, 0x7f04, 0x7f05, 0x7f06, 0x7f07];
            },
        ),
        sends_m1("hs.m1.suites-repeated", &["HSK-011"], "M1 that offers one suite twice", Silence, |m1| {
            m1.suites = vec![0x0101, 0x0101];
        }),
        sends_m1("hs.m1.cookie-39", &["HSK-012"], "M1 with a cookie of 39 bytes", Silence, |m1| {
            m1.cookie = vec![7; 39];
        }),
        sends_m1("hs.m1.cookie-1", &["HSK-012"], "M1 with a cookie of one byte", Silence, |m1| {
            m1.cookie = vec![7];
        }),
        sends_m1(
            "hs.m1.cookie-not-made",
            &["HSK-050"],
            "M1 with a cookie that the device never made",
            Silence,
            |m1| m1.cookie = vec![7; 40],
        ),
        check("hs.m1.replayed", &["HSK-051"], "an M1 that was answered with M2 comes again", replayed)
            .twin(HONEST),
        sends_m1(
            "hs.m1.share-unasked",
            &["HSK-013"],
            "M1 with a share for a suite that has none",
            Silence,
            |m1| {
                m1.share = vec![9; 32];
            },
        ),
        sends_m1(
            "hs.m1.mac1-flipped",
            &["HSK-014", "HSK-006"],
            "M1 whose mac1 has one bit flipped",
            Silence,
            |m1| {
                m1.forge.mac1 = Some(Box::new(|mac1| mac1[15] ^= 1));
            },
        ),
        sends_m1(
            "hs.m1.mac1-first-byte",
            &["HSK-014"],
            "M1 whose mac1 is wrong in its first byte",
            Silence,
            |m1| {
                m1.forge.mac1 = Some(Box::new(|mac1| mac1[0] ^= 0x80));
            },
        ),
        sends_m1(
            "hs.m1.mac1-other-device",
            &["HSK-014"],
            "M1 with the mac1 for another device's key",
            Silence,
            |m1| {
                m1.spki_r = fixtures::KEY_Z.spki();
            },
        ),
        sends_m1(
            "hs.m1.no-common-suite",
            &["HSK-015"],
            "M1 that offers an unknown suite only",
            NoCommonSuite,
            |m1| {
                m1.suites = vec![0x7f01];
            },
        ),
        sends_m1(
            "hs.m1.ct-other-device",
            &["HSK-017", "HSK-018"],
            "M1 whose k_R is encrypted to another device",
            Silence,
            |m1| m1.ct_r = oaep_encrypt(&fixtures::KEY_Z.private.to_public_key(), LABEL_R, &m1.k_r, &[5; 32]),
        ),
        sends_m1(
            "hs.m1.ct-label",
            &["HSK-017"],
            "M1 whose k_R is encrypted under the other label",
            Silence,
            |m1| {
                m1.ct_r = to_y(LABEL_I, &m1.k_r);
            },
        ),
        sends_m1("hs.m1.ct-31-bytes", &["HSK-017"], "M1 whose k_R has 31 bytes", Silence, |m1| {
            m1.k_r.truncate(31);
            m1.ct_r = to_y(LABEL_R, &m1.k_r);
        }),
        sends_m1("hs.m1.ct-33-bytes", &["HSK-017"], "M1 whose k_R has 33 bytes", Silence, |m1| {
            m1.k_r.push(1);
            m1.ct_r = to_y(LABEL_R, &m1.k_r);
        }),
        sends_m1("hs.m1.ct-short", &["HSK-017"], "M1 whose ct_R is one byte short", Silence, |m1| {
            m1.ct_r.pop();
        }),
        sends_m1(
            "hs.m1.ct-above-modulus",
            &["HSK-017"],
            "M1 whose ct_R is larger than the modulus",
            Silence,
            |m1| {
                m1.ct_r = vec![0xff; m1.ct_r.len()];
            },
        ),
        sends_m1("hs.m1.box1-flipped", &["HSK-018"], "M1 whose box1 has one bit flipped", Silence, |m1| {
            m1.forge.sealed = Some(Box::new(|sealed| sealed[0] ^= 1));
        }),
        sends_m1("hs.m1.box1-tag", &["HSK-018"], "M1 whose box1 has a wrong tag", Silence, |m1| {
            m1.forge.sealed = Some(Box::new(|sealed| *sealed.last_mut().expect("a tag") ^= 1));
        }),
        sends_m1(
            "hs.m1.nonce-outside-box",
            &["HSK-018"],
            "M1 whose nonce was changed after sealing",
            Silence,
            |m1| {
                // After type, len, version and one suite: the nonce is at 9. mac1 is right again, the key of box1 is not.
                m1.forge.before_mac = Some(Box::new(|frame| frame[9] ^= 1));
            },
        ),
        check(
            "hs.m1.failures-alike",
            &["HSK-006", "HSK-017"],
            "five failures before authentication end in the same way",
            failures_alike,
        )
        .twin(HONEST),
        check(
            "hs.m1.fresh",
            &["HSK-025"],
            "two answers to one offer share neither nonce, k_I nor box",
            fresh,
        )
        .twin(HONEST),
    ]
}

fn to_y(label: &str, k_r: &[u8]) -> Vec<u8> {
    oaep_encrypt(&PeerFixture::get().key_y.to_public_key(), label, k_r, &[5; 32])
}

/// No answer may tell failures apart: neither bytes nor the way TCP ends.
async fn failures_alike(context: Context) -> Verdict {
    let faults: [(&str, ChangeM1); 5] = [
        ("mac1", |m1| m1.forge.mac1 = Some(Box::new(|mac1| mac1[3] ^= 1))),
        ("ct_R under the other label", |m1| m1.ct_r = to_y(LABEL_I, &m1.k_r)),
        ("ct_R random", |m1| m1.ct_r = vec![0x21; 256]),
        ("k_R of 31 bytes", |m1| {
            m1.k_r.truncate(31);
            m1.ct_r = to_y(LABEL_R, &m1.k_r);
        }),
        ("box1", |m1| m1.forge.sealed = Some(Box::new(|sealed| sealed[40] ^= 1))),
    ];
    let mut first: Option<(&str, Ending)> = None;
    for (name, fault) in faults {
        let initiator = m1(&context, |_| {}, fault);
        let mut conn = PeerConn::dial(&context).await?;
        let asked = conn.ask(&initiator).await?;
        asked.demand_silent(&context)?;
        let Err(ending) = asked.answer else {
            return Err(Stop::KitError("a frame is not silent".to_owned()));
        };
        context.note(name, format!("{:?} after {} bytes", ending.how, ending.bytes.len()));
        match &first {
            None => first = Some((name, ending)),
            Some((before, expected)) => demand!(
                *expected == ending,
                "a wrong {before} ends with {:?}, a wrong {name} with {:?}",
                expected.how,
                ending.how
            ),
        }
    }
    Ok(())
}

async fn replayed(context: Context) -> Verdict {
    let initiator = m1(&context, |_| {}, |_| {});
    let keys = PeerConn::dial(&context).await?.expect_m2(&initiator).await?;
    let mut again = PeerConn::dial(&context).await?;
    again.send("the same M1", &keys.m1).await?;
    again.expect_silent_close().await
}

/// A responder that repeats its nonce or key share of the session would let an old session be replayed.
async fn fresh(context: Context) -> Verdict {
    // Nonce, k_R and ct_R are the same in both; the order of the offer makes them two M1s (HSK-051).
    let initiators = {
        let mut fields = m1_fields(&context, |_| {});
        [[SUITE, 0x7f01], [0x7f01, SUITE]].map(|suites| {
            fields.suites = suites.to_vec();
            initiator(&fields.k_r, &fields.build())
        })
    };
    let mut answers = Vec::new();
    for initiator in initiators {
        let mut conn = PeerConn::dial(&context).await?;
        answers.push(conn.expect_m2(&initiator).await?);
    }
    let [a, b] = &answers[..] else { return Err(Stop::KitError("two answers were asked for".to_owned())) };
    demand!(a.m2[6..38] != b.m2[6..38], "nonce_R is the same in two sessions");
    demand!(a.k_i != b.k_i, "k_I is the same in two sessions");
    demand!(a.m2[38..] != b.m2[38..], "box2 is the same in two sessions");
    Ok(())
}
