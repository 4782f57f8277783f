//! Lines in the order of time become accesses, in bounded memory.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::io;
use std::rc::Rc;

use super::access::{Access, Item, Recorded, Told};
use super::parts::{Conn, Decision, Exit, Grant, Held, Outcome, Repeat};
use crate::audit::reader::{Line, Reader};
use crate::audit::segment::{Role, SegmentName};
use crate::model::ids::{BootId, ConnectionId, RequestId};

/// Connections that are remembered, half of them at least: those that were used last. Beyond, an access lacks its
/// caller, and [`Join::missed`] counts.
const CONNECTIONS: usize = 1 << 18;

/// Requests that wait for their end. Beyond, the eldest comes as it is.
const WAITING: usize = 1 << 17;

/// Users whose names are remembered.
const USERS: usize = 1 << 16;

/// Joins what a reader finds.
#[derive(Debug)]
pub struct Join {
    reader: Reader,
    /// Begun requests are told, and those without end are kept: more may come.
    follows: bool,
    conns: Conns,
    waiting: Waiting,
    /// Those that ended before their caller came, where somebody follows.
    orphans: VecDeque<RequestId>,
    ready: VecDeque<Item>,
}

impl Join {
    /// Joins all that is there. An access comes when its end is read, and those without end come last.
    pub fn new(reader: Reader) -> Join {
        Join {
            reader,
            follows: false,
            conns: Conns::with_room(CONNECTIONS / 2),
            waiting: Waiting::default(),
            orphans: VecDeque::new(),
            ready: VecDeque::new(),
        }
    }

    /// Joins what is there and what comes ([`Join::rescan`]): tells [`Item::Begun`] as well, and keeps what has no
    /// end yet.
    pub fn following(reader: Reader) -> Join {
        Join { follows: true, ..Join::new(reader) }
    }

    /// The next item; `None` at the end of what was there at the last look.
    ///
    /// # Errors
    ///
    /// A segment can't be read. The stream goes on without it.
    pub fn next_item(&mut self) -> io::Result<Option<Item>> {
        loop {
            if let Some(item) = self.ready.pop_front() {
                return Ok(Some(item));
            }
            match self.reader.next_line()? {
                Some(line) => self.take(line),
                None if self.follows && !self.release() => return Ok(None),
                None if self.follows => {}
                None => return Ok(self.waiting.pop_eldest().map(|access| self.with_caller(access))),
            }
        }
    }

    /// The next record as it stands, with what is known by then of what it is about, instead of the next item;
    /// `None` at the end of what was there at the last look.
    ///
    /// # Errors
    ///
    /// As [`Join::next_item`].
    pub fn next_record(&mut self) -> io::Result<Option<Recorded>> {
        Ok(self.reader.next_line()?.map(|line| self.told(line)))
    }

    /// Takes a line of what was under way when an earlier reading ended; nothing is told of it by itself.
    pub fn resume(&mut self, line: Line) {
        let told = self.ready.len();
        self.take(line);
        self.ready.truncate(told);
    }

    /// The records of all that has no end yet: callers, decisions and grants, each before what needs it.
    pub fn under_way(&self) -> Vec<&Held> {
        let mut held = Vec::new();
        for access in self.waiting.iter() {
            held.extend(access.conn.iter().map(|conn| &conn.held));
            held.extend(access.decision.iter().map(|decision| &decision.held));
            held.extend(access.grants.iter().map(|grant| &grant.held));
            held.extend(access.exits.iter().map(|exit| &exit.held));
            held.extend(access.outcome.iter().map(|outcome| &outcome.held));
        }
        held
    }

    /// Looks for what came since.
    ///
    /// # Errors
    ///
    /// As [`Reader::rescan`].
    pub fn rescan(&mut self) -> io::Result<()> {
        self.reader.rescan()
    }

    /// This connection, where it was read and is remembered.
    pub fn connection(&mut self, id: ConnectionId) -> Option<Rc<Conn>> {
        self.conns.find(id)
    }

    /// What is read.
    pub fn reader(&self) -> &Reader {
        &self.reader
    }

    /// How often a caller was not at hand after connections had to be forgotten for want of room.
    pub fn missed(&self) -> u64 {
        self.conns.missed
    }

    /// What becomes of one line, as a record.
    fn told(&mut self, line: Line) -> Recorded {
        let Some(held) = Held::new(&line) else { return Recorded::Garbage(line) };
        self.take(line);
        let id: Option<RequestId> = held.record().text("id").parse().ok();
        let mut told = Told { held, believed: true, access: None, conn: None, repeat: None };
        told.access = id.and_then(|id| self.waiting.get(&id)).cloned().map(Box::new);
        for item in std::mem::take(&mut self.ready) {
            match item {
                // The eldest that had to give way is another one.
                Item::Access(access) if Some(access.id) == id => told.access = Some(access),
                Item::Repeat(repeat) => told.repeat = Some(repeat),
                Item::Disbelieved(_) => told.believed = false,
                _ => {}
            }
        }
        if told.believed && told.held.record().kind() == "conn" {
            let id = told.held.record().text("id").parse();
            told.conn = id.ok().and_then(|id| self.conns.find(id));
        }
        Recorded::Told(Box::new(told))
    }

    fn take(&mut self, line: Line) {
        let Some(held) = Held::new(&line) else { return self.ready.push_back(Item::Garbage(line)) };
        let segment = Rc::clone(&held.segment);
        let Some(name) = SegmentName::parse(&segment) else { return self.disbelieve(held) };
        match held.record().kind() {
            "conn" => self.take_conn(name, held),
            "grant" => self.take_grant(name, held),
            "decision" => self.take_decision(name, held),
            "outcome" => self.take_outcome(name, held),
            "repeat" if matches!(name.role(), Role::Gate(_) | Role::Warden) => self.take_repeat(name, held),
            "exit" if name.role() == Role::Warden => self.take_exit(held),
            "open" => {
                if name.role() == Role::Warden {
                    self.let_go(name.boot);
                }
                self.ready.push_back(Item::Event(held));
            }
            "gate" | "policy" if name.role() == Role::Warden => self.ready.push_back(Item::Event(held)),
            // The scribe's own kinds, and those of a later version, in whoever's but a gate's.
            "gate" | "policy" | "repeat" => self.disbelieve(held),
            _ if matches!(name.role(), Role::Gate(_)) => self.disbelieve(held),
            _ if name.role() == Role::Warden && is_scribes(held.record().kind()) => self.disbelieve(held),
            _ => self.ready.push_back(Item::Event(held)),
        }
    }

    fn disbelieve(&mut self, held: Held) {
        self.ready.push_back(Item::Disbelieved(held));
    }

    fn take_conn(&mut self, name: SegmentName<'_>, held: Held) {
        let conn = (name.role() == Role::Warden).then(|| Conn::new(held.clone())).flatten();
        let Some(conn) = conn.filter(|conn| conn.id.boot == name.boot) else { return self.disbelieve(held) };
        let conn = Rc::new(conn);
        self.conns.put(&conn);
        if conn.shed().is_some() {
            self.ready.push_back(Item::Shed(conn));
        }
    }

    fn take_grant(&mut self, name: SegmentName<'_>, held: Held) {
        let grant = (name.role() == Role::Warden).then(|| Grant::new(held.clone())).flatten();
        let Some(grant) = grant.filter(|grant| grant.id.connection.boot == name.boot) else {
            return self.disbelieve(held);
        };
        self.waits(grant.id).grants.push(grant);
    }

    /// The first end of a command belongs to its request, which waits for it; a later one, of a command that its daemon
    /// left running, stands by itself.
    fn take_exit(&mut self, held: Held) {
        self.ready.push_back(Item::Event(held.clone()));
        let Some(exit) = Exit::new(held) else { return };
        let id = exit.id;
        let Some(access) = self.waiting.get_mut(&id) else { return };
        access.exits.push(exit);
        if access.outcome.is_some()
            && let Some(access) = self.waiting.remove(&id)
        {
            self.end(access);
        }
    }

    /// A daemon that begins to write has nothing to say of what those before it ran and did not see end.
    fn let_go(&mut self, boot: BootId) {
        let ended = |access: &&Access| {
            access.id.connection.boot != boot && access.outcome.is_some() && access.awaits_exit()
        };
        let ids: Vec<RequestId> = self.waiting.iter().filter(ended).map(|access| access.id).collect();
        for id in ids {
            if let Some(access) = self.waiting.remove(&id) {
                let access = self.with_caller(access);
                self.ready.push_back(access);
            }
        }
    }

    fn take_decision(&mut self, name: SegmentName<'_>, held: Held) {
        let Some(decision) = Decision::new(held.clone()) else { return self.disbelieve(held) };
        let conn = self.conns.find(decision.id.connection);
        let uid = conn.as_ref().map_or(decision.uid, |conn| conn.uid);
        // A second verdict on one request: the first one counts.
        let second = self.waiting.get(&decision.id).is_some_and(|access| access.decision.is_some());
        if second || !speaks_for(name, decision.id, uid) {
            return self.disbelieve(held);
        }
        let (id, ended) = (decision.id, !decision.allowed || decision.status.is_some());
        if ended {
            let mut access = self.waiting.remove(&id).unwrap_or_else(|| Box::new(Access::new(id, None)));
            access.conn = access.conn.take().or(conn);
            access.decision = Some(decision);
            return self.end(access);
        }
        let follows = self.follows;
        let access = self.waits(id);
        access.decision = Some(decision);
        let begun = follows.then(|| Item::Begun(access.clone().into()));
        self.ready.extend(begun);
    }

    fn take_outcome(&mut self, name: SegmentName<'_>, held: Held) {
        let Some(outcome) = Outcome::new(held.clone()) else { return self.disbelieve(held) };
        let id = outcome.id;
        let known = self.waiting.get(&id).and_then(Access::uid);
        let uid = known.or_else(|| self.conns.find(id.connection).map(|conn| conn.uid));
        // The scribe closes what a gate that is gone left open, of an earlier start too. Where nobody else knows the
        // caller, a gate's own uid does.
        let own = match name.role() {
            Role::Gate(uid) => uid,
            _ => None,
        };
        let believed = name.role() == Role::Scribe || speaks_for(name, id, uid.or(own).unwrap_or(0));
        if !believed {
            return self.disbelieve(held);
        }
        let conns = &mut self.conns;
        let mut access = self.waiting.remove(&id).unwrap_or_else(|| Box::new(Access::new(id, None)));
        access.conn = access.conn.take().or_else(|| conns.find(id.connection));
        if access.outcome.is_some() {
            // A second end of one whose caller has not come: the first one is told as it is.
            self.ready.push_back(Item::Access(access));
            access = Box::new(Access::new(id, None));
        }
        access.outcome = Some(outcome);
        self.end(access);
    }

    /// Tells an access that has ended. One whose caller did not come yet may be back-dated by its gate: it waits for what
    /// the warden wrote of it.
    fn end(&mut self, access: Box<Access>) {
        if access.awaits_exit() {
            let waits = self.waits(access.id);
            *waits = *access;
            return;
        }
        if access.conn.is_some() {
            return self.ready.push_back(Item::Access(access));
        }
        if self.follows {
            // As many as can wait; those before have had to give way.
            if self.orphans.len() >= WAITING {
                self.orphans.pop_front();
            }
            self.orphans.push_back(access.id);
        }
        let waits = self.waits(access.id);
        *waits = *access;
    }

    /// Tells those, now that all is read; whether there are any.
    fn release(&mut self) -> bool {
        for id in std::mem::take(&mut self.orphans) {
            let ended = self.waiting.get(&id).is_some_and(|access| !access.is_open());
            if let Some(access) = ended.then(|| self.waiting.remove(&id)).flatten() {
                let access = self.with_caller(access);
                self.ready.push_back(access);
            }
        }
        !self.ready.is_empty()
    }

    fn take_repeat(&mut self, name: SegmentName<'_>, held: Held) {
        let users = &self.conns.users;
        let repeat = Repeat::new(held.clone(), |uid| users.get(&uid).cloned());
        let believed = |repeat: &Repeat| match name.role() {
            Role::Gate(Some(uid)) => repeat.uid == uid,
            _ => true,
        };
        match repeat.filter(believed) {
            Some(repeat) => self.ready.push_back(Item::Repeat(Box::new(repeat))),
            None => self.disbelieve(held),
        }
    }

    /// With its caller, if that came since.
    fn with_caller(&mut self, mut access: Box<Access>) -> Item {
        if access.conn.is_none() {
            access.conn = self.conns.find(access.id.connection);
        }
        Item::Access(access)
    }

    /// The waiting access of this id, made where there is none.
    fn waits(&mut self, id: RequestId) -> &mut Access {
        if self.waiting.is_full()
            && self.waiting.get(&id).is_none()
            && let Some(access) = self.waiting.pop_eldest()
        {
            self.ready.push_back(Item::Access(access));
        }
        let access = self.waiting.entry(id, || Box::new(Access::new(id, None)));
        // A decision whose gate back-dated it comes before its caller does.
        if access.conn.is_none() {
            access.conn = self.conns.find(id.connection);
        }
        access
    }
}

/// Requests that have no end yet, and the order in which they came.
#[derive(Debug, Default)]
struct Waiting {
    by_id: HashMap<RequestId, (u64, Box<Access>)>,
    by_age: BTreeMap<u64, RequestId>,
    came: u64,
}

impl Waiting {
    fn is_full(&self) -> bool {
        self.by_id.len() >= WAITING
    }

    fn get(&self, id: &RequestId) -> Option<&Access> {
        self.by_id.get(id).map(|(_, access)| &**access)
    }

    fn get_mut(&mut self, id: &RequestId) -> Option<&mut Access> {
        self.by_id.get_mut(id).map(|(_, access)| &mut **access)
    }

    fn entry(&mut self, id: RequestId, new: impl FnOnce() -> Box<Access>) -> &mut Access {
        let Waiting { by_id, by_age, came } = self;
        let (_, access) = by_id.entry(id).or_insert_with(|| {
            *came += 1;
            by_age.insert(*came, id);
            (*came, new())
        });
        access
    }

    fn remove(&mut self, id: &RequestId) -> Option<Box<Access>> {
        let (age, access) = self.by_id.remove(id)?;
        self.by_age.remove(&age);
        Some(access)
    }

    fn pop_eldest(&mut self) -> Option<Box<Access>> {
        let (_, id) = self.by_age.pop_first()?;
        self.by_id.remove(&id).map(|(_, access)| access)
    }

    /// The eldest first.
    fn iter(&self) -> impl Iterator<Item = &Access> {
        self.by_age.values().filter_map(|id| self.get(id))
    }
}

/// Kinds that the scribe alone writes.
fn is_scribes(kind: &str) -> bool {
    ["close", "seal", "range", "epoch", "recover", "pending", "prune"].contains(&kind)
}

/// Whether this gate can speak of a request of `uid`'s: of its own start, and of the callers that it serves.
fn speaks_for(name: SegmentName<'_>, id: RequestId, uid: u32) -> bool {
    let serves = match name.role() {
        Role::Gate(whose) => whose.is_none_or(|whose| whose == uid),
        _ => false,
    };
    serves && id.connection.boot == name.boot
}

/// The connections that were used last, in two generations: what is used moves into the young one; when that is
/// full, it becomes the old one, and what was not used since is forgotten.
#[derive(Debug)]
struct Conns {
    /// Of each generation.
    room: usize,
    young: HashMap<ConnectionId, Rc<Conn>>,
    old: HashMap<ConnectionId, Rc<Conn>>,
    users: HashMap<u32, Rc<str>>,
    forgot: bool,
    missed: u64,
}

impl Conns {
    fn with_room(room: usize) -> Conns {
        let (young, old, users) = Default::default();
        Conns { room, young, old, users, forgot: false, missed: 0 }
    }

    fn put(&mut self, conn: &Rc<Conn>) {
        if let Some(user) = conn.user()
            && (self.users.len() < USERS || self.users.contains_key(&conn.uid))
            && self.users.get(&conn.uid).is_none_or(|known| **known != *user)
        {
            self.users.insert(conn.uid, user.into());
        }
        if self.young.len() >= self.room {
            let old = std::mem::replace(&mut self.old, std::mem::take(&mut self.young));
            self.forgot |= !old.is_empty();
        }
        self.young.insert(conn.id, Rc::clone(conn));
    }

    fn find(&mut self, id: ConnectionId) -> Option<Rc<Conn>> {
        if let Some(conn) = self.young.get(&id) {
            return Some(Rc::clone(conn));
        }
        let conn = self.old.remove(&id);
        match &conn {
            Some(conn) => self.put(conn),
            None => self.missed += u64::from(self.forgot),
        }
        conn
    }
}

#[cfg(test)]
mod tests;
