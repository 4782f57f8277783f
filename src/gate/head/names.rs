//! The header names that are watched: what each is for, and what imitates it.
//!
//! Servers that hand headers on as variables (CGI, WSGI, PHP, FastCGI) turn `-` into `_`, and some turn every byte
//! that is no letter or digit into it, so `Content_Length`, `X.Forwarded.For` and `X-Forwarded-For` become one
//! (CVE-2025-64484). Names are therefore compared with all those bytes folded to `-`; one that is watched
//! only after folding is a twin, and refused.

/// What a header line means to the guard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// `Host`.
    Host,
    /// `Content-Length`.
    ContentLength,
    /// `Transfer-Encoding`.
    TransferEncoding,
    /// `Connection`.
    Connection,
    /// `Upgrade`.
    Upgrade,
    /// `Expect`.
    Expect,
    /// `Trailer`.
    Trailer,
    /// `Origin` and `Referer`.
    Browser,
    /// Another one that is for one connection only (RFC 9110 §7.6.1), never forwarded.
    HopByHop,
    /// Says who the caller is, or that something else than the request line is asked; never forwarded.
    Identity,
    /// Forwarded, but allowed once; the number tells which.
    Once(Once),
    /// Forwarded.
    Other,
}

/// Names that mean two things when they are there twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Once {
    /// `Content-Type`: by it a body is read.
    ContentType,
    /// `Authorization`.
    Authorization,
    /// `Range`.
    Range,
    /// `Content-Range`.
    ContentRange,
}

/// Names that are removed because they claim who is calling, whence, or what is really asked. Exact ones.
///
/// The last two rows make some servers run another method or path than was judged.
pub const IDENTITY_NAMES: &[&str] = &[
    "forwarded",
    "client-ip",
    "true-client-ip",
    "cf-connecting-ip",
    "fastly-client-ip",
    "x-real-ip",
    "x-client-ip",
    "x-cluster-client-ip",
    "x-proxyuser-ip",
    "x-forward-for",
    "x-forwarded",
    "x-host",
    "remote-addr",
    "remote-user",
    "x-authenticated-user",
    "x-authenticated-userid",
    "x-webauth-user",
    "x-groups",
    "x-role",
    "x-roles",
    "client-cert",
    "client-cert-chain",
    "x-goog-iap-jwt-assertion",
    "x-http-method",
    "x-http-method-override",
    "x-method-override",
    "x-rewrite-url",
    "x-middleware-subrequest",
];

/// Beginnings of names that are removed for the same reason.
pub const IDENTITY_PREFIXES: &[&str] = &[
    "x-peergate-",
    "x-forwarded-",
    "x-original-",
    "x-remote-",
    "x-auth-request-",
    "x-authentik-",
    "x-user",
    "x-client-cert",
    "x-client-dn",
    "x-client-verify",
    "x-ssl-client-",
    "x-goog-authenticated-user-",
    "x-ms-client-principal",
    "x-amzn-oidc-",
    "ssl-client-",
    "remote-",
    "cf-access-",
    "tailscale-user-",
];

/// Bytes of a name that folding looks at: longer than any watched name, so that what is cut off only matters to
/// prefixes, which are shorter.
const FOLDED: usize = 32;

/// What the name is, and whether it is a twin: watched, but not spelt as the watched name is, apart from case.
pub(super) fn kind(name: &[u8]) -> (Kind, bool) {
    let led = name.iter().position(u8::is_ascii_alphanumeric).unwrap_or(name.len());
    let begun = name.get(led..).unwrap_or_default();
    let end = begun.iter().rposition(u8::is_ascii_alphanumeric).map_or(0, |last| last + 1);
    let mut folded = [0; FOLDED];
    for (to, from) in folded.iter_mut().zip(begun) {
        *to = if from.is_ascii_alphanumeric() { from.to_ascii_lowercase() } else { b'-' };
    }
    // Longer than any watched name that is not the beginning of a family: never equal to one.
    let whole = folded.get(..end).unwrap_or(&folded);
    let spelt = |text: &[u8]| text.iter().all(|b| b.is_ascii_alphanumeric() || *b == b'-');
    let exact = watched(whole);
    if exact != Kind::Other {
        return (exact, end != name.len() || !spelt(name));
    }
    // All of the others begin with one of these letters; most names end here.
    if !matches!(whole.first(), Some(b'x' | b'r' | b'f' | b'c' | b't' | b's')) {
        return (Kind::Other, false);
    }
    // The third letter tells most of them apart, at less than a whole comparison.
    let near = |watched: &&&str| watched.as_bytes().get(2) == folded.get(2);
    if IDENTITY_PREFIXES.iter().filter(near).any(|prefix| folded.starts_with(prefix.as_bytes())) {
        return (Kind::Identity, led != 0 || !spelt(name));
    }
    if IDENTITY_NAMES.iter().filter(near).any(|name| name.as_bytes() == whole) {
        return (Kind::Identity, end != name.len() || !spelt(name));
    }
    (Kind::Other, false)
}

fn watched(name: &[u8]) -> Kind {
    match name {
        b"host" => Kind::Host,
        b"content-length" => Kind::ContentLength,
        b"transfer-encoding" => Kind::TransferEncoding,
        b"connection" => Kind::Connection,
        b"upgrade" => Kind::Upgrade,
        b"expect" => Kind::Expect,
        b"trailer" => Kind::Trailer,
        b"origin" | b"referer" => Kind::Browser,
        b"keep-alive"
        | b"proxy-connection"
        | b"te"
        | b"proxy-authenticate"
        | b"proxy-authorization"
        | b"http2-settings" => Kind::HopByHop,
        b"content-type" => Kind::Once(Once::ContentType),
        b"authorization" => Kind::Once(Once::Authorization),
        b"range" => Kind::Once(Once::Range),
        b"content-range" => Kind::Once(Once::ContentRange),
        _ => Kind::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kind_watched_names_in_any_case_are_found() {
        for (name, expected) in [
            ("Host", Kind::Host),
            ("CONTENT-LENGTH", Kind::ContentLength),
            ("transfer-Encoding", Kind::TransferEncoding),
            ("TE", Kind::HopByHop),
            ("X-Forwarded-For", Kind::Identity),
            ("X-Peergate-Uid", Kind::Identity),
            ("X-User", Kind::Identity),
            ("Remote-Groups", Kind::Identity),
            ("X-Goog-Authenticated-User-Email-And-More", Kind::Identity),
            ("X-Registry-Auth", Kind::Other),
            ("Accept", Kind::Other),
            ("X.Custom|Pipe", Kind::Other),
            ("X_Custom", Kind::Other),
            ("User-Agent", Kind::Other),
        ] {
            assert_eq!(kind(name.as_bytes()), (expected, false), "{name}");
        }
    }

    #[test]
    fn kind_imitations_are_twins() {
        for name in [
            "Content_Length",
            "content.length",
            "Transfer_Encoding",
            "host_",
            "_host",
            "Host-",
            "X_Forwarded_For",
            "x-forwarded_for",
            "X_Peergate_Uid",
            "x_peergate-uid",
            "X.Real.IP",
            "Remote_User",
            "_X-Peergate-Uid",
            "Content_Type",
            "upgrade!",
            "X-Real-IP-",
            "-----------------------------------X-Real-IP",
            "X-Forwarded-A-Very-Long-Name-That-Goes_On",
        ] {
            assert!(kind(name.as_bytes()).1, "{name}");
        }
    }

    #[test]
    fn watched_names_are_lower_case_and_fit() {
        for name in IDENTITY_NAMES.iter().chain(IDENTITY_PREFIXES) {
            assert!(name.bytes().all(|b| matches!(b, b'a'..=b'z' | b'-')), "{name}");
            assert!(name.len() < FOLDED);
            assert!(
                matches!(name.as_bytes().first(), Some(b'x' | b'r' | b'f' | b'c' | b't' | b's')),
                "{name}"
            );
        }
    }
}
