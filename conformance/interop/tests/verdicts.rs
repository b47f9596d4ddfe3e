//! Where software that is not ours accepts what our profile refuses: writes `verdicts.md`, or with `MESHPROOF_BLESS`
//! unset compares it.
//!
//! The table is no test of that software: it is given keys, and neither audience nor clock, and what it accepts, it
//! accepts by the letter of SAML. It shows what a service would have to check on top, had it no profile.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use meshproof_interop::sample::{self, Sample};
use meshproof_interop::{judge, tool};

const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/verdicts.md");
const HEAD: &str = "\
# What other software says of tickets that we refuse

Written by `tests/verdicts.rs`; read `README.md` first.

| says | means |
|---|---|
| yes | it accepts |
| part | it accepts, and gives back as signed something else than the ticket's bytes without its signature |
| unread | the signature is good, but samael's model of SAML cannot hold the ticket |
| no | it refuses |

";

/// Judges in the order of the columns.
type Row = [&'static str; 3];

fn accepts(said: &str) -> bool {
    ["yes", "part"].contains(&said)
}

fn judge_all(samples: &[Sample]) -> Vec<Row> {
    let signxml = judge::signxml(samples).unwrap();
    let judged = samples.iter().zip(signxml).map(|(sample, signxml)| {
        let xmlsec1 = if judge::xmlsec1(sample).unwrap().is_ok() { "yes" } else { "no" };
        let signxml = match (signxml.refused, signxml.signed_all) {
            (Some(_), _) => "no",
            (None, false) => "part",
            (None, true) => "yes",
        };
        let samael = match (judge::samael_signature(sample).unwrap(), judge::samael(sample).unwrap()) {
            (Err(_), _) => "no",
            (Ok(_), Err(_)) => "unread",
            (Ok(_), Ok(_)) => "yes",
        };
        [xmlsec1, signxml, samael]
    });
    judged.collect()
}

#[test]
fn the_committed_table_is_what_the_judges_say() {
    let mut samples = sample::vectors("TicketVerify").unwrap();
    samples.retain(|sample| sample.reason.is_some());
    assert!(samples.iter().all(|sample| sample.ours.is_err()));
    let rows = judge_all(&samples);

    let mut reasons: BTreeMap<&str, (usize, [usize; 3])> = BTreeMap::new();
    let mut all = (0, [0; 3]);
    for (sample, row) in samples.iter().zip(&rows) {
        let of_reason = reasons.entry(sample.reason.as_deref().unwrap()).or_default();
        for (total, accepted) in [of_reason, &mut all] {
            *total += 1;
            for (count, said) in accepted.iter_mut().zip(row) {
                *count += usize::from(accepts(said));
            }
        }
    }
    let mut text = HEAD.to_owned();
    text += "| our reason | vectors | xmlsec1 accepts | signxml | samael |\n|---|---|---|---|---|\n";
    for (reason, (total, [a, b, c])) in reasons.into_iter().chain([("all", all)]) {
        writeln!(text, "| {reason} | {total} | {a} | {b} | {c} |").unwrap();
    }
    text += "\n## Accepted by at least one\n\n| vector | what it is | xmlsec1 | signxml | samael |\n|---|---|---|---|---|\n";
    for (sample, row) in samples.iter().zip(&rows).filter(|(_, row)| row.iter().any(|said| accepts(said))) {
        let name = sample.name.trim_start_matches("ticket.verify.");
        writeln!(text, "| {name} | {} | {} | {} | {} |", sample.comment, row[0], row[1], row[2]).unwrap();
    }
    let (total, [a, b, c]) = all;
    tool::say(&format!("of {total} tickets that we refuse, xmlsec1 accepts {a}, signxml {b}, samael {c}"));

    if std::env::var_os("MESHPROOF_BLESS").is_some() {
        std::fs::write(FILE, text).unwrap();
    } else {
        let committed = std::fs::read_to_string(FILE).unwrap_or_default();
        assert_eq!(text, committed, "MESHPROOF_BLESS=1 renews verdicts.md");
    }
}
