//! A role of a running daemon under strace, which delays, fails or ends it at a system call of our choice.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

use super::daemon::Daemon;

/// The role's process, as its last start is on record.
pub fn process(daemon: &Daemon, role: &str) -> Pid {
    let started =
        |record: &Value| record["t"] == "gate" && record["role"] == role && record["event"] == "started";
    let last = daemon.records().into_iter().rfind(started).unwrap_or_else(|| panic!("no {role} was started"));
    Pid::from_raw(i32::try_from(last["pid"].as_i64().unwrap()).unwrap())
}

/// The thread of that name.
pub fn thread(pid: Pid, name: &str) -> Pid {
    for task in std::fs::read_dir(format!("/proc/{pid}/task")).unwrap() {
        let task = task.unwrap();
        if std::fs::read_to_string(task.path().join("comm")).unwrap().trim() == name {
            return Pid::from_raw(task.file_name().to_str().unwrap().parse().unwrap());
        }
    }
    panic!("{pid} has no thread {name}");
}

/// A strace that is attached; it lets go when dropped.
pub struct Strace(Child, Receiver<()>);

impl Strace {
    /// Attaches with these arguments (`-f` for all threads) and waits until it is there.
    pub fn attach(pid: Pid, arguments: &[&str]) -> Strace {
        let mut strace = Command::new("strace");
        strace.args(arguments).args(["-p", &pid.to_string()]);
        strace.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = strace.spawn().unwrap();
        let mut stderr = BufReader::new(child.stderr.take().unwrap());
        let mut line = String::new();
        while !line.contains("attached") {
            line.clear();
            assert!(stderr.read_line(&mut line).unwrap() > 0, "strace {arguments:?} -p {pid} did not attach");
        }
        // What it says later must not stop it; it says nothing more once it has ended.
        let (ends, ended) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            let _ = std::io::copy(&mut stderr, &mut std::io::sink());
            let _ = ends.send(());
        });
        Strace(child, ended)
    }

    /// Waits until it ends because there is nothing left to trace, but not for ever. Whether it does.
    pub fn ends(&self) -> bool {
        // Nobody is left to say it, where it was said before.
        !matches!(self.1.recv_timeout(Duration::from_secs(5)), Err(RecvTimeoutError::Timeout))
    }

    /// Waits until it ends because there is nothing left to trace.
    pub fn wait(mut self) {
        self.0.wait().unwrap();
    }
}

impl Drop for Strace {
    fn drop(&mut self) {
        if self.0.try_wait().is_ok_and(|ended| ended.is_none()) {
            let _ = kill(Pid::from_raw(self.0.id().cast_signed()), Signal::SIGTERM);
            // It waits for ever for a leader that has died and whose other threads are dead too, and not yet waited for. The
            // kernel lets go of what a dead tracer held.
            if !self.ends() {
                let _ = self.0.kill();
            }
            let _ = self.0.wait();
        }
    }
}
