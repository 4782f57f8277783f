//! The dashboard: read by Grafana's own models, and each panel answered by the real Prometheus.

use std::collections::BTreeSet;
use std::path::Path;

use super::support::readers;
use super::{deployed, get, skip};

/// Panels that show something of a daemon that has just begun and was asked.
const NEVER_EMPTY: [&str; 10] = [
    "Requests are recorded",
    "Seal age",
    "Sync p99",
    "Layers missing",
    "Intrusions, 24 h",
    "Disk left",
    "Decisions",
    "Exchanges under way",
    "Gates",
    "Policies and versions",
];

/// What its panels ask, with their titles, as Grafana asks where all is chosen.
fn questions() -> Vec<(String, String)> {
    let dashboard: serde_json::Value = serde_json::from_str(&deployed("grafana/peergate.json")).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    let of = |panel: &serde_json::Value| -> Vec<(String, String)> {
        let title = panel["title"].as_str().unwrap();
        let targets = panel["targets"].as_array().cloned().unwrap_or_default();
        let plain = |target: &serde_json::Value| {
            let written = target["expr"].as_str().unwrap();
            written.replace("$__rate_interval", "1m").replace("$instance", ".*").replace("$route", ".*")
        };
        targets.iter().map(|target| (title.to_owned(), plain(target))).collect()
    };
    panels.iter().flat_map(of).collect()
}

/// Asks a Prometheus that has scraped twice.
pub(crate) fn each_panel_is_answered(prometheus: u16) {
    let (mut asked, mut empty) = (BTreeSet::new(), BTreeSet::new());
    for (title, question) in questions() {
        assert!(!question.contains('$'), "{title}: {question}");
        let escaped: String = question.bytes().map(|byte| format!("%{byte:02X}")).collect();
        let answer = get(prometheus, &format!("/api/v1/query?query={escaped}")).unwrap();
        assert_eq!(answer["status"], "success", "{title}: {question}: {answer}");
        if answer["data"]["result"].as_array().unwrap().is_empty() {
            empty.insert(title.clone());
        }
        asked.insert(title);
    }
    for title in NEVER_EMPTY {
        assert!(asked.contains(title) && !empty.contains(title), "{title} in {asked:?}, without {empty:?}");
    }
}

#[test]
fn dashboard_is_what_grafanas_own_models_take() {
    let Some(python) = readers::python() else { skip!("tests/readers.txt is not installed") };
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/grafana/peergate.json");
    let dashboard: serde_json::Value = serde_json::from_str(&deployed("grafana/peergate.json")).unwrap();
    let panels = dashboard["panels"].as_array().unwrap().len();
    assert_eq!(readers::told(&python, "grafana.py", &[&file]).trim(), panels.to_string());
}
