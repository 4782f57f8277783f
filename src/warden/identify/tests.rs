use std::fs;
use std::io::{IoSlice, Read, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use nix::sched::{CloneFlags, unshare};
use nix::sys::socket::{
    AddressFamily, ControlMessage, MsgFlags, SockFlag, SockType, UnixAddr, bind, connect, sendmsg, socket,
};
use nix::unistd::{Uid as RawUid, getgid, getuid, setresuid};

use super::*;
use crate::model::truth::Truth;
use crate::sys::listen::{self, Listener};
use crate::sys::receive::receive;
use crate::sys::testing::{Forked, STRANGER, Turn, become_user, directory, fork, is_root, turns};

/// A listener that everybody may connect to.
struct Place {
    listener: Listener,
    path: PathBuf,
    _keep: tempfile::TempDir,
}

fn place() -> Place {
    let (keep, here) = directory();
    let path = here.join("a.sock");
    let listener =
        Listener::bind(&listen::Wanted { path: &path, mode: 0o666, uid: None, gid: None }).unwrap();
    listener.listen().unwrap();
    Place { listener, path, _keep: keep }
}

impl Place {
    fn connect(&self) -> UnixStream {
        UnixStream::connect(&self.path).unwrap()
    }

    /// The next connection and its caller, in full.
    fn accept(&self) -> (OwnedFd, Caller) {
        let connection = self.listener.accept().unwrap();
        let caller = ask(&connection, Depth::FULL);
        (connection, caller)
    }
}

/// Every user has a name, and no rule names a program.
fn plainly(depth: Depth) -> Wanted<'static> {
    Wanted { depth, name: &|uid| Some(format!("user-{uid}")), names_program: &|_path| false }
}

fn ask(connection: &OwnedFd, depth: Depth) -> Caller {
    let own = OwnNamespaces::read().unwrap();
    identify(connection.as_fd(), &own, &plainly(depth)).unwrap()
}

/// A child that does something and then stays until it is let go.
fn peer(body: impl FnOnce(&Turn)) -> (Forked, Turn) {
    let (ours, theirs) = turns();
    let child = fork(&[theirs.0.as_fd()], || {
        body(&theirs);
        theirs.pass();
        theirs.wait();
    });
    ours.wait();
    (child, ours)
}

fn uid(caller: &Caller) -> Option<u32> {
    caller.credentials.uid.known().map(|uid| uid.raw())
}

#[test]
fn caller_in_full_is_this_process() {
    let place = place();
    let _client = place.connect();
    let (connection, caller) = place.accept();
    let us = getuid().as_raw();
    assert_eq!((caller.peer.uid, caller.peer.pid.unsigned_abs()), (us, std::process::id()));
    assert_eq!((uid(&caller), caller.peer.real_uid), (Some(us), None));
    assert_eq!(caller.credentials.gid.known().map(|gid| gid.raw()), Some(getgid().as_raw()));
    let groups: Vec<u32> = nix::unistd::getgroups().unwrap().into_iter().map(|gid| gid.as_raw()).collect();
    let seen = caller.credentials.groups.known().unwrap();
    assert_eq!(seen.iter().map(|gid| gid.raw()).collect::<Vec<_>>(), groups);
    assert_eq!(caller.user, Some(format!("user-{us}")));
    assert_eq!(caller.namespace, Attr::Known(Namespace::Host));
    let exe = caller.exe.known().unwrap();
    let program = fs::metadata("/proc/self/exe").unwrap();
    assert_eq!((exe.device, exe.inode), (program.dev(), program.ino()));
    assert!(exe.path.starts_with(b"/"));
    assert!(caller.start_time.known().is_some());

    let cheap = ask(&connection, Depth::CHEAP);
    assert_eq!((cheap.exe, cheap.start_time, cheap.unit), (Attr::Unknown, Attr::Unknown, Attr::Unknown));
    assert_eq!((cheap.credentials, cheap.namespace), (caller.credentials, caller.namespace));
}

#[test]
fn caller_of_a_socket_without_a_peer_is_an_error() {
    let unconnected = socket(AddressFamily::Unix, SockType::Stream, SockFlag::SOCK_CLOEXEC, None).unwrap();
    let own = OwnNamespaces::read().unwrap();
    let refused = identify(unconnected.as_fd(), &own, &plainly(Depth::FULL)).unwrap_err();
    assert_eq!(refused.kind(), io::ErrorKind::InvalidData);
}

#[test]
fn setuid_after_connect_keeps_who_connected_and_may_not_send() {
    if !is_root("dropping root") {
        return;
    }
    for dropped_before_accept in [true, false] {
        let place = place();
        let (ours, theirs) = turns();
        let child = fork(&[theirs.0.as_fd()], || {
            let mut stream = place.connect();
            let drop_root = || become_user(STRANGER, &[]);
            if dropped_before_accept {
                drop_root();
            }
            theirs.pass();
            theirs.wait();
            if !dropped_before_accept {
                drop_root();
            }
            stream.write_all(b"GET").unwrap();
            theirs.pass();
        });
        ours.wait();
        let (connection, caller) = place.accept();
        assert_eq!((uid(&caller), caller.peer.real_uid), (Some(0), None));
        ours.pass();
        ours.wait();
        let sender = receive(connection.as_fd(), &mut [0; 8]).unwrap().sender;
        assert_eq!(sender, Some(STRANGER));
        assert!(!caller.peer.may_send(STRANGER));
        assert!(child.succeeded());
    }
}

#[test]
fn setuid_program_may_send_as_its_real_user() {
    if !is_root("effective and real uid apart") {
        return;
    }
    let place = place();
    let (child, turn) = peer(|_turn| {
        // As after the exec of a setuid-root program by a stranger.
        let (real, root) = (RawUid::from_raw(STRANGER), RawUid::from_raw(0));
        setresuid(real, root, root).unwrap();
        place.connect().write_all(b"GET").unwrap();
    });
    let (connection, caller) = place.accept();
    assert_eq!((uid(&caller), caller.peer.real_uid), (Some(0), Some(STRANGER)));
    let sender = receive(connection.as_fd(), &mut [0; 8]).unwrap().sender;
    assert_eq!(sender, Some(STRANGER));
    assert!(caller.peer.may_send(STRANGER));
    turn.pass();
    assert!(child.succeeded());
}

#[test]
fn inherited_descriptor_is_seen_by_its_sender() {
    if !is_root("a second user") {
        return;
    }
    let place = place();
    let stream = place.connect();
    let (connection, caller) = place.accept();
    let heir = fork(&[stream.as_fd()], || {
        become_user(STRANGER, &[]);
        (&stream).write_all(b"GET").unwrap();
    });
    assert!(heir.succeeded());
    let sender = receive(connection.as_fd(), &mut [0; 8]).unwrap().sender.unwrap();
    assert_eq!((uid(&caller), sender), (Some(0), STRANGER));
    assert!(!caller.peer.may_send(sender));
}

#[test]
fn descriptor_sent_to_another_user_is_seen_by_its_sender() {
    if !is_root("a second user") {
        return;
    }
    let place = place();
    let stream = place.connect();
    let (connection, caller) = place.accept();
    let (ours, theirs) = turns();
    let receiver = fork(&[theirs.0.as_fd()], || {
        become_user(STRANGER, &[]);
        let mut buffer = [0; 8];
        crate::sys::datagram::wait(theirs.0.as_fd()).unwrap();
        let got = crate::sys::datagram::receive(theirs.0.as_fd(), &mut buffer, true).unwrap();
        let [stream] = crate::wire::channel::exactly(got.descriptors).unwrap();
        UnixStream::from(stream).write_all(b"GET").unwrap();
    });
    let rights = [stream.as_raw_fd()];
    let message = [ControlMessage::ScmRights(&rights)];
    sendmsg::<UnixAddr>(ours.0.as_raw_fd(), &[IoSlice::new(b".")], &message, MsgFlags::empty(), None)
        .unwrap();
    assert!(receiver.succeeded());
    let sender = receive(connection.as_fd(), &mut [0; 8]).unwrap().sender.unwrap();
    assert_eq!((uid(&caller), sender), (Some(0), STRANGER));
    assert!(!caller.peer.may_send(sender));
}

#[test]
fn groups_are_read_whole_however_many() {
    if !is_root("setting groups") {
        return;
    }
    for count in [0, 1, 32, 33, 2000] {
        let place = place();
        let groups: Vec<u32> = (100_000..100_000 + count).collect();
        let (child, turn) = peer(|_turn| {
            become_user(STRANGER, &groups);
            drop(place.connect());
        });
        let (_connection, caller) = place.accept();
        let seen = caller.credentials.groups.known().unwrap();
        assert_eq!(seen.iter().map(|gid| gid.raw()).collect::<Vec<_>>(), groups);
        turn.pass();
        assert!(child.succeeded());
    }
}

#[test]
fn overflow_ids_are_unknown() {
    if !is_root("becoming user 65534") {
        return;
    }
    let place = place();
    let (child, turn) = peer(|_turn| {
        become_user(65_534, &[7, 65_534]);
        drop(place.connect());
    });
    let (_connection, caller) = place.accept();
    assert_eq!(caller.peer.uid, 65_534);
    let credentials = &caller.credentials;
    assert_eq!((&credentials.uid, &credentials.gid), (&Attr::Unknown, &Attr::Unknown));
    assert_eq!(credentials.in_group(Gid::new(7).unwrap()), Truth::Unknown);
    assert_eq!(caller.user, None);
    turn.pass();
    assert!(child.succeeded());
}

#[test]
fn user_namespace_is_another_whatever_its_root_says() {
    let place = place();
    let (ours, theirs) = turns();
    let child = fork(&[theirs.0.as_fd()], || {
        let (uid, gid) = (getuid(), getgid());
        // Some kernels do not let everybody make one.
        let made = unshare(CloneFlags::CLONE_NEWUSER).is_ok();
        if made {
            fs::write("/proc/self/setgroups", "deny").unwrap();
            fs::write("/proc/self/uid_map", format!("0 {uid} 1")).unwrap();
            fs::write("/proc/self/gid_map", format!("0 {gid} 1")).unwrap();
            assert!(getuid().is_root(), "inside");
        }
        let stream = place.connect();
        (&theirs.0).write_all(&[u8::from(made)]).unwrap();
        theirs.wait();
        drop(stream);
    });
    let mut made = [0];
    (&ours.0).read_exact(&mut made).unwrap();
    let (_connection, caller) = place.accept();
    ours.pass();
    assert!(child.succeeded());
    if made == [0] {
        #[allow(clippy::disallowed_macros, reason = "the runner counts this line")]
        {
            println!("SKIP: this kernel makes no user namespace");
        }
        return;
    }
    assert_eq!(uid(&caller), Some(getuid().as_raw()), "as it is outside");
    assert_eq!(caller.namespace, Attr::Known(Namespace::Other));
}

#[test]
fn caller_without_an_id_in_our_user_namespace_is_unknown() {
    if !is_root("a user namespace of our own") {
        return;
    }
    let place = place();
    let (stranger, turn) = peer(|_turn| {
        become_user(STRANGER, &[STRANGER + 1]);
        std::mem::forget(place.connect());
    });
    // A daemon in a namespace that maps root alone (PrivateUsers=yes): the stranger is nobody there.
    let daemon = fork(&[place.listener.as_fd()], || {
        unshare(CloneFlags::CLONE_NEWUSER).unwrap();
        fs::write("/proc/self/uid_map", "0 0 1").unwrap();
        let (_connection, caller) = place.accept();
        assert_eq!(caller.peer.uid, 65_534);
        assert_eq!((uid(&caller), &caller.credentials.groups), (None, &Attr::Unknown));
        assert_ne!(caller.namespace, Attr::Known(Namespace::Host));
    });
    assert!(daemon.succeeded());
    turn.pass();
    assert!(stranger.succeeded());
}

#[test]
fn pid_namespace_is_another() {
    if !is_root("a pid namespace") {
        return;
    }
    let place = place();
    let (child, turn) = peer(|turn| {
        unshare(CloneFlags::CLONE_NEWPID).unwrap();
        let (ours, theirs) = turns();
        // The first child is the one that lives in it.
        let inner = fork(&[theirs.0.as_fd()], || {
            let stream = place.connect();
            theirs.pass();
            theirs.wait();
            drop(stream);
        });
        ours.wait();
        turn.pass();
        turn.wait();
        ours.pass();
        assert!(inner.succeeded());
    });
    let (_connection, caller) = place.accept();
    assert_eq!((uid(&caller), &caller.namespace), (Some(0), &Attr::Known(Namespace::Other)));
    assert!(caller.peer.pid > 0);
    turn.pass();
    turn.wait();
    turn.pass();
    assert!(child.succeeded());
}

#[test]
fn pid_zero_is_another_namespace() {
    if !is_root("a pid namespace") {
        return;
    }
    let place = place();
    let _client = place.connect();
    let outer = fork(&[place.listener.as_fd()], || {
        let own = OwnNamespaces::read().unwrap();
        unshare(CloneFlags::CLONE_NEWPID).unwrap();
        let daemon = fork(&[place.listener.as_fd()], || {
            let connection = place.listener.accept().unwrap();
            let caller = identify(connection.as_fd(), &own, &plainly(Depth::FULL)).unwrap();
            assert_eq!((caller.peer.pid, uid(&caller)), (0, Some(0)));
            assert_eq!(caller.namespace, Attr::Known(Namespace::Other));
            assert_eq!(caller.exe, Attr::Unknown);
        });
        assert!(daemon.succeeded());
    });
    assert!(outer.succeeded());
}

#[test]
fn mount_namespace_alone_does_not_count() {
    if !is_root("a mount namespace") {
        return;
    }
    let place = place();
    let (child, turn) = peer(|_turn| {
        unshare(CloneFlags::CLONE_NEWNS).unwrap();
        std::mem::forget(place.connect());
    });
    let (_connection, caller) = place.accept();
    assert_eq!(caller.namespace, Attr::Known(Namespace::Host));
    turn.pass();
    assert!(child.succeeded());
}

#[test]
fn peer_dead_before_accept_has_its_uid_and_nothing_else() {
    if !is_root("a second user") {
        return;
    }
    for reaped in [true, false] {
        let place = place();
        let child = fork(&[], || {
            become_user(STRANGER, &[STRANGER + 1]);
            place.connect().write_all(b"GET").unwrap();
        });
        let zombie = if reaped {
            assert!(child.succeeded());
            None
        } else {
            child.wait_until_it_ends();
            Some(child)
        };
        let (_connection, caller) = place.accept();
        assert_eq!(uid(&caller), Some(STRANGER));
        assert_eq!(caller.credentials.groups.known().map(Vec::len), Some(1), "frozen, like the uid");
        assert_eq!(caller.namespace, Attr::Unknown, "reaped: {reaped}");
        assert_eq!(caller.peer.real_uid, None);
        assert_eq!((caller.start_time, caller.exe), (Attr::Unknown, Attr::Unknown), "reaped: {reaped}");
        assert_eq!((caller.unit, caller.login_uid), (Attr::Unknown, Attr::Unknown), "reaped: {reaped}");
        drop(zombie);
    }
}

#[test]
fn hostile_name_of_the_client_says_nothing() {
    // CVE-2019-7304: the peer's own socket name was read as if it were its credentials.
    let place = place();
    let us = getuid().as_raw();
    let (_keep, here) = directory();
    let file = here.join("pid=1;uid=0;gid=0;");
    for (i, name) in
        [Name::Path(&file), Name::Abstract(b"pid=1;uid=0;socket=/run/a.sock;")].into_iter().enumerate()
    {
        let client = socket(AddressFamily::Unix, SockType::Stream, SockFlag::SOCK_CLOEXEC, None).unwrap();
        match name {
            Name::Path(path) => bind(client.as_raw_fd(), &UnixAddr::new(path).unwrap()).unwrap(),
            Name::Abstract(name) => {
                bind(client.as_raw_fd(), &UnixAddr::new_abstract(name).unwrap()).unwrap();
            }
        }
        connect(client.as_raw_fd(), &UnixAddr::new(&place.path).unwrap()).unwrap();
        let (_connection, caller) = place.accept();
        assert_eq!((uid(&caller), caller.peer.pid.unsigned_abs()), (Some(us), std::process::id()), "{i}");
    }
}

enum Name<'a> {
    Path(&'a Path),
    Abstract(&'a [u8]),
}

#[test]
fn unit_is_the_cgroup_systemd_would_make() {
    let hierarchies = ["/sys/fs/cgroup/systemd", "/sys/fs/cgroup/unified", "/sys/fs/cgroup"];
    let made = hierarchies.iter().find_map(|root| {
        let unit = format!("peergate-test-{}.service", std::process::id());
        let slice = Path::new(root).join("system.slice");
        let there = slice.exists();
        let cgroup = slice.join(&unit);
        fs::create_dir_all(&cgroup).ok()?;
        cgroup.join("cgroup.procs").exists().then_some((slice, there, cgroup, unit))
    });
    let Some((slice, there, cgroup, unit)) = made else {
        #[allow(clippy::disallowed_macros, reason = "the runner counts this line")]
        {
            println!("SKIP: no cgroup can be made here");
        }
        return;
    };
    let place = place();
    let (child, turn) = peer(|_turn| {
        fs::write(cgroup.join("cgroup.procs"), "0").unwrap();
        std::mem::forget(place.connect());
    });
    let (_connection, caller) = place.accept();
    turn.pass();
    assert!(child.succeeded());
    fs::remove_dir(&cgroup).unwrap();
    if !there {
        fs::remove_dir(&slice).unwrap();
    }
    assert_eq!(caller.unit, Attr::Known(unit));
}
