//! sync.md 4.8: what patterns match. Each way in which a pattern may fit is tried; its inputs are short.

/// How many bytes of a file of patterns count.
const COUNTS: usize = 65_536;

/// What stands in a pattern.
#[derive(Clone, Debug)]
enum Token {
    /// This character.
    One(char),
    /// Any but `/`.
    Any,
    /// Any number of any but `/`.
    Some,
    /// `**/`: any directories, none too.
    Directories,
    /// `/**` at the end: all that is in it.
    All,
    /// One of these, or of the others.
    Class { others: bool, ranges: Vec<(char, char)> },
}

struct Pattern {
    ignores: bool,
    only_directories: bool,
    /// Of the name, whatever it is in.
    by_name: bool,
    tokens: Vec<Token>,
}

/// Whether the file `.meshignore` ignores the path, or something that it is in.
pub fn ignored(file: &[u8], path: &str, is_directory: bool) -> bool {
    let patterns = patterns(file);
    let parts: Vec<&str> = path.split('/').collect();
    path != ".meshignore"
        && (1..=parts.len()).any(|n| {
            let last =
                patterns.iter().rev().find(|one| one.matches(&parts[..n], is_directory || n < parts.len()));
            last.is_some_and(|pattern| pattern.ignores)
        })
}

/// The lines that count.
fn patterns(file: &[u8]) -> Vec<Pattern> {
    let mut lines: Vec<&[u8]> = file[..file.len().min(COUNTS)].split(|byte| *byte == b'\n').collect();
    if file.len() > COUNTS {
        lines.pop();
    }
    lines.into_iter().filter_map(|line| pattern(std::str::from_utf8(line).ok()?)).collect()
}

fn pattern(line: &str) -> Option<Pattern> {
    let text = line.trim_end_matches([' ', '\t', '\r', '\u{b}', '\u{c}']);
    if text.starts_with('#') {
        return None;
    }
    let (ignores, text) = text.strip_prefix('!').map_or((true, text), |text| (false, text));
    let (only_directories, text) = text.strip_suffix('/').map_or((false, text), |text| (true, text));
    let tokens = tokens(&text.strip_prefix('/').unwrap_or(text).chars().collect::<Vec<_>>())?;
    (!tokens.is_empty()).then(|| Pattern { ignores, only_directories, by_name: !text.contains('/'), tokens })
}

fn tokens(text: &[char]) -> Option<Vec<Token>> {
    let (mut tokens, mut at) = (Vec::new(), 0);
    while let Some(&c) = text.get(at) {
        let stars = text[at..].iter().take_while(|c| **c == '*').count();
        let alone = at == 0 || text[at - 1] == '/';
        match c {
            '*' if stars > 1 && alone && text.get(at + stars) == Some(&'/') => {
                tokens.push(Token::Directories);
                at += stars;
            }
            '*' if stars > 1 && at > 0 && alone && at + stars == text.len() => {
                tokens.push(Token::All);
                at += stars - 1;
            }
            '*' => tokens.push(Token::Some),
            '?' => tokens.push(Token::Any),
            '\\' => {
                at += 1;
                tokens.push(Token::One(*text.get(at)?));
            }
            '[' => {
                let (class, end) = class(text, at + 1)?;
                tokens.push(class);
                at = end;
            }
            c => tokens.push(Token::One(c)),
        }
        at += 1;
    }
    Some(tokens)
}

/// The class whose `[` is before `at`, and where its `]` is.
fn class(text: &[char], mut at: usize) -> Option<(Token, usize)> {
    let others = matches!(text.get(at)?, '!' | '^');
    at += usize::from(others);
    let (begin, mut before, mut ranges) = (at, None, Vec::new());
    loop {
        match *text.get(at)? {
            ']' if at > begin => return Some((Token::Class { others, ranges }, at)),
            '[' if text.get(at + 1) == Some(&':') => return None,
            '-' if before.is_some() && *text.get(at + 1)? != ']' => {
                at += 1 + usize::from(text[at + 1] == '\\');
                ranges.extend(before.take().zip(Some(*text.get(at)?)));
            }
            c => {
                at += usize::from(c == '\\');
                let c = *text.get(at)?;
                ranges.push((c, c));
                before = Some(c);
            }
        }
        at += 1;
    }
}

impl Pattern {
    fn matches(&self, parts: &[&str], is_directory: bool) -> bool {
        let path = if self.by_name { parts[parts.len() - 1].to_owned() } else { parts.join("/") };
        (is_directory || !self.only_directories) && fits(&self.tokens, &path.chars().collect::<Vec<_>>())
    }
}

fn fits(tokens: &[Token], text: &[char]) -> bool {
    let Some((token, rest)) = tokens.split_first() else { return text.is_empty() };
    let one = |is: &dyn Fn(char) -> bool| {
        text.first().is_some_and(|c| *c != '/' && is(*c)) && fits(rest, &text[1..])
    };
    match token {
        Token::One('/') => text.first() == Some(&'/') && fits(rest, &text[1..]),
        Token::One(c) => one(&|found| found == *c),
        Token::Any => one(&|_| true),
        Token::Some => {
            let most = text.iter().take_while(|c| **c != '/').count();
            (0..=most).any(|count| fits(rest, &text[count..]))
        }
        Token::Directories => {
            // Its own `/` is behind a directory, or not there.
            let ways = (0..text.len()).filter(|at| text[*at] == '/').map(|at| at + 1);
            std::iter::once(0).chain(ways).any(|from| fits(rest, &text[from..]))
        }
        Token::All => !text.is_empty(),
        Token::Class { others, ranges } => {
            one(&|c| ranges.iter().any(|(first, last)| (*first..=*last).contains(&c)) != *others)
        }
    }
}
