//! All checks, one folder a part and one file a section of the specification.
//!
//! Every negative check names its valid twin, which differs from it in one thing: a target that refuses everything passes
//! neither. Ids are stable: `hs.m1.mac1-flipped` is the same check in every version of the kit.

pub mod client;
pub mod graph;
pub mod handshake;
pub mod identity;
pub mod record;
pub mod relay;
pub mod storage;
pub mod sync;
pub mod ticket;
pub mod vectors;

use crate::catalog::Coverage;
use crate::check::{Check, Role};

/// Every check of the kit, part by part, and one check a vector.
pub fn all() -> Vec<Check> {
    [live(), vectors::checks()].concat()
}

/// The checks that talk to an implementation over the network.
pub fn live() -> Vec<Check> {
    [
        identity::checks(),
        ticket::checks(),
        graph::checks(),
        handshake::checks(),
        record::checks(),
        relay::checks(),
        sync::checks(),
        storage::checks(),
        client::checks(),
    ]
    .concat()
}

/// The checks that talk to targets of these roles.
pub fn for_roles(roles: &[Role]) -> Vec<Check> {
    all().into_iter().filter(|check| roles.contains(&check.role)).collect()
}

/// What the vectors and checks of the kit cover.
pub fn coverage() -> Coverage {
    let mut coverage = Coverage::new();
    for check in live() {
        coverage.check(&check.id, check.reqs.iter().map(String::as_str));
    }
    for test in crate::vectors::all() {
        coverage.vector(test.reqs.iter().map(String::as_str));
    }
    coverage
}
