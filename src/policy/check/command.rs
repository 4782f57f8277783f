//! A command as it is written → as it is meant.

use std::collections::HashSet;

use super::super::diagnostics::{At, quoted};
use super::super::file::{
    Backend as Written, Command as WrittenCommand, Param, Sandbox as WrittenSandbox, Texts,
};
use super::super::names::Names;
use super::super::table::{
    Bounds, Cage, Command, OnLeave, Origin, Parameter, Part, Sandbox, Template, Wanted,
};
use super::super::value::{Kind, Text};
use super::Checker;

/// A command's time, where the policy does not say it.
const TIMEOUT_MS: u64 = 60_000;
/// Between asking it to end and ending it.
const GRACE_MS: u64 = 5_000;
/// What it may say.
const OUTPUT: u64 = 1 << 20;
/// So many at the same time.
const CONCURRENT: u32 = 4;
/// Bits that its files don't get.
const UMASK: u32 = 0o077;
/// Where it looks for programs.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// Arguments of a command, and parameters.
const MOST: usize = 64;
/// Bytes of all its words together.
const MOST_BYTES: usize = 16 << 10;

impl<N: Names> Checker<'_, '_, N> {
    /// What a command means; whatever goes with other backends only is a mistake.
    pub(super) fn command(&mut self, written: &WrittenCommand, backend: &Written) -> Option<Command> {
        let elsewhere = [
            ("owner", backend.owner.as_ref().map(|at| at.span)),
            ("version_prefix", backend.version_prefix.as_ref().map(|at| at.span)),
            ("identity_headers", backend.identity_headers.as_ref().map(|at| at.span)),
        ];
        for (key, span) in elsewhere {
            if let Some(span) = span {
                self.problems.add(span, format!("`{key}` goes with `proxy`, not with `command`"));
            }
        }
        let words = &written.words;
        let Some((program, arguments)) = words.value.split_first() else {
            self.problems.add_help(
                words.span,
                "a command has a program",
                "write such as `[\"/usr/bin/systemctl\", \"status\"]`",
            );
            return None;
        };
        let program = self.path(&At { value: program.clone(), span: words.span });
        if words.value.len() > MOST || words.value.iter().map(String::len).sum::<usize>() > MOST_BYTES {
            let message = format!("a command has at most {MOST} words and {} KiB", MOST_BYTES >> 10);
            self.problems.add(words.span, message);
        }
        let parameters = self.parameters(&written.params);
        let arguments: Vec<Template> = arguments
            .iter()
            .map(|argument| self.template(argument, words, &parameters))
            .collect::<Option<_>>()?;
        self.check_uses(written, &arguments);
        self.check_input(written, &parameters);
        let one = written.one_at_a_time.as_ref().is_some_and(|one| one.value);
        if let (true, Some(at)) = (one, &written.concurrent) {
            self.problems.add(at.span, "`one_at_a_time` is `concurrent = 1`; write one of the two");
        }
        let count = |value: &Option<At<u64>>, default: u32| {
            value.as_ref().map_or(default, |value| u32::try_from(value.value).unwrap_or(u32::MAX))
        };
        let number = |value: &Option<At<u64>>, default| value.as_ref().map_or(default, |value| value.value);
        Some(Command {
            program: program?,
            arguments,
            parameters,
            cage: self.cage(written)?,
            bounds: Bounds {
                timeout_ms: number(&written.timeout, TIMEOUT_MS),
                grace_ms: number(&written.grace, GRACE_MS),
                output: number(&written.output, OUTPUT),
                on_leave: written.on_leave.as_ref().map_or(OnLeave::Kill, |at| at.value),
            },
            stdin: written.stdin.as_ref().map(|at| at.value),
            statuses: self.statuses(written),
            concurrent: if one { 1 } else { count(&written.concurrent, CONCURRENT) },
            queue: count(&written.queue, 0),
        })
    }

    fn parameters(&mut self, written: &[Param]) -> Vec<Parameter> {
        if let Some(one) = written.get(MOST) {
            self.problems.add(one.name.span, format!("a command has at most {MOST} parameters"));
        }
        written.iter().filter_map(|param| self.parameter(param)).collect()
    }

    fn parameter(&mut self, written: &Param) -> Option<Parameter> {
        self.check_name(&written.name);
        let yes = |value: &Option<At<bool>>| value.as_ref().is_some_and(|value| value.value);
        if let (None, Some(at)) = (&written.below, &written.opened) {
            self.problems.add(at.span, "`opened` goes with `below`");
        }
        let kind = match (&written.below, &written.kind) {
            (Some(directory), _) => Wanted::Below {
                directory: self.path(directory)?,
                opened: written.opened.as_ref().is_none_or(|opened| opened.value),
            },
            (None, Some(kind)) => Wanted::Value(kind.value.clone()),
            (None, None) => return None,
        };
        // What lists an empty value, or says that a text may be empty, has declared it.
        let empty = match &kind {
            Wanted::Value(Kind::OneOf(values)) => values.iter().any(String::is_empty),
            Wanted::Value(Kind::Text(Text { empty, .. })) => *empty,
            _ => false,
        };
        let lists_dash = match &kind {
            Wanted::Value(Kind::OneOf(values)) => values.iter().any(|value| value.starts_with('-')),
            Wanted::Value(Kind::Int(Some(range))) => range.least < 0,
            _ => false,
        };
        let dash = yes(&written.dash);
        if lists_dash && !dash {
            let help = "write `dash = true` beside it, if the program takes it for what you mean";
            self.problems.add_help(written.span, "a value may begin with `-`, as options do", help);
        }
        Some(Parameter {
            name: written.name.value.clone(),
            from: written.from.as_ref().map_or(Origin::Path, |from| from.value),
            kind,
            optional: yes(&written.optional),
            secret: yes(&written.secret),
            dash,
            empty,
        })
    }

    /// An argument in which `{name}` stands for a parameter; `{{` and `}}` are braces.
    fn template(&mut self, argument: &str, at: &At<Vec<String>>, known: &[Parameter]) -> Option<Template> {
        let mut parts = Vec::new();
        let mut text = String::new();
        let mut letters = argument.chars().peekable();
        while let Some(letter) = letters.next() {
            match letter {
                '{' | '}' if letters.peek() == Some(&letter) => {
                    letters.next();
                    text.push(letter);
                }
                '{' => {
                    let name: String = letters.by_ref().take_while(|letter| *letter != '}').collect();
                    let Some(place) = known.iter().position(|known| known.name == name) else {
                        let names = known.iter().map(|known| known.name.as_str());
                        let message = format!("{} names no parameter of this command", quoted(argument));
                        self.problems.add_unknown(at.span, message, &name, names);
                        return None;
                    };
                    if !text.is_empty() {
                        parts.push(Part::Text(std::mem::take(&mut text)));
                    }
                    parts.push(Part::Parameter(u16::try_from(place).ok()?));
                }
                '\0' => {
                    self.problems.add(at.span, "an argument holds no NUL");
                    return None;
                }
                letter => text.push(letter),
            }
        }
        if !text.is_empty() || parts.is_empty() {
            parts.push(Part::Text(text));
        }
        let paths = parts.iter().filter(|part| match part {
            Part::Parameter(place) => {
                matches!(known.get(usize::from(*place)), Some(Parameter { kind: Wanted::Below { .. }, .. }))
            }
            Part::Text(_) => false,
        });
        if paths.count() > 1 {
            self.problems.add(at.span, format!("{} holds two paths", quoted(argument)));
        }
        Some(Template(parts))
    }

    /// A parameter that no argument holds would be asked for and thrown away.
    fn check_uses(&mut self, written: &WrittenCommand, arguments: &[Template]) {
        let used: HashSet<u16> = arguments
            .iter()
            .flat_map(|template| &template.0)
            .filter_map(|part| match part {
                Part::Parameter(place) => Some(*place),
                Part::Text(_) => None,
            })
            .collect();
        for (place, param) in (0..).zip(&written.params) {
            if !used.contains(&place) {
                let message = format!("no argument holds `{{{}}}`", param.name.value);
                self.problems.add(param.name.span, message);
            }
        }
    }

    fn check_input(&mut self, written: &WrittenCommand, parameters: &[Parameter]) {
        let from_body = parameters.iter().any(|parameter| parameter.from == Origin::Body);
        if let (Some(stdin), true) = (&written.stdin, from_body) {
            self.problems.add(stdin.span, "the body is either the program's input or holds parameters");
        }
    }

    fn statuses(&mut self, written: &WrittenCommand) -> Vec<(u8, u16)> {
        let mut statuses = Vec::new();
        for (code, status) in &written.statuses {
            let plain = code.value.bytes().all(|byte| byte.is_ascii_digit());
            let number = if plain { code.value.parse::<u8>().ok() } else { None };
            let status = status.as_ref().and_then(|status| u16::try_from(status.value).ok());
            // No status that has no body, or that HTTP means something of its own by.
            let status = status.filter(|status| {
                (200..600).contains(status) && !matches!(status, 204 | 205 | 206 | 304 | 407)
            });
            match (number, status) {
                (Some(number), Some(status)) => statuses.push((number, status)),
                _ => self.problems.add_help(
                    code.span,
                    "an exit code becomes a status",
                    "write such as `\"3\" = 404`: codes to 255, statuses from 200 to 599 that have a body",
                ),
            }
        }
        statuses
    }

    fn cage(&mut self, written: &WrittenCommand) -> Option<Cage> {
        let name = written.user.as_ref()?;
        let user = self.people.user(name, self.problems)?;
        let groups = match &written.groups {
            Some(groups) => {
                let found = groups.value.iter().filter_map(|name| self.people.group(name, self.problems));
                found.collect()
            }
            None => match self.people.groups_of(&user) {
                Ok(groups) => groups,
                Err(error) => {
                    let message =
                        format!("the groups of {} can't be looked up: {error}", quoted(&name.value));
                    self.problems.add(name.span, message);
                    return None;
                }
            },
        };
        let new_privileges = written.new_privileges.as_ref().is_some_and(|yes| yes.value);
        if let (true, Some(sandbox)) = (new_privileges, &written.sandbox) {
            let help = "leave one of the two out: a program in a sandbox gains no rights";
            self.problems.add_help(sandbox.span, "`sandbox` does not go with `new_privileges`", help);
        }
        let directory = written
            .directory
            .as_ref()
            .map(|at| if at.value == "/" { Some("/".to_owned()) } else { self.path(at) });
        Some(Cage {
            environment: self.environment(written, &user.name),
            user: user.name.clone(),
            uid: user.uid,
            gid: user.gid,
            groups,
            directory: directory.unwrap_or_else(|| Some("/".to_owned()))?,
            umask: written.umask.as_ref().map_or(UMASK, |umask| umask.value & 0o777),
            rlimits: written.rlimits.clone(),
            new_privileges,
            sandbox: written.sandbox.as_ref().map(|sandbox| self.sandbox(&sandbox.value)),
        })
    }

    fn environment(&mut self, written: &WrittenCommand, user: &str) -> Vec<(String, String)> {
        let mut all: Vec<(String, String)> =
            [("PATH", PATH), ("LANG", "C.UTF-8"), ("USER", user), ("LOGNAME", user)]
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .into();
        for (name, value) in &written.environment {
            let plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
            if name.value.is_empty()
                || !name.value.chars().all(plain)
                || name.value.starts_with(|c: char| c.is_ascii_digit())
                || value.value.contains('\0')
            {
                self.problems.add(name.span, format!("{} is no variable", quoted(&name.value)));
            }
            all.retain(|(known, _)| *known != name.value);
            all.push((name.value.clone(), value.value.clone()));
        }
        all
    }

    fn sandbox(&mut self, written: &WrittenSandbox) -> Sandbox {
        if let (Some(at), Some(_)) = (&written.any_tcp, &written.tcp) {
            self.problems
                .add(at.span, "`tcp` lists the ports, or `any_tcp` takes them all; write one of the two");
        }
        let ports = written.tcp.iter().flat_map(|ports| &ports.value);
        let ports: Vec<u16> = ports
            .filter_map(|port| {
                let number = u16::try_from(port.value).ok().filter(|number| *number > 0);
                if number.is_none() {
                    self.problems.add(port.span, "a TCP port is a number from 1 to 65535");
                }
                number
            })
            .collect();
        Sandbox {
            read: self.places(written.read.as_ref()).unwrap_or_default(),
            write: self.places(written.write.as_ref()).unwrap_or_default(),
            exec: self.places(written.exec.as_ref()).unwrap_or_else(|| vec!["/usr".to_owned()]),
            tcp: (!written.any_tcp.as_ref().is_some_and(|any| any.value)).then_some(ports),
        }
    }

    fn places(&mut self, written: Option<&Texts>) -> Option<Vec<String>> {
        let place = |at: &At<String>| if at.value == "/" { Some("/".to_owned()) } else { self.path(at) };
        Some(written?.value.iter().filter_map(place).collect())
    }
}
