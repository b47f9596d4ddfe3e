//! sync.md, against a device that accepts connections.
//!
//! | file | section |
//! |---|---|
//! | [`read`] | 4.1 and 4.2, messages and paths that have to be refused |
//! | [`merge`] | 4.3, two versions of one path |
//! | [`transfer`] | 4.4, contents |
//! | [`chunks`] | 4.4, contents in chunks |
//! | [`moved`] | handshake.md 4.8, a session that goes on elsewhere |
//!
//! [`message`] writes and reads the messages, [`session`] speaks the protocol honestly. Every check works below paths of its
//! own in the one folder of the fixture, and they take turns, so that a device that talks to one peer at a time passes.

mod chunks;
mod merge;
pub mod message;
mod moved;
mod read;
pub mod session;
mod transfer;

use crate::catalog::Part;
use crate::check::{Check, Context, Role, Verdict};
use crate::oracle::crypto::hex;

/// The checks of this part.
pub fn checks() -> Vec<Check> {
    [read::checks(), merge::checks(), transfer::checks(), chunks::checks(), moved::checks()].concat()
}

/// A directory that the kit's device made is taken over.
const HONEST: &str = "syn.index.honest";

fn check<F, R>(id: &str, reqs: &[&str], title: &str, run: F) -> Check
where
    F: Fn(Context) -> R + Send + Sync + 'static,
    R: Future<Output = Verdict> + Send + 'static,
{
    let check = Check::new(Role::Peer, Part::Sync, id, reqs, title, run).in_turn("peer folder");
    if id == HONEST { check } else { check.twin(HONEST) }
}

/// A name that no other check uses.
fn name(context: &Context) -> String {
    format!("kit-{}", hex(&context.random::<6>()))
}
