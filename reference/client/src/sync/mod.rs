//! Synchronising folders (`spec/sync.md`): what is on disk, what is known of it, and sessions with peers.
//!
//! ```text
//!  watch, scan -> Index <-------- apply <---- fetch <--\
//!  (own changes)    |    (what changed on disk)         session <--> peer
//!                   \------> upload -------------------/
//! ```
//!
//! Everything here blocks and runs on threads for blocking work. A folder's files change only under the lock of its
//! [`Folder`]: one scan or one batch of received changes at a time.

mod apply;
mod bound;
mod changes;
mod chunk;
mod claims;
mod collect;
mod direct;
mod disk;
mod entries;
mod fetch;
mod few;
mod folder;
mod forks;
mod given;
mod glob;
mod hash;
pub mod ignore;
mod index;
pub mod journal;
mod keepers;
mod keyed;
mod known;
mod land;
mod limit;
mod link;
mod moves;
pub mod only;
mod part;
mod past;
mod pattern;
mod place;
mod plan;
mod progress;
mod prune;
mod pulse;
mod receiving;
pub mod replica;
mod row;
#[cfg(test)]
mod sample;
mod scan;
mod scope;
mod session;
mod shape;
mod shown;
mod take;
mod temp;
mod together;
mod upload;
pub mod versions;
mod watch;
mod writers;

pub use disk::Seen;
pub use folder::{Direction, Folder};
pub use index::{Batch, Clock, Index, Record};
pub use limit::{Bucket, Limited};
pub use past::Past;
pub use progress::{NoProgress, Progress, Report, SkipReason, Skipped};
pub use pulse::Pulse;
pub use scan::{ScanReport, names_left_out, scan};
pub use scope::refresh;
pub use session::run as run_session;
pub use shown::{Doubt, Shown, Standing};
pub use temp::PREFIX as TEMP_PREFIX;
pub use writers::Signer;
