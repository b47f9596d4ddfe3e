//! Each byte of a pass, each begin of a message, and what a pass meets: side, rest of its time and who is there already.

use super::{ADDRESS, EXPIRED, Joins, NOW, PassFields, TAKEN, UNKNOWN, called, caller, join, key};
use crate::oracle::relay::{account, ping};
use crate::vectors::fixtures::{ALICE, BOB};
use crate::vectors::pairs::rows;

impl Joins {
    /// No byte of a pass may be another one, and no begin of a message is enough.
    pub(super) fn bytes(&mut self) {
        let good = caller().seal();
        for at in 0..good.len() {
            let mut pass = good.clone();
            pass[at] ^= 1 << ((at + 3) % 8);
            let (id, comment) = (format!("byte-{at}"), format!("a bit of byte {at} of the pass is flipped"));
            self.invalid(&id, "alone", UNKNOWN, &comment, NOW, &[join(&pass)]);
        }
        let (whole, ping) = (caller().join(), ping([0xa5; 8]));
        for cut in (4..whole.len()).filter(|cut| ![20, 75].contains(cut)) {
            let comment = format!("{cut} bytes of JOIN so far");
            self.valid(&format!("cut-{cut}"), &[], &comment, &[whole[..cut].to_vec()]);
        }
        for cut in (3..ping.len()).filter(|cut| *cut != 10) {
            let comment = format!("{cut} bytes of PING so far");
            self.valid(&format!("ping-cut-{cut}"), &[], &comment, &[ping[..cut].to_vec()]);
        }
    }

    /// Each two of side, user, circuit, rest of the time, and what is there.
    pub(super) fn pairs(&mut self) {
        let rests = [1, 59, 60, 61, 300, 1 << 33];
        let circuits = [[0; 16], [0x11; 16], [0xff; 16]];
        let users = [ALICE, BOB, "00000000000000000000000000000000", "ffffffffffffffffffffffffffffffff"];
        // Nobody; the other side; sides of another circuit; the other side and then a PING.
        let there = 4;
        let faults = 4;
        let mut twins: Vec<Vec<usize>> = Vec::new();
        for row in rows(&[2, rests.len(), circuits.len(), users.len(), there, faults]) {
            let side = u8::from(row[0] == 1);
            let fields = PassFields {
                key: key().to_vec(),
                address: ADDRESS.to_owned(),
                circuit: circuits[row[2]],
                side,
                expires: NOW + rests[row[1]],
                account: account(&key(), &super::user(users[row[3]])),
            };
            let other = PassFields { side: 1 - side, expires: NOW + 60, ..fields.clone() };
            let (here, who) = match row[4] {
                0 => (Vec::new(), "nobody is there"),
                1 => (vec![other.join()], "the other side waits"),
                2 => {
                    let away = |fields: PassFields| PassFields { circuit: [0xc2; 16], ..fields }.join();
                    (vec![away(caller()), away(called())], "another circuit is joined")
                }
                _ => (vec![ping([7; 8]), other.join()], "somebody sent a PING, and the other side waits"),
            };
            let what = format!("side {side}, {} s left, {who}", rests[row[1]]);
            let with = |last: Vec<u8>| [here.clone(), vec![last]].concat();
            let good = fields.join();
            let known = twins.iter().position(|twin| *twin == row[..5]);
            let twin = format!("pair-{}", known.unwrap_or(twins.len()));
            if known.is_none() {
                twins.push(row[..5].to_vec());
                self.valid(&twin, &["RLY-010"], &what, &with(good.clone()));
            }
            let (id, how, rule, now, connections) = match row[5] {
                0 => ("expired", "its time is over", EXPIRED, fields.expires, with(good)),
                1 => {
                    let pass = PassFields { key: vec![9; 32], ..fields.clone() };
                    ("other-key", "made under another key", UNKNOWN, NOW, with(pass.join()))
                }
                2 => {
                    let mut pass = fields.seal();
                    pass[16] = 1 - side;
                    ("other-side", "the other side is named", UNKNOWN, NOW, with(join(&pass)))
                }
                _ => {
                    let twice = [with(good.clone()), vec![good]].concat();
                    ("taken", "the same pass once more", TAKEN, NOW, twice)
                }
            };
            // Where the clock is beyond the pass it may be beyond others, which then are no twins.
            if id == "expired" && !here.is_empty() {
                continue;
            }
            self.invalid(&format!("{twin}-{id}"), &twin, rule, &format!("{what}: {how}"), now, &connections);
        }
    }
}
