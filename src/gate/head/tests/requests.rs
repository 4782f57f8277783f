use super::*;

fn refusal(bytes: &str) -> Option<Refusal> {
    let limits = HeadLimits::default();
    let whole = requests(&limits, bytes.as_bytes(), usize::MAX);
    assert_eq!(requests(&limits, bytes.as_bytes(), 1), whole, "split changes the verdict of {bytes:?}");
    whole.1
}

/// With the header lines given, between Host and the empty line.
fn with(lines: &str) -> Option<Refusal> {
    refusal(&format!("POST /a HTTP/1.1\r\nHost: h\r\n{lines}\r\n"))
}

#[test]
fn request_line_each_rule_refuses_by_its_own_name() {
    for (line, why) in [
        ("GET /", Refusal::RequestLine),
        ("", Refusal::RequestLine),
        ("GET  / HTTP/1.1", Refusal::RequestLine),
        (" GET / HTTP/1.1", Refusal::RequestLine),
        ("GET / HTTP/1.1 ", Refusal::RequestLine),
        ("GET / a HTTP/1.1", Refusal::RequestLine),
        ("G(T / HTTP/1.1", Refusal::MethodSyntax),
        ("GET\t/ HTTP/1.1", Refusal::RequestLine),
        ("G\x00ET / HTTP/1.1", Refusal::MethodSyntax),
        ("get / HTTP/1.1", Refusal::MethodUnknown),
        ("CONNECT h:80 HTTP/1.1", Refusal::MethodUnknown),
        ("TRACE / HTTP/1.1", Refusal::MethodUnknown),
        ("PRI * HTTP/2.0", Refusal::Version),
        ("GET / HTTP/1.2", Refusal::Version),
        ("GET / HTTP/0.9", Refusal::Version),
        ("GET / http/1.1", Refusal::Version),
        ("GET / HTTP/1.1\t", Refusal::Version),
        ("GET * HTTP/1.1", Refusal::TargetForm),
        ("GET http://h/ HTTP/1.1", Refusal::TargetForm),
        ("GET /ä HTTP/1.1", Refusal::TargetByte),
        ("GET /a#b HTTP/1.1", Refusal::TargetByte),
        ("GET /../a HTTP/1.1", Refusal::DotSegment),
    ] {
        assert_eq!(refusal(&format!("{line}\r\nHost: h\r\n\r\n")), Some(why), "{line}");
    }
    assert_eq!(refusal("OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n"), None);
}

#[test]
fn header_lines_each_rule_refuses_by_its_own_name() {
    for (lines, why) in [
        ("A: b\n", Refusal::BareLineEnd),
        ("A: b\rc: d\r\n", Refusal::BareLineEnd),
        ("A: b\r\n c\r\n", Refusal::ObsoleteFold),
        ("\tc: d\r\n", Refusal::ObsoleteFold),
        ("A\r\n", Refusal::HeaderSyntax),
        (": b\r\n", Refusal::HeaderSyntax),
        ("A : b\r\n", Refusal::HeaderSyntax),
        ("A b: c\r\n", Refusal::HeaderSyntax),
        ("Ä: b\r\n", Refusal::HeaderSyntax),
        ("A: \x00\r\n", Refusal::HeaderByte),
        ("A: b\x7f\r\n", Refusal::HeaderByte),
        ("A: ä\r\n", Refusal::HeaderByte),
        ("Host: h\r\n", Refusal::HostTwice),
        ("Origin: http://h\r\n", Refusal::Browser),
        ("Referer: /\r\n", Refusal::Browser),
        ("Content_Length: 1\r\n", Refusal::HeaderTwin),
        ("Transfer_Encoding: chunked\r\n", Refusal::HeaderTwin),
        ("X_Peergate_Uid: 0\r\n", Refusal::HeaderTwin),
        ("X.Forwarded.For: 0\r\n", Refusal::HeaderTwin),
        ("Content-Length: 1\r\nContent-Length: 1\r\n", Refusal::ContentLength),
        ("Content-Length: 1, 1\r\n", Refusal::ContentLength),
        ("Content-Length: +1\r\n", Refusal::ContentLength),
        ("Content-Length: -0\r\n", Refusal::ContentLength),
        ("Content-Length: 0x1\r\n", Refusal::ContentLength),
        ("Content-Length:\r\n", Refusal::ContentLength),
        ("Content-Length: 1 \t1\r\n", Refusal::ContentLength),
        ("Content-Length: 9223372036854775808\r\n", Refusal::ContentLength),
        ("Content-Length: 00000000000000000001\r\n", Refusal::ContentLength),
        ("Transfer-Encoding: gzip, chunked\r\n", Refusal::TransferEncoding),
        ("Transfer-Encoding: chunked, chunked\r\n", Refusal::TransferEncoding),
        ("Transfer-Encoding: chunked;q=1\r\n", Refusal::TransferEncoding),
        ("Transfer-Encoding: identity\r\n", Refusal::TransferEncoding),
        ("Transfer-Encoding: \"chunked\"\r\n", Refusal::TransferEncoding),
        ("Transfer-Encoding:\r\n", Refusal::TransferEncoding),
        ("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", Refusal::TransferEncoding),
        ("Transfer-Encoding: chunked\r\nContent-Length: 1\r\n", Refusal::FramingTwice),
        ("Content-Length: 0\r\nTransfer-Encoding: chunked\r\n", Refusal::FramingTwice),
        ("Expect: 200-ok\r\n", Refusal::Expectation),
        ("Expect: 100-continue\r\nExpect: 100-continue\r\n", Refusal::Expectation),
        ("Trailer: A\r\n", Refusal::Trailers),
        ("Upgrade: tcp\r\n", Refusal::UpgradeSyntax),
        ("Connection: upgrade\r\n", Refusal::UpgradeSyntax),
        ("Connection: upgrade\r\nUpgrade: a, b\r\n", Refusal::UpgradeSyntax),
        ("Connection: upgrade\r\nUpgrade: a/b/c\r\n", Refusal::UpgradeSyntax),
        ("Connection: upgrade\r\nUpgrade: a\r\nUpgrade: a\r\n", Refusal::UpgradeSyntax),
        ("Connection: upgrade\r\nUpgrade: a\r\nTransfer-Encoding: chunked\r\n", Refusal::UpgradeSyntax),
        ("Connection: close,,a\r\n", Refusal::HeaderSyntax),
        ("Connection: a b\r\n", Refusal::HeaderSyntax),
        ("Connection:\r\n", Refusal::HeaderSyntax),
        ("Connection: host\r\n", Refusal::HeaderSyntax),
        ("Connection: Content-Length\r\n", Refusal::HeaderSyntax),
        ("Connection: authorization\r\n", Refusal::HeaderSyntax),
        ("Connection: content-encoding\r\n", Refusal::HeaderSyntax),
        ("Connection: x_peergate_uid\r\n", Refusal::HeaderSyntax),
        ("Content-Type: a/b\r\ncontent-type: c/d\r\n", Refusal::HeaderSyntax),
    ] {
        assert_eq!(with(lines), Some(why), "{lines:?}");
    }
    let many = (0..17).map(|i| format!("o{i}")).collect::<Vec<_>>().join(",");
    assert_eq!(with(&format!("Connection: {many}\r\n")), Some(Refusal::HeaderSyntax));
}

#[test]
fn host_has_to_be_there_and_to_be_one() {
    assert_eq!(refusal("GET / HTTP/1.1\r\n\r\n"), Some(Refusal::HostMissing));
    assert_eq!(refusal("GET / HTTP/1.0\r\n\r\n"), Some(Refusal::HostMissing));
    assert_eq!(refusal("GET / HTTP/1.1\r\nHost:\r\n\r\n"), None);
    assert_eq!(refusal("GET / HTTP/1.1\r\nHost: :80\r\n\r\n"), Some(Refusal::HostSyntax));
    assert_eq!(refusal("GET / HTTP/1.1\r\nHost: a, b\r\n\r\n"), Some(Refusal::HostSyntax));
    assert_eq!(refusal("GET / HTTP/1.1\r\nHost: u@h\r\n\r\n"), Some(Refusal::HostSyntax));
}

#[test]
fn http10_has_neither_chunks_nor_upgrade_nor_expectation() {
    let old = |lines: &str| refusal(&format!("POST / HTTP/1.0\r\nHost: h\r\n{lines}\r\n"));
    assert_eq!(old("Transfer-Encoding: chunked\r\n"), Some(Refusal::FramingVersion));
    assert_eq!(old("Connection: upgrade\r\nUpgrade: a\r\n"), Some(Refusal::UpgradeSyntax));
    assert_eq!(old("Expect: 100-continue\r\n"), Some(Refusal::Expectation));
    assert_eq!(old(""), None);
}

#[test]
fn limits_bite_by_name_wherever_the_bytes_are_split() {
    let limits = HeadLimits { head_bytes: 64, headers: 2, target_bytes: 8, ..HeadLimits::default() };
    let why = |text: String| {
        let whole = requests(&limits, text.as_bytes(), usize::MAX);
        assert_eq!(requests(&limits, text.as_bytes(), 1), whole);
        whole.1
    };
    let head = |pad: usize| format!("GET / HTTP/1.1\r\nHost: h\r\nA: {}\r\n\r\n", "x".repeat(pad));
    assert_eq!(head(32).len(), 64);
    assert_eq!(why(head(32)), None);
    assert_eq!(why(head(33)), Some(Refusal::HeadTooLarge));
    assert_eq!(why("x".repeat(65)), Some(Refusal::HeadTooLarge));
    assert_eq!(why("GET /12345678 HTTP/1.1\r\nHost: h\r\n\r\n".into()), Some(Refusal::TargetTooLong));
    assert_eq!(why("GET / HTTP/1.1\r\nHost: h\r\nA:\r\nB:\r\n\r\n".into()), Some(Refusal::TooManyHeaders));
}

#[test]
fn rewritten_heads_hold_only_what_was_judged() {
    for (raw, engine) in [
        ("GET /%7Ea?b HTTP/1.1\r\nhost:h\r\n\r\n", "GET /~a?b HTTP/1.1\r\nHost: h\r\n\r\n"),
        (
            "GET / HTTP/1.1\r\nX-Forwarded-For: 1\r\nACCEPT:  a\tb \r\nHost: h:80\r\nRemote-User: root\r\n\
             X-Peergate-Uid: 0\r\nTE: trailers\r\nKeep-Alive: 5\r\nConnection: keep-alive, X-A, TE\r\nx-a: 1\r\nX-B: 2\r\n\
             Accept: c\r\nX-HTTP-Method-Override: DELETE\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: h:80\r\nACCEPT: a\tb\r\nX-B: 2\r\nAccept: c\r\n\r\n",
        ),
        (
            "PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: 0003\r\nConnection: Close\r\nExpect: 100-Continue\r\n\r\nabc",
            "PUT / HTTP/1.1\r\nHost: h\r\nConnection: close\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n",
        ),
        (
            "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: \tChunked \r\n\r\n0\r\n\r\n",
            "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n",
        ),
        (
            "POST /exec HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\nUpgrade: tcp\r\nConnection: Upgrade\r\n\r\n{}",
            "POST /exec HTTP/1.1\r\nHost: h\r\nUpgrade: tcp\r\nConnection: upgrade\r\nContent-Length: 2\r\n\r\n",
        ),
        ("GET / HTTP/1.0\r\nHost: h\r\n\r\n", "GET / HTTP/1.0\r\nHost: h\r\nConnection: close\r\n\r\n"),
        (
            "GET / HTTP/1.0\r\nHost: h\r\nConnection: keep-alive\r\n\r\n",
            "GET / HTTP/1.0\r\nHost: h\r\nConnection: keep-alive\r\n\r\n",
        ),
    ] {
        let (found, why) = requests(&HeadLimits::default(), raw.as_bytes(), usize::MAX);
        assert_eq!((found.len(), why), (1, None), "{raw:?}");
        assert_eq!(found[0].head, engine);
        assert!(found[0].whole);
    }
}

fn first_head(raw: &str) -> Head {
    let mut guard = RequestGuard::new(HeadLimits::default());
    let count = Feed { rest: raw.as_bytes(), step: usize::MAX }.fill(guard.spare());
    guard.filled(count);
    let Ok(Event::Head(head)) = guard.step() else { panic!("no head") };
    *head
}

#[test]
fn head_for_a_backend_has_ours_last_and_no_byte_that_ends_a_line() {
    let head = first_head(
        "POST / HTTP/1.0\r\nHost: h\r\nX-Peergate-Uid: 0\r\nA: b\r\nContent-Length: 1\r\nConnection: X-Peergate-Uid\r\n\r\n",
    );
    let mut out = Vec::new();
    head.write_for_backend(&mut out, &[("X-Peergate-Uid", "1000"), ("X-Peergate-Exe", "/a\r\nB: c")]);
    assert_eq!(
        lossy(&out),
        "POST / HTTP/1.1\r\nHost: h\r\nA: b\r\nX-Peergate-Uid: 1000\r\nX-Peergate-Exe: /a\\u000d\\u000aB: c\r\n\
         Content-Length: 1\r\n\r\n"
    );
    assert_eq!(head.values("a").collect::<Vec<_>>(), ["b"]);
    assert_eq!(head.headers().count(), 5);
}

#[test]
fn pipelined_requests_come_one_at_a_time_and_none_after_close() {
    let limits = HeadLimits::default();
    let two = "POST /1 HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n\
               GET /2 HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\nGET /3 HTTP/1.1\r\nHost: h\r\n\r\n";
    for step in [1, 2, 3, 7, usize::MAX] {
        let (found, why) = requests(&limits, two.as_bytes(), step);
        assert_eq!(why, None);
        assert_eq!(
            found.iter().map(|m| (m.body.as_str(), m.whole)).collect::<Vec<_>>(),
            [("abc", true), ("", true)]
        );
        assert!(found[1].head.starts_with("GET /2 "));
    }
}

#[test]
fn client_that_ends_inside_a_request_is_truncated() {
    for bytes in [
        "GET",
        "GET / HTTP/1.1\r\nHost: h\r\n",
        "PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\na",
        "\r",
    ] {
        assert_eq!(refusal(bytes), Some(Refusal::Truncated), "{bytes:?}");
    }
    assert_eq!(refusal(""), None);
}

#[test]
fn tunnel_only_after_an_upgrade_was_asked_for() {
    let mut guard = RequestGuard::new(HeadLimits::default());
    let feed = |guard: &mut RequestGuard, bytes: &[u8]| {
        let count = Feed { rest: bytes, step: usize::MAX }.fill(guard.spare());
        guard.filled(count);
    };
    feed(&mut guard, b"GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    assert!(matches!(guard.step(), Ok(Event::Head(_))));
    assert!(matches!(guard.step(), Ok(Event::End)));
    assert!(!guard.tunnel());
    guard.next();
    feed(
        &mut guard,
        b"POST / HTTP/1.1\r\nHost: h\r\nConnection: upgrade\r\nUpgrade: tcp\r\nContent-Length: 1\r\n\r\na\0raw\r\n",
    );
    assert!(matches!(guard.step(), Ok(Event::Head(_))));
    assert!(matches!(guard.step(), Ok(Event::Body(1))));
    assert!(!guard.tunnel());
    guard.consume(1);
    assert!(matches!(guard.step(), Ok(Event::End)));
    assert!(guard.tunnel());
    assert!(matches!(guard.step(), Ok(Event::Body(6))));
    assert_eq!(guard.body(), b"\0raw\r\n");
    guard.consume(6);
    guard.closed();
    assert!(matches!(guard.step(), Ok(Event::Closed)));
}

#[test]
fn body_limit_bites_at_once_by_length_and_at_the_byte_by_chunks() {
    let run = |raw: &[u8]| {
        let mut guard = RequestGuard::new(HeadLimits::default());
        let mut feed = Feed { rest: raw, step: 3 };
        let mut body = Vec::new();
        loop {
            match guard.step() {
                Err(why) => return (body, why),
                Ok(Event::Head(_)) => {
                    if let Err(why) = guard.limit_body(4) {
                        return (body, why);
                    }
                }
                Ok(Event::NeedMore) => {
                    let count = feed.fill(guard.spare());
                    guard.filled(count);
                }
                Ok(Event::Body(count)) => {
                    body.extend_from_slice(guard.body());
                    guard.consume(count);
                }
                other => panic!("{other:?}"),
            }
        }
    };
    let long = run(b"PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nabcde");
    assert_eq!(long, (vec![], Refusal::BodyTooLarge));
    let chunks =
        run(b"PUT / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n3\r\ndef\r\n");
    assert_eq!(chunks, (b"abcd".to_vec(), Refusal::BodyTooLarge));
}

#[test]
fn glimpse_of_a_refused_head_shows_what_came() {
    let glimpse = |raw: &[u8]| {
        let mut guard = RequestGuard::new(HeadLimits::default());
        let count = Feed { rest: raw, step: usize::MAX }.fill(guard.spare());
        guard.filled(count);
        let refused = guard.step().is_err();
        let Glimpse { method, target } = guard.glimpse();
        (refused, lossy(method), lossy(target))
    };
    assert_eq!(glimpse(b"GET /../a HTTP/1.1\r\n"), (true, "GET".into(), "/../a".into()));
    assert_eq!(glimpse(b"GET /a\nHost: h"), (true, "GET".into(), "/a".into()));
    assert_eq!(glimpse(b"\x16\x03\x01"), (true, "\x16\x03\x01".into(), String::new()));
    assert_eq!(glimpse(b"GET /a"), (false, "GET".into(), "/a".into()));
    assert_eq!(glimpse(&[b'A'; 999]), (false, "A".repeat(64), String::new()));
}

#[test]
fn browsers_and_extra_methods_pass_where_they_are_named() {
    let extra = ["PROPFIND", "CONNECT"].map(|m| Method::parse(m.as_bytes()).unwrap());
    let limits = HeadLimits { browsers: true, extra_methods: Arc::from(extra), ..HeadLimits::default() };
    let why = |text: &str| requests(&limits, text.as_bytes(), usize::MAX).1;
    assert_eq!(why("PROPFIND / HTTP/1.1\r\nHost: h\r\nOrigin: null\r\nReferer: /\r\n\r\n"), None);
    assert_eq!(why("CONNECT / HTTP/1.1\r\nHost: h\r\n\r\n"), Some(Refusal::MethodUnknown));
}

#[test]
fn guard_large_bodies_stay_within_a_bounded_buffer() {
    let mut guard = RequestGuard::new(HeadLimits::default());
    let mut raw = b"PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: 1000000\r\n\r\n".to_vec();
    raw.resize(raw.len() + 1_000_000, b'x');
    let mut feed = Feed { rest: &raw, step: usize::MAX };
    let mut total = 0;
    loop {
        match guard.step() {
            Ok(Event::NeedMore) => {
                let count = feed.fill(guard.spare());
                assert!(count > 0);
                guard.filled(count);
                assert!(guard.buffered() <= HeadLimits::default().head_bytes);
            }
            Ok(Event::Body(count)) => {
                total += count;
                guard.consume(count);
            }
            Ok(Event::Head(_)) => {}
            Ok(Event::End) => break,
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(total, 1_000_000);
    assert!(guard.is_idle());
    guard.release();
}

#[test]
fn head_for_the_engine_says_how_the_message_is_framed_and_nothing_of_what_is_asked() {
    for (bytes, expected) in [
        (&b"GET /a?b HTTP/1.1\r\nHost: h\r\nX-A: 1\r\n\r\n"[..], "GET / HTTP/1.1\r\n\r\n"),
        (
            b"PUT /a HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 2\r\nConnection: close\r\n\r\n",
            "PUT / HTTP/1.1\r\nConnection: close\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n",
        ),
        (
            b"POST /a HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n",
            "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n",
        ),
        (
            b"GET /a HTTP/1.1\r\nHost: h\r\nConnection: upgrade\r\nUpgrade: tcp\r\n\r\n",
            "GET / HTTP/1.1\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
        ),
        (b"HEAD /a HTTP/1.0\r\nHost: h\r\nConnection: keep-alive\r\n\r\n", "HEAD / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"),
    ] {
        let mut guard = RequestGuard::new(HeadLimits::default());
        guard.spare()[..bytes.len()].copy_from_slice(bytes);
        guard.filled(bytes.len());
        let Ok(Event::Head(head)) = guard.step() else { panic!("`{}` is refused", bytes.escape_ascii()) };
        let mut out = Vec::new();
        head.write_for_engine(&mut out);
        assert_eq!(lossy(&out), expected);
    }
}

#[test]
fn head_for_the_engine_is_short_however_long_the_protocol_is() {
    let limits = HeadLimits { head_bytes: 128 << 10, ..HeadLimits::default() };
    let protocol = "a".repeat(65_000);
    let bytes = format!("GET /a HTTP/1.1\r\nHost: h\r\nConnection: upgrade\r\nUpgrade: {protocol}\r\n\r\n");
    let mut guard = RequestGuard::new(limits);
    let mut feed = Feed { rest: bytes.as_bytes(), step: bytes.len() };
    let head = loop {
        match guard.step() {
            Ok(Event::NeedMore) => match feed.fill(guard.spare()) {
                0 => panic!("the head is not whole"),
                count => guard.filled(count),
            },
            Ok(Event::Head(head)) => break head,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(head.upgrade(), Some(protocol.as_str()));
    let mut out = Vec::new();
    head.write_for_engine(&mut out);
    assert_eq!(lossy(&out), "GET / HTTP/1.1\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n");
}
