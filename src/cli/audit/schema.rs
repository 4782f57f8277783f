//! `peergate audit schema`: what a record is, as a JSON Schema.

use clap::Args;
use serde_json::{Value, json};

use crate::cli::term::Term;
use crate::cli::{Answer, Failure};

/// What this release writes, and nothing else: draft 2020-12.
const CLOSED: &str = include_str!("../../manual/record.schema.json");

#[derive(Debug, Args)]
pub(in crate::cli) struct Arguments {
    /// The form for readers: it also takes the keys, types of record and codes that a later release may write
    /// within the same version of the format
    #[arg(long)]
    reader: bool,
}

pub(super) fn run(arguments: &Arguments, term: &mut Term) -> Result<Answer, Failure> {
    if arguments.reader {
        let closed = serde_json::from_str(CLOSED)
            .map_err(|error| Failure::Because(format!("the schema can't be read: {error}")))?;
        term.line(format_args!("{:#}", opened(closed)))?;
    } else {
        term.line(CLOSED.trim_end())?;
    }
    Ok(Answer::Yes)
}

/// The schema that holds for every release of this version: unknown keys and types of record are taken, and
/// lists of codes may grow.
fn opened(mut schema: Value) -> Value {
    let kinds: Vec<Value> = schema.get("oneOf").and_then(Value::as_array).cloned().unwrap_or_default();
    let names: Vec<Value> = kinds
        .iter()
        .filter_map(|kind| kind.get("$ref")?.as_str()?.strip_prefix("#/$defs/"))
        .map(|name| json!(name))
        .collect();
    loosen(&mut schema);
    let Some(root) = schema.as_object_mut() else { return schema };
    root.remove("oneOf");
    root.insert("$id".into(), json!("urn:peergate:record:1:reader"));
    root.insert("title".into(), json!("A record of peergate, for readers"));
    root.insert(
        "description".into(),
        json!("One line of a segment of any release that writes version 1. Ignore what you do not know."),
    );
    root.insert("$ref".into(), json!("#/$defs/line"));
    let unknown = json!({"properties": {"t": {"not": {"enum": names}}}});
    root.insert("anyOf".into(), kinds.into_iter().chain([unknown]).collect());
    schema
}

/// Takes away what closes it: no key is refused for being unknown, no code for being new.
fn loosen(value: &mut Value) {
    match value {
        Value::Object(object) => {
            object.remove("unevaluatedProperties");
            if object.get("enum").is_some_and(Value::is_array) {
                object.remove("enum");
                object.insert("type".into(), json!("string"));
            }
            object.values_mut().for_each(loosen);
        }
        Value::Array(items) => items.iter_mut().for_each(loosen),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loosened_object_keeps_everything_else() {
        let mut value = json!({"enum": ["a"], "maxLength": 3, "allOf": [{"unevaluatedProperties": false}]});
        loosen(&mut value);
        assert_eq!(value, json!({"type": "string", "maxLength": 3, "allOf": [{}]}));
    }
}
