use std::io::{Read, Write};
use std::os::unix::net::UnixStream;

use super::super::metrics::tests::{judged, line, policy};
use super::*;
use crate::model::caller::Uid;

fn live() -> Live {
    let mut live = Live::new();
    live.know(&policy());
    live
}

fn listen(live: &mut Live, only: Only, uid: u32) -> UnixStream {
    let (ours, theirs) = UnixStream::pair().unwrap();
    theirs.shutdown(std::net::Shutdown::Read).unwrap();
    serve(live, theirs, Feed::Decisions, only, uid);
    ours
}

fn serve(live: &mut Live, socket: UnixStream, feed: Feed, only: Only, uid: u32) {
    live.serve(socket.into(), Serve { feed, only, uid, told: Told::default() }, Own::default());
}

fn decide(live: &mut Live, id: &str, route: &str, decision: &str, uid: u32) {
    let rest = format!(
        r#""id":"{id}","uid":{uid},"pid":9,"method":"GET","target":"/","route":"{route}","decision":"{decision}","policy":"9f2c1e77","status":200,"us":1"#
    );
    note(live, &line("decision", &rest));
}

fn note(live: &mut Live, line: &str) {
    let boot = "7k3qzd".parse().unwrap();
    live.note(&judged(line, Role::Gate), &Source { role: Role::Gate, boot, gate: Some(1) });
    live.push();
}

/// What has come so far, the head left out.
fn heard(socket: &mut UnixStream) -> String {
    socket.set_nonblocking(true).unwrap();
    let (mut all, mut buffer) = (Vec::new(), [0; 4096]);
    while let Ok(length @ 1..) = socket.read(&mut buffer) {
        all.extend_from_slice(&buffer[..length]);
    }
    let text = String::from_utf8(all).unwrap();
    text.split_once("\r\n\r\n").map_or(text.clone(), |(_, body)| body.to_owned())
}

#[test]
fn listener_hears_decisions_with_their_ids() {
    let mut live = live();
    let mut listener = listen(&mut live, Only::default(), 7);
    assert_eq!(heard(&mut listener), ": decisions as they are written\n\n");
    decide(&mut live, "7k3qzd-41-1", "list", "allow", 0);
    let said = heard(&mut listener);
    assert!(
        said.starts_with("event: decision\nid: 7k3qzd-41-1\ndata: {\"v\":1,\"t\":\"decision\""),
        "{said}"
    );
    assert!(said.ends_with("}\n\n"), "{said}");
    note(&mut live, &line("outcome", r#""id":"7k3qzd-41-1","result":"completed","in":0,"out":0,"us":1"#));
    assert_eq!(heard(&mut listener), "");
}

#[test]
fn listener_hears_only_what_its_backend_has() {
    let mut live = live();
    let denied =
        Only { allowed: Some(false), routes: vec!["stop".to_owned()], users: vec![Uid::new(8).unwrap()] };
    let mut listener = listen(&mut live, denied, 7);
    heard(&mut listener);
    decide(&mut live, "7k3qzd-1-1", "stop", "allow", 8);
    decide(&mut live, "7k3qzd-1-2", "list", "deny", 8);
    decide(&mut live, "7k3qzd-1-3", "stop", "deny", 9);
    decide(&mut live, "7k3qzd-1-4", "stop", "deny", 8);
    let ids: Vec<String> =
        heard(&mut listener).lines().filter_map(|l| Some(l.strip_prefix("id: ")?.to_owned())).collect();
    assert_eq!(ids, ["7k3qzd-1-4"]);
}

#[test]
fn slow_listener_loses_events_and_is_told_how_many_and_holds_up_nobody() {
    let mut live = live();
    let mut slow = listen(&mut live, Only::default(), 7);
    let mut quick = listen(&mut live, Only::default(), 8);
    let mut of_quick = String::new();
    let total = 20_000;
    for number in 0..total {
        decide(&mut live, &format!("7k3qzd-1-{number}"), "list", "allow", 0);
        of_quick.push_str(&heard(&mut quick));
    }
    assert_eq!(of_quick.matches("event: decision").count(), total);
    assert!(live.lost > 0);
    // Room again: it hears on, and what it has missed, though nothing else comes.
    let mut of_slow = heard(&mut slow);
    while !of_slow.contains("event: lost\n") {
        live.push();
        let more = heard(&mut slow);
        assert!(!more.is_empty(), "it is not told");
        of_slow.push_str(&more);
    }
    decide(&mut live, "7k3qzd-2-1", "list", "allow", 0);
    of_slow.push_str(&heard(&mut slow));
    let (before, after) = of_slow.split_once("event: lost\n").unwrap();
    let lost: u64 =
        after.strip_prefix("data: {\"lost\":").unwrap().split('}').next().unwrap().parse().unwrap();
    assert_eq!(lost, live.lost);
    assert_eq!(before.matches("event: decision").count() as u64 + lost, total as u64);
    assert!(after.contains("id: 7k3qzd-2-1\n"));
}

#[test]
fn listeners_are_bounded_in_all_and_of_one_uid() {
    let mut live = live();
    let mut of_one: Vec<_> = (0..=MOST_OF_ONE).map(|_| listen(&mut live, Only::default(), 7)).collect();
    assert_eq!(heard(of_one.last_mut().unwrap()), "too many listen already\n");
    let mut others: Vec<_> = (0..MOST).map(|n| listen(&mut live, Only::default(), 100 + n as u32)).collect();
    assert_eq!(heard(others.last_mut().unwrap()), "too many listen already\n");
    assert_eq!(live.answers.len(), MOST);
    assert!(heard(&mut of_one[0]).starts_with(": decisions"));
}

#[test]
fn metrics_come_whole_and_the_connection_ends() {
    let mut live = live();
    decide(&mut live, "7k3qzd-1-1", "list", "allow", 0);
    let (mut ours, theirs) = UnixStream::pair().unwrap();
    serve(&mut live, theirs, Feed::Metrics, Only::default(), 7);
    let mut text = String::new();
    ours.read_to_string(&mut text).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    assert!(head.contains(&format!("Content-Length: {}", body.len())), "{head}");
    assert!(head.contains(&format!("Content-Type: {CONTENT_TYPE}")), "{head}");
    assert!(body.contains("peergate_decisions_total{route=\"list\",decision=\"allow\",refusal=\"\"} 1\n"));
    assert!(live.answers.is_empty());
}

#[test]
fn reload_lets_listeners_go() {
    let mut live = live();
    let mut listener = listen(&mut live, Only::default(), 7);
    live.know(&policy());
    let mut rest = String::new();
    listener.read_to_string(&mut rest).unwrap();
    assert!(rest.ends_with("written\n\n") && live.answers.is_empty());
}

#[test]
fn listener_that_left_is_let_go() {
    let mut live = live();
    let listener = listen(&mut live, Only::default(), 7);
    let mut stays = listen(&mut live, Only::default(), 7);
    assert!((&stays).write(b"GET").is_err(), "nothing can be sent to the scribe");
    drop(listener);
    live.wait(&[], Duration::from_secs(60)).unwrap();
    assert_eq!(live.answers.len(), 1);
    decide(&mut live, "7k3qzd-1-1", "list", "allow", 0);
    assert!(heard(&mut stays).contains("id: 7k3qzd-1-1"));
}
