//! Reads types of values, and tables whose keys are the policy's own.

use toml::de::DeValue;

use super::super::diagnostics::{At, Span};
use super::super::table::Wants;
use super::super::value::{BadKind, Charset, Kind, TEXT_MAX};
use super::{Section, kind};

/// One name of a `query` or `header` table.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) name: At<String>,
    pub(crate) wants: Wants,
    pub(crate) kind: Kind,
}

/// The four ways to write a type as a table; one of them is needed.
const TYPES: [&str; 4] = ["one_of", "int", "hex", "text"];

impl<'a> Section<'a, '_, '_> {
    /// A type: `"hex"`, `"int 1..100"`, `{ int = "1..100" }`.
    pub(crate) fn kind(&mut self, key: &str) -> Option<At<Kind>> {
        let (span, value) = self.value(key)?;
        self.kind_of(key, span, value)
    }

    /// The type that `value`, which was written for `key`, says.
    pub(crate) fn kind_of(&mut self, key: &str, span: Span, value: &'a DeValue<'a>) -> Option<At<Kind>> {
        let read = match value {
            DeValue::String(written) => Kind::parse(written),
            DeValue::Table(table) => {
                let section = &mut Section::open("VALUE", span, table, self.problems);
                if let Some((span, _)) = section.value("required") {
                    section.problems.add(span, "`required` goes with names of a query and header lines only");
                }
                return section.kind_table().map(|value| At { value, span });
            }
            other => {
                self.wrong(span, key, "a type such as `\"hex\"` or `{ int = \"1..100\" }`", other);
                return None;
            }
        };
        self.taken(span, read).map(|value| At { value, span })
    }

    /// The type, or a note of what is wrong with it.
    fn taken(&mut self, span: Span, read: Result<Kind, BadKind>) -> Option<Kind> {
        match read {
            Ok(kind) => Some(kind),
            Err(BadKind { message, help: Some(help) }) => {
                self.problems.add_help(span, message, help);
                None
            }
            Err(BadKind { message, help: None }) => {
                self.problems.add(span, message);
                None
            }
        }
    }

    /// The type that this table's own keys say.
    pub(crate) fn kind_table(&mut self) -> Option<Kind> {
        let mut named = TYPES.into_iter().filter(|name| self.has(name));
        let (name, second) = (named.next(), named.next());
        let Some(name) = name.filter(|_| second.is_none()) else {
            let help =
                "write such as `{ int = \"1..100\" }`, or a type without terms as a string: `\"uuid\"`";
            self.problems.add_help(self.span, "a type is one of `one_of`, `int`, `hex` and `text`", help);
            return None;
        };
        if name != "text" {
            for key in ["max", "empty"] {
                if let Some((span, _)) = self.value(key) {
                    self.problems.add(span, format!("`{key}` goes with `text` only"));
                }
            }
        }
        let (span, _) = self.value(name)?;
        let read = match name {
            "one_of" => {
                let values = self.texts("one_of")?.value;
                Kind::one_of(values.into_iter().map(|value| value.value).collect())
            }
            "int" => Kind::int(&self.text("int")?.value),
            "hex" => Kind::hex(Some(self.integer("hex", 1, u64::MAX)?.value)),
            _ => {
                let set = self.text("text")?;
                let max = match self.has("max") {
                    true => Some(self.integer("max", 1, u64::MAX)?.value),
                    false => Some(u64::from(TEXT_MAX)),
                };
                let empty = self.boolean("empty").is_some_and(|empty| empty.value);
                Charset::parse(&set.value).and_then(|set| Kind::text(set, max, empty))
            }
        };
        self.taken(span, read)
    }

    /// Whether a table stands there.
    pub(crate) fn is_table(&self, key: &str) -> bool {
        matches!(self.value(key), Some((_, DeValue::Table(_))))
    }

    /// A table of names, each with what it has to be: a type, `"required"`, `"absent"` where that may be said, or a
    /// type's table with `required` in it.
    pub(crate) fn named_kinds(&mut self, key: &str, absent: bool) -> Option<At<Vec<Entry>>> {
        let (span, _) = self.value(key)?;
        let entries = self.entries(key, "a table of names and types")?;
        let read = entries.into_iter().filter_map(|(name, span, value)| {
            let (wants, kind) = match value {
                DeValue::String(word) if word == "required" => (Wants::Required, Kind::Any),
                DeValue::String(word) if word == "absent" && absent => (Wants::Absent, Kind::Any),
                DeValue::Table(table) => {
                    let section = &mut Section::open("VALUE", span, table, self.problems);
                    let required = section.boolean("required").is_some_and(|required| required.value);
                    let bare = !TYPES.iter().any(|key| section.has(key));
                    let kind = if bare { Kind::Any } else { section.kind_table()? };
                    (if required { Wants::Required } else { Wants::Maybe }, kind)
                }
                other => (Wants::Maybe, self.kind_of(&name.value, span, other)?.value),
            };
            Some(Entry { name, wants, kind })
        });
        Some(At { value: read.collect(), span })
    }

    /// A table of names and texts.
    pub(crate) fn texts_by_name(&mut self, key: &str) -> Vec<(At<String>, String)> {
        let entries =
            self.entries(key, "a table such as `{ \"Content-Type\" = \"text/plain\" }`").unwrap_or_default();
        let mut texts = Vec::new();
        for (name, span, value) in entries {
            match value {
                DeValue::String(text) => texts.push((name, text.to_string())),
                other => self.wrong(span, &name.value, "a string", other),
            }
        }
        texts
    }

    /// A table whose keys are the policy's own, in the order of the file, each with its value.
    pub(crate) fn entries(
        &mut self,
        key: &str,
        wanted: &str,
    ) -> Option<Vec<(At<String>, Span, &'a DeValue<'a>)>> {
        let (span, value) = self.value(key)?;
        let DeValue::Table(table) = value else {
            self.problems.add(span, format!("`{key}` is {wanted}, not {}", kind(value)));
            return None;
        };
        let mut entries: Vec<_> = table
            .iter()
            .map(|(key, value)| {
                let key = At { value: key.get_ref().to_string(), span: key.span().into() };
                (key, value.span().into(), value.get_ref())
            })
            .collect();
        entries.sort_by_key(|(key, _, _)| key.span.start);
        Some(entries)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::diagnostics::Problems;
    use toml::de::DeTable;

    /// What `k = WRITTEN` means, or what is said about it.
    fn read(written: &str) -> Result<String, String> {
        let text = format!("k = {written}\n");
        let document = DeTable::parse(&text).unwrap();
        let mut problems = Problems::new(&text);
        // Any section; `k` is none of its keys, which is noted too.
        let mut section = Section::open("VALUE", Span::default(), document.get_ref(), &mut problems);
        let kind = section.kind("k");
        match kind {
            Some(kind) => Ok(kind.value.to_string()),
            None => Err(problems.failed("p.toml").to_string()),
        }
    }

    #[test]
    fn type_is_read_alike_as_text_and_as_table() {
        for (text, table) in [
            ("\"int 1..100\"", "{ int = \"1..100\" }"),
            ("\"hex 64\"", "{ hex = 64 }"),
            ("\"one_of a|b\"", "{ one_of = [\"a\", \"b\"] }"),
            ("\"text name 64\"", "{ text = \"name\", max = 64 }"),
            ("\"text word\"", "{ text = \"word\" }"),
        ] {
            assert_eq!(read(text), read(table), "{text}");
            assert!(read(text).is_ok(), "{text}");
        }
        assert_eq!(read("\"uuid\"").as_deref(), Ok("uuid"));
    }

    #[test]
    fn type_that_is_wrong_is_shown_in_place() {
        for (written, told) in [
            ("5", "`k` is a type such as"),
            ("\"hx\"", "this type is not known"),
            ("{}", "a type is one of `one_of`, `int`, `hex` and `text`"),
            ("{ int = \"1..2\", hex = 4 }", "a type is one of `one_of`, `int`, `hex` and `text`"),
            ("{ int = \"2..1\" }", "this range holds no number"),
            ("{ text = \"nam\" }", "did you mean `name`?"),
            ("{ one_of = [] }", "`one_of` lists no value"),
            ("{ intt = \"1..2\" }", "did you mean `int`?"),
            ("{ hex = 0 }", "`hex` lies between 1 and"),
        ] {
            let said = read(written).expect_err(written);
            assert!(said.contains(told), "{written}: {said}");
        }
        let document = "k = { hex = 4, max = 5 }\n";
        let table = DeTable::parse(document).unwrap();
        let mut problems = Problems::new(document);
        Section::open("VALUE", Span::default(), table.get_ref(), &mut problems).kind("k");
        assert!(problems.failed("p").to_string().contains("`max` goes with `text` only"));
    }
}
