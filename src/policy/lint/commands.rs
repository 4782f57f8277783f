//! Commands by which a caller does more than their author meant: interpreters, options that are taken for values, and
//! text of any kind that reaches root.

mod programs;

use self::programs::{
    Breadth, HARMLESS, How, Managed, Program, introduces_code, is_collector, is_shell, known, knows_dashes,
    manages, runs_its_words, takes_a_value,
};
use super::{Found, Lint};
use crate::policy::diagnostics::quoted;
use crate::policy::draft::Draft;
use crate::policy::file;
use crate::policy::table::{BackendKind, Command, Parameter, Part, Policy, Route, Template, Wanted};
use crate::policy::value::{Charset, Kind, Text};

/// Programs that start others as another user, mostly root.
const TO_ROOT: &[&str] = &["sudo", "su", "doas", "pkexec"];

pub(super) fn find(draft: &Draft, found: &mut Found) {
    let policy = &draft.policy;
    for ((number, backend), written) in (0..).zip(&policy.backends).zip(&draft.written.backends) {
        let (BackendKind::Command(command), Some(written)) = (&backend.kind, &written.command) else {
            continue;
        };
        let routes: Vec<&Route> = policy.routes.iter().filter(|route| route.to.0 == number).collect();
        // Without a route it does nothing, and that is said elsewhere.
        if !routes.is_empty() {
            judge(command, written, &whos(policy, &routes), found);
        }
    }
}

/// Whom these routes allow.
fn whos(policy: &Policy, routes: &[&Route]) -> String {
    let mut names: Vec<String> = Vec::new();
    for named in routes.iter().flat_map(|route| &route.allow) {
        let name = policy.whos.get(usize::from(named.who.0)).map(|who| quoted(&who.name));
        if let Some(name) = name.filter(|name| !names.contains(name)) {
            names.push(name);
        }
    }
    names.join(", ")
}

fn judge(command: &Command, written: &file::Command, whos: &str, found: &mut Found) {
    let words: Vec<Word> = command.arguments.iter().map(|template| Word::of(command, template)).collect();
    let programs =
        || std::iter::once(command.program.as_str()).chain(words.iter().filter_map(|word| word.fixed));
    let root = command.cage.uid.raw() == 0 || programs().any(|word| TO_ROOT.contains(&name_of(word)));
    let user = quoted(if root { "root" } else { &command.cage.user });
    let span = written.words.span;
    let reached = reached(&command.program, &words, command.stdin.is_some());
    match &reached {
        Reached::By { program, how: How::Manages, what } if root => {
            let program = quoted(program);
            let message = format!(
                "{whos} may have {program} act as `root` on any unit, by {what}: on one that guards this host too"
            );
            found.add(Lint::FreeText, span, message);
        }
        Reached::By { program, how, what } if root || *how == How::Engine => {
            let (program, why) = (quoted(program), how.why());
            let message = format!("{whos} may do anything as `root`: {what} gets to {program}, and {why}");
            found.add(Lint::RootEquivalent, span, message);
        }
        Reached::By { program, how, what } if !how.is_of_root_alone() => {
            let (program, why) = (quoted(program), how.why());
            let message = format!("{whos} may do anything as {user}: {what} gets to {program}, and {why}");
            found.add(Lint::Interpreter, span, message);
        }
        Reached::Unlooked { program } if root => {
            let program = quoted(program);
            let message = format!(
                "{program} runs as `root` what nobody looks at: it is judged who can write {program} alone"
            );
            found.add(Lint::Interpreter, span, message);
        }
        _ => {}
    }
    let known_for_worse = root && matches!(reached, Reached::By { .. });
    for ((place, wanted), written) in command.parameters.iter().enumerate().zip(&written.params) {
        let (name, span) = (quoted(&wanted.name), written.name.span);
        match taken_for_option(&command.program, &words, place, wanted) {
            Some(why) => found.add(Lint::OptionLike, span, format!("{name} {why}")),
            None if root && !known_for_worse && breadth(wanted) == Breadth::Free => {
                found.add(
                    Lint::FreeText,
                    span,
                    format!("{whos} may hand any text to a command of `root`, by {name}"),
                );
            }
            None => {}
        }
    }
}

/// What a caller's values do to a program.
enum Reached<'c> {
    /// Nothing that is known.
    No,
    /// Nothing, but it runs something that the policy's reader doesn't see.
    Unlooked { program: &'c str },
    /// They say what it does.
    By { program: &'c str, how: How, what: String },
}

/// One word behind the program.
struct Word<'c> {
    /// Its text, where no value is in it.
    fixed: Option<&'c str>,
    /// Values in it: the places of their parameters, how they are called and how broad they are.
    values: Vec<(usize, &'c str, Breadth)>,
    /// The text before the first value, where a value is in it.
    lead: Option<&'c str>,
}

impl<'c> Word<'c> {
    fn of(command: &'c Command, Template(parts): &'c Template) -> Word<'c> {
        let fixed = match parts.as_slice() {
            [Part::Text(text)] => Some(text.as_str()),
            _ => None,
        };
        let lead = match parts.as_slice() {
            [Part::Parameter(_), ..] => Some(""),
            [Part::Text(text), Part::Parameter(_), ..] => Some(text.as_str()),
            _ => None,
        };
        let (mut before, mut values) = ("", Vec::new());
        for part in parts {
            match part {
                Part::Text(text) => before = text,
                Part::Parameter(place) => {
                    let place = usize::from(*place);
                    if let Some(wanted) = command.parameters.get(place) {
                        values.push((place, wanted.name.as_str(), breadth_behind(before, wanted)));
                    }
                    before = "";
                }
            }
        }
        Word { fixed, values, lead }
    }

    /// Whether it begins with a value.
    fn led(&self) -> bool {
        self.lead == Some("")
    }

    /// The value in it that is so broad.
    fn value(&self, least: Breadth) -> Option<String> {
        self.values.iter().find(|(.., breadth)| *breadth >= least).map(|(_, name, _)| quoted(name))
    }

    fn is_option(&self) -> bool {
        self.fixed.is_some_and(|text| text.starts_with('-'))
    }
}

fn name_of(program: &str) -> &str {
    program.rsplit('/').next().unwrap_or(program)
}

fn breadth(wanted: &Parameter) -> Breadth {
    match &wanted.kind {
        Wanted::Below { .. } => Breadth::Path,
        Wanted::Value(kind) => match kind {
            Kind::Any => Breadth::Free,
            Kind::Text(Text { set: Charset::Printable | Charset::Line, .. }) => Breadth::Free,
            Kind::Text(Text { set: Charset::Reference, .. }) => Breadth::Reference,
            Kind::Text(_) => Breadth::Name,
            Kind::Hex(_) | Kind::Int(_) | Kind::Uuid | Kind::Version | Kind::Bool | Kind::OneOf(_) => {
                Breadth::Listed
            }
        },
    }
}

/// The same, where this text stands before it: behind a directory, a reference is a file below that.
fn breadth_behind(before: &str, wanted: &Parameter) -> Breadth {
    match breadth(wanted) {
        Breadth::Reference if before.split('/').skip(1).any(|name| !name.is_empty()) => Breadth::Path,
        breadth => breadth,
    }
}

/// Whether and how callers say what `program` does with these words, and with the body as its `input`.
fn reached<'c>(program: &'c str, words: &[Word<'c>], input: bool) -> Reached<'c> {
    match known(program).map_or(Reached::No, |(_, row)| reached_by(row, program, words, input)) {
        Reached::No => managed(program, words),
        worse => worse,
    }
}

/// Whether callers say which unit the service manager acts on.
fn managed<'c>(program: &'c str, words: &[Word<'c>]) -> Reached<'c> {
    let value = match manages(program, words.iter().map(|word| word.fixed)) {
        Managed::No => None,
        // Behind `app@` it is an instance of one unit.
        Managed::ByName => words.iter().filter(|word| word.led()).find_map(|word| word.value(Breadth::Name)),
        Managed::ByCall => words.iter().find_map(|word| word.value(Breadth::Name)),
    };
    value.map_or(Reached::No, |what| Reached::By { program, how: How::Manages, what })
}

/// The same, for a program of which this is known.
fn reached_by<'c>(row: &Program, program: &'c str, words: &[Word<'c>], input: bool) -> Reached<'c> {
    let by = |what: Option<String>| match what {
        Some(what) => Reached::By { program, how: row.how, what },
        None => Reached::No,
    };
    let body = || (input && row.input).then(|| BODY.to_owned());
    let widest = |words: &[Word]| words.iter().find_map(|word| word.value(row.least));
    let leading = |least| words.iter().filter(|word| word.led()).find_map(|word| word.value(least));
    match row.how {
        How::Code => {
            let (told, found) = told(program, words);
            let piped = !found || told.iter().any(|word| word.fixed.is_some_and(is_input));
            let what = told.iter().find_map(|word| word.value(row.least));
            match what.or_else(|| body().filter(|_| piped)) {
                None if !words.is_empty() => Reached::Unlooked { program },
                what => by(what),
            }
        }
        // Where nothing is written that it starts, it starts a shell.
        How::Starts => started(program, words, input)
            .unwrap_or_else(|| by(widest(words).or_else(|| input.then(|| BODY.to_owned())))),
        How::Escapes => match leading(row.least) {
            None => handed(program, words, input).unwrap_or_else(|| by(body())),
            what => by(what),
        },
        How::Unpacks => match leading(Breadth::Free) {
            Some(what) => Reached::By { program, how: How::Escapes, what },
            None => by(widest(words).or_else(body)),
        },
        How::Loads | How::Writes | How::Manages => by(widest(words).or_else(body)),
        How::Engine => {
            let verb = words.iter().position(|word| !word.is_option());
            let verb_is_harmless =
                verb.and_then(|at| words.get(at)?.fixed).is_some_and(|verb| HARMLESS.contains(&verb));
            if verb_is_harmless {
                by(words.iter().find_map(|word| word.value(Breadth::Free)))
            } else {
                by(widest(words).or_else(body))
            }
        }
    }
}

/// How the request's body is called.
const BODY: &str = "the body";

/// Whether it is what a program calls its own input.
fn is_input(word: &str) -> bool {
    matches!(word, "-" | "-s" | "/dev/stdin" | "/dev/fd/0" | "/proc/self/fd/0")
}

/// The words of an interpreter that are its program, with what stands before it, and whether there is one: behind each
/// option that says so, else the first that is no option. What stands behind it is the program's own.
fn told<'w, 'c>(program: &str, words: &'w [Word<'c>]) -> (Vec<&'w Word<'c>>, bool) {
    let (shell, collector) = (is_shell(program), is_collector(program));
    let all = || words.iter().collect();
    let (mut at, mut introduced) = (0, false);
    loop {
        match words.get(at).map(|word| word.fixed) {
            None => return (all(), false),
            Some(Some(text)) if !shell && introduces_code(text) => {
                (at, introduced) = ((at + 1).min(words.len() - 1), true);
                break;
            }
            Some(Some(text)) if takes_a_value(text) => at += 2,
            Some(Some(text)) if text.starts_with('-') && text.len() > 1 => at += 1,
            Some(Some(text)) if shell && text.starts_with('+') => at += 1,
            Some(_) => break,
        }
    }
    let runs = |word: &Word| word.fixed.is_some_and(runs_its_words);
    if shell && words.get(at).is_some_and(runs) {
        return (all(), true);
    }
    let mut told: Vec<&Word> = words.iter().take(at + 1).collect();
    let mut says_so = false;
    for word in
        words.iter().skip(at + 1).take_while(|word| introduced && collector && word.fixed != Some("--"))
    {
        let glued = word.lead.is_some_and(|lead| introduces_code(lead.trim_end_matches('=')));
        if says_so || glued {
            told.push(word);
        }
        says_so = !says_so && word.fixed.is_some_and(introduces_code);
    }
    (told, true)
}

/// What `find` starts for each file, where that is a value or known.
fn handed<'c>(program: &'c str, words: &[Word<'c>], input: bool) -> Option<Reached<'c>> {
    let says_so = |word: &Word| matches!(word.fixed, Some("-exec" | "-execdir" | "-ok" | "-okdir"));
    let places = words.iter().enumerate().filter(|(_, word)| says_so(word)).map(|(at, _)| at + 1);
    places.filter(|_| name_of(program) == "find").find_map(|at| {
        let word = words.get(at)?;
        if let Some(what) = word.value(Breadth::Name) {
            return Some(Reached::By { program, how: How::Starts, what });
        }
        match reached(word.fixed?, words.get(at + 1..)?, input) {
            Reached::No => None,
            reached => Some(reached),
        }
    })
}

/// What `program` starts, where that is written: a program that is known here is judged by its own words, another one
/// takes what stands behind it. `None`: nothing is written, so that it is up to the values.
fn started<'c>(program: &'c str, words: &[Word<'c>], input: bool) -> Option<Reached<'c>> {
    let row = known(program).map(|(_, row)| row)?;
    let after_user = |at: usize| {
        let before = at.checked_sub(1).and_then(|at| words.get(at)?.fixed);
        matches!(before, Some("-u" | "-g" | "-U" | "--user" | "--group"))
    };
    // The first path of these is a directory, a lock or what it writes.
    let skipped = usize::from(matches!(name_of(program), "chroot" | "flock" | "script"));
    let path = |word: &&(usize, &'c str)| word.1.starts_with('/');
    let fixed: Vec<(usize, &'c str)> =
        words.iter().enumerate().filter_map(|(at, word)| Some((at, word.fixed?))).collect();
    let inner =
        fixed.iter().find(|(at, text)| !text.starts_with('-') && known(text).is_some() && !after_user(*at));
    let (at, text) = *inner.or_else(|| fixed.iter().filter(path).nth(skipped))?;
    let (before, behind) = words.split_at_checked(at)?;
    if let Some(what) = before.iter().find_map(|word| word.value(row.least)) {
        return Some(Reached::By { program, how: row.how, what });
    }
    if input && row.input {
        return Some(Reached::By { program, how: row.how, what: BODY.to_owned() });
    }
    Some(match reached(text, behind.get(1..)?, input) {
        Reached::No => Reached::Unlooked { program },
        reached => reached,
    })
}

/// Why this value may be read as something else than a value.
fn taken_for_option(program: &str, words: &[Word], place: usize, wanted: &Parameter) -> Option<&'static str> {
    let only_dashes = |word: &Word| matches!(word.lead, Some("-" | "--"));
    let leads = |word: &Word| {
        (word.led() || only_dashes(word)) && word.values.first().is_some_and(|(first, ..)| *first == place)
    };
    let at = words.iter().position(leads)?;
    let dashes = words.iter().take(at).any(|word| word.fixed == Some("--")) && knows_dashes(program);
    match breadth(wanted) {
        _ if dashes => None,
        Breadth::Name | Breadth::Path | Breadth::Reference | Breadth::Free
            if words.get(at).is_some_and(only_dashes) =>
        {
            Some("says which option of the program it is: nothing but `-` stands before it")
        }
        Breadth::Name | Breadth::Path | Breadth::Reference | Breadth::Free if wanted.dash => {
            Some("may be any option of the program: it may begin with `-`, and no `--` stands before it")
        }
        Breadth::Free => {
            Some("is an argument of its own, so that `@file`, `+x`, `a=b` or a path may mean something")
        }
        _ => None,
    }
}
