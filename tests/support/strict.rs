//! A second, slow reading of requests by the rules of the manual, written apart from the daemon's: what it takes
//! whole is what may reach a backend, and nothing else.

/// A request that every strict reader sees alike.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    pub method: String,
    /// As it was sent; the canonical form is [`canonical`]'s.
    pub target: String,
    pub body: Vec<u8>,
    /// It asks for the connection's end behind it.
    pub last: bool,
}

/// What was read of some bytes.
#[derive(Debug)]
pub struct Reading {
    /// Complete, well-formed requests from the beginning on.
    pub requests: Vec<Request>,
    /// Why it stopped there; `None` where the bytes were used up between two requests.
    pub stopped: Option<&'static str>,
}

const METHODS: [&str; 7] = ["GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"];

/// Reads all that can be read strictly, up to the first thing that can't, or behind which the connection ends.
pub fn read(mut bytes: &[u8]) -> Reading {
    let mut requests = Vec::new();
    while !bytes.is_empty() {
        match one(bytes) {
            Ok((request, rest)) => {
                let last = request.last;
                requests.push(request);
                if last {
                    return Reading {
                        requests,
                        stopped: (!rest.is_empty()).then_some("bytes behind the last request"),
                    };
                }
                bytes = rest;
            }
            Err(why) => return Reading { requests, stopped: Some(why) },
        }
    }
    Reading { requests, stopped: None }
}

fn token(text: &[u8]) -> bool {
    !text.is_empty() && text.iter().all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(b))
}

/// A line without its CR LF, and what follows; no bare CR or LF in it.
fn line(bytes: &[u8]) -> Result<(&[u8], &[u8]), &'static str> {
    let end = bytes.iter().position(|b| matches!(b, b'\r' | b'\n')).ok_or("no line end")?;
    match &bytes[end..] {
        [b'\r', b'\n', rest @ ..] => Ok((&bytes[..end], rest)),
        [b'\r'] => Err("no line end"),
        _ => Err("a bare line end"),
    }
}

fn one(bytes: &[u8]) -> Result<(Request, &[u8]), &'static str> {
    let (start, mut rest) = line(bytes)?;
    let mut parts = start.split(|b| *b == b' ');
    let (Some(method), Some(target), Some(version), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err("request line");
    };
    let method = std::str::from_utf8(method).map_err(|_| "method")?;
    if !METHODS.contains(&method) {
        return Err("method");
    }
    let old = match version {
        b"HTTP/1.1" => false,
        b"HTTP/1.0" => true,
        _ => return Err("version"),
    };
    let target = std::str::from_utf8(target).map_err(|_| "target")?;
    canonical(target)?;

    let mut fields: Vec<(String, String)> = Vec::new();
    loop {
        let (field, after) = line(rest)?;
        rest = after;
        if field.is_empty() {
            break;
        }
        let colon = field.iter().position(|b| *b == b':').ok_or("a header line without colon")?;
        let (name, value) = (&field[..colon], &field[colon + 1..]);
        if !token(name) {
            return Err("a header name");
        }
        if !value.iter().all(|b| matches!(b, b'\t' | b' '..=b'~')) {
            return Err("a header value");
        }
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        fields.push((text(name).to_ascii_lowercase(), text(value).trim_matches([' ', '\t']).to_owned()));
    }
    let all = |name: &str| -> Vec<&str> {
        fields.iter().filter(|(n, _)| n == name).map(|(_, value)| value.as_str()).collect()
    };
    let [_host] = all("host")[..] else { return Err("not one Host") };
    if !all("origin").is_empty() || !all("referer").is_empty() {
        return Err("a browser's header");
    }
    if !all("trailer").is_empty() {
        return Err("trailers announced");
    }
    if !all("upgrade").is_empty() {
        return Err("an upgrade that no route names");
    }
    let expects = all("expect");
    if expects.len() > 1 || expects.iter().any(|value| !value.eq_ignore_ascii_case("100-continue")) {
        return Err("an expectation");
    }
    let options: Vec<String> =
        all("connection").join(",").split(',').map(|option| option.trim().to_ascii_lowercase()).collect();
    let lengths = all("content-length");
    let codings = all("transfer-encoding");
    let (body, rest) = match (&lengths[..], &codings[..]) {
        ([], []) => (Vec::new(), rest),
        ([length], []) => {
            if length.is_empty() || !length.bytes().all(|b| b.is_ascii_digit()) {
                return Err("Content-Length");
            }
            let length: usize = length.parse().map_err(|_| "Content-Length")?;
            if length > rest.len() {
                return Err("a body that is not all there");
            }
            (rest[..length].to_vec(), &rest[length..])
        }
        ([], [coding]) if coding.eq_ignore_ascii_case("chunked") && !old => chunks(rest)?,
        ([], _) => return Err("Transfer-Encoding"),
        _ => return Err("two framings"),
    };
    let last = options.iter().any(|option| option == "close")
        || (old && !options.iter().any(|option| option == "keep-alive"));
    Ok((Request { method: method.to_owned(), target: target.to_owned(), body, last }, rest))
}

fn chunks(mut rest: &[u8]) -> Result<(Vec<u8>, &[u8]), &'static str> {
    let mut body = Vec::new();
    loop {
        let (size, after) = line(rest)?;
        if size.is_empty() || size.len() > 16 || !size.iter().all(u8::is_ascii_hexdigit) {
            return Err("a chunk's size line");
        }
        let size = std::str::from_utf8(size).ok().and_then(|text| usize::from_str_radix(text, 16).ok());
        let size = size.ok_or("a chunk's size")?;
        rest = after;
        if size == 0 {
            let (end, after) = line(rest)?;
            return if end.is_empty() { Ok((body, after)) } else { Err("trailers") };
        }
        if rest.len() < size {
            return Err("a chunk that is not all there");
        }
        body.extend_from_slice(&rest[..size]);
        let (end, after) = line(&rest[size..])?;
        if !end.is_empty() {
            return Err("bytes behind a chunk");
        }
        rest = after;
    }
}

/// The one form of a target, or why there is none. `%2F` and `;` are refused: no route of these tests opts in.
pub fn canonical(target: &str) -> Result<String, &'static str> {
    if !target.starts_with('/') {
        return Err("no path");
    }
    let (path, query) = target.split_once('?').map_or((target, None), |(path, query)| (path, Some(query)));
    let plain = |c: char| c.is_ascii_alphanumeric() || "-._~!$&'()*+,=:@/".contains(c);
    let path = recode(path, &plain)?;
    let hidden = ["%2F", "%5C", "%25", "%3B", "%3F", "%23", "%7F"];
    if hidden.iter().any(|triplet| path.contains(triplet))
        || (0..0x20).any(|c| path.contains(&format!("%{c:02X}")))
    {
        return Err("a byte that the path hides");
    }
    if target.split('?').next().unwrap_or("").to_ascii_uppercase().contains("%2E") {
        return Err("a dot that the path hides");
    }
    let pieces: Vec<&str> = path[1..].split('/').collect();
    if pieces.iter().any(|piece| matches!(*piece, "." | "..")) {
        return Err("a dot segment");
    }
    if pieces[..pieces.len() - 1].iter().any(|piece| piece.is_empty()) {
        return Err("an empty segment");
    }
    let Some(query) = query else { return Ok(path) };
    let in_query = |c: char| plain(c) || ";?".contains(c);
    Ok(format!("{path}?{}", recode(query, &in_query)?))
}

/// Triplets valid, those of unreserved bytes decoded, others in upper case; other bytes as `plain` says; all of
/// it UTF-8 once decoded.
fn recode(text: &str, plain: &dyn Fn(char) -> bool) -> Result<String, &'static str> {
    let (mut out, mut decoded) = (String::new(), Vec::new());
    let mut rest = text.chars();
    while let Some(letter) = rest.next() {
        if letter != '%' {
            if !plain(letter) {
                return Err("a byte that must be encoded");
            }
            out.push(letter);
            decoded.push(letter as u8);
            continue;
        }
        let digits: String = rest.by_ref().take(2).collect();
        if digits.len() != 2 || !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err("a broken triplet");
        }
        let byte = u8::from_str_radix(&digits, 16).map_err(|_| "a broken triplet")?;
        decoded.push(byte);
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(byte as char);
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    std::str::from_utf8(&decoded).map_err(|_| "no UTF-8")?;
    Ok(out)
}
