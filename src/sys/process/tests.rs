use std::fs::File;
use std::io::{Read, Write};
use std::path::Path;

use nix::unistd::{dup, mkdir};

use super::*;
use crate::sys::testing::{STRANGER, become_user, directory, fork, is_root};

fn program(path: &str) -> OwnedFd {
    open(path, OFlag::O_PATH | OFlag::O_CLOEXEC, Mode::empty()).unwrap()
}

fn shell(script: &str) -> (OwnedFd, [CString; 2]) {
    (program("/bin/sh"), [c"-c".to_owned(), CString::new(script).unwrap()])
}

/// What a script writes to its descriptor 3, and how it ended; `others` are its descriptors from 4 on.
fn say(script: &str, others: &[BorrowedFd<'_>], ids: Option<Ids>) -> (String, Exit) {
    let (ours, theirs) = pipe2(OFlag::O_CLOEXEC).unwrap();
    let (shell, [flag, script]) = shell(script);
    let mut spawn =
        Spawn::new(shell.as_fd(), c"sh").argument(flag).argument(script).descriptor(theirs.as_fd());
    for fd in others {
        spawn = spawn.descriptor(*fd);
    }
    spawn.ids = ids;
    let child = spawn.start().unwrap();
    drop(theirs);
    let mut said = String::new();
    File::from(ours).read_to_string(&mut said).unwrap();
    (said, child.wait_for_end().unwrap())
}

#[test]
fn child_end_is_told_as_code_or_signal_and_once() {
    assert_eq!(say("exit 7", &[], None).1, Exit::Code(7));
    assert_eq!(say("kill -9 $$", &[], None).1, Exit::Signal(libc::SIGKILL));
    let (shell, [flag, script]) = shell("read wait <&3");
    let (keep, theirs) = pipe2(OFlag::O_CLOEXEC).unwrap();
    let spawn = Spawn::new(shell.as_fd(), c"sh").argument(flag).argument(script).descriptor(keep.as_fd());
    let child = spawn.start().unwrap();
    assert_eq!(child.reap().unwrap(), None, "it still reads");
    child.signal(libc::SIGTERM).unwrap();
    assert_eq!(child.wait_for_end().unwrap(), Exit::Signal(libc::SIGTERM));
    assert_eq!(child.reap().unwrap_err().raw_os_error(), Some(libc::ECHILD));
    assert_eq!(child.signal(libc::SIGTERM).unwrap_err().raw_os_error(), Some(libc::ESRCH));
    drop(theirs);
}

#[test]
fn descriptors_are_placed_in_order_and_nothing_else_is_there() {
    // One that would be inherited, if it were not for close_range.
    let leak = dup(program("/")).unwrap();
    fcntl(&leak, FcntlArg::F_SETFD(nix::fcntl::FdFlag::empty())).unwrap();
    let (read, mut write) = io::pipe().unwrap();
    write.write_all(b"second\n").unwrap();
    let third = program("/dev/null");
    let script = "read line <&4; echo $line >&3; ls /proc/$$/fd >&3";
    let (said, exit) = say(script, &[read.as_fd(), third.as_fd()], None);
    assert_eq!(exit, Exit::Code(0));
    let mut lines: Vec<&str> = said.lines().collect();
    // The shell keeps copies of its own from 10 on while it redirects.
    lines.retain(|line| line.parse().map_or(true, |fd: i32| fd < 10));
    assert_eq!(lines, ["second", "0", "1", "2", "3", "4", "5"]);
}

#[test]
fn child_starts_from_nothing_but_what_it_is_given() {
    let script = "umask; pwd; grep -E '^Sig(Blk|Ign)' /proc/self/status; readlink /proc/self/fd/0";
    let (said, _exit) = say(&format!("{{ {script}; }} >&3"), &[], None);
    let said: Vec<&str> = said.lines().collect();
    assert_eq!(said, ["0077", "/", "SigBlk:\t0000000000000000", "SigIgn:\t0000000000000000", "/dev/null"]);
    let (ours, theirs) = pipe2(OFlag::O_CLOEXEC).unwrap();
    let env = program("/bin/sh");
    let child = Spawn::new(env.as_fd(), c"sh")
        .argument(c"-c".to_owned())
        .argument(c"tr '\\0' '\\n' </proc/$$/environ >&3".to_owned())
        .environment(c"PEERGATE=1".to_owned())
        .environment(c"PATH=/usr/bin:/bin".to_owned())
        .descriptor(theirs.as_fd())
        .start()
        .unwrap();
    drop(theirs);
    let mut said = String::new();
    File::from(ours).read_to_string(&mut said).unwrap();
    assert_eq!(
        (said.as_str(), child.wait_for_end().unwrap()),
        ("PEERGATE=1\nPATH=/usr/bin:/bin\n", Exit::Code(0))
    );
}

#[test]
fn child_has_a_session_of_its_own() {
    let (said, _exit) = say(
        "read -r pid comm state ppid pgrp session rest </proc/$$/stat; echo $pid $pgrp $session >&3",
        &[],
        None,
    );
    let ids: Vec<&str> = said.split_whitespace().collect();
    assert_eq!((ids[0], ids[0]), (ids[1], ids[2]));
}

#[test]
fn ids_are_all_of_them_and_only_those() {
    if !is_root("another user's process") {
        return;
    }
    let ids = Ids { uid: STRANGER, gid: STRANGER + 1, groups: vec![STRANGER + 2] };
    let script = "grep -E '^(Uid|Gid|Groups|CapEff|CapPrm)' /proc/self/status >&3";
    let (said, _exit) = say(script, &[], Some(ids));
    let (u, g) = (STRANGER, STRANGER + 1);
    let none = "0000000000000000";
    let wanted = format!(
        "Uid:\t{u}\t{u}\t{u}\t{u}\nGid:\t{g}\t{g}\t{g}\t{g}\nGroups:\t{} \nCapPrm:\t{none}\nCapEff:\t{none}\n",
        STRANGER + 2
    );
    assert_eq!(said, wanted);
}

#[test]
fn failed_step_comes_back_by_name_and_nothing_runs() {
    let (_keep, here) = directory();
    let script = here.join("not-executable");
    std::fs::write(&script, "").unwrap();
    let file = program(script.to_str().unwrap());
    let failed = Spawn::new(file.as_fd(), c"x").start().unwrap_err();
    assert_eq!(failed.kind(), io::ErrorKind::PermissionDenied);
    assert!(failed.to_string().contains("execveat"), "{failed}");

    mkdir(&here.join("directory"), Mode::S_IRWXU).unwrap();
    let file = program(here.join("directory").to_str().unwrap());
    assert!(Spawn::new(file.as_fd(), c"x").start().unwrap_err().to_string().contains("execveat"));

    if is_root("dropping to a user who may not change ids") {
        let child = fork(&[], || {
            become_user(STRANGER, &[]);
            let ids = Ids { uid: 0, gid: 0, groups: vec![] };
            let shell = program("/bin/sh");
            let failed = Spawn::new(shell.as_fd(), c"sh").ids(ids).start().unwrap_err();
            assert_eq!(failed.kind(), io::ErrorKind::PermissionDenied);
            assert!(failed.to_string().contains("setgroups"), "{failed}");
        });
        assert!(child.succeeded());
    }
}

#[test]
fn executable_removed_from_disk_still_starts() {
    let (_keep, here) = directory();
    let copy = here.join("true");
    std::fs::copy("/bin/true", &copy).unwrap();
    let file = program(copy.to_str().unwrap());
    std::fs::remove_file(&copy).unwrap();
    let child = Spawn::new(file.as_fd(), c"true").start().unwrap();
    assert_eq!(child.wait_for_end().unwrap(), Exit::Code(0));
}

#[test]
fn executable_is_this_very_program() {
    let ours = nix::sys::stat::fstat(executable().unwrap()).unwrap();
    let here = nix::sys::stat::stat(Path::new("/proc/self/exe")).unwrap();
    assert_eq!((ours.st_dev, ours.st_ino), (here.st_dev, here.st_ino));
}

#[test]
fn death_of_the_parent_ends_the_child() {
    let (ours, theirs) = pipe2(OFlag::O_CLOEXEC).unwrap();
    // A pipe that nobody writes to: the shell waits in it for ever.
    let (wait, never) = pipe2(OFlag::O_CLOEXEC).unwrap();
    let parent = fork(&[theirs.as_fd(), wait.as_fd(), never.as_fd()], || {
        let (shell, [flag, script]) = shell("echo up >&3; read wait <&4");
        let spawn = Spawn::new(shell.as_fd(), c"sh").argument(flag).argument(script);
        spawn.descriptor(theirs.as_fd()).descriptor(wait.as_fd()).start().unwrap();
        loop {
            nix::unistd::pause();
        }
    });
    drop((theirs, wait));
    let mut ours = File::from(ours);
    let mut up = [0; 3];
    ours.read_exact(&mut up).unwrap();
    parent.kill();
    assert_eq!(ours.read(&mut [0]).unwrap(), 0, "its end of the pipe is closed");
    drop(never);
}
