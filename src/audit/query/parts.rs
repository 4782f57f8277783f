//! Single records, their fields found once.
//!
//! Text comes as it stands in the record: printable ASCII, hostile characters spelt out
//! ([`decoded`](crate::audit::plain::decoded) gives the text itself).

use std::rc::Rc;

use crate::audit::plain::{Record, Value};
use crate::audit::reader::Line;
use crate::model::ids::{ConnectionId, RequestId};
use crate::model::time::Timestamp;

/// A record that is held, and where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    /// The segment's file name.
    pub segment: Rc<str>,
    /// Where its line begins, in bytes.
    pub at: u64,
    /// When it was noted.
    pub ts: Timestamp,
    line: Rc<str>,
}

impl Held {
    /// Holds a line; `None` where it is no record, or has no time.
    pub fn new(line: &Line) -> Option<Held> {
        let record = line.record()?;
        Some(Held {
            segment: Rc::clone(&line.segment),
            at: line.at,
            ts: record.text("ts").parse().ok()?,
            line: record.line().into(),
        })
    }

    /// The line, without LF: JSON, printable ASCII.
    pub fn line(&self) -> &str {
        &self.line
    }

    /// The record, for fields that have no method.
    pub fn record(&self) -> Record<'_> {
        Record::known(&self.line)
    }

    /// A text field.
    fn word(&self, span: Span) -> Option<&str> {
        let Span(begin, end) = span;
        (end > 0).then(|| self.line.get(usize::from(begin)..usize::from(end))).flatten()
    }

    /// Where these fields' values stand; one that is absent is empty.
    fn spans<const N: usize>(&self, names: [&str; N]) -> [Span; N] {
        let mut spans = [Span::default(); N];
        let start = self.line.as_ptr() as usize;
        for (name, value) in self.record().fields() {
            let found = names.iter().position(|wanted| *wanted == name);
            let Some(span) = found.and_then(|at| spans.get_mut(at)) else { continue };
            let text = value.as_str();
            let begin = text.as_ptr() as usize - start;
            if let (Ok(begin), Ok(end)) = (u16::try_from(begin), u16::try_from(begin + text.len())) {
                *span = Span(begin, end);
            }
        }
        spans
    }

    fn number<T: std::str::FromStr>(&self, span: Span) -> Option<T> {
        self.word(span)?.parse().ok()
    }
}

/// Begin and end of a value within its line; (0, 0) where there is none. A line is at most 16 KiB long.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Span(u16, u16);

macro_rules! words {
    ($($(#[$doc:meta])* $name:ident;)*) => {
        $(
            $(#[$doc])*
            pub fn $name(&self) -> Option<&str> {
                self.held.word(self.$name)
            }
        )*
    };
}

/// `conn`: who is at the other end, as the kernel said it to the warden.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conn {
    /// The record.
    pub held: Held,
    /// Its id.
    pub id: ConnectionId,
    /// Caller's uid as SO_PEERCRED gave it.
    pub uid: u32,
    /// Caller's gid likewise.
    pub gid: u32,
    /// Process likewise; 0 where it can't be seen.
    pub pid: i64,
    on: Span,
    user: Span,
    exe: Span,
    unit: Span,
    ns: Span,
    login: Span,
    label: Span,
    shed: Span,
    groups: Span,
}

impl Conn {
    pub(super) fn new(held: Held) -> Option<Conn> {
        let [id, uid, gid, pid, on, user, exe, unit, ns, login, label, shed, groups] = held.spans([
            "id", "uid", "gid", "pid", "on", "user", "exe", "unit", "ns", "login", "label", "shed", "groups",
        ]);
        let (uid, gid) = (held.number(uid)?, held.number(gid)?);
        let pid = held.number(pid).unwrap_or(0);
        let id = held.number(id)?;
        Some(Conn { held, id, uid, gid, pid, on, user, exe, unit, ns, login, label, shed, groups })
    }

    words! {
        /// The listener's name.
        on;
        /// The user's name, from the table that the daemon made at load.
        user;
        /// Where the kernel says the program lies.
        exe;
        /// The systemd unit.
        unit;
        /// `host`, or `other` for a container's.
        ns;
        /// The login uid.
        login;
        /// The security label.
        label;
        /// Why it was closed at once, where it was.
        shed;
    }

    /// Supplementary groups; `None` where they could not be read.
    pub fn groups(&self) -> Option<impl Iterator<Item = u32>> {
        // An empty list has no extent, and is not the same as none.
        match self.held.record().field("groups")? {
            Value::List(list) => Some(list.split(',').filter_map(|group| group.parse().ok())),
            _ => None,
        }
    }

    /// Whether the caller was in this group, by primary or supplementary group, as far as it is known.
    pub fn in_group(&self, gid: u32) -> bool {
        let listed = self.held.word(self.groups).unwrap_or_default();
        self.gid == gid || listed.split(',').any(|group| group.parse() == Ok(gid))
    }
}

/// `decision`: what was asked, and how a gate judged it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// The record.
    pub held: Held,
    /// The request.
    pub id: RequestId,
    /// The caller's uid, as the gate says.
    pub uid: u32,
    /// The caller's process likewise.
    pub pid: i64,
    /// Whether it was allowed.
    pub allowed: bool,
    /// The status, where the answer came at once.
    pub status: Option<u16>,
    /// Microseconds from head to answer, where it came at once.
    pub us: Option<u64>,
    method: Span,
    target: Span,
    route: Span,
    refusal: Span,
    by: Span,
    place: Span,
    policy: Span,
    shadow: Span,
    part: Span,
    fields: Span,
}

impl Decision {
    pub(super) fn new(held: Held) -> Option<Decision> {
        let [
            id,
            uid,
            pid,
            verdict,
            status,
            us,
            method,
            target,
            route,
            refusal,
            by,
            place,
            policy,
            shadow,
            part,
            fields,
        ] = held.spans([
            "id", "uid", "pid", "decision", "status", "us", "method", "target", "route", "refusal", "by",
            "at", "policy", "shadow", "part", "fields",
        ]);
        Some(Decision {
            id: held.number(id)?,
            uid: held.number(uid)?,
            pid: held.number(pid).unwrap_or(0),
            allowed: match held.word(verdict)? {
                "allow" => true,
                "deny" => false,
                _ => return None,
            },
            status: held.number(status),
            us: held.number(us),
            held,
            method,
            target,
            route,
            refusal,
            by,
            place,
            policy,
            shadow,
            part,
            fields,
        })
    }

    words! {
        /// The method.
        method;
        /// The canonical target; of a refused head, the bytes as far as they came.
        target;
        /// The route that matched.
        route;
        /// Why it was denied.
        refusal;
        /// The rule.
        by;
        /// Where the rule stands: `policy.toml:42`.
        place;
        /// The policy's hash.
        policy;
        /// What a rule in shadow mode would have done.
        shadow;
        /// What of the request the route did not take: `body /HostConfig/Privileged`.
        part;
        /// What the route has recorded of head and body: texts in quotes, commas between.
        fields;
    }
}

/// `grant`: the warden handed out a backend, or did not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    /// The record.
    pub held: Held,
    /// The request that the gate named.
    pub id: RequestId,
    /// The caller's uid, as the warden knows it.
    pub uid: u32,
    backend: Span,
    policy: Span,
    refused: Span,
    runs_as: Span,
    argv: Span,
    argv_len: Span,
    argv_sha: Span,
    via: Span,
}

impl Grant {
    pub(super) fn new(held: Held) -> Option<Grant> {
        let [id, uid, backend, policy, refused, runs_as, argv, argv_len, argv_sha, via] = held.spans([
            "id", "uid", "backend", "policy", "refused", "user", "argv", "argv_len", "argv_sha", "via",
        ]);
        let (id, uid) = (held.number(id)?, held.number(uid)?);
        Some(Grant { id, uid, held, backend, policy, refused, runs_as, argv, argv_len, argv_sha, via })
    }

    words! {
        /// The backend's name.
        backend;
        /// The policy by which the warden judged.
        policy;
        /// Why it was refused, where it was.
        refused;
        /// Whom a command was to run as.
        runs_as;
        /// A command as it was to run: texts in quotes, commas between.
        argv;
        /// How many arguments there were, where not all of them are there whole.
        argv_len;
        /// SHA-256 of all of them then, each followed by a NUL.
        argv_sha;
        /// The app that asked for it, where it was no gate.
        via;
    }
}

/// `exit`: how a command ended, or that its warden ended before it did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exit {
    /// The record.
    pub held: Held,
    /// The request that it ran for.
    pub id: RequestId,
    /// Its exit code, where it had one.
    pub code: Option<u8>,
    /// The signal that it died of, where it did.
    pub signal: Option<u32>,
    /// Bytes that it wrote on stdout.
    pub stdout: u64,
    /// Bytes that it wrote on stderr.
    pub stderr: u64,
    /// Microseconds from its start to its end.
    pub us: u64,
    /// Microseconds of processor time.
    pub cpu_us: u64,
    /// Its largest resident set, in KiB.
    pub rss_kib: u64,
    why: Span,
    what: Span,
}

impl Exit {
    /// Reads one; `None` where it is no such record.
    pub fn new(held: Held) -> Option<Exit> {
        let [id, why, what, code, signal, out, err, us, cpu, rss] =
            held.spans(["id", "why", "what", "code", "signal", "out", "err", "us", "cpu_us", "rss_kib"]);
        let amount = |span| held.number(span).unwrap_or(0);
        Some(Exit {
            id: held.number(id)?,
            code: held.number(code),
            signal: held.number(signal),
            stdout: amount(out),
            stderr: amount(err),
            us: amount(us),
            cpu_us: amount(cpu),
            rss_kib: amount(rss),
            held,
            why,
            what,
        })
    }

    /// `exit code 3`, `signal 9`, or nothing where it had neither.
    pub fn end(&self) -> Option<String> {
        let signal = || self.signal.map(|signal| format!("signal {signal}"));
        self.code.map(|code| format!("exit code {code}")).or_else(signal)
    }

    words! {
        /// `done`, `timeout`, `caller-left`, `output`, `not-started`, `lost`, `detached`.
        why;
        /// More of it, in words.
        what;
    }
}

/// `outcome`: what became of an allowed request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// The record.
    pub held: Held,
    /// The request.
    pub id: RequestId,
    /// The status that the caller got; absent where none was sent.
    pub status: Option<u16>,
    /// Bytes from the caller.
    pub bytes_in: u64,
    /// Bytes to the caller.
    pub bytes_out: u64,
    /// Microseconds from head to end; `None` where nobody was left to count them.
    pub us: Option<u64>,
    result: Span,
}

impl Outcome {
    pub(super) fn new(held: Held) -> Option<Outcome> {
        let [id, status, bytes_in, bytes_out, us, result] =
            held.spans(["id", "status", "in", "out", "us", "result"]);
        Some(Outcome {
            id: held.number(id)?,
            status: held.number(status),
            bytes_in: held.number(bytes_in).unwrap_or(0),
            bytes_out: held.number(bytes_out).unwrap_or(0),
            us: held.number(us),
            held,
            result,
        })
    }

    /// When its request came, as far as it tells.
    pub fn begun(&self) -> Timestamp {
        Timestamp::from_micros(self.held.ts.micros().saturating_sub(self.us.unwrap_or(0)))
    }

    words! {
        /// How it ended, by its code.
        result;
    }
}

/// `repeat`: refusals of one kind that got no record of their own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Repeat {
    /// The record.
    pub held: Held,
    /// Whose they were.
    pub uid: u32,
    /// How many.
    pub count: u64,
    /// When the first of them came.
    pub first: Timestamp,
    /// When the last of them came.
    pub last: Timestamp,
    /// The name that the latest connection of this uid had.
    pub user: Option<Rc<str>>,
    on: Span,
    route: Span,
    refusal: Span,
}

impl Repeat {
    pub(super) fn new(held: Held, user: impl FnOnce(u32) -> Option<Rc<str>>) -> Option<Repeat> {
        let [uid, count, first, last, on, route, refusal] =
            held.spans(["uid", "count", "first", "last", "on", "route", "refusal"]);
        let uid = held.number(uid)?;
        Some(Repeat {
            uid,
            count: held.number(count)?,
            first: held.number(first)?,
            last: held.number(last)?,
            user: user(uid),
            held,
            on,
            route,
            refusal,
        })
    }

    words! {
        /// The listener's name.
        on;
        /// The route, where one matched.
        route;
        /// What each of them was refused for.
        refusal;
    }
}
