//! Whose lines are worth reading.

use std::collections::{BTreeSet, HashSet};
use std::io;
use std::path::Path;
use std::rc::Rc;

use memchr::memmem::{self, Finder};

use super::extent::{Extent, role};
use super::marks::Marks;
use super::needle::{self, Needles};
use super::scan::Scanned;
use super::scan::{Block, scan};
use super::{BySegment, Progress, Question};
use crate::audit::plain::Record;
use crate::audit::query::filter::User;
use crate::audit::query::parts::{Conn, Decision, Held};
use crate::audit::reader::{Line, Sieve};
use crate::audit::segment::{Role, SegmentName};
use crate::model::ids::{BootId, ConnectionId, RequestId};

/// Of so many candidates, reading everything is no slower, and needs less memory.
const MOST: usize = 1 << 20;
/// Lines of so few connections are found by their bytes; of more of them, line by line.
const FEW: usize = 4;

/// How a question is looked for.
pub(super) struct Plan<'a> {
    question: &'a Question,
    extent: &'a Extent,
    /// One of these stands in a line of what is meant.
    needles: Option<Needles>,
    /// The question is of callers, whom only the warden's records tell.
    callers: bool,
    /// Only these uids are meant; each gate's segments have its callers' uid in their names.
    uids: Option<Vec<u32>>,
}

/// What the first pass found.
#[derive(Debug, Default)]
pub struct Candidates {
    requests: HashSet<RequestId>,
    /// With all their requests.
    connections: HashSet<ConnectionId>,
    /// Those of the requests.
    callers: HashSet<ConnectionId>,
    /// All connections are wanted, for the names of users: a `repeat` has none of its own.
    names: bool,
    /// What stands in each line that is needed, but for those in `lines`; `None` where that is too much to look for.
    needles: Option<Vec<Finder<'static>>>,
    /// Which requests may be wanted; `None` where all of a connection's are, too.
    marks: Option<Marks>,
    /// Lines that belong to no request.
    lines: BySegment<BTreeSet<u64>>,
    /// Writers in whose segments something was found; `None`: any.
    writers: Option<HashSet<(BootId, String)>>,
    /// Gates whose segments are wanted because another's line named a request or connection of theirs, by start and
    /// uid; without uid: all of that start.
    gates: HashSet<(BootId, Option<u32>)>,
    /// Gates of other uids are passed over.
    uids: Option<Vec<u32>>,
    extent: Extent,
    question: Question,
}

impl<'a> Plan<'a> {
    pub(super) fn new(question: &'a Question, extent: &'a Extent) -> Plan<'a> {
        let filter = &question.filter;
        // A uid is known without its connection too, from the gate; a name is not.
        let is_name = |user: &User| matches!(user, User::Name(_));
        let named = !filter.user.is_empty() && filter.user.iter().all(is_name);
        let uid = |user: &User| match user {
            User::Uid(uid) => Some(*uid),
            User::Name(_) => None,
        };
        let uids: Option<Vec<u32>> = filter.user.iter().map(uid).collect();
        Plan {
            question,
            extent,
            needles: needle::of(question),
            callers: named || filter.asks_of_callers(),
            uids: uids.filter(|uids| !uids.is_empty()),
        }
    }

    /// The first pass; `None` where it is not worth it: nothing narrows, or too much is found.
    pub(super) fn find(
        &self,
        directory: &Path,
        names: &[Rc<str>],
        trouble: &mut impl FnMut(String),
        mut progress: impl FnMut(Progress),
    ) -> Option<Candidates> {
        let mut found = Candidates {
            extent: self.extent.clone(),
            question: self.question.clone(),
            uids: self.uids.clone(),
            ..Candidates::default()
        };
        if self.needles.is_none() && !self.callers && self.uids.is_none() {
            return None;
        }
        let mut done = Progress { of: names.len(), ..Progress::default() };
        let mut count = |scanned: io::Result<Scanned>, name: &str| {
            match scanned {
                Ok(Scanned { bytes, overlong }) => {
                    done.bytes += bytes;
                    if let Some((at, length)) = overlong {
                        trouble(format!(
                            "{name} has a line of {length} bytes at byte {at}: no record is that long, and only its \
                             beginning is looked at"
                        ));
                    }
                }
                Err(error) => trouble(format!("can't read {name}: {error}")),
            }
            done.segments += 1;
            progress(done);
        };
        let callers = if self.callers {
            let mut callers = HashSet::new();
            for name in names.iter().filter(|name| role(name) == Role::Warden) {
                count(self.find_callers(directory, name, &mut callers), name);
            }
            Some(callers)
        } else {
            None
        };
        match (&self.needles, callers) {
            (Some(needles), callers) => {
                let mut writers = HashSet::new();
                // A decision stands in its time. An end may come after it, and a `repeat` tells of earlier ones: only what
                // is never asked of either may be passed over.
                let filter = &self.question.filter;
                let of_decisions =
                    !(filter.req.is_empty() && filter.target.is_empty() && filter.rule.is_empty());
                let ends = !(self.question.texts.is_empty()
                    && filter.status.is_empty()
                    && filter.refusal.is_empty());
                let in_time = |name: &str| ends || !of_decisions || !self.extent.begins_after(name, filter);
                let names: Vec<_> = names.iter().filter(|name| found.opens(name) && in_time(name)).collect();
                for name in names {
                    let before = found.size();
                    let needles = needles.in_role(role(name));
                    let finders: Vec<Finder<'_>> = needles.iter().map(Finder::new).collect();
                    let scanned = self.find_lines(directory, name, &finders, callers.as_ref(), &mut found);
                    count(scanned, name);
                    if found.size() > before {
                        writers.extend(writer(name));
                    }
                    if found.size() > MOST {
                        return None;
                    }
                }
                found.writers = Some(writers);
                // Of a caller who is asked for, the name is wanted in any case.
                found.callers.extend(callers.into_iter().flatten());
            }
            (None, Some(callers)) => (found.connections, found.names) = (callers, true),
            (None, None) => return self.by_name(found),
        }
        found.needles = found.needles();
        found.marks = found.connections.is_empty().then(|| Marks::of(found.requests.iter())).flatten();
        (found.size() <= MOST).then_some(found)
    }

    /// Nothing but the names of segments narrows.
    fn by_name(&self, found: Candidates) -> Option<Candidates> {
        self.uids.is_some().then_some(Candidates { connections: HashSet::new(), ..found })
    }

    /// Connections of those callers who are asked for.
    fn find_callers(
        &self,
        directory: &Path,
        name: &Rc<str>,
        callers: &mut HashSet<ConnectionId>,
    ) -> io::Result<Scanned> {
        let finder = Finder::new(b"\"t\":\"conn\"");
        scan(directory, name, |block: Block<'_>| {
            block.lines_with(&finder, |at, line| {
                let conn = hold(name, at, line).and_then(Conn::new);
                if let Some(conn) = conn.filter(|conn| self.question.filter.covers_caller(conn)) {
                    callers.insert(conn.id);
                }
            });
        })
    }

    fn find_lines(
        &self,
        directory: &Path,
        name: &Rc<str>,
        finders: &[Finder<'_>],
        callers: Option<&HashSet<ConnectionId>>,
        found: &mut Candidates,
    ) -> io::Result<Scanned> {
        if finders.is_empty() {
            return Ok(Scanned::default());
        }
        scan(directory, name, |block: Block<'_>| {
            for finder in finders {
                block.lines_with(finder, |at, line| self.take(name, at, line, callers, found));
            }
        })
    }

    /// Notes whose line it is.
    fn take(
        &self,
        name: &Rc<str>,
        at: u64,
        line: &[u8],
        callers: Option<&HashSet<ConnectionId>>,
        found: &mut Candidates,
    ) {
        if found.size() > MOST {
            return;
        }
        let asked = |connection| callers.is_none_or(|callers| callers.contains(&connection));
        let request = |id: RequestId, found: &mut Candidates| {
            if asked(id.connection) {
                found.requests.insert(id);
                found.callers.insert(id.connection);
            }
        };
        let record = Record::parse(line);
        let id = record.map(|record| record.text("id")).unwrap_or_default();
        let kind = record.map(|record| record.kind()).unwrap_or_default();
        // Whoever wrote it where it is not believed, it is told; and so is what belongs to nothing.
        let mut told = !in_place(name, kind);
        match kind {
            "decision" => match hold(name, 0, line).and_then(Decision::new) {
                Some(decision) if self.question.filter.covers_decision(&decision) => {
                    request(decision.id, found)
                }
                decision => told |= decision.is_none(),
            },
            "outcome" | "grant" | "exit" => match id.parse::<RequestId>() {
                Ok(id) => {
                    request(id, found);
                    found.gates.extend(elsewhere(name, record).map(|uid| (id.connection.boot, uid)));
                }
                Err(_) => told = true,
            },
            "conn" => match id.parse::<ConnectionId>() {
                Ok(id) if asked(id) => {
                    found.connections.insert(id);
                    found.gates.extend(elsewhere(name, record).map(|uid| (id.boot, uid)));
                }
                conn => told |= conn.is_err(),
            },
            _ => told = true,
        }
        found.names |= kind == "repeat";
        if told {
            found.lines.entry(Rc::clone(name)).or_default().insert(at);
        }
    }
}

/// Which gate judged what a record of another role is about: that of this uid, or any.
fn elsewhere(segment: &str, record: Option<Record<'_>>) -> Option<Option<u32>> {
    let uid = || record.and_then(|record| record.text("uid").parse().ok());
    (!matches!(role(segment), Role::Gate(_))).then(uid)
}

/// Whether a record of this kind is believed in this segment, as far as the role tells.
fn in_place(segment: &str, kind: &str) -> bool {
    match role(segment) {
        Role::Warden => matches!(kind, "conn" | "grant" | "exit"),
        Role::Gate(_) => matches!(kind, "decision" | "outcome"),
        Role::Scribe => kind == "outcome",
        Role::Other => false,
    }
}

/// The record, held as one of this segment.
fn hold(segment: &Rc<str>, at: u64, line: &[u8]) -> Option<Held> {
    Held::new(&Line { segment: Rc::clone(segment), at, bytes: line.to_vec() })
}

/// Which writer's: start, and role with uid and lane. Its number is left out, since a writer goes on in its next
/// segment.
fn writer(segment: &str) -> Option<(BootId, String)> {
    let name = SegmentName::parse(segment)?;
    Some((name.boot, name.writer.rsplit_once('-')?.0.to_owned()))
}

impl Candidates {
    fn size(&self) -> usize {
        self.requests.len() + self.connections.len() + self.lines.values().map(BTreeSet::len).sum::<usize>()
    }

    /// Nothing but the segments' names narrows.
    fn is_by_name(&self) -> bool {
        self.writers.is_none() && self.connections.is_empty() && self.uids.is_some()
    }

    /// Whether the first pass has looked for all that is meant, and found nothing.
    fn is_empty(&self) -> bool {
        self.writers.is_some() && self.size() == 0
    }

    fn needles(&self) -> Option<Vec<Finder<'static>>> {
        let of_requests = self.requests.iter().map(|request| &request.connection);
        let mut wanted: HashSet<&ConnectionId> = HashSet::new();
        for id in self.callers.iter().chain(&self.connections).chain(of_requests) {
            wanted.insert(id);
            if wanted.len() > FEW {
                return None;
            }
        }
        let mut needles: Vec<String> = wanted.iter().map(|id| format!("\"id\":\"{id}")).collect();
        if self.names {
            needles.push("\"t\":\"conn\"".to_owned());
        }
        if self.writers.is_none() {
            needles.push("\"t\":\"repeat\"".to_owned());
        }
        Some(needles.iter().map(|needle| Finder::new(needle).into_owned()).collect())
    }

    fn has_line(&self, segment: &str, at: u64) -> bool {
        !self.lines.is_empty() && self.lines.get(segment).is_some_and(|lines| lines.contains(&at))
    }
}

impl Sieve for Candidates {
    fn opens(&self, segment: &str) -> bool {
        if self.is_empty() {
            return false;
        }
        match role(segment) {
            Role::Gate(uid) => {
                let asked = match (uid, &self.uids) {
                    (Some(uid), Some(uids)) => uids.contains(&uid),
                    _ => true,
                };
                let hit = match (&self.writers, writer(segment)) {
                    (Some(writers), Some(writer)) => {
                        let boot = writer.0;
                        let named = |uid| self.gates.contains(&(boot, uid));
                        writers.contains(&writer)
                            || named(None)
                            || match uid {
                                Some(_) => named(uid),
                                // Of a shared one it is not known whom it serves.
                                None => self.gates.iter().any(|(of, _)| *of == boot),
                            }
                    }
                    _ => true,
                };
                asked && hit && !self.extent.ends_before(segment, &self.question.filter)
            }
            _ => true,
        }
    }

    fn skips(&self, segment: &str, at: u64, lines: &[u8]) -> usize {
        let Some(needles) = &self.needles else { return 0 };
        let noted = self.lines.get(segment).and_then(|noted| noted.range(at..).next());
        let noted = noted.and_then(|noted| usize::try_from(noted - at).ok());
        // The first line in which something stands: nothing is looked for behind it, since this is asked again there.
        let first = needles.iter().fold(noted.unwrap_or(usize::MAX).min(lines.len()), |first, needle| {
            needle.find(lines.get(..first).unwrap_or_default()).unwrap_or(first)
        });
        memchr::memrchr(b'\n', lines.get(..first).unwrap_or_default()).map_or(0, |lf| lf + 1)
    }

    fn keeps(&self, segment: &str, at: u64, line: &[u8]) -> bool {
        if self.is_by_name() {
            return true;
        }
        let Some(rest) = line.strip_prefix(b"{\"v\":1,\"t\":\"") else { return self.has_line(segment, at) };
        let kind = rest.get(..4).unwrap_or_default();
        match kind {
            b"conn" => {
                self.names
                    || id(rest)
                        .and_then(|id| id.parse().ok())
                        .is_none_or(|id| self.callers.contains(&id) || self.connections.contains(&id))
                    || self.has_line(segment, at)
            }
            b"deci" | b"outc" | b"gran" | b"exit" => {
                let id = id(rest);
                let unmarked =
                    |id: &str| self.marks.as_ref().is_some_and(|marks| !marks.may_have(id.as_bytes()));
                let wanted = |id: &str| {
                    let id = id.parse::<RequestId>().ok();
                    id.is_none_or(|id| {
                        self.requests.contains(&id) || self.connections.contains(&id.connection)
                    })
                };
                id.is_none_or(|id| !unmarked(id) && wanted(id)) || self.has_line(segment, at)
            }
            b"repe" if self.writers.is_none() => true,
            _ => self.has_line(segment, at),
        }
    }
}

/// The id of a line from its kind on; it stands near its beginning.
fn id(line: &[u8]) -> Option<&str> {
    const KEY: &[u8] = b"\"id\":\"";
    let head = line.get(..line.len().min(160)).unwrap_or_default();
    // Right behind the time, which ends with the first such letter.
    let at = memchr::memchr(b'Z', head).map_or(0, |zone| zone + 3);
    let begin = match head.get(at..) {
        Some(behind) if behind.starts_with(KEY) => at,
        _ => memmem::find(head, KEY)?,
    };
    let rest = line.get(begin + KEY.len()..)?;
    std::str::from_utf8(rest.get(..memchr::memchr(b'"', rest)?)?).ok()
}
