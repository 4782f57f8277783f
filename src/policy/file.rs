//! The policy as it is written: plain values, each with its place. What they mean is [`super::check`]'s.

mod command;
mod reads;
mod rules;
mod settings;
mod when;
mod who;

use toml::de::DeTable;

use super::diagnostics::{At, Problems, Span};
use super::reader::Section;

pub(crate) use command::{Command, Param, Sandbox};
pub(crate) use reads::Json;
pub(crate) use rules::{Forbid, Route, Test};
pub(crate) use settings::{Audit, Backend, Builtin, Daemon, Diagnostics, Keep, Listen, Only, Witness};
pub(crate) use when::When;
pub(crate) use who::{Limits as WhoLimits, TestWho, Who};

/// A list of names.
pub(crate) type Texts = At<Vec<At<String>>>;

/// A whole file.
#[derive(Debug, Default)]
pub(crate) struct File {
    /// Further files.
    pub(crate) include: Option<Texts>,
    pub(crate) daemon: Daemon,
    /// Each limit that was written, by its place in the list of limits.
    pub(crate) limits: Vec<(usize, u64)>,
    pub(crate) audit: Audit,
    pub(crate) diagnostics: Diagnostics,
    pub(crate) listens: Vec<Listen>,
    pub(crate) backends: Vec<Backend>,
    pub(crate) whos: Vec<Who>,
    pub(crate) routes: Vec<Route>,
    pub(crate) forbids: Vec<Forbid>,
    pub(crate) tests: Vec<Test>,
}

/// Reads a file. `None` where it is no TOML: nothing more can be said about it then.
pub(crate) fn read(text: &str, problems: &mut Problems<'_>) -> Option<File> {
    let document = parse(text, problems)?;
    let top = &mut Section::open("", Span::default(), document.get_ref(), problems);
    let version = top.integer("version", 0, u64::MAX);
    if let Some(version) = top.need("version", version, "1")
        && version.value != 1
    {
        top.problems.add_help(
            version.span,
            "this version of the language is not known",
            "write `version = 1`",
        );
    }
    let mut file = File {
        include: top.some_texts("include", "leave it out, or name a file"),
        daemon: top.table("daemon", "daemon", Daemon::read).unwrap_or_default(),
        limits: top.table("limits", "limits", settings::limits).unwrap_or_default(),
        audit: top.table("audit", "audit", Audit::read).unwrap_or_default(),
        diagnostics: top.table("diagnostics", "diagnostics", Diagnostics::read).unwrap_or_default(),
        ..File::default()
    };
    file.read_rules(top);
    Some(file)
}

/// Reads a file that another one includes: it has none of the tables that say how the daemon runs.
pub(crate) fn read_included(text: &str, problems: &mut Problems<'_>) -> Option<File> {
    let document = parse(text, problems)?;
    let top = &mut Section::open("included", Span::default(), document.get_ref(), problems);
    let mut file = File::default();
    file.read_rules(top);
    Some(file)
}

fn parse<'t>(text: &'t str, problems: &mut Problems<'_>) -> Option<toml::Spanned<DeTable<'t>>> {
    let (document, errors) = DeTable::parse_recoverable(text);
    let mut mistakes: Vec<(Span, &str)> = errors
        .iter()
        .map(|error| (error.span().map(Span::from).unwrap_or_default(), error.message()))
        .collect();
    mistakes.sort_by_key(|(span, _)| span.start);
    // What follows the first mistake of a line is most often what it left behind.
    mistakes.dedup_by_key(|(span, _)| problems.line(*span));
    for (span, message) in mistakes {
        let message = message.replace('\n', ", ");
        // What TOML has no octal numbers for are modes.
        if message.contains("leading zero") {
            problems.add_help(span, message, "write a mode in quotes: `\"0660\"`");
        } else {
            problems.add(span, message);
        }
    }
    errors.is_empty().then_some(document)
}

impl File {
    /// The tables that every file may hold.
    fn read_rules(&mut self, top: &mut Section<'_, '_, '_>) {
        self.listens = top.named("listen", "listen.NAME", Listen::read);
        self.backends = top.named("backend", "backend.NAME", Backend::read);
        self.whos = top.named("who", "who.NAME", Who::read);
        self.routes = top.listed("route", "route", Route::read);
        self.forbids = top.listed("forbid", "forbid", Forbid::read);
        self.tests = top.listed("test", "test", Test::read);
    }

    /// What another file adds.
    pub(crate) fn take_in(&mut self, other: File) {
        self.listens.extend(other.listens);
        self.backends.extend(other.backends);
        self.whos.extend(other.whos);
        self.routes.extend(other.routes);
        self.forbids.extend(other.forbids);
        self.tests.extend(other.tests);
    }
}
