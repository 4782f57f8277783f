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
        let early = |closed: &Timestamp| begin.is_some_and(|begin| closed.micros() < begin);
        self.closed.get(segment).is_some_and(early)
    }
}

/// Whether it was made after the time that is asked for.
pub(super) fn begins_after(segment: &str, filter: &Filter) -> bool {
    let name = SegmentName::parse(segment);
    filter.until.is_some_and(|until| name.is_some_and(|name| !name.made_by(&until.end.to_bytes())))
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
