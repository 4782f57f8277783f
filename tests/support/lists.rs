//! The cases that want a word of their own, by file and name.

/// Requests that other servers accept and we refuse on purpose, and the code of the rule that they break.
pub const DELIBERATE: &[(&str, &str, &str)] = &[
    // `Connection: upgrade` without a protocol asks for nothing that can be judged.
    ("http1-llhttp", "connection.md#Sample", "upgrade-syntax"),
    // No browser is served unless the listener says so.
    ("http1-llhttp", "connection.md#Upgrade GET request", "browser"),
    // Chunk extensions: readers disagree on where they end.
    ("http1-llhttp", "pausing.md#on_chunk_extension_name", "chunk-syntax"),
    ("http1-llhttp", "pausing.md#on_chunk_extension_value", "chunk-syntax"),
    ("http1-gunicorn", "valid/013.http", "chunk-syntax"),
    ("http1-gunicorn", "valid/rfc9112_chunked_ext_quoted_01.http", "chunk-syntax"),
    // The last chunk is one `0`.
    ("http1-llhttp", "transfer-encoding.md#Two chunks and triple zero prefixed end chunk", "chunk-syntax"),
    ("http1-gunicorn", "valid/011.http", "chunk-syntax"),
    ("http1-gunicorn", "valid/023.http", "chunk-syntax"),
    // Nothing may stand before a request line.
    ("http1-llhttp", "sample.md#Prefix newline", "request-line"),
    ("http1-llhttp", "sample.md#Request starting with CRLF", "request-line"),
    // A header value is ASCII.
    ("http1-llhttp", "sample.md#Extended Characters", "header-byte"),
    ("http1-llhttp", "sample.md#255 ASCII in header value", "header-byte"),
    ("http1-gunicorn", "valid/rfc9110_field_value_obs_text_01.http", "header-byte"),
    // Trailers.
    ("http1-llhttp", "transfer-encoding.md#Trailing headers", "trailers"),
    ("http1-gunicorn", "valid/012.http", "trailers"),
    // `#`, `"`, `\` and `|` stand in no target (RFC 3986).
    ("http1-llhttp", "transfer-encoding.md#POST with `chunked` as last transfer-encoding", "target-byte"),
    (
        "http1-llhttp",
        "transfer-encoding.md#POST with `chunked` as last transfer-encoding (multiple headers)",
        "target-byte",
    ),
    ("http1-llhttp", "uri.md#Quotes in URI", "target-byte"),
    ("http1-llhttp", "uri.md#Query URL with vertical bar character", "target-byte"),
    ("http1-llhttp", "uri.md#Fragment in URI", "target-byte"),
    ("http1-gunicorn", "valid/005.http", "target-byte"),
    ("http1-gunicorn", "valid/009.http", "target-byte"),
    ("http1-gunicorn", "valid/014.http", "target-byte"),
    // `//`.
    ("http1-gunicorn", "valid/100.http", "empty-segment"),
    // Transfer-Encoding other than one exact `chunked`.
    ("http1-gunicorn", "valid/025.http", "transfer-encoding"),
    ("http1-gunicorn", "valid/025_line.http", "transfer-encoding"),
    ("http1-gunicorn", "valid/029.http", "transfer-encoding"),
    ("http1-gunicorn", "valid/030.http", "transfer-encoding"),
    ("http1-gunicorn", "valid/rfc9112_smuggle_gzip_chunked_01.http", "transfer-encoding"),
    ("http1-gunicorn", "valid/rfc9112_smuggle_te_identity_chunked_01.http", "transfer-encoding"),
    // White space before the colon; accepted there by a setting.
    ("http1-gunicorn", "valid/028.http", "header-syntax"),
    // Folded lines; accepted there by a setting.
    ("http1-gunicorn", "valid/compat_obs_fold.http", "obs-fold"),
    ("http1-gunicorn", "valid/compat_obs_fold_huge.http", "obs-fold"),
];

/// Cases that can't be judged here, and why.
pub const LEFT_OUT: &[(&str, &str, &str)] = &[
    ("http1-gunicorn", "invalid/006.http", "that server's limit on the request line"),
    ("http1-gunicorn", "invalid/007.http", "that server's limit on a header line"),
    ("http1-gunicorn", "invalid/008.http", "that server's limit on a header line"),
    ("http1-gunicorn", "invalid/010.http", "its setting limit_request_field_size = 10"),
    ("http1-gunicorn", "invalid/011.http", "its setting limit_request_fields = 2"),
    ("http1-gunicorn", "invalid/012.http", "its setting limit_request_field_size = 98"),
    ("http1-gunicorn", "invalid/017.http", "that server's limit on a header line"),
    ("http1-gunicorn", "invalid/limit_header_default_01.http", "that server's limit on a header line"),
    ("http1-gunicorn", "invalid/019.http", "its setting forwarded_allow_ips; such headers are removed here"),
];

/// Reject cases whose first requests break no rule: how many come before the one that does.
pub const BEFORE: &[(&str, &str, usize)] = &[
    // The second request comes after the connection's last one.
    ("http1-llhttp", "connection.md#No restart when keep-alive is off (1.0)", 1),
    ("http1-llhttp", "connection.md#Resetting flags when keep-alive is off (1.0, lenient)", 1),
    // The second request holds the control byte.
    ("http1-llhttp", "lenient-headers.md#Second request header value (lenient)", 1),
];
