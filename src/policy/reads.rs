//! Judges what a route reads beyond method and path: values of the query and header lines, each in one reading.

use std::borrow::Cow;

use super::body::Offence;
use super::table::{Field, Reads, Wants};
use super::value::Kind;
use crate::model::json::Json;
use crate::model::message::{Coming, Lines};
use crate::model::refusal::Refusal;
use crate::model::target::Target;

/// A field of a request that a route has recorded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Noted {
    /// `body /Image`, `header User-Agent`.
    pub name: String,
    /// What was there, decoded; `None`: nothing.
    pub value: Option<String>,
    /// Whether it stands in the record as it is; a keyed hash otherwise.
    pub plain: bool,
}

impl Reads {
    /// Judges the values of a query whose names are known to be there once each.
    pub(super) fn judge_query(&self, target: &Target) -> Result<(), Offence> {
        for field in &self.query {
            let offence = |refusal| Offence { refusal, part: format!("query {}", field.name) };
            match target.query_pairs().find(|(name, _)| *name == field.name) {
                None if field.wants == Wants::Required => return Err(offence(Refusal::QueryLacks)),
                None => {}
                Some((_, value)) if field.kind != Kind::Any => {
                    let value = decoded(value).ok_or_else(|| offence(Refusal::QuerySyntax))?;
                    if !field.kind.takes(&value) {
                        return Err(offence(Refusal::QueryValue));
                    }
                }
                Some(_) => {}
            }
        }
        Ok(())
    }

    /// The name of a value that it judges and that is there as the hash that a record has of a secret.
    #[cfg(feature = "cli")]
    pub(super) fn hashed<'t>(&self, target: &'t Target) -> Option<&'t str> {
        let judged = |name: &str| self.query.iter().any(|it| it.name == name && it.kind != Kind::Any);
        target.query_pairs().find(|(name, value)| judged(name) && is_hash(value)).map(|(name, _)| name)
    }

    /// Judges the header lines, and what they say of the body.
    pub(super) fn judge_head(&self, lines: &dyn Lines, coming: Coming) -> Result<(), Offence> {
        for field in &self.headers {
            if !takes_header(field, lines) {
                let part = format!("header {}", field.name);
                return Err(Offence { refusal: Refusal::HeaderRule, part });
            }
        }
        let offence = |refusal, part: &str| Err(Offence { refusal, part: part.to_owned() });
        if coming == Coming::Nothing {
            return if self.json.is_some() { offence(Refusal::BodyMissing, "body") } else { Ok(()) };
        }
        let (mut types, mut encoded) = (Vec::new(), false);
        lines.each(&mut |name, value| {
            if alike(name, "content-type") {
                types.push(value);
            }
            encoded |= alike(name, "content-encoding");
        });
        // A server that decodes it would read something else than was judged.
        if encoded && self.json.is_some() {
            return offence(Refusal::ContentEncoding, "header Content-Encoding");
        }
        let taken = match types.as_slice() {
            _ if self.content_type.is_empty() => true,
            [one] => self.content_type.iter().any(|known| is_media_type(one, known)),
            _ => false,
        };
        if taken { Ok(()) } else { offence(Refusal::ContentType, "header Content-Type") }
    }

    /// The header lines that are recorded.
    pub(super) fn note_head(&self, lines: &dyn Lines) -> Vec<Noted> {
        let mut noted = Vec::new();
        for name in &self.record.headers {
            let mut value = None;
            lines.each(&mut |line, is| {
                if value.is_none() && line.eq_ignore_ascii_case(name) {
                    value = Some(is.to_owned());
                }
            });
            noted.push(Noted {
                name: format!("header {name}"),
                value,
                plain: self.record.plain.contains(name),
            });
        }
        noted
    }

    /// The members of the body that are recorded. Of what is no single value the size is told.
    pub(super) fn note_body(&self, json: &Json<'_>) -> impl Iterator<Item = Noted> {
        self.record.body.iter().map(move |pointer| {
            let value = pointer.find(json).map(|value| match value {
                Json::Null => "null".to_owned(),
                Json::Bool(value) => value.to_string(),
                Json::Number(text) => (*text).to_owned(),
                Json::Text(text) => text.to_string(),
                Json::List(list) => format!("a list of {}", list.len()),
                Json::Object(members) => format!("an object of {}", members.len()),
            });
            let plain = self.record.plain.iter().any(|name| name == pointer.as_str());
            Noted { name: format!("body {pointer}"), value, plain }
        })
    }
}

/// A value of a query, decoded once. `None` where servers differ: `+` is a space to some and itself to others.
fn decoded(value: &str) -> Option<Cow<'_, str>> {
    if value.contains('+') {
        return None;
    }
    if !value.contains('%') {
        return Some(Cow::Borrowed(value));
    }
    let mut bytes = Vec::with_capacity(value.len());
    let mut parts = value.split('%');
    bytes.extend_from_slice(parts.next()?.as_bytes());
    for part in parts {
        // A canonical target has two hex digits behind each `%`.
        let (digits, rest) = part.split_at_checked(2)?;
        bytes.push(u8::from_str_radix(digits, 16).ok()?);
        bytes.extend_from_slice(rest.as_bytes());
    }
    String::from_utf8(bytes).ok().map(Cow::Owned)
}

/// Whether it is what a record has of a secret value: `~` and 16 hexadecimal digits.
#[cfg(feature = "cli")]
pub(crate) fn is_hash(value: &str) -> bool {
    let digits = value.strip_prefix('~').unwrap_or_default();
    digits.len() == 16 && digits.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// Whether the lines of this name are as the rule wants them: never two, none that only imitates the name.
fn takes_header(field: &Field, lines: &dyn Lines) -> bool {
    let (mut count, mut fits) = (0, true);
    lines.each(&mut |name, value| {
        if alike(name, &field.name) {
            count += 1;
            fits &= name.eq_ignore_ascii_case(&field.name) && field.kind.takes(value);
        }
    });
    match field.wants {
        Wants::Absent => count == 0,
        Wants::Maybe => count == 0 || count == 1 && fits,
        Wants::Required => count == 1 && fits,
    }
}

/// Whether some server could take the one name for the other: those that hand headers on as variables make `_` of
/// every byte that is no letter or digit (CVE-2025-64484).
fn alike(a: &str, b: &str) -> bool {
    let fold = |byte: u8| if byte.is_ascii_alphanumeric() { byte.to_ascii_lowercase() } else { b'_' };
    a.bytes().map(fold).eq(b.bytes().map(fold))
}

/// Whether a Content-Type is this media type: alone, or with UTF-8 named as its charset.
fn is_media_type(value: &str, known: &str) -> bool {
    let (kind, parameter) = match value.split_once(';') {
        Some((kind, parameter)) => (kind, Some(parameter.trim_matches([' ', '\t']))),
        None => (value, None),
    };
    let charset = ["charset=utf-8", "charset=\"utf-8\""];
    kind.trim_end_matches([' ', '\t']).eq_ignore_ascii_case(known)
        && parameter.is_none_or(|is| charset.iter().any(|utf8| is.eq_ignore_ascii_case(utf8)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reads(query: &[(&str, Wants, &str)], headers: &[(&str, Wants, &str)]) -> Reads {
        let fields = |list: &[(&str, Wants, &str)]| {
            let field = |(name, wants, kind): &(&str, Wants, &str)| Field {
                name: (*name).to_owned(),
                wants: *wants,
                kind: Kind::parse(kind).unwrap(),
            };
            list.iter().map(field).collect()
        };
        Reads { query: fields(query), headers: fields(headers), ..Reads::default() }
    }

    fn head(reads: &Reads, lines: &[(&str, &str)], coming: Coming) -> Option<Refusal> {
        let lines: Vec<(String, String)> =
            lines.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        reads.judge_head(&lines, coming).err().map(|offence| offence.refusal)
    }

    #[test]
    fn query_values_are_judged_decoded_in_one_way() {
        let reads =
            reads(&[("limit", Wants::Maybe, "int 1..1000"), ("name", Wants::Required, "one_of a b|ü")], &[]);
        for (query, said) in [
            ("name=a%20b", None),
            ("name=%C3%BC&limit=7", None),
            ("name=a%20b&limit=%37", None),
            ("name=a+b", Some(Refusal::QuerySyntax)),
            ("name=a", Some(Refusal::QueryValue)),
            ("name", Some(Refusal::QueryValue)),
            ("name=a%2520b", Some(Refusal::QueryValue)),
            ("name=a%20b&limit=1001", Some(Refusal::QueryValue)),
            ("name=a%20b&limit=", Some(Refusal::QueryValue)),
            ("name=a%20b&limit=07", Some(Refusal::QueryValue)),
            ("limit=7", Some(Refusal::QueryLacks)),
            ("", Some(Refusal::QueryLacks)),
        ] {
            let target = Target::parse(format!("/x?{query}").as_bytes()).unwrap();
            assert_eq!(reads.judge_query(&target).err().map(|offence| offence.refusal), said, "{query}");
        }
    }

    #[test]
    fn header_lines_are_once_and_as_the_rule_says() {
        let rule = |wants, kind| reads(&[], &[("X-Auth", wants, kind)]);
        let wrong = Some(Refusal::HeaderRule);
        for (wants, kind, lines, said) in [
            (Wants::Absent, "any", vec![], None),
            (Wants::Absent, "any", vec![("x-auth", "")], wrong),
            (Wants::Absent, "any", vec![("X_AUTH", "")], wrong),
            (Wants::Maybe, "one_of a", vec![], None),
            (Wants::Maybe, "one_of a", vec![("X-AUTH", "a")], None),
            (Wants::Maybe, "one_of a", vec![("X-Auth", "b")], wrong),
            (Wants::Maybe, "one_of a", vec![("X-Auth", "a"), ("x-auth", "a")], wrong),
            (Wants::Maybe, "one_of a", vec![("X.Auth", "a")], wrong),
            (Wants::Required, "any", vec![("X-Other", "a")], wrong),
            (Wants::Required, "any", vec![("X-Auth", "a")], None),
        ] {
            assert_eq!(head(&rule(wants, kind), &lines, Coming::Nothing), said, "{wants:?} {lines:?}");
        }
    }

    #[test]
    fn content_type_is_one_that_the_route_names() {
        let reads = Reads { content_type: vec!["application/json".to_owned()], ..Reads::default() };
        let says = |lines: &[(&str, &str)]| head(&reads, lines, Coming::Length(1));
        for fine in [
            "application/json",
            "Application/JSON",
            "application/json; charset=utf-8",
            "application/json;charset=\"UTF-8\"",
        ] {
            assert_eq!(says(&[("Content-Type", fine)]), None, "{fine}");
        }
        for other in [
            "",
            "text/plain",
            "application/jsonx",
            "application/json, text/plain",
            "application/json; charset=utf-7",
            "application/json; charset=utf-8; x=y",
        ] {
            assert_eq!(says(&[("Content-Type", other)]), Some(Refusal::ContentType), "{other}");
        }
        assert_eq!(says(&[]), Some(Refusal::ContentType));
        assert_eq!(
            says(&[("Content_Type", "application/json"), ("Content-Type", "application/json")]),
            Some(Refusal::ContentType)
        );
        assert_eq!(head(&reads, &[], Coming::Nothing), None, "there is nothing to be of a type");
    }
}
