//! Just enough HTTP/1.1 to look at what went over a socket, written apart from the daemon's own reading of it.

use std::io::{self, BufRead, Read};

/// A request or an answer, whole.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Message {
    /// `GET /x HTTP/1.1` or `HTTP/1.1 200 OK`.
    pub start: String,
    /// In the order they came, names as they were spelt.
    pub headers: Vec<(String, String)>,
    /// Chunks joined.
    pub body: Vec<u8>,
    /// The head as it came, to the empty line.
    pub raw: Vec<u8>,
}

impl Message {
    /// All values of a header.
    pub fn all(&self, name: &str) -> Vec<&str> {
        self.headers.iter().filter(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v.as_str()).collect()
    }

    /// The first value of a header.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.all(name).first().copied()
    }

    /// The request's method.
    pub fn method(&self) -> &str {
        self.start.split(' ').next().unwrap_or("")
    }

    /// The request's target.
    pub fn target(&self) -> &str {
        self.start.split(' ').nth(1).unwrap_or("")
    }

    /// The answer's status; 0 where there is none.
    pub fn status(&self) -> u16 {
        self.start.split(' ').nth(1).and_then(|text| text.parse().ok()).unwrap_or(0)
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

fn line(from: &mut impl BufRead) -> io::Result<Option<String>> {
    let mut bytes = Vec::new();
    from.read_until(b'\n', &mut bytes)?;
    match bytes.strip_suffix(b"\r\n") {
        Some(line) => Ok(Some(String::from_utf8_lossy(line).into_owned())),
        None if bytes.is_empty() => Ok(None),
        None => Err(io::Error::other(format!("a line without CR LF: {:?}", String::from_utf8_lossy(&bytes)))),
    }
}

/// Reads a head; `None` at the end of the stream.
pub fn head(from: &mut impl BufRead) -> io::Result<Option<Message>> {
    let Some(start) = line(from)? else { return Ok(None) };
    let raw = [start.as_bytes(), b"\r\n"].concat();
    let mut message = Message { start, raw, ..Message::default() };
    loop {
        let line = line(from)?;
        if let Some(line) = &line {
            message.raw.extend([line.as_bytes(), b"\r\n"].concat());
        }
        match line {
            None => return Err(io::Error::from(io::ErrorKind::UnexpectedEof)),
            Some(line) if line.is_empty() => return Ok(Some(message)),
            Some(line) => {
                let (name, value) = line.split_once(':').ok_or_else(|| io::Error::other(line.clone()))?;
                message.headers.push((name.to_owned(), value.trim().to_owned()));
            }
        }
    }
}

/// Reads a head and the body that it announces.
pub fn request(from: &mut impl BufRead) -> io::Result<Option<Message>> {
    let Some(mut message) = head(from)? else { return Ok(None) };
    framed_body(from, &mut message)?;
    Ok(Some(message))
}

/// Reads an answer to a request with this method, its body whole: framed, or to the end of the stream.
pub fn answer(from: &mut impl BufRead, to: &str) -> io::Result<Option<Message>> {
    let Some(mut message) = head(from)? else { return Ok(None) };
    let status = message.status();
    if to == "HEAD" || status < 200 || status == 204 || status == 304 {
        return Ok(Some(message));
    }
    if !framed_body(from, &mut message)? {
        from.read_to_end(&mut message.body)?;
    }
    Ok(Some(message))
}

/// Whether the head announced a body, which then has been read.
pub fn framed_body(from: &mut impl BufRead, message: &mut Message) -> io::Result<bool> {
    if message.all("transfer-encoding").iter().any(|value| value.eq_ignore_ascii_case("chunked")) {
        loop {
            let size = line(from)?.ok_or(io::ErrorKind::UnexpectedEof)?;
            let size = u64::from_str_radix(&size, 16).map_err(io::Error::other)?;
            let before = message.body.len() as u64;
            from.take(size).read_to_end(&mut message.body)?;
            if message.body.len() as u64 - before != size {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            let end = line(from)?.ok_or(io::ErrorKind::UnexpectedEof)?;
            if !end.is_empty() {
                return Err(io::Error::other(format!("{end:?} behind a chunk")));
            }
            if size == 0 {
                return Ok(true);
            }
        }
    }
    let Some(length) = message.header("content-length") else { return Ok(false) };
    let length: u64 = length.parse().map_err(io::Error::other)?;
    from.take(length).read_to_end(&mut message.body)?;
    if (message.body.len() as u64) < length {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(true)
}
