//! What one decision costs as the policy grows: nanoseconds at 10, 100, 1,000 and 10,000 routes with 1,000 whos,
//! and each as a ratio to the first. Requests go over all routes in a scattered order, so that at 10,000 routes
//! the caches don't help more than they would in service. And what a file of each size costs to load: read, checked,
//! its names resolved and its tests run.
//!
//! `cargo bench --bench decide`

use std::fmt::Write as _;
use std::hint::black_box;
use std::io::Write as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

use peergate::model::caller::{Attr, Caller, Credentials, Gid, Namespace, Peer, Uid};
use peergate::model::ids::ListenerId;
use peergate::model::method::Method;
use peergate::model::target::{Asked, Target};
use peergate::policy::{Decider, Group, Names, Own, Policy, Subject, Unanswered, User, Verdict, load_text};

const WHOS: usize = 1_000;
const DECISIONS: usize = 1_000_000;
const BATCH: usize = 50;
const ROUNDS: usize = 7;

fn main() {
    let mut out = std::io::stdout().lock();
    let mut least = [f64::MAX; 4];
    let sizes = [10, 100, 1_000, 10_000];
    let cases: Vec<Case> = sizes.iter().map(|routes| Case::new(*routes)).collect();
    // Rounds alternate, and the best of each counts: other work on the machine only adds.
    for _ in 0..ROUNDS {
        for (case, least) in cases.iter().zip(&mut least) {
            *least = least.min(case.run());
        }
    }
    let first = least.first().copied().unwrap_or(f64::NAN);
    for (routes, ns) in sizes.iter().zip(least) {
        let line = format!(
            "{routes:>6} routes, {WHOS} whos: {ns:>6.0} ns a decision, {:.2} of 10 routes",
            ns / first
        );
        writeln!(out, "{line}").ok();
    }
    for routes in sizes {
        let text = text(routes);
        let least = (0..ROUNDS).map(|_| load(&text).1).min().unwrap_or_default();
        let (ms, bytes) = (least.as_secs_f64() * 1e3, text.len());
        writeln!(out, "{routes:>6} routes, {WHOS} whos: {ms:>6.1} ms to load {bytes} bytes").ok();
    }
}

fn load(text: &str) -> (Policy, Duration) {
    let start = Instant::now();
    match load_text("bench.toml", text, &Nobody, &Own::system(uid(0), gid(0))) {
        Ok(policy) => (policy, start.elapsed()),
        Err(wrong) => fail(&wrong.to_string()),
    }
}

struct Case {
    decider: Decider,
    caller: Caller,
    method: Method,
    targets: Vec<Target>,
}

impl Case {
    fn new(routes: usize) -> Case {
        let (policy, _) = load(&text(routes));
        // A step that is prime to the number of routes visits each once, neighbours far apart.
        let targets = (0..routes.max(1_000)).map(|step| target(step * 7_919 % routes)).collect();
        let method = Method::parse(b"GET").unwrap_or_else(|refusal| fail(refusal.text()));
        Case { decider: Decider::new(Arc::new(policy)), caller: caller(500), method, targets }
    }

    /// Nanoseconds a decision. A target is read right before it is judged, so each batch is warm when its time is
    /// taken; the policy is as warm as the requests before have left it.
    fn run(&self) -> f64 {
        let subject = self.decider.recognise(ListenerId(0), &self.caller);
        let (mut decided, mut elapsed) = (0, Duration::ZERO);
        for batch in self.targets.chunks(BATCH).cycle() {
            black_box(
                batch.iter().map(|target| target.as_str().bytes().map(u64::from).sum::<u64>()).sum::<u64>(),
            );
            let start = Instant::now();
            let allowed = batch.iter().filter(|target| self.allows(&subject, target)).count();
            elapsed += start.elapsed();
            if allowed != batch.len() {
                fail("a decision went wrong");
            }
            decided += batch.len();
            if decided >= DECISIONS {
                return elapsed.as_nanos() as f64 / decided as f64;
            }
        }
        f64::NAN
    }

    fn allows(&self, subject: &Subject, target: &Target) -> bool {
        let asked = Asked { method: &self.method, target: black_box(target), upgrade: None };
        matches!(black_box(self.decider.decide(ListenerId(0), subject, &asked)), Verdict::Allow(_))
    }
}

fn text(routes: usize) -> String {
    let mut text =
        String::from("version = 1\n[listen.a]\npath = \"/run/a\"\n[backend.a]\nproxy = \"unix:/run/b\"\n");
    text.push_str("version_prefix = \"/v{api:version}\"\n");
    for who in 0..WHOS {
        writeln!(text, "[who.w{who}]\nuid = {who}").ok();
    }
    for route in 0..routes {
        let others = [1, 2, 3].map(|step| format!("\"w{}\"", (route * 31 + step * 97) % 499));
        writeln!(
            text,
            "[[route]]\nid = \"r{route}\"\nmatch = \"GET {}\"\nquery = [\"all\", \"limit\"]\nto = \"a\"\n\
             allow = [\"w500\", {}]",
            path(route, "{id}"),
            others.join(", ")
        )
        .ok();
    }
    text.push_str("[[forbid]]\nid = \"f\"\nmatch = \"* /exec/{rest...}\"\nwho = \"w1\"\n");
    text
}

/// Services of ten resources each, as APIs have them.
fn path(route: usize, id: &str) -> String {
    format!("/service{}/{id}/resource{}/json", route / 10, route % 10)
}

fn target(route: usize) -> Target {
    let raw = format!("/v1.41{}?all=1&limit=5", path(route, "0f3a9c"));
    Target::parse(raw.as_bytes()).unwrap_or_else(|refusal| fail(refusal.text()))
}

fn caller(id: u32) -> Caller {
    Caller {
        peer: Peer { uid: id, gid: id, pid: 1, real_uid: None },
        credentials: Credentials {
            uid: Attr::Known(uid(id)),
            gid: Attr::Known(gid(id)),
            groups: Attr::Known(Vec::new()),
        },
        user: None,
        namespace: Attr::Known(Namespace::Host),
        start_time: Attr::Unknown,
        exe: Attr::Unknown,
        unit: Attr::Unknown,
        login_uid: Attr::Unknown,
        label: Attr::Unknown,
    }
}

fn uid(raw: u32) -> Uid {
    Uid::new(raw).unwrap_or_else(|| fail("no uid"))
}

fn gid(raw: u32) -> Gid {
    Gid::new(raw).unwrap_or_else(|| fail("no gid"))
}

#[allow(clippy::panic, reason = "a benchmark that can't measure has nothing else to do")]
fn fail(why: &str) -> ! {
    panic!("{why}")
}

/// The policy of this benchmark names users by their ids only.
struct Nobody;

impl Names for Nobody {
    fn user(&self, _: &str) -> Result<Option<User>, Unanswered> {
        Ok(None)
    }

    fn group(&self, _: &str) -> Result<Option<Group>, Unanswered> {
        Ok(None)
    }

    fn groups_of(&self, _: &User) -> Result<Vec<Gid>, Unanswered> {
        Ok(Vec::new())
    }

    fn users(&self) -> Vec<(Uid, String)> {
        Vec::new()
    }

    fn group_names(&self) -> Vec<String> {
        Vec::new()
    }
}
