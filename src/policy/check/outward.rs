//! Feeds and witnesses: what of the record goes to others.

use std::net::SocketAddr;
use std::path::Path;

use super::super::diagnostics::{At, quoted};
use super::super::file::{Backend as Written, File, Only as WrittenOnly, Witness as WrittenWitness};
use super::super::names::Names;
use super::super::table::{Backend, BackendKind, DaemonSettings, Feed, Only, Route, RunsAs, Syslog, Witness};
use super::Checker;

/// How many routes or users one feed may name; the warden tells the scribe of them in one message.
const MOST: usize = 128;
/// How many words a witness's command may have.
const MOST_WORDS: usize = 64;
/// Seconds between two heads, unless the policy says otherwise.
const EVERY: u32 = 60;

impl<N: Names> Checker<'_, '_, N> {
    /// A feed with the decisions that it has.
    pub(super) fn feed(&mut self, feed: Feed, written: &Written, file: &File) -> BackendKind {
        let only = match &written.only {
            None => Only::default(),
            Some(only) => self.only(only, file),
        };
        if let (Feed::Metrics, Some(at)) = (feed, &written.only) {
            self.problems.add(at.span, "`only` goes with `builtin = \"decisions\"`");
        }
        BackendKind::Scribe { feed, only }
    }

    fn only(&mut self, written: &At<WrittenOnly>, file: &File) -> Only {
        let only = &written.value;
        let known: Vec<&str> =
            file.routes.iter().filter_map(|route| Some(route.id.as_ref()?.value.as_str())).collect();
        let mut routes = Vec::new();
        for name in only.routes.as_ref().map_or([].as_slice(), |names| &names.value) {
            if known.contains(&name.value.as_str()) {
                routes.push(name.value.clone());
            } else {
                let message = format!("there is no route {}", quoted(&name.value));
                self.problems.add_unknown(name.span, message, &name.value, known.iter().copied());
            }
        }
        let mut users = Vec::new();
        for name in only.users.as_ref().map_or([].as_slice(), |names| &names.value) {
            users.extend(self.people.user(name, self.problems).map(|user| user.uid));
        }
        if routes.len() > MOST || users.len() > MOST {
            self.problems.add(written.span, format!("a feed names at most {MOST} routes and {MOST} users"));
        }
        Only { allowed: only.decision.as_ref().map(|at| at.value), routes, users }
    }

    /// The scribe reads nothing of a request, so a route to a feed is a plain GET; and listening has no end.
    pub(super) fn check_feeds(&mut self, file: &File, routes: &[(usize, Route)], backends: &[Backend]) {
        for (place, route) in routes {
            let kind = backends.get(usize::from(route.to.0)).map(|backend| &backend.kind);
            let (Some(BackendKind::Scribe { feed, .. }), Some(written)) = (kind, file.routes.get(*place))
            else {
                continue;
            };
            if let Some(at) = &written.matches
                && route.matches.iter().any(|pattern| pattern.method() != Some("GET"))
            {
                let help = "write each match of this route as `GET /path`";
                self.problems.add_help(at.span, "what the scribe answers is only read", help);
            }
            if let Some(at) = &written.upgrade {
                self.problems.add(at.span, "what the scribe answers has no upgrade");
            }
            if *feed == Feed::Decisions && !route.stream {
                let help = "write `stream = true`";
                self.problems.add_help(
                    written.span,
                    "who listens to decisions stays: this route would cut them off after `total_time`",
                    help,
                );
            }
        }
    }

    /// Who keeps the heads.
    pub(super) fn witness(&mut self, written: Option<&WrittenWitness>, daemon: &DaemonSettings) -> Witness {
        let Some(written) = written else { return Witness::default() };
        let command = written.command.as_ref();
        if let Some(at) = command {
            let absolute = at.value.first().is_some_and(|program| Path::new(program).is_absolute());
            let odd = at.value.iter().any(|word| word.contains('\0')) || at.value.len() > MOST_WORDS;
            if !absolute || odd {
                let help = "write `[\"/usr/bin/program\", \"argument\"]`; no shell reads it";
                self.problems.add_help(at.span, "`command` begins with a program's absolute path", help);
            }
        }
        Witness {
            journal: written.journal.as_ref().is_some_and(|yes| yes.value),
            syslog: written.syslog.as_ref().and_then(|at| self.syslog(at)),
            file: written.file.as_ref().and_then(|at| self.path(at)),
            command: command.map(|at| at.value.clone()).unwrap_or_default(),
            user: self.witness_user(written, daemon),
            every_s: written
                .every
                .as_ref()
                .and_then(|ms| u32::try_from(ms.value / 1_000).ok())
                .unwrap_or(EVERY),
        }
    }

    /// Whom its command runs as: somebody whom no role is, or it could end that one.
    fn witness_user(&mut self, written: &WrittenWitness, daemon: &DaemonSettings) -> Option<RunsAs> {
        let user = match (&written.user, &written.command) {
            (Some(name), Some(_)) => self.people.user(name, self.problems)?,
            (Some(name), None) => {
                self.problems
                    .add(name.span, "`user` goes with `command`: the daemon itself tells the others");
                return None;
            }
            (None, Some(_)) if self.own.uid.raw() == 0 => {
                self.people.user_if_any("peergate-witness", self.problems)?
            }
            (None, _) => return None,
        };
        let roles = [daemon.gate_user, daemon.scribe_user, daemon.app_user];
        if let Some(at) = &written.user
            && roles.into_iter().flatten().any(|(role, _)| role == user.uid)
        {
            self.problems.add(at.span, "a witness's command needs a user that no role of the daemon's is");
        }
        match self.people.groups_of(&user) {
            Ok(groups) => Some(RunsAs { name: user.name, uid: user.uid, gid: user.gid, groups }),
            Err(error) => {
                let message = format!("the groups of {} can't be looked up: {error}", quoted(&user.name));
                let span = written.user.as_ref().map(|at| at.span).unwrap_or_default();
                self.problems.add_unanswered(span, message);
                None
            }
        }
    }

    fn syslog(&mut self, at: &At<String>) -> Option<Syslog> {
        if let Some(path) = at.value.strip_prefix("unix:") {
            let path = At { value: path.to_owned(), span: at.span };
            return self.socket_path(&path).map(Syslog::Unix);
        }
        let udp = at.value.strip_prefix("udp:").and_then(|address| address.parse::<SocketAddr>().ok());
        match udp {
            Some(address) if address.port() != 0 => Some(Syslog::Udp(address)),
            _ => {
                let help = "write `\"unix:/dev/log\"` or `\"udp:192.0.2.7:514\"`; names are not resolved";
                self.problems.add_help(at.span, format!("{} is no syslog", quoted(&at.value)), help);
                None
            }
        }
    }
}
