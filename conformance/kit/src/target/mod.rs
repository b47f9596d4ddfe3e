//! Implementations under test, and how to talk to them.

pub mod caller;
pub mod channel;
pub mod client;
pub mod cloud;
pub mod fixture;
pub mod manners;
pub mod peer;
pub mod relay;
pub mod shim;
pub mod world;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::check::Role;

/// What a run is directed at. A check whose target is absent is not applicable.
#[derive(Clone, Default)]
pub struct Targets {
    /// What a report calls it: `mesh 0.3 at 127.0.0.1:4000`.
    pub description: String,
    /// The HTTPS services.
    pub cloud: Option<Arc<cloud::CloudTarget>>,
    /// A device that accepts connections.
    pub peer: Option<peer::PeerTarget>,
    /// A relay.
    pub relay: Option<relay::RelayTarget>,
    /// Something that runs vectors.
    pub shim: Option<ShimTarget>,
    /// Something that has a device open connections.
    pub caller: Option<ShimTarget>,
    /// The suites that it claims to have; all of them, if it does not say.
    pub caller_suites: Option<Vec<u16>>,
    /// Starts a device's program.
    pub client: Option<client::ClientTarget>,
    /// How long a check waits for something the target has to do at once.
    pub patience: Patience,
}

/// A shim that checks take turns at.
pub type ShimTarget = Arc<Mutex<dyn shim::Shim>>;

impl Targets {
    /// The roles for which there is something to test.
    pub fn roles(&self) -> Vec<Role> {
        let present = [
            (Role::Cloud, self.cloud.is_some()),
            (Role::Peer, self.peer.is_some()),
            (Role::Initiator, self.caller.is_some()),
            (Role::Relay, self.relay.is_some()),
            (Role::Client, self.client.is_some()),
            (Role::Vectors, self.shim.is_some()),
        ];
        present.into_iter().filter(|(_, present)| *present).map(|(role, _)| role).collect()
    }
}

/// How long a check waits for something the target has to do at once, such as closing a connection.
#[derive(Clone, Copy, Debug)]
pub struct Patience(pub Duration);

impl Default for Patience {
    fn default() -> Self {
        Patience(Duration::from_secs(5))
    }
}
