//! The record checked by its seals, as whoever has the genesis's public key can: nothing is believed that is not sealed.

use std::collections::BTreeMap;
use std::path::Path;

use peergate::audit::chain::{Chain, Digest, Ledger, Lineage, Public, Said};
use peergate::audit::segment::SegmentName;
use serde_json::Value;

use super::records::is_segment;

/// Checks every segment of the scribe's and every byte that a seal names; the sealed lines of the scribe's.
///
/// Fails where anything is not as it was sealed, or (but for the last segment of the scribe's) not closed at its end.
pub fn check(audit: &Path) -> Vec<Value> {
    let sealed = check_open(audit);
    let closed: BTreeMap<&str, u64> = sealed
        .iter()
        .filter(|record| record["t"] == "close")
        .map(|record| (record["segment"].as_str().unwrap(), record["bytes"].as_u64().unwrap()))
        .collect();
    let names = segments(audit);
    let last = names.iter().rfind(|name| name.contains("-scribe-")).unwrap();
    for name in names.iter().filter(|name| *name != last) {
        let length = std::fs::metadata(audit.join(name)).unwrap().len();
        assert_eq!(closed.get(name.as_str()), Some(&length), "{name} is not closed at its end");
    }
    sealed
}

/// The same of a record that still is written.
pub fn check_open(audit: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(audit.join("genesis.pub")).unwrap();
    let pins: Vec<Public> =
        text.lines().map(|line| line.split_once(' ').unwrap().0.parse().unwrap()).collect();
    let (mut lineage, mut ledger, mut all) = (Lineage::new(pins), Ledger::new(), Vec::new());
    let mut ranges = Vec::new();
    for name in segments(audit).iter().filter(|name| name.contains("-scribe-")) {
        let bytes = std::fs::read(audit.join(name)).unwrap();
        let mut chain = Chain::new();
        let mut unsealed = Vec::new();
        for (index, line) in bytes.split_inclusive(|byte| *byte == b'\n').enumerate() {
            // A torn last line is nobody's.
            let Some(line) = line.strip_suffix(b"\n") else { continue };
            let taken = chain.take(line);
            let shown = String::from_utf8_lossy(line);
            let taken = taken.unwrap_or_else(|broken| panic!("{name}: {broken}: {shown}"));
            if index == 1 {
                lineage.take_line(line).unwrap_or_else(|stranger| panic!("{name}: {stranger}: {shown}"));
            }
            unsealed.push((taken.said, line));
            if matches!(taken.said, Said::Seal(..)) {
                for (said, line) in unsealed.drain(..) {
                    ledger.take(&said).unwrap_or_else(|breach| {
                        panic!("{name}: {breach}: {}", String::from_utf8_lossy(line))
                    });
                    if let Said::Range(range) = said {
                        ranges.push((range.segment.to_owned(), range.from, range.to, range.hash));
                    }
                    all.push(serde_json::from_slice(line).unwrap());
                }
            }
        }
    }
    for (name, from, to, hash) in ranges {
        let bytes = std::fs::read(audit.join(&name)).unwrap();
        let range = usize::try_from(from).unwrap()..usize::try_from(to).unwrap();
        assert_eq!(bytes.get(range).map(Digest::of), Some(hash), "{name} from {from} to {to}");
    }
    all
}

/// All segments' names, in their order.
pub fn segments(audit: &Path) -> Vec<String> {
    let paths = std::fs::read_dir(audit).unwrap().map(|entry| entry.unwrap().path());
    let mut names: Vec<String> = paths
        .filter(|path| is_segment(path))
        .map(|path| path.file_name().unwrap().to_str().unwrap().to_owned())
        .collect();
    names.sort();
    assert!(names.iter().all(|name| SegmentName::parse(name).is_some()));
    names
}
