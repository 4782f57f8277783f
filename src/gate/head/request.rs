//! A request's head: its first line, and what all its lines say together.

use super::body::Framing;
use super::fields::{Draft, Fields, Span};
use super::{HeadLimits, Version};
use crate::model::message::Lines;
use crate::model::method::{Method, is_token};
use crate::model::refusal::Refusal;
use crate::model::target::Target;

/// A request line, judged.
#[derive(Debug)]
pub(super) struct RequestLine {
    method: Method,
    target: Target,
    version: Version,
}

impl RequestLine {
    /// `METHOD SP TARGET SP VERSION`, nothing more and nothing less (RFC 9112 §3).
    pub(super) fn parse(line: &[u8], limits: &HeadLimits) -> Result<RequestLine, Refusal> {
        let mut parts = line.split(|b| *b == b' ');
        let (Some(method), Some(target), Some(version), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(Refusal::RequestLine);
        };
        if method.is_empty() || target.is_empty() || version.is_empty() {
            return Err(Refusal::RequestLine);
        }
        if !method.iter().all(|b| is_token(*b)) {
            return Err(Refusal::MethodSyntax);
        }
        // Before the method is judged, so that the HTTP/2 preface `PRI * HTTP/2.0` is called by its name.
        let version = match version {
            b"HTTP/1.1" => Version::Http11,
            b"HTTP/1.0" => Version::Http10,
            _ => return Err(Refusal::Version),
        };
        let method = known(method, limits)?;
        if target.len() > limits.target_bytes {
            return Err(Refusal::TargetTooLong);
        }
        let target = match target {
            b"*" if method == Method::OPTIONS => Target::star(),
            target => Target::parse(target)?,
        };
        Ok(RequestLine { method, target, version })
    }

    /// The refusal of a request line that a byte which belongs into no head cuts short.
    pub(super) fn odd(line: &[u8]) -> Refusal {
        match line.iter().filter(|b| **b == b' ').count() {
            0 => Refusal::MethodSyntax,
            1 => Refusal::TargetByte,
            2 => Refusal::Version,
            _ => Refusal::RequestLine,
        }
    }
}

/// The method, where it is known or named by the policy. CONNECT and TRACE never are: the one asks for a tunnel to
/// another host, the other answers with the headers that were added on the way.
fn known(raw: &[u8], limits: &HeadLimits) -> Result<Method, Refusal> {
    if let Some(method) = Method::KNOWN.iter().find(|m| m.as_str().as_bytes() == raw) {
        return Ok(method.clone());
    }
    let extra = limits.extra_methods.iter().find(|m| m.as_str().as_bytes() == raw);
    match extra {
        Some(method) if !matches!(raw, b"CONNECT" | b"TRACE") => Ok(method.clone()),
        _ => Err(Refusal::MethodUnknown),
    }
}

/// A request's head that broke no rule.
#[derive(Debug, Clone)]
pub struct Head {
    method: Method,
    target: Target,
    version: Version,
    fields: Fields,
    host: Span,
    framing: Framing,
    expect_continue: bool,
    upgrade: Option<Span>,
    close: bool,
}

impl Head {
    /// The method.
    pub fn method(&self) -> &Method {
        &self.method
    }

    /// Path and query, canonical.
    pub fn target(&self) -> &Target {
        &self.target
    }

    /// The version that the client speaks.
    pub fn version(&self) -> Version {
        self.version
    }

    /// The one Host, with its port where it has one.
    pub fn host(&self) -> &str {
        self.host.of(&self.fields.text)
    }

    /// Every header line as it came: original order and spelling, white space around values trimmed. For judging; what
    /// is forwarded is [`Head::forwardable`].
    pub fn headers(&self) -> impl Iterator<Item = (&str, &str)> {
        self.fields.all()
    }

    /// The values of the header lines called `name`, without regard to case.
    pub fn values(&self, name: &str) -> impl Iterator<Item = &str> {
        self.headers().filter(move |(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    /// The header lines that are meant for the backend, in order and spelling. Left out are `Host`, framing, `Expect`,
    /// `Upgrade`, hop-by-hop ones, those that `Connection` names, and those that claim an identity or another
    /// method or path ([`super::IDENTITY_NAMES`], [`super::IDENTITY_PREFIXES`]).
    pub fn forwardable(&self) -> impl Iterator<Item = (&str, &str)> {
        self.fields.forwardable()
    }

    /// How the body is delimited; never [`Framing::UntilClose`].
    pub fn framing(&self) -> Framing {
        self.framing
    }

    /// The client waits for `100 Continue` before it sends its body.
    pub fn expect_continue(&self) -> bool {
        self.expect_continue
    }

    /// The one protocol that the client wants to change to, as it was spelt; compared without case.
    pub fn upgrade(&self) -> Option<&str> {
        self.upgrade.map(|span| span.of(&self.fields.text))
    }

    /// The client sends no further request on this connection.
    pub fn close(&self) -> bool {
        self.close
    }

    /// Bytes that it took on the wire, the empty line included.
    pub fn raw_len(&self) -> usize {
        self.fields.text.len()
    }

    /// Puts the judged parts together; `raw` is the whole head.
    pub(super) fn assemble(line: RequestLine, mut draft: Draft, raw: &[u8]) -> Result<Head, Refusal> {
        let lines = draft.finish(raw)?;
        let fields = Fields::new(raw, lines)?;
        let host = draft.host.ok_or(Refusal::HostMissing)?;
        // An empty one is allowed (RFC 9112 §3.2); Debian 12's docker (20.10) sends it with every upgrade.
        let named = host.of(&fields.text).as_bytes();
        if !named.is_empty() && !is_host(named) {
            return Err(Refusal::HostSyntax);
        }
        let http10 = line.version == Version::Http10;
        let framing = match (draft.length, draft.chunked) {
            (Some(_), true) => return Err(Refusal::FramingTwice),
            (None, true) if http10 => return Err(Refusal::FramingVersion),
            (None, true) => Framing::Chunked,
            (Some(length), false) => Framing::Length(length),
            (None, false) => Framing::None,
        };
        // An upgrade needs both lines (RFC 9110 §7.8), HTTP/1.1, and a body of a length known beforehand: what follows
        // a body that ends by itself would be read differently by who refuses the upgrade and by who accepts it.
        if draft.upgrade.is_some() != draft.connection.upgrade
            || draft.upgrade.is_some() && (http10 || framing == Framing::Chunked)
        {
            return Err(Refusal::UpgradeSyntax);
        }
        if draft.expect && http10 {
            return Err(Refusal::Expectation);
        }
        Ok(Head {
            method: line.method,
            target: line.target,
            version: line.version,
            fields,
            host,
            framing,
            expect_continue: draft.expect && framing.has_body(),
            upgrade: draft.upgrade,
            close: draft.connection.close || http10 && !draft.connection.keep_alive,
        })
    }
}

/// Rules judge what is forwarded.
impl Lines for Head {
    fn each<'l>(&'l self, each: &mut dyn FnMut(&'l str, &'l str)) {
        self.forwardable().for_each(|(name, value)| each(name, value));
    }
}

/// `uri-host [ ":" port ]` (RFC 9110 §7.2) with a host and, behind a colon, a port. `,` is left out: it would be two
/// Host lines in one.
fn is_host(value: &[u8]) -> bool {
    let (host, port) = match value.strip_prefix(b"[") {
        Some(literal) => {
            let Some(end) = literal.iter().position(|b| *b == b']') else { return false };
            let (address, rest) = literal.split_at(end);
            let is_address = address.iter().all(|b| b.is_ascii_hexdigit() || matches!(b, b':' | b'.'));
            if address.is_empty() || !is_address {
                return false;
            }
            match rest {
                [_] => return true,
                [_, b':', port @ ..] => return is_port(port),
                _ => return false,
            }
        }
        None => match value.iter().position(|b| *b == b':') {
            Some(colon) => (value.get(..colon).unwrap_or_default(), value.get(colon + 1..)),
            None => (value, None),
        },
    };
    is_reg_name(host) && port.is_none_or(is_port)
}

fn is_port(port: &[u8]) -> bool {
    (1..=5).contains(&port.len()) && port.iter().all(u8::is_ascii_digit)
}

/// RFC 3986 §3.2.2; old Docker clients send the socket's path in it, encoded.
fn is_reg_name(mut name: &[u8]) -> bool {
    if name.is_empty() || name.len() > 255 {
        return false;
    }
    loop {
        name = match name {
            [] => return true,
            [b'%', high, low, rest @ ..] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => rest,
            [byte, rest @ ..] if byte.is_ascii_alphanumeric() || b"-._~!$&'()*+;=".contains(byte) => rest,
            _ => return false,
        };
    }
}

#[cfg(test)]
mod tests {
    use super::is_host;

    #[test]
    fn host_names_addresses_and_ports() {
        for good in [
            "a",
            "localhost",
            "api.moby.localhost",
            "%2Fvar%2Frun%2Fdocker.sock",
            "a:80",
            "[::1]",
            "[::1]:8080",
            "0.0.0.0=5000",
            "a_b",
        ] {
            assert!(is_host(good.as_bytes()), "{good}");
        }
        for bad in [
            "", ":80", "a:", "a:b", "a:80:90", "a b", "a,b", "u@h", "a/b", "[::1", "[]", "[::1]x", "[g]",
            "%zz", "%2", "a:123456", "a\tb", "a?b", "a#b", "a\\b",
        ] {
            assert!(!is_host(bad.as_bytes()), "{bad}");
        }
        assert!(is_host(&[b'a'; 255]) && !is_host(&[b'a'; 256]));
    }
}
