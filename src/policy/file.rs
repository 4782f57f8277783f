//! The policy as it is written: plain values, each with its place. What they mean is [`super::check`]'s.

mod reads;
mod rules;
mod settings;
mod when;
mod who;

use toml::de::DeTable;

use super::diagnostics::{At, Problems, Span};
use super::reader::Section;

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
    let (document, errors) = DeTable::parse_recoverable(text);
    for error in &errors {
        let span = error.span().map(Span::from).unwrap_or_default();
        problems.add(span, error.message().replace('\n', ", "));
    }
    if !errors.is_empty() {
        return None;
    }
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
    Some(File {
        daemon: top.table("daemon", "daemon", Daemon::read).unwrap_or_default(),
        limits: top.table("limits", "limits", settings::limits).unwrap_or_default(),
        audit: top.table("audit", "audit", Audit::read).unwrap_or_default(),
        diagnostics: top.table("diagnostics", "diagnostics", Diagnostics::read).unwrap_or_default(),
        listens: top.named("listen", "listen.NAME", Listen::read),
        backends: top.named("backend", "backend.NAME", Backend::read),
        whos: top.named("who", "who.NAME", Who::read),
        routes: top.listed("route", "route", Route::read),
        forbids: top.listed("forbid", "forbid", Forbid::read),
        tests: top.listed("test", "test", Test::read),
    })
}
