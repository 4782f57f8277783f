//! What a route says of query, headers and body, as it is written.

use super::super::body::Others;
use super::super::diagnostics::At;
use super::super::quantity::{show_size, size};
use super::super::reader::{Entry, Section};
use super::super::value::Kind;
use super::Texts;

/// All of it.
#[derive(Debug, Default)]
pub(crate) struct Reads {
    /// Where `query` is a table: each name with its type.
    pub(crate) query: Option<At<Vec<Entry>>>,
    pub(crate) header: Option<At<Vec<Entry>>>,
    pub(crate) body: Body,
    pub(crate) record: Record,
}

/// `body`.
#[derive(Debug, Default)]
pub(crate) struct Body {
    pub(crate) max: Option<At<u64>>,
    pub(crate) content_type: Option<Texts>,
    pub(crate) json: Option<Json>,
}

/// `body.json`.
#[derive(Debug)]
pub(crate) struct Json {
    pub(crate) allow: Option<Texts>,
    pub(crate) others: Option<At<Others>>,
    pub(crate) values: Vec<(At<String>, At<Kind>)>,
    pub(crate) required: Option<Texts>,
    pub(crate) null: Option<Texts>,
    pub(crate) maps: Option<Texts>,
}

/// `audit.record`.
#[derive(Debug, Default)]
pub(crate) struct Record {
    pub(crate) query: Option<Texts>,
    pub(crate) headers: Option<Texts>,
    pub(crate) body: Option<Texts>,
    pub(crate) plain: Option<Texts>,
}

impl Body {
    pub(super) fn read(body: &mut Section<'_, '_, '_>) -> Body {
        let max = body.quantity("max", "a size such as `\"64KiB\"`", size, (0, 1 << 50), &show_size);
        let content_type = body
            .some_texts("content_type", "leave it out to take any, or name one such as `application/json`");
        let json = body.table("json", "route.body.json", Json::read);
        if !["max", "content_type", "json"].iter().any(|key| body.has(key)) {
            body.problems.add_help(body.span, "this `body` says nothing", "write such as `max = \"64KiB\"`");
        }
        Body { max, content_type, json }
    }
}

impl Json {
    fn read(json: &mut Section<'_, '_, '_>) -> Json {
        let others = [("refuse", Others::Refuse), ("zero", Others::Zero)];
        let values = json.entries("values", "a table such as `{ \"/Memory\" = { int = \"0..1024\" } }`");
        let values = values.unwrap_or_default().into_iter().filter_map(|(pointer, span, value)| {
            let kind = json.kind_of(&pointer.value, span, value)?;
            Some((pointer, kind))
        });
        let values = values.collect();
        let read = Json {
            allow: json.texts("allow"),
            others: json.word("others", &others),
            values,
            required: json.texts("required"),
            null: json.texts("null"),
            maps: json.texts("maps"),
        };
        if !json.has("allow") && !json.has("values") {
            let help = "write such as `allow = [\"/Image\", \"/Cmd/*\"]`; `allow = []` takes an empty object";
            json.problems.add_help(json.span, "`json` needs `allow` or `values`", help);
        }
        read
    }
}

impl Record {
    pub(super) fn read(record: &mut Section<'_, '_, '_>) -> Record {
        Record {
            query: record.texts("query"),
            headers: record.texts("headers"),
            body: record.texts("body"),
            plain: record.texts("plain"),
        }
    }
}
