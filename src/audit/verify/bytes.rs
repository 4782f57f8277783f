//! One file's bytes, held against the ranges that are sealed of it.

use std::io::{self, BufRead, BufReader, Read};

use sha2::{Digest as _, Sha256};

use super::kind::{Damage, Kind};
use super::told::{MOST, Part};
use crate::audit::chain::Digest;
use crate::audit::encode::LINE_MAX;
use crate::audit::inspect::{Fault, Inspector, Role};
use crate::audit::segment::{self, SegmentName};
use crate::model::ids::BootId;

/// Read at a time.
const PIECE: usize = 256 << 10;

/// What is sealed of a segment.
#[derive(Debug, Clone, Default)]
pub(super) struct Expected {
    /// Contiguous, unless a damage says otherwise.
    pub(super) parts: Vec<(Part, bool)>,
    /// Its length, where it is closed, and whether it ends torn.
    pub(super) closed: Option<(u64, bool)>,
    /// It was told torn by a `recover` or a `close`.
    pub(super) torn: bool,
    /// The scribe saw an intrusion in it, and sealed nothing of it from there on.
    pub(super) intruded: bool,
    /// The scribe saw that it is gone, and where it says so.
    pub(super) gone: Option<String>,
}

/// What came of one file.
#[derive(Debug, Default)]
pub(super) struct Checked {
    pub(super) damages: Vec<Damage>,
    /// Bytes read.
    pub(super) bytes: u64,
    /// Lines that are sealed and whole.
    pub(super) sealed: u64,
    /// Lines that nothing vouches for, yet or any more.
    pub(super) unsealed: u64,
    /// Bytes behind the last LF.
    pub(super) torn: u64,
    /// Lines of a kind or with keys that this release does not know.
    pub(super) later: u64,
    /// Its first bytes are not what they have to be: perhaps it is another segment.
    pub(super) strange: bool,
}

/// Holds the compressed form of a segment of the scribe's against the plain one: the seals were held against that.
pub(super) fn compare(file: &str, plain: impl Read, packed: impl Read) -> io::Result<Checked> {
    let [mut plain, mut packed] = [
        BufReader::with_capacity(PIECE, Box::new(plain) as Box<dyn Read>),
        BufReader::with_capacity(PIECE, Box::new(packed) as Box<dyn Read>),
    ];
    let mut at = 0;
    loop {
        let (one, other) = (plain.fill_buf()?, packed.fill_buf()?);
        let same = one.iter().zip(other).take_while(|(one, other)| one == other).count();
        if same == 0 {
            let mut checked = Checked::default();
            if !(one.is_empty() && other.is_empty()) {
                let what = format!("from byte {at} on it is not what the plain file is");
                checked
                    .damages
                    .push(Damage { bytes: Some((at, at)), ..Damage::of(Kind::Changed, file, what) });
            }
            return Ok(checked);
        }
        at += same as u64;
        plain.consume(same);
        packed.consume(same);
    }
}

/// Checks `source`, which is `file`, against `expected`. `read` is told of bytes as they are read.
pub(super) fn check(
    segment: &str,
    file: &str,
    source: impl Read,
    expected: &Expected,
    mut read: impl FnMut(u64),
) -> io::Result<Checked> {
    let mut source = BufReader::with_capacity(PIECE, source);
    let mut lines = Lines::new(segment, file);
    let mut spoilt: Option<Spoilt> = None;
    let mut shifted = false;
    for (number, (part, doubtful)) in expected.parts.iter().enumerate() {
        if part.from > lines.at {
            let gap = part.from - lines.at;
            // The scribe's own seals cover what is before.
            if !lines.is_scribes() {
                lines.tell(
                    Kind::MissingRange,
                    Some((lines.at, part.from)),
                    "no range covers these bytes".into(),
                );
            }
            take(&mut source, gap, &mut lines, &mut read, None)?;
            lines.unseal();
        }
        let (first, faults) = (lines.lines + 1, lines.faults);
        let mut hash = Sha256::new();
        let got =
            take(&mut source, part.to.saturating_sub(part.from), &mut lines, &mut read, Some(&mut hash))?;
        let whole = got == part.to.saturating_sub(part.from);
        if *doubtful {
            lines.unseal();
        } else if whole && Digest(hash.finalize().into()) == part.hash {
            spoilt.take().into_iter().for_each(|spoilt| spoilt.tell(&mut lines));
            shifted = false;
            lines.settle();
            let counted = lines.lines + 1 - first;
            if counted != part.lines {
                let what = format!("{} lines are sealed of these bytes, which have {counted}", part.lines);
                lines.tell(Kind::Contradiction, Some((part.from, part.to)), what);
            }
        } else {
            lines.strange |= number == 0;
            // Record numbers that do not count on tell more than that bytes differ.
            shifted |= lines.count_faults() > 0 && lines.faults > faults;
            let upto = part.from + got;
            let last = lines.lines.max(first);
            if got > 0 || part.from < lines.at {
                let run = spoilt.get_or_insert(Spoilt { from: part.from, to: upto, first, last });
                (run.to, run.last) = (upto, last);
            }
            lines.unseal();
        }
        if !whole {
            break;
        }
    }
    let sealed_to = expected.parts.last().map_or(0, |(part, _)| part.to);
    if let Some(run) = spoilt.take() {
        if shifted { run.tell_shifted(&mut lines) } else { run.tell(&mut lines) }
    }
    if lines.at < sealed_to {
        if !shifted {
            let what = format!("it ends at byte {}, and {sealed_to} bytes of it are sealed", lines.at);
            lines.tell(Kind::Cut, Some((lines.at, sealed_to)), what);
        }
        return Ok(lines.end());
    }
    let torn_at = lines.carry.len() as u64;
    if expected.intruded {
        // What the intruder wrote is nobody's.
        lines.inspector = None;
    }
    let behind = take(&mut source, u64::MAX, &mut lines, &mut read, None)?;
    if behind == 0 && torn_at > 0 && !expected.torn {
        let what = format!("its last {torn_at} bytes are no whole line");
        lines.tell(Kind::Torn, Some((lines.at - torn_at, lines.at)), what);
    }
    if let Some((closed, _)) = expected.closed
        && lines.at < closed
        && !shifted
    {
        let what = format!("it ends at byte {}, and was closed at byte {closed}", lines.at);
        lines.tell(Kind::Cut, Some((lines.at, closed)), what);
    }
    if let Some((closed, _)) = expected.closed
        && closed > sealed_to
        && lines.at > sealed_to
        && !lines.is_scribes()
    {
        // What said so went with a segment of the scribe's, and that one goes only after all that it seals.
        let upto = lines.at.min(closed);
        lines.tell(Kind::MissingRange, Some((sealed_to, upto)), "no range covers these bytes".into());
    }
    if behind > 0
        && let Some((closed, _)) = expected.closed
        && lines.at > closed
        && !shifted
    {
        let behind = lines.at - closed;
        let (kind, why) =
            if expected.intruded { (Kind::Intrusion, " after the intrusion") } else { (Kind::Extra, "") };
        let what = format!("{behind} bytes stand behind byte {closed}, at which it was closed{why}");
        lines.tell(kind, Some((closed, closed + behind)), what);
    }
    lines.unseal();
    Ok(lines.end())
}

/// Reads up to `length` bytes; how many there were.
fn take(
    source: &mut BufReader<impl Read>,
    length: u64,
    lines: &mut Lines,
    read: &mut impl FnMut(u64),
    mut hash: Option<&mut Sha256>,
) -> io::Result<u64> {
    let mut left = length;
    while left > 0 {
        let buffer = match source.fill_buf() {
            Ok(buffer) => buffer,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        let piece =
            buffer.get(..usize::try_from(left).unwrap_or(usize::MAX).min(buffer.len())).unwrap_or(buffer);
        if piece.is_empty() {
            break;
        }
        if let Some(hash) = &mut hash {
            hash.update(piece);
        }
        lines.feed(piece);
        let taken = piece.len();
        source.consume(taken);
        left -= taken as u64;
        read(taken as u64);
    }
    Ok(length - left)
}

/// Ranges side by side that are not as they were sealed.
struct Spoilt {
    from: u64,
    to: u64,
    first: u64,
    last: u64,
}

impl Spoilt {
    fn tell(self, lines: &mut Lines) {
        let what = "these bytes are not those that were sealed".to_owned();
        self.damage(Kind::Changed, what, lines);
    }

    fn tell_shifted(self, lines: &mut Lines) {
        let what =
            "records were taken out, put in or moved here; what stands behind can't be compared".to_owned();
        self.damage(Kind::Count, what, lines);
    }

    fn damage(self, kind: Kind, what: String, lines: &mut Lines) {
        let Spoilt { from, to, first, last } = self;
        let file = lines.file.clone();
        lines.push(Damage { kind, file, bytes: Some((from, to)), lines: Some((first, last)), what });
    }
}

/// Splits bytes into lines, and has each judged.
struct Lines {
    file: String,
    inspector: Option<Inspector>,
    role: Option<(Role, BootId)>,
    at: u64,
    lines: u64,
    /// Where the present line begins.
    line_at: u64,
    carry: Vec<u8>,
    overlong: bool,
    faults: u64,
    miscounts: u64,
    told: Vec<Damage>,
    sealed: u64,
    settled: u64,
    unsealed: u64,
    later: u64,
    strange: bool,
}

impl Lines {
    fn new(segment: &str, file: &str) -> Lines {
        let role = SegmentName::parse(segment)
            .and_then(|name| Role::of_writer(name.writer).map(|role| (role, name.boot)));
        // The scribe's own lines are judged by the chain.
        let inspector = role
            .filter(|(role, _)| !matches!(role, Role::Scribe | Role::Probe))
            .map(|(role, boot)| Inspector::new(role, boot).serving(segment::serves(segment)));
        Lines {
            file: file.to_owned(),
            inspector,
            role,
            at: 0,
            lines: 0,
            line_at: 0,
            carry: Vec::new(),
            overlong: false,
            faults: 0,
            miscounts: 0,
            told: Vec::new(),
            sealed: 0,
            settled: 0,
            unsealed: 0,
            later: 0,
            strange: false,
        }
    }

    fn feed(&mut self, piece: &[u8]) {
        let mut rest = piece;
        let upto = self.at + piece.len() as u64;
        while let Some(end) = memchr::memchr(b'\n', rest) {
            let (line, behind) = rest.split_at(end);
            rest = behind.get(1..).unwrap_or_default();
            if self.carry.is_empty() && !self.overlong {
                self.judge(line);
            } else {
                let mut whole = std::mem::take(&mut self.carry);
                if !self.overlong {
                    whole.extend_from_slice(line);
                }
                self.judge(&whole);
                whole.clear();
                self.carry = whole;
                self.overlong = false;
            }
            self.lines += 1;
            self.line_at = upto - rest.len() as u64;
        }
        if self.carry.len() + rest.len() < LINE_MAX && !self.overlong {
            self.carry.extend_from_slice(rest);
        } else {
            self.overlong = true;
        }
        self.at = upto;
    }

    fn judge(&mut self, line: &[u8]) {
        let Some(inspector) = &mut self.inspector else { return };
        let fault = if self.overlong {
            Fault::Spelling
        } else {
            match inspector.judge(line) {
                Ok(_) => return,
                Err(Fault::Kind | Fault::Key) if inspector.takes_as_later(line) => {
                    self.later += 1;
                    return;
                }
                Err(fault) => fault,
            }
        };
        self.faults += 1;
        // The next line is expected to go on from this one, as far as it says a number.
        let n = number(line).unwrap_or_else(|| inspector.lines()).saturating_add(1);
        *inspector = inspector.clone().behind(n);
        let kind = match fault {
            Fault::Number => Kind::Count,
            Fault::Boot => Kind::Spliced,
            _ => Kind::ForeignLine,
        };
        self.miscounts += u64::from(kind == Kind::Count);
        if self.faults <= 3 {
            let number = self.lines + 1;
            let damage = Damage::of(kind, self.file.clone(), fault.to_string());
            self.push(damage.at_line(number, self.line_at));
        }
    }

    fn is_scribes(&self) -> bool {
        matches!(self.role, Some((Role::Scribe, _)))
    }

    fn count_faults(&self) -> u64 {
        self.miscounts
    }

    fn tell(&mut self, kind: Kind, bytes: Option<(u64, u64)>, what: String) {
        let file = self.file.clone();
        self.push(Damage { kind, file, bytes, lines: None, what });
    }

    fn push(&mut self, damage: Damage) {
        if self.told.len() < MOST {
            self.told.push(damage);
        }
    }

    /// The lines since are not vouched for.
    fn unseal(&mut self) {
        self.unsealed += self.lines - self.settled;
        self.settled = self.lines;
    }

    /// The lines since are.
    fn settle(&mut self) {
        self.sealed += self.lines - self.settled;
        self.settled = self.lines;
    }

    fn end(mut self) -> Checked {
        self.unseal();
        let probe = matches!(self.role, Some((Role::Probe, _)));
        Checked {
            damages: self.told,
            bytes: self.at,
            sealed: self.sealed,
            unsealed: self.unsealed,
            torn: if probe { 0 } else { self.carry.len() as u64 },
            later: self.later,
            strange: self.strange,
        }
    }
}

/// The `n` of a line that may be none of ours.
fn number(line: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(line.get(..96.min(line.len()))?).ok()?;
    let (_, behind) = text.split_once("\"n\":")?;
    behind.split(',').next()?.parse().ok()
}
