//! The records as a reader finds them: every segment of the audit directory, line by line.

use std::path::Path;
use std::time::Instant;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};
use serde_json::Value;
use std::os::fd::AsFd;

use super::PATIENCE;

/// Whether it is one of the segments, by its name.
pub fn is_segment(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str());
    name.is_some_and(|name| peergate::audit::segment::SegmentName::parse(name).is_some())
}

/// Every whole record, a segment after the other. Fails on a line that is no record.
pub fn read(audit: &Path) -> Vec<Value> {
    let Ok(entries) = std::fs::read_dir(audit) else { return Vec::new() };
    let mut segments: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    segments.retain(|path| is_segment(path));
    segments.sort();
    let mut all = Vec::new();
    for segment in segments {
        let bytes = std::fs::read(&segment).unwrap();
        let whole = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
        for line in bytes[..whole].split_inclusive(|byte| *byte == b'\n') {
            let line = &line[..line.len() - 1];
            let bad = |why: &str| -> ! {
                panic!("{}: {why}: {}", segment.display(), String::from_utf8_lossy(line));
            };
            if !line.iter().all(|byte| (0x20..0x7f).contains(byte)) {
                bad("not printable ASCII");
            }
            if line.len() > 16 << 10 {
                bad("longer than 16 KiB");
            }
            let record: Value = serde_json::from_slice(line).unwrap_or_else(|why| bad(&why.to_string()));
            all.push(record);
        }
    }
    all
}

/// Waits, woken by each write to a segment, until `find` finds something.
pub fn wait<T>(audit: &Path, find: impl Fn(&[Value]) -> Option<T>) -> T {
    wait_until(audit, find).unwrap_or_else(|| panic!("no such record in {PATIENCE:?}"))
}

/// Waits for a record that suits.
pub fn wait_for(audit: &Path, what: &str, suits: impl Fn(&Value) -> bool) -> Value {
    wait_until(audit, |all| all.iter().find(|record| suits(record)).cloned()).unwrap_or_else(|| {
        let all: Vec<_> = read(audit).iter().map(Value::to_string).collect();
        panic!("no record in {PATIENCE:?}: {what}; there are:\n{}", all.join("\n"))
    })
}

fn wait_until<T>(audit: &Path, find: impl Fn(&[Value]) -> Option<T>) -> Option<T> {
    let inotify = Inotify::init(InitFlags::IN_NONBLOCK | InitFlags::IN_CLOEXEC).unwrap();
    inotify.add_watch(audit, AddWatchFlags::IN_MODIFY | AddWatchFlags::IN_CREATE).unwrap();
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = find(&read(audit)) {
            return Some(found);
        }
        let left = deadline.checked_duration_since(Instant::now())?;
        let timeout = PollTimeout::try_from(left).unwrap();
        poll(&mut [PollFd::new(inotify.as_fd(), PollFlags::POLLIN)], timeout).unwrap();
        while inotify.read_events().is_ok_and(|events| !events.is_empty()) {}
    }
}

/// The decision on a request for exactly this, by this uid.
pub fn decision<'a>(all: &'a [Value], uid: u32, method: &str, target: &str) -> &'a Value {
    let found = all.iter().find(|record| {
        record["t"] == "decision"
            && record["uid"] == uid
            && record["method"] == method
            && record["target"] == target
    });
    found.unwrap_or_else(|| {
        let there: Vec<_> = all.iter().filter(|r| r["t"] == "decision").map(Value::to_string).collect();
        panic!("no decision on {method} {target} of uid {uid}; there are:\n{}", there.join("\n"))
    })
}

/// The outcome of the request that a decision stands for.
pub fn outcome<'a>(all: &'a [Value], decision: &Value) -> &'a Value {
    all.iter()
        .find(|record| record["t"] == "outcome" && record["id"] == decision["id"])
        .unwrap_or_else(|| panic!("no outcome for {decision}"))
}

/// What holds of any set of records after the daemon stopped: `n` counts without gaps within a segment, each
/// allowed decision without an immediate status has exactly one outcome, each outcome has its decision.
pub fn check_books(audit: &Path) {
    for entry in std::fs::read_dir(audit).unwrap() {
        let path = entry.unwrap().path();
        if !is_segment(&path) {
            continue;
        }
        for (index, line) in std::fs::read_to_string(&path).unwrap().lines().enumerate() {
            let record: Value = serde_json::from_str(line).unwrap();
            assert_eq!(record["n"], index, "{}: n has a gap at {line}", path.display());
        }
    }
    let all = read(audit);
    let ids = |kind: &str, more: &dyn Fn(&Value) -> bool| -> Vec<String> {
        let mut ids: Vec<String> = all
            .iter()
            .filter(|record| record["t"] == kind && more(record))
            .map(|record| record["id"].as_str().unwrap().to_owned())
            .collect();
        ids.sort();
        ids
    };
    let open = ids("decision", &|record| record["decision"] == "allow" && record["status"].is_null());
    assert_eq!(
        ids("outcome", &|_| true),
        open,
        "each allowed decision has one outcome, each outcome a decision"
    );
}
