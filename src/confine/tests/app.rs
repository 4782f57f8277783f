//! An app's plan by itself: what ordinary handlers do goes through, what they should not does not.

use std::io;
use std::net::{TcpListener, TcpStream};

use nix::sys::socket::{AddressFamily, SockFlag, SockProtocol, SockType, socket, socketpair};

use super::*;
use crate::model::app::{Access as Wish, Directory, Placed, Sandbox};

fn sandbox(directories: &[(&Path, Wish)], ports: &[u16]) -> Sandbox {
    let place = |(path, access): &(&Path, Wish)| Placed {
        directory: Directory { name: "it".to_owned(), access: *access },
        path: path.display().to_string(),
    };
    Sandbox {
        directories: directories.iter().map(place).collect(),
        ports: ports.to_vec(),
        ..Sandbox::default()
    }
}

fn denied<T>(result: io::Result<T>) -> bool {
    result.is_err_and(|error| error.raw_os_error() == Some(nix::libc::EACCES))
}

#[test]
fn app_confined_does_what_ordinary_handlers_do_in_its_directories_and_nowhere_else() {
    let place = tempfile::tempdir().unwrap();
    let [own, given, others] = ["own", "given", "others"].map(|name| place.path().join(name));
    for directory in [&own, &given, &others] {
        std::fs::create_dir(directory).unwrap();
        std::fs::write(directory.join("there"), "x").unwrap();
    }
    let sandbox = sandbox(&[(&own, Wish::Write), (&given, Wish::Read)], &[]);
    let handles = [&own, &given].map(|path| directory(&path.display().to_string()).unwrap());
    let child = fork(&[handles[0].as_fd(), handles[1].as_fd()], || {
        let reach = [handles[0].as_fd(), handles[1].as_fd()];
        enter(&Plan::app(None, &sandbox), &terms(), &reach).unwrap();
        let new = own.join("new");
        std::fs::write(&new, "y").unwrap();
        std::fs::File::open(&new).unwrap().sync_all().unwrap();
        std::fs::rename(&new, own.join("newer")).unwrap();
        std::fs::create_dir_all(own.join("a/b")).unwrap();
        std::fs::rename(own.join("newer"), own.join("a/b/newest")).unwrap();
        std::fs::copy(own.join("a/b/newest"), own.join("copy")).unwrap();
        assert_eq!(std::fs::read_dir(&own).unwrap().count(), 3);
        std::fs::remove_dir_all(own.join("a")).unwrap();
        assert_eq!(std::fs::read_to_string(given.join("there")).unwrap(), "x");
        assert!(denied(std::fs::write(given.join("new"), "y")));
        assert!(denied(std::fs::remove_file(given.join("there"))));
        assert!(denied(std::fs::read(others.join("there"))));
        assert!(denied(std::fs::rename(own.join("there"), others.join("out"))));
        std::thread::spawn(give_and_take).join().unwrap();
    });
    assert!(child.succeeded());
}

#[test]
fn app_connects_to_the_ports_that_it_declares_alone() {
    let [declared, other] = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
    let [declared_port, other_port] = [&declared, &other].map(|it| it.local_addr().unwrap().port());
    let child = fork(&[], || {
        enter(&Plan::app(None, &sandbox(&[], &[declared_port])), &terms(), &[]).unwrap();
        TcpStream::connect(("127.0.0.1", declared_port)).unwrap().set_nodelay(true).unwrap();
        assert!(denied(TcpStream::connect(("127.0.0.1", other_port))));
    });
    assert!(child.succeeded());
}

#[test]
fn app_that_makes_another_socket_is_killed() {
    type Make = fn() -> nix::Result<()>;
    let makes: [(&str, Make); 5] = [
        ("Unix", || socket(AddressFamily::Unix, SockType::Stream, SockFlag::empty(), None).map(drop)),
        ("UDP", || socket(AddressFamily::Inet, SockType::Datagram, SockFlag::empty(), None).map(drop)),
        // As MPTCP, of which Landlock knows nothing: a stream over IP by another protocol than TCP.
        ("a stream that is no TCP", || {
            let other = SockProtocol::Udp;
            socket(AddressFamily::Inet, SockType::Stream, SockFlag::empty(), other).map(drop)
        }),
        // It could be connected anew, to whatever listens by datagrams.
        ("a pair of datagrams", || {
            socketpair(AddressFamily::Unix, SockType::Datagram, None, SockFlag::empty()).map(drop)
        }),
        ("a pair of packets", || {
            socketpair(AddressFamily::Unix, SockType::SeqPacket, None, SockFlag::empty()).map(drop)
        }),
    ];
    for (what, make) in makes {
        let child = fork(&[], || {
            enter(&Plan::app(None, &sandbox(&[], &[9])), &terms(), &[]).unwrap();
            // It does not come back, neither with what was asked for nor with an error.
            make().unwrap();
        });
        assert_eq!(child.signal(), Some(nix::libc::SIGSYS), "{what}");
    }
}
