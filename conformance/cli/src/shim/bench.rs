//! `bench`: how fast the reference is, in this process, with the provider that devices run on.

use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use meshproof_kit::bench::{Measured, Unit};
use meshproof_kit::target::shim::Answer;
use meshproof_kit::vectors::fixtures::{ALICE, DEVICE_X, DEVICE_Y, ISSUER, ISSUER_A, KEY_X, KEY_Y, Key, NOW};
use meshproof_proto::codec::Id;
use meshproof_proto::crypto::{DEFAULT, Secret};
use meshproof_proto::handshake::frame::Frame;
use meshproof_proto::handshake::{
    Answer as Answered, AwaitM1, AwaitM2, AwaitM3, Device, Heard, Suite, Suites, Target, start,
};
use meshproof_proto::record::{MAX_CONTENT, Opener, Sealer};
use meshproof_proto::ticket::{
    Attributes, Claim, Issuer, KeyBinding, Subject, Ticket, Verifier, device_audience,
};
use meshproof_proto::time::UnixTime;
use serde_json::Value;

use super::fields::Script;

/// How much is done between two readings of the clock, in bytes.
const RUN: usize = 256 * 1024;
/// The size of the fixture keys, in bits.
const KEY: usize = 2_048;

/// Answers a request with the op `bench`.
pub(super) fn answer(request: &Value) -> Answer {
    let seconds = request["seconds"].as_f64().unwrap_or_default();
    let size = request["size"].as_u64().and_then(|size| usize::try_from(size).ok()).unwrap_or_default();
    let record = (1..=MAX_CONTENT).contains(&size);
    match request["work"].as_str().unwrap_or_default() {
        "aes-128-ctr" if record => {
            let key = DEFAULT.ctr_key(&[1; 16]);
            pieces(seconds, size, |piece| key.apply(&[3; 16], piece))
        }
        "hmac-sha256" if record => {
            let key = DEFAULT.mac_key(&[2; 32]);
            pieces(seconds, size, |piece| {
                black_box(key.mac(&[piece]));
            })
        }
        "seal" if record => records(seconds, size, false),
        "open" if record => records(seconds, size, true),
        "rsa-oaep-decrypt" if size == KEY => decryptions(seconds),
        "handshake-0101" if size == KEY => handshakes(seconds, Suite::Baseline),
        "handshake-0201" if size == KEY => handshakes(seconds, Suite::X25519),
        "handshake-0301" if size == KEY => handshakes(seconds, Suite::Hybrid),
        _ => Answer::unsupported(),
    }
}

fn pieces(seconds: f64, size: usize, work: impl Fn(&mut [u8])) -> Answer {
    let mut data = vec![0x5a; (RUN / size).max(1) * size];
    let count = data.len() as u64;
    let run = || timed(|| black_box(&mut data).chunks_exact_mut(size).for_each(&work));
    Measured::repeating(seconds, count, run).answer(Unit::Bytes)
}

/// Seals runs of records, or opens them: then the sealing is not in the time.
fn records(seconds: f64, size: usize, open: bool) -> Answer {
    let secret = || Secret::new([4; 32]);
    let mut sealer = Sealer::new(DEFAULT, secret()).with_record_size(size);
    let mut opener = Opener::new(DEFAULT, secret());
    let content = vec![0x5a; (RUN / size).max(2) * size];
    let mut out = Vec::with_capacity(2 * content.len());
    let mut failed = None;
    let measured = Measured::repeating(seconds, content.len() as u64, || {
        out.clear();
        let sealing = timed(|| failed = sealer.seal(black_box(&content), &mut out).err().or(failed));
        if !open {
            return sealing;
        }
        timed(|| {
            opener.push(&out);
            while match opener.next() {
                Ok(event) => event.is_some(),
                Err(error) => {
                    failed = Some(error);
                    false
                }
            } {}
        })
    });
    match failed {
        Some(error) => Answer::error(error.to_string()),
        None => measured.answer(Unit::Bytes),
    }
}

fn decryptions(seconds: f64) -> Answer {
    let entropy = &mut Script::new(Vec::new());
    let Ok(key) = DEFAULT.private_key(&KEY_X.pkcs8()) else { return bad_key() };
    let Ok(public) = DEFAULT.public_key(key.spki()) else { return bad_key() };
    let ciphertext = public.encrypt(b"label", &[7; 32], entropy);
    let run = || {
        timed(|| {
            black_box(key.decrypt(b"label", &ciphertext, entropy));
        })
    };
    Measured::repeating(seconds, 1, run).answer(Unit::Operations)
}

/// Whole handshakes, the work of both sides, without a connection.
fn handshakes(seconds: f64, suite: Suite) -> Answer {
    let Some(pair) = Pair::new(suite) else { return bad_key() };
    let mut failed = None;
    let run = || timed(|| failed = pair.meet().err().or(failed.take()));
    let measured = Measured::repeating(seconds, 1, run);
    match failed {
        Some(why) => Answer::error(why),
        None => measured.answer(Unit::Operations),
    }
}

/// Two devices of one user, with a ticket for each other.
struct Pair {
    initiator: Arc<Device>,
    responder: Arc<Device>,
    verifier: Arc<Verifier>,
    target: Target,
}

impl Pair {
    fn new(suite: Suite) -> Option<Self> {
        let device = |id: &str, key: &Key| {
            let device = Device::load(DEFAULT, Id::parse(id)?, &key.pkcs8(), &mut Script::new(Vec::new()));
            Some(Arc::new(device.ok()?.with_suites(Suites::only(&[suite]))))
        };
        let (initiator, responder) = (device(DEVICE_X, &KEY_X)?, device(DEVICE_Y, &KEY_Y)?);
        let issuer = Issuer::new(DEFAULT, DEFAULT.private_key(&ISSUER_A.pkcs8()).ok()?);
        let mut verifier = Verifier::new(DEFAULT, device_audience(responder.id()));
        verifier.trust(ISSUER, &[issuer.key().spki().clone()]).ok()?;
        let user = Id::parse(ALICE)?;
        let ticket = Ticket {
            id: Id([9; 16]),
            issue_instant: UnixTime(NOW),
            issuer: ISSUER.to_owned(),
            subject: Subject::Device(initiator.id()),
            confirmation: Some(initiator.spki().clone()),
            not_before: UnixTime(NOW),
            not_on_or_after: UnixTime(NOW).plus(600),
            audience: device_audience(responder.id()),
            authn: None,
            authz: Vec::new(),
            attributes: Attributes {
                keys: vec![KeyBinding {
                    device: responder.id(),
                    fingerprint: responder.spki().fingerprint(DEFAULT),
                }],
                claims: [&initiator, &responder].map(|device| Claim { device: device.id(), user }).into(),
                mappings: Vec::new(),
            },
        };
        let ticket = issuer.issue(&ticket).ok()?;
        let target = Target::new(responder.id(), responder.spki().clone(), ticket);
        Some(Self { initiator, responder, verifier: Arc::new(verifier), target })
    }

    /// Ends in the same transcript on both sides, or in what went wrong.
    fn meet(&self) -> Result<(), String> {
        let now = UnixTime(NOW);
        let entropy = &mut meshproof_client::os_entropy;
        let frame = |mut bytes, awaited| {
            let frame = Frame::take(&mut bytes, awaited).map_err(|error| error.to_string())?;
            frame.ok_or_else(|| "half a frame".to_owned())
        };
        let (await_m2, m1) =
            start(self.initiator.clone(), &self.target, now, entropy).map_err(|error| error.to_string())?;
        let responder = AwaitM1::new(self.responder.clone(), self.verifier.clone());
        let answered = responder.handle(&frame(m1, AwaitM1::AWAITS)?, now, entropy);
        let Answered::M2(await_m3, m2) = answered.map_err(|failure| failure.to_string())? else {
            return Err("nobody asks for a cookie".to_owned());
        };
        let heard = await_m2.handle(&frame(m2, AwaitM2::AWAITS)?).map_err(|failure| failure.to_string())?;
        let Heard::Established(mine, m3) = heard else { return Err("no answer to M2".to_owned()) };
        let theirs = await_m3.handle(&frame(m3, AwaitM3::AWAITS)?).map_err(|failure| failure.to_string())?;
        if mine.transcript == theirs.established.transcript {
            Ok(())
        } else {
            Err("two transcripts".to_owned())
        }
    }
}

fn bad_key() -> Answer {
    Answer::error("a fixture key does not load")
}

fn timed(work: impl FnOnce()) -> Duration {
    let began = Instant::now();
    work();
    began.elapsed()
}

#[cfg(test)]
mod tests {
    use meshproof_kit::bench::works;
    use meshproof_kit::target::shim::{Outcome, Shim as _};
    use serde_json::json;

    use super::*;

    #[test]
    fn everything_is_measured_and_nothing_else() {
        let mut reference = super::super::reference();
        for work in works() {
            let answer = reference.call(&work.request(Duration::ZERO)).unwrap();
            assert_eq!(answer.outcome, Outcome::Accept, "{work:?}: {answer:?}");
        }
        for (work, size) in [("seal", 0), ("seal", 65_536), ("handshake-0201", 3_072), ("sing", 64)] {
            let answer = answer(&json!({"op": "bench", "work": work, "size": size, "seconds": 0.0}));
            assert_eq!(answer.outcome, Outcome::Unsupported, "{work} of {size}");
        }
    }
}
