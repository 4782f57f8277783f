//! Heads as datagrams: to the journal (`systemd.journal-fields(7)`, its native protocol) and to a syslog, over UDP by
//! RFC 5424 and RFC 5426, on this machine as `syslog(3)` writes it, which every daemon behind /dev/log reads.
//!
//! A socket of its own for each head: they are a minute apart, and whoever listens may have been started again.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::Path;

use nix::sys::socket::{
    AddressFamily, MsgFlags, SockFlag, SockType, SockaddrIn, SockaddrIn6, UnixAddr, connect, send, socket,
};

use crate::model::time::Timestamp;

const JOURNAL: &str = "/run/systemd/journal/socket";
/// For `journalctl MESSAGE_ID=`; the manual names it.
const MESSAGE_ID: &str = "37041db90f37e7e133f1fd37180da69e";
/// Facility authpriv (10), severity notice (5).
const PRIORITY: u8 = 10 * 8 + 5;

/// To the journal.
///
/// # Errors
///
/// What the kernel answered: nobody listens, or no room.
pub(super) fn journal(line: &str) -> io::Result<()> {
    let fields = format!(
        "MESSAGE={line}\nPRIORITY=5\nSYSLOG_FACILITY=10\nSYSLOG_IDENTIFIER=peergated\nMESSAGE_ID={MESSAGE_ID}\n"
    );
    to_unix(Path::new(JOURNAL), fields.as_bytes())
}

/// To a syslog on this machine. It is given the time by the daemon that reads it.
///
/// # Errors
///
/// As [`journal`].
pub(super) fn syslog_unix(path: &str, line: &str) -> io::Result<()> {
    let message =
        format!("<{PRIORITY}>{} peergated[{}]: {line}", bsd_time(Timestamp::now()), std::process::id());
    to_unix(Path::new(path), message.as_bytes())
}

/// To a syslog elsewhere.
///
/// # Errors
///
/// What the kernel answered; where nobody listens it knows that from the second head on.
pub(super) fn syslog_udp(address: SocketAddr, line: &str) -> io::Result<()> {
    let host = nix::unistd::gethostname().unwrap_or_default();
    let host: String = host.to_string_lossy().chars().filter(char::is_ascii_graphic).take(255).collect();
    let host = if host.is_empty() { "-" } else { &host };
    let message =
        format!("<{PRIORITY}>1 {} {host} peergated {} head - {line}", Timestamp::now(), std::process::id());
    let family = if address.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 };
    let fd = datagrams(family)?;
    match address {
        SocketAddr::V4(address) => connect(fd.as_raw_fd(), &SockaddrIn::from(address))?,
        SocketAddr::V6(address) => connect(fd.as_raw_fd(), &SockaddrIn6::from(address))?,
    }
    whole(&fd, message.as_bytes())
}

fn to_unix(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let fd = datagrams(AddressFamily::Unix)?;
    connect(fd.as_raw_fd(), &UnixAddr::new(path)?)?;
    whole(&fd, bytes)
}

fn datagrams(family: AddressFamily) -> io::Result<OwnedFd> {
    Ok(socket(family, SockType::Datagram, SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK, None)?)
}

fn whole(fd: &OwnedFd, bytes: &[u8]) -> io::Result<()> {
    let sent = send(fd.as_raw_fd(), bytes, MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL)?;
    if sent == bytes.len() { Ok(()) } else { Err(io::ErrorKind::WriteZero.into()) }
}

/// `Nov  5 03:46:29` (RFC 3164 §4.1.2), in UTC.
fn bsd_time(at: Timestamp) -> String {
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let text = at.to_string();
    let month: usize = text.get(5..7).and_then(|digits| digits.parse().ok()).unwrap_or(1);
    let day: u8 = text.get(8..10).and_then(|digits| digits.parse().ok()).unwrap_or(1);
    let clock = text.get(11..19).unwrap_or("00:00:00");
    format!("{} {day:>2} {clock}", MONTHS.get(month.saturating_sub(1)).unwrap_or(&"Jan"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::UdpSocket;
    use std::os::unix::net::UnixDatagram;

    const HEAD: &str = "peergate-head v1 epoch=3 i=41 ts=2026-11-23T03:46:29.123456Z hash=00 next=11";

    fn heard(receive: impl FnOnce(&mut [u8]) -> io::Result<usize>) -> String {
        let mut buffer = [0; 4096];
        let length = receive(&mut buffer).unwrap();
        String::from_utf8(buffer[..length].to_vec()).unwrap()
    }

    #[test]
    fn syslog_elsewhere_gets_rfc_5424() {
        let server = UdpSocket::bind("127.0.0.1:0").unwrap();
        syslog_udp(server.local_addr().unwrap(), HEAD).unwrap();
        let said = heard(|buffer| server.recv(buffer));
        let words: Vec<&str> = said.splitn(8, ' ').collect();
        assert_eq!(
            (words[0], words[3], words[5], words[6], words[7]),
            ("<85>1", "peergated", "head", "-", HEAD)
        );
        assert_eq!(words[1].len(), 27);
    }

    #[test]
    fn syslog_here_gets_what_the_c_library_writes() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("log");
        let server = UnixDatagram::bind(&path).unwrap();
        syslog_unix(path.to_str().unwrap(), HEAD).unwrap();
        let said = heard(|buffer| server.recv(buffer));
        assert!(
            said.starts_with("<85>") && said.ends_with(&format!("peergated[{}]: {HEAD}", std::process::id()))
        );
        assert_eq!(bsd_time(Timestamp::from_micros(1_762_314_389_000_000)), "Nov  5 03:46:29");
    }

    #[test]
    fn syslog_that_is_not_there_or_does_not_read_is_an_error_at_once() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("log");
        let missing = syslog_unix(path.to_str().unwrap(), HEAD).unwrap_err();
        assert_eq!(missing.kind(), io::ErrorKind::NotFound);
        let _server = UnixDatagram::bind(&path).unwrap();
        let full = std::iter::repeat_with(|| syslog_unix(path.to_str().unwrap(), HEAD)).find_map(Result::err);
        assert_eq!(full.unwrap().kind(), io::ErrorKind::WouldBlock);
    }
}
