//! How devices that know each other do so on a local network, where others learn nothing (`spec/handshake.md`, section 4.9).

use alloc::collections::BTreeSet;
use alloc::string::String;
use alloc::vec::Vec;

use crate::codec::{Id, hex, hex_array};
use crate::crypto::{Entropy, Provider, Secret, draw};
use crate::time::UnixTime;

/// The DNS-SD service.
pub const SERVICE: &str = "_meshproof._tcp.local.";
/// For how long tags and name are the same, in seconds.
pub const PERIOD: u64 = 900;

/// How many tags are announced: a multiple of this.
const STEP: usize = 8;
/// How many fit.
const MAX_TAGS: usize = 64;
/// How many in one string of the TXT record.
const IN_STRING: usize = 8;

/// What the graph gives out for a pair.
#[derive(Clone)]
pub struct LanKey(Secret);

/// What stands for a device in an announcement, to one peer and in one period.
pub type Tag = [u8; 8];

impl LanKey {
    /// The key with these bytes.
    pub fn new(key: [u8; 32]) -> Self {
        Self(Secret::new(key))
    }

    fn tag(&self, p: &dyn Provider, announcer: Id, period: u64) -> Tag {
        let mac = p.hmac(&*self.0, &[b"meshp2p/1 lan", &announcer.0, &period.to_be_bytes()]);
        mac.first_chunk().copied().unwrap_or_default()
    }

    /// The tags that stand for `peer` now: of the period before, this one and the next, for clocks differ.
    pub fn tags(&self, p: &dyn Provider, peer: Id, now: UnixTime) -> [Tag; 3] {
        let period = now.0 / PERIOD;
        [period.saturating_sub(1), period, period + 1].map(|period| self.tag(p, peer, period))
    }

    /// One of the tags that stand for nobody, of a device that keeps this key to itself.
    fn padding(&self, p: &dyn Provider, number: u8, period: u64) -> Tag {
        let mac = p.hmac(&*self.0, &[b"meshp2p/1 lan padding", &[number], &period.to_be_bytes()]);
        mac.first_chunk().copied().unwrap_or_default()
    }
}

/// An announcement of one period.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Announcement {
    /// The name of instance and host.
    pub name: String,
    /// The TXT record.
    pub properties: Vec<(String, String)>,
}

impl Announcement {
    /// Announces `own` to those with whom it has these keys, and nothing to others. Of more than 64 the first count. `padding` is a key
    /// that nobody else has; with the same, all announcements of a period have the same tags.
    pub fn new<'a>(
        p: &dyn Provider,
        own: Id,
        keys: impl IntoIterator<Item = &'a LanKey>,
        padding: &LanKey,
        now: UnixTime,
        entropy: &mut dyn Entropy,
    ) -> Self {
        let keys = keys.into_iter().take(MAX_TAGS);
        let period = now.0 / PERIOD;
        let mut tags: BTreeSet<Tag> = keys.map(|key| key.tag(p, own, period)).collect();
        let count = tags.len().next_multiple_of(STEP).max(STEP);
        // HSK-063
        let paddings = (0..=u8::MAX).map(|number| padding.padding(p, number, period));
        for tag in paddings {
            if tags.len() == count {
                break;
            }
            tags.insert(tag);
        }
        let tags: Vec<String> = tags.iter().map(|tag| hex(tag)).collect();
        let strings = tags.chunks(IN_STRING).enumerate();
        let strings = strings.map(|(number, tags)| (alloc::format!("t{number}"), tags.concat()));
        let version = [("v".into(), "1".into())];
        Self { name: hex(&draw::<8>(entropy)), properties: version.into_iter().chain(strings).collect() }
    }
}

/// The tags of a TXT record, of which `value` gives the value of a key. None of what is not understood.
pub fn read_tags<'a>(value: impl Fn(&str) -> Option<&'a str>) -> BTreeSet<Tag> {
    let mut tags = BTreeSet::new();
    if value("v") != Some("1") {
        return tags;
    }
    for number in 0..MAX_TAGS / IN_STRING {
        let Some(text) = value(&alloc::format!("t{number}")) else { break };
        let pieces = text.as_bytes().chunks(16).take(IN_STRING);
        tags.extend(pieces.filter_map(|piece| core::str::from_utf8(piece).ok().and_then(hex_array)));
    }
    tags
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::DEFAULT;
    use crate::test_keys::Script;

    const OWN: Id = Id([1; 16]);
    const NOW: UnixTime = UnixTime(1_800_000_000);

    fn announced(keys: &[LanKey], now: UnixTime, seed: u64) -> (Announcement, BTreeSet<Tag>) {
        let padding = LanKey::new([0xA5; 32]);
        let announcement = Announcement::new(DEFAULT, OWN, keys, &padding, now, &mut Script::new(seed));
        let value = |key: &str| {
            announcement.properties.iter().find(|(known, _)| known == key).map(|(_, value)| &**value)
        };
        let tags = read_tags(value);
        (announcement, tags)
    }

    fn keys(count: u8) -> Vec<LanKey> {
        (0..count).map(|byte| LanKey::new([byte; 32])).collect()
    }

    #[test]
    fn peers_find_the_device_and_nobody_else_does() {
        let keys = keys(3);
        let (_, tags) = announced(&keys, NOW, 1);
        let finds =
            |key: &LanKey, peer, now| key.tags(DEFAULT, peer, now).iter().any(|tag| tags.contains(tag));
        for key in &keys {
            assert!(finds(key, OWN, NOW));
            assert!(!finds(key, Id([2; 16]), NOW), "the peer's own tag is another");
            for later in [NOW.plus(PERIOD), UnixTime(NOW.0 - PERIOD)] {
                assert!(finds(key, OWN, later), "clocks differ");
            }
            assert!(!finds(key, OWN, NOW.plus(2 * PERIOD)), "it ends");
        }
        assert!(!finds(&LanKey::new([9; 32]), OWN, NOW));
    }

    #[test]
    fn an_announcement_shows_neither_identifier_nor_how_many_peers_there_are() {
        for (peers, shown) in [(0, 8), (1, 8), (8, 8), (9, 16), (64, 64), (80, 64)] {
            let (announcement, tags) = announced(&keys(peers), NOW, 1);
            assert_eq!(tags.len(), shown, "{peers}");
            let strings = announcement.properties.iter().map(|(key, value)| key.len() + 1 + value.len());
            assert!(strings.clone().all(|length| length <= 255) && strings.sum::<usize>() < 1_200);
            let all = alloc::format!("{announcement:?}");
            assert!(!all.contains(&hex(&OWN.0[..4])));
        }
    }

    #[test]
    fn nothing_of_one_period_is_in_the_next() {
        let keys = keys(5);
        let (before, old) = announced(&keys, NOW, 1);
        let (after, new) = announced(&keys, NOW.plus(PERIOD), 2);
        assert!(old.is_disjoint(&new) && before.name != after.name);
        let (again, same) = announced(&keys, NOW.plus(PERIOD - 1), 2);
        assert_eq!(old, same, "what repeats within a period tells nothing of what stands for somebody");
        assert_ne!(before.name, again.name);
        let (_, fewer) = announced(&keys[..4], NOW, 3);
        assert_eq!(old.intersection(&fewer).count(), 7);
    }

    #[test]
    fn what_strangers_announce_is_read_without_harm() {
        let none = |_: &str| None;
        assert!(read_tags(none).is_empty());
        let odd = |key: &str| match key {
            "v" => Some("1"),
            "t0" => Some("0011223344556677zz"),
            "t1" => Some("\u{e9}\u{e9}\u{e9}\u{e9}\u{e9}\u{e9}\u{e9}\u{e9}\u{e9}"),
            _ => None,
        };
        assert_eq!(read_tags(odd).len(), 1);
        assert!(read_tags(|key| if key == "v" { Some("2") } else { odd(key) }).is_empty());
    }
}
