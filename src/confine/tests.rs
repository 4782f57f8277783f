use std::os::fd::AsFd;

use super::*;
use crate::sys::testing::fork;

mod app;
mod runner;

fn errno_of(flags: OFlag, path: &str) -> Option<Errno> {
    open(path, flags | OFlag::O_CLOEXEC, Mode::from_bits_truncate(0o600)).err()
}

/// A plan whose table lets a test look around.
fn with_eyes(plan: Plan) -> Plan {
    let eyes = Plan::warden(Vec::new(), false).table;
    Plan { table: eyes, ..plan }
}

fn terms() -> Terms {
    Terms::default()
}

#[test]
fn gate_confined_sees_an_empty_file_system() {
    let place = tempfile::tempdir().unwrap();
    let there = place.path().join("there");
    std::fs::write(&there, "x").unwrap();
    let (there, new) = (there.display().to_string(), place.path().join("new").display().to_string());
    let child = fork(&[], || {
        enter(&with_eyes(Plan::gate(None, &terms())), &terms(), &[]).unwrap();
        for (flags, path) in [
            (OFlag::O_RDONLY, there.as_str()),
            (OFlag::O_WRONLY, there.as_str()),
            (OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL, new.as_str()),
            (OFlag::O_RDONLY | OFlag::O_DIRECTORY, "/"),
            (OFlag::O_RDONLY, "/etc/passwd"),
            (OFlag::O_RDONLY, "/proc/self/status"),
            (OFlag::O_RDWR, "/dev/null"),
            (OFlag::O_RDONLY | OFlag::O_DIRECTORY, "/sys"),
        ] {
            assert_eq!(errno_of(flags, path), Some(Errno::EACCES), "{path}");
        }
        assert!(std::net::TcpStream::connect("127.0.0.1:9").is_err_and(|e| e.raw_os_error() == Some(13)));
    });
    assert!(child.succeeded());
    assert!(place.path().join("there").exists());
}

#[test]
fn scribe_confined_reads_its_directory_and_nothing_else() {
    let place = tempfile::tempdir().unwrap();
    std::fs::write(place.path().join("there"), "x").unwrap();
    let handle = directory(&place.path().display().to_string()).unwrap();
    let (there, new) = (place.path().join("there"), place.path().join("new"));
    let child = fork(&[handle.as_fd()], || {
        let plan = with_eyes(Plan::scribe(None, false));
        enter(&plan, &terms(), &[handle.as_fd()]).unwrap();
        assert_eq!(errno_of(OFlag::O_RDONLY, &there.display().to_string()), None);
        let made = errno_of(OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL, &new.display().to_string());
        assert_eq!(made, Some(Errno::EACCES));
        assert_eq!(errno_of(OFlag::O_RDONLY, "/etc/passwd"), Some(Errno::EACCES));
    });
    assert!(child.succeeded());
}

#[test]
fn gate_that_opens_is_killed() {
    let child = fork(&[], || {
        enter(&Plan::gate(None, &terms()), &terms(), &[]).unwrap();
        // It does not come back; what it would answer is of no matter.
        let _ = open("/", OFlag::O_RDONLY, Mode::empty());
    });
    assert_eq!(child.signal(), Some(nix::libc::SIGSYS));
}

/// What the C library, std and tokio do without being asked has to be in the tables, or a role dies of it one day.
#[test]
fn gate_confined_does_what_libraries_do_by_themselves() {
    let child = fork(&[], || {
        enter(&Plan::gate(None, &terms()), &terms(), &[]).unwrap();
        // A panic that is caught. A role's environment is empty, so that its hook prints no backtrace, which would look
        // for files.
        std::panic::set_hook(Box::new(|what| {
            std::io::Write::write_fmt(&mut std::io::stderr(), format_args!("{what}\n")).unwrap();
        }));
        assert!(std::panic::catch_unwind(|| std::hint::black_box(None::<u8>).unwrap()).is_err());
        let threads: Vec<_> = (0..4).map(|_| std::thread::spawn(give_and_take)).collect();
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        give_and_take();
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_io().enable_time().build().unwrap();
        runtime.block_on(async {
            tokio::task::spawn_blocking(give_and_take).await.unwrap();
            tokio::time::timeout(std::time::Duration::from_millis(1), std::future::pending::<()>())
                .await
                .unwrap_err();
        });
        drop(runtime);
    });
    assert!(child.succeeded());
}

/// Memory of all sizes from the thread's own arena, grown, touched, and given back all at once.
fn give_and_take() {
    let mut held: Vec<Vec<u8>> = (0..2_000_usize).map(|n| vec![1; n * 97 % 60_000 + 1]).collect();
    for (n, bytes) in held.iter_mut().enumerate() {
        bytes.resize(bytes.len() + n * 31, 2);
    }
    let mut large = vec![3_u8; 8 << 20];
    large.resize(32 << 20, 4);
    assert!(held.iter().map(Vec::len).sum::<usize>() > large.len());
    drop((held, large));
    let seeds: std::collections::HashMap<u32, std::time::SystemTime> =
        (0..8).map(|n| (n, std::time::SystemTime::now())).collect();
    let (sender, receiver) = std::sync::mpsc::channel::<u8>();
    assert!(receiver.recv_timeout(std::time::Duration::from_millis(1)).is_err());
    drop(sender);
    assert_eq!(seeds.len(), 8);
}

#[test]
fn directory_that_is_not_there_is_an_error() {
    let refused = directory("/nowhere/at/all").unwrap_err();
    assert!(refused.to_string().contains("/nowhere/at/all: No such file"), "{refused}");
    let plan = Plan::scribe(None, false);
    let child = fork(&[], || {
        assert_eq!(enter(&plan, &terms(), &[]).unwrap_err().layer, Layer::Landlock);
    });
    assert!(child.succeeded());
}

#[test]
fn second_thread_stops_the_role() {
    let child = fork(&[], || {
        let (going, go) = std::sync::mpsc::channel::<()>();
        let other = std::thread::spawn(move || go.recv());
        let refused = enter(&Plan::gate(None, &terms()), &terms(), &[]).unwrap_err();
        assert_eq!(refused.layer, Layer::Seccomp);
        drop(going);
        other.join().unwrap().unwrap_err();
    });
    assert!(child.succeeded());
}

#[test]
fn tables_have_each_call_once_and_compile() {
    for plan in [
        Plan::gate(None, &terms()),
        Plan::scribe(None, false),
        Plan::scribe(None, true),
        Plan::loader(),
        Plan::file_keeper(),
        Plan::warden(Vec::new(), false),
        Plan::warden(Vec::new(), true),
        Plan::app(None, &Default::default()),
        Plan::app(None, &crate::model::app::Sandbox { ports: vec![80], ..Default::default() }),
    ] {
        assert!(seccomp::Filters::compile(&plan.table, Violation::Kills).is_ok(), "{}", plan.role.name());
        assert!(plan.table.iter().all(|row| !row.why.is_empty()));
    }
}

#[test]
fn readback_of_another_state_is_red() {
    let plan = Plan::gate(None, &terms());
    let mut held = Confinement { seccomp_rows: (1, 0), ..Confinement::default() };
    held.status.no_new_privs = true;
    held.status.seccomp_mode = 2;
    held.status.seccomp_filters = 2;
    held.landlock = Some(crate::model::posture::LandlockHeld { abi: 7, fs: 1, ..Default::default() });
    let worst =
        |held: &Confinement| plan.judge(held, true).into_iter().map(|f| (f.grade, f.layer)).max().unwrap();
    held.securebits = crate::sys::process::securebits::LOCKED;
    assert_eq!(worst(&held).0, Grade::Green);
    type Change = fn(&mut Confinement);
    let changes: [(Change, Layer); 9] = [
        (|held| held.status.capabilities.ambient = 1, Layer::Capabilities),
        (|held| held.status.capabilities.bounding = 1, Layer::Capabilities),
        (|held| held.securebits = 0, Layer::Capabilities),
        (|held| held.status.uids = [7, 7, 0, 7], Layer::Identity),
        (|held| held.status.no_new_privs = false, Layer::NoNewPrivs),
        (|held| held.status.seccomp_mode = 0, Layer::Seccomp),
        (|held| held.dumpable = true, Layer::Dumpable),
        (|held| held.limits.core = 1, Layer::Limits),
        (|held| held.landlock = None, Layer::Landlock),
    ];
    for (change, layer) in changes {
        let mut held = held.clone();
        change(&mut held);
        assert_eq!(worst(&held), (Grade::Red, layer));
        held.missing.push(layer);
        assert_eq!(worst(&held), (Grade::Amber, layer), "accepted by name");
    }
}
