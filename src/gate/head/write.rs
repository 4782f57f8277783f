//! Heads, written anew: what leaves here was put together from judged parts, never copied.

use std::io::Write;

use super::body::Framing;
use super::response::Answer;
use super::{Head, Version};
use crate::model::escape::Escaped;
use crate::model::target::Target;

/// What ends a chunked body.
pub const LAST_CHUNK: &[u8] = b"0\r\n\r\n";

/// Appends a chunk's size line; its data and a CR LF have to follow. `size` is at least 1: 0 would end the body.
pub fn chunk_size(size: usize, out: &mut Vec<u8>) {
    put(out, format_args!("{size:x}\r\n"));
}

impl Head {
    /// Appends what the HTTP engine is to see of the head: its method, its framing, and of the connection whether it
    /// closes or changes its protocol. What is asked for, and all other lines, the engine has no use for. It is short,
    /// however long the head was: the engine refuses by itself, and unrecorded, what its buffer has no room for.
    pub fn write_for_engine(&self, out: &mut Vec<u8>) {
        self.request_line("/", self.version(), out);
        // Which protocol it is the engine never asks; the answer's `Upgrade` is written here.
        self.connection(self.upgrade().map(|_| "x"), out);
        framing(self.framing(), out);
        out.extend_from_slice(b"\r\n");
    }

    /// Appends the head as it was read: the canonical target, the one Host, the one framing, what is forwardable, and of
    /// the connection only whether it closes or changes its protocol. Read again it is the same head.
    pub fn write_as_read(&self, out: &mut Vec<u8>) {
        self.begin(self.version(), out);
        self.connection(self.upgrade(), out);
        headers(self.forwardable(), out);
        framing(self.framing(), out);
        out.extend_from_slice(b"\r\n");
    }

    /// What it says of the connection, with `upgrade` for the protocol that it is to change to.
    fn connection(&self, upgrade: Option<&str>, out: &mut Vec<u8>) {
        let connection = match upgrade {
            Some(protocol) => {
                line("Upgrade", protocol, out);
                if self.close() { Some("upgrade, close") } else { Some("upgrade") }
            }
            None => match (self.close(), self.version()) {
                (true, _) => Some("close"),
                (false, Version::Http10) => Some("keep-alive"),
                (false, Version::Http11) => None,
            },
        };
        if let Some(connection) = connection {
            line("Connection", connection, out);
        }
        if self.expect_continue() {
            line("Expect", "100-continue", out);
        }
    }

    /// Appends the head that leaves for the backend, always HTTP/1.1 and meant to keep the connection: what is
    /// forwardable, then `extra`, then the framing. `Expect` is not there: its 100 is ours to give. A byte of
    /// `extra` that has no place in a header value is written as `model::escape` spells it.
    pub fn write_for_backend(&self, out: &mut Vec<u8>, extra: &[(&str, &str)]) {
        self.write_with_body(out, extra, self.framing());
    }

    /// The same, for a body that was read whole and leaves in a framing of its own.
    pub fn write_with_body(&self, out: &mut Vec<u8>, extra: &[(&str, &str)], body: Framing) {
        self.begin(Version::Http11, out);
        if let Some(protocol) = self.upgrade() {
            line("Connection", "upgrade", out);
            line("Upgrade", protocol, out);
        }
        headers(self.forwardable(), out);
        for (name, value) in extra {
            if value.bytes().all(|b| matches!(b, b' '..=b'~')) {
                line(name, value, out);
            } else {
                line(name, &Escaped(value.as_bytes()).to_string(), out);
            }
        }
        framing(body, out);
        out.extend_from_slice(b"\r\n");
    }

    fn begin(&self, version: Version, out: &mut Vec<u8>) {
        out.reserve(self.raw_len() + 64);
        self.request_line(Target::as_str(self.target()), version, out);
        line("Host", self.host(), out);
    }

    fn request_line(&self, target: &str, version: Version, out: &mut Vec<u8>) {
        for part in [self.method().as_str(), " ", target, " ", version.as_str(), "\r\n"] {
            out.extend_from_slice(part.as_bytes());
        }
    }
}

impl Answer {
    /// Appends the answer's head as it was read. A 101 keeps its `Upgrade`; an answer that ends with
    /// the connection says `Connection: close`; one to HEAD keeps the length that it told of.
    pub fn write_as_read(&self, out: &mut Vec<u8>) {
        out.reserve(self.raw_len() + 64);
        put(out, format_args!("{} {} \r\n", self.version().as_str(), self.status()));
        if let Some(protocol) = self.upgrade() {
            line("Connection", "upgrade", out);
            line("Upgrade", protocol, out);
        } else if self.close() {
            line("Connection", "close", out);
        } else if self.version() == Version::Http10 {
            line("Connection", "keep-alive", out);
        }
        headers(self.forwardable(), out);
        match (self.framing(), self.told_length()) {
            (Framing::None, Some(length)) => framing(Framing::Length(length), out),
            (other, _) => framing(other, out),
        }
        out.extend_from_slice(b"\r\n");
    }
}

fn headers<'a>(lines: impl Iterator<Item = (&'a str, &'a str)>, out: &mut Vec<u8>) {
    for (name, value) in lines {
        line(name, value, out);
    }
}

fn line(name: &str, value: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b": ");
    out.extend_from_slice(value.as_bytes());
    out.extend_from_slice(b"\r\n");
}

fn framing(framing: Framing, out: &mut Vec<u8>) {
    match framing {
        Framing::None | Framing::UntilClose => {}
        Framing::Length(length) => put(out, format_args!("Content-Length: {length}\r\n")),
        Framing::Chunked => line("Transfer-Encoding", "chunked", out),
    }
}

fn put(out: &mut Vec<u8>, text: std::fmt::Arguments<'_>) {
    // Writing to memory fails only where memory does, and that ends the process before it returns.
    let _infallible = out.write_fmt(text);
}
