//! Reading a configuration file, and saying all that is wrong with it.

use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};

use serde::Deserialize as _;
use toml::Spanned;
use toml::de::{DeTable, DeValue, Deserializer};

use super::Config;

/// One thing that is wrong in a configuration file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    /// Counts from 1. `None` for a setting that the file leaves to its default.
    pub line: Option<usize>,
    /// The setting, such as `storage.quota`; empty if the file is no TOML there.
    pub key: String,
    /// What is wrong, and what would be right.
    pub what: String,
}

/// Why a configuration file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// It cannot be read.
    #[error("cannot read {}", path.display())]
    Unreadable {
        /// Which.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// It has mistakes: one a line, each with the file's name and line.
    #[error("{}", list(path, mistakes))]
    Mistakes {
        /// Which.
        path: PathBuf,
        /// All of them.
        mistakes: Vec<Mistake>,
    },
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.key.is_empty() {
            write!(f, "{}: ", self.key)?;
        }
        f.write_str(&self.what)
    }
}

fn list(path: &Path, mistakes: &[Mistake]) -> String {
    let line = |mistake: &Mistake| match mistake.line {
        Some(line) => format!("{}:{line}: {mistake}", path.display()),
        None => format!("{}: {mistake}", path.display()),
    };
    mistakes.iter().map(line).collect::<Vec<_>>().join("\n")
}

impl Config {
    /// Reads a file. Settings that it does not have keep their defaults.
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        let unreadable = |source| ConfigError::Unreadable { path: path.into(), source };
        let text = std::fs::read_to_string(path).map_err(unreadable)?;
        Self::parse(&text).map_err(|mistakes| ConfigError::Mistakes { path: path.into(), mistakes })
    }

    /// Reads the text of a file.
    ///
    /// # Errors
    /// Every mistake, in the order of lines.
    pub fn parse(text: &str) -> Result<Self, Vec<Mistake>> {
        let line = |span: Range<usize>| text[..span.start.min(text.len())].matches('\n').count() + 1;
        let (table, errors) = DeTable::parse_recoverable(text);
        if !errors.is_empty() {
            let mistake = |error: toml::de::Error| Mistake {
                line: error.span().map(line),
                key: String::new(),
                what: error.message().to_owned(),
            };
            return Err(errors.into_iter().map(mistake).collect());
        }
        let settings = settings(table.get_ref());
        let mut mistakes: Vec<Mistake> = Vec::new();
        for setting in &settings {
            if let Err(error) = read(setting.alone.clone()) {
                // The span of the error is inside a list or table that is one setting; else it is the setting's.
                let span = error.span().filter(|span| !span.is_empty()).unwrap_or(setting.span.clone());
                let (key, what) = (setting.key.clone(), error.message().trim_end().to_owned());
                mistakes.push(Mistake { line: Some(line(span)), key, what });
            }
        }
        let config = match read(table.into_inner()) {
            Ok(config) if mistakes.is_empty() => config,
            Err(error) if mistakes.is_empty() => {
                let (line, what) = (error.span().map(line), error.message().trim_end().to_owned());
                return Err(vec![Mistake { line, key: String::new(), what }]);
            }
            _ => return Err(in_order(mistakes)),
        };
        for (key, what) in config.check() {
            let inside = |setting: &&Setting<'_>| {
                setting.key.strip_prefix(key).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
            };
            let at = settings.iter().find(inside).map(|setting| line(setting.span.clone()));
            mistakes.push(Mistake { line: at, key: key.into(), what });
        }
        if mistakes.is_empty() { Ok(config) } else { Err(in_order(mistakes)) }
    }
}

fn in_order(mut mistakes: Vec<Mistake>) -> Vec<Mistake> {
    mistakes.sort_by_key(|mistake| mistake.line);
    mistakes.dedup_by(|a, b| (a.line, &a.what) == (b.line, &b.what)); // of a section that does not exist
    mistakes
}

/// One setting of a file.
struct Setting<'a> {
    key: String,
    span: Range<usize>,
    /// A file with this setting alone: so a mistake in one hides none in another.
    alone: DeTable<'a>,
}

fn settings<'a>(table: &DeTable<'a>) -> Vec<Setting<'a>> {
    let mut found = Vec::new();
    for (key, value) in table {
        let wrapped = |value: Spanned<DeValue<'a>>| {
            let mut alone = DeTable::new();
            alone.insert(key.clone(), value);
            alone
        };
        match value.get_ref() {
            DeValue::Table(inner) if !inner.is_empty() => {
                for Setting { key: rest, span, alone } in settings(inner) {
                    let section = Spanned::new(value.span(), DeValue::Table(alone));
                    found.push(Setting {
                        key: format!("{}.{rest}", key.get_ref()),
                        span,
                        alone: wrapped(section),
                    });
                }
            }
            _ => found.push(Setting {
                key: key.get_ref().to_string(),
                span: key.span(),
                alone: wrapped(value.clone()),
            }),
        }
    }
    found
}

fn read(table: DeTable<'_>) -> Result<Config, toml::de::Error> {
    Config::deserialize(Deserializer::from(Spanned::new(0..0, table)))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::Value;

    use super::*;
    use crate::config::DEFAULT_FILE;

    fn json(config: &Config) -> Value {
        serde_json::to_value(config).unwrap()
    }

    fn keys(prefix: &str, value: &Value, into: &mut BTreeSet<String>) {
        match value {
            Value::Object(members) => {
                for (key, value) in members {
                    keys(&format!("{prefix}.{key}"), value, into);
                }
            }
            _ => drop(into.insert(prefix.into())),
        }
    }

    #[test]
    fn the_default_file_is_the_defaults() {
        let parsed = Config::parse(DEFAULT_FILE).unwrap();
        assert_eq!(json(&parsed), json(&Config::default()));
        assert_eq!(json(&Config::parse("").unwrap()), json(&Config::default()));
    }

    /// A setting that has no default is there as `#key = example`, without a space after the number sign.
    #[test]
    fn the_default_file_names_every_setting() {
        let setting = |line: &str| line.starts_with('#') && !line.starts_with("# ") && line.contains(" = ");
        let uncomment = |line| if setting(line) { &line[1..] } else { line };
        let text = DEFAULT_FILE.lines().map(uncomment).collect::<Vec<_>>().join("\n");
        let config = Config::parse(&text);
        assert!(config.is_ok(), "{:#?}", config.err());
        let (mut named, mut exist) = (BTreeSet::new(), BTreeSet::new());
        keys("", &toml::from_str(&text).unwrap(), &mut named);
        keys("", &json(&Config::default()), &mut exist);
        assert_eq!(named, exist);
    }

    #[test]
    fn every_mistake_with_its_line() {
        let text = "listen = \"8443\"\n\
                    liste = \"127.0.0.1:1\"\n\
                    services = [\"graph\", \"grph\"]\n\
                    \n\
                    [storage]\n\
                    quota = 5\n\
                    [identity]\n\
                    token_lifetime = \"1 hour\"\n\
                    passwords = { memory = \"1 MiB\", pases = 1 }\n\
                    [strage]\n\
                    kwota = 1\n\
                    quota = \"1 B\"\n";
        let mistakes = Config::parse(text).err().unwrap();
        let lines: Vec<usize> = mistakes.iter().filter_map(|mistake| mistake.line).collect();
        assert_eq!(lines, [1, 2, 3, 6, 8, 9, 10], "{mistakes:#?}");
        let said: Vec<String> = mistakes.iter().map(ToString::to_string).collect();
        for (at, part) in [
            (0, "listen: invalid socket address"),
            (1, "expected one of `listen`"),
            (2, "expected one of `identity`, `account`"),
            (3, "a text with a number and its unit"),
            (4, "such as \"30 s\""),
            (5, "expected one of `memory`"),
            (6, "`storage`"),
        ] {
            assert!(said[at].contains(part), "{part}: {said:#?}");
        }
    }

    #[test]
    fn settings_that_make_no_sense() {
        let text = "data = \"\"\nnames = [\"\"]\n[account]\nticket_lifetime = \"601 s\"\n\
                    [identity]\npasswords = { memory = \"1 KiB\" }\n[log]\nfilter = \"a=b=c\"\n";
        let mistakes = Config::parse(text).err().unwrap();
        let at: Vec<_> = mistakes.iter().map(|m| (m.line.unwrap_or(0), m.key.as_str())).collect();
        let expected = [
            (1, "data"),
            (2, "names"),
            (4, "account.ticket_lifetime"),
            (6, "identity.passwords"),
            (8, "log.filter"),
        ];
        assert_eq!(at, expected, "{mistakes:#?}");
        assert!(Config::parse("listen = \n[log\n").err().unwrap().iter().all(|m| m.line.is_some()));
    }
}
