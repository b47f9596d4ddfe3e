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
//!
//! ```
//! use meshproof_proto::codec::Id;
//! use meshproof_proto::crypto::{DEFAULT, Secret};
//! use meshproof_proto::relay::{ConnectionId, Joined, Limits, Pass, RelayKey, Side, Switchboard};
//! use meshproof_proto::time::UnixTime;
//!
//! let (key, address, now) = (RelayKey::new(Secret::new([1; 32])), "relay.example:8444", UnixTime(1_000));
//!
//! // The graph gives each of two devices a pass,
//! let account = key.account(DEFAULT, Id([2; 16]));
//! let pass = |side| Pass { circuit: [3; 16], side, expires: now.plus(60), account };
//! let caller = key.seal(DEFAULT, address, &pass(Side::Caller));
//! let called = key.seal(DEFAULT, address, &pass(Side::Called));
//!
//! // with which the relay joins their connections, once.
//! let limits = Limits { connections: 100, account_connections: 64, quota: 1 << 30, rate: 0 };
//! let mut relay = Switchboard::new(DEFAULT, vec![key], address.into(), limits);
//! assert_eq!(relay.join(now, ConnectionId(1), &caller), Ok(Joined::Alone));
//! assert_eq!(relay.join(now, ConnectionId(2), &called), Ok(Joined::With(ConnectionId(1))));
//! assert!(relay.join(now, ConnectionId(3), &caller).is_err()); // RLY-004
//! ```

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
