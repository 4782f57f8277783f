//! `peergate policy who-can` and `what-can`: a policy asked from both sides.

use std::path::PathBuf;

use clap::Args;
use serde_json::{Value as Json, json};

use super::caller::{Described, listener};
use super::request::Request;
use super::source::Whence;
use crate::cli::term::Term;
use crate::cli::{Answer, Failure, Format};
use crate::policy::Listener;
use crate::policy::grants::{Except, RouteTerms, WhatCan, might_be, opens, what_can, who_can};

pub(super) const WHO_HELP: &str = "\
Exit codes:
  0  somebody may, at some time
  1  nobody may: no route, or a forbid for everyone, or the route has ended
  2  the command line makes no sense
  3  a file can't be read, or is no valid policy

Examples:
  peergate policy who-can /etc/peergate/policy.toml \"GET /containers/json\"
  peergate policy who-can policy.toml --on metrics \"GET /_peergate/metrics\" --names names.json";

pub(super) const WHAT_HELP: &str = "\
Exit codes:
  0  the caller may something, at some time
  1  the caller may nothing, or all of it has ended
  2  the command line makes no sense
  3  a file can't be read, or is no valid policy; there is no such user

Examples:
  peergate policy what-can /etc/peergate/policy.toml ci
  peergate policy what-can policy.toml root
  peergate policy what-can policy.toml --group docker-ops";

#[derive(Debug, Args)]
pub(in crate::cli) struct WhoArguments {
    /// The policy; `-` reads standard input
    file: PathBuf,
    /// Method and target, such as "GET /containers/json"
    request: String,
    /// The listener [default: the only one]
    #[arg(long, value_name = "LISTENER")]
    on: Option<String>,
    #[command(flatten)]
    whence: Whence,
    /// For people, or for programs
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct WhatArguments {
    /// The policy; `-` reads standard input
    file: PathBuf,
    /// A user by name, with all groups of its login
    #[arg(conflicts_with = "user", value_name = "USER")]
    name: Option<String>,
    /// The listener [default: every one]
    #[arg(long, value_name = "LISTENER")]
    on: Option<String>,
    #[command(flatten)]
    caller: Described,
    #[command(flatten)]
    whence: Whence,
    /// For people, or for programs
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

pub(super) fn who(arguments: &WhoArguments, term: &mut Term) -> Result<Answer, Failure> {
    let reading = arguments.whence.open()?;
    let draft = reading.valid(&arguments.file, term)?;
    let policy = &draft.policy;
    let on = listener(policy, arguments.on.as_deref())?;
    let name = policy.listener(on).map(|listener| listener.name.clone()).unwrap_or_default();
    let request = Request::parse(&arguments.request)?;
    let target = match (request.refused(policy), request.target) {
        (None, Ok(target)) => target,
        (refusal, target) => {
            let refusal = refusal.or(target.err());
            let why = refusal.map_or("", |refusal| refusal.text());
            match arguments.format {
                Format::Text => term.line(format_args!("nobody: the request itself is refused: {why}"))?,
                Format::Json => {
                    let code = refusal.map(|refusal| refusal.code());
                    term.line(
                        json!({ "on": name, "refusal": code, "route": null, "may": [], "refused": [] }),
                    )?;
                }
            }
            return Ok(Answer::No);
        }
    };
    let shown = format!("{} {target}", request.method);
    let can = who_can(policy, &reading.known(), on, request.method, target);
    match (arguments.format, &can.route) {
        (Format::Json, route) => {
            let may = can.whos.iter();
            let may = may
                .map(|who| json!({ "who": who.who, "at": who.at, "means": who.means, "users": who.users }));
            let refused = can.refused.iter().map(|(who, why)| json!({ "who": who, "why": why }));
            term.line(json!({
                "request": shown, "on": name, "route": route.as_ref().map(terms_json),
                "may": may.collect::<Vec<_>>(), "refused": refused.collect::<Vec<_>>(),
            }))?;
        }
        (Format::Text, None) => term.line(format_args!("nobody: no route of {name} matches {shown}"))?,
        (Format::Text, Some(route)) => {
            term.line(format_args!("{shown} on {name}: route {} ({}), to {}", route.id, route.at, route.to))?;
            tell_conditions(route, "  ", term)?;
            for who in &can.whos {
                term.line(format_args!("  may: {} ({}), {}", who.who, who.at, who.means))?;
                let users =
                    if who.users.is_empty() { "nobody that is known here" } else { &who.users.join(", ") };
                term.line(format_args!("       {users}"))?;
            }
            for (who, why) in &can.refused {
                term.line(format_args!("  may not: {who}: {why}"))?;
            }
        }
    }
    let may = can.any && !can.route.is_some_and(|route| route.ended);
    Ok(if may { Answer::Yes } else { Answer::No })
}

pub(super) fn what(arguments: &WhatArguments, term: &mut Term) -> Result<Answer, Failure> {
    let reading = arguments.whence.open()?;
    let draft = reading.valid(&arguments.file, term)?;
    let policy = &draft.policy;
    let mut described = arguments.caller.clone();
    described.user = described.user.or_else(|| arguments.name.clone());
    let caller = described.caller(&reading)?;
    let only = arguments.on.as_deref().map(|name| listener(policy, Some(name))).transpose()?;
    let (mut any, mut lists) = (false, Vec::new());
    for (place, listener) in policy.listeners.iter().enumerate() {
        if only.is_some_and(|only| usize::from(only.0) != place) {
            continue;
        }
        let (whats, whole) = what_can(policy, listener, &caller);
        any |= whats.iter().any(|what| !what.route.ended);
        let opens = opens(listener, reading.daemon(), &caller);
        match arguments.format {
            Format::Text => tell(listener, &whats, whole, opens, term)?,
            Format::Json => lists.push(json!({
                "on": listener.name, "path": listener.path, "opens": opens, "whole": whole,
                "may": whats.iter().map(what_json).collect::<Vec<_>>(),
            })),
        }
    }
    let unless = might_be(policy, &reading.known(), &caller);
    match arguments.format {
        Format::Json => {
            let unless = unless.iter().map(|(who, means)| json!({ "who": who, "means": means }));
            term.line(json!({ "listeners": lists, "unless": unless.collect::<Vec<_>>() }))?;
        }
        Format::Text => {
            for (who, means) in &unless {
                term.line(format_args!("more, where it is {who}: {means}"))?;
            }
        }
    }
    Ok(if any { Answer::Yes } else { Answer::No })
}

fn tell(
    listener: &Listener,
    whats: &[WhatCan],
    whole: bool,
    opens: bool,
    term: &mut Term,
) -> Result<(), Failure> {
    let opened = if opens { "can open it" } else { "can't open it" };
    term.line(format_args!("{} ({}, mode {:04o}: {opened})", listener.name, listener.path, listener.mode))?;
    if whats.is_empty() {
        term.line("  nothing")?;
    }
    let mut route = "";
    for what in whats {
        if route != what.route.id {
            let RouteTerms { id, at, to, .. } = &what.route;
            term.line(format_args!("  route {id} ({at}), to {to}, by {} ({})", what.by.0, what.by.1))?;
            tell_conditions(&what.route, "      ", term)?;
            route = id;
        }
        term.line(format_args!("    {}", what.pattern))?;
        for Except { pattern, such_as, why } in &what.except {
            match pattern {
                Some(pattern) => {
                    term.line(format_args!("      but not {pattern}, such as {such_as}: {why}"))?
                }
                None => term.line(format_args!("      but not all of it: {such_as}: {why}"))?,
            }
        }
    }
    if !whole {
        term.line("  not all is told: the policy tells more requests apart than are looked at")?;
    }
    Ok(())
}

fn tell_conditions(route: &RouteTerms, indent: &str, term: &mut Term) -> Result<(), Failure> {
    let over = |name: &str| if name == "until" && route.ended { " (over: nobody may any more)" } else { "" };
    let conditions: Vec<String> =
        route.conditions.iter().map(|(name, value)| format!("{name}: {value}{}", over(name))).collect();
    if conditions.is_empty() { Ok(()) } else { term.line(format_args!("{indent}{}", conditions.join("; "))) }
}

fn terms_json(route: &RouteTerms) -> Json {
    let conditions: serde_json::Map<String, Json> =
        route.conditions.iter().map(|(name, value)| ((*name).to_owned(), json!(value))).collect();
    json!({ "id": route.id, "at": route.at, "to": route.to, "conditions": conditions, "ended": route.ended })
}

fn what_json(what: &WhatCan) -> Json {
    let except = what.except.iter().map(
        |Except { pattern, such_as, why }| json!({ "pattern": pattern, "such_as": such_as, "why": why }),
    );
    json!({
        "route": terms_json(&what.route), "pattern": what.pattern, "by": what.by.0, "at": what.by.1,
        "except": except.collect::<Vec<_>>(),
    })
}
