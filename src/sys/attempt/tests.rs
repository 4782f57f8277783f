use std::fs::File;
use std::io::{Read, Seek, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;

use super::*;
use crate::sys::datagram;
use crate::sys::testing::fork;

fn means() -> Means {
    let (client, _other) = UnixStream::pair().unwrap();
    let mut log = tempfile::tempfile().unwrap();
    log.write_all(b"a record").unwrap();
    let key = CString::new("/nowhere/at/all").unwrap();
    let pid = std::process::id();
    Means { log: log.into(), client: client.into(), warden: pid, other: pid, segment: key.clone(), key }
}

/// So that a row which finds SIGSYS has found the filter, and not a call that could not work anyway.
#[test]
fn attempts_unconfined_get_through() {
    let means = means();
    for (attempt, name) in [
        (calls::OPEN_READ, "open"),
        (calls::OPEN_WRITE, "write"),
        (calls::OPEN_PROC, "proc"),
        (calls::OPENAT2, "openat2"),
        (calls::SOCKET_UNIX, "socket"),
        (calls::CLONE, "clone"),
        (calls::FORK, "fork"),
        (calls::VFORK, "vfork"),
        (calls::KILL, "kill"),
        (calls::KILL_THREAD, "tgkill"),
        (calls::READ_MEMORY, "process_vm_readv"),
        (calls::PIDFD, "pidfd_open"),
        (calls::MAP_CODE, "mmap"),
        (calls::MAKE_CODE, "mprotect"),
        (calls::MEMFD, "memfd_create"),
        (calls::PERSONALITY, "personality"),
        (calls::LIMITS, "prlimit64"),
        (calls::READ_LOG, "pread64"),
        (calls::PWRITE_NOAPPEND, "pwritev2"),
        (calls::DROP_APPEND, "fcntl"),
        (calls::LOCK, "fcntl"),
        (calls::SYNC, "fdatasync"),
        (calls::TRUNCATE, "ftruncate"),
        (calls::SET_OWNER, "fcntl"),
        (calls::SET_SOCKET, "setsockopt"),
        (calls::CHMOD, "fchmod"),
    ] {
        assert_eq!(attempt.make(&means), Ok(()), "{name}");
    }
    assert_eq!(calls::CLONE_NAMESPACE.make(&means), Err(Errno::EINVAL));
    // Whether or not a Docker daemon listens here.
    assert!(matches!(
        calls::CONNECT_DOCKER.make(&means),
        Err(Errno::EISCONN | Errno::ENOENT | Errno::ECONNREFUSED)
    ));
    assert_eq!(calls::RENAME.make(&means), Err(Errno::ENOENT));
}

#[test]
fn attempt_to_exec_gets_through() {
    let means = means();
    let child = fork(&[means.log.as_fd(), means.client.as_fd()], || {
        calls::EXEC.make(&means).unwrap();
        std::process::abort();
    });
    assert!(child.succeeded());
}

#[test]
fn attempt_to_give_the_log_away_gives_it() {
    let (client, other) = datagram::pair().unwrap();
    let means = Means { client, ..means() };
    calls::SEND_RIGHTS.make(&means).unwrap();
    let got = datagram::receive(other.as_fd(), &mut [0; 64], true).unwrap();
    let mut log = File::from(got.descriptors.into_iter().next().unwrap());
    let mut text = String::new();
    log.rewind().unwrap();
    log.read_to_string(&mut text).unwrap();
    assert_eq!(text, "a record");
}
