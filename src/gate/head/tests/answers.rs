use super::*;

const PLAIN: Expected = Expected { head: false, upgrade: false };
const HEAD: Expected = Expected { head: true, upgrade: false };
const UPGRADE: Expected = Expected { head: false, upgrade: true };

fn read(expected: Expected, bytes: &str) -> (Vec<Message>, Option<Refusal>, Option<Refusal>) {
    let whole = answers(expected, bytes.as_bytes(), usize::MAX);
    assert_eq!(answers(expected, bytes.as_bytes(), 1), whole, "split changes the verdict of {bytes:?}");
    whole
}

fn message(head: &str, body: &str) -> Message {
    Message { head: head.to_owned(), body: body.to_owned(), whole: true }
}

#[test]
fn answers_are_framed_by_request_status_and_lines() {
    for (expected, raw, head, body) in [
        (
            PLAIN,
            "HTTP/1.1 200 OK\r\nA: b\r\nContent-Length: 2\r\n\r\nhi",
            "HTTP/1.1 200 \r\nA: b\r\nContent-Length: 2\r\n\r\n",
            "hi",
        ),
        (
            PLAIN,
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: x-a\r\nX-A: 1\r\n\r\n2\r\nhi\r\n0\r\n\r\n",
            "HTTP/1.1 200 \r\nTransfer-Encoding: chunked\r\n\r\n",
            "hi",
        ),
        (
            PLAIN,
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: A\r\n\r\n0\r\nA: b\r\nC: d\r\n\r\n",
            "HTTP/1.1 200 \r\nTransfer-Encoding: chunked\r\n\r\n",
            "",
        ),
        (
            PLAIN,
            "HTTP/1.1 200 \r\n\r\nto the end",
            "HTTP/1.1 200 \r\nConnection: close\r\n\r\n",
            "to the end",
        ),
        (PLAIN, "HTTP/1.0 404 no\r\n\r\n", "HTTP/1.0 404 \r\nConnection: close\r\n\r\n", ""),
        (PLAIN, "HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n", "HTTP/1.1 204 \r\n\r\n", ""),
        (
            PLAIN,
            "HTTP/1.1 304 x\r\nContent-Length: 9\r\n\r\n",
            "HTTP/1.1 304 \r\nContent-Length: 9\r\n\r\n",
            "",
        ),
        (
            HEAD,
            "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n",
            "HTTP/1.1 200 \r\nContent-Length: 9\r\n\r\n",
            "",
        ),
        (HEAD, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "HTTP/1.1 200 \r\n\r\n", ""),
        (
            UPGRADE,
            "HTTP/1.1 101 UPGRADED\r\nContent-Type: t\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\nraw",
            "HTTP/1.1 101 \r\nConnection: upgrade\r\nUpgrade: tcp\r\nContent-Type: t\r\n\r\n",
            "raw",
        ),
    ] {
        assert_eq!(read(expected, raw), (vec![message(head, body)], None, None), "{raw:?}");
    }
}

#[test]
fn interim_answers_come_before_the_last_one() {
    let (found, why, _) =
        read(PLAIN, "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 x\r\nA: b\r\n\r\nHTTP/1.1 204 x\r\n\r\n");
    assert_eq!((found.len(), why), (3, None));
    let nine = "HTTP/1.1 100 x\r\n\r\n".repeat(9);
    assert_eq!(read(PLAIN, &nine).1, Some(Refusal::BackendGarbage));
}

#[test]
fn garbage_is_called_so_and_its_rule_is_kept() {
    for (raw, cause) in [
        ("HTTP/2 200 OK\r\n\r\n", Refusal::Version),
        ("HTTP/1.1 200\r\n\r\n", Refusal::RequestLine),
        ("HTTP/1.1 099 x\r\n\r\n", Refusal::RequestLine),
        ("HTTP/1.1 600 x\r\n\r\n", Refusal::RequestLine),
        ("HTTP/1.1 2000 x\r\n\r\n", Refusal::RequestLine),
        ("HTTP/1.1 200 x\n\n", Refusal::BareLineEnd),
        ("HTTP/1.1 200 x\r\nA: b\r\n c\r\n\r\n", Refusal::ObsoleteFold),
        ("HTTP/1.1 200 x\r\nA: \x01\r\n\r\n", Refusal::HeaderByte),
        ("HTTP/1.1 200 x\r\nA : b\r\n\r\n", Refusal::HeaderSyntax),
        ("HTTP/1.1 200 x\r\nContent_Length: 1\r\n\r\n", Refusal::HeaderTwin),
        ("HTTP/1.1 200 x\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n", Refusal::ContentLength),
        ("HTTP/1.1 200 x\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", Refusal::FramingTwice),
        ("HTTP/1.0 200 x\r\nTransfer-Encoding: chunked\r\n\r\n", Refusal::FramingVersion),
        ("HTTP/1.1 200 x\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", Refusal::TransferEncoding),
        ("HTTP/1.1 204 x\r\nContent-Length: 1\r\n\r\n", Refusal::FramingTwice),
        ("HTTP/1.1 100 x\r\nContent-Length: 0\r\n\r\n", Refusal::FramingTwice),
        ("HTTP/1.1 101 x\r\nConnection: upgrade\r\nUpgrade: tcp\r\n\r\n", Refusal::UpgradeSyntax),
        ("HTTP/1.1 200 x\r\nTransfer-Encoding: chunked\r\n\r\n2;a\r\n", Refusal::ChunkSyntax),
        (
            "HTTP/1.1 200 x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nContent-Length: 1\r\n\r\n",
            Refusal::Trailers,
        ),
        ("HTTP/1.1 200 x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nA\r\n\r\n", Refusal::HeaderSyntax),
    ] {
        let (_, why, told) = read(PLAIN, raw);
        assert_eq!((why, told), (Some(Refusal::BackendGarbage), Some(cause)), "{raw:?}");
    }
    for lines in ["", "Upgrade: a\r\n", "Upgrade: a\r\nUpgrade: a\r\n", "Upgrade: a, b\r\n"] {
        let raw = format!("HTTP/1.1 101 x\r\nConnection: upgrade\r\n{lines}\r\n");
        let cause = (lines != "Upgrade: a\r\n").then_some(Refusal::UpgradeSyntax);
        assert_eq!(read(UPGRADE, &raw).2, cause, "{lines:?}");
    }
    assert_eq!(read(PLAIN, "HTTP/1.1 204 x\r\nConnection: upgrade\r\nUpgrade: h2, h2c\r\n\r\n").1, None);
}

#[test]
fn backend_that_ends_inside_an_answer_has_died() {
    for raw in [
        "HTTP",
        "HTTP/1.1 200 x\r\n",
        "HTTP/1.1 100 x\r\n\r\n",
        "HTTP/1.1 200 x\r\nContent-Length: 2\r\n\r\na",
        "HTTP/1.1 200 x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n",
    ] {
        assert_eq!(read(PLAIN, raw).1, Some(Refusal::BackendDied), "{raw:?}");
    }
    assert_eq!(read(PLAIN, ""), (vec![], None, None));
}

#[test]
fn connection_is_reused_only_after_a_clean_end() {
    let after = |raw: &str| {
        let mut guard = ResponseGuard::new(HeadLimits::default(), PLAIN);
        let count = Feed { rest: raw.as_bytes(), step: usize::MAX }.fill(guard.spare());
        guard.filled(count);
        loop {
            match guard.step() {
                Ok(Event::Body(count)) => guard.consume(count),
                Ok(Event::Head(_)) => {}
                _ => return guard.next(PLAIN),
            }
        }
    };
    assert!(after("HTTP/1.1 200 x\r\nContent-Length: 2\r\n\r\nhi"));
    assert!(!after("HTTP/1.1 200 x\r\nContent-Length: 2\r\n\r\nhiHTTP/1.1 200 x\r\n"));
    assert!(!after("HTTP/1.1 200 x\r\nConnection: close\r\nContent-Length: 2\r\n\r\nhi"));
    assert!(!after("HTTP/1.0 200 x\r\nContent-Length: 2\r\n\r\nhi"));
    assert!(!after("HTTP/1.1 200 x\r\nContent-Length: 2\r\n\r\nh"));
}
