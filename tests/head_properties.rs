//! What holds of the head guard and of targets for any bytes, with inputs that come close to being right.
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test may stop"
)]
#![allow(unreachable_pub, reason = "the fuzz targets use the support modules too")]

#[path = "support/oracles.rs"]
mod oracles;

use peergate::gate::head::Expected;
use proptest::collection::vec;
use proptest::prelude::{Just, ProptestConfig, Strategy, any, prop_oneof, proptest};
use proptest::sample::select;

/// Mostly `words`, at times any byte.
fn text(words: &'static [&'static str], most: usize) -> impl Strategy<Value = Vec<u8>> {
    let word = select(words).prop_map(|word| word.as_bytes().to_vec());
    vec(prop_oneof![20 => word, 1 => any::<u8>().prop_map(|byte| vec![byte])], 0..most)
        .prop_map(|parts| parts.concat())
}

const TARGET: &[&str] = &[
    "/",
    "/",
    "a",
    "b",
    ".",
    "..",
    "%2F",
    "%2f",
    ";",
    "%",
    "%41",
    "%2e",
    "%C3%A4",
    "%c3",
    "%A4",
    "%E2%82%AC",
    "%C2%85",
    "?",
    "&",
    "=",
    "a=1",
    "#",
    "\\",
    "%5c",
    "%00",
    "%25",
    "+",
    "~",
    "%F0%9F%98%80",
    "%ED%A0%80",
    ":",
    "*",
];

const LINES: &[&str] = &[
    "Host: h\r\n",
    "host:h:80\r\n",
    "Content-Length: 5\r\n",
    "Content-Length: 0\r\n",
    "Transfer-Encoding: chunked\r\n",
    "transfer-encoding:\tCHUNKED\r\n",
    "Connection: close\r\n",
    "Connection: keep-alive, X-A\r\n",
    "Connection: upgrade\r\n",
    "Upgrade: tcp\r\n",
    "Expect: 100-continue\r\n",
    "X-A: b\r\n",
    "X-Forwarded-For: 1\r\n",
    "X_Forwarded_For: 1\r\n",
    "Content-Type: a/b\r\n",
    "Remote-User: root\r\n",
    "Origin: x\r\n",
    "TE: trailers\r\n",
    " fold\r\n",
    "A:\r\n",
    "A : b\r\n",
];

const BODY: &[&str] = &[
    "hello",
    "5\r\nhello\r\n",
    "5",
    "\r\n",
    "0\r\n\r\n",
    "0\r\n",
    "00",
    ";",
    "a\r\n0123456789\r\n",
    "A: b\r\n",
    "\n",
    "\r",
    " ",
    "ffffffffffffffff\r\n",
    "00\r\n\r\n",
    "+5\r\nhello\r\n",
];

/// A request in which a part or two may be off.
fn request() -> impl Strategy<Value = Vec<u8>> {
    let line = prop_oneof![
        4 => select(&["GET / ", "POST /a?b=c ", "PUT /%7e/%c3%a4 ", "OPTIONS * ", "HEAD /x/ "][..]).prop_map(|l| l.as_bytes().to_vec()),
        1 => text(TARGET, 8).prop_map(|target| [b"GET /", target.as_slice(), b" "].concat()),
        1 => text(&["GET", " ", "/", "*", "CONNECT", "get", "http://h/"], 5),
    ];
    let version = prop_oneof![8 => Just("HTTP/1.1\r\n"), 2 => Just("HTTP/1.0\r\n"), 1 => Just("HTTP/2.0\r\n"), 1 => Just("\n")];
    let host = prop_oneof![8 => Just("Host: h\r\n"), 1 => Just("")];
    let end = prop_oneof![12 => Just("\r\n"), 1 => Just("\n"), 1 => Just("")];
    let framed = prop_oneof![
        3 => Just(b"\r\n".to_vec()),
        1 => Just(b"Content-Length: 5\r\n\r\nhello".to_vec()),
        1 => Just(b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n".to_vec()),
        1 => text(BODY, 6).prop_map(|body| [b"Transfer-Encoding: chunked\r\n\r\n", body.as_slice()].concat()),
        2 => (end, text(BODY, 4)).prop_map(|(end, body)| [end.as_bytes(), &body].concat()),
    ];
    (line, version, host, text(LINES, 4), framed).prop_map(|(line, version, host, lines, framed)| {
        [line.as_slice(), version.as_bytes(), host.as_bytes(), &lines, &framed].concat()
    })
}

fn answer() -> impl Strategy<Value = Vec<u8>> {
    let line = select(
        &[
            "HTTP/1.1 200 OK\r\n",
            "HTTP/1.1 100 Continue\r\n",
            "HTTP/1.1 101 x\r\n",
            "HTTP/1.1 204 x\r\n",
            "HTTP/1.1 304 x\r\n",
            "HTTP/1.0 404 \r\n",
            "HTTP/1.1 600 x\r\n",
        ][..],
    );
    (line, text(LINES, 4), text(BODY, 5))
        .prop_map(|(line, lines, body)| [line.as_bytes(), &lines, b"\r\n", &body].concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_000))]

    #[test]
    fn targets_are_idempotent_and_two_readers_agree(rest in text(TARGET, 12)) {
        oracles::check_target(&[b"/", rest.as_slice()].concat());
        oracles::check_target(&rest);
    }

    #[test]
    fn requests_any_split_two_readers_and_rewriting_agree(all in vec(request(), 1..4), seed: u64) {
        oracles::check_requests(&all.concat(), seed);
    }

    #[test]
    fn answers_any_split_and_rewriting_agree(all in vec(answer(), 1..3), head: bool, upgrade: bool, seed: u64) {
        oracles::check_answers(&all.concat(), Expected { head, upgrade }, seed);
    }

    #[test]
    fn any_bytes_panic_nothing(bytes: Vec<u8>, seed: u64) {
        oracles::check_target(&bytes);
        oracles::check_requests(&bytes, seed);
        oracles::check_answers(&bytes, Expected::default(), seed);
    }
}
