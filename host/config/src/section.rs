//! One table of the file, read key by key. A value of the wrong type is noted, and reading goes on without it, so that one
//! look at the file finds all that is wrong.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Display,
    ops::RangeInclusive,
    time::Duration,
};

use bytesize::ByteSize;
use serde_json::{Map, Value};
use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use crate::{
    keys::nearest,
    notes::{Entry, Notes},
    secret::Secret,
    spot::{Table, short},
};

/// Where lines begin.
#[derive(Debug)]
pub(crate) struct Lines {
    starts: Vec<usize>,
}

impl Lines {
    pub(crate) fn new(text: &str) -> Self {
        Self { starts: text.bytes().enumerate().filter(|(_, b)| *b == b'\n').map(|(at, _)| at + 1).collect() }
    }

    /// The line of a byte, from 1.
    pub(crate) fn of(&self, byte: usize) -> usize {
        self.starts.partition_point(|start| *start <= byte) + 1
    }
}

/// A table of the file.
pub(crate) struct Section<'a, 't> {
    pub(crate) lines: &'a Lines,
    pub(crate) notes: &'a mut Notes,
    pub(crate) at: Table,
    pub(crate) name: &'a str,
    pub(crate) table: &'a DeTable<'t>,
}

impl<'a, 't> Section<'a, 't> {
    /// Notes the lines of the table's keys, and those that are not among the known ones.
    pub(crate) fn check_keys(&mut self, known: &'static [&'static str]) {
        for key in self.table.keys() {
            let line = self.lines.of(key.span().start);
            if let Some(known) = known.iter().find(|known| **known == key.get_ref().as_ref()) {
                self.notes.key_is_in(self.at.key(known), line);
                continue;
            }
            let unknown = key.get_ref().as_ref();
            let tail = match (self.belongs_in(unknown), nearest(unknown, known.iter().copied())) {
                (Some(section), _) => format!("; it belongs in {section}"),
                (None, None) => format!("; it has {}", listed(known)),
                (None, Some(meant)) => {
                    if !self.has(meant) {
                        // The key that was meant is not also missing.
                        self.notes.set_faulty(self.at.key(meant));
                    }
                    format!("; did you mean `{meant}`?")
                }
            };
            let head = format!("unknown key `{}` in", short(unknown));
            self.notes.fault(self.name, self.at, &short(unknown), Some(line), &head, &tail);
        }
    }

    /// The table of the same kind that does have a key which this one has not.
    fn belongs_in(&self, key: &str) -> Option<String> {
        let kind = self.at.kind;
        let outermost = |section: &'static str| section.split('.').next();
        let mut of_sections =
            kind.sections().iter().filter(|(_, known)| known.contains(&key)).map(|(section, _)| *section);
        let here = self.at.section.and_then(outermost);
        let near = of_sections.clone().find(|section| here.is_some() && outermost(section) == here);
        let is_the_tables = self.at.section.is_some() && kind.keys().contains(&key);
        match near {
            None if is_the_tables => Some(format!("[[{}]]", kind.word())),
            near => Some(format!("[{}.{}]", kind.word(), near.or_else(|| of_sections.next())?)),
        }
    }

    pub(crate) fn wrong(&mut self, key: &'static str, what: &str) {
        self.notes.wrong(self.name, self.at.key(key), what);
    }

    pub(crate) fn missing(&mut self, key: &'static str) {
        self.wrong(key, "is missing");
    }

    fn not<T>(&mut self, key: &'static str, wanted: impl Display, value: &DeValue<'_>) -> Option<T> {
        self.wrong(key, &format!("must be {wanted}, not {}", described(value)));
        None
    }

    pub(crate) fn has(&self, key: &str) -> bool {
        self.table.contains_key(key)
    }

    fn value(&self, key: &str) -> Option<&'a DeValue<'t>> {
        self.table.get(key).map(Spanned::get_ref)
    }

    pub(crate) fn text(&mut self, key: &'static str) -> Option<String> {
        match self.value(key)? {
            DeValue::String(text) => Some(text.as_ref().to_owned()),
            other => self.not(key, "a text in quotes", other),
        }
    }

    pub(crate) fn flag(&mut self, key: &'static str) -> Option<bool> {
        match self.value(key)? {
            DeValue::Boolean(flag) => Some(*flag),
            other => self.not(key, "true or false", other),
        }
    }

    /// A text that no message repeats.
    pub(crate) fn secret(&mut self, key: &'static str) -> Option<Secret> {
        let DeValue::String(text) = self.value(key)? else {
            self.wrong(key, "must be a text in quotes");
            return None;
        };
        Some(Secret::new(text.as_ref()))
    }

    /// A whole number from 0 to `most`.
    pub(crate) fn count(&mut self, key: &'static str, most: u32) -> Option<u32> {
        self.count_in(key, 0..=most)
    }

    /// A whole number of a range.
    pub(crate) fn count_in(&mut self, key: &'static str, range: RangeInclusive<u32>) -> Option<u32> {
        let value = self.value(key)?;
        match whole(value) {
            None => self.not(key, "a whole number", value),
            Some(number) => match u32::try_from(number) {
                Ok(count) if range.contains(&count) => Some(count),
                _ => self.not(key, format_args!("between {} and {}", range.start(), range.end()), value),
            },
        }
    }

    pub(crate) fn number(&mut self, key: &'static str) -> Option<f64> {
        let value = self.value(key)?;
        number(value).or_else(|| self.not(key, "a number", value))
    }

    /// One of a few words.
    pub(crate) fn choice<T: Copy>(&mut self, key: &'static str, choices: &[(&str, T)]) -> Option<T> {
        let value = self.value(key)?;
        let chosen = value.as_str().and_then(|text| choices.iter().find(|(word, _)| *word == text));
        if let Some((_, choice)) = chosen {
            return Some(*choice);
        }
        self.not(key, quoted(choices).join(" or "), value)
    }

    /// Several of a few words: a list of them, or `true` for `all` and `false` for none.
    pub(crate) fn choices<T: Copy + Ord>(
        &mut self,
        key: &'static str,
        choices: &[(&str, T)],
        all: BTreeSet<T>,
    ) -> Option<BTreeSet<T>> {
        let value = self.value(key)?;
        let wanted = || format!("true, false or a list of {}", quoted(choices).join(", "));
        let list = match value {
            DeValue::Boolean(true) => return Some(all),
            DeValue::Boolean(false) => return Some(BTreeSet::new()),
            DeValue::Array(list) => list,
            other => return self.not(key, wanted(), other),
        };
        let mut chosen = BTreeSet::new();
        for (at, entry) in list.iter().enumerate() {
            let text = entry.get_ref().as_str();
            let choice = text.and_then(|text| choices.iter().find(|(word, _)| *word == text));
            let Some((_, choice)) = choice else {
                let (at, found) = (at + 1, described(entry.get_ref()));
                self.wrong(key, &format!("must be {}, but number {at} is {found}", wanted()));
                return None;
            };
            chosen.insert(*choice);
        }
        Some(chosen)
    }

    pub(crate) fn duration(&mut self, key: &'static str) -> Option<Duration> {
        let value = self.value(key)?;
        let duration = match value {
            DeValue::String(text) => humantime::parse_duration(text).ok(),
            other => number(other).and_then(|seconds| Duration::try_from_secs_f64(seconds).ok()),
        };
        duration.or_else(|| self.not(key, "a duration such as \"30s\", or a number of seconds", value))
    }

    /// An amount of memory, in bytes.
    pub(crate) fn bytes(&mut self, key: &'static str) -> Option<u64> {
        let value = self.value(key)?;
        let bytes = match value {
            DeValue::String(text) => text.parse::<ByteSize>().ok().map(|size| size.as_u64()),
            other => whole(other).and_then(|bytes| u64::try_from(bytes).ok()),
        };
        bytes.or_else(|| self.not(key, "a size such as \"512MiB\", or a number of bytes", value))
    }

    pub(crate) fn texts(&mut self, key: &'static str) -> Option<Vec<String>> {
        let value = self.value(key)?;
        let DeValue::Array(list) = value else { return self.not(key, "a list of texts", value) };
        let mut texts = Vec::with_capacity(list.len());
        for (at, entry) in list.iter().enumerate() {
            match entry.get_ref() {
                DeValue::String(text) => {
                    if text.contains("${") {
                        let line = self.lines.of(entry.span().start);
                        self.notes.entry_is_in(self.at.key(key), Entry::Number(at), line);
                    }
                    texts.push(text.as_ref().to_owned());
                }
                other => {
                    let found = described(other);
                    self.wrong(key, &format!("must be a list of texts, but number {} is {found}", at + 1));
                    return None;
                }
            }
        }
        Some(texts)
    }

    pub(crate) fn text_map(&mut self, key: &'static str) -> Option<BTreeMap<String, String>> {
        let value = self.value(key)?;
        let DeValue::Table(table) = value else { return self.not(key, "a table of texts", value) };
        let mut texts = BTreeMap::new();
        for (spanned, entry) in table {
            let name = spanned.get_ref().as_ref();
            match entry.get_ref() {
                DeValue::String(text) => {
                    if text.contains("${") {
                        let line = self.lines.of(spanned.span().start);
                        self.notes.entry_is_in(self.at.key(key), Entry::Name(name.to_owned()), line);
                    }
                    texts.insert(name.to_owned(), text.as_ref().to_owned());
                }
                other => {
                    let (name, found) = (short(name), described(other));
                    self.wrong(key, &format!("must be a table of texts, but `{name}` is {found}"));
                    return None;
                }
            }
        }
        Some(texts)
    }

    /// A table of any keys, as JSON.
    pub(crate) fn json(&mut self, key: &'static str) -> Option<Value> {
        let value = self.value(key)?;
        if !matches!(value, DeValue::Table(_)) {
            return self.not(key, "a table", value);
        }
        match json(value) {
            Ok(object) => Some(object),
            Err(NotJson(number)) => {
                self.wrong(key, &format!("has the number {number}, which JSON cannot hold"));
                None
            }
        }
    }

    /// A section of this table, read with `read`.
    pub(crate) fn section(&mut self, key: &'static str, read: impl FnOnce(&mut Section<'_, 't>)) {
        let Some(value) = self.table.get(key) else { return };
        let DeValue::Table(table) = value.get_ref() else {
            self.not::<()>(key, "a table", value.get_ref());
            return;
        };
        let at = self.at.section(key);
        self.notes.table_is_in(at, self.lines.of(value.span().start));
        read(&mut Section { lines: self.lines, notes: self.notes, at, name: self.name, table });
    }
}

fn whole(value: &DeValue<'_>) -> Option<i128> {
    let integer = value.as_integer()?;
    // What is too large for this type is as much out of every range as its ends are.
    let beyond = if integer.as_str().starts_with('-') { i128::MIN } else { i128::MAX };
    Some(i128::from_str_radix(integer.as_str(), integer.radix()).unwrap_or(beyond))
}

fn number(value: &DeValue<'_>) -> Option<f64> {
    match value {
        DeValue::Float(float) => float.as_str().parse().ok(),
        other => whole(other).map(|number| number as f64),
    }
}

/// A number that JSON cannot hold.
struct NotJson(String);

fn json(value: &DeValue<'_>) -> Result<Value, NotJson> {
    Ok(match value {
        DeValue::String(text) => Value::String(text.as_ref().to_owned()),
        DeValue::Boolean(flag) => Value::Bool(*flag),
        DeValue::Datetime(time) => Value::String(time.to_string()),
        DeValue::Integer(integer) => {
            let number = whole(value).and_then(serde_json::Number::from_i128);
            Value::Number(number.ok_or_else(|| NotJson(short(integer.as_str())))?)
        }
        DeValue::Float(float) => {
            let number = number(value).and_then(serde_json::Number::from_f64);
            Value::Number(number.ok_or_else(|| NotJson(short(float.as_str())))?)
        }
        DeValue::Array(list) => {
            Value::Array(list.iter().map(|entry| json(entry.get_ref())).collect::<Result<_, _>>()?)
        }
        DeValue::Table(table) => {
            let entry = |(key, value): (&Spanned<_>, &Spanned<DeValue<'_>>)| {
                let key: &std::borrow::Cow<'_, str> = key.get_ref();
                Ok((key.as_ref().to_owned(), json(value.get_ref())?))
            };
            Value::Object(table.iter().map(entry).collect::<Result<Map<_, _>, _>>()?)
        }
    })
}

pub(crate) fn described(value: &DeValue<'_>) -> String {
    match value {
        DeValue::String(text) => format!("\"{}\"", short(text)),
        DeValue::Integer(integer) => short(&integer.to_string()),
        DeValue::Float(float) => short(float.as_str()),
        DeValue::Boolean(flag) => flag.to_string(),
        DeValue::Datetime(_) => "a date or time".to_owned(),
        DeValue::Array(_) => "a list".to_owned(),
        DeValue::Table(_) => "a table".to_owned(),
    }
}

fn quoted<T>(choices: &[(&str, T)]) -> Vec<String> {
    choices.iter().map(|(word, _)| format!("\"{word}\"")).collect()
}

fn listed(known: &[&str]) -> String {
    let known: Vec<_> = known.iter().map(|key| format!("`{key}`")).collect();
    known.join(", ")
}
