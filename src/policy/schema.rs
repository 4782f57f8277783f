//! A JSON Schema of the language, for editors: made of the keys that the reader knows and of what the manual says of
//! them, so that neither can be out of date.

use std::collections::BTreeMap;

use serde_json::{Map, Value as Json, json};

use super::keys;

/// The page that lists every key with its value, default and meaning.
const MANUAL: &str = include_str!("../manual/policy.md");

/// What the manual says of one key.
#[derive(Debug, Clone)]
struct Row<'m> {
    value: &'m str,
    default: &'m str,
    meaning: &'m str,
}

/// The schema of a policy's first file, in draft 7, which the language servers for TOML know.
pub fn schema() -> Json {
    schema_of("", "A policy of peergate")
}

/// The schema of a file that a policy includes.
pub fn schema_of_included() -> Json {
    schema_of("included", "A file that a policy of peergate includes")
}

fn schema_of(file: &'static str, title: &str) -> Json {
    let rows = rows();
    let mut definitions = Map::new();
    for section in sections() {
        if !section.is_empty() {
            definitions.insert(section.to_owned(), object(section, &rows));
        }
    }
    let mut top = object(file, &rows);
    if let Some(top) = top.as_object_mut() {
        top.insert("$schema".to_owned(), json!("http://json-schema.org/draft-07/schema#"));
        top.insert("title".to_owned(), json!(title));
        top.insert("definitions".to_owned(), Json::Object(definitions));
    }
    top
}

fn sections() -> Vec<&'static str> {
    let mut sections: Vec<&'static str> =
        keys::KEYS.iter().map(|key| key.section).chain(["limits"]).collect();
    sections.sort_unstable();
    sections.dedup();
    sections
}

fn object(section: &'static str, rows: &BTreeMap<(&str, &str), Row<'_>>) -> Json {
    let mut properties = Map::new();
    let mut needed = Vec::new();
    for name in keys::of(section) {
        let row = rows.get(&(section, name));
        let mut shape = row.map_or_else(|| json!({}), |row| shape(section, name, row.value));
        if let (Some(shape), Some(row)) = (shape.as_object_mut(), row) {
            let default = match row.default {
                "" | "needed" | "one of the two" => String::new(),
                default => format!(" Default: {default}."),
            };
            shape.insert("description".to_owned(), json!(format!("{}.{default}", row.meaning)));
            if row.default == "needed" {
                needed.push(name);
            }
        }
        properties.insert(name.to_owned(), shape);
    }
    json!({ "type": "object", "properties": properties, "required": needed, "additionalProperties": false })
}

/// The rows of the manual's tables of keys.
fn rows() -> BTreeMap<(&'static str, &'static str), Row<'static>> {
    let mut rows = BTreeMap::new();
    let mut section = None;
    for line in MANUAL.lines() {
        if let Some(title) = line.strip_prefix("### ") {
            section = Some(if title == "The file" { "" } else { title.trim_matches(['[', ']']) });
        } else if line.starts_with("## ") {
            section = None;
        }
        let (Some(section), Some(line)) = (section, line.strip_prefix("| `")) else { continue };
        let Some((name, rest)) = line.split_once('`') else { continue };
        let cells: Vec<&str> = rest.trim_matches(['|', ' ']).split(" | ").map(str::trim).collect();
        let row = match cells.as_slice() {
            [value, default, meaning] => Row { value, default, meaning },
            // An empty default makes one cell less, since its two bars stand together.
            [value, meaning] => Row {
                value: value.trim_end_matches(['|', ' ']),
                default: "",
                meaning: meaning.trim_start_matches(['|', ' ']),
            },
            _ => continue,
        };
        rows.insert((section, name), row);
    }
    rows
}

/// What a key's value is, of the words that the manual has for it; what it says otherwise is left to the reader.
fn shape(section: &str, name: &str, value: &str) -> Json {
    let string = || json!({ "type": "string" });
    let pattern = |pattern: &str| json!({ "type": "string", "pattern": pattern });
    let one_or_more =
        |one: Json| json!({ "anyOf": [one.clone(), { "type": "array", "items": one, "uniqueItems": true }] });
    let table = |name: String| {
        if sections().contains(&name.as_str()) {
            json!({ "$ref": format!("#/definitions/{name}") })
        } else {
            json!({ "type": "object" })
        }
    };
    let below = section.trim_end_matches(".NAME");
    match value {
        "table" if below.is_empty() => table(name.to_owned()),
        // Keywords beside a reference are not looked at in this draft, so what it is stands inside.
        "table" => table(format!("{below}.{name}")),
        "table, or a list of them" => {
            let one = table(name.to_owned());
            json!({ "anyOf": [one.clone(), { "type": "array", "items": one, "minItems": 1 }] })
        }
        "tables by name" => {
            json!({ "type": "object", "additionalProperties": table(format!("{name}.NAME")) })
        }
        "list of tables" => json!({ "type": "array", "items": table(name.to_owned()) }),
        "boolean" => json!({ "type": "boolean" }),
        "number" => json!({ "type": "integer", "minimum": 0 }),
        "id" => json!({ "type": "integer", "minimum": 0, "maximum": 4_294_967_294_u32 }),
        "ids" => one_or_more(json!({ "type": "integer", "minimum": 0, "maximum": 4_294_967_294_u32 })),
        "size" => pattern("^[0-9]+(B|KiB|MiB|GiB|TiB)$"),
        "time" => pattern("^[0-9]+(ms|s|m|h|d)$"),
        "rate" => pattern("^[0-9]+/s$"),
        "rate in bytes" => pattern("^[0-9]+(B|KiB|MiB|GiB|TiB)/s$"),
        "permission bits" => json!({ "anyOf": [pattern("^[0-7]{3,4}$"), { "type": "integer" }] }),
        "path" | "user" | "group" | "name" | "listener" | "backend" | "route" | "protocol" | "text"
        | "one line" | "one typed segment" | "label" | "systemd unit" => string(),
        "names" | "users" | "groups" | "listeners" | "backends" | "whos" | "routes" | "captures"
        | "protocols" | "paths" | "labels" | "systemd units" | "list of methods" => one_or_more(string()),
        "patterns" => one_or_more(pattern(r"^(\*|[^ a-z]+) (/|\*$)")),
        "words" | "texts" => json!({ "type": "array", "items": string() }),
        "`1`" => json!({ "type": "integer", "enum": [1] }),
        other => words(other).unwrap_or_else(|| range(other).unwrap_or_else(|| json!({}))),
    }
}

/// `"write"` or `"sync"`
fn words(value: &str) -> Option<Json> {
    let parts = value.split(" or ").flat_map(|part| part.split(", "));
    let words: Option<Vec<&str>> = parts.map(|part| part.strip_prefix("`\"")?.strip_suffix("\"`")).collect();
    let words = words?;
    let plain = |word: &&str| word.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-');
    // Where one of them holds an address or the like, they are shapes and no words.
    Some(if words.iter().all(plain) {
        json!({ "type": "string", "enum": words })
    } else {
        json!({ "type": "string" })
    })
}

/// 1 to 256
fn range(value: &str) -> Option<Json> {
    let (least, most) = value.split_once(" to ")?;
    let (least, most): (u64, u64) = (least.parse().ok()?, most.parse().ok()?);
    Some(json!({ "type": "integer", "minimum": least, "maximum": most }))
}
