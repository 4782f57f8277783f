//! The flags and the environment of wollomatic's socket-proxy: a regular expression over the whole path for each method.

use std::collections::BTreeSet;
use std::collections::btree_map::{BTreeMap, Entry};

use super::made::{Made, Route};
use super::regex::{alternatives, narrowed, paths, shown};
use super::words::{settings, words};
use crate::model::method::Method;
use crate::policy::Pattern;

/// Patterns that one method may have.
const MOST: usize = 256;

/// What says nothing about who may do what.
const ELSEWHERE: [&str; 8] = [
    "allowhealthcheck",
    "logjson",
    "loglevel",
    "shutdowngracetime",
    "stoponwatchdog",
    "watchdoginterval",
    "proxyport",
    "listenip",
];

/// Where a body can ask for a bind mount, behind a version or another name too: no prefix is told apart here.
const MOUNTS: [&str; 10] = [
    "POST /containers/create",
    "POST /{before...}/containers/create",
    "POST /containers/{id}/update",
    "POST /{a}/containers/{id}/update",
    "POST /{a}/{b}/containers/{id}/update",
    "POST /services/create",
    "POST /{before...}/services/create",
    "POST /services/{id}/update",
    "POST /{a}/services/{id}/update",
    "POST /{a}/{b}/services/{id}/update",
];

pub(super) fn convert(text: &str) -> Option<Made> {
    let mut made = Made::default();
    // By method; a flag stands before the environment.
    let mut flags: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut environment: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut any = words(text).iter().any(|word| word.starts_with("-allow"));
    for (name, value) in settings(text) {
        if let Some(name) = name.strip_prefix("--").or_else(|| name.strip_prefix('-')) {
            match name.strip_prefix("allow").filter(|method| is_method(method)) {
                Some(method) => flags.entry(method.to_owned()).or_default().push(value),
                None => other(&name.to_lowercase(), &format!("-{name}"), &value, &mut made),
            }
        } else if let Some(rest) = name.strip_prefix("SP_") {
            any = true;
            match rest.strip_prefix("ALLOW_").map(|it| it.split('_').next().unwrap_or(it)) {
                Some(method) if is_method(method) => {
                    environment.entry(method.to_owned()).or_default().push(value);
                }
                _ => other(&rest.to_lowercase(), &name, &value, &mut made),
            }
        } else if name.starts_with("socket-proxy.allow") {
            made.left(format!(
                "{name}={value}: labels of containers name containers, which no caller can be told by"
            ));
        }
    }
    if !any && flags.is_empty() && environment.is_empty() {
        return None;
    }
    for (method, values) in environment {
        match flags.entry(method) {
            Entry::Vacant(free) => {
                free.insert(values);
            }
            Entry::Occupied(flag) => {
                let method = flag.key();
                made.note(format!("SP_ALLOW_{method} does not count beside -allow{method}, there as here"));
            }
        }
    }
    for (method, values) in &flags {
        route(method, values, &mut made);
    }
    made.note("there the query was never looked at, and bodies only for bind mounts: nor is it here, until you say so by `query` and `body`");
    Some(made)
}

fn is_method(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_uppercase())
}

fn other(name: &str, written: &str, value: &str, made: &mut Made) {
    match name {
        "allowfrom" => made.left(format!(
            "{written}={value}: addresses and host names say who may ask there; here the kernel says which user it is"
        )),
        "allowbindmountfrom" => {
            made.left(format!("{written}={value}: what a body may mount; until `body.json` says it, nothing that can mount is allowed"));
            let why = format!("{written}={value} looked into these bodies, and nothing here does yet.");
            made.forbids = MOUNTS.iter().map(|pattern| (*pattern, why.clone())).collect();
        }
        "proxycontainername" => {
            made.left(format!("{written}={value}: labels of containers name containers, which no caller can be told by"));
        }
        "socketpath" => {
            let path = value.strip_prefix("/var/run/").map_or_else(|| value.to_owned(), |rest| format!("/run/{rest}"));
            match super::plain_path(&path) {
                Ok(()) => made.socket = Some(path),
                Err(_) => made.left(format!("{written}={value} is no path of a socket")),
            }
        }
        "proxysocketendpoint" | "proxysocketendpointfilemode" => {
            made.note(format!("{written}={value}: `[listen.docker]` says where the socket is and who may open it (--listen PATH)"));
        }
        known if ELSEWHERE.contains(&known) => {}
        _ => made.left(format!("{written}={value} is no setting that this program knows")),
    }
}

fn route(method: &str, values: &[String], made: &mut Made) {
    if !Method::parse(method.as_bytes()).is_ok_and(|method| method.is_known()) {
        made.left(format!("-allow{method}: this method is not known here, unless `methods` names it"));
        return;
    }
    let mut matches: BTreeSet<String> = BTreeSet::new();
    for value in values {
        let left = |why: String| format!("-allow{method}={value}: {why}");
        let ways = match alternatives(value) {
            Ok(ways) => ways,
            Err(why) => {
                made.left(left(why));
                continue;
            }
        };
        let mut whys: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for way in &ways {
            match say(method, way, &mut matches) {
                Ok(()) => narrowed(way).into_iter().for_each(|less| made.note(left(less.to_owned()))),
                Err(why) => whys.entry(why).or_default().push(shown(way)),
            }
        }
        for (why, of) in whys {
            // Which of several ways it is.
            made.left(if ways.len() == 1 { left(why) } else { left(format!("{why}: {}", some(&of))) });
        }
        if value.contains(".*") || value.contains(".+") {
            made.note(format!(
                "-allow{method}={value}: `.` takes slashes too, so this is all that begins so, with its query"
            ));
        }
    }
    if matches.len() > MOST {
        made.left(format!(
            "-allow{method}: it makes {} patterns; at most {MOST} are carried over",
            matches.len()
        ));
        return;
    }
    let Some(first) = matches.iter().next() else { return };
    // What waits for events or for a container's end.
    let waits = ["events", "logs", "attach", "wait", "stats", "stop", "rest...", "build", "pull"];
    let takes_over = method == "POST"
        && matches.iter().any(|it| it.contains("rest...") || it.contains("attach") || it.contains("exec"));
    made.routes.push(Route {
        id: method.to_lowercase(),
        was: values.iter().map(|value| format!("-allow{method}={value}")).collect::<Vec<_>>().join(" "),
        stream: matches.iter().any(|pattern| waits.iter().any(|word| pattern.contains(word))),
        upgrade: if takes_over { vec!["tcp"] } else { Vec::new() },
        example: example(first),
        matches: matches.into_iter().collect(),
    });
}

/// The first of them, and how many there are besides.
fn some(ways: &[String]) -> String {
    const SHOWN: usize = 3;
    let first = ways.iter().take(SHOWN).map(|way| format!("`{way}`")).collect::<Vec<_>>().join(", ");
    match ways.len().saturating_sub(SHOWN) {
        0 => first,
        more => format!("{first} and {more} more"),
    }
}

/// Adds the patterns of one way.
fn say(method: &str, way: &[super::regex::Token], matches: &mut BTreeSet<String>) -> Result<(), String> {
    for path in paths(way)? {
        let pattern = format!("{method} {path}");
        Pattern::parse(&pattern).map_err(|bad| format!("{path} is no pattern: {}", bad.message))?;
        matches.insert(pattern);
    }
    Ok(())
}

/// A request that the pattern takes: its captures hold digits, as many as they ask for.
fn example(pattern: &str) -> String {
    let mut pieces = pattern.split('{');
    let mut example = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        let (inside, behind) = piece.split_once('}').unwrap_or((piece, ""));
        if let Some((_, only)) = inside.split_once(":one_of ") {
            example.push_str(only);
            example.push_str(behind);
            continue;
        }
        let digits = inside.rsplit_once(":hex ").and_then(|(_, count)| count.parse().ok()).unwrap_or(1);
        example.push_str(&"4".repeat(digits));
        example.push_str(behind);
    }
    example
}
