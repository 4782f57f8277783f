//! The hostile corpora, and friendly requests of the same shapes, through the whole daemon to a service that writes
//! down every complete request. The oracles are shared with the guard's own test, `corpora_guard.rs`.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]
#![allow(clippy::disallowed_methods, clippy::disallowed_macros, reason = "tests start processes and print")]
#![allow(dead_code, unreachable_pub, reason = "the oracles serve another test too")]

#[path = "support/corpora.rs"]
mod corpora;
#[path = "support/support.rs"]
mod support;

use std::net::Shutdown;
use std::sync::Mutex;

use corpora::{Allow, FILES, Outcome, Received};
use support::client::Client;
use support::daemon::{self, Daemon};
use support::upstream::Upstream;

/// Everything that the policy may be in front of one service: each file of the corpora has a listener and a
/// service of its own, so that files run beside one another and what was received is known to be theirs.
struct Rig {
    daemon: Daemon,
    upstreams: Vec<Upstream>,
}

fn rig() -> Rig {
    let place = daemon::place();
    let mut policy = String::from("[limits]\nconnections = 4096\n[who.root]\nuid = 0\n");
    for n in 0..FILES.len() {
        policy.push_str(&format!("[backend.up{n}]\nproxy = \"unix:@DIR@/up{n}.sock\"\n"));
        for (allow, patterns) in [("all", "\"* /\", \"* /{rest...}\""), ("below", "\"* /allowed/{rest...}\"")]
        {
            // The parsers' own suites ask for these; the service never changes to them.
            let upgrade =
                if allow == "all" { "upgrade = [\"websocket\", \"ws\", \"http/2.0\"]\n" } else { "" };
            policy.push_str(&format!(
                "[listen.{allow}{n}]\npath = \"@DIR@/run/{allow}{n}.sock\"\n[[route]]\nid = \"{allow}{n}\"\n\
                 on = \"{allow}{n}\"\nmatch = [{patterns}]\nto = \"up{n}\"\nallow = \"root\"\n{upgrade}"
            ));
        }
    }
    let upstreams =
        (0..FILES.len()).map(|n| Upstream::start(&place.path().join(format!("up{n}.sock")))).collect();
    Rig { daemon: Daemon::start_in(place, &policy), upstreams }
}

impl Rig {
    /// Sends one client's bytes, says that nothing more comes, and reads to the end.
    fn drive(&self, file: usize, allow: Allow, bytes: &[u8]) -> Outcome {
        let name = if allow == Allow::All { "all" } else { "below" };
        let mut client = Client::connect(&self.daemon.path(&format!("run/{name}{file}.sock")));
        client.send(bytes);
        // Refused bytes may have ended the connection already.
        let _ = client.stream.shutdown(Shutdown::Write);
        let answers = String::from_utf8_lossy(&client.rest()).into_owned();
        let code = answers.rsplit_once("\"code\":\"").and_then(|(_, rest)| rest.split('"').next());
        let received = self.upstreams[file].take().into_iter();
        Outcome {
            received: received.map(|request| Received { head: request.raw, body: request.body }).collect(),
            refused: code.map(str::to_owned),
        }
    }

    /// Runs something for each file, beside one another; what each counted, and all that was wrong.
    fn each(
        &self,
        run: impl Fn(usize, &mut Vec<String>) -> Option<usize> + Sync,
    ) -> (Vec<String>, Vec<String>) {
        let (ran, wrong) = (Mutex::new(Vec::new()), Mutex::new(Vec::new()));
        std::thread::scope(|scope| {
            for (n, (file, _)) in FILES.iter().enumerate() {
                let (ran, wrong, run) = (&ran, &wrong, &run);
                scope.spawn(move || {
                    let mut here = Vec::new();
                    if let Some(count) = run(n, &mut here) {
                        ran.lock().unwrap().push(format!("{file} {count}"));
                    }
                    wrong.lock().unwrap().append(&mut here);
                });
            }
        });
        let mut wrong = wrong.into_inner().unwrap();
        for late in self.upstreams.iter().flat_map(Upstream::take) {
            wrong.push(format!("received after its connection had ended: {}", late.start));
        }
        (ran.into_inner().unwrap(), wrong)
    }
}

#[test]
fn corpora_nothing_that_must_be_refused_is_received() {
    need_root!();
    if !corpora::folder().join("README.md").exists() {
        skip!("the corpora are not in {}", corpora::folder().display());
    }
    let rig = rig();
    let (ran, wrong) = rig.each(|n, wrong| {
        let (file, judge) = FILES[n];
        corpora::run(file, judge, &mut |allow, bytes| rig.drive(n, allow, bytes), wrong)
    });
    println!("corpora through the daemon: {}", ran.join(", "));
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
    assert_eq!(ran.len(), FILES.len(), "a file is missing: {ran:?}");
    rig.daemon.stop();
}

#[test]
fn controls_of_the_same_shapes_are_all_received() {
    need_root!();
    let rig = rig();
    let (ran, wrong) = rig.each(|n, wrong| {
        let count = corpora::run_controls(FILES[n].1, &mut |allow, bytes| rig.drive(n, allow, bytes), wrong);
        assert!(count >= 50, "{} has {count} controls", FILES[n].0);
        Some(count)
    });
    println!("controls through the daemon: {}", ran.join(", "));
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
    rig.daemon.stop();
}
