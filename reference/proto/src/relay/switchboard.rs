//! Who may join, who waits for whom, and what an account has sent (`spec/relay.md`, sections 4.1 and 4.2).
//!
//! A [`Switchboard`] has no sockets: connections are numbers that the caller gives out.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::String;
use alloc::vec::Vec;

use super::message::Refusal;
use super::pass::{Account, Circuit, PASS, Pass, RelayKey, Side};
use crate::crypto::Provider;
use crate::error::Error;
use crate::requirement::{self as req, demand, demand_some, deviates};
use crate::time::UnixTime;

/// How many connections one account may have (RLY-008).
pub const ACCOUNT_CONNECTIONS: usize = 64;

const DAY: u64 = 86_400;
/// How far an account may be ahead of its rate, in milliseconds.
const BURST: u64 = 1_000;

/// A connection, by the number that the caller gave it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnectionId(pub u64);

/// How much a relay carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Connections that wait or are joined, in all (RLY-009).
    pub connections: usize,
    /// Of these, of one account (RLY-008).
    pub account_connections: usize,
    /// Bytes that an account may send in a day (RLY-018).
    pub quota: u64,
    /// Bytes that an account may send in a second, as an average. 0: as many as fit.
    pub rate: u64,
}

/// What becomes of a connection whose pass is good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Joined {
    /// It waits for the other side.
    Alone,
    /// It is joined to this one, which waited.
    With(ConnectionId),
}

/// Why a connection is not joined.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refused {
    /// What the device is told.
    pub refusal: Refusal,
    /// Which rule it is.
    pub error: Error,
}

impl From<Error> for Refused {
    fn from(error: Error) -> Self {
        let refusal = error.requirement().and_then(Refusal::of).unwrap_or(Refusal::Busy);
        Self { refusal, error }
    }
}

/// The state of a relay.
pub struct Switchboard {
    provider: &'static dyn Provider,
    keys: Vec<RelayKey>,
    address: String,
    limits: Limits,
    /// Circuits of which a pass was accepted, until their passes expire.
    circuits: BTreeMap<Circuit, Ends>,
    expiries: BTreeSet<(UnixTime, Circuit)>,
    /// Connections that wait or are joined.
    seats: BTreeMap<ConnectionId, Seat>,
    accounts: BTreeMap<Account, Usage>,
    today: u64,
    draining: bool,
}

struct Ends {
    /// When the last of its passes expires.
    until: UnixTime,
    used: BTreeSet<Side>,
    waiting: Option<ConnectionId>,
}

struct Seat {
    account: Account,
    circuit: Circuit,
}

#[derive(Default)]
struct Usage {
    connections: usize,
    /// Sent today.
    bytes: u64,
    /// When all that was sent would have been, at the allowed rate; in milliseconds of the caller's clock.
    paid_until: u64,
}

impl Switchboard {
    /// A relay with this address, which accepts passes under any of these keys.
    pub fn new(
        provider: &'static dyn Provider,
        keys: Vec<RelayKey>,
        address: String,
        limits: Limits,
    ) -> Self {
        Self {
            provider,
            keys,
            address,
            limits,
            circuits: BTreeMap::new(),
            expiries: BTreeSet::new(),
            seats: BTreeMap::new(),
            accounts: BTreeMap::new(),
            today: 0,
            draining: false,
        }
    }

    /// A connection came with a pass.
    pub fn join(
        &mut self,
        now: UnixTime,
        connection: ConnectionId,
        pass: &[u8; PASS],
    ) -> Result<Joined, Refused> {
        self.forget(now);
        let open = |lax| self.keys.iter().find_map(|key| key.open(self.provider, &self.address, pass, lax));
        let lax = || open(true).unwrap_or(EMPTY);
        let Pass { circuit, side, expires, account } = demand_some(open(false), req::RLY_002, lax)?;
        demand(now < expires, req::RLY_007)?;
        let used = self.circuits.get(&circuit).is_some_and(|ends| ends.used.contains(&side));
        demand(!used, req::RLY_004)?;
        demand(!self.draining, req::RLY_020)?;
        let usage = self.accounts.entry(account).or_default();
        demand(usage.bytes <= self.limits.quota, req::RLY_019)?;
        demand(usage.connections < self.limits.account_connections, req::RLY_008)?;
        demand(self.seats.len() < self.limits.connections, req::RLY_009)?;

        usage.connections += 1;
        self.seats.insert(connection, Seat { account, circuit });
        self.expiries.insert((expires, circuit));
        let fresh = Ends { until: expires, used: BTreeSet::new(), waiting: None };
        let ends = self.circuits.entry(circuit).or_insert(fresh);
        ends.until = ends.until.max(expires);
        ends.used.insert(side);
        let other = ends.waiting.take().filter(|_| !deviates(req::RLY_011)); // the mutant lets both wait
        if other.is_none() {
            ends.waiting = Some(connection);
        }
        Ok(other.map_or(Joined::Alone, Joined::With))
    }

    /// A connection that waited or was joined has ended.
    pub fn leave(&mut self, connection: ConnectionId) {
        let Some(Seat { account, circuit }) = self.seats.remove(&connection) else { return };
        if let Some(usage) = self.accounts.get_mut(&account) {
            usage.connections = usage.connections.saturating_sub(1);
        }
        if let Some(ends) = self.circuits.get_mut(&circuit)
            && ends.waiting == Some(connection)
        {
            ends.waiting = None;
        }
    }

    /// A joined connection has sent so many more bytes. Returns how many milliseconds nothing more is to be read from it, by
    /// a clock of which `millis` is the reading.
    pub fn sent(
        &mut self,
        now: UnixTime,
        millis: u64,
        connection: ConnectionId,
        bytes: u64,
    ) -> Result<u64, Error> {
        self.forget(now);
        let account = self.seats.get(&connection).map(|seat| seat.account);
        let usage = account.and_then(|account| self.accounts.get_mut(&account));
        let Some(usage) = usage else { return Ok(0) };
        usage.bytes = usage.bytes.saturating_add(bytes);
        demand(usage.bytes <= self.limits.quota, req::RLY_018)?;
        let Some(cost) = bytes.saturating_mul(1_000).checked_div(self.limits.rate) else { return Ok(0) };
        usage.paid_until = usage.paid_until.max(millis).saturating_add(cost);
        Ok(usage.paid_until.saturating_sub(millis.saturating_add(BURST)))
    }

    /// From now on nobody joins.
    pub fn drain(&mut self) {
        self.draining = true;
    }

    /// How many connections wait or are joined.
    pub fn connections(&self) -> usize {
        self.seats.len()
    }

    /// Forgets the passes that have expired, and yesterday.
    fn forget(&mut self, now: UnixTime) {
        while let Some((expires, circuit)) = self.expiries.first().copied().filter(|(at, _)| *at <= now) {
            self.expiries.remove(&(expires, circuit));
            if self.circuits.get(&circuit).is_some_and(|ends| ends.until <= now) {
                self.circuits.remove(&circuit);
            }
        }
        let today = now.0 / DAY;
        if self.today != today {
            self.today = today;
            self.accounts.retain(|_, usage| {
                usage.bytes = 0;
                usage.connections > 0
            });
        }
    }
}

/// What the mutant of RLY-002 makes of bytes that are no pass at all.
const EMPTY: Pass =
    Pass { circuit: [0; 16], side: Side::Caller, expires: UnixTime(u64::MAX), account: Account([0; 16]) };

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::{DEFAULT, Secret};

    const NOW: UnixTime = UnixTime(1_000_000);
    const LIMITS: Limits =
        Limits { connections: 100, account_connections: ACCOUNT_CONNECTIONS, quota: 1_000, rate: 0 };

    fn key(byte: u8) -> RelayKey {
        RelayKey::new(Secret::new([byte; 32]))
    }

    fn board(limits: Limits) -> Switchboard {
        Switchboard::new(DEFAULT, [key(1), key(2)].into(), "relay:1".into(), limits)
    }

    fn pass(circuit: u8, side: Side, account: u8) -> [u8; PASS] {
        let expires = NOW.plus(60);
        let pass = Pass { circuit: [circuit; 16], side, expires, account: Account([account; 16]) };
        key(1).seal(DEFAULT, "relay:1", &pass)
    }

    fn join(board: &mut Switchboard, connection: u64, pass: &[u8; PASS]) -> Result<Joined, Refusal> {
        board.join(NOW, ConnectionId(connection), pass).map_err(|refused| refused.refusal)
    }

    #[test]
    fn two_sides_make_a_circuit_and_nobody_else_gets_in() {
        let mut board = board(LIMITS);
        let (caller, called) = (pass(1, Side::Caller, 1), pass(1, Side::Called, 2));
        assert_eq!(join(&mut board, 1, &caller), Ok(Joined::Alone));
        assert_eq!(join(&mut board, 2, &caller), Err(Refusal::Taken));
        assert_eq!(join(&mut board, 3, &called), Ok(Joined::With(ConnectionId(1))));
        for (connection, pass) in [(4, &caller), (5, &called)] {
            assert_eq!(join(&mut board, connection, pass), Err(Refusal::Taken));
        }
        board.leave(ConnectionId(1));
        board.leave(ConnectionId(3));
        assert_eq!(join(&mut board, 6, &caller), Err(Refusal::Taken), "a pass is used once");
        assert_eq!(board.connections(), 0);
    }

    #[test]
    fn who_leaves_is_not_joined() {
        let mut board = board(LIMITS);
        assert_eq!(join(&mut board, 1, &pass(1, Side::Caller, 1)), Ok(Joined::Alone));
        board.leave(ConnectionId(1));
        assert_eq!(join(&mut board, 2, &pass(1, Side::Called, 1)), Ok(Joined::Alone));
    }

    #[test]
    fn keys_are_changed_without_a_gap() {
        let mut board = board(LIMITS);
        let fields =
            Pass { circuit: [1; 16], side: Side::Caller, expires: NOW.plus(60), account: Account([1; 16]) };
        let new = key(2).seal(DEFAULT, "relay:1", &fields);
        assert_eq!(join(&mut board, 1, &new), Ok(Joined::Alone));
        assert_eq!(join(&mut board, 2, &pass(1, Side::Called, 1)), Ok(Joined::With(ConnectionId(1))));
        let strange = key(3).seal(DEFAULT, "relay:1", &fields);
        assert_eq!(join(&mut board, 3, &strange), Err(Refusal::Unknown));
    }

    #[test]
    fn passes_expire_and_are_forgotten() {
        let mut board = board(LIMITS);
        let (caller, called) = (pass(1, Side::Caller, 1), pass(1, Side::Called, 2));
        let late = NOW.plus(60);
        let refused = board.join(late, ConnectionId(1), &caller).unwrap_err();
        assert_eq!((refused.refusal, refused.error.is(req::RLY_007)), (Refusal::Expired, true));
        assert!(board.join(NOW.plus(59), ConnectionId(2), &called).is_ok());
        assert_eq!(board.circuits.len(), 1);
        assert!(board.join(late, ConnectionId(3), &called).is_err());
        assert!(board.circuits.is_empty() && board.expiries.is_empty());
        board.leave(ConnectionId(2));
        assert_eq!(board.connections(), 0);
    }

    #[test]
    fn a_pass_is_remembered_as_long_as_itself_whatever_the_other_says() {
        let mut board = board(LIMITS);
        let pass = |side, seconds| {
            let expires = NOW.plus(seconds);
            let pass = Pass { circuit: [1; 16], side, expires, account: Account([1; 16]) };
            key(1).seal(DEFAULT, "relay:1", &pass)
        };
        let (short, long) = (pass(Side::Caller, 5), pass(Side::Called, 60));
        assert_eq!(join(&mut board, 1, &short), Ok(Joined::Alone));
        assert_eq!(join(&mut board, 2, &long), Ok(Joined::With(ConnectionId(1))));
        for seconds in [6, 59] {
            let again = board.join(NOW.plus(seconds), ConnectionId(3), &long).unwrap_err();
            assert_eq!(again.refusal, Refusal::Taken, "after {seconds} s");
        }
        board.leave(ConnectionId(1));
        board.leave(ConnectionId(2));
        assert!(board.join(NOW.plus(60), ConnectionId(4), &long).is_err());
        assert!(board.circuits.is_empty() && board.expiries.is_empty());
    }

    #[test]
    fn one_account_leaves_room_for_others() {
        let mut board = board(Limits { account_connections: 2, connections: 3, ..LIMITS });
        assert!(join(&mut board, 1, &pass(1, Side::Caller, 1)).is_ok());
        assert!(join(&mut board, 2, &pass(2, Side::Caller, 1)).is_ok());
        assert_eq!(join(&mut board, 3, &pass(3, Side::Caller, 1)), Err(Refusal::Busy));
        assert!(join(&mut board, 4, &pass(4, Side::Caller, 2)).is_ok());
        let refused = board.join(NOW, ConnectionId(5), &pass(5, Side::Caller, 3)).unwrap_err();
        assert!(refused.error.is(req::RLY_009));
        board.leave(ConnectionId(1));
        assert!(join(&mut board, 6, &pass(3, Side::Caller, 1)).is_ok(), "a refused pass was not used");
    }

    #[test]
    fn quotas_end_with_the_day() {
        let mut board = board(LIMITS);
        assert!(join(&mut board, 1, &pass(1, Side::Caller, 1)).is_ok());
        assert_eq!(board.sent(NOW, 0, ConnectionId(1), 1_000), Ok(0));
        assert!(join(&mut board, 2, &pass(2, Side::Caller, 1)).is_ok(), "all of it, and not more");
        assert!(board.sent(NOW, 0, ConnectionId(1), 1).unwrap_err().is(req::RLY_018));
        assert_eq!(join(&mut board, 3, &pass(3, Side::Caller, 1)), Err(Refusal::Quota));
        assert!(join(&mut board, 4, &pass(4, Side::Caller, 2)).is_ok());
        assert_eq!(board.sent(NOW.plus(DAY), 0, ConnectionId(1), 1), Ok(0));
        board.leave(ConnectionId(1));
        assert_eq!(board.sent(NOW, 0, ConnectionId(1), 5_000), Ok(0), "who has left sends nothing");
    }

    #[test]
    fn a_rate_is_an_average() {
        let mut board = board(Limits { rate: 100, quota: u64::MAX, ..LIMITS });
        assert!(join(&mut board, 1, &pass(1, Side::Caller, 1)).is_ok());
        assert_eq!(board.sent(NOW, 5_000, ConnectionId(1), 100), Ok(0), "a second's worth at once");
        assert_eq!(board.sent(NOW, 5_000, ConnectionId(1), 50), Ok(500));
        assert_eq!(board.sent(NOW, 5_500, ConnectionId(1), 0), Ok(0));
        assert_eq!(board.sent(NOW, 90_000, ConnectionId(1), 200), Ok(1_000));
    }

    #[test]
    fn nobody_joins_a_relay_that_drains() {
        let mut board = board(LIMITS);
        assert!(join(&mut board, 1, &pass(1, Side::Caller, 1)).is_ok());
        board.drain();
        assert_eq!(join(&mut board, 2, &pass(1, Side::Called, 1)), Err(Refusal::Draining));
    }
}
