//! Elastic Common Schema: NDJSON, each field by its dotted name, which Elasticsearch takes as the object it names.

use super::Source;
use super::event::{End, Event, Field, Value, Weight};
use super::json::Json;
use super::other;

/// The version of the schema.
pub(super) const VERSION: &str = "9.4.0";

/// Where a field of ours goes as it is. What the schema has no place for lies below `peergate`.
pub(super) const NAMES: &[(Field, &str)] = &[
    (Field::Kind, "event.action"),
    (Field::Id, "event.id"),
    (Field::On, "service.name"),
    (Field::Decision, "peergate.decision"),
    (Field::Refusal, "error.code"),
    (Field::Method, "http.request.method"),
    (Field::MethodBytes, "peergate.method_b64"),
    (Field::Target, "url.original"),
    (Field::TargetBytes, "peergate.target_b64"),
    (Field::TargetLength, "peergate.target_len"),
    (Field::Route, "rule.ruleset"),
    (Field::By, "rule.name"),
    (Field::At, "rule.reference"),
    (Field::Policy, "rule.version"),
    (Field::Shadow, "peergate.shadow"),
    (Field::Backend, "service.target.name"),
    (Field::Status, "http.response.status_code"),
    (Field::Result, "peergate.result"),
    (Field::In, "http.request.body.bytes"),
    (Field::Out, "http.response.body.bytes"),
    (Field::Uid, "user.id"),
    (Field::User, "user.name"),
    (Field::Gid, "user.group.id"),
    (Field::Groups, "process.supplemental_groups.id"),
    (Field::Pid, "process.pid"),
    (Field::Exe, "process.executable"),
    (Field::ExeBytes, "peergate.exe_b64"),
    (Field::Unit, "peergate.unit"),
    (Field::Ns, "peergate.ns"),
    (Field::Login, "peergate.login"),
    (Field::Ruid, "process.real_user.id"),
    (Field::Label, "peergate.label"),
    (Field::LabelBytes, "peergate.label_b64"),
    (Field::Count, "peergate.count"),
    (Field::Doubts, "peergate.doubts"),
    (Field::Segment, "log.file.path"),
    (Field::Offset, "peergate.offset"),
    (Field::Detail, "event.original"),
];

/// Ids, which the schema has as keywords.
const KEYWORDS: [Field; 3] = [Field::Uid, Field::Gid, Field::Ruid];

/// One line.
pub(super) fn line(event: &Event<'_>, source: &Source, out: &mut Vec<u8>) {
    let mut to = Json::begin(out);
    to.text("@timestamp", &event.time.to_string());
    to.word("ecs.version", VERSION);
    to.text("message", &event.sentence());
    to.word("event.kind", if event.weight == Some(Weight::Grave) { "alert" } else { "event" });
    let (category, kind) = match event.weight {
        Some(_) => other::ecs(event.kind(), event.text(Field::Result)),
        None => ("api", "access"),
    };
    to.words("event.category", [category]);
    to.words(
        "event.type",
        [kind].into_iter().chain(event.allowed.map(|yes| if yes { "allowed" } else { "denied" })),
    );
    to.word(
        "event.outcome",
        match event.end {
            End::Success => "success",
            End::Failure => "failure",
            End::Unknown => "unknown",
        },
    );
    to.word("event.dataset", if event.weight.is_some() { "peergate.event" } else { "peergate.access" });
    to.word("event.module", "peergate");
    to.word("event.provider", "peergated");
    to.text("event.start", &event.time.to_string());
    if let Some(ended) = event.ended() {
        to.text("event.end", &ended.to_string());
        to.number("event.duration", ended.micros().saturating_sub(event.time.micros()).saturating_mul(1_000));
    }
    to.maybe_word("event.reason", event.reason());
    to.maybe_word("error.message", event.reason_in_words());
    to.text("host.name", &source.host);
    to.text("observer.version", &source.version);
    to.word("observer.product", "peergate");
    if let Some(target) = event.text(Field::Target) {
        let (path, query) =
            target.split_once('?').map_or((target, None), |(path, query)| (path, Some(query)));
        to.word("url.path", path);
        to.maybe_word("url.query", query);
    }
    if let Some(exe) = event.text(Field::Exe) {
        to.word("process.name", exe.rsplit('/').next().unwrap_or(exe));
    }
    to.words("related.user", event.text(Field::User));
    for (field, name) in NAMES {
        match event.field(*field) {
            None => {}
            Some(Value::Number(number)) if !KEYWORDS.contains(field) => to.number(name, number),
            Some(Value::Numbers(list)) => to.words(name, list),
            Some(Value::Word(word)) => to.word(name, word),
            Some(other) => to.word(name, &other.shown()),
        }
    }
    to.end();
}
