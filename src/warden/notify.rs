//! What the service manager is told (`sd_notify(3)`), and how often it wants to hear.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

use nix::sys::socket::{MsgFlags, send};

use crate::sys;

/// Where the words go.
pub(super) enum Notify {
    /// Nobody listens.
    Nobody,
    /// The service manager's socket.
    Socket(UnixDatagram),
    /// A datagram descriptor that our parent gave us.
    Descriptor(OwnedFd),
}

impl Notify {
    /// By the value of `NOTIFY_SOCKET`: a path, or an abstract name written with `@`.
    ///
    /// # Errors
    ///
    /// The name is no address, or nobody is bound to it.
    pub(super) fn by_name(name: Option<&std::ffi::OsStr>) -> io::Result<Notify> {
        let Some(name) = name.filter(|name| !name.is_empty()) else { return Ok(Notify::Nobody) };
        let address = match name.as_bytes() {
            [b'@', rest @ ..] => SocketAddr::from_abstract_name(rest)?,
            _ => SocketAddr::from_pathname(name)?,
        };
        let socket = UnixDatagram::unbound()?;
        socket.connect_addr(&address)?;
        socket.set_nonblocking(true)?;
        Ok(Notify::Socket(socket))
    }

    /// Serving begins, or goes on after a reload.
    pub(super) fn ready(&self) {
        self.say("READY=1");
    }

    /// A reload began; the time lets the manager pair it with the next `READY=1`.
    pub(super) fn reloading(&self) {
        let micros = sys::monotonic().as_micros();
        self.say(&format!("RELOADING=1\nMONOTONIC_USEC={micros}"));
    }

    /// The end began.
    pub(super) fn stopping(&self) {
        self.say("STOPPING=1");
    }

    /// Still there.
    pub(super) fn watchdog(&self) {
        self.say("WATCHDOG=1");
    }

    /// One line for `systemctl status`.
    pub(super) fn status(&self, line: &str) {
        self.say(&format!("STATUS={line}"));
    }

    fn say(&self, words: &str) {
        let sent = match self {
            Notify::Nobody => return,
            Notify::Socket(socket) => socket.send(words.as_bytes()),
            Notify::Descriptor(fd) => {
                send(fd.as_raw_fd(), words.as_bytes(), MsgFlags::MSG_NOSIGNAL | MsgFlags::MSG_DONTWAIT)
                    .map_err(io::Error::from)
            }
        };
        // A manager that does not listen is its own loss; the warden never waits for it.
        if let Err(error) = sent {
            tracing::debug!(%error, "the service manager could not be told");
        }
    }
}

/// How often to say [`Notify::watchdog`]: twice in the time of `WATCHDOG_USEC`, and only where `WATCHDOG_PID`
/// is absent or our own.
pub(super) fn watchdog_interval(usec: Option<&str>, pid: Option<&str>, own: u32) -> Option<Duration> {
    if pid.is_some_and(|pid| pid.parse() != Ok(own)) {
        return None;
    }
    let usec: u64 = usec?.parse().ok()?;
    (usec > 0).then(|| Duration::from_micros((usec / 2).max(1)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notify_socket_hears_the_words() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("notify");
        let manager = UnixDatagram::bind(&path).unwrap();
        let notify = Notify::by_name(Some(path.as_os_str())).unwrap();
        notify.ready();
        notify.reloading();
        let hear = || {
            let mut buffer = [0; 128];
            let length = manager.recv(&mut buffer).unwrap();
            String::from_utf8(buffer[..length].to_vec()).unwrap()
        };
        assert_eq!(hear(), "READY=1");
        assert!(hear().starts_with("RELOADING=1\nMONOTONIC_USEC="));
        assert!(matches!(Notify::by_name(None), Ok(Notify::Nobody)));
    }

    #[test]
    fn watchdog_interval_is_half_and_only_for_us() {
        assert_eq!(watchdog_interval(Some("2000000"), None, 7), Some(Duration::from_secs(1)));
        assert_eq!(watchdog_interval(Some("2000000"), Some("7"), 7), Some(Duration::from_secs(1)));
        assert_eq!(watchdog_interval(Some("2000000"), Some("8"), 7), None);
        assert_eq!(watchdog_interval(Some("0"), None, 7), None);
        assert_eq!(watchdog_interval(Some("soon"), None, 7), None);
        assert_eq!(watchdog_interval(None, None, 7), None);
    }
}
