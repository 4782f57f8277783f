use std::ffi::OsStr;
use std::fs;
use std::io::{Read, Write};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt, symlink};
use std::os::unix::net::{SocketAddr, UnixDatagram, UnixListener, UnixStream};

use nix::sys::socket::{getsockopt, sockopt};
use nix::unistd::mkfifo;

use super::*;
use crate::sys::receive::receive;
use crate::sys::testing::{STRANGER, change_mode, change_owner, directory, fork, is_root, mode, turns};

fn wanted(path: &Path) -> Wanted<'_> {
    Wanted { path, mode: 0o660, uid: None, gid: None }
}

/// Which rule of the path was broken.
fn rule(refused: Result<Listener, Refused>) -> Rule {
    match refused.unwrap_err() {
        Refused::Path(judged) => judged.rule,
        other => panic!("{other:?}"),
    }
}

/// What is wrong with a socket that was handed over.
fn why(refused: Result<Listener, Refused>) -> &'static str {
    match refused.unwrap_err() {
        Refused::Activated { why, .. } => why,
        other => panic!("{other:?}"),
    }
}

fn handed(fd: impl Into<OwnedFd>) -> Activated {
    Activated { name: None, fd: fd.into() }
}

/// Bound, and callers can connect.
fn listening(wanted: &Wanted<'_>) -> Listener {
    let listener = Listener::bind(wanted).unwrap();
    listener.listen().unwrap();
    listener
}

#[test]
fn listener_bound_lets_nobody_in_before_it_listens() {
    let (_keep, here) = directory();
    let path = here.join("a.sock");
    let listener = Listener::bind(&wanted(&path)).unwrap();
    assert_eq!(UnixStream::connect(&path).unwrap_err().kind(), io::ErrorKind::ConnectionRefused);
    listener.listen().unwrap();
    UnixStream::connect(&path).unwrap();
}

#[test]
fn listener_has_mode_group_and_directory_as_asked_under_any_umask() {
    for mask in [0, 0o022, 0o777] {
        let (_keep, here) = directory();
        let path = here.join("run/docker.sock");
        let child = fork(&[], || {
            crate::sys::umask(mask);
            let gid = is_root("another group").then_some(STRANGER);
            let _listener = Listener::bind(&Wanted { path: &path, mode: 0o660, uid: None, gid }).unwrap();
            let socket = fs::symlink_metadata(&path).unwrap();
            assert!(socket.file_type().is_socket());
            assert_eq!((mode(&path), mode(&here.join("run"))), (0o660, 0o711));
            assert_eq!(mode(&here.join("run/.docker.sock.lock")), 0o600);
            assert!(gid.is_none_or(|gid| socket.gid() == gid));
        });
        assert!(child.succeeded(), "umask {mask:o}");
    }
}

#[test]
fn listener_name_is_narrow_before_it_is_owned_without_any_umask() {
    let (_keep, here) = directory();
    let path = here.join("a.sock");
    let child = fork(&[], || {
        crate::sys::umask(0);
        let fd = socket(AddressFamily::Unix, SockType::Stream, SockFlag::empty(), None).unwrap();
        fchmod(&fd, Mode::S_IRUSR | Mode::S_IWUSR).unwrap();
        bind(fd.as_raw_fd(), &UnixAddr::new(&path).unwrap()).unwrap();
        assert_eq!(mode(&path), 0o600);
    });
    assert!(child.succeeded());
}

#[test]
fn listener_accepts_nonblocking_connections_whose_reads_carry_the_sender() {
    let (_keep, here) = directory();
    let path = here.join("a.sock");
    let listener = listening(&wanted(&path));
    assert_eq!(listener.accept().unwrap_err().kind(), io::ErrorKind::WouldBlock);
    let mut client = UnixStream::connect(&path).unwrap();
    let connection = listener.accept().unwrap();
    assert_eq!(receive(connection.as_fd(), &mut [0; 8]).unwrap_err().kind(), io::ErrorKind::WouldBlock);
    client.write_all(b"hello").unwrap();
    let received = receive(connection.as_fd(), &mut [0; 8]).unwrap();
    let us = nix::unistd::getuid().as_raw();
    assert_eq!((received.bytes, received.sender, received.truncated), (5, Some(us), false));
}

#[test]
fn listener_dropped_leaves_nothing() {
    let (_keep, here) = directory();
    let listener = listening(&wanted(&here.join("a.sock")));
    assert_eq!(fs::read_dir(&here).unwrap().count(), 2);
    drop(listener);
    assert_eq!(fs::read_dir(&here).unwrap().count(), 0);
}

#[test]
fn listener_dropped_leaves_what_took_its_name() {
    let (_keep, here) = directory();
    let path = here.join("a.sock");
    let listener = listening(&wanted(&path));
    fs::rename(&path, here.join("moved")).unwrap();
    let _other = UnixListener::bind(&path).unwrap();
    drop(listener);
    assert!(path.exists());
}

#[test]
fn listener_path_longer_than_a_socket_address_works() {
    let (_keep, here) = directory();
    let path = here.join("d".repeat(120)).join("a.sock");
    let listener = listening(&wanted(&path));
    let connecting = trusted::connect_unix(&path, None).unwrap();
    assert!(matches!(connecting, trusted::Connecting::Connected(_)));
    listener.accept().unwrap();
}

#[test]
fn second_daemon_is_refused_and_harms_nothing() {
    let (_keep, here) = directory();
    let path = here.join("a.sock");
    let first = listening(&wanted(&path));
    let before = fs::symlink_metadata(&path).unwrap();
    let child = fork(&[], || match Listener::bind(&wanted(&path)).unwrap_err() {
        Refused::Locked { lock } => assert_eq!(lock, here.join(".a.sock.lock")),
        other => panic!("{other:?}"),
    });
    assert!(child.succeeded());
    let after = fs::symlink_metadata(&path).unwrap();
    assert_eq!((before.ino(), before.mode()), (after.ino(), after.mode()));
    let _client = UnixStream::connect(&path).unwrap();
    first.accept().unwrap();
}

#[test]
fn stale_socket_and_lock_of_a_killed_daemon_are_replaced() {
    let (_keep, here) = directory();
    let path = here.join("a.sock");
    let (ours, theirs) = turns();
    let daemon = fork(&[theirs.0.as_fd()], || {
        let _listener = listening(&wanted(&path));
        theirs.pass();
        theirs.wait();
    });
    ours.wait();
    daemon.kill();
    assert_eq!(fs::read_dir(&here).unwrap().count(), 2, "nobody has tidied up");
    let listener = listening(&wanted(&path));
    let _client = UnixStream::connect(&path).unwrap();
    listener.accept().unwrap();
}

#[test]
fn socket_of_a_service_without_our_lock_is_left_alone() {
    let (_keep, here) = directory();
    let path = here.join("a.sock");
    let other = UnixListener::bind(&path).unwrap();
    assert!(matches!(Listener::bind(&wanted(&path)), Err(Refused::InUse { .. })));
    drop(other);
    fs::remove_file(&path).unwrap();
    let _datagram = UnixDatagram::bind(&path).unwrap();
    assert!(matches!(Listener::bind(&wanted(&path)), Err(Refused::InUse { .. })));
    assert!(path.exists());
}

#[test]
fn other_things_at_the_name_are_refused_and_stay() {
    let (_keep, here) = directory();
    let path = here.join("a.sock");
    let refused = |found| {
        assert_eq!(rule(Listener::bind(&wanted(&path))), Rule::Kind { wanted: "socket", found });
        assert!(fs::symlink_metadata(&path).is_ok(), "the {found} is still there");
        assert!(!here.join(".a.sock.lock").exists(), "the lock is not");
    };
    fs::write(&path, "text").unwrap();
    refused("regular file");
    fs::remove_file(&path).unwrap();
    mkfifo(&path, Mode::S_IRUSR).unwrap();
    refused("FIFO");
    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    refused("directory");
    fs::remove_dir(&path).unwrap();
    let _real = UnixListener::bind(here.join("real.sock")).unwrap();
    symlink("real.sock", &path).unwrap();
    assert_eq!(rule(Listener::bind(&wanted(&path))), Rule::Link { leads_to: None });
    assert!(here.join("real.sock").exists());
}

#[test]
fn lock_that_is_a_link_or_another_kind_is_refused() {
    let (_keep, here) = directory();
    let (path, lock) = (here.join("a.sock"), here.join(".a.sock.lock"));
    symlink("victim", &lock).unwrap();
    assert_eq!(rule(Listener::bind(&wanted(&path))), Rule::Link { leads_to: None });
    assert!(!here.join("victim").exists());
    fs::remove_file(&lock).unwrap();
    mkfifo(&lock, Mode::S_IRUSR | Mode::S_IWUSR).unwrap();
    let kind = Rule::Kind { wanted: "regular file", found: "FIFO" };
    assert_eq!(rule(Listener::bind(&wanted(&path))), kind);
    if is_root("giving a file away") {
        fs::remove_file(&lock).unwrap();
        fs::write(&lock, "").unwrap();
        change_owner(&lock, STRANGER, 0);
        let owner = Rule::Owner { found: STRANGER, allowed: vec![0] };
        assert_eq!(rule(Listener::bind(&wanted(&path))), owner);
    }
}

#[test]
fn directories_that_others_can_change_are_refused() {
    let (_keep, here) = directory();
    fs::create_dir(here.join("run")).unwrap();
    let path = here.join("run/a.sock");
    for bits in [0o777, 0o771, 0o731, 0o1777] {
        change_mode(&here.join("run"), bits);
        assert_eq!(rule(Listener::bind(&wanted(&path))), Rule::Writable { mode: bits });
    }
    change_mode(&here.join("run"), 0o755);
    symlink("run", here.join("link")).unwrap();
    let refused = rule(Listener::bind(&wanted(&here.join("link/a.sock"))));
    assert_eq!(refused, Rule::Link { leads_to: Some(here.join("run")) });
    if is_root("giving a directory away") {
        change_owner(&here.join("run"), STRANGER, 0);
        let owner = Rule::Owner { found: STRANGER, allowed: vec![0] };
        assert_eq!(rule(Listener::bind(&wanted(&path))), owner);
    }
    assert_eq!(fs::read_dir(here.join("run")).unwrap().count(), 0);
}

#[test]
fn abstract_and_relative_paths_are_refused() {
    for path in ["\0peergate", "@peergate", "peergate.sock", "./a.sock", "/tmp/../a.sock"] {
        assert_eq!(rule(Listener::bind(&wanted(Path::new(path)))), Rule::Spelling, "{path:?}");
    }
}

#[test]
fn handed_over_socket_as_the_policy_wants_it_is_adopted_and_left() {
    let (_keep, here) = directory();
    let path = here.join("a.sock");
    let made = UnixListener::bind(&path).unwrap();
    change_mode(&path, 0o660);
    // It connected, and wrote, before we were there.
    let mut client = UnixStream::connect(&path).unwrap();
    client.write_all(b"hello").unwrap();
    let activated = handed(made);
    assert_eq!(activated.path().as_deref(), Some(path.as_path()));
    let listener = Listener::adopt(activated, &wanted(&path)).unwrap();
    assert_eq!(getsockopt(&listener, sockopt::PassCred), Ok(true));
    let connection = listener.accept().unwrap();
    assert_eq!(listener.accept().unwrap_err().kind(), io::ErrorKind::WouldBlock);
    let received = receive(connection.as_fd(), &mut [0; 8]).unwrap();
    assert_eq!((received.bytes, received.sender), (5, Some(nix::unistd::getuid().as_raw())));
    drop(listener);
    assert!(path.exists(), "it is the service manager's");
}

#[test]
fn handed_over_socket_of_another_kind_is_refused() {
    let (_keep, here) = directory();
    let path = here.join("a.sock");
    let wanted = wanted(&path);
    let refused = |fd: OwnedFd| why(Listener::adopt(handed(fd), &wanted));

    let tcp = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    assert_eq!(refused(tcp.into()), "it is no Unix socket (AF_UNIX)");
    assert_eq!(refused(fs::File::open("/dev/null").unwrap().into()), "it is no Unix socket (AF_UNIX)");
    let datagram = UnixDatagram::bind(here.join("d.sock")).unwrap();
    assert_eq!(refused(datagram.into()), "it is no stream socket (ListenStream=)");
    let (pair, _other) = UnixStream::pair().unwrap();
    assert_eq!(refused(pair.into()), "it does not listen (Accept=no)");
    let name = SocketAddr::from_abstract_name(format!("peergate-test-{}", std::process::id())).unwrap();
    let listener = UnixListener::bind_addr(&name).unwrap();
    assert_eq!(refused(listener.into()), "it is an abstract socket, which has no mode and no owner");
    let unnamed = socket(AddressFamily::Unix, SockType::Stream, SockFlag::empty(), None).unwrap();
    // SAFETY: integers only. The kernel lets an unbound Unix socket listen, or does not: both are refusals.
    if unsafe { libc::listen(unnamed.as_raw_fd(), 1) } == 0 {
        assert_eq!(refused(unnamed), "it is bound to no path");
    }
    let elsewhere = UnixListener::bind(here.join("b.sock")).unwrap();
    assert_eq!(refused(elsewhere.into()), "it is bound to another path");
}

#[test]
fn handed_over_socket_with_wrong_name_mode_or_group_is_refused() {
    let (_keep, here) = directory();
    let path = here.join("a.sock");
    let made = UnixListener::bind(&path).unwrap();
    let adopt = |wanted: &Wanted<'_>| Listener::adopt(handed(made.try_clone().unwrap()), wanted);
    change_mode(&path, 0o666);
    assert_eq!(rule(adopt(&wanted(&path))), Rule::Mode { found: 0o666, wanted: 0o660 });
    change_mode(&path, 0o660);
    let gid = fs::metadata(&path).unwrap().gid();
    let other = Wanted { path: &path, mode: 0o660, uid: None, gid: Some(gid + 1) };
    assert_eq!(rule(adopt(&other)), Rule::Group { found: gid, wanted: gid + 1 });
    change_mode(&here, 0o777);
    assert_eq!(rule(adopt(&wanted(&path))), Rule::Writable { mode: 0o777 });
    change_mode(&here, 0o755);
    if is_root("giving a socket away, and asking what is bound") {
        change_owner(&path, STRANGER, gid);
        let owner = Rule::Owner { found: STRANGER, allowed: vec![0] };
        assert_eq!(rule(adopt(&wanted(&path))), owner);
        // Another socket, of ours and with the right mode, has taken the name.
        fs::remove_file(&path).unwrap();
        let _other = UnixListener::bind(&path).unwrap();
        change_mode(&path, 0o660);
        let stale = Rule::Kernel { step: "find our own socket at", errno: libc::ESTALE };
        assert_eq!(rule(adopt(&wanted(&path))), stale);
    }
}

#[test]
fn handed_over_descriptors_are_taken_once_and_only_by_who_they_are_for() {
    let (_keep, here) = directory();
    let made = UnixListener::bind(here.join("a.sock")).unwrap();
    let child = fork(&[made.as_fd()], || {
        // SAFETY: integers only; nothing in this process owns descriptor 3 (fork closed it, or it is `made`).
        assert!(unsafe { libc::dup2(made.as_raw_fd(), 3) } == 3);
        let us = std::process::id().to_string();
        let (us, other) = (OsStr::new(&us), OsStr::new("1"));
        let take = |pid, names| activated(Some(pid), Some(OsStr::new("1")), names);
        assert!(take(other, None).unwrap().is_empty());
        let taken = take(us, Some(OsStr::new("docker"))).unwrap();
        assert_eq!(taken.len(), 1);
        assert_eq!(taken[0].name.as_deref(), Some("docker"));
        assert_eq!(taken[0].path(), Some(here.join("a.sock")));
        assert!(take(us, None).unwrap().is_empty(), "the second time");
        std::mem::forget(taken);
    });
    assert!(child.succeeded());
}

#[test]
fn handed_over_variables_that_do_not_fit_are_refused() {
    let us = std::process::id().to_string();
    let us = Some(OsStr::new(&us));
    let wrong =
        |pid, fds, names: Option<&str>| match activated(pid, Some(OsStr::new(fds)), names.map(OsStr::new)) {
            Err(Refused::Activated { why, .. }) => why,
            other => panic!("{other:?}"),
        };
    assert_eq!(wrong(Some(OsStr::new("+1")), "1", None), "LISTEN_PID is not a number");
    for fds in ["", "-1", "x", "70000"] {
        assert_eq!(wrong(us, fds, None), "LISTEN_FDS is not a number", "{fds:?}");
    }
    let names = "LISTEN_FDNAMES does not name as many descriptors as LISTEN_FDS counts";
    assert_eq!(wrong(us, "2", Some("a")), names);
    assert!(activated(None, Some(OsStr::new("1")), None).unwrap().is_empty());
    assert!(activated(us, None, None).unwrap().is_empty());
    let mut said = Vec::new();
    write!(said, "{}", Refused::Locked { lock: "/run/.a.lock".into() }).unwrap();
    let mut text = String::new();
    said.as_slice().read_to_string(&mut text).unwrap();
    assert!(text.contains("another daemon holds the lock"), "{text}");
}
