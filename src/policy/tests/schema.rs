//! The schema takes what the reader takes, and no other key.

use jsonschema::Validator;
use serde_json::Value as Json;

use crate::policy::keys::{self, KEYS};
use crate::policy::{schema, schema_of_included};

fn validator() -> Validator {
    jsonschema::draft7::new(&schema()).unwrap_or_else(|wrong| panic!("{wrong}"))
}

fn json(text: &str) -> Json {
    serde_json::to_value(text.parse::<toml::Table>().unwrap_or_else(|wrong| panic!("{wrong}\n{text}")))
        .unwrap()
}

fn samples() -> Vec<(String, String)> {
    let mut samples = Vec::new();
    for folder in ["policy", "deploy"] {
        for entry in std::fs::read_dir(format!("{}/{folder}", env!("CARGO_MANIFEST_DIR"))).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|ending| ending == "toml") {
                samples.push((path.display().to_string(), std::fs::read_to_string(&path).unwrap()));
            }
        }
    }
    assert!(samples.len() > 4);
    samples
}

#[test]
fn schema_takes_every_sample() {
    let validator = validator();
    for (name, text) in samples() {
        let wrong: Vec<String> = validator
            .iter_errors(&json(&text))
            .map(|error| format!("{}: {error}", error.instance_path()))
            .collect();
        assert!(wrong.is_empty(), "{name}: {wrong:#?}");
    }
}

#[test]
fn schema_of_included_files_takes_their_tables_alone() {
    let included = jsonschema::draft7::new(&schema_of_included()).unwrap_or_else(|wrong| panic!("{wrong}"));
    // What may stand in an included file: a sample but for the tables of its first.
    let mut taken = 0;
    for (name, text) in samples() {
        let mut tables: toml::Table = text.parse().unwrap();
        tables.retain(|key, _| keys::of("included").any(|known| known == key));
        let wrong: Vec<String> = included
            .iter_errors(&serde_json::to_value(&tables).unwrap())
            .map(|error| format!("{}: {error}", error.instance_path()))
            .collect();
        assert!(wrong.is_empty(), "{name}: {wrong:#?}");
        taken += usize::from(!tables.is_empty());
        assert!(!included.is_valid(&json(&text)), "{name} has a version");
    }
    assert!(taken > 4);
    let takes = |text: &str| included.is_valid(&json(text));
    assert!(takes("") && takes("[who.a]\nuser = \"ci\"\n"));
    for wrong in [
        "include = \"x.toml\"",
        "[audit]\ncompress = false",
        "[who.a]\nusers = \"ci\"",
        "[[route]]\nid = \"r\"",
    ] {
        assert!(!takes(wrong), "{wrong}");
    }
    // The first file names them.
    let first = "version = 1\ninclude = [\"policy.d/*.toml\"]\n[listen.a]\npath = \"/run/a\"\n";
    assert!(validator().is_valid(&json(first)));
}

#[test]
fn schema_refuses_a_key_that_is_unknown_in_every_table() {
    let validator = validator();
    let mut tables = 0;
    for (name, text) in samples() {
        let lines: Vec<&str> = text.lines().collect();
        // The keys of `values` are the author's own: places in a body.
        let tables_of = lines.iter().enumerate().filter(|(_, line)| line.starts_with('['));
        for (place, line) in tables_of.filter(|(_, line)| !line.ends_with(".values]")) {
            let mut changed = lines.clone();
            changed.insert(place + 1, "nonsense = 1");
            // Tables by name take any name.
            assert!(!validator.is_valid(&json(&changed.join("\n"))), "{name}: {line}");
            tables += 1;
        }
    }
    assert!(tables > 50, "{tables}");
}

#[test]
fn schema_has_every_key_with_its_meaning() {
    let schema = schema();
    for section in KEYS.iter().map(|key| key.section).chain(["limits"]) {
        let table = if section.is_empty() { &schema } else { &schema["definitions"][section] };
        assert_eq!(table["additionalProperties"], Json::Bool(false), "[{section}]");
        for name in keys::of(section) {
            let meaning = table["properties"][name]["description"].as_str().unwrap_or_default();
            assert!(meaning.len() > 3, "[{section}] {name} has no meaning: {table:#}");
        }
    }
}

#[test]
fn schema_refuses_values_of_another_kind() {
    let validator = validator();
    let head = "version = 1\n[listen.a]\npath = \"/run/a\"\n";
    assert!(validator.is_valid(&json(head)));
    for wrong in [
        format!("{head}[[forbid]]\nid = \"f\"\nmatch = \"* /x\"\nwhen = []\n"),
        "version = 2\n[listen.a]\npath = \"/run/a\"\n".to_owned(),
        "version = 1\n".to_owned(),
        format!("{head}mode = \"0999\"\n"),
        format!("{head}browsers = \"yes\"\n"),
        format!("{head}[limits]\nhead_time = \"10 s\"\n"),
        format!("{head}[audit]\ndurability = \"often\"\n"),
        format!("{head}[audit.keep]\ndays = \"90\"\n"),
        format!("{head}[daemon]\nlanes = 0\n"),
        format!("{head}[who.a]\nuid = \"1\"\n"),
        format!("{head}[[route]]\nid = \"r\"\nmatch = \"get /x\"\nto = \"a\"\nallow = \"a\"\n"),
        format!("{head}[[route]]\nid = \"r\"\nmatch = \"GET /x\"\nto = \"a\"\n"),
    ] {
        assert!(!validator.is_valid(&json(&wrong)), "{wrong}");
    }
}
