//! Which accesses are asked for.

use std::fmt;
use std::str::FromStr;

use clap::{Args, ValueEnum};
use nix::unistd;

use super::access::{Access, Item, Recorded, Told};
use super::glob::Glob;
use super::parts::{Conn, Decision, Repeat};
use super::when::When;
use crate::audit::plain::decoded;
use crate::model::ids::{BadId, ConnectionId, RequestId};
use crate::model::time::Timestamp;

/// The same options for every command that reads accesses. Of one option given several times, one has to hold; of
/// different ones, all.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Which accesses (an option given twice: either; different ones: both)")]
pub struct Filter {
    /// From then on: `2026-11-23T03:46:29Z`, `2026-11-23`, `today`, `yesterday`, `last-report`, or how long ago,
    /// `90s 30m 2h 7d` (days are UTC's)
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    pub since: Option<When>,
    /// Before then; a day is meant whole
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    pub until: Option<When>,
    /// Of this user, by name (as the daemon knew it) or uid
    #[arg(long, value_name = "USER", value_delimiter = ',')]
    pub user: Vec<User>,
    /// Of callers in this group, by name (as this machine knows it) or gid
    #[arg(long, value_name = "GROUP", value_delimiter = ',')]
    pub group: Vec<Group>,
    /// By this program: a path, or a file name; `*` stands for anything here and below
    #[arg(long, value_name = "PATTERN")]
    pub exe: Vec<Glob>,
    /// From this systemd unit
    #[arg(long, value_name = "PATTERN")]
    pub unit: Vec<Glob>,
    /// At this listener
    #[arg(long, value_name = "PATTERN")]
    pub on: Vec<Glob>,
    /// On this route
    #[arg(long, value_name = "PATTERN")]
    pub route: Vec<Glob>,
    /// Judged by this rule (`who.ci`), or by the one that stands there (`policy.toml:42`)
    #[arg(long, value_name = "PATTERN")]
    pub rule: Vec<Glob>,
    /// Allowed or denied
    #[arg(long, value_enum)]
    pub decision: Option<Verdict>,
    /// Denied for this reason, by its code (`not-allowed`), or ended so (`backend-died`)
    #[arg(long, value_name = "PATTERN")]
    pub refusal: Vec<Glob>,
    /// With this method
    #[arg(long, value_name = "METHOD", value_delimiter = ',', ignore_case = true)]
    pub method: Vec<String>,
    /// For this target, path and query
    #[arg(long, value_name = "PATTERN")]
    pub target: Vec<Glob>,
    /// Answered with this status: `403`, `4xx`, `500-504`
    #[arg(long, value_name = "STATUS", value_delimiter = ',')]
    pub status: Vec<Statuses>,
    /// This request (7k3qzd-41-1), or those of this connection (7k3qzd-41)
    #[arg(long, value_name = "ID")]
    pub req: Vec<Id>,
}

/// How it was judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Verdict {
    /// By an allow of the policy
    Allow,
    /// By anything else
    Deny,
}

/// A user as the command line names one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum User {
    /// By uid.
    Uid(u32),
    /// By name.
    Name(String),
}

impl FromStr for User {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<User, Self::Err> {
        Ok(text.parse().map_or_else(|_| User::Name(text.to_owned()), User::Uid))
    }
}

impl User {
    fn is(&self, uid: Option<u32>, name: Option<&str>) -> bool {
        match self {
            User::Uid(wanted) => uid == Some(*wanted),
            User::Name(wanted) => name.is_some_and(|name| decoded(name) == *wanted),
        }
    }
}

/// A group by its gid, which is all that a record has of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Group(pub u32);

impl FromStr for Group {
    type Err = String;

    fn from_str(text: &str) -> Result<Group, String> {
        if let Ok(gid) = text.parse() {
            return Ok(Group(gid));
        }
        match unistd::Group::from_name(text) {
            Ok(Some(group)) => Ok(Group(group.gid.as_raw())),
            _ => Err(format!("no group is called `{text}` on this machine; records have gids, give that")),
        }
    }
}

/// One status or a range of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Statuses {
    first: u16,
    last: u16,
}

/// Text that is no status.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BadStatus;

impl fmt::Display for BadStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a status is `403`, `4xx` or `500-504`")
    }
}

impl std::error::Error for BadStatus {}

impl FromStr for Statuses {
    type Err = BadStatus;

    fn from_str(text: &str) -> Result<Statuses, BadStatus> {
        let number =
            |text: &str| text.parse::<u16>().ok().filter(|it| (100..=999).contains(it)).ok_or(BadStatus);
        if let Some(class) = text.strip_suffix("xx") {
            let first = number(&format!("{class}00"))?;
            return Ok(Statuses { first, last: first + 99 });
        }
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        let (first, last) = (number(first)?, number(last)?);
        if first <= last { Ok(Statuses { first, last }) } else { Err(BadStatus) }
    }
}

impl Statuses {
    /// The one that is meant, where it is one.
    pub(super) fn single(self) -> Option<u16> {
        (self.first == self.last).then_some(self.first)
    }

    fn covers(self, status: Option<u16>) -> bool {
        status.is_some_and(|status| (self.first..=self.last).contains(&status))
    }
}

/// A request, or a connection with all its requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Id {
    /// One request.
    Request(RequestId),
    /// One connection.
    Connection(ConnectionId),
}

impl FromStr for Id {
    type Err = BadId;

    fn from_str(text: &str) -> Result<Id, BadId> {
        text.parse().map(Id::Request).or_else(|_| text.parse().map(Id::Connection))
    }
}

impl Id {
    /// The connection that it names, or lies on.
    pub fn connection(self) -> ConnectionId {
        match self {
            Id::Request(request) => request.connection,
            Id::Connection(connection) => connection,
        }
    }

    /// Whether this request is meant.
    pub fn covers(self, id: RequestId) -> bool {
        match self {
            Id::Request(request) => id == request,
            Id::Connection(connection) => id.connection == connection,
        }
    }
}

impl Filter {
    /// Whether it was asked for. Records that are no accesses are meant where nothing but a time is asked.
    pub fn covers(&self, item: &Item) -> bool {
        match item {
            Item::Access(access) | Item::Begun(access) => self.covers_access(access),
            Item::Shed(conn) => self.covers_shed(conn),
            Item::Repeat(repeat) => self.covers_repeat(repeat),
            Item::Event(held) | Item::Disbelieved(held) => {
                self.asks_of_no_access() && self.covers_time(held.ts, held.ts)
            }
            Item::Garbage(_) => self.asks_of_no_access(),
        }
    }

    /// Whether this record belongs to what was asked for, as far as is known when it is read. What is not believed,
    /// or is about no access, is about nothing that can be asked for.
    pub fn covers_record(&self, recorded: &Recorded) -> bool {
        let Recorded::Told(told) = recorded else { return self.asks_of_no_access() };
        match &**told {
            Told { believed: true, access: Some(access), .. } => self.covers_access(access),
            Told { believed: true, conn: Some(conn), .. } => self.covers_shed(conn),
            Told { believed: true, repeat: Some(repeat), .. } => self.covers_repeat(repeat),
            Told { held, .. } => self.asks_of_no_access() && self.covers_time(held.ts, held.ts),
        }
    }

    /// Whether this access was asked for.
    pub fn covers_access(&self, access: &Access) -> bool {
        let decision = access.decision.as_ref();
        let outcome = access.outcome.as_ref();
        access.times().any(|at| self.covers_time(at, at))
            && any(&self.req, |id| id.covers(access.id))
            && self.decision.is_none_or(|wanted| access.allowed() == Some(wanted == Verdict::Allow))
            && any(&self.status, |statuses| statuses.covers(access.status()))
            && any(&self.user, |user| user.is(access.uid(), access.user()))
            && self.covers_conn(access.conn.as_deref())
            && self.covers_asked(decision)
            && any(&self.refusal, |code| {
                let [refusal, result] =
                    [decision.and_then(|it| it.refusal()), outcome.and_then(|it| it.result())];
                let refused = access.grants.iter().filter_map(|grant| grant.refused());
                refusal.into_iter().chain(result).chain(refused).any(|it| code.covers(it))
            })
    }

    /// Whether a request of this connection can be meant, as far as its record tells.
    pub(super) fn covers_caller(&self, conn: &Conn) -> bool {
        any(&self.user, |user| user.is(Some(conn.uid), conn.user())) && self.covers_conn(Some(conn))
    }

    /// Whether an access with this decision can be meant, as far as the decision tells: its end is not known yet, and its
    /// time is for the warden to say.
    pub(super) fn covers_decision(&self, decision: &Decision) -> bool {
        any(&self.req, |id| id.covers(decision.id))
            && self.decision.is_none_or(|wanted| decision.allowed == (wanted == Verdict::Allow))
            && self.covers_asked(Some(decision))
    }

    /// What is asked of the request itself and of its rule.
    fn covers_asked(&self, decision: Option<&Decision>) -> bool {
        covered(&self.route, decision.and_then(Decision::route))
            && any(&self.rule, |rule| {
                let [by, place] = [decision.and_then(Decision::by), decision.and_then(Decision::place)];
                by.is_some_and(|by| rule.covers(by)) || place.is_some_and(|place| rule.covers(place))
            })
            && any(&self.method, |method| {
                decision.and_then(Decision::method).is_some_and(|it| it.eq_ignore_ascii_case(method))
            })
            && covered(&self.target, decision.and_then(Decision::target))
    }

    /// Of a connection; where it was shed, that is a denial.
    fn covers_shed(&self, conn: &Conn) -> bool {
        let asks_of_a_request = !(self.route.is_empty()
            && self.rule.is_empty()
            && self.method.is_empty()
            && self.target.is_empty()
            && self.status.is_empty());
        !asks_of_a_request
            && self.covers_time(conn.held.ts, conn.held.ts)
            && any(&self.req, |id| match id {
                Id::Connection(id) => *id == conn.id,
                // One that was shed had none.
                Id::Request(id) => id.connection == conn.id && conn.shed().is_none(),
            })
            && self.decision.is_none_or(|wanted| wanted == Verdict::Deny && conn.shed().is_some())
            && any(&self.user, |user| user.is(Some(conn.uid), conn.user()))
            && self.covers_conn(Some(conn))
            && covered(&self.refusal, conn.shed())
    }

    fn covers_repeat(&self, repeat: &Repeat) -> bool {
        let asks_of_what_it_lacks = !(self.req.is_empty()
            && self.rule.is_empty()
            && self.method.is_empty()
            && self.target.is_empty()
            && self.status.is_empty()
            && self.group.is_empty()
            && self.exe.is_empty()
            && self.unit.is_empty());
        !asks_of_what_it_lacks
            && self.covers_time(repeat.first, repeat.last)
            && self.decision != Some(Verdict::Allow)
            && any(&self.user, |user| user.is(Some(repeat.uid), repeat.user.as_deref()))
            && covered(&self.on, repeat.on())
            && covered(&self.route, repeat.route())
            && covered(&self.refusal, repeat.refusal())
    }

    /// What only the warden's record of the connection can answer; unknown is no.
    fn covers_conn(&self, conn: Option<&Conn>) -> bool {
        any(&self.group, |group| conn.is_some_and(|conn| conn.in_group(group.0)))
            && any(&self.exe, |exe| conn.and_then(Conn::exe).is_some_and(|path| exe.covers_path(path)))
            && covered(&self.unit, conn.and_then(Conn::unit))
            && covered(&self.on, conn.and_then(Conn::on))
    }

    /// Whether any of `first..=last` lies in the time that is asked for.
    pub fn covers_time(&self, first: Timestamp, last: Timestamp) -> bool {
        self.since.is_none_or(|since| last >= since.begin) && self.until.is_none_or(|until| first < until.end)
    }

    /// Whether nothing is asked but a time.
    pub fn asks_of_no_access(&self) -> bool {
        !self.asks_of_callers()
            && self.user.is_empty()
            && self.route.is_empty()
            && self.rule.is_empty()
            && self.decision.is_none()
            && self.refusal.is_empty()
            && self.method.is_empty()
            && self.target.is_empty()
            && self.status.is_empty()
            && self.req.is_empty()
    }

    /// Whether something is asked that only a `conn` record can answer (a user's name aside).
    pub fn asks_of_callers(&self) -> bool {
        !(self.group.is_empty() && self.exe.is_empty() && self.unit.is_empty() && self.on.is_empty())
    }
}

/// Whether one of them holds, or none is asked for.
fn any<T>(wanted: &[T], holds: impl FnMut(&T) -> bool) -> bool {
    wanted.is_empty() || wanted.iter().any(holds)
}

/// Whether the text is there and like one of the patterns, or none is asked for.
fn covered(patterns: &[Glob], text: Option<&str>) -> bool {
    any(patterns, |pattern| text.is_some_and(|text| pattern.covers(text)))
}

#[cfg(test)]
mod tests;
