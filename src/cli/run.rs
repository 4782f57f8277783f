//! `peergate run`: a person runs a command of the policy, sees what it says as it says it, and gets its exit code: a
//! polite `sudo -n`.
//!
//! What the command says goes to stdout and stderr byte for byte, as it would from the command itself.

mod http;

use std::io::{self, Read, Write};
use std::path::PathBuf;

use clap::Args;
use serde_json::Value;

use super::term::Term;
use super::{Answer, Failure};
use http::{Exchange, encoded};

/// Where the packaged policy listens.
const SOCKET: &str = "/run/peergate/api.sock";

/// It was not allowed, or a value is not what it may be.
const DENIED: u8 = 126;
/// There is no such route among those that the caller may call.
const UNKNOWN: u8 = 127;
/// It could not be asked for, could not be started, or its answer ended early.
const FAILED: u8 = 125;

/// What `peergate run --help` says of exit codes.
pub const EXIT_CODES: &str = "\
Exit codes:
  the command's own, or 128 and the number of the signal that it died of; else
  124  its time was over
  125  it could not be asked for or started, or its answer ended early
  126  not allowed, or a value is not what it may be
  127  no such route among those that may be called here";

/// What is to be run.
#[derive(Debug, Args)]
pub struct Arguments {
    /// A route's id, or a path from `/` on; without one, what may be called is listed
    target: Option<String>,
    /// Values, `NAME=VALUE`: captures of the route's pattern, the others go into the query
    #[arg(value_name = "NAME=VALUE")]
    values: Vec<String>,
    /// The socket that the daemon listens on
    #[arg(long, value_name = "SOCKET", default_value = SOCKET)]
    socket: PathBuf,
    /// The method, where the target is a path
    #[arg(long, default_value = "POST")]
    method: String,
    /// Values that are no captures go into a JSON object in the body
    #[arg(long, conflicts_with = "stdin")]
    body: bool,
    /// Standard input is the command's input
    #[arg(long)]
    stdin: bool,
}

/// Runs it. The answer is its exit code.
///
/// # Errors
///
/// What could not be done before anything was asked for.
pub fn run(arguments: &Arguments, term: &mut Term) -> Result<Answer, Failure> {
    let Some(target) = &arguments.target else { return list(arguments, term) };
    let mut values = Vec::new();
    for written in &arguments.values {
        match written.split_once('=') {
            Some((name, value)) => values.push((name.to_owned(), value.to_owned())),
            None => return Err(Failure::Because(format!("{written:?} is no NAME=VALUE"))),
        }
    }
    let (method, mut path) = if target.starts_with('/') {
        (arguments.method.clone(), target.clone())
    } else {
        match find(arguments, target, &mut values) {
            Ok(Some(found)) => found,
            Ok(None) => {
                term.complain(format_args!("there is no route {target:?} that you may call here"));
                return Ok(Answer::NoBecause(UNKNOWN));
            }
            Err(error) => return Ok(failed(term, &error)),
        }
    };
    let mut body = Vec::new();
    if arguments.body {
        let members = values.into_iter().map(|(name, value)| (name, Value::String(value)));
        body = Value::Object(members.collect()).to_string().into_bytes();
    } else if !values.is_empty() {
        let pairs: Vec<String> =
            values.iter().map(|(name, value)| format!("{}={}", encoded(name), encoded(value))).collect();
        path.push(if path.contains('?') { '&' } else { '?' });
        path.push_str(&pairs.join("&"));
    }
    if arguments.stdin {
        io::stdin().read_to_end(&mut body).map_err(Failure::at("can't read standard input"))?;
    }
    match Exchange::ask(&arguments.socket, &method, &path, &body).and_then(|asked| pass(asked, term)) {
        Ok(code) => Ok(if code == 0 { Answer::Yes } else { Answer::NoBecause(code) }),
        Err(error) => Ok(failed(term, &error)),
    }
}

fn failed(term: &mut Term, error: &io::Error) -> Answer {
    term.complain(error);
    Answer::NoBecause(FAILED)
}

/// What may be called, as the daemon says it.
fn offers(arguments: &Arguments) -> io::Result<Vec<Value>> {
    let mut asked = Exchange::ask(&arguments.socket, "GET", "/_peergate/routes", b"")?;
    if asked.status() != 200 {
        let why = "what may be called here is not told: the policy lets you not call `/_peergate/routes`; name a path";
        return Err(io::Error::other(why));
    }
    let told: Value = serde_json::from_slice(&asked.whole()?)?;
    Ok(told.get("allowed").and_then(Value::as_array).cloned().unwrap_or_default())
}

fn list(arguments: &Arguments, term: &mut Term) -> Result<Answer, Failure> {
    let offers = match offers(arguments) {
        Ok(offers) => offers,
        Err(error) => return Ok(failed(term, &error)),
    };
    for offer in &offers {
        let route = offer.get("route").and_then(Value::as_str).unwrap_or_default();
        let patterns = offer.get("match").and_then(Value::as_array);
        let patterns = patterns.into_iter().flatten().filter_map(Value::as_str);
        term.line(format_args!("{route:<24} {}", patterns.collect::<Vec<_>>().join(", ")))?;
    }
    Ok(Answer::Yes)
}

/// The route's method, and its path with its captures filled in; values that are used are taken out.
fn find(
    arguments: &Arguments,
    route: &str,
    values: &mut Vec<(String, String)>,
) -> io::Result<Option<(String, String)>> {
    let offers = offers(arguments)?;
    let offer = offers.iter().find(|offer| offer.get("route").and_then(Value::as_str) == Some(route));
    let Some(offer) = offer else { return Ok(None) };
    let patterns = offer.get("match").and_then(Value::as_array);
    let patterns: Vec<&str> = patterns.into_iter().flatten().filter_map(Value::as_str).collect();
    // The pattern whose captures are all given, the one with most of them first.
    let mut fitting: Vec<(usize, String, String)> =
        patterns.iter().filter_map(|pattern| filled(pattern, values)).collect();
    fitting.sort_by_key(|(captures, ..)| std::cmp::Reverse(*captures));
    let Some((_, method, path)) = fitting.into_iter().next() else {
        return Err(io::Error::other(format!("it takes values: {}", patterns.join(", "))));
    };
    let used: Vec<String> = patterns.iter().flat_map(|pattern| captures(pattern)).collect();
    values.retain(|(name, _)| !used.contains(name));
    Ok(Some((method, path)))
}

/// The names of a pattern's captures.
fn captures(pattern: &str) -> Vec<String> {
    let inner = |part: &str| {
        let name = part.split('}').next().unwrap_or_default();
        name.split(':').next().unwrap_or_default().trim_end_matches("...").to_owned()
    };
    pattern.split('{').skip(1).map(inner).collect()
}

fn filled(pattern: &str, values: &[(String, String)]) -> Option<(usize, String, String)> {
    let (method, path) = pattern.split_once(' ')?;
    let mut rest = path;
    let mut made = String::new();
    let mut count = 0;
    while let Some((before, behind)) = rest.split_once('{') {
        let (inner, after) = behind.split_once('}')?;
        let name = inner.split(':').next()?;
        let (name, whole) = name.strip_suffix("...").map_or((name, false), |name| (name, true));
        let (_, value) = values.iter().find(|(known, _)| known == name)?;
        made.push_str(before);
        if whole {
            let parts: Vec<String> = value.split('/').map(encoded).collect();
            made.push_str(&parts.join("/"));
        } else {
            made.push_str(&encoded(value));
        }
        (rest, count) = (after, count + 1);
    }
    made.push_str(rest);
    let method = if method == "*" { "POST" } else { method };
    Some((count, method.to_owned(), made))
}

/// Passes on what the command says, and gives its exit code.
fn pass(mut asked: Exchange, term: &mut Term) -> io::Result<u8> {
    if asked.status() != 200 || !asked.is_lines() {
        let said = asked.whole()?;
        let told: Value = serde_json::from_slice(&said).unwrap_or_default();
        let message = told.get("message").and_then(Value::as_str).map(str::to_owned);
        if let Some(help) = told.get("help").and_then(Value::as_str) {
            term.complain(help);
        }
        term.complain(message.unwrap_or_else(|| format!("the daemon answers {}", asked.status())));
        return Ok(if (400..500).contains(&asked.status()) { DENIED } else { FAILED });
    }
    let (mut out, mut err) = (io::stdout().lock(), io::stderr().lock());
    while let Some(line) = asked.line()? {
        let told: Value = serde_json::from_slice(&line)?;
        let bytes = match (told.get("text").and_then(Value::as_str), told.get("b64").and_then(Value::as_str))
        {
            (Some(text), _) => text.as_bytes().to_vec(),
            (None, Some(b64)) => http::decoded(b64).ok_or_else(|| io::Error::other("no base64 came"))?,
            (None, None) => return Ok(code(&told)),
        };
        if told.get("stream").and_then(Value::as_str) == Some("stderr") {
            err.write_all(&bytes)?;
        } else {
            out.write_all(&bytes)?;
            out.flush()?;
        }
    }
    Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the answer ended before the command did"))
}

fn code(end: &Value) -> u8 {
    const TIMEOUT: u8 = 124;
    if end.get("why").and_then(Value::as_str) == Some("timeout") {
        return TIMEOUT;
    }
    let number = |name: &str| end.get(name).and_then(Value::as_u64).and_then(|code| u8::try_from(code).ok());
    match (number("exit"), number("signal")) {
        (Some(code), _) => code,
        (None, Some(signal)) => 128_u8.saturating_add(signal),
        (None, None) => FAILED,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pattern_is_filled_with_what_is_given() {
        let values = [("unit".to_owned(), "a b.service".to_owned()), ("rest".to_owned(), "x/y".to_owned())];
        let made =
            |pattern: &str| filled(pattern, &values).map(|(_, method, path)| format!("{method} {path}"));
        assert_eq!(made("POST /units/{unit}/restart").unwrap(), "POST /units/a%20b.service/restart");
        assert_eq!(made("GET /files/{rest...}").unwrap(), "GET /files/x/y");
        assert_eq!(made("* /v{unit:any}.x").unwrap(), "POST /va%20b.service.x");
        assert_eq!(made("GET /{other}"), None);
        assert_eq!(captures("GET /{a}/x{b:int}/{c...}"), ["a", "b", "c"]);
    }

    #[test]
    fn end_becomes_an_exit_code() {
        for (end, exit) in [
            (r#"{"exit":7,"why":"done"}"#, 7),
            (r#"{"signal":9,"why":"output"}"#, 137),
            (r#"{"signal":15,"why":"timeout"}"#, 124),
            ("{}", 125),
        ] {
            assert_eq!(code(&serde_json::from_str(end).unwrap()), exit, "{end}");
        }
    }
}
