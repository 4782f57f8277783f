//! Heads as witnesses keep them: in the journal's exports, in a syslog file, on lines of their own.
//!
//! The journal knows who wrote an entry, and its exports (`-o json`, `-o export`) say so: only the daemon's own entries
//! count there, by `_UID` and `_SYSTEMD_UNIT` where an entry has these fields, and only a message that is a head from
//! its start. Anywhere else a head counts whoever wrote it.

use std::io::{self, BufRead, BufReader, Read};

use serde_json::Value;

use crate::audit::chain::Head;

/// The longest line that is looked at; what is behind is passed over.
const LONGEST: u64 = 1 << 20;

/// Whose entries of the journal count: field and value. Nobody but the journal writes fields that begin so.
const OURS: [(&str, &str); 2] = [("_UID", "0"), ("_SYSTEMD_UNIT", "peergated.service")];

/// Each entry of an export begins so (systemd's Journal Export Formats).
const CURSOR: &[u8] = b"__CURSOR=";

/// Reads every head in a file: an export of the journal (`journalctl -o json` or `-o export`), a syslog file, plain
/// lines.
///
/// # Errors
///
/// It can't be read.
pub fn heads(source: impl Read) -> io::Result<Vec<Head>> {
    let mut source = BufReader::new(source);
    let mut found = Vec::new();
    let mut line = Vec::new();
    while next(&mut source, &mut line)? {
        if line.starts_with(CURSOR) {
            found.extend(entry(&mut source)?);
        } else if let Some(fields) = journals(&line) {
            let text = |name: &str| fields.get(name).and_then(Value::as_str);
            let ours =
                OURS.iter().all(|(name, value)| !fields.contains_key(*name) || text(name) == Some(*value));
            found.extend(text("MESSAGE").filter(|_| ours).and_then(Head::at_the_start));
        } else {
            found.extend(Head::all(&String::from_utf8_lossy(&line)));
        }
    }
    Ok(found)
}

/// The next line; of one that is too long the beginning.
fn next(source: &mut impl BufRead, line: &mut Vec<u8>) -> io::Result<bool> {
    line.clear();
    if source.by_ref().take(LONGEST).read_until(b'\n', line)? == 0 {
        return Ok(false);
    }
    if !line.ends_with(b"\n") {
        // Else what somebody put behind it would stand there as a line.
        source.skip_until(b'\n')?;
    }
    Ok(true)
}

/// An entry of the journal on one line.
fn journals(line: &[u8]) -> Option<serde_json::Map<String, Value>> {
    if !line.starts_with(b"{") {
        return None;
    }
    let Ok(Value::Object(fields)) = serde_json::from_slice(line) else { return None };
    ["__CURSOR", "_UID", "_SYSTEMD_UNIT", "_TRANSPORT"]
        .iter()
        .any(|name| fields.contains_key(*name))
        .then_some(fields)
}

/// An entry of the export format, behind its first line. What is no text stands behind its name and its length.
fn entry(source: &mut impl BufRead) -> io::Result<Option<Head>> {
    let (mut head, mut ours, mut line) = (None, true, Vec::new());
    while next(source, &mut line)? {
        let Some(text) = line.strip_suffix(b"\n").filter(|text| !text.is_empty()) else { break };
        let Some(at) = memchr::memchr(b'=', text) else {
            // A head is text, and whose entry it is too.
            ours &= !OURS.iter().any(|(name, _)| name.as_bytes() == text);
            let mut length = [0; 8];
            source.read_exact(&mut length)?;
            let length = u64::from_le_bytes(length).saturating_add(1);
            io::copy(&mut source.by_ref().take(length), &mut io::sink())?;
            continue;
        };
        let (name, value) = text.split_at(at);
        let value = value.get(1..).unwrap_or_default();
        ours &= !OURS.iter().any(|(field, ours)| field.as_bytes() == name && ours.as_bytes() != value);
        if name == b"MESSAGE" {
            head = std::str::from_utf8(value).ok().and_then(Head::at_the_start);
        }
    }
    Ok(head.filter(|_| ours))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(i: u64) -> String {
        format!(
            "peergate-head v1 epoch=0 i={i} ts=2026-11-23T03:46:29.123456Z hash={} next={} log=0123456789abcdef",
            "ab".repeat(32),
            "cd".repeat(32)
        )
    }

    fn found(text: impl AsRef<[u8]>) -> Vec<u64> {
        heads(text.as_ref()).unwrap().iter().map(|head| head.i).collect()
    }

    #[test]
    fn head_in_the_journal_counts_only_where_the_daemon_wrote_it() {
        let json =
            |i: u64, more: &str| format!("{{\"MESSAGE\":\"{}\",\"__CURSOR\":\"s=1\"{more}}}\n", head(i));
        let export = |i: u64, more: &str| format!("__CURSOR=s=1\n{more}MESSAGE={}\n\n", head(i));
        let ours = [
            json(1, ",\"_UID\":\"0\",\"_SYSTEMD_UNIT\":\"peergated.service\""),
            json(2, ",\"_UID\":\"0\""),
            export(3, "_UID=0\n_SYSTEMD_UNIT=peergated.service\n"),
            export(4, ""),
        ];
        let theirs = [
            json(11, ",\"_UID\":\"1001\""),
            json(12, ",\"_UID\":\"0\",\"_SYSTEMD_UNIT\":\"cron.service\""),
            json(13, ",\"_UID\":[\"0\",\"1001\"]"),
            json(14, "").replace("peergate-head", "said peergate-head"),
            export(15, "_UID=1001\n"),
            export(16, "_SYSTEMD_UNIT=session-1.scope\n"),
            export(17, "").replace("MESSAGE=", "MESSAGE=said "),
        ];
        assert_eq!(found(ours.concat()), [1, 2, 3, 4]);
        for line in &theirs {
            assert_eq!(found(line), [0; 0], "{line}");
        }
        assert_eq!(found([theirs.concat(), ours.concat()].concat()), [1, 2, 3, 4]);
    }

    #[test]
    fn entry_that_another_wrote_into_a_field_is_none() {
        let inside = format!("x\n\n__CURSOR=s=2\n_UID=0\nMESSAGE={}\n\n", head(9));
        let length = (inside.len() as u64).to_le_bytes();
        let mut text = b"__CURSOR=s=1\n_UID=1001\nMESSAGE\n".to_vec();
        text.extend([length.as_slice(), inside.as_bytes(), b"\n\n"].concat());
        text.extend(format!("__CURSOR=s=3\n_UID=0\nMESSAGE={}\n", head(1)).as_bytes());
        assert_eq!(found(text), [1]);
        // Nor is what stands behind the longest line that is looked at.
        let long = format!("{{\"_UID\":\"1001\",\"MESSAGE\":\"{}{}\"}}\n", "x".repeat(1 << 20), head(9));
        assert_eq!(found(long), [0; 0]);
    }

    #[test]
    fn every_head_of_a_line_counts_but_those_of_which_something_is_garbled() {
        let garbled = head(3).replace("log=0123", "log=xyz");
        let line = format!("<13>Nov 23 host peergated: {} {garbled} and {}\n", head(1), head(2));
        assert_eq!(found(line), [1, 2]);
    }
}
