//! A parsed document with the position of every part, and the way to read it.
//!
//! [`Fields`] reads a mapping: it remembers which keys were asked for, and [`Fields::finish`] reports
//! the others. Every reader reports into a [`Report`] and returns `None` for the part that is wrong, so
//! one pass finds every mistake. Numbers are kept as they were written: `99.9` becomes an exact decimal.

use std::str::FromStr;
use std::time::Duration;

use rust_decimal::Decimal;

use super::diagnostic::Mismatch;
pub use super::report::Report;
use crate::duration;

/// A place in a file; lines and columns from 1, columns in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    pub line: usize,
    pub column: usize,
}

/// One part of a document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    pub at: Position,
    pub value: Value,
}

/// What a part is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    Null,
    Bool(bool),
    /// As written: `99.9`, `1e3`, `0x10`.
    Number(String),
    Text(String),
    List(Vec<Node>),
    Map(Vec<(Key, Node)>),
}

/// A key of a mapping.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key {
    pub at: Position,
    pub name: String,
}

impl Node {
    /// What the part is, for messages: ``the text `abc` ``, `a list`.
    #[must_use]
    pub fn describe(&self) -> String {
        match &self.value {
            Value::Null => "nothing".to_owned(),
            Value::Bool(value) => format!("the boolean `{value}`"),
            Value::Number(text) => format!("the number `{}`", shorten(text)),
            Value::Text(text) if text.is_empty() => "an empty text".to_owned(),
            Value::Text(text) => format!("the text `{}`", shorten(text)),
            Value::List(_) => "a list".to_owned(),
            Value::Map(_) => "a mapping".to_owned(),
        }
    }

    /// The scalar as it was written, quotes aside. `None` for nothing, lists and mappings.
    #[must_use]
    pub fn scalar(&self) -> Option<String> {
        match &self.value {
            Value::Bool(value) => Some(value.to_string()),
            Value::Number(text) | Value::Text(text) => Some(text.clone()),
            Value::Null | Value::List(_) | Value::Map(_) => None,
        }
    }

    /// The part as JSON. A number that JSON cannot spell becomes a text; of keys given twice the last stands.
    #[must_use]
    pub fn to_json(&self) -> serde_json::Value {
        match &self.value {
            Value::Null => serde_json::Value::Null,
            Value::Bool(value) => (*value).into(),
            Value::Number(text) => text
                .parse::<serde_json::Number>()
                .map_or_else(|_| text.as_str().into(), Into::into),
            Value::Text(text) => text.as_str().into(),
            Value::List(items) => items.iter().map(Self::to_json).collect(),
            Value::Map(entries) => entries
                .iter()
                .map(|(key, value)| (key.name.clone(), value.to_json()))
                .collect(),
        }
    }

    /// Looks a key up without reading the mapping.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Node> {
        match &self.value {
            Value::Map(entries) => entries.iter().find(|(k, _)| k.name == key).map(|(_, node)| node),
            _ => None,
        }
    }

    /// Reads a text. `what` is the key's name in messages. Numbers and booleans are no texts: YAML
    /// would otherwise turn `1.10` into `1.1` behind people's backs.
    pub fn text<'a>(&'a self, what: &str, report: &mut Report) -> Option<&'a str> {
        match &self.value {
            Value::Text(text) => Some(text),
            Value::Bool(_) | Value::Number(_) => {
                let hint = format!("put it in quotes: `\"{}\"`", self.scalar().unwrap_or_default());
                self.wrong(what, "a text", Some(hint), report);
                None
            }
            _ => {
                self.wrong(what, "a text", None, report);
                None
            }
        }
    }

    pub fn boolean(&self, what: &str, report: &mut Report) -> Option<bool> {
        if let Value::Bool(value) = self.value {
            return Some(value);
        }
        let hint = match self.scalar().unwrap_or_default().to_lowercase().as_str() {
            "yes" | "on" => Some("write `true`".to_owned()),
            "no" | "off" => Some("write `false`".to_owned()),
            _ => None,
        };
        self.wrong(what, "`true` or `false`", hint, report);
        None
    }

    /// Reads a number exactly as written.
    pub fn decimal(&self, what: &str, report: &mut Report) -> Option<Decimal> {
        if let Value::Number(text) = &self.value
            && let Some(number) = parse_decimal(text)
        {
            return Some(number);
        }
        let hint = match &self.value {
            Value::Text(text) if parse_decimal(text).is_some() => Some("remove the quotes".to_owned()),
            _ => None,
        };
        self.wrong(what, "a number", hint, report);
        None
    }

    /// Reads a whole number between `least` and `most`.
    pub fn integer(&self, what: &str, least: u64, most: u64, report: &mut Report) -> Option<u64> {
        if let Value::Number(text) = &self.value
            && let Ok(number) = text.parse::<u64>()
            && (least..=most).contains(&number)
        {
            return Some(number);
        }
        let hint = match &self.value {
            Value::Text(text) if text.parse::<u64>().is_ok() => Some("remove the quotes".to_owned()),
            _ => None,
        };
        self.wrong(
            what,
            &format!("a whole number from {least} to {most}"),
            hint,
            report,
        );
        None
    }

    /// Reads a span of time such as `250ms`.
    pub fn duration(&self, what: &str, report: &mut Report) -> Option<Duration> {
        let text = match &self.value {
            Value::Text(text) | Value::Number(text) => text,
            _ => {
                self.wrong(
                    what,
                    "a span of time such as `250ms`, `5m` or `30d`",
                    None,
                    report,
                );
                return None;
            }
        };
        match duration::parse(text) {
            Ok(span) => Some(span),
            Err(error) => {
                report.error(self.at, format!("`{what}`: {error}"), None);
                None
            }
        }
    }

    /// Reads a text that a type of its own checks.
    pub fn parse<T>(&self, what: &str, report: &mut Report) -> Option<T>
    where
        T: FromStr,
        T::Err: std::fmt::Display,
    {
        match self.text(what, report)?.parse() {
            Ok(value) => Some(value),
            Err(error) => {
                report.error(self.at, format!("`{what}`: {error}"), None);
                None
            }
        }
    }

    pub fn list<'a>(&'a self, what: &str, report: &mut Report) -> Option<&'a [Node]> {
        if let Value::List(items) = &self.value {
            return Some(items);
        }
        self.wrong(what, "a list", None, report);
        None
    }

    /// One value, or a list of them.
    #[must_use]
    pub fn one_or_many(&self) -> &[Node] {
        match &self.value {
            Value::List(items) => items,
            _ => std::slice::from_ref(self),
        }
    }

    /// Begins to read a mapping; `what` names it in messages.
    pub fn fields<'a>(&'a self, what: &str, report: &mut Report) -> Option<Fields<'a>> {
        if let Value::Map(entries) = &self.value {
            return Some(Fields {
                what: what.to_owned(),
                at: self.at,
                entries,
                asked: Vec::new(),
            });
        }
        self.wrong(what, "a mapping", None, report);
        None
    }

    /// Reports that this is not what was expected. `what` is a key, or several words for what has none.
    pub fn wrong(&self, what: &str, expected: &str, hint: Option<String>, report: &mut Report) {
        let found = self.describe();
        let message = if what.contains([' ', '`']) {
            format!("{what} is {found}, expected {expected}")
        } else {
            format!("`{what}` is {found}, expected {expected}")
        };
        let value = self
            .scalar()
            .map_or_else(|| self.describe(), |text| shorten(&text));
        let expected = expected.to_owned();
        report.mismatch(self.at, message, Mismatch { value, expected }, hint);
    }
}

/// Reads the keys of one mapping and remembers which ones it was asked for.
#[derive(Debug)]
pub struct Fields<'a> {
    what: String,
    at: Position,
    entries: &'a [(Key, Node)],
    asked: Vec<&'static str>,
}

impl<'a> Fields<'a> {
    /// Where the mapping begins.
    #[must_use]
    pub fn at(&self) -> Position {
        self.at
    }

    /// The value of a key that may be absent. A key with nothing after it counts as absent.
    pub fn optional(&mut self, key: &'static str) -> Option<&'a Node> {
        self.asked.push(key);
        self.entries
            .iter()
            .find(|(k, _)| k.name == key)
            .map(|(_, node)| node)
            .filter(|node| node.value != Value::Null)
    }

    /// The value of a key that must be there.
    pub fn required(&mut self, key: &'static str, report: &mut Report) -> Option<&'a Node> {
        self.required_such_as(key, None, report)
    }

    /// The same, with an example of how it is written.
    pub fn required_such_as(
        &mut self,
        key: &'static str,
        example: impl Into<Option<&'static str>>,
        report: &mut Report,
    ) -> Option<&'a Node> {
        let found = self.optional(key);
        let hint = example.into().map(|example| format!("such as `{example}`"));
        if found.is_none() {
            let empty = self
                .entries
                .iter()
                .find(|(k, _)| k.name == key)
                .map(|(k, _)| k.at);
            match empty {
                Some(at) => report.error(at, format!("`{key}` is empty"), hint),
                None => report.error(self.at, format!("{} has no `{key}`", self.what), hint),
            }
        }
        found
    }

    /// Where a key was written.
    #[must_use]
    pub fn key_at(&self, key: &str) -> Option<Position> {
        self.entries
            .iter()
            .find(|(k, _)| k.name == key)
            .map(|(k, _)| k.at)
    }

    /// Reports every key that was never asked for. Whether there was none.
    pub fn finish(self, report: &mut Report) -> bool {
        let mut known = true;
        for (key, _) in self.entries {
            // A merge key has been reported where it was read.
            if self.asked.contains(&key.name.as_str()) || key.name == "<<" {
                continue;
            }
            known = false;
            if report.is_full() {
                break;
            }
            let first = key.name.split([' ', ':']).next().unwrap_or_default();
            let hint = match nearest(&key.name, &self.asked) {
                Some(near) => format!("did you mean `{near}`?"),
                // YAML takes `port 80` and `match:{..}` for keys.
                None if self.asked.contains(&first) => {
                    format!("write a `:` and a space between `{first}` and its value")
                }
                None if self.asked.is_empty() => format!("{} takes no keys", self.what),
                None => format!("known keys: {}", quoted(&self.asked)),
            };
            report.error(
                key.at,
                format!("{} has the unknown key `{}`", self.what, shorten(&key.name)),
                Some(hint),
            );
        }
        known
    }
}

/// `a`, `b`, `c`, each in backticks.
#[must_use]
pub fn quoted(words: &[impl AsRef<str>]) -> String {
    words
        .iter()
        .map(|word| format!("`{}`", word.as_ref()))
        .collect::<Vec<_>>()
        .join(", ")
}

/// The candidate that a slip of the fingers may have meant.
#[must_use]
pub fn nearest<'a>(word: &str, candidates: &[&'a str]) -> Option<&'a str> {
    let allowed = (word.chars().count() / 3).clamp(1, 3);
    candidates
        .iter()
        .map(|candidate| (distance(word, candidate), *candidate))
        .filter(|(distance, _)| *distance <= allowed)
        .min()
        .map(|(_, candidate)| candidate)
}

/// Edit distance without regard to case; words longer than 64 characters are never near.
fn distance(a: &str, b: &str) -> usize {
    let a: Vec<char> = a.to_lowercase().chars().take(65).collect();
    let b: Vec<char> = b.to_lowercase().chars().take(65).collect();
    if a.len() > 64 || b.len() > 64 {
        return usize::MAX;
    }
    // Two neighbours swapped are one slip, so the row before the last one is kept, too.
    let mut before = vec![0; b.len() + 1];
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, left) in a.iter().enumerate() {
        let mut next = vec![i + 1; b.len() + 1];
        for (j, right) in b.iter().enumerate() {
            let substituted = row[j] + usize::from(left != right);
            next[j + 1] = substituted.min(row[j + 1] + 1).min(next[j] + 1);
            if i > 0 && j > 0 && *left == b[j - 1] && a[i - 1] == *right {
                next[j + 1] = next[j + 1].min(before[j - 1] + 1);
            }
        }
        before = std::mem::replace(&mut row, next);
    }
    row[b.len()]
}

/// Keeps messages to a line.
pub(crate) fn shorten(text: &str) -> String {
    const LONGEST: usize = 60;
    let flat: String = text
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .take(LONGEST)
        .collect();
    if text.chars().count() > LONGEST {
        format!("{flat}...")
    } else {
        flat
    }
}

/// A decimal exactly as written, plain or scientific.
pub(crate) fn parse_decimal(text: &str) -> Option<Decimal> {
    let text = text.strip_prefix('+').unwrap_or(text);
    let number = if text.contains(['e', 'E']) {
        Decimal::from_scientific(text).ok()
    } else {
        Decimal::from_str_exact(text).ok()
    };
    number.filter(|_| text.bytes().any(|b| b.is_ascii_digit()))
}
