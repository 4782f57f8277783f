//! Hostile input of other projects, and friendly input of the same shape, through the whole daemon to a service
//! that writes down every complete request. `../shared/corpora` or `PEERGATE_CORPORA` is where it lies.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]
#![allow(clippy::disallowed_methods, clippy::disallowed_macros, reason = "tests start processes and print")]

#[path = "support/support.rs"]
mod support;

use std::path::PathBuf;
use std::sync::Mutex;

use serde_json::Value;
use support::client::Client;
use support::daemon::{self, Daemon};
use support::http::Message;
use support::paths::{readings, resolves_inside};
use support::strict;
use support::upstream::Upstream;

/// Each has a listener and a service of its own, so that what was received is known to be of the one case that
/// it just sent.
const WORKERS: usize = 6;

/// One line of a corpus.
#[derive(Debug, Clone)]
struct Case {
    name: String,
    raw: Vec<u8>,
    fields: Value,
}

fn folder() -> Option<PathBuf> {
    let beside = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../shared/corpora"));
    let folder = std::env::var_os("PEERGATE_CORPORA").map_or(beside, PathBuf::from);
    folder.join("README.md").exists().then_some(folder)
}

macro_rules! corpus {
    ($file:literal) => {
        match folder() {
            Some(folder) => read(&folder.join($file)),
            None => skip!("the corpora are not there (../shared/corpora, or PEERGATE_CORPORA)"),
        }
    };
}

fn unhex(text: &str) -> Vec<u8> {
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
}

fn read(file: &std::path::Path) -> Vec<Case> {
    let text = std::fs::read_to_string(file).unwrap_or_else(|why| panic!("{}: {why}", file.display()));
    text.lines()
        .map(|line| {
            let fields: Value = serde_json::from_str(line).unwrap();
            let name = fields["name"].as_str().unwrap_or("").to_owned();
            Case { name, raw: unhex(fields["raw_hex"].as_str().unwrap()), fields }
        })
        .collect()
}

/// A daemon with a listener and a recording service for each worker; what `pattern` matches is allowed.
struct Rig {
    daemon: Daemon,
    upstreams: Vec<Upstream>,
}

fn rig(patterns: &str) -> Rig {
    let place = daemon::place();
    let mut policy = String::from("[who.root]\nuid = [0]\n");
    for n in 0..WORKERS {
        policy.push_str(&format!(
            "[listen.api{n}]\npath = \"@DIR@/run/api{n}.sock\"\n[backend.up{n}]\nproxy = \"unix:@DIR@/up{n}.sock\"\n\
             [[route]]\nid = \"all{n}\"\non = \"api{n}\"\nmatch = [{patterns}]\nto = \"up{n}\"\nallow = [\"root\"]\n"
        ));
    }
    let upstreams =
        (0..WORKERS).map(|n| Upstream::start(&place.path().join(format!("up{n}.sock")))).collect();
    Rig { daemon: Daemon::start_in(place, &policy), upstreams }
}

impl Rig {
    /// Sends each input on a connection of its own, says that nothing more comes, and reads to the end; then
    /// `judge` sees what was received. Gives what it found wrong.
    fn each<T: Sync>(
        &self,
        inputs: &[(T, Vec<u8>)],
        judge: impl Fn(&T, &[u8], &[Message]) -> Result<(), String> + Sync,
    ) -> Vec<String> {
        let wrong = Mutex::new(Vec::new());
        std::thread::scope(|scope| {
            for (n, upstream) in self.upstreams.iter().enumerate() {
                let (wrong, judge) = (&wrong, &judge);
                let socket = self.daemon.path(&format!("run/api{n}.sock"));
                scope.spawn(move || {
                    for (what, raw) in inputs.iter().skip(n).step_by(WORKERS) {
                        let mut client = Client::connect(&socket);
                        client.send(raw);
                        // Refused bytes may have ended the connection already.
                        let _ = client.stream.shutdown(std::net::Shutdown::Write);
                        let answer = client.rest();
                        let received = upstream.take();
                        let mut verdict = judge(what, raw, &received);
                        if raw.is_empty() != answer.is_empty() && verdict.is_ok() {
                            verdict = Err("no answer at all".into());
                        }
                        if let Err(why) = verdict {
                            wrong.lock().unwrap().push(format!(
                                "{why}\n    sent: {}\n    received: {:?}\n    answered: {}",
                                raw.escape_ascii(),
                                received.iter().map(|request| &request.start).collect::<Vec<_>>(),
                                String::from_utf8_lossy(&answer).lines().next().unwrap_or("")
                            ));
                        }
                    }
                });
            }
        });
        let late: Vec<_> =
            self.upstreams.iter().flat_map(Upstream::take).map(|request| request.start).collect();
        let mut wrong = wrong.into_inner().unwrap();
        wrong.extend(late.iter().map(|start| format!("received after its connection had ended: {start}")));
        wrong
    }
}

fn report(corpus: &str, cases: usize, received: usize, wrong: &[String]) {
    println!("{corpus}: {cases} cases, {received} of their requests received, {} wrong", wrong.len());
    let shown: Vec<_> = wrong.iter().take(25).cloned().collect();
    assert!(wrong.is_empty(), "{corpus}: {} wrong:\n  {}", wrong.len(), shown.join("\n  "));
}

/// What a service may be shown of any head, whoever sent it.
fn well_framed(received: &[Message]) -> Result<(), String> {
    for request in received {
        let (lengths, codings) = (request.all("content-length"), request.all("transfer-encoding"));
        if lengths.len() + codings.len() > 1 || codings.iter().any(|coding| *coding != "chunked") {
            return Err(format!("framed in two ways, or oddly: {request:?}"));
        }
        if request.all("host").len() != 1 {
            return Err(format!("not one Host: {request:?}"));
        }
    }
    Ok(())
}

/// That exactly the strict reader's requests were received, target canonical, body whole.
fn as_strictly_read(raw: &[u8], received: &[Message], may: impl Fn(&str) -> bool) -> Result<(), String> {
    let reading = strict::read(raw);
    let wanted: Vec<_> = reading
        .requests
        .iter()
        .map(|request| {
            (request.method.clone(), strict::canonical(&request.target).unwrap(), request.body.clone())
        })
        .filter(|(_, target, _)| may(target))
        .collect();
    let got: Vec<_> = received
        .iter()
        .map(|request| (request.method().to_owned(), request.target().to_owned(), request.body.clone()))
        .collect();
    if wanted == got {
        return Ok(());
    }
    let names: Vec<_> = wanted.iter().map(|(method, target, _)| format!("{method} {target}")).collect();
    Err(format!("strictly read: {names:?}, then {:?}", reading.stopped))
}

/// The cases of the parsers' own suites that those parsers take whole and this daemon deliberately does not, each
/// with the rule that its first refused request breaks. Everything else must be received.
const REFUSED: &str = include_str!("corpora-refused.txt");

fn listed(corpus: &str, name: &str, why: &str) -> bool {
    let line = format!("{corpus} | {name} | {why}");
    REFUSED.lines().any(|listed| listed == line)
}

fn parsers_suite(corpus: &str, cases: &[Case]) {
    let rig = rig("\"* /\", \"* /{rest...}\"");
    let mut inputs = Vec::new();
    for case in cases {
        let expect = case.fields["expect"].as_str().unwrap().to_owned();
        inputs.push(((case.name.clone(), expect.clone()), case.raw.clone()));
        if let Some(twin) = case.fields["twin_hex"].as_str() {
            inputs.push(((format!("{} (with Host)", case.name), expect), unhex(twin)));
        }
    }
    let count = Mutex::new(0);
    let wrong = rig.each(&inputs, |(name, expect), raw, received| {
        *count.lock().unwrap() += received.len();
        let named = |why: String| format!("{name}: {why}");
        well_framed(received).map_err(named)?;
        as_strictly_read(raw, received, |_| true).map_err(named)?;
        // The request that breaks a rule is one that the strict reader stopped at.
        match strict::read(raw).stopped {
            None if expect == "reject" => Err(named("nothing in it was refused".into())),
            Some(why) if expect == "accept" && !listed(corpus, name, why) => {
                Err(named(format!("refused, and not in the list: {corpus} | {name} | {why}")))
            }
            _ => Ok(()),
        }
    });
    report(corpus, inputs.len(), *count.lock().unwrap(), &wrong);
    rig.daemon.stop();
}

#[test]
fn corpora_list_of_deliberate_refusals_is_exact() {
    let Some(folder) = folder() else {
        skip!("the corpora are not there (../shared/corpora, or PEERGATE_CORPORA)")
    };
    let mut lines = Vec::new();
    for corpus in ["llhttp", "gunicorn"] {
        for case in read(&folder.join(format!("http1-{corpus}.ndjson"))) {
            if case.fields["expect"] != "accept" {
                continue;
            }
            let twin = case.fields["twin_hex"]
                .as_str()
                .map(|twin| (format!("{} (with Host)", case.name), unhex(twin)));
            for (name, raw) in std::iter::once((case.name.clone(), case.raw.clone())).chain(twin) {
                if let Some(why) = strict::read(&raw).stopped {
                    lines.push(format!("{corpus} | {name} | {why}"));
                }
            }
        }
    }
    let listed: Vec<_> = REFUSED.lines().filter(|line| !line.starts_with('#')).collect();
    let missing: Vec<_> = lines.iter().filter(|line| !listed.contains(&line.as_str())).collect();
    let surplus: Vec<_> = listed.iter().filter(|line| !lines.iter().any(|there| there == *line)).collect();
    assert!(missing.is_empty() && surplus.is_empty(), "missing: {missing:#?}\nno longer so: {surplus:#?}");
}

#[test]
fn llhttp_suite_is_received_as_strictly_read() {
    need_root!();
    let cases = corpus!("http1-llhttp.ndjson");
    parsers_suite("llhttp", &cases);
}

#[test]
fn gunicorn_suite_is_received_as_strictly_read() {
    need_root!();
    let cases = corpus!("http1-gunicorn.ndjson");
    parsers_suite("gunicorn", &cases);
}

fn smuggling(corpus: &str, cases: Vec<Case>, strict_only: bool) {
    let rig = rig("\"* /allowed/{rest...}\"");
    let count = Mutex::new(0);
    let inputs: Vec<_> = cases.into_iter().map(|case| (case.name, case.raw)).collect();
    let wrong = rig.each(&inputs, |name, raw, received| {
        *count.lock().unwrap() += received.len();
        let named = |why: String| format!("{name}: {why}");
        well_framed(received).map_err(named)?;
        if received.iter().any(|request| request.target().contains("forbidden")) {
            return Err(named("the probe got through".into()));
        }
        if strict_only || !received.is_empty() {
            as_strictly_read(raw, received, |target| target.starts_with("/allowed/")).map_err(named)?;
        }
        Ok(())
    });
    report(corpus, inputs.len(), *count.lock().unwrap(), &wrong);
    rig.daemon.stop();
}

#[test]
fn smuggling_default_reaches_nothing_forbidden() {
    need_root!();
    smuggling("smuggling-default", corpus!("smuggling-default.ndjson"), false);
}

#[test]
fn smuggling_exhaustive_reaches_nothing_forbidden() {
    need_root!();
    smuggling("smuggling-exhaustive", corpus!("smuggling-exhaustive.ndjson"), false);
}

#[test]
fn smuggling_doubles_reaches_nothing_forbidden() {
    need_root!();
    smuggling("smuggling-doubles", corpus!("smuggling-doubles.ndjson"), false);
}

#[test]
fn smuggling_te_only_reaches_nothing_forbidden() {
    need_root!();
    smuggling("smuggling-te-only", corpus!("smuggling-te-only.ndjson"), false);
}

#[test]
fn smuggling_chunks_only_strict_ones_are_received() {
    need_root!();
    smuggling("smuggling-chunks", corpus!("smuggling-chunks.ndjson"), true);
}

#[test]
fn readings_see_what_servers_see() {
    let outside = |path: &str| readings(path).iter().any(|reading| !resolves_inside(reading));
    for path in [
        "/allowed/../x",
        "/allowed/%2e%2e/x",
        "/allowed/%252e%252e/x",
        "/allowed/..%5c../x",
        "/allowed/%c0%ae%c0%ae/x",
        "/allowed/..;/x",
        "/allowed/x/..%2f..%2fy",
        "/other",
    ] {
        assert!(outside(path), "{path}");
    }
    for path in ["/allowed/x", "/allowed/x/../y", "/allowed/...", "/allowed/a%20b", "/allowed/x;y"] {
        assert!(!outside(path), "{path}");
    }
}

#[test]
fn paths_received_stay_inside() {
    need_root!();
    let cases = corpus!("paths.ndjson");
    let rig = rig("\"* /allowed/{rest...}\"");
    let inputs: Vec<((), Vec<u8>)> = cases
        .iter()
        .map(|case| {
            let mut raw = b"GET ".to_vec();
            match case.fields["place"].as_str().unwrap() {
                "splice" => raw.extend([b"/allowed/".as_slice(), &case.raw].concat()),
                "mid" => raw.extend([b"/allowed/".as_slice(), &case.raw, b"/secret"].concat()),
                "end" => raw.extend([b"/allowed/secret".as_slice(), &case.raw].concat()),
                other => panic!("a place called {other}"),
            }
            raw.extend(b" HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
            ((), raw)
        })
        .collect();
    let count = Mutex::new(0);
    let wrong = rig.each(&inputs, |(), raw, received| {
        *count.lock().unwrap() += received.len();
        for request in received {
            let path = request.target().split('?').next().unwrap();
            if let Some(out) = readings(path).iter().find(|reading| !resolves_inside(reading)) {
                return Err(format!("{path} can be read as {}", out.escape_ascii()));
            }
        }
        as_strictly_read(raw, received, |target| {
            target.starts_with("/allowed/") && target.len() > "/allowed/".len()
        })
    });
    report("paths", inputs.len(), *count.lock().unwrap(), &wrong);
    rig.daemon.stop();
}

/// Friendly requests of the corpora's shapes: refusing everything would pass the rest of this file.
#[test]
fn friendly_requests_are_all_received_as_they_are() {
    need_root!();
    let rig = rig("\"* /allowed/{rest...}\"");
    let mut inputs: Vec<((), Vec<u8>)> = Vec::new();
    for n in 0..60 {
        let method = ["GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "HEAD"][n % 7];
        let more = ["", "Accept: */*\r\n", "X-Long: ", "Content-Type: text/plain; charset=utf-8\r\n"][n % 4];
        let more =
            if more == "X-Long: " { format!("X-Long: {}\r\n", "v".repeat(n * 50)) } else { more.to_owned() };
        let host = ["localhost", "api.moby.localhost", "d", "127.0.0.1:80", "[::1]:8080"][n % 5];
        let body = "b".repeat(n * 37);
        let framed = match n % 3 {
            0 => format!("Content-Length: {}\r\n\r\n{body}", body.len()),
            1 if !body.is_empty() => {
                let (one, two) = body.split_at(body.len() / 2);
                format!(
                    "Transfer-Encoding: chunked\r\n\r\n{:x}\r\n{one}\r\n{:X}\r\n{two}\r\n0\r\n\r\n",
                    one.len(),
                    two.len()
                )
            }
            _ => "\r\n".to_owned(),
        };
        let request = format!("{method} /allowed/n/{n}?q={n} HTTP/1.1\r\nHost: {host}\r\n{more}{framed}");
        inputs.push(((), request.clone().into_bytes()));
        // Two on one connection, as the smuggling cases have them.
        inputs.push(((), format!("{request}GET /allowed/second HTTP/1.1\r\nHost: h\r\n\r\n").into_bytes()));
    }
    for path in [
        "a",
        "a/b/c",
        "a.b",
        "...",
        ".a",
        "a..",
        "..a",
        "a-_~!$&'()*+,=:@",
        "%20",
        "%C3%A9",
        "%E2%82%AC",
        "a%3Db",
        "1/",
        "A%41",
        "~user",
        "a%22b",
        "x?y=1",
        "x?y=%2F",
        "x?y=../..",
        "x?y=//",
        "x?a=b&c=d",
        "x?",
        "x?%C3%A9=1",
        "%7Euser",
        "etc/passwd",
        "windows/win.ini",
        "boot.ini",
        "..../x",
        "a...b",
        "x?file=..%2F..%2Fetc%2Fpasswd",
        "a%5B0%5D",
        "a%7C",
        "a%3C%3E",
        "v1.41",
        "sha256:abc",
        "user@example.org",
        "(a)",
        "a,b",
        "a+b",
        "a%2Bb",
        "a%2Cb",
        "a=b",
        "%F0%9F%98%80",
        "x?a=b;c",
        "x?a[]=1",
        "x?q=a+b",
        "index.html",
        ".well-known/x",
        "a/b/",
        "a/.b",
        "a/b.",
        "a/b..c",
        "a/%61",
        "a/b?c=?d",
        "x?a=%00",
        "x?a=%5C",
        "deep/er/and/deeper/still/and/more/of/it",
        "x?a=%25",
        "UPPER",
        "a/...//".trim_end_matches('/'),
    ] {
        let raw = format!("GET /allowed/{path} HTTP/1.1\r\nHost: h\r\n\r\n");
        let sound = strict::canonical(&format!("/allowed/{path}")).is_ok();
        assert!(sound || path.contains('['), "this control is not friendly: {path}");
        inputs.push(((), raw.into_bytes()));
    }
    let count = Mutex::new(0);
    let wrong = rig.each(&inputs, |(), raw, received| {
        *count.lock().unwrap() += received.len();
        well_framed(received)?;
        as_strictly_read(raw, received, |_| true)
    });
    let received = *count.lock().unwrap();
    assert!(received >= 60 * 3 + 58, "{received}");
    report("friendly", inputs.len(), received, &wrong);
    rig.daemon.stop();
}
