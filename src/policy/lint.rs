//! What is in order and still most likely not meant, or worth knowing before it is. The manual page `workshop` lists
//! each of these with its reason; a test holds the two together.

mod commands;
mod comments;
mod docker;
mod people;
mod rules;
mod ways;

use std::fmt;
use std::sync::Arc;

use super::decide::Decider;
use super::diagnostics::{Diagnostic, Span};
use super::draft::Draft;
use super::grants::{Known, classes};
use super::problems_of;
use super::snapshot::Daemon;

pub use ways::gathered;

macro_rules! lints {
    ($($(#[$doc:meta])* $variant:ident = $name:literal, $help:literal;)*) => {
        /// A kind of finding.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Lint {
            $($(#[$doc])* $variant,)*
        }

        impl Lint {
            /// All of them, in the order of the manual.
            pub const ALL: &'static [Lint] = &[$(Lint::$variant,)*];

            /// The stable name.
            pub fn name(self) -> &'static str {
                match self { $(Lint::$variant => $name,)* }
            }

            /// What to do about it.
            pub fn help(self) -> &'static str {
                match self { $(Lint::$variant => $help,)* }
            }
        }
    };
}

lints! {
    /// Somebody may do what makes them root of the host.
    RootEquivalent = "root-equivalent", "allow less of it, or give it to people who are trusted with root and say so by a comment";
    /// A command that does what it is told, or that runs as root what nobody looks at.
    Interpreter = "interpreter", "name the program itself and let callers choose from a list, or say by a comment why";
    /// A value that a program may take for an option.
    OptionLike = "option-like", "put `--` before it, write it into an option (`--name={x}`), or give it a narrower type";
    /// Any text for a command of root, or any unit's name for its service manager.
    FreeText = "free-text", "let callers choose from a list (`one_of`), give it a narrower type, or run the command as another user";
    /// A route that no request gets to.
    UnreachableRoute = "unreachable-route", "leave it out, or make the routes that take its requests less wide";
    /// A pattern of a route that no request gets to.
    UnreachablePattern = "unreachable-pattern", "leave it out of `match`";
    /// A forbid that forbids nobody anything.
    IdleForbid = "idle-forbid", "leave it out, or say by a comment that it is there for what may be added";
    /// A name in an `allow` that forbids always win over.
    CancelledAllow = "cancelled-allow", "leave the name out of `allow`, or out of the forbid";
    /// A route takes requests from a wider one that allows somebody more.
    Overlap = "overlap", "allow them here too, or say by a comment that they are not meant";
    /// A group that nobody is known to be in.
    EmptyGroup = "empty-group", "correct the name, or put somebody into the group";
    /// A who that everybody is.
    Everyone = "everyone", "name a group that only those are in who need it";
    /// A socket that more can open than the policy allows anything.
    OpenSocket = "open-socket", "let a group open it that only callers of the policy are in";
    /// Callers whom the policy allows something can't open the socket.
    ClosedSocket = "closed-socket", "put them into the socket's group, or leave them out of the policy";
    /// A listener takes what only browsers send.
    Browsers = "browsers", "leave `browsers` out, unless a page is to reach this socket";
    /// Who listens at a backend is not looked at.
    BackendOwner = "backend-owner", "write `owner = \"root\"`, or whoever runs the service";
    /// A rule in shadow mode.
    Shadow = "shadow", "leave `mode` out once its records say what was expected";
    /// A grant that has ended.
    Expired = "expired", "leave the route out, or give it another `until`";
    /// Routes that no test touches.
    Untested = "untested", "write a test for each: `peergate policy test --coverage`";
    /// A who that no rule names.
    UnusedWho = "unused-who", "leave it out";
    /// A backend that no route leads to.
    UnusedBackend = "unused-backend", "leave it out, or name it in a route's `to`";
    /// A comment that silences nothing, or says no reason.
    LintComment = "lint-comment", "write `# lint: allow NAME - reason`, and leave out what is no longer needed";
}

impl fmt::Display for Lint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl std::str::FromStr for Lint {
    type Err = String;

    fn from_str(name: &str) -> Result<Lint, String> {
        let known = || Lint::ALL.iter().copied();
        known().find(|lint| lint.name() == name).ok_or_else(|| {
            match super::near::nearest(name, known().map(Lint::name)) {
                Some(near) => format!("there is no lint {name}; did you mean {near}?"),
                None => {
                    let names: Vec<&str> = known().map(Lint::name).collect();
                    format!("there is no lint {name}; there are {}", names.join(", "))
                }
            }
        })
    }
}

/// Something that was found, in its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// What kind.
    pub lint: Lint,
    /// Where, in words, and what to do.
    pub shown: Diagnostic,
    /// Of a route that makes somebody root of the host: one request by which it does.
    pub way: Option<Way>,
}

/// A request by which somebody becomes root of the host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Way {
    /// The id of the route that allows it.
    pub route: String,
    /// Whom, in words.
    pub who: String,
    /// Method and path.
    pub request: String,
    /// How it does.
    pub why: String,
}

/// Findings while they are collected.
#[derive(Debug, Default)]
struct Found(Vec<Note>);

/// One of them.
#[derive(Debug)]
struct Note {
    lint: Lint,
    span: Span,
    message: String,
    way: Option<Way>,
}

impl Found {
    fn add(&mut self, lint: Lint, span: Span, message: impl Into<String>) {
        self.0.push(Note { lint, span, message: message.into(), way: None });
    }
}

/// All that is found in a draft, in the order of the file, but what comments silence.
pub fn lint(draft: &Draft, known: &Known, daemon: Daemon) -> Vec<Finding> {
    let decider = Decider::new(Arc::clone(&draft.policy));
    let classes = classes(&[&decider], known);
    let mut found = Found::default();
    rules::find(draft, &decider, &classes, &mut found);
    docker::find(draft, &decider, &classes, &mut found);
    commands::find(draft, &mut found);
    people::find(draft, &decider, known, daemon, &mut found);
    comments::silence(&files(draft), &mut found);
    found.0.sort_by_key(|note| (note.span.start, note.lint));
    let problems = problems_of(&draft.text, draft.included());
    let shown = |Note { lint, span, message, way }: Note| Finding {
        lint,
        shown: problems.diagnostic(span, format!("{message} [{lint}]"), Some(lint.help().to_owned())),
        way,
    };
    found.0.into_iter().map(shown).collect()
}

/// Each file of a draft, and where it begins among all of them, as [`problems_of`] puts them.
fn files(draft: &Draft) -> Vec<(usize, &str)> {
    let mut files = vec![(0, draft.text.as_str())];
    for source in draft.included() {
        let from = files.last().map_or(0, |(from, text)| from + text.len() + 1);
        files.push((from, &source.text));
    }
    files
}
