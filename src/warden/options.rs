//! What the command line and the environment say, read once at the edge.

use std::ffi::{CString, OsString};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use crate::confine::Terms;
use crate::model::app::Declared;

/// How to run.
#[derive(Debug)]
pub struct Options {
    /// The policy's file.
    pub policy: PathBuf,
    /// What `@runtime` stands for in the policy's paths; only a demo has one.
    pub runtime: Option<PathBuf>,
    /// Which layers of confinement may be missing, and what a violation does.
    pub terms: Terms,
    /// The apps of the program, where it embeds the library.
    pub apps: Vec<Declared>,
    /// Go on behind a record that is damaged, and put that on record.
    pub accept_damage: bool,
    /// What the surroundings say.
    pub environment: Environment,
    /// Where to say what `sd_notify(3)` says, instead of `NOTIFY_SOCKET`: a datagram descriptor.
    pub notify: Option<OwnedFd>,
}

/// The environment variables that mean something to the daemon.
#[derive(Debug, Clone, Default)]
pub struct Environment {
    /// `NOTIFY_SOCKET` (`sd_notify(3)`).
    pub notify_socket: Option<OsString>,
    /// `WATCHDOG_USEC` (`sd_watchdog_enabled(3)`).
    pub watchdog_usec: Option<String>,
    /// `WATCHDOG_PID`.
    pub watchdog_pid: Option<String>,
    /// `LISTEN_PID` (`sd_listen_fds(3)`).
    pub listen_pid: Option<OsString>,
    /// `LISTEN_FDS`.
    pub listen_fds: Option<OsString>,
    /// `LISTEN_FDNAMES`.
    pub listen_names: Option<OsString>,
    /// `XDG_RUNTIME_DIR`, where a user's daemon has its sockets.
    pub runtime_directory: Option<PathBuf>,
    /// `XDG_STATE_HOME`, where a user's daemon has its log.
    pub state_home: Option<PathBuf>,
    /// `PEERGATE_RUNNER`: the socket at which the service manager starts runners.
    pub runner: Option<PathBuf>,
    /// `HOME`.
    pub home: Option<PathBuf>,
}

impl Environment {
    /// The process's own.
    pub fn read() -> Environment {
        let text = |name| std::env::var(name).ok();
        let path = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        Environment {
            notify_socket: std::env::var_os("NOTIFY_SOCKET"),
            watchdog_usec: text("WATCHDOG_USEC"),
            watchdog_pid: text("WATCHDOG_PID"),
            listen_pid: std::env::var_os("LISTEN_PID"),
            listen_fds: std::env::var_os("LISTEN_FDS"),
            listen_names: std::env::var_os("LISTEN_FDNAMES"),
            runtime_directory: path("XDG_RUNTIME_DIR"),
            state_home: path("XDG_STATE_HOME"),
            runner: path("PEERGATE_RUNNER").filter(|path| path.is_absolute()),
            home: path("HOME"),
        }
    }
    /// Where a user's daemon has its sockets: `$XDG_RUNTIME_DIR`, else `/run/user/UID`.
    pub fn runtime_home(&self, uid: u32) -> String {
        match &self.runtime_directory {
            Some(directory) if directory.is_absolute() => directory.to_string_lossy().into_owned(),
            _ => format!("/run/user/{uid}"),
        }
    }

    /// Where a user's daemon has its log: `$XDG_STATE_HOME`, else `~/.local/state`.
    pub fn state_home(&self) -> String {
        let home = || self.home.as_ref().map(|home| home.join(".local/state"));
        let state = self.state_home.clone().filter(|path| path.is_absolute()).or_else(home);
        state.unwrap_or_else(|| PathBuf::from("/var/lib/peergate")).to_string_lossy().into_owned()
    }

    /// The variables that the loader needs to say where a user's daemon lives.
    pub(super) fn places(&self) -> Vec<CString> {
        let places = [
            ("XDG_RUNTIME_DIR", &self.runtime_directory),
            ("XDG_STATE_HOME", &self.state_home),
            ("HOME", &self.home),
        ];
        let variable = |(name, value): (&str, &Option<PathBuf>)| {
            let mut variable = format!("{name}=").into_bytes();
            variable.extend(value.as_ref()?.as_os_str().as_bytes());
            // No environment can hold a NUL.
            CString::new(variable).ok()
        };
        places.into_iter().filter_map(variable).collect()
    }
}
