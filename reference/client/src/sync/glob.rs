//! Many patterns against one path, all at once.
//!
//! A bit says that a pattern came as far as one of its tokens, and each character of the path moves all bits of all patterns. So
//! what a path takes is bounded by its own length and by that of the file of patterns, whatever somebody wrote in it: patterns
//! that may go on in many ways cost as much as any.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

/// Of so many characters beyond ASCII it is known which tokens they pass: each takes as many bits as there are tokens.
const MOST_CHARACTERS: usize = 1_024;

/// What stands in a pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Token {
    /// This character.
    One(char),
    /// Any but `/`.
    Any,
    /// Any number of any but `/`.
    Some,
    /// Any directories, each with its `/`; none too.
    Directories,
    /// All that is left, which is something.
    All,
    /// One of these, or of the others, and never `/`.
    Class { others: bool, ranges: Vec<(char, char)> },
}

impl Token {
    /// Whether what follows it may begin behind this character.
    fn passes(&self, c: char) -> bool {
        match self {
            Self::One(one) => c == *one,
            Self::Any | Self::Some => c != '/',
            Self::Directories => c == '/',
            Self::All => true,
            Self::Class { others, ranges } => {
                c != '/' && ranges.iter().any(|(first, last)| (*first..=*last).contains(&c)) != *others
            }
        }
    }

    /// Whether it may go on behind this character.
    fn stays(&self, c: char) -> bool {
        match self {
            Self::Some => c != '/',
            Self::Directories | Self::All => true,
            Self::One(_) | Self::Any | Self::Class { .. } => false,
        }
    }

    /// Whether what follows it may begin where it does.
    fn may_be_nothing(&self) -> bool {
        matches!(self, Self::Some | Self::Directories)
    }
}

/// One bit for each token of each pattern, and one behind its last.
type Bits = Vec<u64>;

/// Patterns that are looked at together.
pub(super) struct Globs {
    /// `None`: a pattern ends.
    tokens: Vec<Option<Token>>,
    /// Where the patterns end.
    ends: Vec<usize>,
    begin: Bits,
    end: Bits,
    /// The ends of patterns that are only of directories.
    end_of_directory: Bits,
    may_be_nothing: Bits,
    stay: Bits,
    stay_behind_slash: Bits,
    /// Which tokens each character of ASCII passes.
    passed: Vec<Bits>,
    /// The same of other characters, as they came.
    others: Mutex<HashMap<char, Arc<Bits>>>,
}

impl Globs {
    /// Patterns, and whether each is only of directories.
    pub(super) fn new(patterns: impl IntoIterator<Item = (Vec<Token>, bool)>) -> Self {
        let (mut tokens, mut begins, mut ends, mut only) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for (mut pattern, only_directories) in patterns {
            // Directories of directories are directories: so no more than two may be nothing in a row.
            pattern.dedup_by(|one, before| *one == Token::Directories && one == before);
            begins.push(tokens.len());
            tokens.extend(pattern.into_iter().map(Some));
            if only_directories {
                only.push(tokens.len());
            }
            ends.push(tokens.len());
            tokens.push(None);
        }
        let of = |is: &dyn Fn(&Token) -> bool| bits_of(&tokens, is);
        let at = |places: &[usize]| {
            let mut bits = vec![0; tokens.len().div_ceil(64)];
            places.iter().for_each(|place| bits[place / 64] |= 1 << (place % 64));
            bits
        };
        let mut globs = Self {
            begin: at(&begins),
            end: at(&ends),
            end_of_directory: at(&only),
            may_be_nothing: of(&Token::may_be_nothing),
            stay: of(&|token| token.stays('x')),
            stay_behind_slash: of(&|token| token.stays('/')),
            passed: (0..128_u8).map(|c| of(&|token| token.passes(char::from(c)))).collect(),
            others: Mutex::default(),
            ends,
            tokens,
        };
        let mut carry = 0;
        for (word, nothing) in globs.begin.iter_mut().zip(&globs.may_be_nothing) {
            (*word, carry) = with_nothing(*word | carry, *nothing);
        }
        globs
    }

    /// Before the first character.
    pub(super) fn begin(&self) -> Run<'_> {
        Run { globs: self, bits: self.begin.clone(), is_over: self.tokens.is_empty() }
    }

    fn passed(&self, c: char) -> Arc<Bits> {
        let mut others = self.others.lock().unwrap_or_else(PoisonError::into_inner);
        if others.len() >= MOST_CHARACTERS && !others.contains_key(&c) {
            others.clear();
        }
        others.entry(c).or_insert_with(|| Arc::new(bits_of(&self.tokens, &|token| token.passes(c)))).clone()
    }
}

fn bits_of(tokens: &[Option<Token>], is: &dyn Fn(&Token) -> bool) -> Bits {
    let word = |tokens: &[Option<Token>]| {
        let bits = tokens.iter().enumerate();
        bits.fold(0, |word, (at, token)| word | u64::from(token.as_ref().is_some_and(is)) << at)
    };
    tokens.chunks(64).map(word).collect()
}

/// Where patterns are, they also are behind what may be nothing, of which there are no more than two in a row. And whether the
/// first of the next word is such a place.
fn with_nothing(word: u64, nothing: u64) -> (u64, u64) {
    let word = word | (word & nothing) << 1;
    let word = word | (word & nothing) << 1;
    (word, (word & nothing) >> 63)
}

/// How far patterns came.
pub(super) struct Run<'a> {
    globs: &'a Globs,
    bits: Bits,
    /// No pattern goes on.
    is_over: bool,
}

impl Run<'_> {
    /// The next characters.
    pub(super) fn pass(&mut self, text: &str) {
        text.chars().take_while(|c| self.step(*c)).for_each(drop);
    }

    fn step(&mut self, c: char) -> bool {
        if self.is_over {
            return false;
        }
        let globs = self.globs;
        let other;
        let passed = if let Some(passed) = globs.passed.get(c as usize) {
            passed
        } else {
            other = globs.passed(c);
            &*other
        };
        let stay = if c == '/' { &globs.stay_behind_slash } else { &globs.stay };
        let (mut shifted, mut nothing, mut any) = (0, 0, 0);
        for (at, word) in self.bits.iter_mut().enumerate() {
            if *word | shifted | nothing == 0 {
                continue;
            }
            let moved = *word & passed[at];
            let stays = *word & stay[at];
            (*word, nothing) = with_nothing(moved << 1 | shifted | nothing, globs.may_be_nothing[at]);
            shifted = moved >> 63;
            *word |= stays;
            any |= *word;
        }
        self.is_over = any == 0;
        !self.is_over
    }

    /// The last of the patterns that match what passed.
    pub(super) fn last(&self, is_directory: bool) -> Option<usize> {
        if self.is_over {
            return None;
        }
        let globs = self.globs;
        let ended = |at: usize| {
            let only = if is_directory { 0 } else { globs.end_of_directory[at] };
            self.bits[at] & globs.end[at] & !only
        };
        let at = (0..self.bits.len()).rev().find(|at| ended(*at) != 0)?;
        globs.ends.binary_search(&(at * 64 + 63 - ended(at).leading_zeros() as usize)).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All ways in which tokens may fit, one after the other.
    fn fits(tokens: &[Token], text: &[char]) -> bool {
        let Some((token, rest)) = tokens.split_first() else { return text.is_empty() };
        if token.may_be_nothing() && fits(rest, text) {
            return true;
        }
        let Some((c, after)) = text.split_first() else { return false };
        token.passes(*c) && fits(rest, after)
            || token.stays(*c) && {
                // What stayed is not nothing any more.
                let mut at = after;
                loop {
                    let Some((c, after)) = at.split_first() else { break false };
                    if token.passes(*c) && fits(rest, after) {
                        break true;
                    }
                    if !token.stays(*c) {
                        break false;
                    }
                    at = after;
                }
            }
    }

    fn token(random: u64) -> Token {
        match random % 11 {
            0 | 1 => Token::One('/'),
            2 => Token::One('a'),
            3 => Token::One('é'),
            4 => Token::Any,
            5 | 6 => Token::Some,
            7 => Token::Directories,
            8 => Token::All,
            9 => Token::Class { others: true, ranges: vec![('a', 'a'), ('/', '/')] },
            _ => Token::Class { others: false, ranges: vec![('b', 'c'), ('é', 'ü')] },
        }
    }

    /// As the tokens of a pattern may follow each other.
    fn pattern(next: &mut impl FnMut() -> u64) -> Vec<Token> {
        let mut tokens: Vec<Token> = Vec::new();
        for _ in 0..next() % 9 {
            let one = token(next());
            let is_fit = match one {
                Token::Directories => {
                    matches!(tokens.last(), None | Some(Token::One('/') | Token::Directories))
                }
                Token::Some => tokens.last() != Some(&Token::Some),
                _ => tokens.last() != Some(&Token::All),
            };
            if is_fit {
                tokens.push(one);
            }
        }
        tokens
    }

    fn one_of(drawn: u64, most: u64) -> usize {
        usize::try_from(drawn % most).unwrap()
    }

    #[test]
    fn the_last_that_fits_in_any_way_is_found() {
        let mut state = 0x9E37_79B9_7F4A_7C15_u64;
        let mut next = move || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            state >> 33
        };
        let mut found = [0; 2];
        for round in 0..400 {
            let patterns: Vec<(Vec<Token>, bool)> =
                (0..=next() % 40).map(|_| (pattern(&mut next), next() % 3 == 0)).collect();
            let globs = Globs::new(patterns.clone());
            for _ in 0..20 {
                let text: Vec<char> =
                    (0..next() % 8).map(|_| ['a', 'b', '/', 'é', 'x'][one_of(next(), 5)]).collect();
                for is_directory in [false, true] {
                    let expected = patterns
                        .iter()
                        .rposition(|(tokens, only)| (is_directory || !only) && fits(tokens, &text));
                    let mut run = globs.begin();
                    run.pass(&text.iter().collect::<String>());
                    assert_eq!(run.last(is_directory), expected, "round {round}: {text:?} of {patterns:?}");
                    found[usize::from(expected.is_some())] += 1;
                }
            }
        }
        assert!(found.iter().all(|number| *number > 1_000), "{found:?}");
    }
}
