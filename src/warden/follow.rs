//! Which segments the scribe follows, and who may ask it how far the disk is with one.

use std::io;
use std::os::fd::OwnedFd;
use std::rc::Rc;

use super::Warden;
use super::poll::LaneId;
use crate::sys::datagram;
use crate::wire::message::{ToGate, ToScribe};

impl Warden {
    /// Has the scribe follow a segment from now on. A lane that writes to it gets a way to ask how far the disk is.
    pub(super) fn follow(&mut self, name: &str) {
        if !self.scribe.is_running() {
            // It is told of all of them when it starts.
            return;
        }
        let lane = self.lane_that_writes(name);
        match self.to_follow(name, lane.is_some()) {
            Ok((follow, descriptors, theirs)) => {
                self.tell_scribe(follow, descriptors);
                if let (Some(lane), Some(theirs)) = (lane, theirs) {
                    self.tell_lane(lane, ToGate::Durable, vec![Rc::new(theirs)]);
                }
            }
            Err(error) => {
                tracing::error!(%error, segment = name, "the scribe can't be given a segment");
                self.scribe.untold.push(name.to_owned());
            }
        }
    }

    /// What the scribe is told of a segment and gets of it; for a lane's also the lane's end of a pair.
    fn to_follow(
        &self,
        name: &str,
        of_lane: bool,
    ) -> io::Result<(ToScribe, Vec<Rc<OwnedFd>>, Option<OwnedFd>)> {
        let (reader, writer) = self.segments.reader(name)?;
        let mut descriptors = vec![reader];
        let mut theirs = None;
        if of_lane {
            let (scribe, lane) = datagram::pair()?;
            descriptors.extend([self.segments.reader(name)?.0, scribe]);
            theirs = Some(lane);
        }
        let follow = ToScribe::Follow { segment: name.to_owned(), writer };
        Ok((follow, descriptors.into_iter().map(Rc::new).collect(), theirs))
    }

    /// The lane whose present segment this is.
    pub(super) fn lane_that_writes(&self, name: &str) -> Option<LaneId> {
        let writes = |id: &LaneId| {
            let last = self.roster.lane(*id).and_then(|lane| lane.segments.last());
            last.is_some_and(|last| last == name)
        };
        self.roster.lanes().into_iter().find(writes)
    }

    /// A segment's writer is done with it.
    pub(super) fn finished(&mut self, name: &str) {
        self.segments.finish(name);
        self.charge(name);
        if self.scribe.is_running() {
            self.tell_scribe(ToScribe::Finished { segment: name.to_owned() }, Vec::new());
        }
    }
}
