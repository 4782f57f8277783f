//! A program for `tests/embed/taken.rs` whose gates are taken over: started as a gate it is a puppet of whoever is
//! connected to it, instead of one. It gives up nothing, reads no HTTP, and says to the warden whatever bytes its callers
//! tell it. All other roles are the library's. That this can't be had of the program that is shipped needs no proof: there
//! is nothing of it in there.
//!
//! A caller writes lines, and reads what the warden said, and how its own wishes went:
//!
//! | line | what |
//! |---|---|
//! | `say LANE HEX` | these bytes go to the warden as one message |
//! | `pass LANE HEX` | the same with a descriptor beside it |
//! | `use TICKET -HEX` | these bytes go to the backend that the warden passed under that ticket; its first answer is told |
//! | `mute` | nothing that the warden says is read from now on; `hear` ends that |

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test's"
)]
#![allow(clippy::disallowed_methods, clippy::disallowed_macros, reason = "a program of its own")]

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::process::ExitCode;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use peergate::axum::Router;
use peergate::model::posture::Confinement;
use peergate::sys::{datagram, process};
use peergate::wire::channel::Channel;
use peergate::wire::message::{FromGate, ToGate};
use peergate::{App, Server};

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().collect();
    match words.get(1).map(String::as_str) {
        Some("@gate") => Puppet::new(words[2].parse().unwrap()).serve(),
        _ => Server::new().app("quiet", App::new(|_setup| Router::new())).run(),
    }
}

/// Somebody who pulls the strings.
struct Caller {
    lane: usize,
    socket: UnixStream,
    lines: BufReader<UnixStream>,
}

struct Puppet {
    lanes: Vec<Channel>,
    drained: usize,
    callers: HashMap<u64, Caller>,
    backends: HashMap<u32, File>,
    deaf: bool,
}

impl Puppet {
    fn new(lanes: usize) -> Puppet {
        let mut given = process::inherited(lanes + 1).unwrap();
        given.truncate(lanes);
        let lanes = given.into_iter().map(Channel::from).collect();
        Puppet { lanes, drained: 0, callers: HashMap::new(), backends: HashMap::new(), deaf: false }
    }

    fn serve(mut self) -> ExitCode {
        while self.drained < self.lanes.len() {
            let (lanes, callers) = self.news();
            for lane in lanes {
                self.hear(lane);
            }
            for number in callers {
                self.obey(number);
            }
        }
        ExitCode::SUCCESS
    }

    /// Which lanes and which callers have something to say.
    fn news(&self) -> (Vec<usize>, Vec<u64>) {
        let numbers: Vec<u64> = self.callers.keys().copied().collect();
        let lanes: Vec<usize> = if self.deaf { Vec::new() } else { (0..self.lanes.len()).collect() };
        let listened = lanes.iter().map(|lane| self.lanes[*lane].as_fd());
        let all = listened.chain(numbers.iter().map(|number| self.callers[number].socket.as_fd()));
        let mut fds: Vec<_> = all.map(|fd| PollFd::new(fd, PollFlags::POLLIN)).collect();
        poll(&mut fds, PollTimeout::NONE).unwrap();
        let has_news = |fd: &PollFd<'_>| fd.revents().is_some_and(|flags| !flags.is_empty());
        let (of_lanes, of_callers) = fds.split_at(lanes.len());
        let heard = lanes.iter().zip(of_lanes).filter(|(_, fd)| has_news(fd)).map(|(lane, _)| *lane);
        let called = numbers.iter().zip(of_callers).filter(|(_, fd)| has_news(fd)).map(|(number, _)| *number);
        (heard.collect(), called.collect())
    }

    /// The warden said something. What belongs to a gate's life is done as any gate does it.
    fn hear(&mut self, lane: usize) {
        let (message, descriptors) = match self.lanes[lane].receive::<ToGate>() {
            Ok(Some(said)) => said,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return,
            // The warden is gone, and so are we.
            Ok(None) | Err(_) => std::process::exit(0),
        };
        let socket = descriptors.into_iter().next();
        match message {
            ToGate::Start { .. } => {
                self.tell(lane, &FromGate::Ready { confined: Box::<Confinement>::default() });
            }
            ToGate::Policy { generation } => self.tell(lane, &FromGate::Adopted { generation }),
            ToGate::Segment { .. } => self.tell(lane, &FromGate::Switched),
            ToGate::Connection { number, .. } => self.called(lane, number, socket.unwrap()),
            ToGate::Ended { number } => {
                self.callers.remove(&number);
            }
            ToGate::Backend { ticket, result } => self.answered(ticket, &format!("{result:?}"), socket),
            ToGate::Drain { .. } => {
                self.tell(lane, &FromGate::Drained);
                self.drained += 1;
            }
            ToGate::Reserved { .. } | ToGate::Durable | ToGate::Recordable { .. } | ToGate::Try(_) => {}
        }
    }

    fn tell(&self, lane: usize, message: &FromGate) {
        self.lanes[lane].send(message, &[]).unwrap();
    }

    fn called(&mut self, lane: usize, number: u64, socket: OwnedFd) {
        let socket = UnixStream::from(socket);
        socket.set_nonblocking(false).unwrap();
        let lines = BufReader::new(socket.try_clone().unwrap());
        self.callers.insert(number, Caller { lane, socket, lines });
        self.told(number, &format!("connected {number} {lane}"));
    }

    fn answered(&mut self, ticket: u32, result: &str, socket: Option<OwnedFd>) {
        let passed = if socket.is_some() { "with" } else { "without" };
        if let Some(socket) = socket {
            self.backends.insert(ticket, File::from(socket));
        }
        let numbers: Vec<u64> = self.callers.keys().copied().collect();
        for number in numbers {
            self.told(number, &format!("answer {ticket} {passed} {result}"));
        }
    }

    fn told(&self, number: u64, line: &str) {
        // Whoever has left reads nothing.
        let _ = writeln!(&self.callers[&number].socket, "{line}");
    }

    /// A caller wrote a line, or has left.
    fn obey(&mut self, number: u64) {
        let Some(caller) = self.callers.get_mut(&number) else { return };
        // More than one may be in the buffer by then.
        loop {
            let mut line = String::new();
            if caller.lines.read_line(&mut line).unwrap_or(0) == 0 {
                let _ = caller.socket.shutdown(std::net::Shutdown::Both);
                self.callers.remove(&number);
                return;
            }
            let words: Vec<&str> = line.split_whitespace().collect();
            let own = caller.lane;
            let lane = |word: &str| word.parse::<usize>().unwrap_or(own);
            match words.as_slice() {
                ["say" | "pass", to, hex] => {
                    let beside = [caller.socket.as_fd()];
                    let descriptors = if words[0] == "pass" { &beside[..] } else { &[] };
                    let to = self.lanes[lane(to)].as_fd();
                    if let Err(error) = datagram::transmit(to, &bytes(hex), descriptors) {
                        writeln!(&caller.socket, "unsaid {:?}", error.kind()).unwrap();
                    }
                }
                ["use", ticket, hex] => {
                    let hex = hex.trim_start_matches('-');
                    let said = self
                        .backends
                        .remove(&ticket.parse().unwrap())
                        .map(|backend| talk(backend, &bytes(hex)));
                    writeln!(&caller.socket, "said {said:?}").unwrap();
                }
                ["mute"] => self.deaf = true,
                ["hear"] => self.deaf = false,
                other => panic!("{other:?}"),
            }
            if caller.lines.buffer().is_empty() {
                return;
            }
        }
    }
}

fn talk(mut backend: File, bytes: &[u8]) -> String {
    // It may have said all that it says, and be gone.
    let _ = backend.write_all(bytes);
    poll(&mut [PollFd::new(backend.as_fd(), PollFlags::POLLIN)], PollTimeout::NONE).unwrap();
    let mut said = [0; 4096];
    let length = backend.read(&mut said).unwrap();
    String::from_utf8_lossy(&said[..length]).into_owned()
}

fn bytes(hex: &str) -> Vec<u8> {
    hex.as_bytes()
        .chunks(2)
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
        .collect()
}
