//! As much of CBOR (RFC 8949) as authenticators write: definite lengths, each number in its shortest form, no tags, no
//! floating point. Whatever is written otherwise is not read.

/// Maps in maps: an attestation statement has a few, and a stranger's is not to use up the stack.
const DEPTH: u8 = 8;

/// A data item.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Item<'a> {
    Integer(i64),
    Bytes(&'a [u8]),
    Text(&'a str),
    Array(Vec<Item<'a>>),
    /// No key is there twice.
    Map(Vec<(Item<'a>, Item<'a>)>),
    /// False, true, null.
    Simple(u8),
}

impl<'a> Item<'a> {
    /// The item that `bytes` are, all of them.
    pub(super) fn all(bytes: &'a [u8]) -> Option<Self> {
        Self::first(bytes).filter(|(_, rest)| rest.is_empty()).map(|(item, _)| item)
    }

    /// The item with which `bytes` begin, and what follows it.
    pub(super) fn first(bytes: &'a [u8]) -> Option<(Self, &'a [u8])> {
        read(bytes, DEPTH)
    }

    /// The value under this text in a map.
    pub(super) fn named(&self, name: &str) -> Option<&Self> {
        self.value(&Item::Text(name))
    }

    /// The value under this number in a map.
    pub(super) fn numbered(&self, number: i64) -> Option<&Self> {
        self.value(&Item::Integer(number))
    }

    /// A string of bytes.
    pub(super) fn bytes(&self) -> Option<&'a [u8]> {
        if let Self::Bytes(bytes) = self { Some(bytes) } else { None }
    }

    fn value(&self, key: &Item<'_>) -> Option<&Self> {
        let Self::Map(members) = self else { return None };
        members.iter().find(|(name, _)| name == key).map(|(_, value)| value)
    }
}

fn read(bytes: &[u8], depth: u8) -> Option<(Item<'_>, &[u8])> {
    let depth = depth.checked_sub(1)?;
    let (&initial, rest) = bytes.split_first()?;
    let (number, rest) = argument(initial & 0x1f, rest)?;
    // No item is shorter than a byte: what claims more items than there are bytes reserves no memory.
    let count = || usize::try_from(number).ok().filter(|count| *count <= rest.len());
    Some(match initial >> 5 {
        0 => (Item::Integer(i64::try_from(number).ok()?), rest),
        1 => (Item::Integer(-1 - i64::try_from(number).ok()?), rest),
        2 => rest.split_at_checked(count()?).map(|(bytes, rest)| (Item::Bytes(bytes), rest))?,
        3 => {
            let (text, rest) = rest.split_at_checked(count()?)?;
            (Item::Text(std::str::from_utf8(text).ok()?), rest)
        }
        4 => {
            let (mut items, mut rest) = (Vec::new(), rest);
            for _ in 0..count()? {
                let (item, after) = read(rest, depth)?;
                items.push(item);
                rest = after;
            }
            (Item::Array(items), rest)
        }
        5 => {
            let mut members: Vec<(Item<'_>, Item<'_>)> = Vec::new();
            let count = count()?;
            let mut rest = rest;
            for _ in 0..count {
                let (key, after) = read(rest, depth)?;
                let (value, after) = read(after, depth)?;
                if members.iter().any(|(other, _)| *other == key) {
                    return None;
                }
                members.push((key, value));
                rest = after;
            }
            (Item::Map(members), rest)
        }
        7 => (Item::Simple(u8::try_from(number).ok().filter(|simple| (20..=22).contains(simple))?), rest),
        _ => return None,
    })
}

/// The number of an item's head.
fn argument(information: u8, bytes: &[u8]) -> Option<(u64, &[u8])> {
    let (length, least) = match information {
        0..24 => return Some((information.into(), bytes)),
        24 => (1, 24),
        25 => (2, 1 << 8),
        26 => (4, 1 << 16),
        27 => (8, 1 << 32),
        _ => return None,
    };
    let (number, rest) = bytes.split_at_checked(length)?;
    let number = number.iter().fold(0, |number, byte| number << 8 | u64::from(*byte));
    (number >= least).then_some((number, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn items() {
        // RFC 8949, appendix A.
        for (bytes, item) in [
            (&[0x17][..], Item::Integer(23)),
            (&[0x18, 0x18], Item::Integer(24)),
            (&[0x19, 0x03, 0xe8], Item::Integer(1_000)),
            (&[0x39, 0x01, 0x00], Item::Integer(-257)),
            (&[0x44, 1, 2, 3, 4], Item::Bytes(&[1, 2, 3, 4])),
            (&[0x62, 0xc3, 0xbc], Item::Text("\u{fc}")),
            (&[0x82, 0x01, 0xf5], Item::Array(vec![Item::Integer(1), Item::Simple(21)])),
            (&[0xa1, 0x61, 0x61, 0xf6], Item::Map(vec![(Item::Text("a"), Item::Simple(22))])),
        ] {
            assert_eq!(Item::all(bytes), Some(item), "{bytes:02x?}");
        }
        let map = Item::all(&[0xa2, 0x61, 0x61, 0x01, 0x20, 0x41, 0x09]).unwrap();
        assert_eq!(map.named("a"), Some(&Item::Integer(1)));
        assert_eq!(map.numbered(-1).and_then(Item::bytes), Some(&[9][..]));
        assert_eq!(Item::first(&[0x01, 0x02]), Some((Item::Integer(1), &[2][..])));
    }

    #[test]
    fn what_is_not_read() {
        let deep = [0x81; 20];
        for bytes in [
            &[][..],
            &[0x01, 0x02],                                           // something follows
            &[0x18, 0x17],                                           // not the shortest form
            &[0x19, 0x00, 0xff],                                     // neither
            &[0x18],                                                 // ends early
            &[0x42, 0x01],                                           // ends early
            &[0x61, 0xff],                                           // no UTF-8
            &[0x5f, 0x41, 0x01, 0xff],                               // indefinite length
            &[0xc0, 0x60],                                           // a tag
            &[0xf9, 0x00, 0x00],                                     // a float
            &[0xa2, 0x01, 0x02, 0x01, 0x03],                         // one key twice
            &[0x9a, 0xff, 0xff, 0xff, 0xff, 0x01],                   // more items than bytes
            &[0x3b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff], // less than an i64
            &deep,
        ] {
            assert_eq!(Item::all(bytes), None, "{bytes:02x?}");
        }
    }
}
