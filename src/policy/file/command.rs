//! `[backend.NAME] command = […]` as it is written.

use toml::de::DeValue;

use super::super::diagnostics::{At, Span};
use super::super::quantity::{show_size, show_time, size, time};
use super::super::reader::Section;
use super::super::table::{OnLeave, Origin, Rlimit};
use super::super::value::Kind;
use super::Texts;

/// What goes with `command` alone.
pub(crate) const KEYS: [&str; 18] = [
    "user",
    "groups",
    "env",
    "chdir",
    "umask",
    "timeout",
    "grace",
    "output",
    "concurrent",
    "one_at_a_time",
    "queue",
    "rlimits",
    "new_privileges",
    "sandbox",
    "on_leave",
    "stdin",
    "status",
    "params",
];

/// A command.
#[derive(Debug)]
pub(crate) struct Command {
    pub(crate) words: At<Vec<String>>,
    pub(crate) user: Option<At<String>>,
    pub(crate) groups: Option<Texts>,
    pub(crate) environment: Vec<(At<String>, At<String>)>,
    pub(crate) directory: Option<At<String>>,
    pub(crate) umask: Option<At<u32>>,
    /// In milliseconds.
    pub(crate) timeout: Option<At<u64>>,
    pub(crate) grace: Option<At<u64>>,
    pub(crate) output: Option<At<u64>>,
    pub(crate) concurrent: Option<At<u64>>,
    pub(crate) one_at_a_time: Option<At<bool>>,
    pub(crate) queue: Option<At<u64>>,
    pub(crate) rlimits: Vec<(Rlimit, u64)>,
    pub(crate) new_privileges: Option<At<bool>>,
    pub(crate) sandbox: Option<At<Sandbox>>,
    pub(crate) on_leave: Option<At<OnLeave>>,
    /// The most bytes of the body that it gets.
    pub(crate) stdin: Option<At<u64>>,
    pub(crate) statuses: Vec<(At<String>, Option<At<u64>>)>,
    pub(crate) params: Vec<Param>,
}

/// What it may reach.
#[derive(Debug)]
pub(crate) struct Sandbox {
    pub(crate) read: Option<Texts>,
    pub(crate) write: Option<Texts>,
    pub(crate) exec: Option<Texts>,
    pub(crate) tcp: Option<At<Vec<At<u32>>>>,
    pub(crate) any_tcp: Option<At<bool>>,
}

/// What callers fill in.
#[derive(Debug)]
pub(crate) struct Param {
    pub(crate) name: At<String>,
    pub(crate) kind: Option<At<Kind>>,
    pub(crate) below: Option<At<String>>,
    pub(crate) opened: Option<At<bool>>,
    pub(crate) from: Option<At<Origin>>,
    pub(crate) optional: Option<At<bool>>,
    pub(crate) secret: Option<At<bool>>,
    pub(crate) dash: Option<At<bool>>,
    pub(crate) span: Span,
}

const SIZE: &str = "a size such as `\"64KiB\"`";
const TIME: &str = "a time such as `\"30s\"`";

impl Command {
    /// Reads it where it was written; a key that goes with it alone is a mistake elsewhere.
    pub(super) fn read(section: &mut Section<'_, '_, '_>) -> Option<Command> {
        if !section.has("command") {
            for key in KEYS {
                if section.has(key) {
                    let span = section.span_of(key);
                    section.problems.add(span, format!("`{key}` goes with `command`"));
                }
            }
            return None;
        }
        let words = section.words("command");
        let user = section.text("user");
        Some(Command {
            user: section.need("user", user, "\"root\""),
            groups: section.texts("groups"),
            environment: environment(section),
            directory: section.text("chdir"),
            umask: section.mode("umask"),
            timeout: section.quantity("timeout", TIME, time, (100, 30 * 86_400_000), &show_time),
            grace: section.quantity("grace", TIME, time, (10, 3_600_000), &show_time),
            output: section.quantity("output", SIZE, size, (1, 1 << 40), &show_size),
            concurrent: section.integer("concurrent", 1, 1_000),
            one_at_a_time: section.boolean("one_at_a_time"),
            queue: section.integer("queue", 0, 1_000),
            rlimits: section.table("rlimits", "backend.rlimits", rlimits).unwrap_or_default(),
            new_privileges: section.boolean("new_privileges"),
            sandbox: section.table("sandbox", "backend.sandbox", Sandbox::read),
            on_leave: section.word("on_leave", &[("kill", OnLeave::Kill), ("finish", OnLeave::Finish)]),
            stdin: section.quantity("stdin", SIZE, size, (1, 16 << 20), &show_size),
            statuses: statuses(section),
            params: section.named("params", "backend.params.NAME", Param::read),
            words: words?,
        })
    }
}

fn environment(section: &mut Section<'_, '_, '_>) -> Vec<(At<String>, At<String>)> {
    if !section.has("env") {
        return Vec::new();
    }
    let mut variables = Vec::new();
    for (name, span, value) in section.entries("env", "a table of texts").unwrap_or_default() {
        match value {
            DeValue::String(text) => variables.push((name, At { value: text.to_string(), span })),
            _ => section.problems.add(span, "a variable's value is a string"),
        }
    }
    variables
}

fn statuses(section: &mut Section<'_, '_, '_>) -> Vec<(At<String>, Option<At<u64>>)> {
    if !section.has("status") {
        return Vec::new();
    }
    let entries = section.entries("status", "a table of exit codes").unwrap_or_default();
    let status = |value: &DeValue<'_>| match value {
        DeValue::Integer(number) => u64::from_str_radix(number.as_str(), number.radix()).ok(),
        _ => None,
    };
    entries
        .into_iter()
        .map(|(code, span, value)| (code, status(value).map(|value| At { value, span })))
        .collect()
}

fn rlimits(section: &mut Section<'_, '_, '_>) -> Vec<(Rlimit, u64)> {
    let mut written = Vec::new();
    for (name, limit) in Rlimit::NAMES {
        let most = match limit {
            Rlimit::Memory | Rlimit::FileSize | Rlimit::Core => {
                section.quantity(name, SIZE, size, (0, 1 << 50), &show_size)
            }
            Rlimit::Cpu | Rlimit::Files | Rlimit::Processes => section.integer(name, 0, 1 << 31),
        };
        written.extend(most.map(|most| (limit, most.value)));
    }
    written
}

impl Sandbox {
    fn read(section: &mut Section<'_, '_, '_>) -> At<Sandbox> {
        let sandbox = Sandbox {
            read: section.texts("read"),
            write: section.texts("write"),
            exec: section.texts("exec"),
            tcp: section.ids("tcp"),
            any_tcp: section.boolean("any_tcp"),
        };
        At { value: sandbox, span: section.span }
    }
}

impl Param {
    fn read(name: At<String>, section: &mut Section<'_, '_, '_>) -> Param {
        let typed = ["one_of", "int", "hex", "text"].into_iter().any(|key| section.has(key));
        let (below, simple) = (section.text("below"), section.has("type"));
        if usize::from(typed) + usize::from(below.is_some()) + usize::from(simple) != 1 {
            let help = "write such as `one_of = [\"a\", \"b\"]`, `type = \"uuid\"` or `below = \"/srv\"`";
            section.problems.add_help(
                name.span,
                "a parameter has one of `type`, `one_of`, `int`, `hex`, `text` and `below`",
                help,
            );
        }
        let kind = if typed {
            section.kind_table().map(|value| At { value, span: section.span })
        } else {
            section.kind("type")
        };
        let origins = [("path", Origin::Path), ("query", Origin::Query), ("body", Origin::Body)];
        Param {
            kind,
            below,
            opened: section.boolean("opened"),
            from: section.word("from", &origins),
            optional: section.boolean("optional"),
            secret: section.boolean("secret"),
            dash: section.boolean("dash"),
            span: section.span,
            name,
        }
    }
}
