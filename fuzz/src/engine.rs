//! A fuzzer without instrumentation, for `cargo test` and for planted bugs: it changes what the corpus has, and keeps what
//! was accepted. libFuzzer (`fuzz_targets/`) sees more, and needs a build of its own.

use std::panic::catch_unwind;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use meshproof_kit::fuzz::Dice;

use crate::Target;

/// What broke a promise.
#[derive(Debug)]
pub struct Found {
    /// The input.
    pub input: Vec<u8>,
    /// How many inputs it took.
    pub runs: usize,
    /// How long it took.
    pub after: Duration,
}

/// How many inputs are changed and changed again, at most.
const POOL: usize = 400;
/// The longest input, in bytes.
const LONGEST: usize = 16_384;

/// The committed corpus of a target.
pub fn corpus_of(target: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target)
}

/// The files of a corpus, by name.
pub fn read_corpus(target: &str) -> std::io::Result<Vec<(String, Vec<u8>)>> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(corpus_of(target))? {
        let entry = entry?;
        files.push((entry.file_name().to_string_lossy().into_owned(), std::fs::read(entry.path())?));
    }
    files.sort();
    Ok(files)
}

/// Feeds a target until it panics, at most so many inputs. The same seed does the same.
pub fn hunt(target: &Target, corpus: &[Vec<u8>], seed: u64, runs: usize) -> Option<Found> {
    let began = Instant::now();
    let mut dice = Dice(seed);
    let mut pool = corpus.to_vec();
    for run in 1..=runs {
        let input = next(&mut dice, &pool);
        let run_one = target.run;
        let given = input.clone();
        match catch_unwind(move || run_one(&given)) {
            Err(_) => return Some(Found { input, runs: run, after: began.elapsed() }),
            Ok(true) if pool.len() < POOL => pool.push(input),
            Ok(_) => {}
        }
    }
    None
}

fn next(dice: &mut Dice, pool: &[Vec<u8>]) -> Vec<u8> {
    if pool.is_empty() || dice.below(3) == 0 {
        let length = 1 + dice.below(96);
        return dice.bytes(length);
    }
    let mut input = pool[dice.below(pool.len())].clone();
    for _ in 0..=dice.below(4) {
        change(dice, &mut input, pool);
    }
    input.truncate(LONGEST);
    input
}

fn change(dice: &mut Dice, input: &mut Vec<u8>, pool: &[Vec<u8>]) {
    const WORDS: [&[u8]; 16] = [
        b"\0",
        b"\xff",
        b"\x01",
        b"\x7f\xff\xff\xff",
        b"\xff\xff\xff\xff",
        b"\0\0\0\0",
        b"<!--",
        b"&amp;",
        b"..",
        b"/",
        b"\"",
        b" ",
        b"0",
        b"9",
        b"Permit",
        b"=",
    ];
    let at = dice.below(input.len() + 1);
    let end = (at + 1 + dice.below(16)).min(input.len());
    match dice.below(8) {
        0 if at < input.len() => input[at] ^= 1 << dice.below(8),
        1 if at < input.len() => input[at] = dice.roll().to_be_bytes()[0],
        2 => drop(input.splice(at..at, WORDS[dice.below(WORDS.len())].iter().copied())),
        3 if at < end => drop(input.drain(at..end)),
        4 if at < end => {
            let piece = input[at..end].to_vec();
            input.splice(at..at, piece);
        }
        5 => input.truncate(at),
        6 => {
            let other = &pool[dice.below(pool.len())];
            input.truncate(at);
            input.extend_from_slice(&other[dice.below(other.len() + 1)..]);
        }
        _ => {
            let length = dice.below(16);
            input.splice(at..at, dice.bytes(length));
        }
    }
}
