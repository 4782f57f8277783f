//! One request to the daemon and its answer, line by line. The daemon writes its answers in one way, and anything else is
//! an error here.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;

/// The longest line of a head.
const LINE: u64 = 16 << 10;
/// The most that is kept of a body: a line, or all of one that is short.
const KEPT: usize = 16 << 20;

/// A connection, for one request after the other.
pub(super) struct Daemon(BufReader<UnixStream>);

impl Daemon {
    /// Connects.
    ///
    /// # Errors
    ///
    /// The socket can't be reached.
    pub(super) fn reach(socket: &Path) -> io::Result<Daemon> {
        let said = |error: io::Error| {
            io::Error::new(error.kind(), format!("{}: {error}; `--socket` names another", socket.display()))
        };
        UnixStream::connect(socket).map(|stream| Daemon(BufReader::new(stream))).map_err(said)
    }

    /// Asks for something.
    ///
    /// # Errors
    ///
    /// The daemon has left, or what comes is no answer.
    pub(super) fn ask(&mut self, method: &str, path: &str, body: &[u8]) -> io::Result<Exchange<'_>> {
        let plain = |text: &str| text.bytes().all(|byte| byte.is_ascii_graphic());
        if !plain(method) || !plain(path) {
            return Err(wrong("a method and a path hold no space and nothing but ASCII"));
        }
        let length = match method {
            "GET" | "HEAD" if body.is_empty() => String::new(),
            _ => format!("Content-Length: {}\r\n", body.len()),
        };
        let mut request = format!(
            "{method} {path} HTTP/1.1\r\nHost: localhost\r\nAccept: application/x-ndjson\r\n{length}\r\n"
        )
        .into_bytes();
        request.extend_from_slice(body);
        // One that refuses the head may not read the body: its answer tells.
        let sent = self.0.get_mut().write_all(&request);
        sent.or_else(|error| if error.kind() == io::ErrorKind::BrokenPipe { Ok(()) } else { Err(error) })?;
        let mut asked = Exchange {
            from: &mut self.0,
            status: 0,
            is_lines: false,
            left: 0,
            is_chunked: false,
            is_in_chunk: false,
            here: Vec::new(),
            is_over: false,
        };
        asked.head()?;
        // None of these has a body, whatever its head says (RFC 9112 §6.3).
        asked.is_over |= method == "HEAD" || matches!(asked.status, 204 | 304);
        Ok(asked)
    }
}

/// An answer whose head has come. The next request can be asked once it is read whole.
pub(super) struct Exchange<'a> {
    from: &'a mut BufReader<UnixStream>,
    status: u16,
    is_lines: bool,
    /// What is still to come of the body, or of its chunk.
    left: u64,
    is_chunked: bool,
    /// A chunk has begun whose end was not read.
    is_in_chunk: bool,
    /// What has come of the body and is not taken yet.
    here: Vec<u8>,
    is_over: bool,
}

impl Exchange<'_> {
    fn head(&mut self) -> io::Result<()> {
        let first = self.text_line()?;
        let status = first.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3)?.parse().ok());
        self.status = status.ok_or_else(|| wrong("no answer of HTTP came"))?;
        loop {
            let line = self.text_line()?;
            let Some((name, value)) = line.split_once(':') else {
                return if line.is_empty() { Ok(()) } else { Err(wrong("no answer of HTTP came")) };
            };
            let value = value.trim();
            match name.to_ascii_lowercase().as_str() {
                "content-length" => {
                    self.left = value.parse().map_err(|_| wrong("no answer of HTTP came"))?;
                }
                "transfer-encoding" => self.is_chunked = value.eq_ignore_ascii_case("chunked"),
                "content-type" => self.is_lines = value.starts_with("application/x-ndjson"),
                _ => {}
            }
        }
    }

    fn text_line(&mut self) -> io::Result<String> {
        let mut line = Vec::new();
        Read::by_ref(&mut *self.from).take(LINE).read_until(b'\n', &mut line)?;
        let line = line.strip_suffix(b"\r\n").ok_or_else(|| wrong("the answer ended early"))?;
        String::from_utf8(line.to_vec()).map_err(|_| wrong("no answer of HTTP came"))
    }

    /// The status.
    pub(super) fn status(&self) -> u16 {
        self.status
    }

    /// Whether the body is a JSON object a line.
    pub(super) fn is_lines(&self) -> bool {
        self.is_lines
    }

    /// All of the body, which is a short one.
    ///
    /// # Errors
    ///
    /// It ended early, or is too long.
    pub(super) fn whole(&mut self) -> io::Result<Vec<u8>> {
        while self.more()? {}
        Ok(std::mem::take(&mut self.here))
    }

    /// What is here of the body, at once; `None` at its end.
    ///
    /// # Errors
    ///
    /// It ended early.
    pub(super) fn piece(&mut self) -> io::Result<Option<Vec<u8>>> {
        let is_there = !self.here.is_empty() || self.more()?;
        Ok(is_there.then(|| std::mem::take(&mut self.here)))
    }

    /// The next line of the body; `None` at its end, where [`Exchange::piece`] has what no line feed ends.
    ///
    /// # Errors
    ///
    /// It ended early, or is too long.
    pub(super) fn line(&mut self) -> io::Result<Option<Vec<u8>>> {
        loop {
            if let Some(end) = self.here.iter().position(|byte| *byte == b'\n') {
                let rest = self.here.split_off(end + 1);
                return Ok(Some(std::mem::replace(&mut self.here, rest)));
            }
            if !self.more()? {
                return Ok(None);
            }
        }
    }

    /// Reads on; whether there was more.
    fn more(&mut self) -> io::Result<bool> {
        if self.is_over {
            return Ok(false);
        }
        if self.left == 0 && self.is_chunked {
            if std::mem::take(&mut self.is_in_chunk) && !self.text_line()?.is_empty() {
                return Err(wrong("the answer is malformed"));
            }
            let size = self.text_line()?;
            self.left = u64::from_str_radix(&size, 16).map_err(|_| wrong("the answer is malformed"))?;
            self.is_in_chunk = true;
        }
        if self.left == 0 {
            self.is_over = true;
            if self.is_chunked && !self.text_line()?.is_empty() {
                return Err(wrong("the answer is malformed"));
            }
            return Ok(false);
        }
        let came = self.from.fill_buf()?;
        let most = usize::try_from(self.left).unwrap_or(usize::MAX);
        let came = came.get(..most).unwrap_or(came);
        let bytes = came.len();
        self.here.extend_from_slice(came);
        self.from.consume(bytes);
        self.left -= bytes as u64;
        if bytes == 0 {
            return Err(wrong("the answer ended early"));
        }
        if self.here.len() > KEPT {
            return Err(wrong("the answer is too long"));
        }
        Ok(true)
    }
}

fn wrong(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

/// A text as a piece of a path or query: all but unreserved bytes encoded (RFC 3986 §2.3).
pub(super) fn encoded(text: &str) -> String {
    let mut made = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            made.push(char::from(byte));
        } else {
            made.push_str(&format!("%{byte:02X}"));
        }
    }
    made
}

/// Base64 as the daemon writes it (RFC 4648 §4).
pub(super) fn decoded(text: &str) -> Option<Vec<u8>> {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut bytes = Vec::new();
    for group in text.as_bytes().chunks(4) {
        let letters = group.iter().take_while(|letter| **letter != b'=').count();
        let mut word = 0_u32;
        for place in 0..4 {
            let value = match group.get(place).filter(|_| place < letters) {
                Some(letter) => LETTERS.iter().position(|known| known == letter)?,
                None => 0,
            };
            word = word << 6 | u32::try_from(value).ok()?;
        }
        let all = word.to_be_bytes();
        bytes.extend_from_slice(all.get(1..letters.max(1))?);
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decoded_reads_rfc_4648s_own_examples() {
        for (bytes, text) in [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foob", "Zm9vYg==")]
        {
            assert_eq!(decoded(text).unwrap(), bytes.as_bytes());
        }
        assert_eq!(decoded("Zm9*"), None);
    }
}
