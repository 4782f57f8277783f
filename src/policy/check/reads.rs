//! What routes read of query, headers and body.

use super::super::body::{JsonRule, Pointer, Token};
use super::super::diagnostics::{At, quoted};
use super::super::file::{Json as WrittenJson, Route as WrittenRoute, Texts};
use super::super::names::Names;
use super::super::quantity::show_size;
use super::super::reader::Entry;
use super::super::table::{Field, Reads, Recorded, Wants};
use super::super::value::Kind;
use super::Checker;
use crate::model::ids::BackendId;
use crate::model::method::is_token;

/// A body that is judged is held in memory, one a connection.
const MOST_JSON: u64 = 16 << 20;
const USUAL_JSON: u64 = 1 << 20;
const MOST_HEADERS: usize = 32;
const MOST_TYPES: usize = 16;
const MOST_POINTERS: usize = 512;
/// Fields of one record.
const MOST_RECORDED: usize = 8;

/// Header lines that are the gate's own to judge and to write.
const OWN: [&str; 9] = [
    "host",
    "connection",
    "content-length",
    "transfer-encoding",
    "content-encoding",
    "expect",
    "upgrade",
    "trailer",
    "te",
];

impl<N: Names> Checker<'_, '_, N> {
    /// What a route reads, and the most bytes of its body.
    pub(super) fn reads(&mut self, written: &WrittenRoute, to: Option<BackendId>) -> (Reads, Option<u64>) {
        let body = &written.reads.body;
        let json = body.json.as_ref().map(|json| self.json(json));
        if let (Some(_), Some(to)) = (&json, to)
            && self.builtins.contains(&to)
        {
            let help = "leave it out: the daemon's own API reads no body";
            self.problems.add_help(written.span, "a body is judged for a `proxy` only", help);
        }
        let mut content_type = self.content_types(body.content_type.as_ref());
        if json.is_some() && content_type.is_empty() {
            content_type.push("application/json".to_owned());
        }
        let mut most = body.max.as_ref().map(|max| max.value);
        if json.is_some() {
            if let Some(max) = body.max.as_ref().filter(|max| max.value > MOST_JSON) {
                let message = format!("a body that is judged has at most {}", show_size(MOST_JSON));
                self.problems.add(max.span, message);
            }
            most = most.or(Some(self.body_bytes.min(USUAL_JSON)));
        }
        let query = written.reads.query.as_ref().map(|query| self.fields(&query.value)).unwrap_or_default();
        let headers = self.headers(written.reads.header.as_ref());
        let record = self.recorded(written, json.is_some());
        let says = |field: &Field| field.wants != Wants::Maybe || field.kind != Kind::Any;
        let reads =
            Reads { query: query.into_iter().filter(says).collect(), headers, content_type, json, record };
        (reads, most)
    }

    fn fields(&mut self, written: &[Entry]) -> Vec<Field> {
        let field = |entry: &Entry| Field {
            name: entry.name.value.clone(),
            wants: entry.wants,
            kind: entry.kind.clone(),
        };
        written.iter().map(field).collect()
    }

    fn headers(&mut self, written: Option<&At<Vec<Entry>>>) -> Vec<Field> {
        let Some(written) = written else { return Vec::new() };
        if written.value.len() > MOST_HEADERS {
            self.problems.add(written.span, format!("`header` names at most {MOST_HEADERS}"));
        }
        for (place, entry) in written.value.iter().enumerate() {
            self.header_name(&entry.name);
            let mut before = written.value.iter().take(place);
            if before.any(|other| other.name.value.eq_ignore_ascii_case(&entry.name.value)) {
                self.problems.add(entry.name.span, "`header` names this twice: case makes no difference");
            }
        }
        self.fields(&written.value)
    }

    fn header_name(&mut self, name: &At<String>) {
        let text = &name.value;
        let plain = text.bytes().all(|byte| is_token(byte) && byte != b'_');
        if text.is_empty() || text.len() > 64 || !plain {
            self.problems.add(name.span, format!("{} is no header's name", quoted(text)));
        } else if OWN.iter().any(|own| text.eq_ignore_ascii_case(own)) {
            let help = "the daemon judges it for every request, and writes it anew";
            self.problems.add_help(name.span, format!("no rule is made about {}", quoted(text)), help);
        }
    }

    fn content_types(&mut self, written: Option<&Texts>) -> Vec<String> {
        let Some(written) = written else { return Vec::new() };
        if written.value.len() > MOST_TYPES {
            self.problems.add(written.span, format!("`content_type` names at most {MOST_TYPES}"));
        }
        for name in &written.value {
            let token = |part: &str| {
                !part.is_empty() && part.bytes().all(|byte| is_token(byte) && !byte.is_ascii_uppercase())
            };
            let plain =
                name.value.split_once('/').is_some_and(|(kind, subtype)| token(kind) && token(subtype));
            if !plain || name.value.len() > 128 {
                let message = format!("{} is no media type in lower case", quoted(&name.value));
                self.problems.add_help(
                    name.span,
                    message,
                    "write it without parameters: `\"application/json\"`",
                );
            }
        }
        written.value.iter().map(|name| name.value.clone()).collect()
    }

    fn json(&mut self, written: &WrittenJson) -> JsonRule {
        let mut allow = self.pointers(written.allow.as_ref(), |_| None);
        let mut values = Vec::new();
        for (pointer, kind) in &written.values {
            let below = |pointer: &Pointer| {
                pointer
                    .tokens()
                    .contains(&Token::Below)
                    .then_some("`**` has no type: it is whatever is below")
            };
            if let Some(pointer) = self.pointer(pointer, below) {
                // What has a type may be there.
                if !allow.contains(&pointer) {
                    allow.push(pointer.clone());
                }
                values.push((pointer, kind.value.clone()));
            }
        }
        let plain = |pointer: &Pointer| {
            (!pointer.is_plain()).then_some("this names one member: write it without `*`")
        };
        let below = |pointer: &Pointer| {
            pointer.tokens().contains(&Token::Below).then_some("this names members: write it without `**`")
        };
        let rule = JsonRule {
            others: written.others.as_ref().map(|others| others.value).unwrap_or_default(),
            required: self.pointers(written.required.as_ref(), plain),
            null: self.pointers(written.null.as_ref(), below),
            maps: self.pointers(written.maps.as_ref(), below),
            allow,
            values,
        };
        let count = rule.allow.len() + rule.null.len() + rule.maps.len() + rule.required.len();
        if let Some(first) = written.allow.as_ref().filter(|_| count > MOST_POINTERS) {
            self.problems.add(first.span, format!("`json` has at most {MOST_POINTERS} pointers"));
        }
        rule
    }

    fn pointers(
        &mut self,
        written: Option<&Texts>,
        unfit: impl Fn(&Pointer) -> Option<&'static str> + Copy,
    ) -> Vec<Pointer> {
        let texts = written.map_or([].as_slice(), |texts| &texts.value);
        texts.iter().filter_map(|text| self.pointer(text, unfit)).collect()
    }

    fn pointer(
        &mut self,
        text: &At<String>,
        unfit: impl Fn(&Pointer) -> Option<&'static str>,
    ) -> Option<Pointer> {
        match Pointer::parse(&text.value) {
            Ok(pointer) => match unfit(&pointer) {
                None => Some(pointer),
                Some(why) => {
                    self.problems.add(text.span, why);
                    None
                }
            },
            Err(bad) => {
                let message = format!("{} is no JSON Pointer: {}", quoted(&text.value), bad.message);
                self.problems.add_help(text.span, message, bad.help);
                None
            }
        }
    }

    fn recorded(&mut self, route: &WrittenRoute, json: bool) -> Recorded {
        let written = &route.reads.record;
        let plain = |pointer: &Pointer| {
            (!pointer.is_plain()).then_some("a record names one member: write it without `*`")
        };
        let body = self.pointers(written.body.as_ref(), plain);
        if let Some(texts) = written.body.as_ref().filter(|_| !json) {
            let help = "write `body = { json = { allow = [...] } }` for this route: what nobody reads can't be recorded";
            self.problems.add_help(texts.span, "a member is recorded of a body that is judged", help);
        }
        let all = |texts: Option<&Texts>| -> Vec<String> {
            texts.map_or([].as_slice(), |texts| &texts.value).iter().map(|text| text.value.clone()).collect()
        };
        for name in written.headers.as_ref().map_or([].as_slice(), |names| &names.value) {
            self.header_name(name);
        }
        let headers = all(written.headers.as_ref());
        if let Some(texts) = written.body.as_ref().or(written.headers.as_ref())
            && body.len() + headers.len() > MOST_RECORDED
        {
            self.problems.add(texts.span, format!("a record has at most {MOST_RECORDED} of these"));
        }
        for name in written.plain.as_ref().map_or([].as_slice(), |names| &names.value) {
            let known = body.iter().map(Pointer::as_str).chain(headers.iter().map(String::as_str));
            if !known.clone().any(|known| known == name.value) {
                let message = format!(
                    "`plain` names {}, which neither `body` nor `headers` records",
                    quoted(&name.value)
                );
                self.problems.add_unknown(name.span, message, &name.value, known);
            }
        }
        Recorded { query: all(written.query.as_ref()), headers, body, plain: all(written.plain.as_ref()) }
    }
}
