//! What the manual says of where a field goes is where it goes.

use std::collections::BTreeMap;

use super::event::{Event, Field, Value};
use super::{Source, cef, ecs, journald, ocsf, syslog};

const MANUAL: &str = include_str!("../../../manual/export.md");

/// Every name that a format has for something, and the value below it.
type Told = Vec<(String, String)>;

fn source() -> Source {
    Source { host: "web1".into(), version: "0.0.0".into() }
}

fn of_json(value: &serde_json::Value, path: &str, told: &mut Told) {
    match value {
        serde_json::Value::Object(object) => {
            for (name, value) in object {
                of_json(value, &format!("{path}{}{name}", if path.is_empty() { "" } else { "." }), told);
            }
        }
        serde_json::Value::Array(list) => list.iter().for_each(|value| of_json(value, path, told)),
        value => {
            told.push((path.to_owned(), value.as_str().map_or_else(|| value.to_string(), str::to_owned)))
        }
    }
}

fn by_json(line: impl Fn(&Event<'_>, &Source, &mut Vec<u8>)) -> Told {
    let (mut out, mut told) = (Vec::new(), Told::new());
    line(&Event::of_every_field(), &source(), &mut out);
    of_json(&serde_json::from_slice(&out).unwrap(), "", &mut told);
    told
}

/// `name=value` pairs between separators; no value here has one in it.
fn by_pairs(separator: char, line: impl Fn(&Event<'_>, &Source, &mut Vec<u8>)) -> Told {
    let mut out = Vec::new();
    line(&Event::of_every_field(), &source(), &mut out);
    let text = String::from_utf8(out).unwrap();
    let text = text.rsplit_once('|').map_or(&*text, |(_, extension)| extension);
    let pairs = text.split(separator).filter_map(|pair| pair.split_once('='));
    pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

/// What stands in backticks.
fn names(cell: &str) -> Vec<String> {
    cell.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

/// The rows of the table of fields: its name, and each format's cell.
fn rows() -> BTreeMap<String, Vec<&'static str>> {
    let table = MANUAL.split("| field | OCSF |").nth(1).unwrap();
    let rows = table.lines().skip(2).take_while(|line| line.starts_with("| "));
    rows.map(|row| {
        let mut cells = row.trim_matches('|').split(" | ");
        let field = names(cells.next().unwrap());
        (field[0].clone(), cells.collect())
    })
    .collect()
}

#[test]
fn manual_says_where_each_field_goes() {
    let formats: [(&str, Told); 4] = [
        ("OCSF", by_json(ocsf::line)),
        ("ECS", by_json(ecs::line)),
        ("CEF", by_pairs(' ', cef::line)),
        ("journal", by_pairs('\n', journald::entry)),
    ];
    let rows = rows();
    let event = Event::of_every_field();
    let mut wrong = Vec::new();
    for (field, value) in event.fields() {
        let Some(cells) = rows.get(field.name()) else {
            wrong.push(format!("no row for {}", field.name()));
            continue;
        };
        for ((format, told), cell) in formats.iter().zip(cells) {
            let shown = value.shown();
            let mut spellings = vec![shown.to_string()];
            if let Value::Instant(at) = value {
                spellings.extend([at.micros().to_string(), (at.micros() / 1_000).to_string()]);
            }
            for (name, _) in told.iter().filter(|(_, value)| spellings.contains(value)) {
                if !names(cell).contains(name) {
                    wrong.push(format!("{format} has {} as {name}", field.name()));
                }
            }
            for name in names(cell) {
                if !told.iter().any(|(there, _)| *there == name) {
                    wrong.push(format!("{format} has no {name}, where {} should be", field.name()));
                }
            }
            if cell.trim().is_empty() {
                wrong.push(format!("{format} does not have {}", field.name()));
            }
        }
    }
    assert_eq!(rows.len(), Field::ALL.len());
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn manual_names_the_versions() {
    assert!(MANUAL.contains(&format!("OCSF {}", ocsf::VERSION)));
    assert!(MANUAL.contains(&format!("ECS {}", ecs::VERSION)));
}

#[test]
fn syslog_message_is_spelt_as_the_rfc_has_it() {
    let event = Event::of_every_field().with(Field::Target, Value::Word("/a]\\\"b\\u001b".into()));
    let mut out = Vec::new();
    let style = syslog::Style { framing: syslog::Framing::Octets, bom: true, enterprise: 1 };
    syslog::message(&event, &source(), style, &mut out);
    let text = String::from_utf8(out).unwrap();
    let (length, message) = text.split_once(' ').unwrap();
    assert_eq!(length.parse(), Ok(message.len()));
    assert!(message.starts_with(
        "<110>1 2026-11-23T03:46:29.000000Z web1 peergated - access [peergate@1 time=\"2026-11-23T03:46:29.000000Z\""
    ));
    // `"` and `]` once, and the backslash of what was spelt out.
    assert!(message.contains(r#" target="/a\]\"b\\u001b" "#), "{message}");
    assert!(message.contains("] \u{feff}allowed "), "{message}");
}
