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

/// Who judges, in the order of the columns.
const JUDGES: [&str; 6] = ["xmlsec1", "signxml", "samael", "bergshamra", "pysaml2", "python3-saml"];

type Row = [&'static str; JUDGES.len()];

fn accepts(said: &str) -> bool {
    ["yes", "part"].contains(&said)
}

fn judge_all(samples: &[Sample]) -> Vec<Row> {
    let signxml = judge::signxml(samples).unwrap();
    let python = judge::PYTHON.map(|judge| judge::by_python(judge, samples).unwrap());
    let judged = samples.iter().zip(signxml).enumerate().map(|(at, (sample, signxml))| {
        let yes_or_no = |said: Result<(), String>| if said.is_ok() { "yes" } else { "no" };
        let xmlsec1 = yes_or_no(judge::xmlsec1(sample).unwrap());
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
        let [bergshamra, pysaml2, python3_saml] =
            std::array::from_fn(|judge| yes_or_no(python[judge][at].clone()));
        [xmlsec1, signxml, samael, bergshamra, pysaml2, python3_saml]
    });
    judged.collect()
}

#[test]
fn the_committed_table_is_what_the_judges_say() {
    let mut samples = sample::vectors("TicketVerify").unwrap();
    samples.retain(|sample| sample.reason.is_some());
    assert!(samples.iter().all(|sample| sample.ours.is_err()));
    let rows = judge_all(&samples);

    let mut reasons: BTreeMap<&str, (usize, [usize; JUDGES.len()])> = BTreeMap::new();
    let mut all = (0, [0; JUDGES.len()]);
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
    let judges = JUDGES.join(" | ");
    writeln!(text, "How many each accepts:\n\n| our reason | vectors | {judges} |").unwrap();
    text += "|---|---|---|---|---|---|---|---|\n";
    for (reason, (total, accepted)) in reasons.into_iter().chain([("all", all)]) {
        writeln!(text, "| {reason} | {total} | {} |", accepted.map(|count| count.to_string()).join(" | "))
            .unwrap();
    }
    writeln!(text, "\n## Accepted by at least one\n\n| vector | what it is | {judges} |").unwrap();
    text += "|---|---|---|---|---|---|---|---|\n";
    for (sample, row) in samples.iter().zip(&rows).filter(|(_, row)| row.iter().any(|said| accepts(said))) {
        let name = sample.name.trim_start_matches("ticket.verify.");
        writeln!(text, "| {name} | {} | {} |", sample.comment, row.join(" | ")).unwrap();
    }
    let accepted: Vec<_> =
        JUDGES.iter().zip(all.1).map(|(judge, count)| format!("{judge} {count}")).collect();
    tool::say(&format!("of {} tickets that we refuse, others accept: {}", all.0, accepted.join(", ")));

    if std::env::var_os("MESHPROOF_BLESS").is_some() {
        std::fs::write(FILE, text).unwrap();
    } else {
        let committed = std::fs::read_to_string(FILE).unwrap_or_default();
        assert_eq!(text, committed, "MESHPROOF_BLESS=1 renews verdicts.md");
    }
}
