//! Open Cybersecurity Schema Framework: API Activity (class 6003), NDJSON.

use super::Source;
use super::event::{End, Event, Field, Value, Weight};
use super::json::Json;

/// The version of the schema.
pub(super) const VERSION: &str = "1.8.0";

const CLASS: u32 = 6003;

/// Methods that the schema lists; another one stands in `unmapped`.
const METHODS: [&str; 9] = ["OPTIONS", "GET", "HEAD", "POST", "PUT", "DELETE", "TRACE", "CONNECT", "PATCH"];

/// What the schema has no place for, below `unmapped`.
pub(super) const UNMAPPED: [Field; 19] = [
    Field::Kind,
    Field::MethodBytes,
    Field::TargetBytes,
    Field::TargetLength,
    Field::At,
    Field::Shadow,
    Field::Result,
    Field::Us,
    Field::Gid,
    Field::ExeBytes,
    Field::Unit,
    Field::Ns,
    Field::Login,
    Field::Ruid,
    Field::Label,
    Field::LabelBytes,
    Field::Doubts,
    Field::Segment,
    Field::Offset,
];

/// One line.
pub(super) fn line(event: &Event<'_>, source: &Source, out: &mut Vec<u8>) {
    if let Some(weight) = event.weight {
        return other(event, weight, source, out);
    }
    let method = event.text(Field::Method).unwrap_or_default();
    let (activity, named) = activity(method);
    let mut to = Json::begin(out);
    to.number("category_uid", 6);
    to.word("category_name", "Application Activity");
    to.number("class_uid", CLASS);
    to.word("class_name", "API Activity");
    to.number("activity_id", activity);
    to.word("activity_name", named);
    to.number("type_uid", CLASS * 100 + activity);
    to.word("type_name", &format!("API Activity: {}", if activity == 99 { "Other" } else { named }));
    put_times(&mut to, event);
    put_verdict(&mut to, event);
    to.text("message", &event.sentence());
    to.object("metadata", |to| put_metadata(to, event, source));
    to.object("device", |to| {
        to.text("hostname", &source.host);
        to.number("type_id", 0);
    });
    to.object("actor", |to| put_actor(to, event));
    // A Unix socket has no address: what tells a local caller's end apart is its unit, else the machine.
    to.object("src_endpoint", |to| {
        to.text("hostname", &source.host);
        to.maybe_word("svc_name", event.text(Field::Unit));
    });
    to.object("dst_endpoint", |to| {
        to.text("hostname", &source.host);
        to.maybe_word("svc_name", event.text(Field::On));
    });
    put_request(&mut to, event, method);
    if let Some(backend) = event.text(Field::Backend) {
        to.objects("resources", [backend], |to, backend| {
            to.word("name", backend);
            to.word("type", "backend");
        });
    }
    to.maybe_word("raw_data", event.text(Field::Detail));
    to.object("unmapped", |to| {
        for (field, value) in event.fields().filter(|(field, _)| UNMAPPED.contains(field)) {
            match value {
                Value::Number(number) => to.number(field.name(), number),
                Value::Word(word) => to.word(field.name(), word),
                other => to.word(field.name(), &other.shown()),
            }
        }
        if !METHODS.contains(&method) {
            to.word("method", method);
        }
    });
    to.end();
}

/// What is no access is the schema's base event: no class of it has all that, and a record is best told as a whole.
fn other(event: &Event<'_>, weight: Weight, source: &Source, out: &mut Vec<u8>) {
    let mut to = Json::begin(out);
    to.number("category_uid", 0);
    to.word("category_name", "Uncategorized");
    to.number("class_uid", 0);
    to.word("class_name", "Base Event");
    to.number("activity_id", 99);
    to.word("activity_name", event.kind());
    to.number("type_uid", 99);
    to.word("type_name", "Base Event: Other");
    put_times(&mut to, event);
    let (id, name) = match weight {
        Weight::Usual => (1, "Informational"),
        Weight::Notable => (3, "Medium"),
        Weight::Grave => (4, "High"),
    };
    to.number("severity_id", id);
    to.word("severity", name);
    to.text("message", &event.sentence());
    to.object("metadata", |to| put_metadata(to, event, source));
    to.object("device", |to| {
        to.text("hostname", &source.host);
        to.number("type_id", 0);
    });
    to.maybe_word("raw_data", event.text(Field::Detail));
    to.object("unmapped", |to| {
        for (field, value) in
            event.fields().filter(|(field, _)| !matches!(field, Field::Time | Field::Detail))
        {
            match value {
                Value::Number(number) => to.number(field.name(), number),
                Value::Word(word) => to.word(field.name(), word),
                other => to.word(field.name(), &other.shown()),
            }
        }
    });
    to.end();
}

/// `activity_id` and its name.
fn activity(method: &str) -> (u32, &'static str) {
    match method {
        "POST" => (1, "Create"),
        "GET" | "HEAD" => (2, "Read"),
        "PUT" | "PATCH" => (3, "Update"),
        "DELETE" => (4, "Delete"),
        "" => (0, "Unknown"),
        _ => (99, "Other method"),
    }
}

fn put_times(to: &mut Json<'_>, event: &Event<'_>) {
    let millis = |micros: u64| micros / 1_000;
    to.number("time", millis(event.time.micros()));
    to.text("time_dt", &event.time.to_string());
    if let Some(ended) = event.ended() {
        to.number("start_time", millis(event.time.micros()));
        to.text("start_time_dt", &event.time.to_string());
        to.number("end_time", millis(ended.micros()));
        to.text("end_time_dt", &ended.to_string());
        to.number("duration", millis(ended.micros().saturating_sub(event.time.micros())));
    }
    to.maybe_number("count", event.count(Field::Count));
}

fn put_verdict(to: &mut Json<'_>, event: &Event<'_>) {
    let (id, name) = match event.allowed {
        Some(true) => (1, "Allowed"),
        Some(false) => (2, "Denied"),
        None => (0, "Unknown"),
    };
    to.number("action_id", id);
    to.word("action", name);
    to.number("disposition_id", id);
    to.word("disposition", if id == 2 { "Blocked" } else { name });
    let (id, name) = match event.end {
        End::Success => (1, "Success"),
        End::Failure => (2, "Failure"),
        End::Unknown => (0, "Unknown"),
    };
    to.number("status_id", id);
    to.word("status", name);
    to.maybe_word("status_code", event.reason().or(event.text(Field::Result)));
    to.maybe_word("status_detail", event.reason_in_words());
    let (id, name) = if event.end == End::Failure { (2, "Low") } else { (1, "Informational") };
    to.number("severity_id", id);
    to.word("severity", name);
    if let Some(by) = event.text(Field::By) {
        to.object("firewall_rule", |to| {
            to.word("name", by);
            to.maybe_word("uid", event.text(Field::Route));
            to.maybe_word("version", event.text(Field::Policy));
        });
    }
    if let Some(policy) = event.text(Field::Policy) {
        to.object("policy", |to| {
            to.word("uid", policy);
            to.word("type", "peergate");
        });
    }
}

fn put_metadata(to: &mut Json<'_>, event: &Event<'_>, source: &Source) {
    to.word("version", VERSION);
    let profiles = ["datetime", "host", "security_control"];
    to.words("profiles", profiles.into_iter().take(if event.weight.is_some() { 2 } else { 3 }));
    to.object("product", |to| {
        to.word("name", "peergate");
        to.word("vendor_name", "peergate");
        to.text("version", &source.version);
    });
    let id = event.text(Field::Id);
    to.maybe_word("original_event_uid", id);
    // What all requests of one connection share.
    let parts: Vec<&str> = id.unwrap_or_default().split('-').collect();
    if let [boot, connection, ..] = parts[..] {
        to.word("correlation_uid", &format!("{boot}-{connection}"));
    }
    to.maybe_word("log_name", event.text(Field::Segment));
    to.word("log_provider", "peergated");
    to.word("log_version", "1");
}

fn put_actor(to: &mut Json<'_>, event: &Event<'_>) {
    to.object("user", |to| {
        let uid = event.count(Field::Uid);
        to.word("uid", &uid.map_or_else(|| "unknown".to_owned(), |uid| uid.to_string()));
        to.maybe_word("name", event.text(Field::User));
        if let Some(Value::Numbers(groups)) = event.field(Field::Groups) {
            to.objects("groups", groups, |to, group| to.word("uid", &group.to_string()));
        }
    });
    let Some(pid) = event.count(Field::Pid) else { return };
    to.object("process", |to| {
        to.number("pid", pid);
        if let Some(exe) = event.text(Field::Exe) {
            let name = exe.rsplit('/').next().unwrap_or(exe);
            to.word("name", name);
            to.object("file", |to| {
                to.word("name", name);
                to.word("path", exe);
                to.number("type_id", 1);
            });
        }
    });
}

fn put_request(to: &mut Json<'_>, event: &Event<'_>, method: &str) {
    let id = event.text(Field::Id);
    to.object("api", |to| {
        let operation = [event.text(Field::Route), Some(method)].into_iter().flatten();
        to.word("operation", operation.into_iter().find(|word| !word.is_empty()).unwrap_or("unknown"));
        if let Some(on) = event.text(Field::On) {
            to.object("service", |to| to.word("name", on));
        }
        if let Some(id) = id {
            to.object("request", |to| to.word("uid", id));
        }
        let reason = event.reason();
        let status = event.count(Field::Status);
        if reason.is_some() || status.is_some() {
            to.object("response", |to| {
                to.maybe_number("code", status);
                to.maybe_word("error", reason);
                to.maybe_word("error_message", event.reason_in_words());
            });
        }
    });
    if let Some(target) = event.text(Field::Target) {
        let (path, query) =
            target.split_once('?').map_or((target, None), |(path, query)| (path, Some(query)));
        to.object("http_request", |to| {
            if METHODS.contains(&method) {
                to.word("http_method", method);
            }
            to.maybe_word("uid", id);
            to.object("url", |to| {
                to.word("path", path);
                to.maybe_word("query_string", query);
            });
            to.maybe_number("body_length", event.count(Field::In));
        });
    }
    if let Some(status) = event.count(Field::Status) {
        to.object("http_response", |to| {
            to.number("code", status);
            to.maybe_number("body_length", event.count(Field::Out));
            to.maybe_number("latency", event.count(Field::Us).map(|us| us / 1_000));
        });
    }
}
