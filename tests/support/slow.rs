//! A second reader of requests and targets: slow, by whole strings, written from the rules and not from the first one.
//! It says only whether, never why.

use peergate::gate::head::{HeadLimits, IDENTITY_NAMES, IDENTITY_PREFIXES};

/// A target's canonical form, where it has one.
pub fn target(raw: &[u8]) -> Option<String> {
    let raw = std::str::from_utf8(raw).ok().filter(|raw| raw.is_ascii() && raw.starts_with('/'))?;
    let (path, query) = match raw.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (raw, None),
    };
    let pchar = |c: char| c.is_ascii_alphanumeric() || "-._~!$&'()*+,;=:@%".contains(c);
    if !path.chars().all(|c| pchar(c) || c == '/')
        || !query.unwrap_or("").chars().all(|c| pchar(c) || c == '/' || c == '?')
    {
        return None;
    }
    let (path, hidden) = normal(path, "-._~!$&'()*+,=:@")?;
    if hidden.chars().any(|c| "\\.%;?#".contains(c) || c.is_control()) {
        return None;
    }
    let marked = path.replace("%2F", "\u{1}");
    let pieces: Vec<&str> = marked[1..].split(['/', '\u{1}']).collect();
    for (i, piece) in pieces.iter().enumerate() {
        let before_parameters = piece.split(';').next()?;
        let trailing = i + 1 == pieces.len() && marked.ends_with('/') && piece.is_empty();
        if matches!(before_parameters, "." | "..") || before_parameters.is_empty() && !trailing {
            return None;
        }
    }
    match query {
        Some(query) => Some(format!("{path}?{}", normal(query, "-._~")?.0)),
        None => Some(path),
    }
}

/// The text with triplets of letters, digits and `plain` decoded and all others in upper case, and what the triplets decode
/// to: each run of them has to be UTF-8 by itself.
fn normal(text: &str, plain: &str) -> Option<(String, String)> {
    let (mut out, mut hidden, mut run) = (String::new(), String::new(), Vec::new());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        if first != '%' {
            hidden += &String::from_utf8(std::mem::take(&mut run)).ok()?;
            out.push(first);
            rest = &rest[1..];
            continue;
        }
        let digits = rest.get(1..3).filter(|d| d.chars().all(|c| c.is_ascii_hexdigit()))?;
        let byte = u8::from_str_radix(digits, 16).ok()?;
        run.push(byte);
        let c = char::from(byte);
        if c.is_ascii_alphanumeric() || plain.contains(c) {
            out.push(c);
        } else {
            out += &format!("%{}", digits.to_uppercase());
        }
        rest = &rest[3..];
    }
    hidden += &String::from_utf8(run).ok()?;
    Some((out, hidden))
}

/// A complete request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// Its method.
    pub method: String,
    /// Its canonical target.
    pub target: String,
    /// Its body, without framing.
    pub body: Vec<u8>,
}

/// The complete requests that a connection's bytes hold, and whether it ended without a refusal.
pub fn requests(limits: &HeadLimits, bytes: &[u8]) -> (Vec<Request>, bool) {
    let mut found = Vec::new();
    let mut rest = bytes;
    while !rest.is_empty() {
        let Some((request, close, after)) = request(limits, rest) else { return (found, false) };
        found.push(request);
        rest = after;
        if close {
            break;
        }
    }
    (found, true)
}

fn request<'a>(limits: &HeadLimits, bytes: &'a [u8]) -> Option<(Request, bool, &'a [u8])> {
    let end = find(bytes, b"\r\n\r\n")? + 4;
    if end > limits.head_bytes {
        return None;
    }
    let (head, mut rest) = bytes.split_at(end);
    let lines: Vec<&str> = std::str::from_utf8(head).ok()?.strip_suffix("\r\n\r\n")?.split("\r\n").collect();
    if lines.iter().any(|line| !line.chars().all(|c| c == '\t' || c == ' ' || c.is_ascii_graphic())) {
        return None;
    }
    let words: Vec<&str> = lines[0].split(' ').collect();
    let [method, raw_target, version] = words[..] else { return None };
    if !["GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"].contains(&method)
        || !["HTTP/1.1", "HTTP/1.0"].contains(&version)
        || raw_target.len() > limits.target_bytes
        || lines.len() - 1 > limits.headers
    {
        return None;
    }
    let target = match raw_target {
        "*" if method == "OPTIONS" => "*".to_owned(),
        raw => target(raw.as_bytes())?,
    };
    let fields = lines[1..].iter().map(|line| field(line)).collect::<Option<Vec<_>>>()?;
    if fields.iter().any(|(name, _)| is_twin(name)) {
        return None;
    }
    let values = |wanted: &str| -> Vec<&str> {
        fields.iter().filter(|(name, _)| name == wanted).map(|(_, value)| value.as_str()).collect()
    };
    let [host] = values("host")[..] else { return None };
    if !(host.is_empty() || is_host(host)) || !values("trailer").is_empty() {
        return None;
    }
    if !(limits.browsers || values("origin").is_empty() && values("referer").is_empty()) {
        return None;
    }
    if ["content-type", "authorization", "range", "content-range"].iter().any(|name| values(name).len() > 1) {
        return None;
    }
    let old = version == "HTTP/1.0";
    let options: Vec<String> = values("connection")
        .iter()
        .flat_map(|value| value.split(','))
        .map(|option| option.trim_matches([' ', '\t']).to_ascii_lowercase())
        .collect();
    if options.iter().any(|option| !is_token(option)) {
        return None;
    }
    let named: Vec<&String> =
        options.iter().filter(|o| !["close", "keep-alive", "upgrade"].contains(&o.as_str())).collect();
    let untouchable = |name: &str| {
        name.starts_with("content-")
            || is_twin(name)
            || [
                "host",
                "transfer-encoding",
                "connection",
                "expect",
                "origin",
                "referer",
                "authorization",
                "range",
                "cookie",
            ]
            .contains(&name)
    };
    if named.len() > 16 || named.iter().any(|name| untouchable(name)) {
        return None;
    }
    let (lengths, codings) = (values("content-length"), values("transfer-encoding"));
    let upgrades = values("upgrade");
    if upgrades.len() > 1 || upgrades.len() != usize::from(options.iter().any(|o| o == "upgrade")) {
        return None;
    }
    if let [protocol] = upgrades[..]
        && (old
            || !codings.is_empty()
            || protocol.split('/').count() > 2
            || !protocol.split('/').all(is_token))
    {
        return None;
    }
    match values("expect")[..] {
        [] => {}
        [one] if one.eq_ignore_ascii_case("100-continue") && !old => {}
        _ => return None,
    }
    let body = match (&lengths[..], &codings[..]) {
        ([], []) => Vec::new(),
        ([length], []) if length.len() <= 19 && length.chars().all(|c| c.is_ascii_digit()) => {
            let length = usize::try_from(length.parse::<i64>().ok()?).ok()?;
            let (body, after) = rest.split_at_checked(length)?;
            rest = after;
            body.to_vec()
        }
        ([], [coding]) if coding.eq_ignore_ascii_case("chunked") && !old => {
            let mut body = Vec::new();
            loop {
                let line = find(rest, b"\r\n")?;
                let size = std::str::from_utf8(&rest[..line]).ok()?;
                if size.is_empty() || size.len() > 16 || !size.chars().all(|c| c.is_ascii_hexdigit()) {
                    return None;
                }
                rest = &rest[line + 2..];
                if size == "0" {
                    rest = rest.strip_prefix(b"\r\n")?;
                    break body;
                }
                let size = usize::from_str_radix(size, 16).ok().filter(|size| *size > 0)?;
                let (data, after) = rest.split_at_checked(size)?;
                body.extend_from_slice(data);
                rest = after.strip_prefix(b"\r\n")?;
            }
        }
        _ => return None,
    };
    let said = |option: &str| options.iter().any(|o| o == option);
    let close = said("close") || old && !said("keep-alive");
    Some((Request { method: method.to_owned(), target, body }, close, rest))
}

/// A header line's name in lower case, and its value.
fn field(line: &str) -> Option<(String, String)> {
    let (name, value) = line.split_once(':')?;
    is_token(name).then(|| (name.to_ascii_lowercase(), value.trim_matches([' ', '\t']).to_owned()))
}

fn is_token(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c))
}

/// Whether a lower-case name is not watched itself, but is once all that is no letter or digit is taken for `-`, and
/// those at its ends are dropped.
fn is_twin(name: &str) -> bool {
    const WATCHED: [&str; 19] = [
        "host",
        "content-length",
        "transfer-encoding",
        "connection",
        "upgrade",
        "expect",
        "trailer",
        "origin",
        "referer",
        "keep-alive",
        "proxy-connection",
        "te",
        "proxy-authenticate",
        "proxy-authorization",
        "http2-settings",
        "content-type",
        "authorization",
        "range",
        "content-range",
    ];
    let folded: String = name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
    let begun = folded.trim_start_matches('-');
    let whole = begun.trim_end_matches('-');
    if WATCHED.contains(&whole) {
        return whole != name;
    }
    if IDENTITY_PREFIXES.iter().any(|prefix| begun.starts_with(prefix)) {
        return begun != name;
    }
    IDENTITY_NAMES.contains(&whole) && whole != name
}

fn is_host(value: &str) -> bool {
    let (host, port) = match value.strip_prefix('[') {
        Some(rest) => {
            let Some((address, port)) = rest.split_once(']') else { return false };
            if address.is_empty() || !address.chars().all(|c| c.is_ascii_hexdigit() || c == ':' || c == '.') {
                return false;
            }
            ("x", port.to_owned())
        }
        None => match value.split_once(':') {
            Some((host, port)) => (host, format!(":{port}")),
            None => (value, String::new()),
        },
    };
    let port_fits = port.is_empty()
        || port.strip_prefix(':').is_some_and(|digits| {
            (1..=5).contains(&digits.len()) && digits.chars().all(|c| c.is_ascii_digit())
        });
    let plain = |text: &str| text.chars().all(|c| c.is_ascii_alphanumeric() || "-._~!$&'()*+;=".contains(c));
    let mut parts = host.split('%');
    port_fits
        && (1..=255).contains(&host.len())
        && parts.next().is_some_and(plain)
        && parts.all(|part| {
            part.get(..2).is_some_and(|d| d.chars().all(|c| c.is_ascii_hexdigit())) && plain(&part[2..])
        })
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|window| window == needle)
}
