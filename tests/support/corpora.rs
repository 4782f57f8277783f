//! The hostile corpora and their oracles, apart from what is driven: a guard in-process, or the whole daemon with a
//! recording upstream. Shared by test files through `#[path]`.

mod controls;
mod lists;
mod reading;

use std::collections::BTreeSet;
use std::path::PathBuf;

pub use controls::controls;
pub use lists::{BEFORE, DELIBERATE, LEFT_OUT};

/// Which requests the policy behind the guard allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Allow {
    /// Any method on any path.
    All,
    /// Any method on `/allowed/{rest...}`, without any opt-in.
    Below,
}

/// One complete request, as the recording upstream received it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Received {
    /// Its head, from the first byte to the empty line.
    pub head: Vec<u8>,
    /// Its body, whole and without framing.
    pub body: Vec<u8>,
}

impl Received {
    /// The request line's words.
    pub fn words(&self) -> Vec<String> {
        let line = self.head.split(|b| *b == b'\r').next().unwrap_or_default();
        String::from_utf8_lossy(line).split(' ').map(str::to_owned).collect()
    }

    /// The values of the header lines called `name`.
    pub fn values(&self, name: &str) -> Vec<String> {
        String::from_utf8_lossy(&self.head)
            .split("\r\n")
            .skip(1)
            .filter_map(|line| line.split_once(':'))
            .filter(|(n, _)| n.trim().eq_ignore_ascii_case(name))
            .map(|(_, value)| value.trim().to_owned())
            .collect()
    }
}

/// What became of one connection.
#[derive(Debug, Clone, Default)]
pub struct Outcome {
    /// What reached the upstream, in order.
    pub received: Vec<Received>,
    /// The code of the refusal that ended the connection, where the driver can tell.
    pub refused: Option<String>,
}

/// What is driven: sends one client's bytes on a connection of its own, ends it, and tells what came of it.
pub type Drive<'a> = &'a mut dyn FnMut(Allow, &[u8]) -> Outcome;

/// One line of a corpus.
#[derive(Debug, Clone)]
pub struct Case {
    /// The file that it is from, without `.ndjson`.
    pub file: &'static str,
    /// Its name there; for paths its number.
    pub name: String,
    /// Whether other servers accept it.
    pub accept: bool,
    /// Where a path belongs.
    pub place: String,
    /// The bytes.
    pub raw: Vec<u8>,
    /// The same with a Host line.
    pub twin: Option<Vec<u8>>,
}

/// Every file, and what judges it.
pub const FILES: [(&str, Judge); 8] = [
    ("http1-llhttp", Judge::Http1),
    ("http1-gunicorn", Judge::Http1),
    ("smuggling-default", Judge::Smuggling),
    ("smuggling-exhaustive", Judge::Smuggling),
    ("smuggling-doubles", Judge::Smuggling),
    ("smuggling-te-only", Judge::Smuggling),
    ("smuggling-chunks", Judge::Chunks),
    ("paths", Judge::Paths),
];

/// Which oracle a file has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Judge {
    /// Accept and reject cases of other parsers.
    Http1,
    /// Odd Transfer-Encodings.
    Smuggling,
    /// Odd chunks.
    Chunks,
    /// Odd paths.
    Paths,
}

/// Where the corpora lie: `PEERGATE_CORPORA`, or beside the project.
pub fn folder() -> PathBuf {
    match std::env::var_os("PEERGATE_CORPORA") {
        Some(folder) => PathBuf::from(folder),
        None => PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../shared/corpora"),
    }
}

/// A file's cases; `None` where the file is missing.
pub fn cases(file: &'static str) -> Option<Vec<Case>> {
    let text = std::fs::read_to_string(folder().join(format!("{file}.ndjson"))).ok()?;
    let case = |(i, line): (usize, &str)| {
        let value: serde_json::Value = serde_json::from_str(line).expect("a corpus line is JSON");
        let text = |key: &str| value.get(key).and_then(|v| v.as_str()).map(str::to_owned);
        Case {
            file,
            name: text("name").unwrap_or_else(|| format!("{}", i + 1)),
            accept: text("expect").as_deref() == Some("accept"),
            place: text("place").unwrap_or_default(),
            raw: unhex(&text("raw_hex").expect("a case has bytes")),
            twin: text("twin_hex").map(|hex| unhex(&hex)),
        }
    };
    Some(text.lines().enumerate().map(case).collect())
}

fn unhex(hex: &str) -> Vec<u8> {
    let digit = |b: u8| u8::try_from(char::from(b).to_digit(16).expect("a hex digit")).unwrap_or(0);
    hex.as_bytes().chunks(2).map(|pair| digit(pair[0]) << 4 | digit(pair[1])).collect()
}

/// Drives every case of one file. Returns how many connections were made; what went wrong goes to `wrong`.
pub fn run(file: &'static str, judge: Judge, drive: Drive<'_>, wrong: &mut Vec<String>) -> Option<usize> {
    let mut count = 0;
    let mut refused_on_purpose = BTreeSet::new();
    for case in cases(file)? {
        if LEFT_OUT.iter().any(|(f, name, _)| *f == file && *name == case.name) {
            continue;
        }
        let path = path_request(&case);
        let (allow, inputs) = match judge {
            Judge::Http1 => (Allow::All, std::iter::once(&case.raw).chain(&case.twin).collect()),
            Judge::Smuggling | Judge::Chunks => (Allow::Below, vec![&case.raw]),
            Judge::Paths => (Allow::Below, vec![&path]),
        };
        for input in inputs {
            count += 1;
            let outcome = drive(allow, input);
            let verdict = match judge {
                Judge::Http1 => http1(&case, input, &outcome, &mut refused_on_purpose),
                Judge::Smuggling => smuggling(&outcome),
                Judge::Chunks => chunks(&case, &outcome),
                Judge::Paths => paths(&outcome),
            };
            if let Err(why) = verdict {
                wrong.push(format!("{file} {}: {why}\n    {}", case.name, input.escape_ascii()));
            }
        }
    }
    for (f, name, _) in
        DELIBERATE.iter().filter(|(f, name, _)| *f == file && !refused_on_purpose.contains(*name))
    {
        wrong.push(format!("{f} {name}: is listed as refused on purpose, but no request of it is"));
    }
    Some(count)
}

/// Drives every positive control of one file: each request is received, with this method, target and body.
pub fn run_controls(judge: Judge, drive: Drive<'_>, wrong: &mut Vec<String>) -> usize {
    let all = controls(judge);
    for control in &all {
        let allow = if judge == Judge::Http1 { Allow::All } else { Allow::Below };
        let outcome = drive(allow, &control.raw);
        let found: Vec<_> = outcome
            .received
            .iter()
            .map(|r| (r.words(), String::from_utf8_lossy(&r.body).into_owned()))
            .collect();
        let wanted: Vec<_> = control
            .requests
            .iter()
            .map(|(method, target, body)| {
                (vec![(*method).to_owned(), target.clone(), "HTTP/1.1".to_owned()], body.clone())
            })
            .collect();
        if found != wanted {
            wrong.push(format!(
                "control {}: received {found:?}, refused {:?}",
                control.raw.escape_ascii(),
                outcome.refused
            ));
        }
    }
    all.len()
}

/// A path case's request.
fn path_request(case: &Case) -> Vec<u8> {
    let target: [&[u8]; 3] = match case.place.as_str() {
        "splice" => [b"/allowed/", &case.raw, b""],
        "mid" => [b"/allowed/", &case.raw, b"/secret"],
        _ => [b"/allowed/secret", &case.raw, b""],
    };
    [b"GET ", target.concat().as_slice(), b" HTTP/1.1\r\nHost: localhost\r\n\r\n"].concat()
}

/// Judged a request at a time. Of a reject case at most those before the one that breaks the rule are received. Of an
/// accept case all are that are complete and of the kind we serve, up to the first that is not: what follows a refusal
/// is never read.
fn http1(
    case: &Case,
    input: &[u8],
    outcome: &Outcome,
    refused_on_purpose: &mut BTreeSet<String>,
) -> Result<(), String> {
    if !case.accept {
        let before = BEFORE
            .iter()
            .find(|(f, name, _)| *f == case.file && *name == case.name)
            .map_or(0, |(_, _, n)| *n);
        return if outcome.received.len() > before {
            Err(format!("{} received, at most {before} may be", outcome.received.len()))
        } else {
            Ok(())
        };
    }
    let wanted: Vec<_> =
        reading::lenient(input).into_iter().take_while(reading::Request::is_served).collect();
    let received = &outcome.received;
    let same = received
        .iter()
        .zip(&wanted)
        .all(|(got, want)| got.words().first() == Some(&want.method) && got.body == want.body);
    if !same {
        return Err(format!("received {received:?} instead of {wanted:?}"));
    }
    if received.len() >= wanted.len() {
        return Ok(());
    }
    let code = outcome.refused.as_deref();
    match DELIBERATE.iter().find(|(f, name, _)| *f == case.file && *name == case.name) {
        Some((_, _, rule)) if code.is_none_or(|code| code == *rule) => {
            refused_on_purpose.insert(case.name.clone());
            Ok(())
        }
        listed => Err(format!("refused as {code:?}, which is listed as {listed:?}")),
    }
}

/// Nothing hidden in a body comes out, and what comes out has one framing.
fn smuggling(outcome: &Outcome) -> Result<(), String> {
    for received in &outcome.received {
        let (lengths, codings) = (received.values("content-length"), received.values("transfer-encoding"));
        if received.words().get(1).is_some_and(|target| target.contains("forbidden")) {
            return Err("the hidden request was received".into());
        }
        if lengths.len() + codings.len() > 1 || codings.iter().any(|coding| coding != "chunked") {
            return Err(format!("received with the framing {lengths:?} {codings:?}"));
        }
        let odd_names = String::from_utf8_lossy(&received.head)
            .split("\r\n")
            .filter_map(|line| line.split_once(':'))
            .filter(|(name, _)| {
                let folded: String = name.chars().filter(char::is_ascii_alphanumeric).collect();
                folded.eq_ignore_ascii_case("transferencoding") && *name != "Transfer-Encoding"
            })
            .count();
        if odd_names > 0 {
            return Err("received with a name that imitates Transfer-Encoding".into());
        }
    }
    Ok(())
}

/// The cases whose every line is strict.
const STRICT: [&str; 1] = ["upper-hex/crlf"];

fn chunks(case: &Case, outcome: &Outcome) -> Result<(), String> {
    smuggling(outcome)?;
    let strict = STRICT.contains(&case.name.as_str());
    if strict == outcome.received.is_empty() {
        return Err(format!("strict: {strict}, received: {}", outcome.received.len()));
    }
    Ok(())
}

fn paths(outcome: &Outcome) -> Result<(), String> {
    for received in &outcome.received {
        let target = received.words().get(1).cloned().unwrap_or_default();
        if let Some(reading) = reading::leaves_allowed(target.as_bytes()) {
            return Err(format!("`{target}` was received, and can be read as `{reading}`"));
        }
    }
    Ok(())
}
