//! Requests that were let go on and have no outcome yet, lane by lane. When a lane's segment is closed they are told
//! by `pending`, all of them, also those of segments before: so the latest `pending` of a lane is what was open, and
//! what came after it stands in segments that are not closed. What a gate leaves behind the scribe closes.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use crate::audit::inspect::{Progress, Request};
use crate::audit::segment::SegmentName;
use crate::model::ids::{BootId, ConnectionId, RequestId};
use crate::model::limits::LANE_CONNECTIONS;

/// More are not open at a time in one lane: a connection has one, those that a caller has just left are still to be
/// settled, and two segments of the lane may be read at a time. Each segment of the scribe's begins with all that is open.
pub(super) const MOST: usize = 4 * LANE_CONNECTIONS as usize;

/// One lane of one gate process.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Lane {
    /// Of which start.
    pub(super) boot: [u8; 6],
    /// The gate's number within it, where that is known.
    pub(super) gate: Option<u32>,
    /// The segment's writer without its last number: `gate-1001-0`.
    pub(super) lane: Rc<str>,
}

impl Lane {
    /// Of a segment; `None` where no lane writes it.
    pub(super) fn of(segment: &str, gate: Option<u32>) -> Option<Lane> {
        let name = SegmentName::parse(segment)?;
        let (lane, _number) = name.writer.rsplit_once('-')?;
        lane.starts_with("gate-").then(|| Lane { boot: letters(name.boot), gate, lane: lane.into() })
    }
}

fn letters(boot: BootId) -> [u8; 6] {
    boot.as_str().as_bytes().try_into().unwrap_or_default()
}

/// What is open.
#[derive(Debug, Default)]
pub(super) struct Requests(BTreeMap<Lane, BTreeSet<Request>>, Early);

/// Outcomes that were read before their decisions: a lane that goes on in another segment writes there what the last
/// lines of the one before, which may be read after it, have decided.
type Early = BTreeMap<Lane, BTreeSet<Request>>;

impl Requests {
    /// A line of this lane says so. False where more would be open than any lane has.
    #[must_use]
    pub(super) fn heed(&mut self, lane: &Lane, progress: Progress) -> bool {
        let open = match self.0.get_mut(lane) {
            Some(open) => open,
            None => self.0.entry(lane.clone()).or_default(),
        };
        match progress {
            Progress::Allowed(request) => {
                let ended = self.1.get_mut(lane).is_some_and(|early| early.remove(&request));
                if !ended && open.len() >= MOST {
                    return open.contains(&request);
                }
                if !ended {
                    open.insert(request);
                }
            }
            Progress::Ended(request) => {
                if !open.remove(&request) {
                    let early = self.1.entry(lane.clone()).or_default();
                    if early.len() < MOST {
                        early.insert(request);
                    }
                }
            }
        }
        true
    }

    /// What is open of a lane now.
    pub(super) fn of(&self, lane: &Lane) -> Vec<RequestId> {
        self.0.get(lane).map(|open| ids(lane, open)).unwrap_or_default()
    }

    /// An earlier scribe said that just these are open of a lane.
    pub(super) fn remember(&mut self, lane: Lane, open: BTreeSet<Request>) {
        if open.is_empty() {
            self.0.remove(&lane);
        } else {
            self.0.insert(lane, open);
        }
    }

    /// An earlier scribe gave this one its outcome.
    pub(super) fn forget(&mut self, boot: BootId, request: Request) {
        for (_, open) in self.0.iter_mut().filter(|(lane, _)| lane.is_of(boot)) {
            open.remove(&request);
        }
    }

    /// A gate whose number an earlier scribe knew turns up again.
    pub(super) fn adopt(&mut self, lane: &Lane) {
        if let Some(open) = self.0.remove(&Lane { gate: None, ..lane.clone() }) {
            self.0.entry(lane.clone()).or_default().extend(open);
        }
    }

    /// Takes what lanes leave behind that fit.
    pub(super) fn take(&mut self, fits: impl Fn(&Lane) -> bool) -> Vec<RequestId> {
        self.1.retain(|lane, _| !fits(lane));
        let gone: Vec<Lane> = self.0.keys().filter(|lane| fits(lane)).cloned().collect();
        let taken = gone.iter().filter_map(|lane| self.0.remove(lane).map(|open| ids(lane, &open)));
        taken.flatten().collect()
    }

    /// The lanes of which something is open.
    pub(super) fn lanes(&self) -> impl Iterator<Item = (&Lane, Vec<RequestId>)> {
        self.0.iter().filter(|(_, open)| !open.is_empty()).map(|(lane, open)| (lane, ids(lane, open)))
    }
}

impl Lane {
    /// Whether it is of this start.
    pub(super) fn is_of(&self, boot: BootId) -> bool {
        self.boot == letters(boot)
    }
}

fn ids(lane: &Lane, open: &BTreeSet<Request>) -> Vec<RequestId> {
    let text = std::str::from_utf8(&lane.boot).unwrap_or_default();
    let Ok(boot) = text.parse::<BootId>() else { return Vec::new() };
    let id = |request: &Request| RequestId {
        connection: ConnectionId { boot, number: request.connection },
        number: request.number,
    };
    open.iter().map(id).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SEGMENT: &str = "20261123T034629.123456Z-7k3qzd-gate-1001-0-12.ndjson";

    fn request(connection: u64) -> Request {
        Request { connection, number: 1 }
    }

    fn texts(ids: Vec<RequestId>) -> Vec<String> {
        ids.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn requests_of_a_lane_are_open_until_their_outcome() {
        let mut requests = Requests::default();
        let lane = Lane::of(SEGMENT, Some(3)).unwrap();
        assert!(requests.heed(&lane, Progress::Allowed(request(41))));
        assert!(requests.heed(&lane, Progress::Allowed(request(42))));
        assert!(requests.heed(&lane, Progress::Ended(request(41))));
        assert_eq!(texts(requests.of(&lane)), ["7k3qzd-42-1"]);
        // Read in the other order, from two segments of the lane.
        assert!(requests.heed(&lane, Progress::Ended(request(43))));
        assert!(requests.heed(&lane, Progress::Allowed(request(43))));
        assert_eq!(texts(requests.of(&lane)), ["7k3qzd-42-1"]);
        assert_eq!(requests.take(|lane| lane.gate == Some(4)), []);
        assert_eq!(texts(requests.take(|lane| lane.gate == Some(3))), ["7k3qzd-42-1"]);
        assert_eq!(requests.lanes().count(), 0);
        assert_eq!(Lane::of("20261123T034629.123456Z-7k3qzd-warden-1.ndjson", None), None);
    }

    #[test]
    fn requests_that_an_earlier_scribe_knew_go_to_the_gate_that_turns_up() {
        let mut requests = Requests::default();
        let unknown = Lane::of(SEGMENT, None).unwrap();
        requests.remember(unknown.clone(), [request(41), request(42)].into());
        requests.remember(unknown, [request(42)].into());
        let lane = Lane::of(SEGMENT, Some(3)).unwrap();
        requests.adopt(&lane);
        assert!(requests.heed(&lane, Progress::Allowed(request(43))));
        assert_eq!(texts(requests.of(&lane)), ["7k3qzd-42-1", "7k3qzd-43-1"]);
        assert!(lane.is_of("7k3qzd".parse().unwrap()) && !lane.is_of("7k3qze".parse().unwrap()));
    }
}
