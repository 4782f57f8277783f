//! What is no access, in the formats of others.

use super::*;
use entries::boot;

/// How many of each kind.
const EACH: u64 = 4;

/// Records of every kind in a segment whose writer writes them, and a gate's that none believes.
fn all_kinds(stage: &Stage) -> BTreeMap<String, Vec<String>> {
    let mut told: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut runner = TestRunner::deterministic();
    let mut any = |kind: usize| entries::made(kind).new_tree(&mut runner).unwrap().current();
    let [mut warden, mut scribe, mut gate] =
        ["warden-7", "scribe-8", "gate-5-0-9"].map(|name| stage.segment(name));
    for kind in 0..entries::KINDS {
        for _ in 0..EACH {
            let made = any(kind);
            let line = String::from_utf8(made.line(0, Timestamp::from_micros(START))).unwrap();
            let record: Value = serde_json::from_str(&line).unwrap();
            let name = record["t"].as_str().unwrap().to_owned();
            let to = match name.as_str() {
                "conn" | "decision" | "grant" | "outcome" | "repeat" => continue,
                "open" | "gate" | "policy" | "journal" | "exit" => &mut warden,
                _ => &mut scribe,
            };
            let record = to.write(&made);
            let books = ["range", "seal", "close", "pending"].contains(&name.as_str());
            if !books && record.get("settled").is_none() {
                told.entry(name).or_default().push(record.to_string());
            }
        }
    }
    let record = gate.write(&any(POLICY));
    told.entry("disbelieved".to_owned()).or_default().push(record.to_string());
    told
}

const POLICY: usize = entries::POLICY;

/// The lines of a format with and without what is no access.
fn exported(stage: &Stage, format: &str) -> (PathBuf, Vec<String>) {
    let file = stage.path().join(format!("all.{format}"));
    let to = file.to_str().unwrap();
    let output = export(stage.path(), &[format, "--all-events", "--host", "web1", "-o", to]);
    // The one that nobody believes is told besides.
    assert_eq!(output.status.code(), Some(1), "{}", support::said(&output));
    let text = String::from_utf8(std::fs::read(&file).unwrap()).unwrap();
    assert!(text.bytes().all(|byte| matches!(byte, b' '..=b'~' | b'\n')), "not printable ASCII");
    (file, text.lines().map(str::to_owned).collect())
}

#[test]
fn all_events_tell_what_is_no_access_as_whole_records_in_valid_forms() {
    let stage = Stage::empty();
    let told = all_kinds(&stage);
    assert!(
        ["open", "gate", "policy", "epoch", "recover", "prune", "intrusion"]
            .iter()
            .all(|it| told.contains_key(*it))
    );
    let count: usize = told.values().map(Vec::len).sum();
    let (ocsf, lines) = exported(&stage, "ocsf");
    let mut found: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for line in &lines {
        let event: Value = serde_json::from_str(line).unwrap();
        let record: Value = serde_json::from_str(event["raw_data"].as_str().unwrap()).unwrap();
        assert_eq!(event["class_uid"], 0);
        let grave = ["intrusion", "disbelieved"].contains(&event["unmapped"]["kind"].as_str().unwrap());
        assert_eq!(event["severity_id"] == 4, grave, "{line}");
        found
            .entry(event["unmapped"]["kind"].as_str().unwrap().to_owned())
            .or_default()
            .push(record.to_string());
    }
    let sorted = |mut all: BTreeMap<String, Vec<String>>| {
        all.values_mut().for_each(|records| records.sort());
        all
    };
    assert_eq!(sorted(found), sorted(told));
    let (ecs, lines) = exported(&stage, "ecs");
    assert_eq!(lines.len(), count);
    assert!(lines.iter().any(|line| line.contains("\"event.kind\":\"alert\"")));
    let (cef, lines) = exported(&stage, "cef");
    assert_eq!(lines.len(), count);
    assert!(lines.iter().any(|line| line.contains("|intrusion-unknown|Tampering with the record|9|")));
    let (_, lines) = exported(&stage, "rfc5424");
    assert_eq!(lines.iter().filter(|line| line.starts_with("<106>1 ")).count() as u64, EACH + 1);
    assert!(lines.iter().all(|line| line.contains(" detail=\"{\\\"v\\\":1,")), "{}", boot());
    // Without it there is none.
    let output = export(stage.path(), &["ocsf"]);
    assert_eq!(support::out(&output), "");
    let Some(python) = readers::python() else { skip!("tests/readers.txt is not installed") };
    assert_eq!(readers::told(&python, "ocsf.py", &[&ocsf]).trim(), count.to_string());
    assert_eq!(readers::told(&python, "cef.py", &[&cef]).trim(), count.to_string());
    let Some(package) = readers::ecs() else { skip!("@elastic/ecs is not installed") };
    let output = support::run(Command::new("node").arg(readers::script("ecs.js")).arg(package).arg(&ecs));
    assert_eq!(support::out(&output).trim(), count.to_string());
}
