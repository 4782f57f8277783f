//! Journal entries in the export format, which `systemd-journal-remote` reads. Without their first line (and the
//! trusted host name) they are what the native protocol of `journald` takes.

use super::Source;
use super::event::{End, Event, Field, Value, Weight};

/// Says which kind of message it is, as `journalctl -o cat MESSAGE_ID=…` asks.
const MESSAGE_ID: &str = "e8f1bd0b8d5a4f7a9b4e2c6f3a7d5b10";

/// The latest time that the journal takes, in microseconds.
const LATEST: u64 = (1 << 55) - 1;

/// Fields about the caller, under the names that the journal has for a process that a message is about; the others
/// are `PEERGATE_` and their name in capitals.
pub(super) const OBJECT: [(Field, &str); 6] = [
    (Field::Pid, "OBJECT_PID"),
    (Field::Uid, "OBJECT_UID"),
    (Field::Gid, "OBJECT_GID"),
    (Field::Exe, "OBJECT_EXE"),
    (Field::Unit, "OBJECT_SYSTEMD_UNIT"),
    (Field::Login, "OBJECT_AUDIT_LOGINUID"),
];

/// The field that holds the bytes of what was no text, and the one that they replace.
const TWINS: [(Field, Field); 4] = [
    (Field::MethodBytes, Field::Method),
    (Field::TargetBytes, Field::Target),
    (Field::ExeBytes, Field::Exe),
    (Field::LabelBytes, Field::Label),
];

/// One entry.
pub(super) fn entry(event: &Event<'_>, source: &Source, out: &mut Vec<u8>) {
    let priority = match (event.weight, event.allowed, event.end) {
        (Some(Weight::Grave), ..) => "2",
        (Some(Weight::Usual), ..) => "6",
        (None, Some(true), End::Failure) => "5",
        (None, Some(true), _) => "6",
        _ => "4",
    };
    // What the journal takes for no time at all would end the import; `PEERGATE_TIME` has it as it is.
    put(out, "__REALTIME_TIMESTAMP", event.time.micros().clamp(1, LATEST).to_string().as_bytes());
    put(out, "_HOSTNAME", source.host.as_bytes());
    put(out, "MESSAGE", event.sentence().as_bytes());
    put(out, "MESSAGE_ID", MESSAGE_ID.as_bytes());
    put(out, "PRIORITY", priority.as_bytes());
    put(out, "SYSLOG_FACILITY", b"13");
    put(out, "SYSLOG_IDENTIFIER", b"peergated");
    for (field, value) in event.fields() {
        let name = name(field);
        // The journal holds bytes, so that they are told themselves.
        if let Some((twin, _)) = TWINS.iter().find(|(_, text)| *text == field)
            && let Some(bytes) = event.text(*twin).and_then(from_base64)
        {
            put(out, &name, &bytes);
            continue;
        }
        match value {
            Value::Numbers(list) => {
                // A field may be there several times.
                list.iter().for_each(|number| put(out, &name, number.to_string().as_bytes()));
            }
            _ if TWINS.iter().any(|(twin, _)| *twin == field) => {}
            value => put(out, &name, value.meant().as_bytes()),
        }
    }
    out.push(b'\n');
}

/// The journal's name of a field.
pub(super) fn name(field: Field) -> String {
    let object = OBJECT.iter().find(|(about, _)| *about == field);
    object.map_or_else(
        || format!("PEERGATE_{}", field.name().to_ascii_uppercase()),
        |(_, name)| (*name).to_owned(),
    )
}

/// `NAME=value` and a line end; where a control character is in the value, the name alone on its line, then the
/// length in eight bytes, little-endian, and the value.
fn put(out: &mut Vec<u8>, name: &str, value: &[u8]) {
    out.extend_from_slice(name.as_bytes());
    let plain =
        value.iter().all(|byte| *byte == b'\t' || *byte >= b' ') && std::str::from_utf8(value).is_ok();
    if plain {
        out.push(b'=');
    } else {
        out.push(b'\n');
        out.extend_from_slice(&(value.len() as u64).to_le_bytes());
    }
    out.extend_from_slice(value);
    out.push(b'\n');
}

/// The bytes that a twin stands for; `None` where it is no base 64.
fn from_base64(text: &str) -> Option<Vec<u8>> {
    let digits = text.trim_end_matches('=');
    let mut bytes = Vec::with_capacity(digits.len() / 4 * 3 + 3);
    let (mut bits, mut held) = (0u32, 0);
    for digit in digits.bytes() {
        let six = match digit {
            b'A'..=b'Z' => digit - b'A',
            b'a'..=b'z' => digit - b'a' + 26,
            b'0'..=b'9' => digit - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return None,
        };
        bits = bits << 6 | u32::from(six);
        held += 6;
        if held >= 8 {
            held -= 8;
            bytes.push((bits >> held & 0xff) as u8);
        }
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_gives_the_bytes_back() {
        for (text, bytes) in [("", &b""[..]), ("/w==", b"\xff"), ("AAE=", b"\0\x01"), ("AAEC", b"\0\x01\x02")]
        {
            assert_eq!(from_base64(text).as_deref(), Some(bytes), "{text}");
        }
        assert_eq!(from_base64("a\\u000a"), None);
    }

    #[test]
    fn control_characters_and_broken_text_are_told_by_length() {
        let mut out = Vec::new();
        put(&mut out, "A", b"x=y\t\xc3\xa9");
        put(&mut out, "B", b"x\nMESSAGE=forged\n\n");
        put(&mut out, "C", b"\xff");
        let expected: &[u8] =
            b"A=x=y\t\xc3\xa9\nB\n\x12\0\0\0\0\0\0\0x\nMESSAGE=forged\n\n\nC\n\x01\0\0\0\0\0\0\0\xff\n";
        assert_eq!(out, expected);
    }
}
