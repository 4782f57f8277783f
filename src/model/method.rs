//! The method of a request.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::sync::Arc;

use super::refusal::Refusal;

/// A method: one of the seven that are known everywhere, or another token that a policy names. Compared with
/// case (RFC 9110 §9.1). Cheap to clone.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Method(Kind);

#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Kind {
    Get,
    Head,
    Post,
    Put,
    Delete,
    Patch,
    Options,
    /// Any other token; never one of those above.
    Other(Arc<str>),
}

impl Method {
    /// `GET`.
    pub const GET: Method = Method(Kind::Get);
    /// `HEAD`; a method of its own, never a `GET`.
    pub const HEAD: Method = Method(Kind::Head);
    /// `POST`.
    pub const POST: Method = Method(Kind::Post);
    /// `PUT`.
    pub const PUT: Method = Method(Kind::Put);
    /// `DELETE`.
    pub const DELETE: Method = Method(Kind::Delete);
    /// `PATCH`.
    pub const PATCH: Method = Method(Kind::Patch);
    /// `OPTIONS`.
    pub const OPTIONS: Method = Method(Kind::Options);

    /// The methods that need no naming in a policy.
    pub const KNOWN: [Method; 7] = [
        Method::GET,
        Method::HEAD,
        Method::POST,
        Method::PUT,
        Method::DELETE,
        Method::PATCH,
        Method::OPTIONS,
    ];

    /// Any token (RFC 9110 §9.1); whether it is known is another question.
    ///
    /// # Errors
    /// [`Refusal::MethodSyntax`] where it is no token.
    pub fn parse(raw: &[u8]) -> Result<Method, Refusal> {
        Ok(Method(match raw {
            b"GET" => Kind::Get,
            b"HEAD" => Kind::Head,
            b"POST" => Kind::Post,
            b"PUT" => Kind::Put,
            b"DELETE" => Kind::Delete,
            b"PATCH" => Kind::Patch,
            b"OPTIONS" => Kind::Options,
            [] => return Err(Refusal::MethodSyntax),
            other if other.iter().all(|b| is_token(*b)) => {
                Kind::Other(Arc::from(std::str::from_utf8(other).map_err(|_| Refusal::MethodSyntax)?))
            }
            _ => return Err(Refusal::MethodSyntax),
        }))
    }

    /// As it is spelt on the wire.
    pub fn as_str(&self) -> &str {
        match &self.0 {
            Kind::Get => "GET",
            Kind::Head => "HEAD",
            Kind::Post => "POST",
            Kind::Put => "PUT",
            Kind::Delete => "DELETE",
            Kind::Patch => "PATCH",
            Kind::Options => "OPTIONS",
            Kind::Other(token) => token,
        }
    }

    /// Whether it is one of [`Method::KNOWN`].
    pub fn is_known(&self) -> bool {
        !matches!(self.0, Kind::Other(_))
    }
}

/// Whether `byte` may be part of a token (RFC 9110 §5.6.2): methods, header names, connection options.
pub fn is_token(byte: u8) -> bool {
    // A table, since every byte of every header name is asked for.
    const TABLE: [bool; 256] = {
        let mut table = [false; 256];
        let mut rest: &[u8] =
            b"!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
        while let [byte, after @ ..] = rest {
            if let Some((_, [entry, ..])) = table.split_at_mut_checked(*byte as usize) {
                *entry = true;
            }
            rest = after;
        }
        table
    };
    TABLE.get(usize::from(byte)).copied().unwrap_or(false)
}

impl TryFrom<String> for Method {
    type Error = Refusal;

    fn try_from(text: String) -> Result<Method, Refusal> {
        Method::parse(text.as_bytes())
    }
}

impl From<Method> for String {
    fn from(method: Method) -> String {
        method.as_str().to_owned()
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn method_known_ones_come_back_and_compare() {
        for method in Method::KNOWN {
            assert_eq!(Method::parse(method.as_str().as_bytes()), Ok(method.clone()));
            assert!(method.is_known());
        }
    }

    #[test]
    fn method_case_and_unknown_tokens_are_other_methods() {
        for text in ["get", "GETX", "PROPFIND", "M-SEARCH", "CONNECT", "a!#$%&'*+-.^_`|~9"] {
            let method = Method::parse(text.as_bytes());
            assert_eq!(method.as_ref().map(|m| (m.as_str(), m.is_known())), Ok((text, false)));
        }
    }

    #[test]
    fn method_no_token_is_refused() {
        for raw in [&b""[..], b"GE T", b"GET:", b"G\0T", b"G(T", b"\xc3\x9f", b"GET\t", b"{}", b"\"GET\""] {
            assert_eq!(Method::parse(raw), Err(Refusal::MethodSyntax));
        }
    }
}
