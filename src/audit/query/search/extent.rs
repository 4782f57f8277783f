//! From when to when a segment goes, as far as its name and the scribe's records tell.

use std::path::Path;
use std::rc::Rc;

use super::BySegment;
use super::scan::{Block, scan};
use crate::audit::plain::Record;
use crate::audit::query::filter::Filter;
use crate::audit::reader::Sieve;
use crate::audit::segment::{Role, SegmentName};
use crate::model::time::Timestamp;

/// In microseconds: accesses that take longer are rare, and then told without their decision.
const LONG: u64 = 86_400_000_000;

/// When segments were closed, by the scribe's word.
#[derive(Debug, Clone, Default)]
pub struct Extent {
    closed: BySegment<Timestamp>,
}

impl Extent {
    /// Of these segments. What can't be read is taken for open.
    pub fn of(directory: &Path, names: &[Rc<str>]) -> Extent {
        let mut extent = Extent::default();
        let finder = memchr::memmem::Finder::new(b"\"t\":\"close\"");
        for name in names.iter().filter(|name| role(name) == Role::Scribe) {
            // The loss of a time costs a look, and nothing else.
            let scanned = scan(directory, name, |block: Block<'_>| {
                block.lines_with(&finder, |_, line| {
                    if let Some(record) = Record::parse(line).filter(|record| record.kind() == "close")
                        && let Ok(at) = record.text("ts").parse()
                    {
                        extent.closed.insert(record.text("segment").into(), at);
                    }
                });
            });
            drop(scanned);
        }
        extent
    }

    /// Whether it was closed so long before the time that is asked for that nothing goes on which began in it: of an
    /// access that is decided in it and ends later the whole has to be read.
    pub(super) fn ends_before(&self, segment: &str, filter: &Filter) -> bool {
        let begin = filter.since.map(|since| since.begin.micros().saturating_sub(LONG));
        let Some((_, last)) = self.span(segment) else { return false };
        begin.is_some_and(|begin| last.micros() < begin)
    }

    /// Whether all of it was written long after the time that is asked for.
    pub(super) fn begins_after(&self, segment: &str, filter: &Filter) -> bool {
        let end = filter.until.map(|until| until.end.micros().saturating_add(LONG));
        let Some((first, _)) = self.span(segment) else { return false };
        end.is_some_and(|end| first.micros() > end)
    }

    /// The earlier and the later one of the times of its name and of its close: names never go back, so where the clock
    /// was set back a segment is closed before the time of its name. `None` while it is open, since what it will hold
    /// nobody knows then.
    fn span(&self, segment: &str) -> Option<(Timestamp, Timestamp)> {
        let (closed, made) = (*self.closed.get(segment)?, SegmentName::parse(segment)?.made());
        Some((made.min(closed), made.max(closed)))
    }
}

/// Whose segment it is.
pub(super) fn role(segment: &str) -> Role {
    SegmentName::parse(segment).map_or(Role::Other, |name| name.role())
}

/// Passes over the gates' segments that end before the time that is asked for. Later ones may still hold the end of an
/// access, and the warden's hold its caller.
pub(super) struct InTime {
    extent: Extent,
    filter: Filter,
}

impl InTime {
    pub(super) fn new(extent: Extent, filter: Filter) -> InTime {
        InTime { extent, filter }
    }
}

impl Sieve for InTime {
    fn opens(&self, segment: &str) -> bool {
        !matches!(role(segment), Role::Gate(_)) || !self.extent.ends_before(segment, &self.filter)
    }

    fn keeps(&self, _: &str, _: u64, _: &[u8]) -> bool {
        true
    }
}
