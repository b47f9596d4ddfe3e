//! The hash of a file: of a large one on all processors.

use std::fs::File;
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};

use blake3::hazmat::{ChainingValue, HasherExt as _, Mode, merge_subtrees_non_root, merge_subtrees_root};
use meshproof_proto::storage::{MediaHash, MediaHasher};

/// How much is read at once, in bytes.
const READ: usize = 256 * 1024;
/// What one thread hashes at a time, in bytes: a power of two, so that it is a subtree of the hash.
const PART: u64 = 8 * 1024 * 1024;

/// The hash of a file that has `size` bytes, from its beginning on; of all up to its end, if that is elsewhere. `told` is told of bytes that were read.
pub(super) fn hash_of(file: &File, size: u64, told: &(dyn Fn(u64) + Sync)) -> io::Result<MediaHash> {
    if size <= 2 * PART {
        return hash_in_order(file, size, told);
    }
    match hash_parts(file, size, told)? {
        Some(hash) => Ok(hash),
        None => hash_in_order(file, size, told),
    }
}

fn hash_in_order(file: &File, size: u64, told: &(dyn Fn(u64) + Sync)) -> io::Result<MediaHash> {
    // One byte more, so that the end is seen at once.
    let room = usize::try_from(size).unwrap_or(READ).min(READ - 1) + 1;
    let (mut buffer, mut hasher, mut at) = (vec![0; room], MediaHasher::default(), 0);
    loop {
        let count = read_at(file, &mut buffer, at)?;
        if count == 0 {
            return Ok(hasher.finish());
        }
        hasher.update(&buffer[..count]);
        told(count as u64);
        at += count as u64;
        if at == size && count < buffer.len() {
            return Ok(hasher.finish());
        }
    }
}

/// `None`: the file does not have so many bytes.
fn hash_parts(file: &File, size: u64, told: &(dyn Fn(u64) + Sync)) -> io::Result<Option<MediaHash>> {
    let parts = usize::try_from(size.div_ceil(PART)).unwrap_or(usize::MAX);
    let next = AtomicUsize::new(0);
    let work = || -> io::Result<Vec<(usize, Option<ChainingValue>)>> {
        let (mut values, mut buffer) = (Vec::new(), vec![0; READ]);
        loop {
            let part = next.fetch_add(1, Ordering::Relaxed);
            if part >= parts {
                return Ok(values);
            }
            values.push((part, hash_part(file, part as u64 * PART, size, &mut buffer, told)?));
        }
    };
    let threads = std::thread::available_parallelism().map_or(1, usize::from).min(parts);
    let mut values = std::thread::scope(|scope| {
        let others: Vec<_> = (1..threads).map(|_| scope.spawn(work)).collect();
        let mut values = work()?;
        for other in others {
            values
                .extend(other.join().unwrap_or_else(|_| Err(io::Error::other("a hashing thread panicked")))?);
        }
        io::Result::Ok(values)
    })?;
    values.sort_by_key(|(part, _)| *part);
    let values: Option<Vec<ChainingValue>> = values.into_iter().map(|(_, value)| value).collect();
    Ok(values.map(|values| {
        let (left, right) = values.split_at(left_of(values.len()));
        MediaHash(*merge_subtrees_root(&merge(left), &merge(right), Mode::Hash).as_bytes())
    }))
}

/// The value of the part at `from`. `None`: it ends early.
fn hash_part(
    file: &File,
    from: u64,
    size: u64,
    buffer: &mut [u8],
    told: &(dyn Fn(u64) + Sync),
) -> io::Result<Option<ChainingValue>> {
    let mut hasher = blake3::Hasher::new();
    hasher.set_input_offset(from);
    let (mut at, end) = (from, size.min(from + PART));
    while at < end {
        let most = usize::try_from(end - at).unwrap_or(READ).min(READ);
        let count = read_at(file, &mut buffer[..most], at)?;
        if count == 0 {
            return Ok(None);
        }
        hasher.update(&buffer[..count]);
        told(count as u64);
        at += count as u64;
    }
    Ok(Some(hasher.finalize_non_root()))
}

/// The value of the tree over these, of which there is at least one.
fn merge(values: &[ChainingValue]) -> ChainingValue {
    if let [value] = values {
        return *value;
    }
    let (left, right) = values.split_at(left_of(values.len()));
    merge_subtrees_non_root(&merge(left), &merge(right), Mode::Hash)
}

/// How many of so many leaves are on the left: the largest power of two that leaves some for the right.
fn left_of(leaves: usize) -> usize {
    leaves.div_ceil(2).next_power_of_two()
}

/// Fills the buffer with what is from `at` on, wherever the file stands. `false`: there is less.
pub(super) fn fill_at(file: &File, mut buffer: &mut [u8], mut at: u64) -> io::Result<bool> {
    while !buffer.is_empty() {
        let count = read_at(file, buffer, at)?;
        if count == 0 {
            return Ok(false);
        }
        (buffer, at) = (&mut buffer[count..], at + count as u64);
    }
    Ok(true)
}

#[cfg(unix)]
fn read_at(file: &File, buffer: &mut [u8], at: u64) -> io::Result<usize> {
    loop {
        match std::os::unix::fs::FileExt::read_at(file, buffer, at) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}

#[cfg(windows)]
fn read_at(file: &File, buffer: &mut [u8], at: u64) -> io::Result<usize> {
    std::os::windows::fs::FileExt::seek_read(file, buffer, at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_the_hash_of_the_bytes() {
        let home = tempfile::tempdir().unwrap();
        let part = usize::try_from(PART).unwrap();
        for length in [0, 1, 300_000, 2 * part, 2 * part + 1, 3 * part, 4 * part + 1_025, 5 * part - 1] {
            let bytes: Vec<u8> =
                (0..length).map(|at| u8::try_from((at * 7 + at / 4096) % 251).unwrap()).collect();
            let path = home.path().join("file");
            std::fs::write(&path, &bytes).unwrap();
            let file = File::open(&path).unwrap();
            let told = AtomicUsize::new(0);
            let tell = |count: u64| {
                told.fetch_add(usize::try_from(count).unwrap(), Ordering::Relaxed);
            };
            assert_eq!(
                hash_of(&file, length as u64, &tell).unwrap(),
                MediaHash::of(&bytes),
                "{length} bytes"
            );
            assert_eq!(told.into_inner(), length);
            // Whoever looked at it before may have seen another size.
            for size in [length / 2, 2 * length] {
                let (hash, half) = (
                    hash_of(&file, size as u64, &|_| {}).unwrap(),
                    MediaHash::of(&bytes[..size.min(length)]),
                );
                let all = MediaHash::of(&bytes);
                assert!(hash == all || hash == half, "{size} of {length} bytes");
            }
        }
    }

    #[test]
    fn leaves_are_shared_out_from_the_left() {
        assert_eq!([2, 3, 4, 5, 6, 7, 8, 9, 16, 17].map(left_of), [1, 2, 2, 4, 4, 4, 4, 8, 8, 16]);
    }
}
