//! How many connections there are that have not shown a pass (RLY-009), so that they keep out nobody who has one.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, PoisonError};

use meshproof_proto::error::Error;
use meshproof_proto::requirement::{self as req, demand};

const ALL: usize = 4_096;
const OF_ONE_SOURCE: usize = 256;

/// Counts them.
#[derive(Clone, Default)]
pub(super) struct Lobby(Arc<Mutex<Taken>>);

#[derive(Default)]
struct Taken {
    all: usize,
    by_source: HashMap<IpAddr, usize>,
}

impl Lobby {
    /// A place for a connection from this address. It never waits.
    pub(super) fn enter(&self, from: IpAddr) -> Result<Place, Error> {
        let source = source(from);
        let mut taken = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let own = taken.by_source.get(&source).copied().unwrap_or(0);
        demand(own < OF_ONE_SOURCE && taken.all < ALL, req::RLY_009)?;
        taken.by_source.insert(source, own + 1);
        taken.all += 1;
        Ok(Place { lobby: self.clone(), source })
    }
}

/// Whoever has one IPv6 address has its /64.
fn source(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => Ipv6Addr::from_bits(v6.to_bits() & (u128::MAX << 64)).into(),
        v4 @ IpAddr::V4(_) => v4,
    }
}

/// A place, until dropped.
pub(super) struct Place {
    lobby: Lobby,
    source: IpAddr,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.lobby.0.lock().unwrap_or_else(PoisonError::into_inner);
        taken.all -= 1;
        if let Some(own) = taken.by_source.get_mut(&self.source) {
            *own -= 1;
            if *own == 0 {
                taken.by_source.remove(&self.source);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_source_leaves_room_for_others() {
        let lobby = Lobby::default();
        let enter = |text: &str| lobby.enter(text.parse().unwrap());
        let mut places: Vec<_> = (0..OF_ONE_SOURCE).map(|_| enter("192.0.2.1").unwrap()).collect();
        assert!(enter("192.0.2.1").is_err_and(|error| error.is(req::RLY_009)));
        assert!(enter("::ffff:192.0.2.1").is_err(), "the same one, said otherwise");
        assert!(enter("192.0.2.2").is_ok());
        assert!(enter("2001:db8::1").is_ok());
        places.pop();
        assert!(enter("192.0.2.1").is_ok());
        places.clear();
        let taken = lobby.0.lock().unwrap();
        assert!(taken.all == 0 && taken.by_source.is_empty());
    }
}
