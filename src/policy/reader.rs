//! Reads tables of a TOML document key by key, with the place of every value, and goes on after a mistake.

mod value;

use std::collections::HashSet;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::diagnostics::{At, Problems, Span, quoted};
use super::keys;
use crate::model::time::Timestamp;
pub(crate) use value::Entry;

/// One table while it is read.
pub(crate) struct Section<'a, 'p, 't> {
    /// Its name in [`keys`].
    name: &'static str,
    pub(crate) span: Span,
    table: &'a DeTable<'a>,
    pub(crate) problems: &'p mut Problems<'t>,
}

impl<'a, 'p, 't> Section<'a, 'p, 't> {
    /// Begins with a table; keys that it may not hold are mistakes at once.
    pub(crate) fn open(
        name: &'static str,
        span: Span,
        table: &'a DeTable<'a>,
        problems: &'p mut Problems<'t>,
    ) -> Section<'a, 'p, 't> {
        for key in table.keys() {
            let written: &str = key.get_ref();
            if !keys::of(name).any(|known| known == written) {
                let place = shown(name);
                let meant = keys::MEANT.iter().find(|(table, key, _)| *table == name && *key == written);
                if let Some((.., help)) = meant {
                    problems.add_help(
                        key.span().into(),
                        format!("{place} has no key {}", quoted(written)),
                        *help,
                    );
                    continue;
                }
                problems.add_unknown(
                    key.span().into(),
                    format!("{place} has no key {}", quoted(written)),
                    written,
                    keys::of(name),
                );
            }
        }
        Section { name, span, table, problems }
    }

    fn value(&self, key: &str) -> Option<(Span, &'a DeValue<'a>)> {
        let value: &'a Spanned<DeValue<'a>> = self.table.get(key)?;
        Some((value.span().into(), value.get_ref()))
    }

    /// Whether the key was written, rightly or wrongly.
    pub(crate) fn has(&self, key: &str) -> bool {
        self.value(key).is_some()
    }

    /// Where the key's value stands; the section's own place where there is none.
    pub(crate) fn span_of(&self, key: &str) -> Span {
        self.value(key).map_or(self.span, |(span, _)| span)
    }

    fn wrong(&mut self, span: Span, key: &str, wanted: &str, value: &DeValue<'_>) {
        self.problems.add(span, format!("`{key}` is {wanted}, not {}", kind(value)));
    }

    /// Notes a key that is needed and not there; one that is there but wrong has its note already.
    pub(crate) fn need<T>(&mut self, key: &str, value: Option<T>, such_as: &str) -> Option<T> {
        if value.is_none() && self.value(key).is_none() {
            let message = format!("{} needs `{key}`", shown(self.name));
            self.problems.add_help(self.span, message, format!("write `{key} = {such_as}`"));
        }
        value
    }

    pub(crate) fn text(&mut self, key: &str) -> Option<At<String>> {
        let (span, value) = self.value(key)?;
        match value {
            DeValue::String(text) => Some(At { value: text.to_string(), span }),
            other => {
                self.wrong(span, key, "a string", other);
                None
            }
        }
    }

    /// One string, or a list of them that names none twice.
    pub(crate) fn texts(&mut self, key: &str) -> Option<At<Vec<At<String>>>> {
        self.list(key, "a string or a list of strings", |value| match value {
            DeValue::String(text) => Some(text.to_string()),
            _ => None,
        })
    }

    /// One id, or a list of them that names none twice.
    pub(crate) fn ids(&mut self, key: &str) -> Option<At<Vec<At<u32>>>> {
        self.list(key, "a number below 4294967295 or a list of them", |value| {
            integer(value).and_then(|id| u32::try_from(id).ok()).filter(|id| *id != u32::MAX)
        })
    }

    fn list<T: std::hash::Hash + Eq + Clone>(
        &mut self,
        key: &str,
        wanted: &str,
        read: impl Fn(&DeValue<'_>) -> Option<T>,
    ) -> Option<At<Vec<At<T>>>> {
        let (span, value) = self.value(key)?;
        let mut list = Vec::new();
        match value {
            DeValue::Array(array) => {
                let mut seen = HashSet::new();
                for item in array.iter() {
                    let at: Span = item.span().into();
                    match read(item.get_ref()) {
                        Some(value) if seen.insert(value.clone()) => list.push(At { value, span: at }),
                        Some(_) => self.problems.add(at, format!("`{key}` names this twice")),
                        None => self.wrong(at, key, wanted, item.get_ref()),
                    }
                }
            }
            other => match read(other) {
                Some(value) => list.push(At { value, span }),
                None => {
                    self.wrong(span, key, wanted, other);
                    return None;
                }
            },
        }
        Some(At { value: list, span })
    }

    /// As [`Section::texts`], and an empty list is a mistake: `why` says what it would mean.
    pub(crate) fn some_texts(&mut self, key: &str, why: &str) -> Option<At<Vec<At<String>>>> {
        let list = self.texts(key)?;
        self.not_empty(key, &list, why);
        Some(list)
    }

    pub(crate) fn not_empty<T>(&mut self, key: &str, list: &At<Vec<T>>, why: &str) {
        let written_empty = matches!(self.value(key), Some((_, DeValue::Array(array))) if array.is_empty());
        if list.value.is_empty() && written_empty {
            self.problems.add_help(list.span, format!("`{key}` is empty"), why);
        }
    }

    /// A list of words in their order, each as often as it is written.
    pub(crate) fn words(&mut self, key: &str) -> Option<At<Vec<String>>> {
        let (span, value) = self.value(key)?;
        let DeValue::Array(array) = value else {
            self.wrong(span, key, "a list of strings", value);
            return None;
        };
        let mut words = Vec::new();
        for item in array.iter() {
            match item.get_ref() {
                DeValue::String(text) => words.push(text.to_string()),
                other => self.wrong(item.span().into(), key, "a list of strings", other),
            }
        }
        Some(At { value: words, span })
    }

    pub(crate) fn boolean(&mut self, key: &str) -> Option<At<bool>> {
        let (span, value) = self.value(key)?;
        match value {
            DeValue::Boolean(value) => Some(At { value: *value, span }),
            other => {
                self.wrong(span, key, "`true` or `false`", other);
                None
            }
        }
    }

    pub(crate) fn integer(&mut self, key: &str, least: u64, most: u64) -> Option<At<u64>> {
        let (span, value) = self.value(key)?;
        let Some(number) = integer(value) else {
            self.wrong(span, key, "a whole number", value);
            return None;
        };
        self.within(key, At { value: number, span }, least, most, &|value| value.to_string())
    }

    /// An instant: a TOML date and time with its offset.
    pub(crate) fn instant(&mut self, key: &str) -> Option<At<Timestamp>> {
        let (span, value) = self.value(key)?;
        let DeValue::Datetime(written) = value else {
            self.wrong(span, key, "an instant such as `2026-12-31T18:00:00+01:00`, without quotes", value);
            return None;
        };
        let whole = written.date.is_some() && written.time.is_some() && written.offset.is_some();
        match written.to_string().parse() {
            Ok(instant) if whole => Some(At { value: instant, span }),
            _ => {
                let help = "write date, time and offset from UTC: `2026-12-31T18:00:00Z` or `2026-12-31T18:00:00+01:00`";
                self.problems.add_help(span, format!("`{key}` says no instant"), help);
                None
            }
        }
    }

    /// A string that `read` understands, between two bounds.
    pub(crate) fn quantity(
        &mut self,
        key: &str,
        such_as: &str,
        read: fn(&str) -> Option<u64>,
        bounds: (u64, u64),
        show: &dyn Fn(u64) -> String,
    ) -> Option<At<u64>> {
        let (span, value) = self.value(key)?;
        let number = match value {
            DeValue::String(text) => read(text),
            _ => None,
        };
        match number {
            Some(value) => self.within(key, At { value, span }, bounds.0, bounds.1, show),
            None => {
                let message = format!("`{key}` is {such_as}");
                self.problems.add_help(span, message, "write the number, then its unit, in one string");
                None
            }
        }
    }

    fn within(
        &mut self,
        key: &str,
        number: At<u64>,
        least: u64,
        most: u64,
        show: &dyn Fn(u64) -> String,
    ) -> Option<At<u64>> {
        if (least..=most).contains(&number.value) {
            return Some(number);
        }
        self.problems.add(number.span, format!("`{key}` lies between {} and {}", show(least), show(most)));
        None
    }

    /// One of a few words.
    pub(crate) fn word<T: Copy>(&mut self, key: &str, words: &[(&str, T)]) -> Option<At<T>> {
        let At { value, span } = self.text(key)?;
        match words.iter().find(|(word, _)| *word == value) {
            Some((_, meant)) => Some(At { value: *meant, span }),
            None => {
                let known: Vec<_> = words.iter().map(|(word, _)| format!("`\"{word}\"`")).collect();
                self.problems.add_help(
                    span,
                    format!("`{key}` can't be {}", quoted(&value)),
                    format!("write {}", known.join(" or ")),
                );
                None
            }
        }
    }

    /// Permission bits, `"0660"` or `0o660`; a decimal number is never what it seems.
    pub(crate) fn mode(&mut self, key: &str) -> Option<At<u32>> {
        let (span, value) = self.value(key)?;
        let octal = |text: &str| {
            let digits =
                (3..=4).contains(&text.len()) && text.bytes().all(|byte| (b'0'..=b'7').contains(&byte));
            if digits { u32::from_str_radix(text, 8).ok() } else { None }
        };
        let mode = match value {
            DeValue::String(text) => octal(text),
            DeValue::Integer(number) if number.radix() == 8 => octal(number.as_str()),
            _ => None,
        };
        if mode.is_none() {
            self.problems.add_help(span, format!("`{key}` is permission bits"), "write them as `\"0660\"`");
        }
        Some(At { value: mode?, span })
    }

    /// A table below this one.
    pub(crate) fn table<T>(
        &mut self,
        key: &str,
        name: &'static str,
        read: impl FnOnce(&mut Section<'_, '_, '_>) -> T,
    ) -> Option<T> {
        let (span, value) = self.value(key)?;
        match value {
            DeValue::Table(table) => Some(read(&mut Section::open(name, span, table, self.problems))),
            other => {
                self.wrong(span, key, "a table", other);
                None
            }
        }
    }

    /// One table, or a list of them.
    pub(crate) fn one_or_more<T>(
        &mut self,
        key: &str,
        name: &'static str,
        read: impl FnMut(&mut Section<'_, '_, '_>) -> T,
    ) -> Vec<T> {
        match self.value(key) {
            Some((span, DeValue::Array(items))) if items.is_empty() => {
                self.problems.add_help(
                    span,
                    format!("`{key}` is empty"),
                    "leave the key out, or write a table",
                );
                Vec::new()
            }
            Some((_, DeValue::Array(_))) => self.listed(key, name, read),
            _ => self.table(key, name, read).into_iter().collect(),
        }
    }

    /// Tables by name, in the order of the file.
    pub(crate) fn named<T>(
        &mut self,
        key: &str,
        name: &'static str,
        mut read: impl FnMut(At<String>, &mut Section<'_, '_, '_>) -> T,
    ) -> Vec<T> {
        let Some((span, value)) = self.value(key) else { return Vec::new() };
        let DeValue::Table(tables) = value else {
            self.wrong(span, key, "tables with names", value);
            return Vec::new();
        };
        let mut tables: Vec<_> = tables.iter().collect();
        tables.sort_by_key(|(key, _)| key.span().start);
        let mut all = Vec::new();
        for (own_name, value) in tables {
            let at = At { value: own_name.get_ref().to_string(), span: own_name.span().into() };
            match value.get_ref() {
                DeValue::Table(table) => {
                    all.push(read(at.clone(), &mut Section::open(name, at.span, table, self.problems)));
                }
                other => {
                    let message = format!("`{key}` is tables with names, not {}", kind(other));
                    self.problems.add_help(at.span, message, format!("write `[{key}.NAME]`"));
                }
            }
        }
        all
    }

    /// A table of strings under names of the policy's own, in the order of the file.
    pub(crate) fn paths(&mut self, key: &str) -> Vec<(At<String>, At<String>)> {
        let Some((span, value)) = self.value(key) else { return Vec::new() };
        let DeValue::Table(table) = value else {
            self.wrong(span, key, "a table such as `{ pages = \"/srv/pages\" }`", value);
            return Vec::new();
        };
        let mut entries: Vec<_> = table.iter().collect();
        entries.sort_by_key(|(name, _)| name.span().start);
        let mut all = Vec::new();
        for (name, value) in entries {
            let at = At { value: name.get_ref().to_string(), span: name.span().into() };
            match value.get_ref() {
                DeValue::String(text) => {
                    all.push((at, At { value: text.to_string(), span: value.span().into() }));
                }
                other => self.wrong(value.span().into(), &at.value, "a string", other),
            }
        }
        all
    }

    /// Tables in a list, `[[route]]`.
    pub(crate) fn listed<T>(
        &mut self,
        key: &str,
        name: &'static str,
        mut read: impl FnMut(&mut Section<'_, '_, '_>) -> T,
    ) -> Vec<T> {
        let Some((span, value)) = self.value(key) else { return Vec::new() };
        let DeValue::Array(items) = value else {
            let message = format!("`{key}` is a list of tables, not {}", kind(value));
            self.problems.add_help(span, message, format!("write `[[{key}]]`"));
            return Vec::new();
        };
        let mut all = Vec::new();
        for item in items.iter() {
            match item.get_ref() {
                DeValue::Table(table) => {
                    all.push(read(&mut Section::open(name, item.span().into(), table, self.problems)));
                }
                other => self.wrong(item.span().into(), key, "a list of tables", other),
            }
        }
        all
    }
}

fn integer(value: &DeValue<'_>) -> Option<u64> {
    match value {
        DeValue::Integer(number) => u64::from_str_radix(number.as_str(), number.radix()).ok(),
        _ => None,
    }
}

/// A value's kind, as people call it.
fn kind(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a string",
        DeValue::Integer(_) => "a number",
        DeValue::Float(_) => "a number with a fraction",
        DeValue::Boolean(_) => "`true` or `false`",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}

/// A table's name in a sentence.
fn shown(section: &str) -> String {
    match section {
        "" => "a policy".to_owned(),
        "included" => "a file that another one includes".to_owned(),
        "route" => "a route".to_owned(),
        "forbid" => "a forbid".to_owned(),
        "test" => "a test".to_owned(),
        "route.body" => "a route's `body`".to_owned(),
        "route.body.json" => "a body's `json`".to_owned(),
        "route.audit.record" => "a route's `record`".to_owned(),
        "test.who" => "a test's `who`".to_owned(),
        "VALUE" => "a type".to_owned(),
        "who.limits" => "a who's `limits`".to_owned(),
        "when" => "a rule's `when`".to_owned(),
        other => format!("`[{other}]`"),
    }
}
