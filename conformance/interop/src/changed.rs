//! Tickets with fields that were changed at random and signed again, some with bytes changed after that: those of them that our
//! verifier takes. What others have to say of tickets is not known by heart then.

use anyhow::{Result, ensure};
use meshproof_kit::fuzz::{Dice, Draw, change_ticket};
use meshproof_kit::oracle::ticket as oracle;
use meshproof_kit::vectors::fixtures::{ISSUER_A, NOW};
use meshproof_proto::crypto::Spki;

use crate::sample::{Sample, vectors, verify_as_meant};

/// How many were made, and those that our verifier accepts, each in its own time and place.
pub fn accepted(seed: u64, made: usize) -> Result<Vec<Sample>> {
    let good: Vec<_> = vectors("TicketVerify")?
        .into_iter()
        .filter(|sample| sample.ours.is_ok())
        .filter_map(|sample| oracle::parse(&sample.bytes?).ok())
        .collect();
    ensure!(!good.is_empty(), "no ticket to change");
    let key = Spki::parse(&ISSUER_A.spki())?;
    let mut dice = Dice(seed);
    let mut samples = Vec::new();
    for number in 0..made {
        let random = dice.bytes(96);
        let mut draw = Draw(&random);
        let mut fields = draw.pick(&good).fields.clone();
        for _ in 0..draw.below(4) {
            change_ticket(&mut draw, &mut fields, NOW);
        }
        let mut bytes = fields.issue(&ISSUER_A.private).into_bytes();
        if draw.one_in(4) {
            draw.edit(&mut bytes);
        }
        let ours = verify_as_meant(&bytes, &key);
        if ours.is_ok() {
            samples.push(Sample {
                name: format!("changed {number} of seed {seed}"),
                comment: String::new(),
                reason: None,
                bytes: Some(bytes),
                keys: vec![key.der().to_vec()],
                ours,
            });
        }
    }
    Ok(samples)
}
