//! The relay of `spec/relay.md`: passes, the few bytes before a circuit, and who is joined to whom.
//!
//! ```text
//!  Hello --JOIN, side alone--> Waiting --the other side--> Joined --both directions ended--> Closed
//!    |  \--JOIN, the other side waits---------------------->  |
//!    |                            |                           |
//!    +-- not acceptable, late ----+-- nobody came, drain -----+-- idle, quota, a reset --> Closed
//! ```
//!
//! What is absent, and stays so: nothing here imports `handshake`, `record` or `ticket`. What the relay forwards are bytes to
//! it.

mod message;
mod pass;
mod switchboard;

pub use message::{NotAReply, PONG_LENGTH, REQUEST_MAX, Refusal, Reply, Request};
pub use pass::{Account, Circuit, PASS, PASS_LIFETIME, Pass, RelayKey, Side};
pub use switchboard::{ACCOUNT_CONNECTIONS, ConnectionId, Joined, Limits, Refused, Switchboard};

/// How long a connection may take for its JOIN, in seconds (RLY-013).
pub const JOIN_TIME: u64 = 10;
/// How long a connection waits for the other side, in seconds (RLY-014).
pub const WAIT_TIME: u64 = 30;
/// How long a circuit may be silent, in seconds (RLY-017).
pub const IDLE_TIME: u64 = 300;
