//! Heads of the seals as witnesses keep them, held against the seals on record.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use peergate::audit::chain::{Digest, Head};

use super::PATIENCE;

/// Waits until `find` finds something.
pub fn until<T>(what: &str, mut find: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    // Nobody sends anything: its timeout is the pace.
    let (_nobody, pace) = std::sync::mpsc::channel::<()>();
    loop {
        if let Some(found) = find() {
            return found;
        }
        assert!(Instant::now() < deadline, "{what}: not in {PATIENCE:?}");
        let _ = pace.recv_timeout(Duration::from_millis(50));
    }
}

/// The heads in a text.
pub fn find(text: &str) -> Vec<Head> {
    text.lines().filter_map(Head::find).collect()
}

/// The heads in a file.
pub fn of(file: &Path) -> Vec<Head> {
    find(&std::fs::read_to_string(file).unwrap_or_default())
}

/// The hash of each seal on record, by epoch and number.
pub fn seals(audit: &Path) -> BTreeMap<(u64, u64), Digest> {
    let mut seals = BTreeMap::new();
    for entry in std::fs::read_dir(audit).unwrap() {
        let path = entry.unwrap().path();
        if !path.to_string_lossy().contains("-scribe-") {
            continue;
        }
        for line in
            std::fs::read_to_string(path).unwrap().lines().filter(|line| line.contains("\"t\":\"seal\""))
        {
            let record: serde_json::Value = serde_json::from_str(line).unwrap();
            let place = (record["epoch"].as_u64().unwrap(), record["i"].as_u64().unwrap());
            seals.insert(place, Digest::of(line.as_bytes()));
        }
    }
    seals
}

/// Every head is of a seal that is on record, and the last one of the last.
#[track_caller]
pub fn prove(heads: &[Head], audit: &Path) {
    let seals = seals(audit);
    assert!(!heads.is_empty() && !seals.is_empty());
    for head in heads {
        assert_eq!(seals.get(&(head.epoch, head.i)), Some(&head.hash), "{head}");
    }
    let last = heads.last().unwrap();
    assert_eq!(Some(&(last.epoch, last.i)), seals.keys().last(), "the end is proven");
}
