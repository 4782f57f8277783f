//! A slow second judge, written from the words of the manual: it reads patterns from their text, tries every one, and
//! compares them segment by segment. It shares no code with the one that decides. Policies are made from bytes, so that
//! a fuzzer and a property test ask for the same.

use std::fmt::Write as _;
use std::sync::Arc;

use peergate::model::caller::{Attr, Caller, Credentials, Gid, Namespace, Peer, Uid};
use peergate::model::ids::ListenerId;
use peergate::model::method::Method;
use peergate::model::target::{Asked, Target};
use peergate::policy::{
    Decider, Group, Names, Own, Policy, Unanswered, User, Verdict, load_bytes, load_text,
};

const METHODS: [&str; 3] = ["GET", "POST", "*"];
/// Segments of patterns; `?` becomes a name.
const SEGMENTS: [&str; 14] = [
    "a", "b", "ab", "v1.4", "{?}", "{?:hex}", "{?:int}", "a{?}", "{?}b", "a{?:int}", "1{?}", "{?...}",
    "json", "f0",
];
/// Segments of requests.
const ASKED: [&str; 14] =
    ["a", "b", "ab", "1", "a1", "1b", "f0", "zz", "v1.4", "json", "v2", "a;x", "a%2Fb", "a%20b"];
const QUERIES: [&str; 6] = ["", "?", "?all=1", "?size=2", "?all=1&size=2", "?all=1&all=2"];

/// Decisions drawn from bytes; they end in zeros.
struct Draw<'b>(std::slice::Iter<'b, u8>);

impl Draw<'_> {
    fn below(&mut self, most: usize) -> usize {
        usize::from(self.0.next().copied().unwrap_or(0)) % most.max(1)
    }

    fn of<'t>(&mut self, texts: &[&'t str]) -> &'t str {
        texts.get(self.below(texts.len())).copied().unwrap_or_default()
    }
}

/// Whoever uid 1 and 2 are: nobody else has a name.
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

fn own() -> Own {
    Own::system(Uid::new(0).expect("an id"), Gid::new(0).expect("an id"))
}

/// Any bytes as a policy's file: they are taken or refused, in the same way again, and what is taken is carried whole.
pub fn check_file(bytes: &[u8]) {
    let read = load_bytes("fuzz.toml", bytes, &Nobody, &own());
    match &read {
        Ok(policy) => {
            let carried = policy.to_bytes().expect("a policy can be carried");
            assert_eq!(Policy::from_bytes(&carried).as_ref(), Ok(policy), "it arrives as it was sent");
            for who in [1, 4711] {
                judge_all(&Decider::new(Arc::new(policy.clone())), who);
            }
        }
        Err(why) => assert!(!why.to_string().trim().is_empty(), "a mistake says what it is"),
    }
    // Cut anywhere, it is no shorter way to a policy that lacks its end unseen: it must not panic either.
    let half = bytes.get(..bytes.len() / 2).unwrap_or_default();
    drop(load_bytes("half.toml", half, &Nobody, &own()));
    // No bytes of another's make a policy that refers to what is not there.
    drop(Policy::from_bytes(bytes));
}

fn judge_all(decider: &Decider, uid: u32) {
    for path in ["/", "/containers/json?all=1", "/v1.47/version", "/a/b/c/", "/a%2Fb;c"] {
        let target = Target::parse(path.as_bytes()).expect("a target");
        for method in ["GET", "POST"] {
            let method = Method::parse(method.as_bytes()).expect("a method");
            for listener in 0..decider.policy().listeners.len().min(3) {
                let listener = ListenerId(u16::try_from(listener).expect("few listeners"));
                let subject = decider.recognise(listener, &caller(uid));
                let asked = Asked { method: &method, target: &target, upgrade: None };
                drop(decider.decide(listener, &subject, &asked));
            }
        }
    }
}

/// A policy and requests made from bytes: the decider answers as the slow judge does.
pub fn check_rules(bytes: &[u8]) {
    let mut draw = Draw(bytes.iter());
    let written = Written::draw(&mut draw);
    // Ties and repetitions are mistakes of a policy; then there is nothing to compare.
    let Ok(policy) = load_text("made.toml", &written.text(), &Nobody, &own()) else { return };
    let decider = Decider::new(Arc::new(policy));
    for _ in 0..8 {
        let uid = u32::try_from(draw.below(3)).expect("small") + 1;
        let method = draw.of(&["GET", "POST"]);
        let mut path = String::new();
        for _ in 0..=draw.below(5) {
            write!(path, "/{}", draw.of(&ASKED)).expect("a string");
        }
        if draw.below(4) == 0 {
            path.push('/');
        }
        let target = format!("{path}{}", draw.of(&QUERIES));
        let target = Target::parse(target.as_bytes()).expect("these are targets");
        let asked_by = Method::parse(method.as_bytes()).expect("a method");
        let subject = decider.recognise(ListenerId(0), &caller(uid));
        let asked = Asked { method: &asked_by, target: &target, upgrade: None };
        let said = match decider.decide(ListenerId(0), &subject, &asked) {
            Verdict::Allow(permit) => format!("allow {}", permit.route_id()),
            Verdict::Read(_) => "reads what these rules never ask for".to_owned(),
            Verdict::Deny(denial) => denial.refusal.code().to_owned(),
        };
        let slow = written.judge(uid, method, &target);
        assert_eq!(said, slow, "uid {uid} {method} {} by\n{}", target.as_str(), written.text());
    }
}

fn caller(uid: u32) -> Caller {
    Caller {
        peer: Peer { uid, gid: uid, pid: 1, real_uid: None },
        credentials: Credentials {
            uid: Attr::Known(Uid::new(uid).expect("an id")),
            gid: Attr::Known(Gid::new(uid).expect("an id")),
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

/// A policy as it is drawn: who 1, who 2, routes and forbids.
struct Written {
    prefix: bool,
    routes: Vec<Rule>,
    forbids: Vec<Rule>,
}

struct Rule {
    patterns: Vec<(String, String)>,
    /// Of who 1 and who 2; a forbid without any binds everyone.
    whos: Vec<u32>,
    query: Option<Vec<&'static str>>,
}

impl Rule {
    fn draw(draw: &mut Draw<'_>, is_route: bool) -> Rule {
        let patterns = (0..=draw.below(3)).map(|_| (draw.of(&METHODS).to_owned(), pattern(draw))).collect();
        let mut whos = match draw.below(4) {
            0 => vec![1],
            1 => vec![2],
            2 => vec![1, 2],
            _ => Vec::new(),
        };
        if is_route && whos.is_empty() {
            whos.push(1);
        }
        let query = match draw.below(4) {
            0 => Some(Vec::new()),
            1 => Some(vec!["all"]),
            2 => Some(vec!["all", "size"]),
            _ => None,
        };
        Rule { patterns, whos, query: query.filter(|_| is_route) }
    }
}

fn pattern(draw: &mut Draw<'_>) -> String {
    let mut path = String::new();
    let mut rest = false;
    for number in 0..=draw.below(4) {
        let segment = draw.of(&SEGMENTS);
        let is_rest = segment == "{?...}";
        // Only literals follow a rest.
        let segment = if rest && segment.contains('?') { "json" } else { segment };
        rest |= is_rest;
        write!(path, "/{}", segment.replace('?', &format!("x{number}"))).expect("a string");
    }
    if draw.below(6) == 0 {
        path.push('/');
    }
    path
}

impl Written {
    fn draw(draw: &mut Draw<'_>) -> Written {
        let prefix = draw.below(2) == 1;
        let routes = (0..=draw.below(6)).map(|_| Rule::draw(draw, true)).collect();
        let forbids = (0..draw.below(4)).map(|_| Rule::draw(draw, false)).collect();
        Written { prefix, routes, forbids }
    }

    fn text(&self) -> String {
        let mut text =
            String::from("version = 1\n[listen.a]\npath = \"/a\"\n[backend.b]\nproxy = \"unix:/b\"\n");
        if self.prefix {
            text.push_str("version_prefix = \"/v{api:version}\"\n");
        }
        text.push_str("[who.w1]\nuid = 1\n[who.w2]\nuid = 2\n");
        let list = |texts: Vec<String>| texts.join(", ");
        for (kind, rules) in [("route", &self.routes), ("forbid", &self.forbids)] {
            for (number, rule) in rules.iter().enumerate() {
                let patterns = rule.patterns.iter().map(|(method, path)| format!("\"{method} {path}\""));
                let whos: Vec<String> = rule.whos.iter().map(|who| format!("\"w{who}\"")).collect();
                write!(text, "[[{kind}]]\nid = \"{kind}{number}\"\nmatch = [{}]\n", list(patterns.collect()))
                    .expect("a string");
                match kind {
                    "route" => write!(text, "to = \"b\"\nallow = [{}]\n", list(whos)).expect("a string"),
                    _ if whos.is_empty() => {}
                    _ => writeln!(text, "who = [{}]", list(whos)).expect("a string"),
                }
                if let Some(query) = &rule.query {
                    let names = query.iter().map(|name| format!("\"{name}\"")).collect();
                    writeln!(text, "query = [{}]", list(names)).expect("a string");
                }
            }
        }
        text
    }

    fn judge(&self, uid: u32, method: &str, target: &Target) -> String {
        let path = target.path();
        let best = self
            .routes
            .iter()
            .enumerate()
            .filter_map(|(number, rule)| Some((self.best_of(rule, method, path)?, number, rule)))
            .max_by(|(a, ..), (b, ..)| a.cmp(b));
        let hidden = if path.contains("%2F") && !before(path, ';', "%2F") {
            Some("encoded-slash")
        } else if path.contains(';') {
            Some("path-parameter")
        } else {
            None
        };
        let Some((_, number, route)) = best else { return hidden.unwrap_or("no-route").to_owned() };
        // No route of these opts in.
        if let Some(hidden) = hidden {
            return hidden.to_owned();
        }
        let bare = path.trim_end_matches('/');
        let readings = [path, if bare.is_empty() { "/" } else { bare }];
        let binds = |forbid: &&Rule| {
            (forbid.whos.is_empty() || forbid.whos.contains(&uid))
                && readings.iter().any(|path| self.best_of(forbid, method, path).is_some())
        };
        if self.forbids.iter().any(|forbid| binds(&forbid)) {
            return "forbidden".to_owned();
        }
        if !route.whos.contains(&uid) {
            return "not-allowed".to_owned();
        }
        let text = target.query().unwrap_or_default();
        let names: Vec<&str> = text
            .split('&')
            .filter(|pair| !pair.is_empty())
            .map(|pair| pair.split('=').next().unwrap_or(""))
            .collect();
        if let (Some(known), Some(_)) = (&route.query, target.query()) {
            if names.len() == 2 && names.first() == names.last() {
                return "query-twice".to_owned();
            }
            if !names.iter().all(|name| known.contains(name)) {
                return "query-name".to_owned();
            }
        }
        format!("allow route{number}")
    }

    /// How specific the best pattern is that takes the path, with and without the version before it.
    fn best_of(&self, rule: &Rule, method: &str, path: &str) -> Option<(Vec<(u8, usize)>, bool)> {
        let segments: Vec<&str> = path.get(1..).unwrap_or_default().split('/').collect();
        let mut best = None;
        for (named, pattern) in &rule.patterns {
            if named != "*" && named != method {
                continue;
            }
            let pieces: Vec<&str> = pattern.get(1..).unwrap_or_default().split('/').collect();
            let with = std::iter::once("v{api:version}").chain(pieces.iter().copied()).collect();
            for pieces in std::iter::once(pieces.clone()).chain(self.prefix.then_some(with)) {
                if takes(&pieces, &segments) {
                    let rank = (pieces.iter().map(|piece| class(piece)).collect(), named != "*");
                    best = best.max(Some(rank));
                }
            }
        }
        best
    }
}

/// Whether the first segment that hides something hides `first` and not `second`.
fn before(path: &str, first: char, second: &str) -> bool {
    path.split('/')
        .find(|segment| segment.contains(first) || segment.contains(second))
        .is_some_and(|segment| !segment.contains(second))
}

/// Literal > literal with capture, the longer literal first > capture > rest.
fn class(piece: &str) -> (u8, usize) {
    let Some((before, rest)) = piece.split_once('{') else { return (3, 0) };
    let (inside, behind) = rest.split_once('}').unwrap_or((rest, ""));
    match before.len() + behind.len() {
        0 if inside.ends_with("...") => (0, 0),
        0 => (1, 0),
        literal => (2, literal),
    }
}

fn takes(pieces: &[&str], segments: &[&str]) -> bool {
    match (pieces, segments) {
        ([], []) => true,
        ([piece, behind @ ..], [_, ..]) if piece.ends_with("...}") => {
            (1..=segments.len()).any(|taken| takes(behind, segments.get(taken..).unwrap_or_default()))
        }
        ([piece, pieces @ ..], [segment, segments @ ..]) => one(piece, segment) && takes(pieces, segments),
        _ => false,
    }
}

fn one(piece: &str, segment: &str) -> bool {
    let Some((before, rest)) = piece.split_once('{') else { return piece == segment };
    let (inside, behind) = rest.split_once('}').unwrap_or((rest, ""));
    let Some(value) = segment.strip_prefix(before).and_then(|rest| rest.strip_suffix(behind)) else {
        return false;
    };
    let digits = |text: &str| text.chars().all(|c| c.is_ascii_digit());
    !value.is_empty()
        && match inside.split_once(':').map(|(_, kind)| kind) {
            None => true,
            Some("hex") => value.chars().all(|c| c.is_ascii_hexdigit()),
            Some("int") => digits(value),
            Some("version") => {
                value.starts_with(|c: char| c.is_ascii_digit() || c == '.')
                    && value.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-'))
            }
            Some(_) => false,
        }
}
