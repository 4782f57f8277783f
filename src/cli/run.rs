//! `peergate run`: a person runs a command of the policy, sees what it says as it says it, and gets its exit code: a
//! polite `sudo -n`.
//!
//! What the command says goes to stdout and stderr byte for byte, as it would from the command itself.

mod candidates;
mod http;
mod offer;

use std::ffi::OsString;
use std::io::{self, Read, Write};
use std::path::PathBuf;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use clap::Args;
use serde_json::Value;

use super::term::Term;
use super::{Answer, Failure};
use crate::model::refusal::Refusal;
use http::{Daemon, Exchange, encoded};
use offer::Offer;

/// Where the packaged policy listens.
const SOCKET: &str = "/run/peergate/api.sock";

/// It was not allowed, or a value is not what it may be.
const DENIED: u8 = 126;
/// There is no such route among those that the caller may call.
const UNKNOWN: u8 = 127;
/// It could not be asked for, could not be started, or its answer ended early.
const FAILED: u8 = 125;

/// How long a shell waits for what it can offer.
const PROMPT: Duration = Duration::from_secs(2);

/// What `peergate run --help` says of exit codes.
pub const EXIT_CODES: &str = "\
Exit codes:
  the command's own, or 128 and the number of the signal that it died of; else
  2    the command line makes no sense, or the command's own
  124  its time was over
  125  it could not be asked for or started, or its answer ended early
  126  not allowed, or a value is not what it may be
  127  no such route among those that may be called here";

/// Whether a shell asks what to offer: the words that follow are half a line that nobody has sent yet, and what it asks
/// for, such as help, is not meant.
pub(super) fn is_shells(arguments: &[OsString]) -> bool {
    matches!(arguments, [_, run, candidates, ..] if run == "run" && candidates == "--candidates")
}

/// What is to be run.
#[derive(Debug, Args)]
pub struct Arguments {
    /// A route's id, or a path from `/` on; without one, what may be called is listed
    target: Option<String>,
    /// Values, `NAME=VALUE`: captures of the route's pattern, the others where the command looks for them
    #[arg(value_name = "NAME=VALUE")]
    values: Vec<String>,
    /// The socket that the daemon listens on
    #[arg(long, value_name = "SOCKET", default_value = SOCKET)]
    socket: PathBuf,
    /// The method, where the target is a path
    #[arg(long, default_value = "POST")]
    method: String,
    /// Values that are no captures go into a JSON object in the body, not those alone that a route to a command has there
    #[arg(long, conflicts_with = "stdin")]
    body: bool,
    /// Standard input is the command's input
    #[arg(long)]
    stdin: bool,
    /// Prints what the last word can become, for shells
    #[arg(long, hide = true)]
    candidates: bool,
}

/// Runs it. The answer is its exit code.
///
/// # Errors
///
/// What could not be done before anything was asked for.
pub fn run(arguments: &Arguments, term: &mut Term) -> Result<Answer, Failure> {
    if arguments.candidates {
        return candidates(arguments, term);
    }
    let Some(target) = &arguments.target else { return list(arguments, term) };
    let mut values = Vec::new();
    for written in &arguments.values {
        match written.split_once('=') {
            Some((name, value)) => values.push((name.to_owned(), value.to_owned())),
            None => {
                term.complain(format_args!("{written:?} is no NAME=VALUE"));
                return Ok(Answer::NoBecause(FAILED));
            }
        }
    }
    let mut input = Vec::new();
    if arguments.stdin {
        io::stdin().read_to_end(&mut input).map_err(Failure::at("can't read standard input"))?;
    }
    let mut daemon = match Daemon::reach(&arguments.socket) {
        Ok(daemon) => daemon,
        Err(error) => return Ok(failed(term, &error)),
    };
    let (method, mut path, offer) = if target.starts_with('/') {
        (arguments.method.clone(), target.clone(), Offer::default())
    } else {
        let offers = match offers(&mut daemon) {
            Ok(Some(offers)) => offers,
            Ok(None) => return Ok(untold(term)),
            Err(error) => return Ok(failed(term, &error)),
        };
        let Some(offer) = offers.into_iter().find(|offer| offer.route == *target) else {
            term.complain(format_args!(
                "there is no route {target:?} that you may call here; `peergate run` lists what there is"
            ));
            return Ok(Answer::NoBecause(UNKNOWN));
        };
        let filled = offer.filled(&values).filter(|_| values.iter().all(|(name, _)| offer.takes(name)));
        let Some((method, path)) = filled else {
            term.complain(taken(&offer));
            return Ok(Answer::NoBecause(FAILED));
        };
        values.retain(|(name, _)| !offer.captures(name));
        (method, path, offer)
    };
    let (in_body, in_query): (Vec<_>, Vec<_>) =
        values.into_iter().partition(|(name, _)| arguments.body || offer.is_in_body(name));
    let pairs: Vec<String> =
        in_query.iter().map(|(name, value)| format!("{}={}", encoded(name), encoded(value))).collect();
    if !pairs.is_empty() {
        path.push(if path.contains('?') { '&' } else { '?' });
        path.push_str(&pairs.join("&"));
    }
    if arguments.stdin && !in_body.is_empty() {
        term.complain(
            "standard input is the body, and so are values here: give all of them there, as a JSON object",
        );
        return Ok(Answer::NoBecause(FAILED));
    }
    if arguments.body || !in_body.is_empty() {
        let members = in_body.into_iter().map(|(name, value)| (name, Value::String(value)));
        input = Value::Object(members.collect()).to_string().into_bytes();
    }
    match daemon.ask(&method, &path, &input).and_then(|asked| pass(asked, &offer, term)) {
        // Nobody is told whether there is anything at that path; this is what was asked.
        Ok(DENIED) if offer.route.is_empty() => {
            term.complain(format_args!("asked was {method} {path}; `--method` names another method"));
            Ok(Answer::NoBecause(DENIED))
        }
        Ok(code) => Ok(if code == 0 { Answer::Yes } else { Answer::NoBecause(code) }),
        Err(error) => Ok(failed(term, &error)),
    }
}

/// What there is to fill in.
fn taken(offer: &Offer) -> String {
    match offer.usage() {
        usage if usage.is_empty() => format!("{} takes no values", offer.route),
        usage => format!("{} takes {usage}", offer.route),
    }
}

fn failed(term: &mut Term, error: &io::Error) -> Answer {
    term.complain(error);
    Answer::NoBecause(FAILED)
}

/// What may be called, as the daemon says it; `None` where the policy does not let this caller ask.
fn offers(daemon: &mut Daemon) -> io::Result<Option<Vec<Offer>>> {
    let mut asked = daemon.ask("GET", "/_peergate/routes", b"")?;
    let (status, said) = (asked.status(), asked.whole()?);
    match status {
        200 => Ok(Some(Offer::all(&serde_json::from_slice(&said)?))),
        403 => Ok(None),
        _ => Err(io::Error::other(format!("it answers {status} to what may be called here"))),
    }
}

fn untold(term: &mut Term) -> Answer {
    term.complain(
        "what you may call here is not told: the policy does not let you call `/_peergate/routes`; name a path instead \
         of a route",
    );
    Answer::NoBecause(DENIED)
}

fn list(arguments: &Arguments, term: &mut Term) -> Result<Answer, Failure> {
    let offers = match Daemon::reach(&arguments.socket).and_then(|mut daemon| offers(&mut daemon)) {
        Ok(Some(offers)) => offers,
        Ok(None) => return Ok(untold(term)),
        Err(error) => return Ok(failed(term, &error)),
    };
    for offer in &offers {
        term.line(format_args!("{:<24} {}", offer.route, offer.patterns.join(", ")))?;
        let usage = offer.usage();
        if !usage.is_empty() {
            term.line(format_args!("{:<24} {usage}", ""))?;
        }
    }
    Ok(Answer::Yes)
}

/// What a shell offers for the last word. Where nothing is told there is nothing to offer, and nobody to complain to.
fn candidates(arguments: &Arguments, term: &mut Term) -> Result<Answer, Failure> {
    let (socket, (tell, told)) = (arguments.socket.clone(), mpsc::channel());
    // Somebody waits at a prompt, whatever holds the daemon up: the way in, or an answer that does not end.
    thread::spawn(move || tell.send(Daemon::reach(&socket).and_then(|mut daemon| offers(&mut daemon))));
    let told = told.recv_timeout(PROMPT).ok().and_then(Result::ok).flatten().unwrap_or_default();
    let words: Vec<String> = arguments.target.iter().chain(&arguments.values).cloned().collect();
    for word in candidates::of(&told, &words) {
        term.line(word)?;
    }
    Ok(Answer::Yes)
}

/// Passes on what the command says, and gives its exit code; of a route that leads to none, its answer.
fn pass(mut asked: Exchange<'_>, offer: &Offer, term: &mut Term) -> io::Result<u8> {
    let status = asked.status();
    if !(200..300).contains(&status) {
        let said = asked.whole()?;
        let told: Value = serde_json::from_slice(&said).unwrap_or_default();
        let text = |name: &str| told.get(name).and_then(Value::as_str);
        // The tool says its own name before each of its complaints.
        let message = text("message").map(|message| message.trim_start_matches("peergate: ").to_owned());
        if text("code") == Some(Refusal::Parameter.code()) && !offer.route.is_empty() {
            term.complain(taken(offer));
        }
        if let Some(help) = text("help") {
            term.complain(help);
        }
        term.complain(message.unwrap_or_else(|| format!("the daemon answers {status}")));
        return Ok(if (400..500).contains(&status) { DENIED } else { FAILED });
    }
    let (mut out, mut err) = (io::stdout().lock(), io::stderr().lock());
    // A backend may send lines of its own, so the first one tells whose they are.
    let first = if status == 200 && asked.is_lines() { asked.line()? } else { None };
    let mut next = first.as_deref().and_then(said);
    if next.is_none() {
        out.write_all(&first.unwrap_or_default())?;
        while let Some(piece) = asked.piece()? {
            out.write_all(&piece)?;
            out.flush()?;
        }
        return Ok(0);
    }
    while let Some(told) = next {
        match told {
            Said::Out(bytes) => {
                out.write_all(&bytes)?;
                out.flush()?;
            }
            Said::Err(bytes) => err.write_all(&bytes)?,
            Said::End(code, ended) => {
                // To its very end: who leaves before has left, on record too.
                asked.whole()?;
                if let Some(ended) = ended {
                    term.complain(ended);
                }
                return Ok(code);
            }
        }
        next = match asked.line()? {
            Some(line) => Some(said(&line).ok_or_else(|| io::Error::other("no command's answer came"))?),
            None => None,
        };
    }
    Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the answer ended before the command did"))
}

/// What a line of a command's answer tells.
enum Said {
    Out(Vec<u8>),
    Err(Vec<u8>),
    /// Its exit code, and what is to be said of it besides.
    End(u8, Option<&'static str>),
}

/// Reads such a line; `None` where it is none.
fn said(line: &[u8]) -> Option<Said> {
    let told: Value = serde_json::from_slice(line).ok()?;
    let text = |name: &str| told.get(name).and_then(Value::as_str);
    let is_end = text("why").is_some() && (told.get("exit").is_some() || told.get("signal").is_some());
    if is_end && told.get("ms").is_some() {
        let ended = match text("why")? {
            "timeout" => Some("its time was over, and it was ended"),
            "output" => Some("it said more than it may, and was ended"),
            _ => None,
        };
        return Some(Said::End(code(&told), ended));
    }
    text("time")?;
    let bytes = match (text("text"), text("b64")) {
        (Some(text), None) => text.as_bytes().to_vec(),
        (None, Some(b64)) => http::decoded(b64)?,
        _ => return None,
    };
    match text("stream")? {
        "stdout" => Some(Said::Out(bytes)),
        "stderr" => Some(Said::Err(bytes)),
        _ => None,
    }
}

fn code(end: &Value) -> u8 {
    const TIMEOUT: u8 = 124;
    let why = end.get("why").and_then(Value::as_str);
    if why == Some("timeout") {
        return TIMEOUT;
    }
    let number = |name: &str| end.get(name).and_then(Value::as_u64).and_then(|code| u8::try_from(code).ok());
    match (number("exit"), number("signal")) {
        // It was made to end, and says that all went well.
        (Some(0), _) if why != Some("done") => FAILED,
        (Some(code), _) => code,
        (None, Some(signal)) => 128_u8.saturating_add(signal),
        (None, None) => FAILED,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn end_becomes_an_exit_code() {
        for (end, exit) in [
            (r#"{"exit":7,"why":"done"}"#, 7),
            (r#"{"exit":0,"why":"done"}"#, 0),
            (r#"{"exit":0,"why":"output"}"#, 125),
            (r#"{"signal":9,"why":"output"}"#, 137),
            (r#"{"signal":15,"why":"timeout"}"#, 124),
            ("{}", 125),
        ] {
            assert_eq!(code(&serde_json::from_str(end).unwrap()), exit, "{end}");
        }
    }
}
