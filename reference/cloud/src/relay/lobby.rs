//! How many connections there are that have not shown a pass (RLY-009), so that they keep out nobody who has one.

use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, PoisonError};

use meshproof_proto::error::Error;
use meshproof_proto::requirement::{self as req, demand};
use tokio::sync::Notify;

const ALL: usize = 4_096;
const OF_ONE_SOURCE: usize = 256;

/// Counts them. Where there are too many, the oldest of the source with the most gives way to one that comes.
#[derive(Clone)]
pub(super) struct Lobby(Arc<Mutex<Taken>>);

struct Taken {
    most: usize,
    all: usize,
    next: u64,
    /// Each in the order in which they came, and how they are told that their place is gone.
    by_source: HashMap<IpAddr, BTreeMap<u64, Arc<Notify>>>,
}

impl Default for Lobby {
    fn default() -> Self {
        Self::of(ALL)
    }
}

impl Lobby {
    fn of(most: usize) -> Self {
        Self(Arc::new(Mutex::new(Taken { most, all: 0, next: 0, by_source: HashMap::new() })))
    }

    /// A place for a connection from this address. It never waits.
    pub(super) fn enter(&self, from: IpAddr) -> Result<Place, Error> {
        let source = source(from);
        let mut taken = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let own = taken.by_source.get(&source).map_or(0, BTreeMap::len);
        demand(own < OF_ONE_SOURCE, req::RLY_009)?;
        if taken.all >= taken.most {
            taken.make_room();
        }
        taken.next += 1;
        taken.all += 1;
        let (number, gone) = (taken.next, Arc::new(Notify::new()));
        taken.by_source.entry(source).or_default().insert(number, gone.clone());
        Ok(Place { lobby: self.clone(), source, number, gone })
    }
}

impl Taken {
    fn make_room(&mut self) {
        let oldest = |places: &BTreeMap<u64, _>| places.first_key_value().map(|(number, _)| *number);
        let most =
            self.by_source.iter().max_by_key(|(_, places)| (places.len(), std::cmp::Reverse(oldest(places))));
        let gives_way = most.and_then(|(source, places)| Some((*source, oldest(places)?)));
        if let Some(gone) = gives_way.and_then(|(source, number)| self.remove(source, number)) {
            gone.notify_one();
        }
    }

    fn remove(&mut self, source: IpAddr, number: u64) -> Option<Arc<Notify>> {
        let places = self.by_source.get_mut(&source)?;
        let gone = places.remove(&number)?;
        self.all -= 1;
        if places.is_empty() {
            self.by_source.remove(&source);
        }
        Some(gone)
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
    number: u64,
    gone: Arc<Notify>,
}

impl Place {
    /// Somebody else has it now: RLY-009.
    pub(super) async fn gone(&self) {
        self.gone.notified().await;
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.lobby.0.lock().unwrap_or_else(PoisonError::into_inner).remove(self.source, self.number);
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

    #[test]
    fn few_sources_keep_nobody_out() {
        let lobby = Lobby::of(16);
        let enter = |text: &str| lobby.enter(text.parse().unwrap()).ok();
        let is_gone = |place: &Place| {
            let mut gone = std::pin::pin!(place.gone());
            gone.as_mut().poll(&mut std::task::Context::from_waker(std::task::Waker::noop())).is_ready()
        };
        let mut flood: Vec<_> = (0..16).filter_map(|n| enter(&format!("2001:db8:0:{}::1", n % 4))).collect();
        let honest = enter("192.0.2.1").unwrap();
        assert!(is_gone(&flood[0]) && flood[1..].iter().all(|place| !is_gone(place)));
        for n in 0..100 {
            flood.extend(enter(&format!("2001:db8:0:{}::1", n % 4)));
        }
        assert!(!is_gone(&honest));
        assert_eq!(lobby.0.lock().unwrap().all, 16);
        drop((flood, honest));
        assert_eq!(lobby.0.lock().unwrap().all, 0);
    }
}
