//! Every way a request can be wrong, or we can fail it: one closed list of code, status and client text.
//!
//! Codes are stable: records carry them, reports count by them, tests assert the exact one.

macro_rules! refusals {
    ($($(#[$doc:meta])* $variant:ident = $code:literal, $status:literal, $text:literal;)*) => {
        /// Why a request was not served as asked.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[derive(serde::Serialize, serde::Deserialize)]
        pub enum Refusal {
            $($(#[$doc])* $variant,)*
        }

        impl Refusal {
            /// All of them, in the order of this list.
            pub const ALL: &'static [Refusal] = &[$(Refusal::$variant,)*];

            /// The stable name, in records and answers.
            pub fn code(self) -> &'static str {
                match self { $(Refusal::$variant => $code,)* }
            }

            /// The HTTP status of the answer.
            pub fn status(self) -> u16 {
                match self { $(Refusal::$variant => $status,)* }
            }

            /// What the client is told; nothing of the policy, nothing of the client's own bytes.
            pub fn text(self) -> &'static str {
                match self { $(Refusal::$variant => $text,)* }
            }
        }
    };
}

refusals! {
    // --- the head, byte by byte (RFC 9112) -------------------------------------------------------------
    /// A line that does not end in CR LF, or a CR without its LF (RFC 9112 §2.2).
    BareLineEnd = "bare-line-end", 400, "lines end in CR LF";
    /// The request line is not `METHOD SP TARGET SP VERSION`.
    RequestLine = "request-line", 400, "the request line is malformed";
    /// A method that is no token (RFC 9110 §9.1).
    MethodSyntax = "method-syntax", 400, "the method is malformed";
    /// A method outside the known set, and not named by the policy.
    MethodUnknown = "method-unknown", 501, "the method is not known here";
    /// Neither HTTP/1.1 nor HTTP/1.0; the HTTP/2 preface too.
    Version = "http-version", 505, "only HTTP/1.1 and HTTP/1.0 are spoken here";
    /// A header line without colon, with white space before it, or an empty name.
    HeaderSyntax = "header-syntax", 400, "a header line is malformed";
    /// A line that continues the one before (RFC 9112 §5.2).
    ObsoleteFold = "obs-fold", 400, "folded header lines are refused";
    /// A control byte or a byte above 0x7E in a header value.
    HeaderByte = "header-byte", 400, "a header value holds a control byte";
    /// A framing or identity name spelt with `_`.
    HeaderTwin = "header-twin", 400, "a header name imitates another by `_`";
    /// No Host line.
    HostMissing = "host-missing", 400, "a Host line is needed";
    /// More than one Host line.
    HostTwice = "host-twice", 400, "one Host line is allowed";
    /// A Host line that names no host.
    HostSyntax = "host-syntax", 400, "the Host line is malformed";
    /// `Origin` or `Referer`, which only browsers send, on a listener that does not allow browsers.
    Browser = "browser", 403, "browsers are not served here";
    /// Content-Length that is not one run of digits, or is there twice.
    ContentLength = "content-length", 400, "the Content-Length is malformed";
    /// Transfer-Encoding other than exactly one `chunked`.
    TransferEncoding = "transfer-encoding", 400, "only one exact `chunked` is allowed";
    /// Content-Length beside Transfer-Encoding.
    FramingTwice = "framing-twice", 400, "one framing is allowed, not both";
    /// Transfer-Encoding on HTTP/1.0.
    FramingVersion = "framing-version", 400, "HTTP/1.0 has no Transfer-Encoding";
    /// `Expect` other than `100-continue`.
    Expectation = "expectation", 417, "only `100-continue` can be expected";
    /// `Trailer` or `TE: trailers`-borne trailers announced, or a trailer section sent.
    Trailers = "trailers", 400, "trailers are refused";
    /// A chunk size line that is not plain hex digits, an extension, or a chunk that does not end in CR LF.
    ChunkSyntax = "chunk-syntax", 400, "a chunk is malformed";
    /// `Upgrade` and `Connection: upgrade` that do not go together, or that a body forbids.
    UpgradeSyntax = "upgrade-syntax", 400, "the Upgrade is malformed";
    /// An upgrade to a protocol that the route does not name.
    UpgradeRefused = "upgrade-refused", 403, "this upgrade is not allowed here";
    /// The connection ended inside a request.
    Truncated = "truncated", 400, "the request ended before it was whole";

    // --- the target ------------------------------------------------------------------------------------
    /// Not origin-form (or `*` for OPTIONS).
    TargetForm = "target-form", 400, "only a path and query can be asked for";
    /// A byte that RFC 3986 has in no path or query, or a `#`.
    TargetByte = "target-byte", 400, "the target holds a byte that must be encoded";
    /// `%` without two hex digits.
    PercentSyntax = "percent-syntax", 400, "a percent-encoding is malformed";
    /// An encoded byte that no path may hide: `/ \ . NUL % ; ? #` and controls.
    PercentForbidden = "percent-forbidden", 400, "the path hides a byte by percent-encoding";
    /// Decoded bytes that are no UTF-8.
    PercentUtf8 = "percent-utf8", 400, "the target decodes to no valid UTF-8";
    /// `.`, `..`, and what imitates them.
    DotSegment = "dot-segment", 400, "dot segments are refused";
    /// `//`.
    EmptySegment = "empty-segment", 400, "empty path segments are refused";
    /// `;` in a path, where the route does not opt in.
    PathParameter = "path-parameter", 400, "path parameters are refused";
    /// `%2F` in a path, where the route does not opt in.
    EncodedSlash = "encoded-slash", 400, "an encoded slash is refused here";
    /// A query name twice, where a rule reads it.
    QueryTwice = "query-twice", 400, "a query name is there twice";
    /// A query that separates by `;`, or a name that can't be read in one way, where a rule reads it.
    QuerySyntax = "query-syntax", 400, "the query can be read in more than one way";

    // --- what a rule reads ------------------------------------------------------------------------------
    /// A content type that the route does not take, or none.
    ContentType = "content-type", 415, "this content type is not taken here";
    /// An encoded body, where a rule reads it.
    ContentEncoding = "content-encoding", 415, "an encoded body is not taken here";
    /// No body, where a rule reads it.
    BodyMissing = "body-missing", 400, "a body is needed";
    /// A body that is no JSON in one reading (RFC 8259), where a rule reads it.
    JsonSyntax = "json-syntax", 400, "the body is no JSON that can be read in one way";
    /// A key twice in one object of a body, case apart.
    JsonTwice = "json-twice", 400, "the body holds a key twice";
    /// A body that is nested too deeply, or holds too many values.
    JsonBounds = "json-bounds", 400, "the body is too deep or holds too many values";

    // --- limits ----------------------------------------------------------------------------------------
    /// The head is too long.
    HeadTooLarge = "head-too-large", 431, "the head is too large";
    /// Too many header lines.
    TooManyHeaders = "too-many-headers", 431, "there are too many header lines";
    /// The target is too long.
    TargetTooLong = "target-too-long", 414, "the target is too long";
    /// The body is too long.
    BodyTooLarge = "body-too-large", 413, "the body is too large";
    /// The head did not arrive in time.
    HeadTimeout = "head-timeout", 408, "the head did not arrive in time";
    /// The body did not arrive in time.
    BodyTimeout = "body-timeout", 408, "the body did not arrive in time";
    /// The exchange took longer than it may.
    TotalTimeout = "total-timeout", 504, "the exchange took too long";
    /// The client does not read its answer.
    WriteTimeout = "write-timeout", 408, "the answer was not read in time";
    /// More requests than the caller may ask in this time.
    RateLimited = "rate-limited", 429, "too many requests";
    /// More connections than the caller may hold; the warden closes without an answer.
    ConnectionLimit = "connection-limit", 503, "too many connections";
    /// More requests in a time than a who's `limits` give the caller.
    WhoRate = "who-rate", 429, "too many requests";
    /// More requests at a time than a who's `limits` give the caller.
    WhoConcurrent = "who-concurrent", 429, "too many requests at a time";
    /// More bytes in a time than a who's `limits` give the caller; what runs ends too.
    WhoBytes = "who-bytes", 429, "too many bytes";
    /// A longer body than a who's `limits` give the caller.
    WhoBody = "who-body", 413, "the body is too large";
    /// More connections than a who's `limits` give the caller; the warden closes without an answer.
    WhoConnections = "who-connections", 429, "too many connections";
    /// No descriptor left to serve with; the warden closes without an answer.
    OutOfDescriptors = "out-of-descriptors", 503, "the service is out of descriptors";
    /// No gate could be had for this caller.
    GateUnavailable = "gate-unavailable", 503, "the service can't take the connection now";

    // --- who -------------------------------------------------------------------------------------------
    /// Bytes whose sender is not who connected; the connection ends.
    SenderChanged = "sender-changed", 403, "the sender is not who connected";
    /// Ancillary data that did not fit (MSG_CTRUNC); the connection ends.
    Ancillary = "ancillary-data", 400, "descriptors are not taken here";

    // --- the policy ------------------------------------------------------------------------------------
    /// A forbid holds.
    Forbidden = "forbidden", 403, "not allowed";
    /// No allow holds.
    NotAllowed = "not-allowed", 403, "not allowed";
    /// No route matches.
    NoRoute = "no-route", 403, "not allowed";
    /// The grant ended (`until`); running streams end with it.
    Expired = "expired", 403, "not allowed";
    /// The grant does not hold at this hour (`when`); running streams end with it.
    OutOfHours = "out-of-hours", 403, "not allowed";
    /// A query name that the route does not list.
    QueryName = "query-name", 403, "not allowed";
    /// A command's parameter is missing, is not of its kind, or is one that it does not have.
    Parameter = "parameter", 400, "a parameter is missing, or is not what it may be";
    /// A query value of another type than the route takes.
    QueryValue = "query-value", 403, "not allowed";
    /// A query name that the route needs is not there.
    QueryLacks = "query-lacks", 403, "not allowed";
    /// A header line that the route does not take, of another type than it takes, or not there though it needs it.
    HeaderRule = "header-rule", 403, "not allowed";
    /// A member of the body that the route does not allow.
    BodyMember = "body-member", 403, "not allowed";
    /// A value in the body of another type than the route takes.
    BodyValue = "body-value", 403, "not allowed";
    /// A member of the body that the route needs is not there.
    BodyLacks = "body-lacks", 403, "not allowed";
    /// The policy in force no longer allows what an older one allowed.
    RefusedByReload = "refused-by-reload", 403, "not allowed any more";

    // --- behind us -------------------------------------------------------------------------------------
    /// The record can't be written, so nothing happens.
    AuditUnavailable = "audit-unavailable", 503, "the access can't be recorded, so it is refused";
    /// The record is written, and was not on the disk in time (`durability = "sync"`), so nothing happens.
    AuditNotDurable = "audit-not-durable", 503, "the access can't be recorded durably, so it is refused";
    /// The backend can't be reached.
    BackendUnavailable = "backend-unavailable", 502, "the service behind can't be reached";
    /// Another than the policy's `owner` listens there.
    BackendOwner = "backend-owner", 502, "the service behind is not the expected one";
    /// The backend ended the connection before its answer was whole.
    BackendDied = "backend-died", 502, "the service behind ended its answer early";
    /// The backend's answer is not HTTP, or can be read in two ways.
    BackendGarbage = "backend-garbage", 502, "the service behind gave no valid answer";
    /// The backend did not answer in time.
    BackendTimeout = "backend-timeout", 504, "the service behind did not answer in time";
    /// As many of this command run, and wait, as may.
    CommandBusy = "command-busy", 503, "it runs already; try again later";
    /// A command could not be started.
    CommandNotStarted = "command-not-started", 502, "the command could not be started";
    /// The daemon is stopping.
    Stopping = "stopping", 503, "the service is stopping";
    /// A fault of ours; the connection ends.
    Internal = "internal", 500, "the service failed";
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.code())
    }
}

impl std::error::Error for Refusal {}

#[cfg(test)]
mod tests {
    use super::Refusal;
    use std::collections::HashSet;

    #[test]
    fn refusal_codes_are_unique_and_plain() {
        let codes: HashSet<_> = Refusal::ALL.iter().map(|r| r.code()).collect();
        assert_eq!(codes.len(), Refusal::ALL.len());
        assert!(
            codes
                .iter()
                .all(|c| c.bytes().all(|b| b.is_ascii_lowercase() || b == b'-' || b.is_ascii_digit()))
        );
    }

    #[test]
    fn refusal_statuses_are_errors() {
        assert!(Refusal::ALL.iter().all(|r| (400..600).contains(&r.status())));
    }
}
