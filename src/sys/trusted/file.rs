//! Files in a judged directory.

use std::ffi::OsStr;
use std::fs::File;
use std::io::Read;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::Path;

use nix::fcntl::{OFlag, open, openat};
use nix::sys::stat::{FileStat, Mode, fchmod};

use super::{Directory, Judged, Owners, Rule, kind, not_writable_by_others, own, split};

/// The longest policy.
const POLICY_MAX: u64 = 4 * 1024 * 1024;

/// Opens an existing regular file that is root's or ours and that nobody else can write, nor its directories.
/// `flags` says how, for instance O_RDONLY; O_CLOEXEC and O_NOFOLLOW are added.
///
/// # Errors
///
/// The part of the path that broke a rule, and which rule.
pub fn open_file(path: &Path, flags: OFlag) -> Result<OwnedFd, Judged> {
    let (parent, name) = split(path)?;
    Directory::open(parent)?.open_file(name, flags)
}

/// Judges a program that will be started by its path: a regular file that is root's or ours and that nobody else can
/// write, nor its directories. It may have several names, as some interpreters have.
///
/// # Errors
///
/// The part of the path that broke a rule, and which rule.
pub fn judge_program(path: &Path) -> Result<(), Judged> {
    let (parent, name) = split(path)?;
    Directory::open(parent)?.judge_file(name).map(drop)
}

/// Opens a program as [`judge_program`] judges it: a handle (O_PATH) to execute it by, which stays the file that was
/// judged whatever its name leads to by then. Also whether it is a script (`#!`), whose interpreter opens it once more.
///
/// # Errors
///
/// The part of the path that broke a rule, and which rule.
pub fn open_program(path: &Path) -> Result<(OwnedFd, bool), Judged> {
    let (parent, name) = split(path)?;
    let (handle, _stat) = Directory::open(parent)?.judge_file(name)?;
    let same = format!("/proc/self/fd/{}", handle.as_raw_fd());
    let flags = OFlag::O_RDONLY | OFlag::O_CLOEXEC | OFlag::O_NOCTTY;
    let file =
        open(same.as_str(), flags, Mode::empty()).map_err(|errno| Judged::kernel(path, "open", errno))?;
    let mut first = [0; 2];
    let read = nix::unistd::read(&file, &mut first).map_err(|errno| Judged::kernel(path, "read", errno))?;
    Ok((handle, read == 2 && first == *b"#!"))
}

/// Opens a policy by one descriptor and reads it whole from there.
///
/// # Errors
///
/// The part of the path that broke a rule, and which rule; [`Rule::TooLong`], [`Rule::NotText`].
pub fn open_policy(path: &Path) -> Result<(OwnedFd, String), Judged> {
    let mut file = File::from(open_file(path, OFlag::O_RDONLY)?);
    let mut bytes = Vec::new();
    let longest = POLICY_MAX + 1;
    Read::by_ref(&mut file)
        .take(longest)
        .read_to_end(&mut bytes)
        .map_err(|error| Judged::io(path, "read", &error))?;
    if bytes.len() as u64 == longest {
        return Err(Judged::new(path, Rule::TooLong { max: POLICY_MAX }));
    }
    let text = String::from_utf8(bytes).map_err(|_not_text| Judged::new(path, Rule::NotText))?;
    Ok((file.into(), text))
}

impl Directory {
    /// As [`open_file`], for a plain name in this directory.
    ///
    /// # Errors
    ///
    /// Which rule the file broke; ENOENT in [`Rule::Kernel`] where there is none.
    pub fn open_file(&self, name: &OsStr, flags: OFlag) -> Result<OwnedFd, Judged> {
        let path = self.path.join(name);
        let (handle, stat) = self.judge_file(name)?;
        if stat.st_nlink != 1 {
            #[allow(clippy::unnecessary_cast, reason = "its width differs between architectures")]
            return Err(Judged::new(&path, Rule::Links { found: stat.st_nlink as u64 }));
        }
        // The handle's own entry leads to the inode that was judged, whatever its name is by now.
        let same = format!("/proc/self/fd/{}", handle.as_raw_fd());
        let flags = (flags - OFlag::O_NOFOLLOW) | OFlag::O_CLOEXEC | OFlag::O_NOCTTY;
        open(same.as_str(), flags, Mode::empty()).map_err(|errno| Judged::kernel(&path, "open", errno))
    }

    /// A handle on a regular file that is root's or ours and that nobody else can write; it may have several names.
    fn judge_file(&self, name: &OsStr) -> Result<(OwnedFd, FileStat), Judged> {
        let path = self.path.join(name);
        // Looked at before it is opened: opening a FIFO waits, and opening a device can do anything.
        let (handle, stat) = self.look(name)?;
        match kind(&stat) {
            "regular file" => {}
            "symbolic link" => {
                return Err(Judged::new(&path, Rule::Link { leads_to: std::fs::canonicalize(&path).ok() }));
            }
            found => return Err(Judged::new(&path, Rule::Kind { wanted: "regular file", found })),
        }
        Owners::ours().judge(&path, &stat)?;
        not_writable_by_others(&path, &stat)?;
        Ok((handle, stat))
    }

    /// Makes a new file with these permission bits from its first moment (or narrower, until its owner is
    /// right), opened as `flags` says; O_CREAT, O_EXCL, O_NOFOLLOW and O_CLOEXEC are added.
    ///
    /// # Errors
    ///
    /// What the kernel answered; EEXIST in [`Rule::Kernel`] where the name is taken.
    pub fn create_file(
        &self,
        name: &OsStr,
        flags: OFlag,
        mode: u32,
        uid: Option<u32>,
        gid: Option<u32>,
    ) -> Result<OwnedFd, Judged> {
        let path = self.path.join(name);
        let refuse = |errno| Judged::kernel(&path, "create", errno);
        let flags = flags | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let bits = Mode::from_bits_truncate(mode);
        // Nothing for the group and others until the group is the right one.
        let file = openat(&self.fd, name, flags, bits & Mode::S_IRWXU).map_err(refuse)?;
        if uid.is_some() || gid.is_some() {
            own(file.as_fd(), uid, gid).map_err(refuse)?;
        }
        fchmod(&file, bits).map_err(refuse)?;
        Ok(file)
    }
}

/// Whether two states are of the same inode.
pub(in crate::sys) fn same_inode(a: &FileStat, b: &FileStat) -> bool {
    (a.st_dev, a.st_ino) == (b.st_dev, b.st_ino)
}
