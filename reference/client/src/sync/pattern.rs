//! The patterns of section 4.8 (`spec/sync.md`): a line, and what it says of a path.

use std::iter::Peekable;
use std::str::Chars;

use super::glob::{Globs, Run, Token};
use super::ignore::FILE;

/// The patterns of a file.
pub(super) struct Patterns {
    /// Of a path from the folder down.
    paths: Group,
    /// Of a name at any depth.
    names: Group,
}

/// Some of the patterns.
struct Group {
    globs: Globs,
    /// Of each its number in the file, and whether it ignores.
    rules: Vec<(usize, bool)>,
}

/// What a line says.
struct Rule {
    ignores: bool,
    only_directories: bool,
    by_name: bool,
    tokens: Vec<Token>,
}

impl Patterns {
    /// Those of the lines; none if no line is a pattern. `tell` hears of lines that count for nothing.
    pub(super) fn new(text: &str, mut tell: impl FnMut(&str, &str)) -> Option<Self> {
        let mut rules = Vec::new();
        for line in text.lines() {
            match read(line) {
                Ok(rule) => rules.extend(rule),
                Err(why) => tell(line, why),
            }
        }
        let is_any = !rules.is_empty();
        let (names, paths) =
            rules.into_iter().enumerate().partition(|(_, rule): &(usize, Rule)| rule.by_name);
        is_any.then(|| Self { paths: Group::new(paths), names: Group::new(names) })
    }

    /// Whether the path is ignored: by the last of the patterns that match it, or, if those of what it is in count, because that is.
    pub(super) fn ignore(&self, path: &str, is_directory: bool, above_counts: bool) -> bool {
        let mut whole = self.paths.globs.begin();
        let (mut end, mut names) = (0, path.split('/').peekable());
        while let Some(name) = names.next() {
            end += name.len();
            let is_last = names.peek().is_none();
            whole.pass(name);
            if (is_last || above_counts) && &path[..end] != FILE {
                let mut alone = self.names.globs.begin();
                alone.pass(name);
                let is_directory = is_directory || !is_last;
                let (one, other) =
                    (self.paths.last(&whole, is_directory), self.names.last(&alone, is_directory));
                if one.max(other).is_some_and(|(_, ignores)| ignores) {
                    return true;
                }
            }
            whole.pass("/");
            end += 1;
        }
        false
    }
}

impl Group {
    fn new(rules: Vec<(usize, Rule)>) -> Self {
        let numbers = rules.iter().map(|(number, rule)| (*number, rule.ignores)).collect();
        let globs = rules.into_iter().map(|(_, rule)| (rule.tokens, rule.only_directories));
        Self { globs: Globs::new(globs), rules: numbers }
    }

    fn last(&self, run: &Run<'_>, is_directory: bool) -> Option<(usize, bool)> {
        run.last(is_directory).map(|at| self.rules[at])
    }
}

/// Why a line is no pattern, if it is meant to be one.
pub(super) fn check(line: &str) -> Result<(), &'static str> {
    read(line).map(drop)
}

/// Nothing for a line that is empty or a comment.
fn read(line: &str) -> Result<Option<Rule>, &'static str> {
    let text = line.trim_end_matches([' ', '\t', '\r', '\u{b}', '\u{c}']);
    if text.starts_with('#') {
        return Ok(None);
    }
    let (ignores, text) = text.strip_prefix('!').map_or((true, text), |text| (false, text));
    let (only_directories, text) = text.strip_suffix('/').map_or((false, text), |text| (true, text));
    let by_name = !text.contains('/');
    let text = text.strip_prefix('/').unwrap_or(text);
    let tokens = tokens(text)?;
    Ok((!text.is_empty()).then_some(Rule { ignores, only_directories, by_name, tokens }))
}

fn tokens(text: &str) -> Result<Vec<Token>, &'static str> {
    let mut tokens = Vec::new();
    let (mut rest, mut begins) = (text.chars().peekable(), true);
    while let Some(c) = rest.next() {
        let token = match c {
            '*' => {
                let mut stars = 1;
                while rest.next_if_eq(&'*').is_some() {
                    stars += 1;
                }
                match rest.peek() {
                    Some('/') if stars > 1 && begins => {
                        rest.next();
                        tokens.push(Token::Directories);
                        continue;
                    }
                    None if stars > 1 && begins && !tokens.is_empty() => Token::All,
                    _ => Token::Some,
                }
            }
            '?' => Token::Any,
            '[' => class(&mut rest)?,
            '\\' => Token::One(rest.next().ok_or("nothing follows its \\")?),
            c => Token::One(c),
        };
        begins = token == Token::One('/');
        tokens.push(token);
    }
    Ok(tokens)
}

/// What stands behind a `[`.
fn class(rest: &mut Peekable<Chars<'_>>) -> Result<Token, &'static str> {
    const OPEN: &str = "its [ is not closed";
    let others = rest.next_if(|c| matches!(c, '!' | '^')).is_some();
    let (mut ranges, mut before) = (Vec::new(), None);
    loop {
        match rest.next().ok_or(OPEN)? {
            ']' if !ranges.is_empty() => return Ok(Token::Class { others, ranges }),
            '[' if rest.peek() == Some(&':') => return Err("it has a class with a name"),
            '-' if before.is_some() && *rest.peek().ok_or(OPEN)? != ']' => {
                let last = match rest.next() {
                    Some('\\') => rest.next(),
                    c => c,
                };
                // One that falls is its first character, which is there already.
                ranges
                    .extend(before.take().zip(Some(last.ok_or(OPEN)?)).filter(|(first, last)| first <= last));
            }
            c => {
                let c = if c == '\\' { rest.next().ok_or(OPEN)? } else { c };
                ranges.push((c, c));
                before = Some(c);
            }
        }
    }
}
