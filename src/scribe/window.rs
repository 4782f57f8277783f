//! What the scribe's own segments of before say: where the chain of seals ends, which segments are open and up to
//! where they are sealed. Read from the newest backward, as far as one that says that nothing before it matters
//! (`settled`), so that a start is fast however much there is.
//!
//! Looked at here are the signature of each epoch, that each seal names the one before and the bytes behind it, and
//! the last seal's signature; all the others are for `verify`.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use super::follow::Cut;
use super::requests::{Lane, Requests};
use crate::audit::chain::{self, Digest, Public, Said, Signed};
use crate::audit::entry::{Epoch, Recover, Seal};
use crate::audit::inspect::Request;
use crate::model::ids::RequestId;

/// Where the record of before is not as it was sealed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Damage {
    pub(super) segment: String,
    pub(super) at: u64,
    pub(super) why: String,
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at byte {}: {}", self.segment, self.at, self.why)
    }
}

/// What is known of a segment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Known {
    /// Sealed up to here by ranges that are not looked up any more, then by these.
    pub(super) base: u64,
    pub(super) ranges: Vec<Cut>,
    pub(super) closed: bool,
}

impl Known {
    /// Up to where it is sealed.
    pub(super) fn sealed(&self) -> u64 {
        self.ranges.last().map_or(self.base, |range| range.to)
    }
}

/// All that is known.
#[derive(Debug, Default)]
pub(super) struct Window {
    /// The last epoch on record, and its key.
    pub(super) epoch: Option<(u64, Public)>,
    /// The epochs' lines, with their LFs.
    pub(super) lines: Vec<(u64, Vec<u8>)>,
    /// Hash of the latest seal's line.
    pub(super) last: Option<Digest>,
    pub(super) segments: BTreeMap<String, Known>,
    /// Up to where its own seals cover each of the scribe's segments.
    own: BTreeMap<String, u64>,
    pub(super) requests: Requests,
    /// Segments that go, by what is sealed.
    pub(super) pruned: BTreeSet<String>,
    /// What `pending` said since the last `close`.
    pending: BTreeMap<Lane, BTreeSet<Request>>,
}

/// Whether one of the scribe's segments says that nothing before it matters, and a seal stands behind that.
pub(super) fn settles(bytes: &[u8]) -> bool {
    let marks = |line: &[u8]| matches!(read(line), Some(Said::Recover(Recover::Settled(_))));
    let mut behind = lines(bytes).skip_while(|(_, line)| !(contains(line, b",\"settled\":") && marks(line)));
    behind.any(|(_, line)| contains(line, b",\"t\":\"seal\",") && matches!(read(line), Some(Said::Seal(..))))
}

fn contains(line: &[u8], part: &[u8]) -> bool {
    line.windows(part.len()).any(|window| window == part)
}

fn read(line: &[u8]) -> Option<Said<'_>> {
    chain::read(line).map(|line| line.said)
}

/// Whole lines, without LF, and where they begin.
fn lines(bytes: &[u8]) -> impl Iterator<Item = (u64, &[u8])> {
    let mut at = 0;
    bytes.split_inclusive(|byte| *byte == b'\n').filter_map(move |line| {
        let begin = at;
        at += line.len() as u64;
        line.strip_suffix(b"\n").map(|line| (begin, line))
    })
}

/// The chain in one segment, as far as it was followed.
struct Walk<'b> {
    epoch: Option<Epoch>,
    /// The key that has to sign the next seal, and the hash of the one before.
    key: Option<Public>,
    prev: Option<Digest>,
    /// The last seal: the key that has to have signed it.
    last: Option<(u64, Public, Signed<'b>)>,
    sealed: u64,
}

impl Window {
    /// Takes the next of the scribe's segments, in their order: its lines as far as they are sealed. What stands
    /// behind the last seal nobody vouches for.
    pub(super) fn take(&mut self, name: &str, bytes: &[u8]) -> Result<(), Damage> {
        let mut walk = Walk { epoch: None, key: None, prev: None, last: None, sealed: 0 };
        let mut said = Vec::new();
        let count = lines(bytes).count();
        for (place, (at, line)) in lines(bytes).enumerate() {
            let damaged = |why: &str| Damage { segment: name.to_owned(), at, why: why.to_owned() };
            match (place, read(line)) {
                (0, Some(Said::Open(_))) => {}
                (1, Some(Said::Epoch(epoch, signed))) => {
                    walk.begin(self, epoch, &signed, line).map_err(damaged)?;
                }
                // What was written without a key: the scribe died over its first lines.
                (0 | 1, _) if place + 1 == count => break,
                (0 | 1, _) => return Err(damaged("it does not begin with its `open` and its `epoch`")),
                (_, Some(Said::Seal(seal, signed))) => {
                    walk.seal(bytes, at, line, seal, signed).map_err(damaged)?;
                    said.drain(..).for_each(|said| self.say(&said));
                }
                (_, Some(line)) => said.push(line),
                // Behind the last seal anything may stand after a crash; before one it is found by the hash.
                (_, None) => {}
            }
        }
        if let Some((at, key, signed)) = &walk.last
            && !key.has_signed(chain::Domain::Seal, signed.message, &signed.signature)
        {
            let why = "the seal is not signed by the key that was named for it".to_owned();
            return Err(Damage { segment: name.to_owned(), at: *at, why });
        }
        if walk.last.is_some() {
            self.last = walk.prev;
        }
        self.own.insert(name.to_owned(), walk.sealed);
        Ok(())
    }

    /// What is known of a segment that is open; of one of the scribe's own as well what its seals cover.
    pub(super) fn known(&self, name: &str) -> Known {
        let known = self.segments.get(name).cloned().unwrap_or_default();
        match self.own.get(name) {
            Some(sealed) if known.sealed() == 0 => Known { base: *sealed, ..known },
            _ => known,
        }
    }

    fn say(&mut self, said: &Said<'_>) {
        match said {
            Said::Range(range) => {
                let known = self.segments.entry(range.segment.to_owned()).or_default();
                let (from, to, lines, hash) = (range.from, range.to, range.lines, range.hash);
                if known.ranges.is_empty() {
                    known.base = from;
                }
                known.ranges.push(Cut { from, to, lines, hash });
            }
            Said::Close(close) => {
                let known = self.segments.entry(close.segment.to_owned()).or_default();
                // Nobody asks for its ranges any more, but that it is closed has to be known: by its age alone it is not,
                // where it was made since this scribe's segment was, and the warden may not have heard of it.
                *known = Known { base: known.sealed(), ranges: Vec::new(), closed: true };
                if let Some(lane) = Lane::of(close.segment, None) {
                    let open = self.pending.remove(&lane).unwrap_or_default();
                    self.requests.remember(lane, open);
                }
            }
            Said::Recover(Recover::Segment { segment, from, .. }) => {
                let known = self.segments.entry((*segment).to_owned()).or_default();
                if known.ranges.is_empty() {
                    known.base = *from;
                }
            }
            Said::Recover(Recover::Settled(_)) => {
                self.requests = Requests::default();
                for (lane, open) in std::mem::take(&mut self.pending) {
                    self.requests.remember(lane, open);
                }
            }
            Said::Pending(segment, ids) => {
                let Some(lane) = Lane::of(segment, None) else { return };
                let ids = ids.split(',').filter_map(|id| id.trim_matches('"').parse::<RequestId>().ok());
                let request = |id: RequestId| Request { connection: id.connection.number, number: id.number };
                self.pending.entry(lane).or_default().extend(ids.map(request));
            }
            Said::Outcome(record) => {
                if let Ok(id) = record.text("id").parse::<RequestId>() {
                    let request = Request { connection: id.connection.number, number: id.number };
                    self.requests.forget(id.connection.boot, request);
                }
            }
            Said::Prune(prune) => {
                self.pruned.insert(prune.segment.to_owned());
                self.segments.entry(prune.segment.to_owned()).or_default().closed = true;
            }
            Said::Open(_) | Said::Epoch(..) | Said::Seal(..) | Said::Intrusion(_) | Said::Later(_) => {}
        }
    }
}

impl<'b> Walk<'b> {
    fn begin(
        &mut self,
        window: &mut Window,
        epoch: Epoch,
        signed: &Signed<'_>,
        line: &[u8],
    ) -> Result<(), &'static str> {
        if !epoch.key.has_signed(chain::Domain::Epoch, signed.message, &signed.signature) {
            return Err("the epoch is not signed by its own key");
        }
        if window.epoch.is_some_and(|(last, _)| epoch.epoch <= last) {
            return Err("an epoch comes again");
        }
        if window.last.is_some() && window.last != epoch.prev {
            return Err("the last seal before this epoch is gone, or another");
        }
        window.epoch = Some((epoch.epoch, epoch.key));
        window.lines.push((epoch.epoch, [line, b"\n"].concat()));
        (self.key, self.prev, self.epoch) = (Some(epoch.first), epoch.prev, Some(epoch));
        Ok(())
    }

    fn seal(
        &mut self,
        bytes: &[u8],
        at: u64,
        line: &[u8],
        seal: Seal,
        signed: Signed<'b>,
    ) -> Result<(), &'static str> {
        let range = usize::try_from(self.sealed).ok().zip(usize::try_from(at).ok());
        let span = range.and_then(|(from, to)| bytes.get(from..to)).unwrap_or_default();
        let Some(key) = self.key.replace(seal.next) else { return Err("a seal without an epoch") };
        if self.epoch.is_none_or(|epoch| epoch.epoch != seal.epoch) {
            return Err("another epoch's seal");
        }
        if seal.prev != self.prev {
            return Err("the seal before it was another");
        }
        if (seal.from, seal.to) != (self.sealed, at) || seal.hash != Digest::of(span) {
            return Err("the bytes before this seal are not those that were sealed");
        }
        self.prev = Some(Digest::of(line));
        self.sealed = at;
        self.last = Some((at, key, signed));
        Ok(())
    }
}
