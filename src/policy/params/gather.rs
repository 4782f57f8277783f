//! A request's values for a command: where each is looked for, and nowhere else.

use std::borrow::Cow;

use super::Given;
use crate::model::json::Json;
use crate::model::refusal::Refusal;
use crate::model::target::{Asked, Target};
use crate::policy::pattern::{Pattern, Piece};
use crate::policy::table::{BackendKind, Command, Origin, Parameter, Policy, Route};

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
        // Some read a space there.
        if value.contains('+') {
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

/// Whether the command behind a route takes a request's values, as a gate judges them once all else is in order; a route
/// without a command takes any.
///
/// # Errors
///
/// The refusal, and what it is about: `parameter unit`, or `parameters` where it is not one alone; `method HEAD`, `body`.
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
    let (method, judged) = (asked.method.as_str(), route.reads.json.is_some());
    let (most, over) =
        command.room(method, judged).map_err(|refusal| (refusal, format!("method {method}")))?;
    if body.len() as u64 > most {
        return Err((over, "body".to_owned()));
    }
    let wrong = |refusal| (refusal, "parameters".to_owned());
    let members = members_of(command, body).map_err(wrong)?;
    let given = gathered(command, route, method, asked.target, &members).map_err(wrong)?;
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
pub(super) fn members(body: &[u8], wants: &dyn Fn(&str) -> bool) -> Result<Given, Refusal> {
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
pub(super) fn captures<'a>(
    pattern: &'a Pattern,
    method: &str,
    target: &'a Target,
) -> Option<Vec<(&'a str, &'a str)>> {
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

/// A canonical text with its triplets decoded.
pub(super) fn decoded(text: &str) -> Result<String, Refusal> {
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
