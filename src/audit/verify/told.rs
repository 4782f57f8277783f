//! One segment of the scribe's, read on its own: what it says, and which of that its seals vouch for.

use std::collections::BTreeMap;
use std::io::{self, BufRead, BufReader, Read};
use std::sync::Arc;

use super::kind::{Damage, Kind};
use crate::audit::chain::{self, Broken, Chain, Digest, Said, Signed};
use crate::audit::encode::LINE_MAX;
use crate::audit::entry::{Close, Epoch, Interrupted, Intrusion, Prune, Range, Recover, Seen};
use crate::audit::segment::SegmentName;

/// Damages of one file that are told one by one.
pub(super) const MOST: usize = 16;

/// What a line said of another segment.
#[derive(Debug, Clone)]
pub(super) struct Fact {
    pub(super) segment: Arc<str>,
    pub(super) what: What,
    /// Its span was changed, or a seal before it is not to be trusted.
    pub(super) doubtful: bool,
    /// Where it stands.
    pub(super) line: u64,
}

#[derive(Debug, Clone)]
pub(super) enum What {
    Range(Part),
    Close(u64, bool),
    Recover(u64, u64, bool, Interrupted),
    Prune(Box<Prune<'static>>),
    Intrusion(u64, Seen),
}

/// A range of a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Part {
    pub(super) from: u64,
    pub(super) to: u64,
    pub(super) lines: u64,
    pub(super) hash: Digest,
}

impl Fact {
    /// As the line said it.
    pub(super) fn said(&self) -> Said<'_> {
        let segment = &*self.segment;
        match &self.what {
            What::Range(Part { from, to, lines, hash }) => {
                Said::Range(Range { segment, from: *from, to: *to, lines: *lines, hash: *hash })
            }
            What::Close(bytes, torn) => Said::Close(Close { segment, bytes: *bytes, torn: *torn }),
            What::Recover(from, to, torn, why) => {
                Said::Recover(Recover::Segment { segment, from: *from, to: *to, torn: *torn, why: *why })
            }
            What::Prune(prune) => Said::Prune(Prune { segment, ..**prune }),
            What::Intrusion(at, why) => Said::Intrusion(Intrusion { segment, at: *at, why: *why }),
        }
    }
}

/// A seal, as far as a witness or a reader asks for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Mark {
    pub(super) i: u64,
    pub(super) ts: String,
    pub(super) hash: Digest,
    pub(super) line: u64,
}

/// What one segment of the scribe's says.
#[derive(Debug, Default)]
pub(super) struct Told {
    pub(super) segment: String,
    pub(super) file: String,
    /// Its epoch, the line that says so, and the signature.
    pub(super) epoch: Option<(Epoch, Vec<u8>)>,
    pub(super) facts: Vec<Fact>,
    /// The last seal that a trusted key signed.
    pub(super) last: Option<Mark>,
    /// Those that a witness asked for, and are trusted.
    pub(super) asked: Vec<Mark>,
    /// Hash of the last seal's line, whatever it is worth, or what came before.
    pub(super) prev: Option<Digest>,
    pub(super) seals: u64,
    /// No seal was broken up to the end.
    pub(super) chained: bool,
    pub(super) bytes: u64,
    pub(super) lines: u64,
    /// Lines behind the last seal, and bytes of a torn one.
    pub(super) behind: u64,
    pub(super) torn: u64,
    /// Lines of a kind that this release does not know.
    pub(super) later: u64,
    /// Where the last seal's line begins.
    pub(super) sealed_to: u64,
    pub(super) damages: Vec<Damage>,
}

/// Reads a segment of the scribe's; `asked`: whether a witness has a head of this epoch and number.
pub(super) fn read(
    segment: &str,
    file: &str,
    source: impl Read,
    asked: &dyn Fn(u64, u64) -> bool,
) -> io::Result<Told> {
    let mut told =
        Told { segment: segment.to_owned(), file: file.to_owned(), chained: true, ..Told::default() };
    let mut chain = Chain::new();
    let mut names: BTreeMap<String, Arc<str>> = BTreeMap::new();
    let mut source = BufReader::with_capacity(256 << 10, source);
    let mut bytes = Vec::with_capacity(1024);
    // Facts of the present span.
    let mut span = 0;
    loop {
        bytes.clear();
        let read = source.by_ref().take(LINE_MAX as u64).read_until(b'\n', &mut bytes)?;
        if read == 0 {
            break;
        }
        let at = told.bytes;
        told.bytes += read as u64;
        let Some(line) = bytes.strip_suffix(b"\n") else {
            if read < LINE_MAX {
                told.torn = read as u64;
                break;
            }
            // No line of ours is that long. What follows is taken for the next.
            told.lines += 1;
            told.push(Kind::ForeignLine, "a line longer than any", at);
            told.chained = false;
            continue;
        };
        told.lines += 1;
        let said = chain::read(line).map(|line| (line.ts, line.said));
        match chain.take(line) {
            Ok(_) => {}
            Err(broken) => {
                told.broken(broken, at, line, chain.sealed_to());
                // The bytes of one span say nothing against the keys; all else does.
                if !matches!(broken, Broken::Hash | Broken::Foreign | Broken::Count { .. }) {
                    told.chained = false;
                }
                if broken == Broken::Hash {
                    told.facts.iter_mut().skip(span).for_each(|fact| fact.doubtful = true);
                }
            }
        }
        match said {
            Some((_, Said::Epoch(epoch, _))) if told.lines == 2 => told.epoch = Some((epoch, line.to_vec())),
            Some((ts, Said::Seal(seal, _))) => {
                let mark = Mark { i: seal.i, ts: ts.to_owned(), hash: Digest::of(line), line: told.lines };
                told.seals += 1;
                told.behind = 0;
                if told.chained {
                    if asked(seal.epoch, seal.i) {
                        told.asked.push(mark.clone());
                    }
                    told.last = Some(mark);
                } else {
                    told.facts.iter_mut().skip(span).for_each(|fact| fact.doubtful = true);
                }
                span = told.facts.len();
                continue;
            }
            Some((_, Said::Open(record))) if told.lines == 1 => {
                let boot = SegmentName::parse(segment).map(|name| name.boot);
                if boot.is_some_and(|boot| boot.as_str() != record.text("boot")) {
                    told.push(Kind::Renamed, "it was begun in another start than its name says", at);
                }
            }
            Some((_, Said::Later(_))) => told.later += 1,
            Some((_, said)) => told.fact(&said, &mut names),
            None => {}
        }
        told.behind += 1;
    }
    // What no seal covers counts for nothing.
    told.facts.truncate(span);
    told.prev = chain.last();
    told.sealed_to = chain.sealed_to();
    Ok(told)
}

impl Told {
    fn push(&mut self, kind: Kind, what: &str, at: u64) {
        if self.damages.len() < MOST {
            self.damages.push(Damage::of(kind, &*self.file, what).at_line(self.lines.max(1), at));
        }
    }

    fn broken(&mut self, broken: Broken, at: u64, line: &[u8], sealed_to: u64) {
        let kind = match broken {
            Broken::Foreign | Broken::Order => Kind::ForeignLine,
            Broken::Count { .. } => Kind::Count,
            Broken::Signature => Kind::Signature,
            Broken::Epoch { .. } => Kind::Spliced,
            Broken::Index { .. } | Broken::Prev | Broken::Span => Kind::Chain,
            Broken::Hash => Kind::Changed,
        };
        if self.damages.len() >= MOST {
            return;
        }
        let damage = Damage::of(kind, &*self.file, broken.to_string());
        self.damages.push(match (broken, chain::read(line).map(|line| line.said)) {
            // The seal is whole; what it is over is not.
            (Broken::Hash, Some(Said::Seal(seal, _))) => Damage {
                bytes: Some((seal.from.min(sealed_to), sealed_to)),
                what: format!(
                    "the bytes before the seal in line {} are not those that it sealed",
                    self.lines
                ),
                ..damage
            },
            _ => damage.at_line(self.lines, at),
        });
    }

    fn fact(&mut self, said: &Said<'_>, names: &mut BTreeMap<String, Arc<str>>) {
        let (segment, what) = match *said {
            Said::Range(Range { segment, from, to, lines, hash }) => {
                (segment, What::Range(Part { from, to, lines, hash }))
            }
            Said::Close(Close { segment, bytes, torn }) => (segment, What::Close(bytes, torn)),
            Said::Recover(Recover::Segment { segment, from, to, torn, why }) => {
                (segment, What::Recover(from, to, torn, why))
            }
            Said::Prune(prune) => (prune.segment, What::Prune(Box::new(Prune { segment: "", ..prune }))),
            Said::Intrusion(Intrusion { segment, at, why }) => (segment, What::Intrusion(at, why)),
            _ => return,
        };
        let segment = match names.get(segment) {
            Some(known) => Arc::clone(known),
            None => {
                let name: Arc<str> = segment.into();
                names.insert(segment.to_owned(), Arc::clone(&name));
                name
            }
        };
        self.facts.push(Fact { segment, what, doubtful: !self.chained, line: self.lines });
    }
}

/// An epoch's line, read again.
pub(super) fn epoch_line(line: &[u8]) -> Option<(Epoch, Signed<'_>)> {
    match chain::read(line)?.said {
        Said::Epoch(epoch, signed) => Some((epoch, signed)),
        _ => None,
    }
}
