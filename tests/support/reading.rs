//! How others might read what we are sent: lenient on purpose, and slow.

/// A request as a lenient server finds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// First word.
    pub method: String,
    /// Second word.
    pub target: Vec<u8>,
    /// Third word.
    pub version: String,
    /// A Host line is there.
    pub host: bool,
    /// Its body has ended.
    pub complete: bool,
    /// Its body, without framing.
    pub body: Vec<u8>,
}

impl Request {
    /// Whether it is of the kind that we serve.
    pub fn is_served(&self) -> bool {
        const KNOWN: [&str; 7] = ["GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"];
        self.complete
            && self.host
            && self.target.first() == Some(&b'/')
            && self.version == "HTTP/1.1"
            && KNOWN.contains(&self.method.as_str())
    }
}

/// The requests in a connection's bytes, up to an upgrade, a last one or an incomplete one.
pub fn lenient(bytes: &[u8]) -> Vec<Request> {
    let mut found = Vec::new();
    let mut rest = bytes;
    loop {
        while let [b'\r' | b'\n', after @ ..] = rest {
            rest = after;
        }
        let mut lines = Vec::new();
        let whole = loop {
            match line(&mut rest) {
                None => break false,
                Some(b"") => break true,
                Some(line) => lines.push(line),
            }
        };
        if !whole || lines.is_empty() {
            return found;
        }
        let words: Vec<String> =
            String::from_utf8_lossy(lines[0]).split_ascii_whitespace().map(str::to_owned).collect();
        let values = |wanted: &str| -> Vec<String> {
            lines[1..]
                .iter()
                .map(|l| String::from_utf8_lossy(l).into_owned())
                .filter_map(|l| l.split_once(':').map(|(n, v)| (n.to_owned(), v.trim().to_ascii_lowercase())))
                .filter(|(name, _)| name.eq_ignore_ascii_case(wanted))
                .map(|(_, value)| value)
                .collect()
        };
        let (codings, lengths, connection) =
            (values("transfer-encoding"), values("content-length"), values("connection").join(","));
        let body = if codings.last().is_some_and(|c| c.ends_with("chunked")) {
            chunked(&mut rest)
        } else if let Some(length) = lengths.last() {
            match length.parse() {
                Ok(length) if length <= rest.len() => {
                    let (body, after) = rest.split_at(length);
                    rest = after;
                    Some(body.to_vec())
                }
                _ => None,
            }
        } else {
            Some(Vec::new())
        };
        let word = |i: usize| words.get(i).cloned().unwrap_or_default();
        let complete = body.is_some();
        found.push(Request {
            method: word(0),
            target: word(1).into_bytes(),
            version: word(2),
            host: !values("host").is_empty(),
            complete,
            body: body.unwrap_or_default(),
        });
        let upgrades = connection.contains("upgrade") && !values("upgrade").is_empty();
        let last =
            connection.contains("close") || word(2) != "HTTP/1.1" && !connection.contains("keep-alive");
        if !complete || upgrades || last || word(0) == "CONNECT" {
            return found;
        }
    }
}

fn line<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let at = rest.iter().position(|b| *b == b'\n')?;
    let line = &rest[..at];
    *rest = &rest[at + 1..];
    Some(line.strip_suffix(b"\r").unwrap_or(line))
}

fn chunked(rest: &mut &[u8]) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let size = String::from_utf8_lossy(line(rest)?).into_owned();
        let size = size.split([';', ' ', '\t']).next().unwrap_or_default();
        let size = usize::from_str_radix(size, 16).ok()?;
        if size == 0 {
            while !line(rest)?.is_empty() {}
            return Some(body);
        }
        if size > rest.len() {
            return None;
        }
        body.extend_from_slice(&rest[..size]);
        *rest = &rest[size..];
        line(rest)?;
    }
}

/// The reading by which `target` lies outside `/allowed/`, where there is one: literally, percent-decoded once or
/// twice, overlong UTF-8 taken for what it imitates, `\` taken for `/`, `;…` cut from each segment; each with dot
/// segments removed, with and without empty segments counting.
pub fn leaves_allowed(target: &[u8]) -> Option<String> {
    let path = target.split(|b| matches!(b, b'?' | b'#')).next().unwrap_or_default();
    for choice in 0..48_u8 {
        let (decodings, overlong, backslash, cut, merge) =
            (choice % 3, choice / 3 % 2 == 1, choice / 6 % 2 == 1, choice / 12 % 2 == 1, choice / 24 == 1);
        let mut read = path.to_vec();
        for _ in 0..decodings {
            read = decode(&read);
        }
        if overlong {
            read = imitated(&read);
        }
        if backslash {
            read.iter_mut().filter(|b| **b == b'\\').for_each(|b| *b = b'/');
        }
        let resolved = resolve(&read, cut, merge);
        if !resolved.starts_with(b"/allowed/") {
            return Some(String::from_utf8_lossy(&resolved).into_owned());
        }
    }
    None
}

/// Valid triplets decoded, anything else left.
fn decode(text: &[u8]) -> Vec<u8> {
    let digit = |b: u8| char::from(b).to_digit(16);
    let mut out = Vec::new();
    let mut i = 0;
    while i < text.len() {
        let pair = (text.get(i + 1).copied().and_then(digit), text.get(i + 2).copied().and_then(digit));
        match (text[i], pair) {
            (b'%', (Some(high), Some(low))) => {
                out.push(u8::try_from(high * 16 + low).unwrap_or(0));
                i += 3;
            }
            (byte, _) => {
                out.push(byte);
                i += 1;
            }
        }
    }
    out
}

/// Overlong sequences of two, three and four bytes as the ASCII that they imitate.
fn imitated(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut rest = text;
    loop {
        let (byte, after) = match rest {
            [] => return out,
            [a @ 0xC0..=0xC1, b, after @ ..] => ((a & 1) << 6 | b & 0x3F, after),
            [0xE0, b @ 0x80..=0x81, c, after @ ..] => ((b & 1) << 6 | c & 0x3F, after),
            [0xF0, 0x80, c @ 0x80..=0x81, d, after @ ..] => ((c & 1) << 6 | d & 0x3F, after),
            [byte, after @ ..] => (*byte, after),
        };
        out.push(byte);
        rest = after;
    }
}

/// Dot segments removed (RFC 3986 §5.2.4).
fn resolve(path: &[u8], cut: bool, merge: bool) -> Vec<u8> {
    let mut kept: Vec<&[u8]> = Vec::new();
    let pieces: Vec<&[u8]> = path.split(|b| *b == b'/').skip(1).collect();
    for (i, piece) in pieces.iter().enumerate() {
        let piece = if cut { piece.split(|b| *b == b';').next().unwrap_or_default() } else { piece };
        let last = i + 1 == pieces.len();
        match piece {
            b"." if last => kept.push(b""),
            b"." => {}
            b".." => {
                kept.pop();
                if last {
                    kept.push(b"");
                }
            }
            b"" if merge && !last => {}
            piece => kept.push(piece),
        }
    }
    kept.iter().flat_map(|piece| [b"/", *piece].concat()).collect()
}
