//! Segments' file names: `20261123T034629.123456Z-7k3qzd-gate-1001-0-12.ndjson`, which is when it was made,
//! the daemon's start, the role, for a gate its uid and lane, and a number that no other segment of that start
//! has. Final at creation, and they sort by time.

use crate::model::ids::BootId;
use crate::model::time::Timestamp;

/// How every name ends.
const END: &str = ".ndjson";

/// Whose segment it is, by its name. The name is the warden's: no gate can choose it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// The warden's.
    Warden,
    /// The scribe's.
    Scribe,
    /// A gate's, of this uid's callers; `None` for a gate that callers share.
    Gate(Option<u32>),
    /// A role that this version does not know.
    Other,
}

/// What follows a segment's name where it is compressed.
pub const PACKED: &str = ".zst";

/// What follows it while its compressed form is being made.
pub const UNFINISHED: &str = ".zst.part";

/// A file's segment, and whether the file is its compressed form; `None` where it is no segment's.
pub fn of_file(name: &str) -> Option<(&str, bool)> {
    let (segment, packed) = match name.strip_suffix(PACKED) {
        Some(segment) => (segment, true),
        None => (name, false),
    };
    SegmentName::parse(segment).map(|_| (segment, packed))
}

/// What the name of a segment says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SegmentName<'a> {
    compact: &'a str,
    /// Which start of the daemon.
    pub boot: BootId,
    /// Role, and what tells its segments apart: `gate-1001-0-12`.
    pub writer: &'a str,
}

impl<'a> SegmentName<'a> {
    /// Reads a file name; `None` where it is no segment's.
    pub fn parse(name: &'a str) -> Option<SegmentName<'a>> {
        let (compact, rest) = name.strip_suffix(END)?.split_once('-')?;
        let shape =
            compact.bytes().zip(b"dddddddddTdddddd.ddddddZ".iter().skip(1)).all(
                |(byte, shape)| match shape {
                    b'd' => byte.is_ascii_digit(),
                    shape => byte == *shape,
                },
            );
        let (boot, writer) = rest.split_once('-')?;
        let plain =
            writer.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
        (shape && compact.len() == 23 && plain && !writer.is_empty()).then_some(SegmentName {
            compact,
            boot: boot.parse().ok()?,
            writer,
        })
    }

    /// Whose it is.
    pub fn role(&self) -> Role {
        let mut words = self.writer.split('-');
        match (words.next(), words.next()) {
            (Some("warden"), _) => Role::Warden,
            (Some("scribe"), _) => Role::Scribe,
            (Some("gate"), Some("shared")) => Role::Gate(None),
            (Some("gate"), Some(uid)) => uid.parse().map_or(Role::Other, |uid| Role::Gate(Some(uid))),
            _ => Role::Other,
        }
    }

    /// When it was made.
    pub fn made(&self) -> Timestamp {
        let mut spelt = *b"0000-00-00T00:00:00.000000Z";
        let mut from = self.compact.bytes().filter(u8::is_ascii_digit);
        for place in spelt.iter_mut().filter(|byte| byte.is_ascii_digit()) {
            *place = from.next().unwrap_or(b'0');
        }
        let spelt = std::str::from_utf8(&spelt).unwrap_or_default();
        // No calendar has a name like 20260230T250000: it sorts as made at the very first.
        spelt.parse().unwrap_or(Timestamp::from_micros(0))
    }

    /// Whether it was made at this instant, in a record's spelling (`2026-11-23T03:46:29.123456Z`), or before.
    pub fn made_by(&self, instant: &[u8]) -> bool {
        let digits = |text: &[u8]| -> Vec<u8> { text.iter().copied().filter(u8::is_ascii_digit).collect() };
        digits(self.compact.as_bytes()) <= digits(instant)
    }
}

/// The one uid whose gate writes a segment, as its name says; `None` where another role does, or a shared gate.
#[must_use]
pub fn serves(segment: &str) -> Option<u32> {
    match SegmentName::parse(segment)?.role() {
        Role::Gate(uid) => uid,
        _ => None,
    }
}

/// The name of a segment made at `made`; `writer` as in [`SegmentName::writer`].
pub fn name(made: Timestamp, boot: BootId, writer: &str) -> String {
    let made: String = made.to_string().chars().filter(|c| !matches!(c, '-' | ':')).collect();
    format!("{made}-{boot}-{writer}{END}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn name_parses_back() {
        let boot = "7k3qzd".parse().unwrap();
        let made = Timestamp::from_micros(1_795_405_589_123_456);
        let name = name(made, boot, "gate-1001-0-12");
        assert_eq!(name, "20261123T034629.123456Z-7k3qzd-gate-1001-0-12.ndjson");
        let parsed = SegmentName::parse(&name).unwrap();
        assert_eq!((parsed.boot, parsed.writer), (boot, "gate-1001-0-12"));
        assert_eq!((parsed.role(), parsed.made()), (Role::Gate(Some(1001)), made));
        assert!(parsed.made_by(b"2026-11-23T03:46:29.123456Z"));
        assert!(!parsed.made_by(b"2026-11-23T03:46:29.123455Z"));
    }

    #[test]
    fn file_is_of_a_segment_compressed_or_not() {
        let name = "20261123T034629.123456Z-7k3qzd-warden-2.ndjson";
        assert_eq!(of_file(name), Some((name, false)));
        assert_eq!(of_file(&format!("{name}.zst")), Some((name, true)));
        assert_eq!(of_file(&format!("{name}.zst.zst")), None);
        assert_eq!(of_file("hash.key"), None);
    }

    #[test]
    fn role_is_the_writers() {
        for (writer, role) in [
            ("warden-1", Role::Warden),
            ("scribe-2", Role::Scribe),
            ("gate-shared-0-3", Role::Gate(None)),
            ("gate-0-0-3", Role::Gate(Some(0))),
            ("gate-x-0-3", Role::Other),
            ("wardens-1", Role::Other),
        ] {
            let name = name(Timestamp::from_micros(0), "7k3qzd".parse().unwrap(), writer);
            assert_eq!(SegmentName::parse(&name).unwrap().role(), role, "{writer}");
        }
    }

    #[test]
    fn name_says_when_it_was_made() {
        let boot = "7k3qzd".parse().unwrap();
        for micros in
            [0, 951_782_400_000_000, 1_709_251_199_999_999, 1_795_405_589_123_456, 4_107_542_400_000_000]
        {
            let name = name(Timestamp::from_micros(micros), boot, "warden-1");
            assert_eq!(SegmentName::parse(&name).unwrap().made().micros(), micros, "{name}");
        }
    }

    #[test]
    fn name_of_other_files_is_refused() {
        for name in [
            "hash.key",
            ".ndjson",
            "20261123T034629.123456Z-7k3qzd-.ndjson",
            "20261123T034629.123456Z-7k3qzd-gate/0.ndjson",
            "20261123T034629.123456Z-7k3qzl-gate-0.ndjson",
            "20261123T034629.12345-7k3qzd-gate-0.ndjson",
            "20261123T034629.123456Z-7k3qzd-gate-0.ndjson.gz",
            "20261123 034629.123456Z-7k3qzd-gate-0.ndjson",
        ] {
            assert_eq!(SegmentName::parse(name), None, "{name}");
        }
    }
}
