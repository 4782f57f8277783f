//! What callers fill into a command: gathered from the request by the gate, judged and filled in by whoever holds the
//! policy. The warden gathers from the target for itself once more, and takes nothing but the members of a body from a
//! gate, which alone has read it.
//!
//! A value never becomes more than the one argument, or part of an argument, that the policy names it in: there is no
//! shell, and no splitting (CVE-2023-22809). It never begins with `-`, which would make it an option, and is never
//! empty, which would make programs take the next argument for it, unless the policy says so.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use super::pattern::{Pattern, Piece};
use super::table::{BackendKind, Command, Origin, Parameter, Part, Policy, Route, Wanted};
use crate::model::json::Json;
use crate::model::refusal::Refusal;
use crate::model::target::{Asked, Target};

/// Values by the names of their parameters.
pub type Given = Vec<(String, String)>;

/// One argument, filled in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Argument {
    /// This text.
    Text(String),
    /// A thing below a directory, judged as the command's user when it starts.
    Below {
        /// What stands before it in the argument.
        before: String,
        /// The directory.
        directory: String,
        /// The path from there.
        path: String,
        /// What stands behind it.
        after: String,
        /// Whether it is handed over as an open descriptor.
        opened: bool,
    },
}

/// The longest path below a directory, in bytes.
const LONGEST_PATH: usize = 4_000;

/// Gathers a request's values for a command: captures and query from its target, and `members`, which are the body's,
/// each where the policy looks for it and nowhere else.
///
/// # Errors
///
/// [`Refusal::Parameter`] for what no parameter asks for; what the query's own rules say.
pub fn gathered(
    command: &Command,
    route: &Route,
    method: &str,
    target: &Target,
    members: &[(String, String)],
) -> Result<Given, Refusal> {
    let wants = |origin, name: &str| command.wants(origin, name);
    let mut given = Given::new();
    let captured = route.matches.iter().find_map(|pattern| captures(pattern, method, target));
    for (name, value) in captured.unwrap_or_default() {
        if wants(Origin::Path, name) {
            given.push((name.to_owned(), decoded(value)?));
        }
    }
    target.query_names_once()?;
    for (name, value) in target.query_pairs() {
        if !wants(Origin::Query, name) {
            return Err(Refusal::Parameter);
        }
        given.push((name.to_owned(), decoded(value)?));
    }
    if members.iter().any(|(name, _)| !wants(Origin::Body, name)) {
        return Err(Refusal::Parameter);
    }
    given.extend_from_slice(members);
    Ok(given)
}

/// The values that a body holds for a command: the members of a JSON object, none where no parameter comes from there.
///
/// # Errors
///
/// [`Refusal::Parameter`] for another body, and for a member that no parameter asks for.
pub fn members_of(command: &Command, body: &[u8]) -> Result<Given, Refusal> {
    if body.is_empty() || command.parameters.iter().all(|wanted| wanted.from != Origin::Body) {
        return Ok(Given::new());
    }
    members(body, &|name| command.wants(Origin::Body, name))
}

/// Whether the command behind a route takes a request's values, as a gate judges them once all else is in order; else the
/// refusal, and what it is about: `parameter unit`, or `parameters`. A route without a command takes any.
pub(crate) fn judge_values(
    policy: &Policy,
    route: &str,
    asked: &Asked<'_>,
    body: &[u8],
) -> Result<(), (Refusal, String)> {
    let Some(route) = policy.routes.iter().find(|known| known.id == route) else { return Ok(()) };
    let Some(BackendKind::Command(command)) = policy.backend(route.to).map(|backend| &backend.kind) else {
        return Ok(());
    };
    let wrong = |refusal| (refusal, "parameters".to_owned());
    let members = members_of(command, body).map_err(wrong)?;
    let given = gathered(command, route, asked.method.as_str(), asked.target, &members).map_err(wrong)?;
    let fits = |wanted: &Parameter| match given.iter().find(|(name, _)| *name == wanted.name) {
        Some((_, value)) => wanted.takes(value),
        None => wanted.optional,
    };
    match command.parameters.iter().find(|wanted| !fits(wanted)) {
        Some(wanted) => Err((Refusal::Parameter, format!("parameter {}", wanted.name))),
        None => command.filled(&given).map(|_| ()).map_err(wrong),
    }
}

/// The members of a flat JSON object.
fn members(body: &[u8], wants: &dyn Fn(&str) -> bool) -> Result<Given, Refusal> {
    let Ok(Json::Object(members)) = Json::parse(body) else { return Err(Refusal::Parameter) };
    let member = |(name, value): (Cow<'_, str>, Json<'_>)| {
        let value = match value {
            Json::Text(text) => text.into_owned(),
            Json::Number(number) => number.to_owned(),
            Json::Bool(value) => value.to_string(),
            Json::Null | Json::List(_) | Json::Object(_) => return Err(Refusal::Parameter),
        };
        if wants(&name) { Ok((name.into_owned(), value)) } else { Err(Refusal::Parameter) }
    };
    members.into_iter().map(member).collect()
}

/// The captures of a pattern that matches, still encoded.
fn captures<'a>(pattern: &'a Pattern, method: &str, target: &'a Target) -> Option<Vec<(&'a str, &'a str)>> {
    if pattern.method().is_some_and(|wanted| wanted != method) {
        return None;
    }
    let path = target.path().strip_prefix('/')?;
    let pieces = pattern.pieces();
    let mut captured = Vec::new();
    let Some(rest) = pieces.iter().position(|piece| matches!(piece, Piece::Rest { .. })) else {
        let segments: Vec<&str> = path.split('/').collect();
        return (segments.len() == pieces.len() && all(pieces, segments.into_iter(), &mut captured))
            .then_some(captured);
    };
    let (before, behind) = (pieces.get(..rest)?, pieces.get(rest + 1..)?);
    let count = path.split('/').count();
    let inner = count.checked_sub(before.len() + behind.len()).filter(|inner| *inner > 0)?;
    // The bytes of so many segments and of the slashes between them.
    let length = |path: &str, segments: usize| {
        path.split('/').take(segments).map(|segment| segment.len() + 1).sum::<usize>()
    };
    let start = length(path, before.len());
    let tail = path.get(start..)?;
    let end = length(tail, inner);
    let (whole, last) = (tail.get(..end - 1)?, tail.get(end..).unwrap_or(""));
    let fits = all(before, path.split('/').take(before.len()), &mut captured)
        && !whole.is_empty()
        && (behind.is_empty() || all(behind, last.split('/'), &mut captured));
    let name = pieces.get(rest)?.name()?;
    captured.push((name, whole));
    fits.then_some(captured)
}

/// Whether each segment fits its piece; captures are collected.
fn all<'a>(
    pieces: &'a [Piece],
    segments: impl Iterator<Item = &'a str>,
    captured: &mut Vec<(&'a str, &'a str)>,
) -> bool {
    pieces.iter().zip(segments).all(|(piece, segment)| match piece {
        Piece::Literal(text) => text == segment,
        Piece::Capture { name, kind } => {
            captured.push((name, segment));
            kind.captures(segment)
        }
        Piece::Mixed { prefix, name, kind, suffix } => {
            let inner =
                segment.strip_prefix(prefix.as_str()).and_then(|rest| rest.strip_suffix(suffix.as_str()));
            inner.is_some_and(|inner| {
                captured.push((name, inner));
                kind.captures(inner)
            })
        }
        Piece::Rest { .. } => false,
    })
}

/// A canonical text with its triplets decoded. A `+` in it is refused, since some read a space there.
fn decoded(text: &str) -> Result<String, Refusal> {
    if text.contains('+') {
        return Err(Refusal::Parameter);
    }
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((byte, behind)) = rest.split_first() {
        rest = behind;
        match (byte, behind.split_at_checked(2)) {
            (b'%', Some((digits, after))) => {
                let digits = std::str::from_utf8(digits).ok();
                let value = digits.and_then(|digits| u8::from_str_radix(digits, 16).ok());
                bytes.push(value.ok_or(Refusal::Parameter)?);
                rest = after;
            }
            _ => bytes.push(*byte),
        }
    }
    String::from_utf8(bytes).map_err(|_| Refusal::Parameter)
}

impl Command {
    fn wants(&self, origin: Origin, name: &str) -> bool {
        self.parameters.iter().any(|wanted| wanted.from == origin && wanted.name == name)
    }

    /// The program's arguments with these values filled in: each value of a parameter that there is, none twice, each
    /// of its kind, none that is needed missing.
    ///
    /// # Errors
    ///
    /// [`Refusal::Parameter`].
    pub fn filled(&self, given: &[(String, String)]) -> Result<Vec<Argument>, Refusal> {
        let values = self.values(given)?;
        let mut arguments = Vec::new();
        'arguments: for template in &self.arguments {
            let mut argument = Argument::Text(String::new());
            for part in &template.0 {
                match part {
                    Part::Text(text) => argument.tail().push_str(text),
                    Part::Parameter(place) => {
                        let place = usize::from(*place);
                        let value = values.get(place).copied().flatten();
                        let (Some(wanted), Some(value)) = (self.parameters.get(place), value) else {
                            // It may be left out, and so is the argument.
                            continue 'arguments;
                        };
                        argument.fill(wanted, value);
                    }
                }
            }
            arguments.push(argument);
        }
        Ok(arguments)
    }

    /// The values in the order of the parameters.
    fn values<'g>(&self, given: &'g [(String, String)]) -> Result<Vec<Option<&'g str>>, Refusal> {
        let known = |name: &str| self.parameters.iter().any(|wanted| wanted.name == name);
        let twice = |at: usize, name: &str| given.iter().take(at).any(|(other, _)| other == name);
        if given.iter().enumerate().any(|(at, (name, _))| !known(name) || twice(at, name)) {
            return Err(Refusal::Parameter);
        }
        let value = |wanted: &Parameter| match given.iter().find(|(name, _)| *name == wanted.name) {
            Some((_, value)) if wanted.takes(value) => Ok(Some(value.as_str())),
            None if wanted.optional => Ok(None),
            _ => Err(Refusal::Parameter),
        };
        self.parameters.iter().map(value).collect()
    }

    /// What a record says of the arguments: secrets as `hash` makes them.
    pub fn told(&self, given: &[(String, String)], hash: impl Fn(&[u8]) -> String) -> Vec<String> {
        let told: Given = given
            .iter()
            .map(|(name, value)| {
                let secret = self.parameters.iter().any(|wanted| wanted.name == *name && wanted.secret);
                (name.clone(), if secret { hash(value.as_bytes()) } else { value.clone() })
            })
            .collect();
        let value = |place: &u16| {
            let name = &self.parameters.get(usize::from(*place))?.name;
            told.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
        };
        let shown = |part: &Part| match part {
            Part::Text(text) => Some(text.clone()),
            Part::Parameter(place) => value(place).map(str::to_owned),
        };
        let argument =
            |template: &super::table::Template| template.0.iter().map(shown).collect::<Option<String>>();
        std::iter::once(self.program.clone()).chain(self.arguments.iter().filter_map(argument)).collect()
    }
}

impl Argument {
    /// What follows a path in it, or all of it.
    fn tail(&mut self) -> &mut String {
        match self {
            Argument::Text(text) | Argument::Below { after: text, .. } => text,
        }
    }

    fn fill(&mut self, wanted: &Parameter, value: &str) {
        match &wanted.kind {
            Wanted::Value(_) => self.tail().push_str(value),
            Wanted::Below { directory, opened } => {
                let before = std::mem::take(self.tail());
                *self = Argument::Below {
                    before,
                    directory: directory.clone(),
                    path: value.to_owned(),
                    after: String::new(),
                    opened: *opened,
                };
            }
        }
    }
}

impl Parameter {
    /// Whether a value is one.
    fn takes(&self, value: &str) -> bool {
        if value.contains('\0') || value.starts_with('-') && !self.dash || value.is_empty() && !self.empty {
            return false;
        }
        match &self.kind {
            Wanted::Value(kind) => kind.takes(value),
            // That no link leads out of it is seen when it is opened.
            Wanted::Below { .. } => {
                value.len() <= LONGEST_PATH
                    && !value.contains(char::is_control)
                    && value.split('/').all(|name| !matches!(name, "" | "." | ".."))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::pattern::Pattern;
    use crate::policy::value::Kind;

    fn found(pattern: &str, path: &str) -> Option<Vec<(String, String)>> {
        let (pattern, target) = (Pattern::parse(pattern).unwrap(), Target::parse(path.as_bytes()).unwrap());
        let captured = captures(&pattern, "POST", &target)?;
        Some(captured.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect())
    }

    fn pair(name: &str, value: &str) -> (String, String) {
        (name.to_owned(), value.to_owned())
    }

    #[test]
    fn captures_are_those_of_the_pattern_that_matches() {
        assert_eq!(found("POST /a/{b}", "/a/c"), Some(vec![pair("b", "c")]));
        assert_eq!(found("* /v{n:int}.x/{r}", "/v7.x/y"), Some(vec![pair("n", "7"), pair("r", "y")]));
        assert_eq!(found("POST /a/{r...}", "/a/b/c"), Some(vec![pair("r", "b/c")]));
        assert_eq!(found("POST /a/{r...}/end", "/a/b/c/end"), Some(vec![pair("r", "b/c")]));
        for (pattern, path) in [
            ("GET /a/{b}", "/a/c"),
            ("POST /a/{b}", "/a"),
            ("POST /a/{b}", "/a/b/c"),
            ("POST /a/{b:int}", "/a/b"),
            ("POST /a/{r...}/end", "/a/end"),
            ("POST /a/{r...}/end", "/a/b/other"),
        ] {
            assert_eq!(found(pattern, path), None, "{pattern} {path}");
        }
    }

    #[test]
    fn decoded_is_what_the_triplets_say_and_no_space_for_a_plus() {
        assert_eq!(decoded("a%20b%C3%A9"), Ok("a bé".to_owned()));
        for text in ["a+b", "%FF"] {
            assert_eq!(decoded(text), Err(Refusal::Parameter), "{text}");
        }
    }

    #[test]
    fn members_are_those_of_one_flat_object() {
        let wants = |name: &str| matches!(name, "a" | "b" | "c");
        let read = |body: &str| members(body.as_bytes(), &wants);
        let all = [pair("a", "x y"), pair("b", "7"), pair("c", "true")];
        assert_eq!(read(r#"{"a":"x y","b":7,"c":true}"#), Ok(all.into()));
        for body in [
            "[]",
            r#"{"a":"x","a":"y"}"#,
            r#"{"a":"x","A":"y"}"#,
            r#"{"d":"x"}"#,
            r#"{"a":["x"]}"#,
            r#"{"a":null}"#,
            r#"{"a":"x"} {}"#,
        ] {
            assert_eq!(read(body), Err(Refusal::Parameter), "{body}");
        }
    }

    fn parameter(name: &str, kind: Wanted) -> Parameter {
        let (optional, secret, dash, empty) = (false, false, false, false);
        Parameter { name: name.to_owned(), from: Origin::Query, kind, optional, secret, dash, empty }
    }

    fn command(parameters: Vec<Parameter>, arguments: Vec<Vec<Part>>) -> Command {
        use crate::model::caller::{Gid, Uid};
        use crate::policy::table::{Bounds, Cage, OnLeave, Template};
        Command {
            program: "/bin/x".to_owned(),
            arguments: arguments.into_iter().map(Template).collect(),
            parameters,
            cage: Cage {
                user: "root".to_owned(),
                uid: Uid::new(0).unwrap(),
                gid: Gid::new(0).unwrap(),
                groups: Vec::new(),
                environment: Vec::new(),
                directory: "/".to_owned(),
                umask: 0o077,
                rlimits: Vec::new(),
                new_privileges: false,
                sandbox: None,
            },
            bounds: Bounds { timeout_ms: 1, grace_ms: 1, output: 1, on_leave: OnLeave::Kill },
            stdin: None,
            statuses: Vec::new(),
            concurrent: 1,
            queue: 0,
        }
    }

    #[test]
    fn filled_takes_each_value_once_and_of_its_kind() {
        let parameters = vec![
            parameter("any", Wanted::Value(Kind::Any)),
            Parameter { optional: true, secret: true, ..parameter("n", Wanted::Value(Kind::Int(None))) },
        ];
        let text = |text: &str| Part::Text(text.to_owned());
        let command = command(
            parameters,
            vec![vec![text("--x="), Part::Parameter(0)], vec![Part::Parameter(1)], vec![text("end")]],
        );
        let words = |given: &[(String, String)]| {
            let filled = command.filled(given).ok()?;
            let word = |argument: &Argument| match argument {
                Argument::Text(text) => text.clone(),
                Argument::Below { .. } => panic!("no path is wanted"),
            };
            Some(filled.iter().map(word).collect::<Vec<_>>())
        };
        assert_eq!(words(&[pair("any", "a b")]).unwrap(), ["--x=a b", "end"]);
        assert_eq!(words(&[pair("n", "7"), pair("any", "a")]).unwrap(), ["--x=a", "7", "end"]);
        for given in [
            vec![],
            vec![pair("n", "7")],
            vec![pair("any", "")],
            vec![pair("any", "-a")],
            vec![pair("any", "a\0b")],
            vec![pair("any", "a"), pair("n", "x")],
            vec![pair("any", "a"), pair("any", "b")],
            vec![pair("any", "a"), pair("more", "b")],
        ] {
            assert_eq!(words(&given), None, "{given:?}");
        }
        let told = command.told(&[pair("any", "a"), pair("n", "7")], |_| "~hash".to_owned());
        assert_eq!(told, ["/bin/x", "--x=a", "~hash", "end"]);
    }

    #[test]
    fn gathered_takes_each_value_from_its_own_place_alone() {
        let from = |name: &str, from| Parameter { from, ..parameter(name, Wanted::Value(Kind::Any)) };
        let parameters =
            vec![from("path", Origin::Path), from("query", Origin::Query), from("body", Origin::Body)];
        let command = command(parameters, Vec::new());
        let policy = crate::policy::load_text(
            "t",
            "version = 1\n[listen.a]\npath = \"/run/a/s\"\n[backend.b]\nproxy = \"unix:/run/b\"\n[who.w]\nuid = [0]\n\
             [[route]]\nid = \"r\"\nmatch = [\"POST /{path}/{other}\"]\nto = \"b\"\nallow = [\"w\"]\n",
            &crate::policy::SystemNames,
            &crate::policy::Own::system(crate::model::caller::Uid::new(0).unwrap(), crate::model::caller::Gid::new(0).unwrap()),
        )
        .unwrap();
        let gathered = |target: &str, members: &[(String, String)]| {
            let target = Target::parse(target.as_bytes()).unwrap();
            gathered(&command, &policy.routes[0], "POST", &target, members)
        };
        let all = [pair("path", "a b"), pair("query", "c"), pair("body", "d")];
        assert_eq!(gathered("/a%20b/x?query=c", &[pair("body", "d")]), Ok(all.into()));
        for (target, member) in [
            ("/a/x", "path"),
            ("/a/x", "query"),
            ("/a/x", "other"),
            ("/a/x?body=d", "body"),
            ("/a/x?path=d", "body"),
        ] {
            let refused = gathered(target, &[pair(member, "d")]);
            assert_eq!(refused, Err(Refusal::Parameter), "{target} {member}");
        }
    }

    #[test]
    fn filled_path_names_something_below_and_nothing_else() {
        let kind = Wanted::Below { directory: "/srv".to_owned(), opened: true };
        let command = command(vec![parameter("p", kind)], vec![vec![Part::Parameter(0)]]);
        assert!(command.filled(&[pair("p", "a/b")]).is_ok());
        for path in ["", ".", "..", "a/../b", "/etc", "a//b", "a/", "-a", "a\nb"] {
            assert!(command.filled(&[pair("p", path)]).is_err(), "{path:?}");
        }
    }
}
