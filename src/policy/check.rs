//! As written → as meant: names become ids, references become places in lists, and what can't be meant is
//! shown in place. Checking goes on after a mistake; the table is used only where there was none.

mod apps;
mod command;
mod outward;
mod people;
mod places;
mod reads;
mod rules;
mod tests;
mod ties;
mod when;
mod who;

use std::collections::{HashMap, HashSet};

use super::diagnostics::{At, Diagnostics, Problems, Span, quoted};
use super::file::{File, Keep as WrittenKeep, Texts};
use super::keys::LIMITS;
use super::names::Names;
use super::pattern::BadPattern;
use super::table::{
    AuditSettings, DaemonSettings, DiagnosticsSettings, Gates, IdentityDepth, Table, WhoId, Zone,
};
use crate::model::app::Declared;
use crate::model::caller::{Gid, Uid};
use crate::model::ids::{BackendId, ListenerId};
use crate::model::keeping::{Durability, Keep};
use crate::model::limits::Limits;
use crate::model::method::Method;
use people::People;

pub(crate) use tests::{Case, Expect};

/// Whose daemon this is, and where it keeps things that the policy does not place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Own {
    /// The daemon's user, whom `@self` names.
    pub uid: Uid,
    /// Its group.
    pub gid: Gid,
    /// The control socket, unless the policy says otherwise.
    pub control: String,
    /// The audit directory, unless the policy says otherwise.
    pub audit_directory: String,
    /// The directory that `@runtime` stands for in paths; only a demo has one.
    pub runtime: Option<String>,
    /// The apps of the program that the policy is for; `None` where that is not known, and any may be meant.
    pub apps: Option<Vec<Declared>>,
}

impl Own {
    /// A daemon of the system: `/run/peergate`, `/var/log/peergate`.
    pub fn system(uid: Uid, gid: Gid) -> Own {
        Own {
            uid,
            gid,
            control: "/run/peergate/control.sock".to_owned(),
            audit_directory: "/var/log/peergate".to_owned(),
            runtime: None,
            apps: None,
        }
    }

    /// A daemon of a user: below its `$XDG_RUNTIME_DIR` and `$XDG_STATE_HOME`, which are absolute.
    pub fn user(uid: Uid, gid: Gid, runtime_home: &str, state_home: &str) -> Own {
        Own {
            uid,
            gid,
            control: format!("{runtime_home}/peergate/control.sock"),
            audit_directory: format!("{state_home}/peergate/audit"),
            runtime: None,
            apps: None,
        }
    }

    /// The same, for a program that has these apps and no others.
    #[must_use]
    pub fn with_apps(self, apps: Vec<Declared>) -> Own {
        Own { apps: Some(apps), ..self }
    }

    /// The same, with a directory of its own that `@runtime` stands for.
    #[must_use]
    pub fn with_runtime(self, directory: &str) -> Own {
        Own { runtime: Some(directory.to_owned()), ..self }
    }
}

/// How many there may be of each; far above what anyone writes by hand.
const MOST_LISTENERS: usize = 256;
const MOST_BACKENDS: usize = 1_024;
const MOST_WHOS: usize = 20_000;
const MOST_ROUTES: usize = 50_000;
const MOST_FORBIDS: usize = 20_000;
const MOST_TESTS: usize = 50_000;

/// A check while it runs.
pub(crate) struct Checker<'c, 't, N> {
    problems: &'c mut Problems<'t>,
    people: People<'c, N>,
    own: &'c Own,
    listeners: HashMap<&'c str, ListenerId>,
    backends: HashMap<&'c str, BackendId>,
    whos: HashMap<&'c str, WhoId>,
    methods: Vec<String>,
    /// What holds for every route; one may raise it.
    durability: Durability,
    /// Backends of the daemon's own.
    builtins: HashSet<BackendId>,
    /// Backends that are programs.
    commands: HashSet<BackendId>,
    /// Time zones that were named so far.
    zones: Vec<Zone>,
    /// What a body may have, where a route does not say.
    body_bytes: u64,
}

/// What `file` means. The table is whole only where no problem was noted.
pub(crate) fn check<N: Names>(
    file_name: &str,
    hash: [u8; 32],
    file: &File,
    names: &N,
    own: &Own,
    problems: &mut Problems<'_>,
) -> Option<(Table, Vec<Case>)> {
    if !bounded(file, problems) {
        return None;
    }
    let mut checker = Checker {
        people: People::new(names, own),
        own,
        listeners: HashMap::new(),
        backends: HashMap::new(),
        whos: HashMap::new(),
        methods: Vec::new(),
        durability: file.audit.durability.as_ref().map(|at| at.value).unwrap_or_default(),
        builtins: HashSet::new(),
        commands: HashSet::new(),
        zones: Vec::new(),
        body_bytes: limits(file).body_bytes,
        problems,
    };
    checker.name_all(file);
    let daemon = checker.daemon(file);
    let audit = checker.audit(file, &daemon);
    let diagnostics = checker.diagnostics(file);
    let listeners = checker.listeners(file, &daemon.control);
    let backends = checker.backends(file, &listeners);
    let whos = checker.whos(file);
    let routes = checker.routes(file);
    let forbids = checker.forbids(file);
    checker.unreachable(file, &routes);
    checker.check_feeds(file, &routes, &backends);
    let cases = checker.cases(file, &whos);
    let table = Table {
        hash,
        file: file_name.to_owned(),
        files: checker.problems.files(),
        daemon,
        limits: limits(file),
        audit,
        diagnostics,
        listeners,
        backends,
        whos,
        routes: routes.into_iter().map(|(_, route)| route).collect(),
        forbids,
        names: checker.people.names(),
        methods: checker.methods.clone(),
        zones: std::mem::take(&mut checker.zones),
    };
    ties::find(file, &table, checker.problems);
    Some((table, cases))
}

/// Too many of one kind ends the check before it costs anything.
fn bounded(file: &File, problems: &mut Problems<'_>) -> bool {
    let mut bounded = true;
    for (what, count, most) in [
        ("listeners", file.listens.len(), MOST_LISTENERS),
        ("backends", file.backends.len(), MOST_BACKENDS),
        ("whos", file.whos.len(), MOST_WHOS),
        ("routes", file.routes.len(), MOST_ROUTES),
        ("forbids", file.forbids.len(), MOST_FORBIDS),
        ("tests", file.tests.len(), MOST_TESTS),
    ] {
        if count > most {
            bounded = false;
            problems.add(Span::default(), format!("there are {count} {what}; at most {most} are allowed"));
        }
    }
    bounded
}

fn keep(written: &WrittenKeep) -> Keep {
    let default = Keep::default();
    let number = |value: &Option<At<u64>>| value.as_ref().and_then(|value| u32::try_from(value.value).ok());
    let bytes = |value: &Option<At<u64>>| value.as_ref().map(|value| value.value);
    Keep {
        days: number(&written.days).unwrap_or(default.days),
        bytes: bytes(&written.bytes).unwrap_or(default.bytes),
        count: number(&written.count),
        free: bytes(&written.free).unwrap_or(default.free),
    }
}

fn limits(file: &File) -> Limits {
    let mut limits = Limits::default();
    for (place, value) in &file.limits {
        if let Some(limit) = LIMITS.get(*place) {
            (limit.set)(&mut limits, *value);
        }
    }
    limits
}

impl<'c, N: Names> Checker<'c, '_, N> {
    /// Gives every listener, backend and who its place, so that references to one that is itself wrong are not
    /// mistakes too. Within one file TOML lets no name stand twice; of two files, none adds to what the other has.
    fn name_all(&mut self, file: &'c File) {
        for (number, listen) in (0..).zip(&file.listens) {
            self.check_name(&listen.name);
            if let Some(first) = self.listeners.insert(&listen.name.value, ListenerId(number)) {
                let first = file.listens.get(usize::from(first.0)).map(|listen| &listen.name);
                self.name_twice("listener", first, &listen.name);
            }
        }
        for (number, backend) in (0..).zip(&file.backends) {
            self.check_name(&backend.name);
            if let Some(first) = self.backends.insert(&backend.name.value, BackendId(number)) {
                let first = file.backends.get(usize::from(first.0)).map(|backend| &backend.name);
                self.name_twice("backend", first, &backend.name);
            }
            if backend.builtin.is_some() {
                self.builtins.insert(BackendId(number));
            }
            if backend.command.is_some() {
                self.commands.insert(BackendId(number));
            }
        }
        for (number, who) in (0..).zip(&file.whos) {
            self.check_name(&who.name);
            if let Some(first) = self.whos.insert(&who.name.value, WhoId(number)) {
                let first = file.whos.get(usize::from(first.0)).map(|who| &who.name);
                self.name_twice("who", first, &who.name);
            }
        }
        if file.listens.is_empty() {
            let help = "write `[listen.NAME]` with a `path`";
            self.problems.add_help(Span::default(), "a policy needs a listener", help);
        }
    }

    fn name_twice(&mut self, what: &str, first: Option<&At<String>>, name: &At<String>) {
        let place = first.map(|first| self.problems.told(first.span)).unwrap_or_default();
        let message = format!("the {what} {} stands on {place} already", quoted(&name.value));
        self.problems.add_help(name.span, message, "nothing of two files is merged: give it another name");
    }

    fn check_name(&mut self, name: &At<String>) {
        let text = &name.value;
        let plain =
            text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'));
        if !plain
            || text.is_empty()
            || text.len() > 64
            || !text.starts_with(|c: char| c.is_ascii_alphanumeric())
        {
            self.problems.add(
                name.span,
                format!("{} is no name: letters, digits, `-`, `_` and `.`, at most 64 of them", quoted(text)),
            );
        }
    }

    /// Ids stand in every record, so each is unique.
    fn check_id(&mut self, id: &'c Option<At<String>>, seen: &mut HashMap<&'c str, Span>) {
        let Some(id) = id else { return };
        self.check_name(id);
        if let Some(first) = seen.insert(&id.value, id.span) {
            let place = self.problems.told(first);
            self.problems.add(id.span, format!("the id {} stands on {place} already", quoted(&id.value)));
        }
    }

    /// The listeners that a list of names means.
    fn listener_ids(&mut self, names: &Texts) -> Vec<ListenerId> {
        let (problems, known) = (&mut *self.problems, &self.listeners);
        names.value.iter().filter_map(|name| find(problems, "listener", name, known)).collect()
    }

    fn daemon(&mut self, file: &File) -> DaemonSettings {
        let daemon = &file.daemon;
        self.methods = self.extra_methods(daemon.methods.as_ref());
        let role_user = |checker: &mut Self, written: &Option<At<String>>, default: &str| match written {
            Some(name) => {
                let user = checker.people.user(name, checker.problems)?;
                if user.uid.raw() == 0 {
                    checker
                        .problems
                        .add(name.span, "this role is there to have no privilege: it can't be root");
                }
                Some((user.uid, user.gid))
            }
            None if checker.own.uid.raw() == 0 => {
                checker.people.user_if_any(default, checker.problems).map(|user| (user.uid, user.gid))
            }
            None => None,
        };
        let gate_user = role_user(self, &daemon.gate_user, "peergate-gate");
        let scribe_user = role_user(self, &daemon.scribe_user, "peergate-scribe");
        let app_user = role_user(self, &daemon.app_user, "peergate-app");
        if let (Some(app), Some(at)) = (app_user, &daemon.app_user)
            && [gate_user, scribe_user].into_iter().flatten().any(|role| role.0 == app.0)
        {
            self.problems.add(at.span, "apps need a user of their own: not that of gates or of the scribe");
        }
        if let (Some(gate), Some(scribe)) = (gate_user, scribe_user)
            && gate.0 == scribe.0
            && let Some(at) = daemon.scribe_user.as_ref().or(daemon.gate_user.as_ref())
        {
            self.problems
                .add(at.span, "gates and scribe need two users: what one can read, the other must not write");
        }
        let control = daemon.control.as_ref().and_then(|path| self.socket_path(path));
        DaemonSettings {
            control: control.unwrap_or_else(|| self.own.control.clone()),
            gates: daemon.gates.as_ref().map_or(Gates::PerUid, |gates| gates.value),
            lanes: daemon.lanes.as_ref().and_then(|lanes| u16::try_from(lanes.value).ok()),
            gate_user,
            scribe_user,
            app_user,
            identity: file.audit.identity.as_ref().map_or(IdentityDepth::Needed, |depth| depth.value),
        }
    }

    fn extra_methods(&mut self, written: Option<&Texts>) -> Vec<String> {
        let mut methods = Vec::new();
        for name in written.map_or([].as_slice(), |names| &names.value) {
            match Method::parse(name.value.as_bytes()) {
                Ok(method) if method.is_known() => {}
                Ok(method) if !name.value.bytes().any(|byte| byte.is_ascii_lowercase()) => {
                    methods.push(method.as_str().to_owned());
                }
                _ => self
                    .problems
                    .add(name.span, format!("{} is no method in upper case", quoted(&name.value))),
            }
        }
        methods
    }

    fn audit(&mut self, file: &File, daemon: &DaemonSettings) -> AuditSettings {
        let audit = &file.audit;
        let directory = audit.directory.as_ref().and_then(|path| self.path(path));
        let readers = match &audit.readers {
            Some(name) => self.people.group(name, self.problems),
            None if self.own.uid.raw() == 0 => self.people.group_if_any("adm", self.problems),
            None => None,
        };
        AuditSettings {
            directory: directory.unwrap_or_else(|| self.own.audit_directory.clone()),
            readers,
            keep: keep(&audit.keep),
            shipped: audit.shipped.as_ref().and_then(|path| self.path(path)),
            segment_bytes: audit.segment.as_ref().map_or(64 << 20, |bytes| bytes.value),
            witness: self.witness(audit.witness.as_ref(), daemon),
            segment_ms: audit.segment_time.as_ref().map_or(86_400_000, |time| time.value),
            compress: audit.compress.as_ref().is_none_or(|compress| compress.value),
        }
    }

    fn diagnostics(&mut self, file: &File) -> DiagnosticsSettings {
        let written = &file.diagnostics;
        DiagnosticsSettings {
            directory: written.directory.as_ref().and_then(|path| self.path(path)),
            json: written.json.as_ref().is_some_and(|json| json.value),
            level: written.level.as_ref().map_or("info", |level| level.value).to_owned(),
        }
    }
}

/// Shows a pattern's mistake at its own place within the string.
fn show_bad_pattern(problems: &mut Problems<'_>, at: &At<String>, bad: BadPattern) {
    let span = problems.part(at, bad.part);
    match bad.help {
        Some(help) => problems.add_help(span, bad.message, help),
        None => problems.add(span, bad.message),
    }
}

/// The thing of that name, or a note that there is none.
fn find<T: Copy>(
    problems: &mut Problems<'_>,
    what: &str,
    name: &At<String>,
    known: &HashMap<&str, T>,
) -> Option<T> {
    let found = known.get(name.value.as_str()).copied();
    if found.is_none() {
        let mut names: Vec<_> = known.keys().copied().collect();
        names.sort_unstable();
        let message = format!("there is no {what} {}", quoted(&name.value));
        problems.add_unknown(name.span, message, &name.value, names);
    }
    found
}

/// A text that is too long to be read.
pub(crate) fn too_long(file: &str, bytes: usize, most: usize) -> Diagnostics {
    let message = format!("the policy has {bytes} bytes; at most {most} are read");
    Diagnostics::whole(file, message, None)
}
