//! What fuzzing feeds: plain functions that take bytes and panic if a promise of the specification is broken. Each says
//! whether what it was given was accepted, so that a corpus that has nothing good in it any more is noticed.
//!
//! `fuzz_targets/` wraps them for libFuzzer; `tests/replay.rs` runs them over the corpora and the vectors in every
//! `cargo test`; `bin/prove.rs` plants bugs and measures how long each takes to be found (`README.md`).

mod cloud;
mod crypto;
pub mod engine;
mod graph;
mod handshake;
mod handshake_m1;
mod plant;
mod record;
mod relay;
mod seeds;
mod shim;
mod storage;
mod sync;
mod sync_merge;
mod ticket;
mod world;

pub use crypto::crypto;
pub use graph::graph;
pub use handshake::{handshake, handshake_puppet};
pub use handshake_m1::handshake_m1;
pub use plant::{plant, plant_from_environment};
pub use record::record;
pub use relay::relay;
pub use seeds::seeds;
pub use shim::shim;
pub use storage::storage;
pub use sync::{sync, sync_entry};
pub use sync_merge::sync_merge;
pub use ticket::{ticket, ticket_fields};

/// Something to fuzz.
pub struct Target {
    /// As its function, its file in `fuzz_targets/` and its corpus are called.
    pub name: &'static str,
    /// Panics if a promise is broken; whether the input was accepted.
    pub run: fn(&[u8]) -> bool,
    /// What it promises, for `README.md`.
    pub promise: &'static str,
    /// Bugs that it has to find, and in how many runs.
    pub bugs: &'static [(&'static str, usize)],
}

/// All of them.
pub const TARGETS: [Target; 14] = [
    Target {
        name: "crypto",
        run: crypto,
        promise: "both libraries of cryptography make the same of any key, ciphertext and signature",
        bugs: &[("fuzz:long-signature", 50_000)],
    },
    Target {
        name: "graph",
        run: graph,
        promise: "no request fails the service; what is malformed, unticketed, somebody else's or stale is refused",
        bugs: &[
            ("GPH-002", 3_000),
            ("GPH-006", 3_000),
            ("GPH-012", 5_000),
            ("GPH-050", 3_000),
            ("GPH-066", 3_000),
        ],
    },
    Target {
        name: "handshake",
        run: handshake,
        promise: "who has no ticket gets silence or the refusal that the oracle gives",
        bugs: &[("HSK-014", 20_000)],
    },
    Target {
        name: "handshake_m1",
        run: handshake_m1,
        promise: "reference and oracle answer every M1 with the same frame for the same reason",
        bugs: &[
            ("HSK-010", 5_000),
            ("HSK-011", 5_000),
            ("HSK-019", 5_000),
            ("HSK-024", 5_000),
            ("HSK-053", 5_000),
        ],
    },
    Target {
        name: "handshake_puppet",
        run: handshake_puppet,
        promise: "whatever somebody between two devices does, who accepts has a partner in the same handshake",
        bugs: &[("HSK-040", 20_000), ("REC-011", 20_000)],
    },
    Target {
        name: "record",
        run: record,
        promise: "records open the same in one piece and in many, with both libraries, and as the oracle has it",
        bugs: &[("REC-011", 5_000), ("REC-012", 5_000), ("REC-017", 5_000)],
    },
    Target {
        name: "relay",
        run: relay,
        promise: "passes are taken once, in time, by who has them; a switchboard is what its plain model is",
        bugs: &[("RLY-001", 5_000), ("RLY-002", 5_000), ("RLY-004", 5_000), ("RLY-007", 5_000)],
    },
    Target {
        name: "shim",
        run: shim,
        promise: "nothing but the right answer passes, and the oracle answers every request",
        bugs: &[("fuzz:lenient-shim", 20_000)],
    },
    Target {
        name: "storage",
        run: storage,
        promise: "manifests keep their form; pieces come in order; a range is the bytes that it names",
        bugs: &[("SYN-070", 5_000), ("STO-009", 5_000), ("STO-015", 5_000), ("STO-018", 5_000)],
    },
    Target {
        name: "sync",
        run: sync,
        promise: "one message, one spelling, however it comes; no path leaves the folder",
        bugs: &[("SYN-003", 20_000)],
    },
    Target {
        name: "sync_entry",
        run: sync_entry,
        promise: "reference and oracle take the same entries and heads, and show the same paths",
        bugs: &[
            ("SYN-008", 20_000),
            ("SYN-010", 20_000),
            ("SYN-025", 20_000),
            ("SYN-028", 20_000),
            ("SYN-051", 20_000),
        ],
    },
    Target {
        name: "sync_merge",
        run: sync_merge,
        promise: "merging is commutative, associative and idempotent, loses nothing, and is the oracle's",
        bugs: &[("SYN-020", 5_000), ("SYN-022", 5_000), ("SYN-037", 5_000)],
    },
    Target {
        name: "ticket",
        run: ticket,
        promise: "reference and oracle refuse the same bytes for the same reason",
        bugs: &[("TKT-006", 20_000), ("TKT-020", 20_000), ("TKT-021", 20_000)],
    },
    Target {
        name: "ticket_fields",
        run: ticket_fields,
        promise: "the same of tickets that the issuer signed, whatever they say",
        bugs: &[("TKT-008", 5_000), ("TKT-014", 5_000), ("TKT-016", 5_000), ("TKT-036", 5_000)],
    },
];

/// Makes what is made once, before a bug could be in it.
pub fn warm_up() {
    for target in &TARGETS {
        for (_, input) in seeds(target.name) {
            (target.run)(&input);
        }
    }
}
