//! Cutting content into chunks by what it has (FastCDC: gear hash, normalised), so that an insertion moves the cuts with the
//! bytes and leaves all other chunks as they were. Where to cut is the sender's choice; this is ours (`spec/sync.md`,
//! section 4.7).

use std::io::Read;
use std::sync::LazyLock;

use meshproof_proto::storage::MediaHash;
use meshproof_proto::sync::Chunk;
use meshproof_proto::sync::manifest::{MAX_CHUNK, MAX_CHUNKS};

/// How much is read at once beyond the longest chunk, in bytes.
const READ: usize = 4 * 1024 * 1024;
const KIB: usize = 1024;

/// A random number for each byte, from its hash so that it need not be written down.
static GEAR: LazyLock<[u64; 256]> = LazyLock::new(|| {
    std::array::from_fn(|byte| {
        let named = [&b"meshproof gear"[..], &[u8::try_from(byte).unwrap_or_default()]].concat();
        MediaHash::of(&named).0[..8].iter().fold(0, |number, byte| (number << 8) | u64::from(*byte))
    })
});

/// How long chunks are, in bytes. The average is a power of two.
#[derive(Clone, Copy, Debug)]
struct Lengths {
    least: usize,
    average: usize,
    most: usize,
}

/// From short chunks for most content to the longest there can be, for content that would have too many otherwise.
const LENGTHS: [Lengths; 4] = [
    Lengths { least: 32 * KIB, average: 128 * KIB, most: 512 * KIB },
    Lengths { least: 256 * KIB, average: 1024 * KIB, most: 4096 * KIB },
    Lengths { least: 2048 * KIB, average: 2048 * KIB, most: 4096 * KIB },
    Lengths { least: MAX_CHUNK as usize, average: MAX_CHUNK as usize, most: MAX_CHUNK as usize },
];

/// The chunks of what `open` gives to read. `None` if it is too long for any manifest, empty, or cannot be read.
pub(super) fn cut<R: Read>(size: u64, mut open: impl FnMut() -> Option<R>) -> Option<Vec<Chunk>> {
    let mut lengths = LENGTHS.iter().filter(|lengths| size / lengths.average as u64 <= MAX_CHUNKS as u64);
    // Content can be such that all its chunks are short: then again, with longer ones.
    lengths.find_map(|lengths| cut_with(lengths, open()?)).filter(|chunks| !chunks.is_empty())
}

fn cut_with(lengths: &Lengths, mut content: impl Read) -> Option<Vec<Chunk>> {
    let mut chunks = Vec::new();
    let mut buffer = vec![0; lengths.most + READ];
    let (mut from, mut to, mut ended) = (0, 0, false);
    loop {
        if to - from < lengths.most && !ended {
            buffer.copy_within(from..to, 0);
            (from, to) = (0, to - from);
            while to < buffer.len() && !ended {
                match content.read(&mut buffer[to..]) {
                    Ok(0) => ended = true,
                    Ok(count) => to += count,
                    Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                    Err(_) => return None,
                }
            }
        }
        if from == to {
            return Some(chunks);
        }
        if chunks.len() == MAX_CHUNKS {
            return None;
        }
        let length = first(&buffer[from..to], lengths);
        let hash = MediaHash::of(&buffer[from..from + length]);
        chunks.push(Chunk { hash, length: u32::try_from(length).ok()? });
        from += length;
    }
}

/// The length of the first chunk of `bytes`, which are all that is left or at least the longest chunk.
///
/// Up to the average length a cut takes one bit more than behind it: so most chunks are near the average.
fn first(bytes: &[u8], lengths: &Lengths) -> usize {
    let end = bytes.len().min(lengths.most);
    if end <= lengths.least {
        return end;
    }
    let bits = lengths.average.trailing_zeros();
    let (strict, lax) = (!0 << (64 - bits - 1), !0 << (64 - bits + 1));
    let normal = end.min(lengths.average).max(lengths.least);
    let gear = &*GEAR;
    let mut hash = 0_u64;
    for (range, mask) in [(lengths.least..normal, strict), (normal..end, lax)] {
        for (at, byte) in range.clone().zip(&bytes[range]) {
            hash = (hash << 1).wrapping_add(gear[usize::from(*byte)]);
            if hash & mask == 0 {
                return at + 1;
            }
        }
    }
    end
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    /// Bytes that look random, the same in every run.
    fn bytes(seed: u64, length: usize) -> Vec<u8> {
        let mut state = seed.wrapping_mul(2).wrapping_add(1);
        let mut next = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            state.to_be_bytes()[0]
        };
        (0..length).map(|_| next()).collect()
    }

    fn cut_all(content: &[u8]) -> Vec<Chunk> {
        cut(content.len() as u64, || Some(content)).unwrap()
    }

    #[test]
    fn chunks_are_the_content() {
        for length in [1, 1_000, 32 * KIB, 600_000, 5_000_000] {
            let content = bytes(length as u64, length);
            let mut at = 0;
            let chunks = cut_all(&content);
            for chunk in &chunks {
                let end = at + chunk.length as usize;
                assert_eq!(chunk.hash, MediaHash::of(&content[at..end]));
                at = end;
            }
            assert_eq!(at, length);
            for chunk in &chunks[..chunks.len() - 1] {
                assert!((32 * KIB..=512 * KIB).contains(&(chunk.length as usize)));
            }
        }
        let average = 20_000_000 / cut_all(&bytes(7, 20_000_000)).len();
        assert!((100 * KIB..180 * KIB).contains(&average), "{average}");
    }

    #[test]
    fn an_insertion_changes_the_chunks_around_it_only() {
        let old = bytes(1, 8_000_000);
        let known: HashSet<_> = cut_all(&old).into_iter().map(|chunk| chunk.hash.0).collect();
        for at in [0, 1, 4_000_000, 8_000_000] {
            let new = [&old[..at], b"inserted", &old[at..]].concat();
            let fresh: u32 =
                cut_all(&new).iter().filter(|c| !known.contains(&c.hash.0)).map(|c| c.length).sum();
            assert!(fresh > 0 && fresh < 1_100_000, "{fresh} bytes are in new chunks");
        }
    }

    #[test]
    fn how_it_is_read_does_not_matter() {
        struct Little<'a>(&'a [u8]);
        impl Read for Little<'_> {
            fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
                let some = buffer.len().min(9_999);
                self.0.read(&mut buffer[..some])
            }
        }
        let content = bytes(3, 6_000_000);
        assert_eq!(cut(6_000_000, || Some(Little(&content))).unwrap(), cut_all(&content));
    }

    #[test]
    fn content_of_one_byte_has_the_longest_chunks() {
        let chunks = cut_all(&vec![0; 3_000_000]);
        assert!(chunks[..5].iter().all(|chunk| chunk.length == 524_288), "{chunks:?}");
    }

    #[test]
    fn nothing_has_no_chunks() {
        assert_eq!(cut(0, || Some(&[][..])), None);
        assert_eq!(cut(10, || None::<&[u8]>), None);
        assert_eq!(cut(u64::MAX, || Some(&[1][..])), None);
    }
}
