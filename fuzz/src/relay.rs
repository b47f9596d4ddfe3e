//! A relay that is told anything: bytes where a JOIN should be, and any order of good and bad passes, goodbyes and time.

use std::collections::{BTreeMap, BTreeSet};

use meshproof_kit::fuzz::Draw;
use meshproof_kit::oracle::relay::{self as oracle, PassFields};
use meshproof_proto::crypto::{DEFAULT, Secret};
use meshproof_proto::relay::{
    Account, ConnectionId, Joined, Limits, Pass, REQUEST_MAX, RelayKey, Request, Side, Switchboard,
};
use meshproof_proto::time::UnixTime;

const ADDRESS: &str = "relay.example:1";
const LIMITS: Limits = Limits { connections: 12, account_connections: 4, quota: 1_000, rate: 0 };

/// The first byte chooses: the begin of a connection, a life of a switchboard, or connections of those who may have the
/// relay's key. Whether something was accepted.
pub fn relay(data: &[u8]) -> bool {
    match data.split_first() {
        Some((first, rest)) if first % 3 == 0 => begin(rest),
        Some((first, rest)) if first % 3 == 1 => life(rest),
        Some((_, rest)) => connections(&mut Draw(rest)),
        None => false,
    }
}

/// Each connection ends as the oracle has it.
fn connections(draw: &mut Draw<'_>) -> bool {
    const NOW: u64 = 1_000;
    let (key, other) = ([7; 32], [8; 32]);
    let limits = Limits { connections: 1_000, account_connections: 1_000, ..LIMITS };
    let mut board =
        Switchboard::new(DEFAULT, vec![RelayKey::new(Secret::new(key))], ADDRESS.to_owned(), limits);
    let mut theirs =
        oracle::Relay { key: key.to_vec(), address: ADDRESS.to_owned(), now: NOW, accepted: Vec::new() };
    let mut accepted = false;
    for number in 0..=(draw.below(6) as u64) {
        let mut pass = PassFields {
            key: key.to_vec(),
            address: ADDRESS.to_owned(),
            circuit: [draw.byte() % 2; 16],
            side: draw.byte() % 2,
            expires: 2_000,
            account: [1; 16],
        };
        match draw.below(6) {
            0 => pass.key = other.to_vec(),
            1 => pass.address.push('0'),
            2 => pass.side = draw.byte(),
            3 => pass.expires = *draw.pick(&[0, 999, 1_000, 1_001, u64::MAX]),
            _ => {}
        }
        let mut bytes = if draw.one_in(8) { oracle::ping(draw.array()) } else { pass.join() };
        if draw.one_in(4) {
            draw.edit(&mut bytes);
        }
        let name = |error: meshproof_proto::error::Error| error.requirement().map(|rule| rule.id);
        let ours = match Request::read(&bytes) {
            Ok(Ok(Request::Ping(_))) => Ok(oracle::Answer::Pong),
            Ok(Ok(Request::Join(pass))) => match board.join(UnixTime(NOW), ConnectionId(number), &pass) {
                Ok(Joined::Alone) => Ok(oracle::Answer::Waiting),
                Ok(Joined::With(_)) => Ok(oracle::Answer::Joined),
                Err(why) => Err(name(why.error)),
            },
            Ok(Err(_)) => Ok(oracle::Answer::Nothing),
            Err(error) => Err(name(error)),
        };
        let wanted = theirs.connection(&bytes).map_err(|rule| Some(rule.requirement));
        assert_eq!(ours, wanted, "the reference says the left of {bytes:02x?}");
        accepted |= ours.is_ok_and(|answer| answer != oracle::Answer::Nothing);
    }
    accepted
}

/// What is read of a request depends on its bytes alone, never on how they come, and nothing behind it is asked for.
fn begin(data: &[u8]) -> bool {
    let whole = Request::read(data);
    let (mut have, mut wanted) = (0, 1);
    let read = loop {
        match Request::read(&data[..have]) {
            Ok(Err(missing)) => {
                assert!(missing > 0 && have + missing <= REQUEST_MAX, "{missing} more after {have}");
                wanted = have + missing;
            }
            ended => break ended,
        }
        if wanted > data.len() {
            assert!(!matches!(whole, Ok(Ok(_))), "more is wanted of what is whole");
            return false;
        }
        have = wanted;
    };
    assert_eq!(read, whole, "delivery changed the result");
    if let Ok(Ok(request)) = read {
        assert_eq!(request.encode(), data[..wanted], "one request, one spelling");
    }
    matches!(read, Ok(Ok(_)))
}

/// What a switchboard has to be, kept in the plainest way.
#[derive(Default)]
struct Model {
    /// Circuit and account of who is there.
    there: BTreeMap<u64, (u8, u8)>,
    waiting: BTreeMap<u8, u64>,
    used: BTreeSet<(u8, bool)>,
}

fn life(data: &[u8]) -> bool {
    let key = RelayKey::new(Secret::new([7; 32]));
    let mut board = Switchboard::new(DEFAULT, vec![key.clone()], ADDRESS.to_owned(), LIMITS);
    let mut model = Model::default();
    let now = UnixTime(1_000);
    for (number, step) in (0_u64..).zip(data.chunks_exact(2)) {
        let [what, with] = [step[0], step[1]];
        if what % 4 == 0 {
            let gone = u64::from(with);
            board.leave(ConnectionId(gone));
            model.there.remove(&gone);
            model.waiting.retain(|_, id| *id != gone);
            continue;
        }
        let (circuit, called, account) = (with % 8, with & 8 != 0, with >> 6);
        let side = if called { Side::Called } else { Side::Caller };
        let expires = UnixTime(if with & 32 == 0 { 2_000 } else { 1_000 });
        let pass = Pass { circuit: [circuit; 16], side, expires, account: Account([account; 16]) };
        let mut bytes = key.seal(DEFAULT, ADDRESS, &pass);
        let forged = what % 4 == 1;
        if forged {
            bytes[usize::from(what) % bytes.len()] ^= 1 << (with >> 5);
        }
        let of_account = model.there.values().filter(|(_, of)| *of == account).count();
        let fits = of_account < LIMITS.account_connections && model.there.len() < LIMITS.connections;
        let fresh = !model.used.contains(&(circuit, called));
        let expected = !forged && expires > now && fresh && fits;
        match board.join(now, ConnectionId(number), &bytes) {
            Ok(joined) => {
                assert!(expected, "{pass:?} was accepted, forged: {forged}");
                model.used.insert((circuit, called));
                model.there.insert(number, (circuit, account));
                let other = model.waiting.remove(&circuit);
                assert_eq!(joined, other.map_or(Joined::Alone, |id| Joined::With(ConnectionId(id))));
                if other.is_none() {
                    model.waiting.insert(circuit, number);
                }
            }
            Err(why) => assert!(!expected, "{pass:?} was refused: {}", why.error),
        }
        assert_eq!(board.connections(), model.there.len());
    }
    !model.used.is_empty()
}
