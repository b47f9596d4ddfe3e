//! Reads requirements out of Markdown, line by line, and notes every line that breaks the style of `spec/README.md`.
//!
//! ```text
//! **TKT-014** A *relying service* MUST reject ... Error: `ticket-expired`.
//! > Why: a stolen ticket must die without revocation.
//! > Excluded: ...
//! ```

use std::collections::BTreeSet;
use std::fmt;

use super::{Catalog, Level, Part, Requirement};

/// A line of the specification that breaks its style.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The document: `ticket.md`.
    pub document: String,
    /// The line, from 1.
    pub line: usize,
    /// What is wrong with it.
    pub text: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "spec/{}:{}: {}", self.document, self.line, self.text)
    }
}

pub(super) fn parse(documents: &[(&str, &str)]) -> (Catalog, Vec<Problem>) {
    let readme = documents.iter().find(|(name, _)| *name == "README.md").map_or("", |(_, text)| *text);
    let mut reader = Reader { actors: actors(readme), ..Reader::default() };
    for (document, text) in documents {
        reader.document(document, text);
    }
    (reader.catalog, reader.problems)
}

/// The words of RFC 2119 that stand on id lines and nowhere else.
const KEYWORDS: [&str; 7] = ["MUST", "SHOULD", "MAY", "SHALL", "REQUIRED", "RECOMMENDED", "OPTIONAL"];

#[derive(Default)]
struct Reader {
    actors: BTreeSet<String>,
    catalog: Catalog,
    problems: Vec<Problem>,
}

/// Which field of a requirement a line of its block quote continues.
#[derive(Clone, Copy)]
enum Quote {
    Note,
    Why,
    Excluded,
}

impl Reader {
    fn document(&mut self, document: &str, text: &str) {
        let mut fenced = false;
        // The requirement whose block quote may follow: its index and the field being continued.
        let mut open: Option<(usize, Quote)> = None;
        for (number, line) in text.lines().enumerate() {
            let at = |text: String| Problem { document: document.to_owned(), line: number + 1, text };
            if line.trim_start().starts_with("```") {
                fenced = !fenced;
                open = None;
                continue;
            }
            if fenced {
                continue;
            }
            if let Some(rest) = id_line(line) {
                open = None;
                match self.requirement(document, number + 1, rest) {
                    Ok(Some(requirement)) => {
                        self.catalog.requirements.push(requirement);
                        open = Some((self.catalog.requirements.len() - 1, Quote::Note));
                    }
                    Ok(None) => {}
                    Err(texts) => self.problems.extend(texts.into_iter().map(at)),
                }
                continue;
            }
            let quoted = line.strip_prefix('>').map(str::trim);
            match (quoted, &mut open) {
                (Some(quoted), Some((index, field))) => {
                    if let Err(text) = quote(&mut self.catalog.requirements[*index], field, quoted) {
                        self.problems.push(at(text));
                    }
                }
                (Some(quoted), None) if quoted.starts_with("Excluded:") || quoted.starts_with("Why:") => {
                    self.problems.push(at("a quoted `Why:` or `Excluded:` follows no id line".to_owned()));
                }
                _ => open = None,
            }
            for keyword in keywords(line) {
                self.problems.push(at(format!("{keyword} outside an id line")));
            }
        }
        if fenced {
            let line = text.lines().count();
            let text = "a code fence is not closed".to_owned();
            self.problems.push(Problem { document: document.to_owned(), line, text });
        }
    }

    /// Reads what follows `**` on an id line. Nothing comes back for a withdrawn id.
    fn requirement(
        &mut self,
        document: &str,
        line: usize,
        rest: &str,
    ) -> Result<Option<Requirement>, Vec<String>> {
        let Some((id, text)) = rest.split_once("**") else {
            return Err(vec!["the id does not end with `**`".to_owned()]);
        };
        let text = text.trim();
        let mut wrong = Vec::new();
        let part = Part::of_requirement(id);
        if part.is_none_or(|part| document != format!("{}.md", part.name())) {
            wrong.push(format!("{id}: the prefix does not belong to this document"));
        }
        if !well_formed(id) {
            wrong.push(format!("{id}: an id is a prefix, a hyphen and three digits"));
        }
        if self.catalog.get(id).is_some() || self.catalog.withdrawn.iter().any(|old| old == id) {
            wrong.push(format!("{id}: the id is used twice"));
        }
        if text.starts_with("Withdrawn") {
            self.catalog.withdrawn.push(id.to_owned());
            return if wrong.is_empty() { Ok(None) } else { Err(wrong) };
        }
        let level = level(text).map_err(|problem| wrong.push(format!("{id}: {problem}"))).ok();
        let actor = self.actor(text).map_err(|problem| wrong.push(format!("{id}: {problem}"))).ok();
        let error = error(text).map_err(|problem| wrong.push(format!("{id}: {problem}"))).ok();
        let (Some(part), Some(level), Some(actor), Some((sentence, error)), true) =
            (part, level, actor, error, wrong.is_empty())
        else {
            return Err(wrong);
        };
        Ok(Some(Requirement {
            id: id.to_owned(),
            part,
            level,
            actor,
            sentence: sentence.to_owned(),
            error: error.map(str::to_owned),
            why: None,
            note: None,
            excluded: None,
            document: document.to_owned(),
            line,
        }))
    }

    /// The actor at the start of a sentence: `A *relying service* MUST`.
    fn actor(&self, text: &str) -> Result<String, String> {
        let start = ["A *", "An *", "The *"].iter().find_map(|article| text.strip_prefix(article));
        let (actor, rest) = start
            .and_then(|rest| rest.split_once('*'))
            .ok_or("the sentence does not start with an article and an actor in italics")?;
        if !self.actors.contains(actor) {
            return Err(format!("`{actor}` is not an actor of README.md"));
        }
        let before = rest.split(['M', 'S']).next().unwrap_or_default();
        if before.contains('*') && self.actors.iter().any(|other| before.contains(&format!("*{other}*"))) {
            return Err("there are two actors before the keyword".to_owned());
        }
        Ok(actor.to_owned())
    }
}

/// The actors of README.md: the words in italics that start a row of the table under `## Actors`.
fn actors(readme: &str) -> BTreeSet<String> {
    readme
        .lines()
        .skip_while(|line| *line != "## Actors")
        .skip(1)
        .take_while(|line| !line.starts_with("## "))
        .filter_map(|line| line.strip_prefix("| ")?.split('|').next())
        .flat_map(|cell| cell.split(','))
        .filter_map(|name| Some(name.trim().strip_prefix('*')?.strip_suffix('*')?.to_owned()))
        .collect()
}

/// What follows the stars of a line that begins like an id line.
fn id_line(line: &str) -> Option<&str> {
    let rest = line.strip_prefix("**")?;
    let prefix = rest.get(..4)?;
    (prefix.ends_with('-') && prefix[..3].bytes().all(|byte| byte.is_ascii_uppercase())).then_some(rest)
}

fn well_formed(id: &str) -> bool {
    id.len() == 7 && id.bytes().skip(4).all(|byte| byte.is_ascii_digit())
}

/// The capital keywords among the words of a line.
fn keywords(line: &str) -> Vec<&'static str> {
    line.split(|c: char| !c.is_ascii_alphanumeric() && c != '_' && c != '-')
        .filter_map(|word| KEYWORDS.into_iter().find(|keyword| *keyword == word))
        .collect()
}

fn level(text: &str) -> Result<Level, String> {
    match keywords(text)[..] {
        ["MUST"] if text.contains("MUST NOT ") => Ok(Level::MustNot),
        ["MUST"] => Ok(Level::Must),
        ["SHOULD"] if !text.contains("SHOULD NOT ") => Ok(Level::Should),
        ["MAY"] => Ok(Level::May),
        [] => Err("there is no keyword".to_owned()),
        [one] => Err(format!("{one} is not one of MUST, MUST NOT, SHOULD, MAY")),
        _ => Err("there is more than one keyword".to_owned()),
    }
}

/// Splits a text into sentence and error name: `... Error: \`name\`.`
fn error(text: &str) -> Result<(&str, Option<&str>), String> {
    let (sentence, error) = text.rsplit_once(" Error: ").ok_or("there is no `Error:`")?;
    if error == "none." {
        return Ok((sentence, None));
    }
    let name = error.strip_prefix('`').and_then(|rest| rest.strip_suffix("`."));
    match name {
        Some(name) if name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-') => {
            Ok((sentence, Some(name)))
        }
        _ => Err("the line does not end with `Error: `name`.` or `Error: none.`".to_owned()),
    }
}

/// Takes one line of the block quote under an id.
fn quote(requirement: &mut Requirement, field: &mut Quote, line: &str) -> Result<(), String> {
    let (start, text) = if let Some(text) = line.strip_prefix("Why:") {
        (Some(Quote::Why), text.trim())
    } else if let Some(text) = line.strip_prefix("Excluded:") {
        (Some(Quote::Excluded), text.trim())
    } else {
        (None, line)
    };
    if let Some(start) = start {
        *field = start;
        if text.is_empty() {
            return Err(format!("{}: no reason is given", requirement.id));
        }
    }
    let slot = match field {
        Quote::Note => &mut requirement.note,
        Quote::Why => &mut requirement.why,
        Quote::Excluded => &mut requirement.excluded,
    };
    match slot {
        Some(_) if start.is_some() => return Err(format!("{}: said twice", requirement.id)),
        Some(said) => {
            said.push(' ');
            said.push_str(text);
        }
        None => *slot = Some(text.to_owned()),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const README: &str =
        "## Actors\n\n| actor | what |\n|---|---|\n| *issuer* | signs |\n| *sender*, *receiver* | ends |\n";

    fn lint(text: &str) -> Vec<String> {
        let (_, problems) = parse(&[("README.md", README), ("ticket.md", text)]);
        problems.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn reads_a_requirement_with_its_quote() {
        let text = "# T\n\n**TKT-001** An *issuer* MUST sign. Error: `ticket-x`.\n> Why: so\n> that.\n> Excluded: not yet.\n";
        let (catalog, problems) = parse(&[("README.md", README), ("ticket.md", text)]);
        assert_eq!(problems, []);
        let requirement = catalog.get("TKT-001").expect("it is there");
        assert_eq!(requirement.line, 3);
        assert_eq!(requirement.level, Level::Must);
        assert_eq!(requirement.actor, "issuer");
        assert_eq!(requirement.sentence, "An *issuer* MUST sign.");
        assert_eq!(requirement.error.as_deref(), Some("ticket-x"));
        assert_eq!(requirement.why.as_deref(), Some("so that."));
        assert_eq!(requirement.excluded.as_deref(), Some("not yet."));
    }

    #[test]
    fn every_departure_is_named_with_its_line() {
        for (text, problem) in [
            ("An issuer MUST.", "spec/ticket.md:1: MUST outside an id line"),
            (
                "**HSK-001** An *issuer* MUST x. Error: none.",
                "spec/ticket.md:1: HSK-001: the prefix does not",
            ),
            ("**TKT-1** An *issuer* MUST x. Error: none.", "spec/ticket.md:1: TKT-1: an id is"),
            ("**TKT-001** An *issuer* MUST x and MUST y. Error: none.", "more than one keyword"),
            ("**TKT-001** An *issuer* signs. Error: none.", "no keyword"),
            ("**TKT-001** An *issuer* SHALL sign. Error: none.", "SHALL is not one of"),
            ("**TKT-001** An issuer MUST x. Error: none.", "does not start with an article"),
            ("**TKT-001** A *thief* MUST x. Error: none.", "`thief` is not an actor"),
            ("**TKT-001** A *sender* and *receiver* MUST x. Error: none.", "two actors"),
            ("**TKT-001** An *issuer* MUST x.", "no `Error:`"),
            ("**TKT-001** An *issuer* MUST x. Error: Bad.", "does not end with"),
            ("> Why: x", "follows no id line"),
            ("**TKT-001** An *issuer* MUST x. Error: none.\n> Excluded:", "ticket.md:2: TKT-001: no reason"),
            ("```\nMUST", "ticket.md:2: a code fence"),
        ] {
            let found = lint(text);
            assert!(found.iter().any(|found| found.contains(problem)), "{text}\n{found:#?}");
        }
    }

    #[test]
    fn an_id_is_used_once_even_when_withdrawn() {
        let line = "**TKT-001** An *issuer* MUST x. Error: none.\n";
        assert!(lint(&format!("{line}\n{line}"))[0].contains("used twice"));
        assert!(lint(&format!("**TKT-001** Withdrawn in 0.2.\n\n{line}"))[0].contains("used twice"));
    }

    #[test]
    fn code_fences_and_longer_words_are_left_alone() {
        assert_eq!(lint("```\n**TKT-001** MUST\n```\nOPTIONS is a method; MAYBE.\n"), Vec::<String>::new());
    }
}
