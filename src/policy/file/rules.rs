//! The tables that say what may be asked: routes, forbids, tests.

use super::super::diagnostics::{At, Span};
use super::super::reader::Section;
use super::Texts;
use super::reads::{Body, Reads, Record};
use super::settings::DURABILITIES;
use super::when::When;
use super::who::TestWho;
use crate::model::keeping::{Durability, OnFailure};
use crate::model::time::Timestamp;

/// `[[route]]`.
#[derive(Debug)]
pub(crate) struct Route {
    pub(crate) id: Option<At<String>>,
    pub(crate) span: Span,
    pub(crate) on: Option<Texts>,
    pub(crate) matches: Option<Texts>,
    pub(crate) query: Option<Texts>,
    pub(crate) to: Option<At<String>>,
    pub(crate) allow: Option<Texts>,
    pub(crate) reads: Reads,
    pub(crate) durability: Option<At<Durability>>,
    pub(crate) on_failure: Option<At<OnFailure>>,
    pub(crate) help: Option<At<String>>,
    pub(crate) stream: Option<At<bool>>,
    pub(crate) upgrade: Option<Texts>,
    pub(crate) encoded_slash: Option<Texts>,
    pub(crate) path_parameter: Option<Texts>,
    pub(crate) shadow: Option<At<bool>>,
    pub(crate) until: Option<At<Timestamp>>,
    pub(crate) when: Vec<When>,
    pub(crate) reason: Option<At<String>>,
}

const MODES: [(&str, bool); 2] = [("enforce", false), ("shadow", true)];

impl Route {
    pub(super) fn read(section: &mut Section<'_, '_, '_>) -> Route {
        let id = section.text("id");
        let matches = section.some_texts("match", "name at least one method and path");
        let to = section.text("to");
        let allow = section.some_texts("allow", "name who may; a route that allows nobody is no route");
        let audit = section.table("audit", "route.audit", |audit| {
            let failures = [("deny", OnFailure::Deny), ("journal", OnFailure::Journal)];
            let record = audit.table("record", "route.audit.record", Record::read);
            (audit.word("durability", &DURABILITIES), audit.word("on_failure", &failures), record)
        });
        let (durability, on_failure, record) = audit.unwrap_or_default();
        // A table gives each name a type; a list takes any value.
        let typed = section.is_table("query").then(|| section.named_kinds("query", false)).flatten();
        let names = typed.as_ref().map(|typed| At {
            value: typed.value.iter().map(|entry| entry.name.clone()).collect(),
            span: typed.span,
        });
        let reads = Reads {
            query: typed,
            header: section.named_kinds("header", true),
            body: section.table("body", "route.body", Body::read).unwrap_or_default(),
            record: record.unwrap_or_default(),
        };
        Route {
            span: section.span,
            id: section.need("id", id, "\"containers-list\""),
            on: section.some_texts("on", "leave `on` out, or name a listener"),
            matches: section.need("match", matches, "[\"GET /containers/json\"]"),
            query: names.or_else(|| if section.is_table("query") { None } else { section.texts("query") }),
            to: section.need("to", to, "\"docker\""),
            allow: section.need("allow", allow, "[\"operators\"]"),
            reads,
            durability,
            on_failure,
            help: section.text("help"),
            stream: section.boolean("stream"),
            upgrade: section.texts("upgrade"),
            encoded_slash: section.texts("encoded_slash"),
            path_parameter: section.texts("path_parameter"),
            shadow: section.word("mode", &MODES),
            until: section.instant("until"),
            when: section.one_or_more("when", "when", When::read),
            reason: section.text("reason"),
        }
    }
}

/// `[[forbid]]`.
#[derive(Debug)]
pub(crate) struct Forbid {
    pub(crate) id: Option<At<String>>,
    pub(crate) on: Option<Texts>,
    pub(crate) to: Option<Texts>,
    pub(crate) matches: Option<Texts>,
    pub(crate) who: Option<Texts>,
    pub(crate) when: Vec<When>,
    pub(crate) shadow: Option<At<bool>>,
}

impl Forbid {
    pub(super) fn read(section: &mut Section<'_, '_, '_>) -> Forbid {
        let id = section.text("id");
        let matches = section.some_texts("match", "name at least one method and path");
        Forbid {
            id: section.need("id", id, "\"nobody-prunes\""),
            on: section.some_texts("on", "leave `on` out to forbid it on every listener"),
            to: section.some_texts("to", "leave `to` out to forbid it for every backend"),
            matches: section.need("match", matches, "[\"* /exec/{rest...}\"]"),
            who: section.some_texts("who", "leave `who` out to forbid it to everyone"),
            when: section.one_or_more("when", "when", When::read),
            shadow: section.word("mode", &MODES),
        }
    }
}

/// `[[test]]`.
#[derive(Debug)]
pub(crate) struct Test {
    pub(crate) span: Span,
    pub(crate) who: TestWho,
    pub(crate) on: Option<At<String>>,
    pub(crate) request: Option<At<String>>,
    pub(crate) upgrade: Option<At<String>>,
    pub(crate) at: Option<At<Timestamp>>,
    /// Header lines: name and value.
    pub(crate) headers: Vec<(At<String>, String)>,
    pub(crate) body: Option<At<String>>,
    pub(crate) expect: Option<At<String>>,
    pub(crate) route: Option<At<String>>,
}

impl Test {
    pub(super) fn read(section: &mut Section<'_, '_, '_>) -> Test {
        let who = section.table("who", "test.who", TestWho::read);
        let request = section.text("request");
        let expect = section.text("expect");
        Test {
            span: section.span,
            who: section.need("who", who, "{ user = \"ci\" }").unwrap_or_default(),
            on: section.text("on"),
            request: section.need("request", request, "\"GET /containers/json\""),
            upgrade: section.text("upgrade"),
            at: section.instant("at"),
            headers: section.texts_by_name("headers"),
            body: section.text("body"),
            expect: section.need("expect", expect, "\"deny\""),
            route: section.text("route"),
        }
    }
}
