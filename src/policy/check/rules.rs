//! Routes and forbids.

use std::collections::{HashMap, HashSet};

use super::super::diagnostics::{At, Span, quoted};
use super::super::file::{File, Route as WrittenRoute, Texts};
use super::super::names::Names;
use super::super::pattern::{Pattern, Piece};
use super::super::table::{Forbid, Named, Route};
use super::{Checker, find, show_bad_pattern};
use crate::model::ids::{BackendId, ListenerId};
use crate::model::keeping::{Durability, OnFailure};
use crate::model::method::Method;

/// Names of a `query`: each name of a request is compared with each.
const MOST_QUERY_NAMES: usize = 64;
const MOST_PATTERNS: usize = 256;
const HELP_BYTES: usize = 512;

impl<'c, N: Names> Checker<'c, '_, N> {
    /// Each route with its place among those that were written.
    pub(super) fn routes(&mut self, file: &'c File) -> Vec<(usize, Route)> {
        let mut ids = HashMap::new();
        let mut routes = Vec::new();
        for (place, written) in file.routes.iter().enumerate() {
            self.check_id(&written.id, &mut ids);
            routes.extend(self.route(written).map(|route| (place, route)));
        }
        routes
    }

    fn route(&mut self, written: &WrittenRoute) -> Option<Route> {
        let on = match &written.on {
            Some(names) => self.listener_ids(names),
            None => self.only_listener(written.span, "this route").into_iter().collect(),
        };
        let matches = written.matches.as_ref().map(|matches| self.patterns(matches));
        let to = written.to.as_ref().and_then(|name| find(self.problems, "backend", name, &self.backends));
        let allow = written.allow.as_ref().map(|names| self.named(names));
        self.check_query(written.query.as_ref());
        self.check_line("help", written.help.as_ref());
        self.check_line("reason", written.reason.as_ref());
        let when = written.when.iter().filter_map(|when| self.window(when)).collect();
        let matches = matches?;
        self.check_captures("encoded_slash", written.encoded_slash.as_ref(), &matches);
        self.check_captures("path_parameter", written.path_parameter.as_ref(), &matches);
        let upgrade = self.protocols(written.upgrade.as_ref());
        let is_command = to.is_some_and(|to| self.commands.contains(&to));
        let durability = self.route_durability(written, is_command);
        if let (Some(at), Some(to)) = (&written.on_failure, to)
            && at.value == OnFailure::Journal
            && (self.builtins.contains(&to) || is_command)
        {
            let help = "leave it out: what a command does has to be on record";
            self.problems.add_help(at.span, "the journal stands in for a `proxy` only", help);
        }
        let (reads, body_max) = self.reads(written, to);
        let id = written.id.as_ref()?;
        Some(Route {
            id: id.value.clone(),
            line: self.problems.line(id.span),
            on,
            matches,
            query: written.query.as_ref().map(plain),
            reads,
            to: to?,
            allow: allow?,
            body_max,
            durability,
            on_failure: written.on_failure.as_ref().map(|at| at.value).unwrap_or_default(),
            help: written.help.as_ref().map(|help| help.value.clone()),
            stream: written.stream.as_ref().is_some_and(|stream| stream.value),
            upgrade,
            encoded_slash: written.encoded_slash.as_ref().map(plain).unwrap_or_default(),
            path_parameter: written.path_parameter.as_ref().map(plain).unwrap_or_default(),
            shadow: written.shadow.as_ref().is_some_and(|shadow| shadow.value),
            until: written.until.as_ref().map(|until| until.value),
            when,
            reason: written.reason.as_ref().map(|reason| reason.value.clone()),
        })
    }

    /// Text that is told to people in one line.
    fn check_line(&mut self, key: &str, written: Option<&At<String>>) {
        if let Some(line) = written
            && (line.value.len() > HELP_BYTES || line.value.contains(char::is_control))
        {
            self.problems.add(line.span, format!("`{key}` is one line of at most {HELP_BYTES} bytes"));
        }
    }

    /// What the route says, which may be more than what holds for all, never less.
    fn route_durability(&mut self, written: &WrittenRoute, is_command: bool) -> Durability {
        let least = if is_command { Durability::Sync } else { self.durability };
        let Some(at) = &written.durability else { return least };
        if at.value < least && is_command {
            let message = "what a command does is on the disk first (`\"sync\"`)";
            self.problems.add_help(at.span, message, "leave it out");
        } else if at.value < self.durability {
            let message = "a route may raise the durability of `[audit]`, never lower it";
            let help = "leave it out here, or write `durability = \"write\"` in `[audit]`";
            self.problems.add_help(at.span, message, help);
        }
        at.value.max(least)
    }

    pub(super) fn forbids(&mut self, file: &'c File) -> Vec<Forbid> {
        let mut ids = HashMap::new();
        let mut forbids = Vec::new();
        for written in &file.forbids {
            self.check_id(&written.id, &mut ids);
            let on = written.on.as_ref().map(|names| self.listener_ids(names));
            let to = written.to.as_ref().map(|names| {
                let found = names
                    .value
                    .iter()
                    .filter_map(|name| find(self.problems, "backend", name, &self.backends));
                found.collect::<Vec<BackendId>>()
            });
            let matches = written.matches.as_ref().map(|matches| self.patterns(matches));
            let who = written.who.as_ref().map(|names| self.named(names));
            let when = written.when.iter().filter_map(|when| self.window(when)).collect();
            if let (Some(id), Some(matches)) = (&written.id, matches) {
                forbids.push(Forbid {
                    id: id.value.clone(),
                    line: self.problems.line(id.span),
                    on,
                    to,
                    matches,
                    who,
                    when,
                    shadow: written.shadow.as_ref().is_some_and(|shadow| shadow.value),
                });
            }
        }
        forbids
    }

    /// A listener that no route leads on from only costs: more likely a route's `on` is wrong.
    pub(super) fn unreachable(&mut self, file: &File, routes: &[(usize, Route)]) {
        // A route that is wrong in itself may have been meant for the listener.
        if routes.len() != file.routes.len() {
            return;
        }
        let reached: HashSet<ListenerId> =
            routes.iter().flat_map(|(_, route)| route.on.iter().copied()).collect();
        for (number, listen) in (0..).zip(&file.listens) {
            if !reached.contains(&ListenerId(number)) {
                let message = format!("no route is on the listener {}", quoted(&listen.name.value));
                let help = "add a route that names it in `on`, or leave the listener out";
                self.problems.add_help(listen.name.span, message, help);
            }
        }
    }

    /// The listener that is meant where none is named.
    pub(super) fn only_listener(&mut self, span: Span, what: &str) -> Option<ListenerId> {
        match self.listeners.len() {
            // A policy without listener has its own note.
            0 => None,
            1 => Some(ListenerId(0)),
            _ => {
                let mut names: Vec<_> = self.listeners.keys().map(|name| quoted(name)).collect();
                names.sort_unstable();
                let help = format!("name one by `on`: {}", names.join(", "));
                self.problems.add_help(span, format!("{what} does not say which listener it is on"), help);
                None
            }
        }
    }

    fn patterns(&mut self, written: &Texts) -> Vec<Pattern> {
        if written.value.len() > MOST_PATTERNS {
            self.problems.add(written.span, format!("at most {MOST_PATTERNS} matches may stand together"));
        }
        let mut patterns = Vec::new();
        for text in &written.value {
            match Pattern::parse(&text.value) {
                Ok(pattern) => {
                    self.check_method(text, &pattern);
                    patterns.push(pattern);
                }
                Err(bad) => show_bad_pattern(self.problems, text, bad),
            }
        }
        patterns
    }

    fn check_method(&mut self, text: &At<String>, pattern: &Pattern) {
        let Some(method) = pattern.method() else { return };
        let known = Method::parse(method.as_bytes()).is_ok_and(|method| method.is_known());
        if known || self.methods.iter().any(|extra| extra == method) {
            return;
        }
        let span = self.problems.part(text, 0..method.len());
        let message = format!("the method {} is not known", quoted(method));
        match super::super::near::nearest(method, Method::KNOWN.iter().map(Method::as_str)) {
            Some(near) => self.problems.add_help(span, message, format!("did you mean `{near}`?")),
            None => {
                let help = format!("to take it, name it: `methods = [\"{method}\"]` in `[daemon]`");
                self.problems.add_help(span, message, help);
            }
        }
    }

    fn named(&mut self, names: &Texts) -> Vec<Named> {
        let mut all = Vec::new();
        for name in &names.value {
            if let Some(who) = find(self.problems, "who", name, &self.whos) {
                all.push(Named { who, line: self.problems.line(name.span) });
            }
        }
        all
    }

    fn check_query(&mut self, written: Option<&Texts>) {
        let Some(names) = written else { return };
        if names.value.len() > MOST_QUERY_NAMES {
            self.problems.add(names.span, format!("`query` names at most {MOST_QUERY_NAMES}"));
        }
        for name in &names.value {
            let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~[]".contains(&byte);
            if name.value.is_empty() || !name.value.bytes().all(plain) {
                let message = format!("{} can't be read in one way as a query's name", quoted(&name.value));
                self.problems.add_help(
                    name.span,
                    message,
                    "a name is letters, digits and `-`, `.`, `_`, `~`",
                );
            }
        }
    }

    fn check_captures(&mut self, key: &str, written: Option<&Texts>, matches: &[Pattern]) {
        let names: Vec<&str> = matches.iter().flat_map(Pattern::pieces).filter_map(Piece::name).collect();
        for name in written.map_or([].as_slice(), |names| &names.value) {
            if !names.contains(&name.value.as_str()) {
                let message =
                    format!("`{key}` names {}, which no `match` of this route captures", quoted(&name.value));
                self.problems.add_unknown(name.span, message, &name.value, names.iter().copied());
            }
        }
    }

    fn protocols(&mut self, written: Option<&Texts>) -> Vec<String> {
        let mut all = Vec::new();
        for name in written.map_or([].as_slice(), |names| &names.value) {
            let plain =
                |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-./_".contains(&byte);
            if name.value.is_empty() || name.value.len() > 32 || !name.value.bytes().all(plain) {
                let message = format!("{} is no protocol in lower case", quoted(&name.value));
                self.problems.add_help(name.span, message, "write it as `\"tcp\"` or `\"websocket\"`");
            }
            all.push(name.value.clone());
        }
        all
    }
}

fn plain(texts: &Texts) -> Vec<String> {
    texts.value.iter().map(|text| text.value.clone()).collect()
}
