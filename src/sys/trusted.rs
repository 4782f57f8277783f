//! Paths that are judged on the open handle, never by name.
//!
//! A path is walked from `/` by descriptors, one component at a time, following no link. Each directory on the
//! way must belong to root or to us, and nobody else may write to it; only a directory on the way (never the
//! one that holds the thing itself) may instead be root's and sticky, like /tmp, where nobody can rename or
//! remove what is ours. What was judged is what is used: later steps go through the handle.

mod connect;
mod file;
mod judged;

use std::ffi::OsStr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::{Component, Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, AtFlags, OFlag, open, openat};
use nix::libc;
use nix::sys::stat::{FileStat, Mode, fstat, mkdirat};
use nix::unistd::{Gid, Uid, fchownat, geteuid};

pub use connect::{Connecting, connect_packets, connect_unix};
pub(in crate::sys) use file::same_inode;
pub use file::{judge_program, open_file, open_policy, open_program};
pub use judged::{Judged, Rule};

/// The permission bits of a mode, set-id and sticky included.
pub(in crate::sys) const PERMISSIONS: u32 = 0o7777;

/// A directory that was judged, open.
#[derive(Debug)]
pub struct Directory {
    /// O_PATH: for what goes through it, not for reading it.
    fd: OwnedFd,
    path: PathBuf,
}

impl Directory {
    /// Walks to an existing directory.
    ///
    /// # Errors
    ///
    /// The part of the path that broke a rule, and which rule.
    pub fn open(path: &Path) -> Result<Directory, Judged> {
        open_for(path, &Owners::ours())
    }

    /// Its path, as it was given.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The same directory, open for listing and syncing.
    ///
    /// # Errors
    ///
    /// What the kernel answered.
    pub fn readable(&self) -> Result<OwnedFd, Judged> {
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        openat(&self.fd, ".", flags, Mode::empty()).map_err(|errno| Judged::kernel(&self.path, "read", errno))
    }

    /// A handle on what `name` is here, without following or opening it, and its state.
    ///
    /// # Errors
    ///
    /// What the kernel answered; ENOENT where there is nothing.
    pub(in crate::sys) fn look(&self, name: &OsStr) -> Result<(OwnedFd, FileStat), Judged> {
        let refuse = |errno| Judged::kernel(&self.path.join(name), "open", errno);
        let flags = OFlag::O_PATH | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let fd = openat(&self.fd, name, flags, Mode::empty()).map_err(refuse)?;
        let stat = fstat(&fd).map_err(refuse)?;
        Ok((fd, stat))
    }
}

impl AsFd for Directory {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// Walks to a directory and makes what is missing of the path: each new directory with `mode`, which it has
/// from its first moment or is narrower; the last one with the owner and group given, those on the way ours.
///
/// What exists keeps its mode. The last directory may also belong to `uid`; those on the way may not.
///
/// # Errors
///
/// The part of the path that broke a rule, and which rule.
pub fn ensure_directory(
    path: &Path,
    mode: u32,
    uid: Option<u32>,
    gid: Option<u32>,
) -> Result<Directory, Judged> {
    let ours = Owners::ours();
    walk(path, &ours, &Owners::ours().and(uid), &Missing::Make { mode, uid, gid })
}

/// Splits a path into the directory that holds the thing and the thing's name, after judging its spelling.
///
/// # Errors
///
/// [`Rule::Spelling`].
pub(in crate::sys) fn split(path: &Path) -> Result<(&Path, &OsStr), Judged> {
    spelt_plainly(path)?;
    match (path.parent(), path.file_name()) {
        (Some(parent), Some(name)) => Ok((parent, name)),
        _ => Err(Judged::new(path, Rule::Spelling)),
    }
}

/// Who may own what is judged.
pub(in crate::sys) struct Owners(Vec<u32>);

impl Owners {
    /// Root and us.
    pub(in crate::sys) fn ours() -> Owners {
        Owners(vec![0]).and(Some(geteuid().as_raw()))
    }

    /// And this one.
    pub(in crate::sys) fn and(mut self, uid: Option<u32>) -> Owners {
        self.0.extend(uid.filter(|uid| !self.0.contains(uid)));
        self
    }

    /// Whether the owner of what was opened is one of them.
    pub(in crate::sys) fn judge(&self, path: &Path, stat: &FileStat) -> Result<(), Judged> {
        if self.0.contains(&stat.st_uid) {
            return Ok(());
        }
        Err(Judged::new(path, Rule::Owner { found: stat.st_uid, allowed: self.0.clone() }))
    }
}

/// What is to be done about a directory that is not there.
enum Missing {
    Refuse,
    Make { mode: u32, uid: Option<u32>, gid: Option<u32> },
}

/// Walks to a directory whose owners may also be `owners`, as [`Directory::open`] does.
pub(in crate::sys) fn open_for(path: &Path, owners: &Owners) -> Result<Directory, Judged> {
    walk(path, owners, owners, &Missing::Refuse)
}

/// Walks to a directory: `ancestors` may own those on the way, `owners` the last one.
fn walk(path: &Path, ancestors: &Owners, owners: &Owners, missing: &Missing) -> Result<Directory, Judged> {
    spelt_plainly(path)?;
    let names: Vec<&OsStr> = path
        .components()
        .filter_map(|component| match component {
            Component::Normal(name) => Some(name),
            _ => None,
        })
        .collect();

    let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    let root =
        open("/", flags, Mode::empty()).map_err(|errno| Judged::kernel(Path::new("/"), "open", errno))?;
    let mut here = Directory { fd: root, path: PathBuf::from("/") };
    let judge = |here: &Directory, stat: &FileStat, last| {
        judge_directory(here, stat, if last { owners } else { ancestors }, last)
    };
    let stat = fstat(&here.fd).map_err(|errno| Judged::kernel(&here.path, "look at", errno))?;
    judge(&here, &stat, names.is_empty())?;
    for (i, name) in names.iter().enumerate() {
        let last = i + 1 == names.len();
        let stat;
        (here, stat) = step(&here, name, path, last, missing)?;
        judge(&here, &stat, last)?;
    }
    Ok(here)
}

/// One component further: opens what is there, or makes it; with its state once it was open.
fn step(
    here: &Directory,
    name: &OsStr,
    whole: &Path,
    last: bool,
    missing: &Missing,
) -> Result<(Directory, FileStat), Judged> {
    let path = here.path.join(name);
    let (fd, stat) = match (here.look(name), missing) {
        (Err(error), Missing::Make { mode, uid, gid }) if error.errno() == Some(libc::ENOENT) => {
            let (uid, gid) = if last { (*uid, *gid) } else { (None, None) };
            make(here, name, *mode, uid, gid)?
        }
        (found, _) => found?,
    };
    match kind(&stat) {
        "directory" => Ok((Directory { fd, path }, stat)),
        "symbolic link" => {
            // Only for the message: what is written there instead is walked and judged like any other path.
            let leads_to = std::fs::canonicalize(whole).ok();
            Err(Judged::new(&path, Rule::Link { leads_to }))
        }
        found => Err(Judged::new(&path, Rule::Kind { wanted: "directory", found })),
    }
}

/// Makes one directory. `mkdirat` gives it `mode` less the umask; what the umask took is given back through
/// the handle, after the owner is right, so that it is never wider than it ends.
fn make(
    here: &Directory,
    name: &OsStr,
    mode: u32,
    uid: Option<u32>,
    gid: Option<u32>,
) -> Result<(OwnedFd, FileStat), Judged> {
    let path = here.path.join(name);
    let refuse = |errno| Judged::kernel(&path, "create", errno);
    match mkdirat(&here.fd, name, Mode::from_bits_truncate(mode)) {
        // Somebody who may write here, which is root or us, was faster: it is judged like any other.
        Err(Errno::EEXIST) => return here.look(name),
        made => made.map_err(refuse)?,
    }
    let (made, stat) = here.look(name)?;
    if kind(&stat) == "directory" && stat.st_uid == geteuid().as_raw() {
        if uid.is_some() || gid.is_some() {
            own(made.as_fd(), uid, gid).map_err(refuse)?;
        }
        chmod(made.as_fd(), mode).map_err(refuse)?;
        let stat = fstat(&made).map_err(refuse)?;
        return Ok((made, stat));
    }
    Ok((made, stat))
}

/// Gives an open handle (O_PATH too) an owner and group.
pub(in crate::sys) fn own(fd: BorrowedFd<'_>, uid: Option<u32>, gid: Option<u32>) -> nix::Result<()> {
    fchownat(fd, "", uid.map(Uid::from_raw), gid.map(Gid::from_raw), AtFlags::AT_EMPTY_PATH)
}

/// Sets the permission bits of an O_PATH handle.
pub(in crate::sys) fn chmod(fd: BorrowedFd<'_>, mode: u32) -> nix::Result<()> {
    // SAFETY: fchmodat2(2) reads an empty C string and takes integers; it touches no memory of ours.
    let answer = unsafe {
        libc::syscall(libc::SYS_fchmodat2, fd.as_raw_fd(), c"".as_ptr(), mode, libc::AT_EMPTY_PATH)
    };
    match Errno::result(answer) {
        // Linux before 6.6, or a filter that does not know it: the handle's own entry leads to the same inode.
        Err(Errno::ENOSYS | Errno::EPERM) => {
            let path = format!("/proc/self/fd/{}", fd.as_raw_fd());
            let bits = Mode::from_bits_truncate(mode);
            nix::sys::stat::fchmodat(
                AT_FDCWD,
                path.as_str(),
                bits,
                nix::sys::stat::FchmodatFlags::FollowSymlink,
            )
        }
        answer => answer.map(drop),
    }
}

/// Owner and mode of one directory on the way (`last`: of the one that holds the thing).
fn judge_directory(
    directory: &Directory,
    stat: &FileStat,
    owners: &Owners,
    last: bool,
) -> Result<(), Judged> {
    let path = &directory.path;
    owners.judge(path, stat)?;
    let sticky_of_root = stat.st_mode & libc::S_ISVTX != 0 && stat.st_uid == 0;
    if !last && sticky_of_root {
        return Ok(());
    }
    not_writable_by_others(path, stat)
}

/// The group bits are the mask where there is an ACL (`acl(5)`), so that they cover its entries too.
pub(in crate::sys) fn not_writable_by_others(path: &Path, stat: &FileStat) -> Result<(), Judged> {
    if stat.st_mode & 0o022 == 0 {
        return Ok(());
    }
    Err(Judged::new(path, Rule::Writable { mode: stat.st_mode & PERMISSIONS }))
}

/// Refuses what `Path` would quietly repair: `components()` drops `.`, doubled slashes and a slash at the end.
fn spelt_plainly(path: &Path) -> Result<(), Judged> {
    let bytes = path.as_os_str().as_encoded_bytes();
    let plain = match bytes.strip_prefix(b"/") {
        Some(b"") => true,
        Some(rest) => rest
            .split(|byte| *byte == b'/')
            .all(|name| !name.is_empty() && name != b"." && name != b".." && !name.contains(&0)),
        None => false,
    };
    if plain { Ok(()) } else { Err(Judged::new(path, Rule::Spelling)) }
}

/// What a thing is, in the words of `inode(7)`.
pub(in crate::sys) fn kind(stat: &FileStat) -> &'static str {
    match stat.st_mode & libc::S_IFMT {
        libc::S_IFDIR => "directory",
        libc::S_IFREG => "regular file",
        libc::S_IFLNK => "symbolic link",
        libc::S_IFSOCK => "socket",
        libc::S_IFIFO => "FIFO",
        libc::S_IFCHR => "character device",
        libc::S_IFBLK => "block device",
        _ => "thing of unknown kind",
    }
}

#[cfg(test)]
mod tests;
