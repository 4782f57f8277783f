//! A client that sends exactly the bytes it is given.

use std::io::{BufReader, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::Path;

use super::PATIENCE;
use super::http::{self, Message};

/// One connection.
pub struct Client {
    pub stream: UnixStream,
    reader: BufReader<UnixStream>,
}

impl Client {
    /// Connects; nothing here waits longer than [`PATIENCE`].
    pub fn connect(socket: &Path) -> Client {
        let stream = UnixStream::connect(socket).unwrap_or_else(|why| panic!("{}: {why}", socket.display()));
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        Client { reader: BufReader::new(stream.try_clone().unwrap()), stream }
    }

    /// Connects, where somebody listens.
    pub fn connect_if_there(socket: &Path) -> Option<Client> {
        UnixStream::connect(socket).ok().map(|stream| {
            stream.set_read_timeout(Some(PATIENCE)).unwrap();
            Client { reader: BufReader::new(stream.try_clone().unwrap()), stream }
        })
    }

    /// Sends these bytes. What the other side no longer reads is not an error here: its answer tells.
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) -> &mut Client {
        let _ = self.stream.write_all(bytes.as_ref());
        self
    }

    /// Sends a request of this method and target without a body.
    pub fn ask(&mut self, method: &str, target: &str) -> &mut Client {
        self.send(format!("{method} {target} HTTP/1.1\r\nHost: localhost\r\n\r\n"))
    }

    /// The next answer, to a request with this method.
    pub fn answer_to(&mut self, method: &str) -> Message {
        http::answer(&mut self.reader, method).unwrap().expect("an answer, not the end")
    }

    /// The next answer.
    pub fn answer(&mut self) -> Message {
        self.answer_to("GET")
    }

    /// The next answer, or `None` where the connection ended (by a reset, too).
    pub fn answer_or_end(&mut self) -> Option<Message> {
        http::answer(&mut self.reader, "GET").ok().flatten()
    }

    /// Everything until the other side closes.
    pub fn rest(&mut self) -> Vec<u8> {
        let mut rest = Vec::new();
        // A reset after refused bytes ends the stream as well as a close does.
        let _ = self.reader.read_to_end(&mut rest);
        rest
    }

    /// Exactly this many bytes.
    pub fn exactly(&mut self, count: usize) -> Vec<u8> {
        let mut bytes = vec![0; count];
        self.reader.read_exact(&mut bytes).unwrap();
        bytes
    }

    /// Says that nothing more comes.
    pub fn finish(&mut self) -> &mut Client {
        self.stream.shutdown(Shutdown::Write).unwrap();
        self
    }
}

/// One request on a connection of its own, and its answer.
pub fn ask(socket: &Path, method: &str, target: &str) -> Message {
    Client::connect(socket).ask(method, target).answer_to(method)
}
