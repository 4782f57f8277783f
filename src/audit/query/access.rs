//! One access, whole: who asked what, how it was judged, what was granted for it, how it ended.

use std::rc::Rc;

use super::parts::{Conn, Decision, Exit, Grant, Held, Outcome, Repeat};
use crate::audit::reader::Line;
use crate::audit::segment::SegmentName;
use crate::model::ids::RequestId;
use crate::model::time::Timestamp;

/// Between a decision and its grant, in microseconds: a sync on a slow disk, and the way to the warden.
const APART: u64 = 10_000_000;

/// What a record tells, joined.
#[derive(Debug, Clone)]
pub enum Item {
    /// A request and all that is on record of it.
    Access(Box<Access>),
    /// An allowed request, as far as it has come; only from a [`Join`](super::Join) that was asked for it. The same
    /// one comes as [`Item::Access`] when it has ended.
    Begun(Box<Access>),
    /// A connection that was closed at once instead of served.
    Shed(Rc<Conn>),
    /// Refusals that got no record of their own.
    Repeat(Box<Repeat>),
    /// Any other record: `open`, `gate`, `policy`, and what the scribe writes.
    Event(Held),
    /// A record where nobody believes it: a gate's of something that only the warden or the scribe can know, or of
    /// a caller whom it does not serve. Nobody writes such a one by mistake.
    Disbelieved(Held),
    /// A line that is no record.
    Garbage(Line),
}

/// One line of a segment, from [`Join::next_record`](super::Join::next_record).
#[derive(Debug, Clone)]
pub enum Recorded {
    /// A record.
    Told(Box<Told>),
    /// A line that is none.
    Garbage(Line),
}

/// One record, and what is known at that point of what it is about.
#[derive(Debug, Clone)]
pub struct Told {
    /// The record.
    pub held: Held,
    /// Whether its writer is believed.
    pub believed: bool,
    /// The request, as far as it has come.
    pub access: Option<Box<Access>>,
    /// The connection, of a `conn`.
    pub conn: Option<Rc<Conn>>,
    /// The refusals, of a `repeat`.
    pub repeat: Option<Box<Repeat>>,
}

/// One request.
#[derive(Debug, Clone)]
pub struct Access {
    /// Its id.
    pub id: RequestId,
    /// Who asked; `None` where the warden's record of the connection is not at hand.
    pub conn: Option<Rc<Conn>>,
    /// What was asked, and the verdict; `None` where its record is not at hand, or was withheld by its gate.
    pub decision: Option<Decision>,
    /// What the warden granted for it.
    pub grants: Vec<Grant>,
    /// How it ended; `None` where the answer came at once, where it still runs, and where nobody closed it.
    pub outcome: Option<Outcome>,
    /// How its command ended. Each end comes as [`Item::Event`] too, and one that comes later as that alone.
    pub exits: Vec<Exit>,
}

/// Something about an access that does not fit together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Doubt {
    /// The warden's record of the connection is not at hand.
    CallerMissing,
    /// The warden granted a backend, but no gate recorded a decision.
    DecisionMissing,
    /// The gate names another uid than the warden.
    UidDiffers,
    /// The gate recorded a denial, but the warden granted a backend.
    DeniedButGranted,
    /// The gate gives another time than the warden: far from the grant, or, where nothing was granted, earlier than the
    /// connection.
    TimeDiffers,
}

impl Doubt {
    /// Its stable name.
    pub fn code(self) -> &'static str {
        match self {
            Doubt::CallerMissing => "caller-missing",
            Doubt::DecisionMissing => "decision-missing",
            Doubt::UidDiffers => "uid-differs",
            Doubt::DeniedButGranted => "denied-but-granted",
            Doubt::TimeDiffers => "time-differs",
        }
    }
}

impl Access {
    pub(super) fn new(id: RequestId, conn: Option<Rc<Conn>>) -> Access {
        Access { id, conn, decision: None, grants: Vec::new(), outcome: None, exits: Vec::new() }
    }

    /// When it was asked, as far as a gate has no say in it: when the warden granted it. Where it granted nothing, the
    /// gate's word, but not before the connection was there.
    pub fn when(&self) -> Timestamp {
        if let Some(grant) = self.grants.first() {
            return grant.held.ts;
        }
        let decided = self.decision.as_ref().map(|decision| decision.held.ts);
        let ended = || self.outcome.as_ref().map(Outcome::begun);
        let said = decided.or_else(ended).unwrap_or(Timestamp::from_micros(0));
        said.max(self.earliest())
    }

    /// When something was asked or granted under its id, in no order: a gate may ask again, and much later.
    pub fn times(&self) -> impl Iterator<Item = Timestamp> {
        let again = self.grants.iter().skip(1).map(|grant| grant.held.ts);
        std::iter::once(self.when()).chain(again)
    }

    /// It was not asked before then, by what the warden wrote: the connection's record. Where that is gone, the name that
    /// it gave to the gate's segment; that alone, since names never go back and a clock may be set back.
    fn earliest(&self) -> Timestamp {
        let came = self.conn.as_ref().map(|conn| conn.held.ts);
        let segment = self.decision.as_ref().map(|decision| &*decision.held.segment);
        let made = segment.and_then(SegmentName::parse).map(|name| name.made());
        came.or(made).unwrap_or(Timestamp::from_micros(0))
    }

    /// Whether the gate's time can't be so.
    fn time_differs(&self) -> bool {
        let Some(decision) = &self.decision else { return false };
        let (said, apart) =
            (decision.held.ts.micros(), |one: u64, other: u64| one.saturating_sub(other) > APART);
        match self.grants.first().map(|grant| grant.held.ts.micros()) {
            // A grant follows the decision. Where both say the same, what was before is of a clock that was set since.
            Some(granted) => apart(granted, said) || apart(said, granted),
            // A connection lives as long as it likes.
            None => apart(self.earliest().micros(), said),
        }
    }

    /// The caller's uid: the warden's word, where it is at hand, else the gate's.
    pub fn uid(&self) -> Option<u32> {
        let warden = self.conn.as_ref().map(|conn| conn.uid).or(self.grants.first().map(|grant| grant.uid));
        warden.or(self.decision.as_ref().map(|decision| decision.uid))
    }

    /// The caller's name, as it stands in the record.
    pub fn user(&self) -> Option<&str> {
        self.conn.as_ref()?.user()
    }

    /// The status that the caller got, as far as it is known.
    pub fn status(&self) -> Option<u16> {
        let ended = self.outcome.as_ref().and_then(|outcome| outcome.status);
        ended.or(self.decision.as_ref().and_then(|decision| decision.status))
    }

    /// Microseconds from head to end, as far as it is known.
    pub fn us(&self) -> Option<u64> {
        let ended = self.outcome.as_ref().and_then(|outcome| outcome.us);
        ended.or(self.decision.as_ref().and_then(|decision| decision.us))
    }

    /// Whether it was allowed; `None` where no decision is at hand.
    pub fn allowed(&self) -> Option<bool> {
        self.decision.as_ref().map(|decision| decision.allowed)
    }

    /// Whether something must still come: it was allowed, and no end of it is on record.
    pub fn is_open(&self) -> bool {
        let at_once = self.decision.as_ref().is_some_and(|decision| decision.status.is_some());
        self.outcome.is_none() && !at_once && self.allowed() != Some(false)
    }

    /// Whether a command was started for it whose end was not read.
    pub fn awaits_exit(&self) -> bool {
        let runs = |grant: &Grant| grant.argv().is_some() && grant.refused().is_none();
        self.exits.is_empty() && self.grants.iter().any(runs)
    }

    /// What does not fit together.
    pub fn doubts(&self) -> Vec<Doubt> {
        let mut doubts = Vec::new();
        let granted = self.grants.iter().any(|grant| grant.refused().is_none());
        if self.conn.is_none() {
            doubts.push(Doubt::CallerMissing);
        }
        if self.decision.is_none() && granted {
            doubts.push(Doubt::DecisionMissing);
        }
        if let (Some(conn), Some(decision)) = (&self.conn, &self.decision)
            && conn.uid != decision.uid
        {
            doubts.push(Doubt::UidDiffers);
        }
        if self.allowed() == Some(false) && granted {
            doubts.push(Doubt::DeniedButGranted);
        }
        if self.time_differs() {
            doubts.push(Doubt::TimeDiffers);
        }
        doubts
    }
}
