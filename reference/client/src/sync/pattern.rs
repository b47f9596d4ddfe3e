//! The patterns of section 4.8 (`spec/sync.md`): a line, and what it says of a path. They become regular expressions, whose
//! matching takes time in proportion to the path, whatever somebody wrote.

use std::fmt::Write as _;
use std::iter::Peekable;
use std::str::Chars;

use regex::{RegexSet, RegexSetBuilder};

/// More than this takes the memory of somebody who only joined a folder.
const MOST: usize = 64 << 20;

/// The patterns of a file, in its order.
pub(super) struct Patterns {
    set: RegexSet,
    /// One for each of the set.
    rules: Vec<Rule>,
}

#[derive(Clone, Copy)]
struct Rule {
    ignores: bool,
    only_directories: bool,
}

impl Patterns {
    /// Those of the lines; none if no line is a pattern. `tell` hears of lines that count for nothing.
    pub(super) fn new(text: &str, mut tell: impl FnMut(&str, &str)) -> Option<Self> {
        let (mut rules, mut expressions) = (Vec::new(), Vec::new());
        for line in text.lines() {
            match read(line) {
                Ok(Some((rule, expression))) => {
                    rules.push(rule);
                    expressions.push(expression);
                }
                Ok(None) => {}
                Err(why) => tell(line, why),
            }
        }
        // Together they may be more than is taken: then none counts, and nobody has to guess which.
        let set = RegexSetBuilder::new(expressions).size_limit(MOST).build();
        let set = set.inspect_err(|error| tell("all lines", &error.to_string())).ok()?;
        (!rules.is_empty()).then_some(Self { set, rules })
    }

    /// What the last of them that matches says of the path; those above it are for the caller.
    pub(super) fn ignore(&self, path: &str, is_directory: bool) -> bool {
        let matched = self.set.matches(path);
        let mut rules = matched.iter().rev().map(|at| self.rules[at]);
        rules.find(|rule| is_directory || !rule.only_directories).is_some_and(|rule| rule.ignores)
    }
}

/// Why a line is no pattern, if it is meant to be one.
pub(super) fn check(line: &str) -> Result<(), &'static str> {
    read(line).map(drop)
}

/// Nothing for a line that is empty or a comment.
fn read(line: &str) -> Result<Option<(Rule, String)>, &'static str> {
    let text = line.trim_end_matches([' ', '\t', '\r', '\u{b}', '\u{c}']);
    if text.starts_with('#') {
        return Ok(None);
    }
    let (ignores, text) = text.strip_prefix('!').map_or((true, text), |text| (false, text));
    let (only_directories, text) = text.strip_suffix('/').map_or((false, text), |text| (true, text));
    let anywhere = if text.contains('/') { "" } else { "(?:.*/)?" };
    let text = text.strip_prefix('/').unwrap_or(text);
    let body = expression(text)?;
    Ok((!text.is_empty()).then(|| (Rule { ignores, only_directories }, format!("(?s)^{anywhere}{body}$"))))
}

fn expression(text: &str) -> Result<String, &'static str> {
    let mut out = String::new();
    let (mut rest, mut begins) = (text.chars().peekable(), true);
    while let Some(c) = rest.next() {
        match c {
            '*' => {
                let mut stars = 1;
                while rest.next_if_eq(&'*').is_some() {
                    stars += 1;
                }
                match rest.peek() {
                    Some('/') if stars > 1 && begins => {
                        rest.next();
                        out.push_str("(?:.*/)?");
                        continue;
                    }
                    None if stars > 1 && begins && !out.is_empty() => out.push_str(".+"),
                    _ => out.push_str("[^/]*"),
                }
            }
            '?' => out.push_str("[^/]"),
            '[' => class(&mut rest, &mut out)?,
            '\\' => {
                let c = rest.next().ok_or("nothing follows its \\")?;
                literal(&mut out, c);
                begins = c == '/';
                continue;
            }
            c => literal(&mut out, c),
        }
        begins = c == '/';
    }
    Ok(out)
}

fn literal(out: &mut String, c: char) {
    write!(out, "\\x{{{:x}}}", u32::from(c)).expect("writing to a String");
}

/// What stands behind a `[`. No class has a `/`, whatever it names.
fn class(rest: &mut Peekable<Chars<'_>>, out: &mut String) -> Result<(), &'static str> {
    const OPEN: &str = "its [ is not closed";
    let others = rest.next_if(|c| matches!(c, '!' | '^')).is_some();
    out.push_str(if others { "[^/" } else { "[" });
    let (mut first, mut before) = (true, None);
    loop {
        let c = rest.next().ok_or(OPEN)?;
        match c {
            ']' if !first => break,
            '[' if rest.peek() == Some(&':') => return Err("it has a class with a name"),
            '-' if before.is_some() && *rest.peek().ok_or(OPEN)? != ']' => {
                let last = member(rest)?;
                // One that falls is its first character, which is there already.
                if let Some(from) = before.take().filter(|from| *from <= last) {
                    literal(out, from);
                    out.push('-');
                    literal(out, last);
                }
            }
            c => {
                let c = if c == '\\' { rest.next().ok_or(OPEN)? } else { c };
                literal(out, c);
                before = Some(c);
            }
        }
        first = false;
    }
    out.push_str(if others { "]" } else { "--/]" });
    Ok(())
}

/// The end of a range.
fn member(rest: &mut Peekable<Chars<'_>>) -> Result<char, &'static str> {
    match rest.next() {
        Some('\\') => rest.next(),
        c => c,
    }
    .ok_or("its [ is not closed")
}
