//! The device agent of the Meshproof reference implementation: it signs a device in, finds its peers in the graph, and
//! keeps folders the same over P2P channels. The binary `mesh` is a thin layer over [`agent::Agent`].
//!
//! ```text
//!  cli --> agent --> cloud        the graph, over HTTPS
//!            |  \--> home         what this device keeps between runs
//!            v
//!         responder --> transport a channel over TCP, direct or through a relay
//!            |
//!            v
//!         sessions                one at a time with each device, whoever opened the channel
//!            |
//!            v
//!          sync                   folders, their index, sessions; knows neither cloud nor TCP
//! ```
//!
//! What is absent, and stays so: `sync` opens no file outside a folder's root, `transport` reads no file, nothing here
//! writes a file under its own name before all of it is there.

mod admission;
pub mod agent;
pub mod backoff;
pub mod cli;
pub mod cloud;
pub mod error;
pub mod home;
pub mod lan;
pub mod relay;
pub mod responder;
pub mod sessions;
mod suites;
pub mod sync;
pub mod transport;

pub use admission::Limits;
pub use agent::Agent;
pub use error::Error;
pub use responder::Responder;
pub use sessions::Sessions;
pub use suites::SuiteBook;

/// Random bytes of the operating system, as the protocol crate takes them.
pub fn os_entropy(out: &mut [u8]) {
    // A system without random numbers cannot run this program at all.
    getrandom::fill(out).expect("the operating system has random numbers");
}

/// The clock, as the protocol crate takes it.
pub fn now() -> meshproof_proto::time::UnixTime {
    let since_1970 = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    meshproof_proto::time::UnixTime(since_1970.map_or(0, |time| time.as_secs()))
}
