//! What holds for any bytes: used by the property tests and by the fuzz targets alike. Each check panics where it does
//! not hold.

#[path = "slow.rs"]
mod slow;

use peergate::gate::head::{
    Answer, Event, Expected, Framing, Head, HeadLimits, RequestGuard, ResponseGuard, Version,
};
use peergate::model::refusal::Refusal;
use peergate::model::target::Target;

/// A message as a guard read it.
#[derive(Debug, PartialEq, Eq)]
struct Message {
    /// Its head, written anew.
    head: String,
    body: Vec<u8>,
    whole: bool,
}

/// How bytes are split; any seed is as good as another. 0: not at all.
struct Splits(u64);

impl Splits {
    fn next(&mut self, most: usize) -> usize {
        if self.0 == 0 {
            return most;
        }
        // Marsaglia's xorshift.
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        // Small pieces mostly, and one byte often.
        let piece = if self.0 & 3 == 0 { 1 } else { (self.0 >> 8) as usize % 40 + 1 };
        piece.min(most)
    }
}

/// A target that is taken is taken again as itself, is ASCII, and the slow reader agrees.
pub fn check_target(raw: &[u8]) {
    let read = Target::parse(raw);
    assert_eq!(
        read.as_ref().ok().map(Target::as_str),
        slow::target(raw).as_deref(),
        "{}",
        raw.escape_ascii()
    );
    let Ok(target) = read else { return };
    assert_eq!(Target::parse(target.as_str().as_bytes()).as_ref(), Ok(&target));
    let pieces: Vec<_> = target.segments().map(|segment| segment.text).collect();
    assert_eq!(format!("/{}", pieces.join("/")), target.path());
    let query = target.query().map(|query| format!("?{query}")).unwrap_or_default();
    assert_eq!(format!("{}{query}", target.path()), target.as_str());
    let once = target.query_names_once();
    let names: Vec<_> = target.query_pairs().map(|(name, _)| name).collect();
    let twice = names.iter().enumerate().any(|(i, name)| names[..i].contains(name));
    match once {
        Ok(()) => assert!(!twice),
        Err(Refusal::QueryTwice) => assert!(twice),
        Err(why) => assert_eq!(why, Refusal::QuerySyntax),
    }
}

/// Any split of a client's bytes gives the same; a head that was written anew reads as itself; the slow reader finds
/// the same complete requests and the same end.
pub fn check_requests(bytes: &[u8], seed: u64) {
    let limits = HeadLimits { head_bytes: 2048, headers: 24, target_bytes: 512, ..HeadLimits::default() };
    let (whole, end) = requests(&limits, bytes, Splits(0));
    let split = requests(&limits, bytes, Splits(seed | 1));
    assert_eq!(split, (whole, end), "split changes the verdict");
    let whole = split.0;
    let (slow, clean) = slow::requests(&limits, bytes);
    let complete: Vec<_> = whole
        .iter()
        .filter(|message| message.whole)
        .map(|message| {
            let mut words = message.head.split(' ').map(str::to_owned);
            slow::Request {
                method: words.next().unwrap_or_default(),
                target: words.next().unwrap_or_default(),
                body: message.body.clone(),
            }
        })
        .collect();
    assert_eq!(complete, slow, "the slow reader finds other requests");
    assert_eq!(end.is_none(), clean, "the slow reader ends otherwise: {end:?}");
}

fn requests(limits: &HeadLimits, bytes: &[u8], mut splits: Splits) -> (Vec<Message>, Option<Refusal>) {
    let mut guard = RequestGuard::new(limits.clone());
    let mut rest = bytes;
    let mut found: Vec<Message> = Vec::new();
    loop {
        match guard.step() {
            Err(why) => {
                assert_eq!(guard.step().err(), Some(why), "a refusal is final");
                return (found, Some(why));
            }
            Ok(Event::Closed) => return (found, None),
            Ok(Event::NeedMore) if rest.is_empty() => guard.closed(),
            Ok(Event::NeedMore) => {
                let count = take(&mut rest, guard.spare(), &mut splits);
                guard.filled(count);
            }
            Ok(Event::Head(head)) => {
                found.push(Message { head: check_head(&head), body: Vec::new(), whole: false })
            }
            Ok(Event::Body(count)) => {
                assert_eq!(guard.body().len(), count);
                let used = splits.next(count);
                if let Some(message) = found.last_mut() {
                    message.body.extend_from_slice(&guard.body()[..used]);
                }
                guard.consume(used);
            }
            Ok(Event::End) => {
                if let Some(message) = found.last_mut() {
                    message.whole = true;
                }
                guard.next();
            }
        }
    }
}

/// The head written anew, which reads as the same head; what leaves for a backend is strict too.
fn check_head(head: &Head) -> String {
    let mut out = Vec::new();
    head.write_as_read(&mut out);
    let again = first(&out);
    let mut twice = Vec::new();
    again.write_as_read(&mut twice);
    assert_eq!(twice, out, "{}", out.escape_ascii());
    let facts = |head: &Head| {
        (
            (head.method().clone(), head.target().clone(), head.version(), head.host().to_owned()),
            (head.framing(), head.expect_continue(), head.close()),
            head.upgrade().map(str::to_owned),
            head.forwardable().map(|(n, v)| (n.to_owned(), v.to_owned())).collect::<Vec<_>>(),
        )
    };
    assert_eq!(facts(&again), facts(head));
    let mut backend = Vec::new();
    head.write_for_backend(&mut backend, &[("X-Peergate-Uid", "1000")]);
    let leaving = first(&backend);
    assert_eq!(leaving.target(), head.target());
    assert_eq!(leaving.framing(), head.framing());
    assert_eq!(leaving.values("x-peergate-uid").collect::<Vec<_>>(), ["1000"]);
    assert_eq!(leaving.forwardable().count(), head.forwardable().count());
    check_for_engine(head);
    String::from_utf8_lossy(&out).into_owned()
}

/// The most bytes of a head for the HTTP engine, far below what it has room for.
const FOR_ENGINE: usize = 256;

/// The head for the HTTP engine, read plainly, says of the message what the guard found, and nothing else.
fn check_for_engine(head: &Head) {
    let mut out = Vec::new();
    head.write_for_engine(&mut out);
    let text = std::str::from_utf8(&out).unwrap();
    assert!(out.len() <= FOR_ENGINE, "{text}");
    let lines = text.strip_suffix("\r\n\r\n").unwrap_or_else(|| panic!("`{text}` has no end"));
    let mut lines = lines.split("\r\n");
    let first = format!("{} / {}", head.method().as_str(), head.version().as_str());
    assert_eq!(lines.next(), Some(first.as_str()));
    let mut said: Vec<_> = lines.map(|line| line.split_once(": ").unwrap()).collect();
    said.sort_unstable();
    let connection = match (head.upgrade().is_some(), head.close(), head.version()) {
        (true, true, _) => Some("upgrade, close"),
        (true, false, _) => Some("upgrade"),
        (false, true, _) => Some("close"),
        (false, false, Version::Http10) => Some("keep-alive"),
        (false, false, Version::Http11) => None,
    };
    let length = match head.framing() {
        Framing::Length(length) => Some(length.to_string()),
        Framing::None | Framing::Chunked | Framing::UntilClose => None,
    };
    let expected = [
        ("Connection", connection),
        ("Content-Length", length.as_deref()),
        ("Expect", head.expect_continue().then_some("100-continue")),
        ("Transfer-Encoding", (head.framing() == Framing::Chunked).then_some("chunked")),
        ("Upgrade", head.upgrade().map(|_| "x")),
    ];
    let expected: Vec<_> = expected.into_iter().filter_map(|(name, value)| Some((name, value?))).collect();
    assert_eq!(said, expected, "{text}");
}

/// The one head that `bytes` are.
fn first(bytes: &[u8]) -> Head {
    let mut guard = RequestGuard::new(HeadLimits::default());
    let mut rest = bytes;
    loop {
        match guard.step() {
            Ok(Event::Head(head)) => {
                assert!(rest.is_empty() && guard.buffered() == 0);
                return *head;
            }
            Ok(Event::NeedMore) if !rest.is_empty() => {
                let count = take(&mut rest, guard.spare(), &mut Splits(0));
                guard.filled(count);
            }
            other => panic!("`{}` comes to {other:?}", bytes.escape_ascii()),
        }
    }
}

/// Any split of a backend's bytes gives the same, and an answer's head that was written anew reads as itself.
pub fn check_answers(bytes: &[u8], expected: Expected, seed: u64) {
    let limits = HeadLimits { head_bytes: 2048, headers: 24, ..HeadLimits::default() };
    let whole = answers(&limits, expected, bytes, Splits(0));
    assert_eq!(answers(&limits, expected, bytes, Splits(seed | 1)), whole, "split changes the verdict");
}

type Answers = (Vec<Message>, Option<Refusal>, Option<Refusal>);

fn answers(limits: &HeadLimits, expected: Expected, bytes: &[u8], mut splits: Splits) -> Answers {
    let mut guard = ResponseGuard::new(limits.clone(), expected);
    let mut rest = bytes;
    let mut found: Vec<Message> = Vec::new();
    loop {
        match guard.step() {
            Err(why) => {
                assert!(matches!(why, Refusal::BackendGarbage | Refusal::BackendDied));
                return (found, Some(why), guard.cause());
            }
            Ok(Event::Closed) => return (found, None, None),
            Ok(Event::NeedMore) if rest.is_empty() => guard.closed(),
            Ok(Event::NeedMore) => {
                let count = take(&mut rest, guard.spare(), &mut splits);
                guard.filled(count);
            }
            Ok(Event::Head(answer)) => {
                let head = check_answer(&answer, expected);
                found.push(Message { head, body: Vec::new(), whole: false });
            }
            Ok(Event::Body(count)) => {
                let used = splits.next(count);
                if let Some(message) = found.last_mut() {
                    message.body.extend_from_slice(&guard.body()[..used]);
                }
                guard.consume(used);
            }
            Ok(Event::End) => {
                if let Some(message) = found.last_mut() {
                    message.whole = true;
                }
                if !rest.is_empty() || !guard.next(expected) {
                    return (found, None, None);
                }
            }
        }
    }
}

fn check_answer(answer: &Answer, expected: Expected) -> String {
    let mut out = Vec::new();
    answer.write_as_read(&mut out);
    let mut guard = ResponseGuard::new(HeadLimits::default(), expected);
    let mut rest = out.as_slice();
    while !rest.is_empty() {
        let count = take(&mut rest, guard.spare(), &mut Splits(0));
        guard.filled(count);
    }
    let Ok(Event::Head(again)) = guard.step() else { panic!("`{}` is refused", out.escape_ascii()) };
    let mut twice = Vec::new();
    again.write_as_read(&mut twice);
    assert_eq!(twice, out, "{}", out.escape_ascii());
    assert_eq!((again.status(), again.framing()), (answer.status(), answer.framing()));
    String::from_utf8_lossy(&out).into_owned()
}

fn take(rest: &mut &[u8], spare: &mut [u8], splits: &mut Splits) -> usize {
    let count = splits.next(rest.len().min(spare.len()));
    assert!(count > 0, "there is no room");
    spare[..count].copy_from_slice(&rest[..count]);
    *rest = &rest[count..];
    count
}
