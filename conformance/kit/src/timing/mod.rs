//! `meshproof timing`: whether the time of a responder's RSA decryption says what it found (handshake.md section 6).
//!
//! Whoever can tell a ciphertext that decrypts from one that does not can decrypt any (Bleichenbacher, Manger; Marvin is
//! the same over a network). All M1s sent here fail in the same way, at box1, so that nothing but time can differ. It judges
//! nothing: over a network an honest "undecided" is the likely answer, and the exit code does not depend on it.
//!
//! The embedded reference, in 20,860 rounds on two busy cores: the control took -0.8 to 0.4 us longer than a good ciphertext,
//! what is above the modulus -0.5 to 0.6 us, and no other class more than 0.6 us.

pub mod stats;

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use serde::Serialize;
use serde_json::{Value, json};

use crate::oracle::crypto::{h, hex, oaep_encrypt};
use crate::oracle::handshake::{LABEL_I, LABEL_R, M1Fields};
use crate::target::ShimTarget;
use crate::target::fixture::PeerFixture;
use crate::target::peer::now;
use crate::target::shim::Outcome;
use crate::vectors;
use stats::{Finding, Interval};

/// What ct_R is. The first two are the same: the second is the control.
const CLASSES: [&str; 6] = [
    "good",
    "good, the control",
    "under the other label",
    "31 bytes in it",
    "random, so that the first byte is wrong",
    "above the modulus",
];

/// Something whose answer to an M1 takes time.
pub trait Probe {
    /// How long it took to fail on this M1.
    fn time(&mut self, m1: &[u8]) -> anyhow::Result<Duration>;
}

/// A device that accepts connections, set up as [`PeerFixture`] says, with an allowance for as many failures as there
/// are rounds.
pub struct Peer(pub SocketAddr);

impl Probe for Peer {
    fn time(&mut self, m1: &[u8]) -> anyhow::Result<Duration> {
        let mut stream =
            TcpStream::connect(self.0).with_context(|| format!("cannot connect to {}", self.0))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(Duration::from_secs(5)))?;
        let (body, last) = m1.split_at(m1.len() - 1);
        stream.write_all(body)?;
        // With the last byte the work begins.
        let begin = Instant::now();
        stream.write_all(last)?;
        match stream.read(&mut [0]) {
            Ok(0) => Ok(begin.elapsed()),
            Ok(_) => {
                bail!("the device answers, where it has to close silently; `meshproof run --peer` says more")
            }
            Err(error) if error.kind() == ErrorKind::ConnectionReset => Ok(begin.elapsed()),
            Err(error) => Err(error).context("waiting for the device to close"),
        }
    }
}

/// An implementation behind a shim, that reads the vectors of M1.
pub struct Shim {
    shim: ShimTarget,
    group: Value,
}

impl Shim {
    /// For a shim that has `vector`.
    pub fn new(shim: ShimTarget) -> anyhow::Result<Self> {
        let m1 = vectors::all().iter().find(|test| test.kind == "HandshakeM1");
        let group = m1.map(|test| test.group.clone()).context("there is no vector of M1")?;
        Ok(Self { shim, group })
    }
}

impl Probe for Shim {
    fn time(&mut self, m1: &[u8]) -> anyhow::Result<Duration> {
        let request = json!({
            "op": "vector", "type": "HandshakeM1", "group": self.group, "test": {"now": now(), "frame": hex(m1)},
        });
        let mut shim = self.shim.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let begin = Instant::now();
        let answer = shim.call(&request)?;
        let took = begin.elapsed();
        ensure!(answer.outcome == Outcome::Reject, "the shim does not refuse an M1 with a wrong box1");
        Ok(took)
    }
}

/// What was measured.
#[derive(Clone, Debug, Serialize)]
pub struct Timing {
    /// How often each class was measured.
    pub rounds: usize,
    /// The difference that was asked about, in nanoseconds.
    pub limit: i64,
    /// Whether the control shows no difference, and would show one of `limit`.
    pub calibrated: bool,
    /// Each class beside the first.
    pub classes: Vec<Class>,
}

/// A class of ciphertexts.
#[derive(Clone, Debug, Serialize)]
pub struct Class {
    /// What the ciphertext is.
    pub name: &'static str,
    /// How much longer it takes than a good one, in nanoseconds.
    pub interval: Option<Interval>,
    /// What that says.
    pub finding: Finding,
}

/// Measures for about as long as `lasting`, or so many rounds. `limit` is the difference that is asked about.
pub fn run(
    probe: &mut dyn Probe,
    lasting: Duration,
    rounds: usize,
    limit: Duration,
    seed: u64,
) -> anyhow::Result<Timing> {
    let mut draw = Draw { seed, drawn: 0 };
    let begin = Instant::now();
    let mut differences: [Vec<i64>; CLASSES.len()] = Default::default();
    // What is cold is not measured.
    for class in 0..CLASSES.len() {
        probe.time(&m1(class, &mut draw))?;
    }
    while differences[0].len() < rounds && begin.elapsed() < lasting {
        let mut order: Vec<usize> = (0..CLASSES.len()).collect();
        for last in (1..order.len()).rev() {
            let at = usize::from(draw.bytes::<1>()[0]) % (last + 1);
            order.swap(last, at);
        }
        let m1s: Vec<(usize, Vec<u8>)> =
            order.into_iter().map(|class| (class, m1(class, &mut draw))).collect();
        let mut times = [0_i64; CLASSES.len()];
        for (class, m1) in m1s {
            times[class] = i64::try_from(probe.time(&m1)?.as_nanos()).unwrap_or(i64::MAX);
        }
        for (class, time) in times.iter().enumerate() {
            differences[class].push(time - times[0]);
        }
    }
    Ok(conclude(&differences, i64::try_from(limit.as_nanos()).unwrap_or(i64::MAX)))
}

fn conclude(differences: &[Vec<i64>; CLASSES.len()], limit: i64) -> Timing {
    let control = &differences[1];
    let classes = CLASSES.iter().zip(differences).skip(1).map(|(name, of_class)| Class {
        name,
        interval: Interval::of(of_class),
        finding: stats::judge(of_class, control, limit),
    });
    let calibrated = stats::is_calibrated(control, limit);
    Timing { rounds: control.len(), limit, calibrated, classes: classes.collect() }
}

/// An M1 of a class. Its box1 is wrong, so that each fails at the same place.
fn m1(class: usize, draw: &mut Draw) -> Vec<u8> {
    let key = PeerFixture::get().key_y.to_public_key();
    let (nonce, k_r, seed) = (draw.bytes(), draw.bytes(), draw.bytes());
    let mut fields = M1Fields::new(&key, nonce, k_r, &seed);
    match class {
        2 => fields.ct_r = oaep_encrypt(&key, LABEL_I, &k_r, &seed),
        3 => fields.ct_r = oaep_encrypt(&key, LABEL_R, &k_r[..31], &seed),
        4 => {
            fields.ct_r = draw.bytes::<256>().to_vec();
            fields.ct_r[0] = 0; // below the modulus
        }
        5 => fields.ct_r = vec![0xff; 256],
        _ => {}
    }
    fields.ticket = vec![b'.'; 1_500];
    fields.forge.sealed = Some(Box::new(|sealed| sealed[0] ^= 1));
    fields.build().frame
}

/// Random bytes that a seed repeats.
struct Draw {
    seed: u64,
    drawn: u64,
}

impl Draw {
    fn bytes<const N: usize>(&mut self) -> [u8; N] {
        let mut bytes = [0; N];
        for chunk in bytes.chunks_mut(32) {
            self.drawn += 1;
            let block = h(&[b"timing", &self.seed.to_be_bytes(), &self.drawn.to_be_bytes()]);
            chunk.copy_from_slice(&block[..chunk.len()]);
        }
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Takes a microsecond for each class but one; no clock is read.
    struct Simulated {
        calls: u64,
        leaky: bool,
    }

    impl Probe for Simulated {
        fn time(&mut self, m1: &[u8]) -> anyhow::Result<Duration> {
            self.calls += 1;
            let noise = u64::from(h(&[&self.calls.to_be_bytes()])[0]) * 10;
            // What is above the modulus is all ones.
            let above = m1.windows(64).any(|window| window.iter().all(|byte| *byte == 0xff));
            Ok(Duration::from_nanos(300_000 + noise + if above && self.leaky { 2_000 } else { 0 }))
        }
    }

    fn findings(leaky: bool) -> Vec<Finding> {
        let mut probe = Simulated { calls: 0, leaky };
        let limit = Duration::from_micros(1);
        let timing = run(&mut probe, Duration::MAX, 150, limit, 7).expect("a measurement");
        assert!(timing.calibrated && timing.rounds == 150);
        timing.classes.iter().map(|class| class.finding).collect()
    }

    #[test]
    fn the_class_that_leaks_is_found_and_no_other() {
        use Finding::{Difference, NoDifference};
        assert_eq!(findings(false), [NoDifference; 5]);
        assert_eq!(findings(true), [NoDifference, NoDifference, NoDifference, NoDifference, Difference]);
    }
}
