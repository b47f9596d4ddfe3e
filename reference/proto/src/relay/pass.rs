//! Passes: what the graph gives to each of two devices, so that a relay joins them without knowing them
//! (`spec/relay.md`, section 3).

use zeroize::Zeroizing;

use crate::codec::{Id, Reader};
use crate::crypto::{Provider, Secret, equal, expand};
use crate::time::UnixTime;

/// A pass, in bytes.
pub const PASS: usize = CIRCUIT + 1 + BOX;
/// How long a pass that is given out may be used, in seconds.
pub const PASS_LIFETIME: u64 = 60;

const CIRCUIT: usize = 16;
const PLAINTEXT: usize = 8 + 16;
const BOX: usize = PLAINTEXT + 32;

/// What two passes open together.
pub type Circuit = [u8; CIRCUIT];

/// Which of the two.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Side {
    /// The device that asked for the rendezvous.
    Caller,
    /// The other.
    Called,
}

impl Side {
    fn byte(self) -> u8 {
        match self {
            Self::Caller => 0,
            Self::Called => 1,
        }
    }
}

/// A pseudonym of a user: the same for all devices of one, and nothing to whoever has no relay key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Account(pub [u8; 16]);

/// What a pass says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pass {
    /// What it opens.
    pub circuit: Circuit,
    /// For whom.
    pub side: Side,
    /// Until when JOIN has to come.
    pub expires: UnixTime,
    /// Whose bytes they are.
    pub account: Account,
}

/// What the graph and its relays share.
#[derive(Clone)]
pub struct RelayKey(Secret);

impl RelayKey {
    /// A key of 32 random bytes.
    pub fn new(key: Secret) -> Self {
        Self(key)
    }

    /// The pseudonym of a user.
    pub fn account(&self, provider: &dyn Provider, user: Id) -> Account {
        let mac = provider.hmac(&*self.0, &[b"meshrelay/1 account", &user.0]);
        Account(mac.first_chunk().copied().unwrap_or_default())
    }

    /// Writes a pass for the relay of this address. To be done once for a circuit and side: the key of the box is theirs.
    pub fn seal(&self, provider: &dyn Provider, address: &str, pass: &Pass) -> [u8; PASS] {
        let mut plaintext = [0; PLAINTEXT];
        let (expires, account) = plaintext.split_at_mut(8);
        expires.copy_from_slice(&pass.expires.0.to_be_bytes());
        account.copy_from_slice(&pass.account.0);
        let side = pass.side.byte();
        let keys = self.keys(provider, &pass.circuit, side, address);
        keys.apply(provider, &mut plaintext);
        let tag = keys.tag(provider, &plaintext);
        let mut out = [0; PASS];
        let parts = pass.circuit.iter().chain([&side]).chain(&plaintext).chain(&tag);
        out.iter_mut().zip(parts).for_each(|(to, from)| *to = *from);
        out
    }

    /// Reads a pass for the relay of this address. `None`: it was not made for it. `lax` is for a mutant, which does not look
    /// whether it was.
    pub(super) fn open(
        &self,
        provider: &dyn Provider,
        address: &str,
        pass: &[u8; PASS],
        lax: bool,
    ) -> Option<Pass> {
        let mut reader = Reader::new(pass);
        let (circuit, side) = (reader.array()?, reader.u8()?);
        let (mut plaintext, tag) = (reader.array::<PLAINTEXT>()?, reader.rest());
        let keys = self.keys(provider, &circuit, side, address);
        if !equal(&keys.tag(provider, &plaintext), tag) && !lax {
            return None;
        }
        keys.apply(provider, &mut plaintext);
        let mut reader = Reader::new(&plaintext);
        let (expires, account) = (UnixTime(reader.u64()?), Account(reader.array()?));
        let side = match side {
            0 => Side::Caller,
            1 => Side::Called,
            _ => return None,
        };
        Some(Pass { circuit, side, expires, account })
    }

    fn keys(&self, provider: &dyn Provider, circuit: &Circuit, side: u8, address: &str) -> BoxKeys {
        let info: [&[u8]; 4] = [b"meshrelay/1 pass", circuit, &[side], address.as_bytes()];
        let key = expand::<48>(provider, &self.0, &info);
        let (mut enc, mut mac) = (Zeroizing::new([0; 16]), Secret::default());
        enc.copy_from_slice(&key[..16]);
        mac.copy_from_slice(&key[16..]);
        BoxKeys { enc, mac }
    }
}

impl core::fmt::Debug for RelayKey {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("RelayKey")
    }
}

/// The two halves of `K48`. Each is for one box.
struct BoxKeys {
    enc: Zeroizing<[u8; 16]>,
    mac: Secret,
}

impl BoxKeys {
    fn apply(&self, provider: &dyn Provider, data: &mut [u8]) {
        provider.ctr_key(&self.enc).apply(&[0; 16], data);
    }

    fn tag(&self, provider: &dyn Provider, ciphertext: &[u8]) -> [u8; 32] {
        provider.hmac(&*self.mac, &[ciphertext])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::{DEFAULT, RUSTCRYPTO};

    const PASS_OF_ALICE: Pass =
        Pass { circuit: [3; 16], side: Side::Called, expires: UnixTime(1_000), account: Account([9; 16]) };

    fn key(byte: u8) -> RelayKey {
        RelayKey::new(Secret::new([byte; 32]))
    }

    #[test]
    fn a_pass_is_for_one_key_and_one_address() {
        let sealed = key(1).seal(DEFAULT, "relay.example:1", &PASS_OF_ALICE);
        assert_eq!(sealed[..17], [[3; 16].as_slice(), &[1]].concat());
        let open = |key: RelayKey, address| key.open(RUSTCRYPTO, address, &sealed, false);
        assert_eq!(open(key(1), "relay.example:1"), Some(PASS_OF_ALICE));
        assert_eq!(open(key(2), "relay.example:1"), None);
        assert_eq!(open(key(1), "relay.example:2"), None);
    }

    #[test]
    fn no_bit_of_a_pass_can_be_changed() {
        let sealed = key(1).seal(DEFAULT, "relay.example:1", &PASS_OF_ALICE);
        for bit in 0..PASS * 8 {
            let mut changed = sealed;
            changed[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(key(1).open(DEFAULT, "relay.example:1", &changed, false), None, "bit {bit}");
        }
    }

    #[test]
    fn what_travels_shows_no_account() {
        let account = key(1).account(DEFAULT, Id([5; 16]));
        assert_ne!(account.0, [5; 16]);
        assert_ne!(account, key(2).account(DEFAULT, Id([5; 16])));
        let sealed = key(1).seal(DEFAULT, "relay.example:1", &Pass { account, ..PASS_OF_ALICE });
        assert!(!sealed.windows(8).any(|window| account.0.windows(8).any(|part| part == window)));
    }
}
