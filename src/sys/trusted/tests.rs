use std::fs;
use std::io::Read;
use std::os::unix::fs::{MetadataExt, symlink};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;

use nix::fcntl::OFlag;
use nix::libc;
use nix::sys::socket::{
    AddressFamily, Backlog, Shutdown, SockFlag, SockType, UnixAddr, bind, listen, shutdown, socket,
};
use nix::sys::stat::Mode;
use nix::unistd::mkfifo;

use super::*;
use crate::sys::testing::{
    STRANGER, become_user, change_mode, change_owner, directory, fork, is_root, mode, turns,
};

/// What `path` was refused for.
fn rule<T: std::fmt::Debug>(judged: Result<T, Judged>, path: &Path) -> Rule {
    let refused = judged.unwrap_err();
    assert_eq!(refused.path, path, "the part that is named");
    refused.rule
}

#[test]
fn directory_spelt_otherwise_than_plainly_is_refused() {
    for path in
        ["", "tmp", "./tmp", "/tmp/", "/tmp//a", "//tmp", "/tmp/.", "/tmp/../tmp", "@abstract", "\0abs"]
    {
        assert_eq!(rule(Directory::open(Path::new(path)), Path::new(path)), Rule::Spelling, "{path:?}");
    }
    assert!(Directory::open(Path::new("/")).is_ok());
}

#[test]
fn directory_behind_a_link_is_refused_with_where_it_leads() {
    let (_keep, here) = directory();
    fs::create_dir(here.join("real")).unwrap();
    fs::create_dir(here.join("real/inner")).unwrap();
    symlink(here.join("real"), here.join("link")).unwrap();
    symlink("/nowhere/at/all", here.join("dangling")).unwrap();
    assert_eq!(
        rule(Directory::open(&here.join("link/inner")), &here.join("link")),
        Rule::Link { leads_to: Some(here.join("real/inner")) }
    );
    assert_eq!(
        rule(Directory::open(&here.join("dangling")), &here.join("dangling")),
        Rule::Link { leads_to: None }
    );
}

#[test]
fn directory_var_run_says_what_to_write_instead() {
    let Err(refused) = connect_unix(Path::new("/var/run/docker.sock"), None) else { return };
    if fs::symlink_metadata("/var/run").is_ok_and(|run| run.is_symlink()) {
        assert_eq!(refused.path, Path::new("/var/run"));
        assert!(matches!(refused.rule, Rule::Link { .. }), "{refused:?}");
    }
}

#[test]
fn directory_that_is_a_file_is_refused() {
    let (_keep, here) = directory();
    fs::write(here.join("file"), "").unwrap();
    let wanted = Rule::Kind { wanted: "directory", found: "regular file" };
    assert_eq!(rule(Directory::open(&here.join("file/inner")), &here.join("file")), wanted);
}

#[test]
fn directory_writable_by_others_is_refused_at_any_depth() {
    let (_keep, here) = directory();
    fs::create_dir(here.join("outer")).unwrap();
    fs::create_dir(here.join("outer/inner")).unwrap();
    for bits in [0o775, 0o757, 0o777, 0o2775] {
        change_mode(&here.join("outer"), bits);
        let wanted = Rule::Writable { mode: bits };
        assert_eq!(rule(Directory::open(&here.join("outer/inner")), &here.join("outer")), wanted, "{bits:o}");
        assert_eq!(rule(Directory::open(&here.join("outer")), &here.join("outer")), wanted, "{bits:o}");
    }
}

#[test]
fn directory_sticky_and_roots_is_passed_but_holds_nothing() {
    if !is_root("a sticky directory of root's") {
        return;
    }
    let (_keep, here) = directory();
    let (sticky, inner) = (here.join("sticky"), here.join("sticky/inner"));
    fs::create_dir(&sticky).unwrap();
    fs::create_dir(&inner).unwrap();
    change_mode(&sticky, 0o1777);
    assert!(Directory::open(&inner).is_ok());
    assert_eq!(rule(Directory::open(&sticky), &sticky), Rule::Writable { mode: 0o1777 });
    change_owner(&sticky, STRANGER, 0);
    let wanted = Rule::Owner { found: STRANGER, allowed: vec![0] };
    assert_eq!(rule(Directory::open(&inner), &sticky), wanted);
}

#[test]
fn directory_of_a_stranger_is_refused_at_any_depth() {
    if !is_root("giving a directory away") {
        return;
    }
    let (_keep, here) = directory();
    fs::create_dir(here.join("outer")).unwrap();
    fs::create_dir(here.join("outer/inner")).unwrap();
    change_owner(&here.join("outer"), STRANGER, 0);
    let wanted = Rule::Owner { found: STRANGER, allowed: vec![0] };
    assert_eq!(rule(Directory::open(&here.join("outer/inner")), &here.join("outer")), wanted);
}

#[test]
fn ensured_directory_has_its_mode_under_any_umask() {
    for mask in [0, 0o077, 0o777] {
        let (_keep, here) = directory();
        let child = fork(&[], || {
            crate::sys::umask(mask);
            let made = ensure_directory(&here.join("a/b"), 0o711, None, None).unwrap();
            assert_eq!(made.path(), here.join("a/b"));
            assert_eq!((mode(&here.join("a")), mode(&here.join("a/b"))), (0o711, 0o711));
            // The second time it is there, with a mode of its own.
            change_mode(&here.join("a/b"), 0o700);
            ensure_directory(&here.join("a/b"), 0o711, None, None).unwrap();
            assert_eq!(mode(&here.join("a/b")), 0o700);
        });
        assert!(child.succeeded(), "umask {mask:o}");
    }
}

#[test]
fn ensured_directory_gets_owner_and_group_its_parents_stay_ours() {
    if !is_root("giving a directory away") {
        return;
    }
    let (_keep, here) = directory();
    let path = here.join("a/b");
    ensure_directory(&path, 0o750, Some(STRANGER), Some(STRANGER + 1)).unwrap();
    let (outer, inner) = (fs::metadata(here.join("a")).unwrap(), fs::metadata(&path).unwrap());
    assert_eq!((outer.uid(), inner.uid(), inner.gid()), (0, STRANGER, STRANGER + 1));
    assert_eq!(mode(&path), 0o750);
    // It is there now, and still its owner's.
    ensure_directory(&path, 0o750, Some(STRANGER), None).unwrap();
    let wanted = Rule::Owner { found: STRANGER, allowed: vec![0] };
    assert_eq!(rule(ensure_directory(&path, 0o750, None, None), &path), wanted);
    // Its owner may have this one, not those on the way to another.
    assert_eq!(rule(ensure_directory(&path.join("c"), 0o750, Some(STRANGER), None), &path), wanted);
    assert!(!path.join("c").exists());
}

#[test]
fn ensured_directory_at_a_links_name_is_refused() {
    let (_keep, here) = directory();
    symlink(here.join("elsewhere"), here.join("link")).unwrap();
    let refused = rule(ensure_directory(&here.join("link"), 0o711, None, None), &here.join("link"));
    assert_eq!(refused, Rule::Link { leads_to: None });
    assert!(!here.join("elsewhere").exists());
}

#[test]
fn policy_plain_file_is_read_through_its_descriptor() {
    let (_keep, here) = directory();
    let path = here.join("policy.toml");
    fs::write(&path, "version = 1\n").unwrap();
    let (fd, text) = open_policy(&path).unwrap();
    assert_eq!(text, "version = 1\n");
    let mut rest = String::new();
    fs::File::from(fd).read_to_string(&mut rest).unwrap();
    assert_eq!(rest, "", "the descriptor is the one that was read");
}

#[test]
fn policy_of_another_kind_is_refused_without_opening_it() {
    let (_keep, here) = directory();
    let path = here.join("policy.toml");
    mkfifo(&path, Mode::S_IRUSR | Mode::S_IWUSR).unwrap();
    assert_eq!(rule(open_policy(&path), &path), Rule::Kind { wanted: "regular file", found: "FIFO" });
    fs::remove_file(&path).unwrap();
    let _listener = UnixListener::bind(&path).unwrap();
    assert_eq!(rule(open_policy(&path), &path), Rule::Kind { wanted: "regular file", found: "socket" });
    let inner = here.join("inner");
    fs::create_dir(&inner).unwrap();
    assert_eq!(rule(open_policy(&inner), &inner), Rule::Kind { wanted: "regular file", found: "directory" });
    fs::write(here.join("real.toml"), "").unwrap();
    symlink("real.toml", here.join("link.toml")).unwrap();
    let refused = rule(open_policy(&here.join("link.toml")), &here.join("link.toml"));
    assert_eq!(refused, Rule::Link { leads_to: Some(here.join("real.toml")) });
}

#[test]
fn policy_that_others_can_change_is_refused() {
    let (_keep, here) = directory();
    let path = here.join("policy.toml");
    fs::write(&path, "").unwrap();
    for bits in [0o664, 0o646] {
        change_mode(&path, bits);
        assert_eq!(rule(open_policy(&path), &path), Rule::Writable { mode: bits });
    }
    change_mode(&path, 0o644);
    fs::hard_link(&path, here.join("twin.toml")).unwrap();
    assert_eq!(rule(open_policy(&path), &path), Rule::Links { found: 2 });
    fs::remove_file(here.join("twin.toml")).unwrap();
    change_mode(&here, 0o775);
    assert_eq!(rule(open_policy(&path), &here), Rule::Writable { mode: 0o775 });
    change_mode(&here, 0o755);
    assert!(open_policy(&path).is_ok());
    if is_root("giving a file away") {
        change_owner(&path, STRANGER, 0);
        let wanted = Rule::Owner { found: STRANGER, allowed: vec![0] };
        assert_eq!(rule(open_policy(&path), &path), wanted);
    }
}

#[test]
fn policy_too_long_missing_or_not_text_is_refused() {
    let (_keep, here) = directory();
    let path = here.join("policy.toml");
    let missing = rule(open_policy(&path), &path);
    assert_eq!(missing, Rule::Kernel { step: "open", errno: libc::ENOENT });
    fs::write(&path, [0xff]).unwrap();
    assert_eq!(rule(open_policy(&path), &path), Rule::NotText);
    fs::File::create(&path).unwrap().set_len(4 * 1024 * 1024 + 1).unwrap();
    assert_eq!(rule(open_policy(&path), &path), Rule::TooLong { max: 4 * 1024 * 1024 });
}

#[test]
fn created_file_has_its_mode_and_never_takes_a_name() {
    let (_keep, here) = directory();
    let directory = Directory::open(&here).unwrap();
    let flags = OFlag::O_WRONLY | OFlag::O_APPEND;
    let made = directory.create_file("segment".as_ref(), flags, 0o640, None, None);
    assert!(made.is_ok());
    assert_eq!(mode(&here.join("segment")), 0o640);
    symlink("target", here.join("link")).unwrap();
    for name in ["segment", "link"] {
        let refused = rule(directory.create_file(name.as_ref(), flags, 0o640, None, None), &here.join(name));
        assert_eq!(refused, Rule::Kernel { step: "create", errno: libc::EEXIST }, "{name}");
    }
    assert!(!here.join("target").exists());
}

#[test]
fn backend_answers_and_another_kind_is_refused() {
    let (_keep, here) = directory();
    let path = here.join("backend.sock");
    let listener = UnixListener::bind(&path).unwrap();
    let Connecting::Connected(fd) = connect_unix(&path, Some(geteuid().as_raw())).unwrap() else {
        panic!("the backlog is empty")
    };
    listener.accept().unwrap();
    assert_eq!(UnixStream::from(fd).read(&mut [0]).unwrap(), 0, "the accepted end was dropped");
    // Not by closing it: a test that forks in this moment keeps it open a little longer.
    shutdown(listener.as_raw_fd(), Shutdown::Both).unwrap();
    let refused = rule(connect_unix(&path, None), &path);
    assert_eq!(refused, Rule::Kernel { step: "connect to", errno: libc::ECONNREFUSED });
    symlink(&path, here.join("link.sock")).unwrap();
    let refused = rule(connect_unix(&here.join("link.sock"), None), &here.join("link.sock"));
    assert_eq!(refused, Rule::Link { leads_to: Some(path) });
    fs::write(here.join("file"), "").unwrap();
    let wanted = Rule::Kind { wanted: "socket", found: "regular file" };
    assert_eq!(rule(connect_unix(&here.join("file"), None), &here.join("file")), wanted);
    let refused = rule(connect_unix(&here.join("none"), None), &here.join("none"));
    assert_eq!(refused, Rule::Kernel { step: "open", errno: libc::ENOENT });
}

#[test]
fn backend_with_a_full_backlog_is_to_be_tried_again() {
    let (_keep, here) = directory();
    let path = here.join("backend.sock");
    let fd = socket(AddressFamily::Unix, SockType::Stream, SockFlag::SOCK_CLOEXEC, None).unwrap();
    bind(fd.as_raw_fd(), &UnixAddr::new(&path).unwrap()).unwrap();
    listen(&fd, Backlog::new(0).unwrap()).unwrap();
    let mut waiting = Vec::new();
    loop {
        match connect_unix(&path, None).unwrap() {
            Connecting::Connected(fd) => waiting.push(fd),
            Connecting::Again => break,
        }
        assert!(waiting.len() < 10, "a backlog of 0 takes few");
    }
}

#[test]
fn backend_of_a_stranger_is_refused_by_socket_and_by_listener() {
    if !is_root("listening as two users") {
        return;
    }
    let (_keep, here) = directory();
    let (ours, theirs) = turns();
    let (own, dropped) = (here.join("own.sock"), here.join("dropped.sock"));
    change_mode(&here, 0o755);
    let child = fork(&[theirs.0.as_fd()], || {
        // Bound by root, then listened on by a stranger: the name is root's, and who answers is not.
        let fd = socket(AddressFamily::Unix, SockType::Stream, SockFlag::empty(), None).unwrap();
        bind(fd.as_raw_fd(), &UnixAddr::new(&dropped).unwrap()).unwrap();
        let _own = UnixListener::bind(&own).unwrap();
        change_owner(&own, STRANGER, STRANGER);
        become_user(STRANGER, &[]);
        listen(&fd, Backlog::MAXCONN).unwrap();
        theirs.pass();
        theirs.wait();
    });
    ours.wait();
    assert_eq!(
        rule(connect_unix(&own, Some(0)), &own),
        Rule::Owner { found: STRANGER, allowed: vec![0] },
        "the name is a stranger's"
    );
    assert_eq!(
        rule(connect_unix(&dropped, Some(0)), &dropped),
        Rule::Listener { found: STRANGER, wanted: 0 },
        "the name is root's"
    );
    assert!(connect_unix(&dropped, Some(STRANGER)).is_ok());
    ours.pass();
    assert!(child.succeeded());
}

#[test]
fn refusals_say_path_rule_and_what_to_do() {
    let path = Path::new("/run/a\x1b[31m");
    let say = |rule| Judged::new(path, rule).to_string();
    for (rule, wanted) in [
        (Rule::Link { leads_to: Some("/run/b".into()) }, "write \"/run/b\" instead"),
        (
            Rule::Owner { found: 7, allowed: vec![0, 9] },
            "belongs to uid 7, and must belong to uid 0 or uid 9",
        ),
        (
            Rule::Writable { mode: 0o775 },
            "(mode 0775) can be written by others than its owner: `chmod go-w` it",
        ),
        (Rule::Kernel { step: "open", errno: libc::ENOENT }, "can't open"),
    ] {
        let said = say(rule);
        assert!(said.contains(wanted), "{said}");
        assert!(said.contains(r"/run/a\u{1b}[31m"), "escaped: {said}");
    }
}
