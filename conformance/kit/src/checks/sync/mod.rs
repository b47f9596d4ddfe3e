//! sync.md, against a device that accepts connections.
//!
//! | file | section |
//! |---|---|
//! | [`read`] | 4.1 and 4.2, messages and names that have to be refused |
//! | [`merge`] | 4.3, two versions of one entry |
//! | [`view`] | 4.4 and 4.5, paths of entries and entries of paths |
//! | [`state`] | 3.2 and 4.6, what is not sent again and what is forgotten |
//! | [`transfer`] | 4.7, contents |
//! | [`chunks`] | 4.7, contents in chunks |
//! | [`links`] | 4.5, symbolic links |
//! | [`permissions`] | 4.5, permissions |
//! | [`ignored`] | 4.8, what is ignored |
//! | [`signed`] | 4.9, who wrote it |
//! | [`moved`] | handshake.md 4.8, a session that goes on elsewhere |
//!
//! [`message`] writes and reads the messages, [`session`] speaks the protocol honestly. Every check works below paths of its
//! own in the one folder of the fixture, and they take turns, so that a device that talks to one peer at a time passes.

mod chunks;
mod ignored;
mod links;
mod merge;
pub mod message;
mod moved;
mod permissions;
mod read;
pub mod session;
mod signed;
mod state;
mod transfer;
mod view;

use crate::catalog::Part;
use crate::check::{Check, Context, Role, Stop, Verdict};
use crate::oracle::crypto::hex;

/// The checks of this part.
pub fn checks() -> Vec<Check> {
    let parts = [read::checks(), merge::checks(), view::checks(), state::checks(), transfer::checks()];
    let more = [chunks::checks(), ignored::checks(), signed::checks(), moved::checks(), links::checks()];
    [parts.concat(), more.concat(), permissions::checks()].concat()
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

/// Whether the device gives out the content with this hash.
async fn gives(context: &Context, hash: [u8; 32]) -> Result<bool, Stop> {
    let (status, _) = transfer::fetch(&mut transfer::asking(context).await?, hash, 0, 1).await?;
    Ok(status == 0)
}
