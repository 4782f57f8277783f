//! What `/proc/PID` says of a process that is alive: start time, program, unit, login uid, real uid.

use std::ffi::{CStr, CString};
use std::io::{self, Read};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;

use nix::errno::Errno;
use nix::fcntl::{OFlag, open, openat, readlinkat};
use nix::libc;
use nix::sys::stat::Mode;

use super::alive;

/// The file that a process runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Program {
    /// Where the kernel says it lies, raw bytes, as seen from here.
    pub path: Vec<u8>,
    /// Its file system's device number.
    pub device: u64,
    /// Its inode there.
    pub inode: u64,
    /// It belongs to root, and nobody else can write to it.
    pub trusted: bool,
}

impl Program {
    /// Whether the file that lies at its path here is the one that runs. A process in a mount namespace of its own
    /// can have any path say anything. To be asked of a path that the policy names: on another a file system of the
    /// caller's could keep the question waiting.
    #[must_use]
    pub fn lies_at_its_path(&self) -> bool {
        let Ok(path) = CString::new(self.path.as_slice()) else { return false };
        let found = stat(None, &path, libc::AT_SYMLINK_NOFOLLOW);
        found.is_some_and(|found| (found.device, found.inode) == (self.device, self.inode))
    }
}

/// One process's directory below /proc, which stays its own: after its end every read fails, whoever has its
/// pid then.
#[derive(Debug)]
pub struct Process<'a> {
    directory: OwnedFd,
    pidfd: BorrowedFd<'a>,
}

impl<'a> Process<'a> {
    /// Opens the directory of `pid`, which is the pid of `pidfd` in our pid namespace.
    ///
    /// # Errors
    ///
    /// ESRCH where the process is gone; else what the kernel answered.
    pub fn open(pidfd: BorrowedFd<'a>, pid: i32) -> io::Result<Process<'a>> {
        let path = format!("/proc/{pid}");
        let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        let directory = open(path.as_str(), flags, Mode::empty())?;
        let process = Process { directory, pidfd };
        // Alive now, so that the pid was its own when the directory was opened.
        if process.alive() { Ok(process) } else { Err(Errno::ESRCH.into()) }
    }

    /// Whether it has not ended: what was read before can be believed.
    #[must_use]
    pub fn alive(&self) -> bool {
        alive(self.pidfd)
    }

    /// When it started, in clock ticks since boot (`proc_pid_stat(5)`, field 22).
    #[must_use]
    pub fn start_time(&self) -> Option<u64> {
        start_time(&self.read("stat", 4096)?)
    }

    /// The program that it runs.
    #[must_use]
    pub fn exe(&self) -> Option<Program> {
        let path = readlinkat(&self.directory, "exe").ok()?.into_vec();
        // Followed to the open program itself, which may have another name or none by now.
        let Stated { device, inode, trusted } = stat(Some(self.directory.as_fd()), c"exe", 0)?;
        Some(Program { path, device, inode, trusted })
    }

    /// Its systemd unit, where its cgroup lies in the system slice.
    #[must_use]
    pub fn unit(&self) -> Option<String> {
        unit(&String::from_utf8(self.read("cgroup", 64 * 1024)?).ok()?)
    }

    /// Its login uid (`proc_pid_loginuid(5)`); 4294967295 where none was ever set.
    #[must_use]
    pub fn login_uid(&self) -> Option<u32> {
        std::str::from_utf8(&self.read("loginuid", 32)?).ok()?.trim().parse().ok()
    }

    /// Real and effective uid now (`proc_pid_status(5)`).
    #[must_use]
    pub fn uids(&self) -> Option<(u32, u32)> {
        uids(&self.read("status", 16 * 1024)?)
    }

    /// A whole small file.
    fn read(&self, name: &str, max: u64) -> Option<Vec<u8>> {
        let file = openat(&self.directory, name, OFlag::O_RDONLY | OFlag::O_CLOEXEC, Mode::empty()).ok()?;
        let mut bytes = Vec::with_capacity(1024);
        std::fs::File::from(file).take(max + 1).read_to_end(&mut bytes).ok()?;
        (bytes.len() as u64 <= max).then_some(bytes)
    }
}

/// What `statx(2)` says of a file.
struct Stated {
    device: u64,
    inode: u64,
    /// Root's, and writable by root alone.
    trusted: bool,
}

/// Looks at a file without asking the file system's server, which may be the caller's own and take for ever.
fn stat(directory: Option<BorrowedFd<'_>>, name: &CStr, flags: libc::c_int) -> Option<Stated> {
    const WANTED: u32 = libc::STATX_INO | libc::STATX_UID | libc::STATX_MODE;
    let directory = directory.map_or(libc::AT_FDCWD, |directory| directory.as_raw_fd());
    let mut found = std::mem::MaybeUninit::<libc::statx>::zeroed();
    // SAFETY: statx(2) reads the C string, which lives for the call, and writes at most one `struct statx` to the
    // exclusively borrowed place.
    let answer = unsafe {
        let flags = flags | libc::AT_STATX_DONT_SYNC;
        libc::statx(directory, name.as_ptr(), flags, WANTED, found.as_mut_ptr())
    };
    Errno::result(answer).ok()?;
    // SAFETY: zeroed before, and written by the kernel; every bit pattern is valid for its integers.
    let found = unsafe { found.assume_init() };
    let told = found.stx_mask & WANTED == WANTED;
    told.then(|| Stated {
        device: libc::makedev(found.stx_dev_major, found.stx_dev_minor),
        inode: found.stx_ino,
        trusted: found.stx_uid == 0 && found.stx_mode & 0o022 == 0,
    })
}

/// The real uid now of the process of this pidfd, where its effective uid now still is `effective`. Never
/// authorises: it tells which sender a setuid program's writes will carry.
#[must_use]
pub fn real_uid(pidfd: BorrowedFd<'_>, pid: i32, effective: u32) -> Option<u32> {
    let (real, now) = match uids_by_pidfd(pidfd) {
        // Linux before 6.13.
        Err(Errno::ENOTTY | Errno::EINVAL) => {
            let process = Process::open(pidfd, pid).ok()?;
            process.uids().filter(|_uids| process.alive())?
        }
        answer => answer.ok()?,
    };
    (now == effective).then_some(real)
}

/// PIDFD_GET_INFO (Linux 6.13): real and effective uid.
fn uids_by_pidfd(pidfd: BorrowedFd<'_>) -> nix::Result<(u32, u32)> {
    /// The first published shape of `struct pidfd_info` (`linux/pidfd.h`).
    #[repr(C)]
    #[derive(Default)]
    struct PidfdInfo {
        mask: u64,
        cgroupid: u64,
        pid: u32,
        tgid: u32,
        ppid: u32,
        ruid: u32,
        rgid: u32,
        euid: u32,
        egid: u32,
        suid: u32,
        sgid: u32,
        fsuid: u32,
        fsgid: u32,
        exit_code: i32,
    }
    const PIDFD_INFO_CREDS: u64 = 1 << 1;
    /// `_IOWR(0xFF, 11, struct pidfd_info)`; the size within it is that of the shape above, 64 bytes.
    const PIDFD_GET_INFO: libc::Ioctl = 0xC040_FF0B;
    const { assert!(size_of::<PidfdInfo>() == 64) };

    let mut info = PidfdInfo { mask: PIDFD_INFO_CREDS, ..PidfdInfo::default() };
    // SAFETY: the request's number carries the size of `info`, which is exclusively borrowed, and the kernel
    // writes at most that many bytes; every bit pattern is valid for its integers.
    let answer = unsafe { libc::ioctl(pidfd.as_raw_fd(), PIDFD_GET_INFO, &raw mut info) };
    Errno::result(answer)?;
    // An ended process has no credentials any more, and the mask says so.
    if info.mask & PIDFD_INFO_CREDS == 0 {
        return Err(Errno::ESRCH);
    }
    Ok((info.ruid, info.euid))
}

/// Field 22 of `/proc/PID/stat`. The second field is the program's own choice of name and may hold spaces and
/// parentheses, so fields count from the last parenthesis.
fn start_time(stat: &[u8]) -> Option<u64> {
    let stat = std::str::from_utf8(stat.get(stat.iter().rposition(|byte| *byte == b')')? + 1..)?).ok()?;
    // What follows the parenthesis begins with field 3.
    stat.split_ascii_whitespace().nth(22 - 3)?.parse().ok()
}

/// The `Uid:` line of `/proc/PID/status`: real, effective.
fn uids(status: &[u8]) -> Option<(u32, u32)> {
    let line = status.split(|byte| *byte == b'\n').find_map(|line| line.strip_prefix(b"Uid:"))?;
    let mut numbers = std::str::from_utf8(line).ok()?.split_ascii_whitespace().map(str::parse);
    Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
}

/// The unit from `/proc/PID/cgroup` (`cgroups(7)`): systemd's own hierarchy where there is one of version 1 in which
/// the process has a place, else the one of version 2: such a hierarchy can be mounted where systemd does not use it,
/// and then everybody is at its root, which only root can move a process to. Only below `/system.slice`: a user's own manager, below `user.slice`, can call
/// its units anything.
fn unit(cgroup: &str) -> Option<String> {
    let path_of = |wanted: &str| {
        cgroup.lines().find_map(|line| {
            // hierarchy-ID ":" controllers ":" path
            let (_id, rest) = line.split_once(':')?;
            let (controllers, path) = rest.split_once(':')?;
            (controllers == wanted).then_some(path)
        })
    };
    let path = path_of("name=systemd").filter(|path| *path != "/").or_else(|| path_of(""))?;
    let mut names =
        path.strip_prefix("/system.slice/")?.split('/').skip_while(|name| name.ends_with(".slice"));
    let name = names.next()?;
    // systemd puts a `_` before a unit's name that the kernel would read as a file of its own.
    let name = name.strip_prefix('_').unwrap_or(name);
    let kind = [".service", ".scope", ".socket", ".mount", ".swap"].iter().any(|kind| name.ends_with(kind));
    let plain = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b":-_.\\@".contains(&byte));
    (kind && plain).then(|| name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn start_time_counts_from_the_last_parenthesis() {
        let rest = "S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 9999 20";
        for name in ["cat", "a b", ") S 1 2 3", "((", ""] {
            assert_eq!(start_time(format!("42 ({name}) {rest}").as_bytes()), Some(9999), "{name:?}");
        }
        for broken in
            ["", "42", "42 (cat", "42 (cat) S 1", "42 (cat) S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 x"]
        {
            assert_eq!(start_time(broken.as_bytes()), None, "{broken:?}");
        }
    }

    #[test]
    fn uids_are_the_first_two_of_their_line() {
        assert_eq!(uids(b"Name:\tUid: 7\nUid:\t1000\t0\t0\t0\nGid:\t1\t2\t3\t4\n"), Some((1000, 0)));
        assert_eq!(uids(b"Name:\tx\n"), None);
        assert_eq!(uids(b"Uid:\t1000\n"), None);
    }

    #[test]
    fn unit_counts_in_the_system_slice_only() {
        for (cgroup, wanted) in [
            ("0::/system.slice/ci.service\n", Some("ci.service")),
            ("0::/system.slice/ci.service/inner/x.service\n", Some("ci.service")),
            ("0::/system.slice/system-getty.slice/getty@tty1.service\n", Some("getty@tty1.service")),
            ("0::/system.slice/docker-0123abcd.scope\n", Some("docker-0123abcd.scope")),
            ("0::/system.slice/_tasks.service\n", Some("tasks.service")),
            ("9:name=systemd:/system.slice/v1.service\n1:cpu:/x\n0::/\n", Some("v1.service")),
            // Systemd's own hierarchy decides where there is one.
            ("9:name=systemd:/user.slice/a.service\n0::/system.slice/b.service\n", None),
            ("9:name=systemd:/../a\n0::/system.slice/b.service\n", None),
            // Mounted for others: everybody is at its root.
            ("9:name=systemd:/\n0::/system.slice/b.service\n", Some("b.service")),
            ("9:name=systemd:/\n0::/user.slice/b.service\n", None),
            ("1:cpu:/system.slice/a.service\n", None),
            ("0::/user.slice/user-1000.slice/user@1000.service/app.slice/ci.service\n", None),
            ("0::/user.slice/user-1000.slice/user@1000.service/system.slice/ci.service\n", None),
            ("0::/../system.slice/ci.service\n", None),
            ("0::/system.slice\n", None),
            ("0::/system.slice/\n", None),
            ("0::/system.slice/ci\n", None),
            ("0::/system.slice/ci.service (deleted)\n", None),
            ("0::/system.slice/a b.service\n", None),
            ("0::/\n", None),
            ("", None),
        ] {
            assert_eq!(unit(cgroup).as_deref(), wanted, "{cgroup:?}");
        }
    }
}
