//! Somebody who is connected to a gate that was taken over.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};

use peergate::wire::message::FromGate;

use super::super::support::daemon::Daemon;
use super::super::support::people::person;
use super::super::support::{self, PATIENCE};
use super::world::{On, Who};

/// Somebody who is connected, and pulls the strings of its gate.
pub(super) struct Caller {
    pub(super) who: Who,
    pub(super) on: On,
    pub(super) number: u64,
    pub(super) lane: u16,
    pub(super) relay: Child,
    pub(super) strings: ChildStdin,
    pub(super) told: Receiver<String>,
}

impl Caller {
    pub(super) fn connect(daemon: &Daemon, who: Who, on: On) -> Caller {
        let name = if who == Who::Alice { "pg-alice" } else { "pg-bob" };
        let socket = daemon.path(if on == On::Api { "run/api.sock" } else { "run/side.sock" });
        let script = "import os, socket, sys, threading\ns = socket.socket(socket.AF_UNIX)\ns.connect(sys.argv[1])\n\
                      def back():\n  while True:\n    b = s.recv(65536)\n    if not b: os._exit(0)\n    \
                      sys.stdout.buffer.write(b); sys.stdout.buffer.flush()\n\
                      threading.Thread(target=back).start()\n\
                      for line in sys.stdin.buffer:\n  s.sendall(line)\ns.shutdown(socket.SHUT_RDWR)";
        let mut relay = person(name).command(support::python());
        relay
            .args(["-c", script])
            .arg(socket)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        let mut relay = relay.spawn().unwrap();
        let (strings, said) = (relay.stdin.take().unwrap(), BufReader::new(relay.stdout.take().unwrap()));
        let (tell, told) = mpsc::channel();
        std::thread::spawn(move || said.lines().map_while(Result::ok).try_for_each(|line| tell.send(line)));
        let mut caller = Caller { who, on, number: 0, lane: 0, relay, strings, told };
        let line = caller.hear("connected");
        let words: Vec<&str> = line.split(' ').collect();
        (caller.number, caller.lane) = (words[1].parse().unwrap(), words[2].parse().unwrap());
        caller
    }

    /// The next line that begins so, or `None` where the connection ended.
    pub(super) fn hear_or_end(&self, with: &str) -> Option<String> {
        loop {
            match self.told.recv_timeout(PATIENCE) {
                Ok(line) if line.starts_with(with) => return Some(line),
                Ok(_) => {}
                Err(RecvTimeoutError::Disconnected) => return None,
                Err(RecvTimeoutError::Timeout) => panic!("no `{with}` comes"),
            }
        }
    }

    pub(super) fn hear(&self, with: &str) -> String {
        self.hear_or_end(with).unwrap_or_else(|| panic!("the connection ended before `{with}`"))
    }

    /// Has the gate do this. Where it is gone by now its end is heard instead.
    pub(super) fn pull(&mut self, line: &str) {
        let _ = writeln!(self.strings, "{line}");
    }

    pub(super) fn say(&mut self, lane: u16, message: &FromGate) {
        let hex = hex(&postcard::to_stdvec(message).unwrap());
        self.pull(&format!("say {lane} {hex}"));
    }

    /// Asks, and hears what came of it: `Ok(())`, or the refusal's name; `None` where the gate was ended.
    pub(super) fn ask(&mut self, lane: u16, ticket: u32, message: &FromGate) -> Option<Result<(), String>> {
        self.say(lane, message);
        let line = self.hear_or_end(&format!("answer {ticket} "))?;
        let mut words = line.splitn(4, ' ').skip(2);
        let passed = words.next() == Some("with");
        let result = words.next().unwrap().to_owned();
        assert_eq!(passed, result == "Ok(())", "{line}");
        Some(if passed { Ok(()) } else { Err(result) })
    }

    /// What a backend that was passed says to this.
    pub(super) fn use_backend(&mut self, ticket: u32, bytes: &str) -> String {
        self.pull(&format!("use {ticket} -{}", hex(bytes.as_bytes())));
        self.hear("said")
    }

    pub(super) fn leave(mut self) {
        drop(self.strings);
        self.relay.wait().unwrap();
    }
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
