//! A report with everything in it, for tests and for looking at.

use super::{
    CheckResult, KillMatrix, KillRow, KillVerdict, Mission, MissionStep, Proof, RunReport, Unkilled,
};
use crate::catalog::{Catalog, Level, Part};
use crate::check::{Outcome, Role};
use crate::evidence::Exhibit;

pub(crate) fn report() -> RunReport {
    let mut results = vec![
        CheckResult {
            message: "the peer sent 7 bytes: 05 00 00 40 12 9a 33".to_owned(),
            evidence: vec![
                Exhibit::text(
                    "exchange",
                    "-> M1, 2211 bytes, mac1 with its last bit flipped\n<- 7 bytes, then closed",
                ),
                Exhibit::bytes("m1", &(0..=255).collect::<Vec<u8>>()),
            ],
            ..result("hs.m1.mac1-flipped", Part::Handshake, Outcome::Fail, &["HSK-014", "HSK-006"])
        },
        result("hs.baseline", Part::Handshake, Outcome::Pass, &[]),
        result("hs.m1.version", Part::Handshake, Outcome::Pass, &["HSK-010"]),
        result("hs.m1.suites-empty", Part::Handshake, Outcome::Pass, &["HSK-011"]),
        CheckResult {
            message: "refused as it should be, but the valid twin hs.m3 did not pass".to_owned(),
            ..result("hs.m3.tag-flipped", Part::Handshake, Outcome::Blocked, &["HSK-040"])
        },
        CheckResult {
            message: "status 401 where 403 was expected".to_owned(),
            evidence: vec![Exhibit::text(
                "exchange",
                "GET /mesh/objects/0a\nAuthorization: MeshTicket [redacted, 1200 characters, sha256 01020304]\n\n401\n{\"type\":\"urn:meshproof:error:not-authorised\"}",
            )],
            ..result("gph.folder.foreign", Part::Graph, Outcome::Fail, &["GPH-002", "GPH-003"])
        },
        CheckResult {
            message: "passes, though expected to fail: fixed in 0.4?".to_owned(),
            ..result("gph.etag.missing", Part::Graph, Outcome::Xpass, &["GPH-012"])
        },
        result("sto.roundtrip", Part::Storage, Outcome::Pass, &["STO-004"]),
        CheckResult {
            message: "STO-041 is later than version 0.1; it ended as fail: status 200".to_owned(),
            ..result("sto.later", Part::Storage, Outcome::AddedAfter, &["STO-041"])
        },
        CheckResult {
            message: "the target takes no folders of storage p2p".to_owned(),
            ..result("sto.p2p", Part::Storage, Outcome::NotApplicable, &["STO-003"])
        },
    ];
    for number in 0..40 {
        let id = format!("tkt.syntax.{number:03}");
        let mut vector = result(&id, Part::Ticket, Outcome::Pass, &["TKT-006"]);
        vector.role = Role::Vectors;
        results.push(vector);
    }
    for (number, result) in results.iter_mut().enumerate() {
        result.seconds = 0.002 + 0.37 / f64::from(u32::try_from(number + 1).unwrap_or(1));
    }
    RunReport {
        spec_version: "0.1".to_owned(),
        kit_version: "0.1.0".to_owned(),
        target: "sample peer at 127.0.0.1:4000".to_owned(),
        seed: 7,
        started: 1_795_342_417,
        seconds: 3.25,
        left_out: 0,
        set: Some("0.1".to_owned()),
        expectations: None,
        results,
        kill_matrix: Some(kill_matrix()),
        mission: Some(mission()),
    }
}

/// The same with a result for most requirements, so that the page looks as a real one does.
pub(crate) fn full() -> RunReport {
    let mut report = report();
    for (number, requirement) in Catalog::embedded().requirements().iter().enumerate() {
        if number % 3 != 2 && requirement.excluded.is_none() {
            let id = format!("{}.sample-{number}", requirement.part.prefix().to_lowercase());
            report.results.push(result(&id, requirement.part, Outcome::Pass, &[requirement.id.as_str()]));
        }
    }
    report
}

fn result(id: &str, part: Part, outcome: Outcome, reqs: &[&str]) -> CheckResult {
    CheckResult {
        id: id.to_owned(),
        part,
        role: if part == Part::Handshake { Role::Peer } else { Role::Cloud },
        level: Level::Must,
        reqs: reqs.iter().map(|&id| id.to_owned()).collect(),
        title: format!("what {id} does, in a sentence"),
        outcome,
        message: String::new(),
        seconds: 0.0,
        evidence: Vec::new(),
    }
}

fn kill_matrix() -> KillMatrix {
    let row = |mutant: &str, expected: &[&str], killed_by: &[&str], verdict| KillRow {
        mutant: mutant.to_owned(),
        requirement: mutant.trim_start_matches("against:").to_owned(),
        expected: expected.iter().map(|&id| id.to_owned()).collect(),
        killed_by: killed_by.iter().map(|&id| id.to_owned()).collect(),
        collateral: killed_by.iter().filter(|id| !expected.contains(id)).map(|&id| id.to_owned()).collect(),
        verdict,
    };
    KillMatrix {
        rows: vec![
            row("HSK-010", &["hs.m1.version"], &["hs.m1.version"], KillVerdict::Killed),
            row(
                "HSK-014",
                &["hs.m1.mac1-flipped"],
                &["hs.m1.mac1-flipped", "hs.m1.any"],
                KillVerdict::Killed,
            ),
            row("TKT-020", &["tkt.digest"], &["tkt.signature"], KillVerdict::KilledByOthers),
            row("REC-013", &["rec.type.0", "rec.type.9"], &[], KillVerdict::Survived),
            row("against:HSK-010", &["hs.baseline"], &["hs.baseline"], KillVerdict::Killed),
        ],
        unreached: vec!["against:HSK-035".to_owned()],
        unkilled: vec![
            Unkilled { check: "sto.roundtrip".to_owned(), reason: "it shows what the quota is".to_owned() },
            Unkilled { check: "sto.p2p".to_owned(), reason: String::new() },
        ],
        proof: Some(Proof { tried: 6, repeated: 4, alone: 2, anew: 1 }),
    }
}

fn mission() -> Mission {
    let step = |name: &str, detail: &str, seconds| MissionStep {
        name: name.to_owned(),
        detail: detail.to_owned(),
        seconds,
        ok: true,
    };
    Mission {
        title: "Two devices of one person synchronise a folder".to_owned(),
        steps: vec![
            step("Alice signs up and in", "user 3f2a..., first tickets: mesh", 0.31),
            step(
                "She claims laptop and phone",
                "two RSA-2048 keys made on the devices, proofs accepted",
                0.52,
            ),
            step("Laptop dials phone", "pair ticket, handshake suite 0x0101, confirmed both ways", 0.004),
            step("Folder synchronises", "128 files, 41 MB, all hashes equal on both sides", 1.2),
        ],
    }
}
