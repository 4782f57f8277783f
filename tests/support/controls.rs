//! Well-formed requests of the same shapes as the corpora: all of them are received.

use super::Judge;

/// One connection's bytes, and what has to be received of them.
#[derive(Debug)]
pub struct Control {
    /// What the client sends.
    pub raw: Vec<u8>,
    /// Method, canonical target and body of each request.
    pub requests: Vec<(&'static str, String, String)>,
}

/// A file's controls; at least fifty.
pub fn controls(judge: Judge) -> Vec<Control> {
    match judge {
        Judge::Http1 => http1(),
        Judge::Smuggling => smuggling(),
        Judge::Chunks => chunks(),
        Judge::Paths => paths(),
    }
}

const TARGETS: [(&str, &str); 8] = [
    ("/", "/"),
    ("/url?q=search", "/url?q=search"),
    ("/forums/1/topics/2375?page=1", "/forums/1/topics/2375?page=1"),
    ("/with_%22stupid%22_quotes?foo=%22bar%22", "/with_%22stupid%22_quotes?foo=%22bar%22"),
    ("/%7euser/%c3%a4", "/~user/%C3%A4"),
    ("/test.cgi?foo=bar?baz", "/test.cgi?foo=bar?baz"),
    ("/v1.41/containers/json?all=1&filters=%7B%7D", "/v1.41/containers/json?all=1&filters=%7B%7D"),
    ("/a:b@c/", "/a:b@c/"),
];

fn http1() -> Vec<Control> {
    let mut all = Vec::new();
    for method in ["GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"] {
        for (target, canonical) in TARGETS {
            let request =
                |lines: &str, body: &str| format!("{method} {target} HTTP/1.1\r\n{lines}\r\n{body}");
            let plain = request("Host: h\r\nUser-Agent: a (b; c)\r\nAccept: */*\r\n", "");
            let counted =
                request("host:  h:80\t\r\nContent-Length: 5\r\nContent-Type: text/plain\r\n", "hello");
            let chunked = request(
                "HOST: h\r\nTransfer-Encoding: chunked\r\n",
                "5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n",
            );
            let one = |body: &str| (method, canonical.to_owned(), body.to_owned());
            all.push(Control {
                raw: format!("{plain}{counted}{chunked}{plain}").into_bytes(),
                requests: vec![one(""), one("hello"), one("hello world"), one("")],
            });
            let last = request("Host: h\r\nConnection: close\r\n", "");
            all.push(Control { raw: format!("{last}{plain}").into_bytes(), requests: vec![one("")] });
        }
    }
    all
}

fn smuggling() -> Vec<Control> {
    let names = ["Transfer-Encoding", "transfer-encoding", "TRANSFER-ENCODING", "Transfer-encoding"];
    let values = [" chunked", "chunked", " Chunked", " CHUNKED", "\tchunked", "  chunked ", " chunked\t"];
    let beside =
        ["", "Content-type: a/b; charset=UTF-8\r\n", "TE: trailers\r\nUser-Agent: a\r\n", "X: chunked\r\n"];
    let mut all = Vec::new();
    for name in names {
        for value in values {
            for lines in beside {
                let raw = format!(
                    "POST /allowed/p?cb=1 HTTP/1.1\r\n{name}:{value}\r\nHost: localhost\r\n{lines}\r\n\
                     2\r\nhi\r\n0\r\n\r\nGET /allowed/q HTTP/1.1\r\nHost: localhost\r\n\r\n"
                );
                all.push(Control {
                    raw: raw.into_bytes(),
                    requests: vec![
                        ("POST", "/allowed/p?cb=1".into(), "hi".into()),
                        ("GET", "/allowed/q".into(), String::new()),
                    ],
                });
            }
        }
    }
    all
}

fn chunks() -> Vec<Control> {
    let mut all = Vec::new();
    let mut control = |chunks: String, body: String| {
        let raw = format!(
            "POST /allowed/p HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n{chunks}0\r\n\r\n\
             GET /allowed/q HTTP/1.1\r\nHost: localhost\r\n\r\n"
        );
        all.push(Control {
            raw: raw.into_bytes(),
            requests: vec![("POST", "/allowed/p".into(), body), ("GET", "/allowed/q".into(), String::new())],
        });
    };
    let chunk = |body: &str| format!("{:x}\r\n{body}\r\n", body.len());
    for size in 1..=40 {
        let body = "\r\n0;x".repeat(size);
        control(chunk(&body), body);
    }
    for zeros in 0..=14 {
        control(format!("{}A\r\n0123456789\r\n", "0".repeat(zeros)), "0123456789".into());
    }
    for count in 0..=20 {
        let piece = "0\r\n\r\nGET /forbidden/probe HTTP/1.1\r\n\r\n";
        control(chunk(piece).repeat(count), piece.repeat(count));
    }
    control(chunk(&"x".repeat(100_000)), "x".repeat(100_000));
    all
}

fn paths() -> Vec<Control> {
    let words = [
        "a",
        "etc/passwd",
        "..a",
        "a..",
        "...",
        ".hidden",
        "a.b.c",
        "%41%2d%7E",
        "%c3%a4",
        "%E2%82%AC",
        "%f0%9f%98%80",
        "a%20b",
        "a+b",
        "a,b=c",
        "(x)",
        "a:b",
        "a@b",
        "~root",
        "a&b",
        "$HOME",
        "%22",
        "%5B0%5D",
        "!'*",
        "WINDOWS/win.ini",
    ];
    let mut all = Vec::new();
    for word in words {
        let canonical = match word {
            "%41%2d%7E" => "A-~",
            "%c3%a4" => "%C3%A4",
            "%f0%9f%98%80" => "%F0%9F%98%80",
            word => word,
        };
        for (before, after) in
            [("", ""), ("", "/secret"), ("secret", ""), ("x/", "/"), ("", "?q=../..%2f%5c//")]
        {
            let raw = format!("GET /allowed/{before}{word}{after} HTTP/1.1\r\nHost: localhost\r\n\r\n");
            let after = after.replace("%2f", "%2F").replace("%5c", "%5C");
            let target = format!("/allowed/{before}{canonical}{after}");
            all.push(Control { raw: raw.into_bytes(), requests: vec![("GET", target, String::new())] });
        }
    }
    all
}
