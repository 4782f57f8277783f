//! The service behind the daemon: it writes down every complete request and answers as it is told.

use std::io::{BufReader, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::{Arc, Mutex};

use super::daemon::{self, Daemon, Place};
use super::http::{self, Message};

/// What to do with a connection after a complete request was written down; `false` ends it.
pub type Behaviour = dyn Fn(&Message, &mut UnixStream, &mut BufReader<UnixStream>) -> bool + Send + Sync;

/// A recording service on a Unix socket.
#[derive(Clone)]
pub struct Upstream {
    received: Arc<Mutex<Vec<Message>>>,
    connections: Arc<Mutex<usize>>,
}

/// A daemon on this policy, and the service behind it at its `up.sock`.
pub fn guarded(policy: &str) -> (Daemon, Upstream) {
    guarded_in(daemon::place(), policy)
}

/// The same in a directory that the test has prepared.
pub fn guarded_in(place: Place, policy: &str) -> (Daemon, Upstream) {
    let upstream = Upstream::start(&place.path().join("up.sock"));
    (Daemon::start_in(place, policy), upstream)
}

impl Upstream {
    /// Answers 200 to everything, with the method, target and body length as its body.
    pub fn start(socket: &Path) -> Upstream {
        Upstream::behaving(socket, |request, stream, _| {
            let body = format!("{} {} {}", request.method(), request.target(), request.body.len());
            let length = body.len();
            let body = if request.method() == "HEAD" { String::new() } else { body };
            let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{body}");
            stream.write_all(answer.as_bytes()).is_ok()
        })
    }

    /// Does as it is told.
    pub fn behaving(
        socket: &Path,
        behaviour: impl Fn(&Message, &mut UnixStream, &mut BufReader<UnixStream>) -> bool + Send + Sync + 'static,
    ) -> Upstream {
        let listener = UnixListener::bind(socket).unwrap_or_else(|why| panic!("{}: {why}", socket.display()));
        let upstream = Upstream { received: Arc::default(), connections: Arc::default() };
        let behaviour: Arc<Behaviour> = Arc::new(behaviour);
        std::thread::spawn({
            let upstream = upstream.clone();
            move || {
                for stream in listener.incoming().map_while(Result::ok) {
                    *upstream.connections.lock().unwrap() += 1;
                    let (upstream, behaviour) = (upstream.clone(), behaviour.clone());
                    std::thread::spawn(move || upstream.serve(stream, &*behaviour));
                }
            }
        });
        upstream
    }

    fn serve(&self, mut stream: UnixStream, behaviour: &Behaviour) {
        let mut reader = BufReader::new(stream.try_clone().unwrap());
        while let Ok(Some(request)) = self.next(&mut stream, &mut reader) {
            self.received.lock().unwrap().push(request.clone());
            if !behaviour(&request, &mut stream, &mut reader) {
                break;
            }
        }
    }

    fn next(
        &self,
        stream: &mut UnixStream,
        reader: &mut BufReader<UnixStream>,
    ) -> std::io::Result<Option<Message>> {
        let Some(mut request) = http::head(reader)? else { return Ok(None) };
        if request.header("expect").is_some_and(|value| value.eq_ignore_ascii_case("100-continue")) {
            stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n")?;
        }
        http::framed_body(reader, &mut request)?;
        Ok(Some(request))
    }

    /// Every complete request so far.
    pub fn received(&self) -> Vec<Message> {
        self.received.lock().unwrap().clone()
    }

    /// Every complete request so far, which are then forgotten.
    pub fn take(&self) -> Vec<Message> {
        std::mem::take(&mut *self.received.lock().unwrap())
    }

    /// `METHOD target` of every complete request so far.
    pub fn asked(&self) -> Vec<String> {
        self.received().iter().map(|request| format!("{} {}", request.method(), request.target())).collect()
    }

    /// Connections so far.
    pub fn connections(&self) -> usize {
        *self.connections.lock().unwrap()
    }
}
