//! The append-only flag of a file (`chattr +a`, `FS_IOC_SETFLAGS(2const)`): while it is set, nobody, root without
//! CAP_LINUX_IMMUTABLE included, can change or cut off what was written, rename or remove the file, or change its
//! owner and mode, whatever descriptor they have.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

use nix::libc;

mod calls {
    // What the kernel reads and writes is an int, whatever the request's encoded size says (`ioctl_iflags(2)`).
    nix::ioctl_read!(flags, b'f', 1, nix::libc::c_long);
    nix::ioctl_write_ptr!(set_flags, b'f', 2, nix::libc::c_long);
}

/// FS_APPEND_FL
const APPEND: libc::c_long = 0x20;

/// Sets the flag, or clears it.
///
/// # Errors
///
/// EPERM without CAP_LINUX_IMMUTABLE; ENOTTY or EOPNOTSUPP where the file system has no such flag.
pub fn set(file: BorrowedFd<'_>, on: bool) -> io::Result<()> {
    let before = flags(file)?;
    let after = if on { before | APPEND } else { before & !APPEND };
    if after != before {
        // SAFETY: the descriptor is borrowed for longer than the call; the kernel reads an int from the start of
        // a live word, which has room for it on every architecture, and on little-endian ones its low half.
        unsafe { calls::set_flags(file.as_raw_fd(), &raw const after) }?;
    }
    Ok(())
}

/// Whether it is set.
///
/// # Errors
///
/// ENOTTY or EOPNOTSUPP where the file system has no such flag.
pub fn is_set(file: BorrowedFd<'_>) -> io::Result<bool> {
    Ok(flags(file)? & APPEND != 0)
}

fn flags(file: BorrowedFd<'_>) -> io::Result<libc::c_long> {
    let mut flags: libc::c_long = 0;
    // SAFETY: the descriptor is borrowed for longer than the call; the kernel writes an int to the start of a
    // live word.
    unsafe { calls::flags(file.as_raw_fd(), &raw mut flags) }?;
    Ok(flags)
}

#[cfg(test)]
mod tests {
    use std::fs::OpenOptions;
    use std::io::Write;
    use std::os::fd::AsFd;

    use super::*;
    use crate::sys::testing::is_root;

    #[test]
    fn append_only_file_grows_and_changes_in_no_other_way() {
        if !is_root("the append-only flag") {
            return;
        }
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        let mut file = OpenOptions::new().append(true).create_new(true).open(&path).unwrap();
        match set(file.as_fd(), true) {
            Err(error) if matches!(error.raw_os_error(), Some(libc::ENOTTY | libc::EOPNOTSUPP)) => {
                #[allow(clippy::disallowed_macros, reason = "the runner counts this line")]
                return println!("SKIP append_only_file_grows_and_changes_in_no_other_way: {error}");
            }
            result => result.unwrap(),
        }
        file.write_all(b"written").unwrap();
        assert!(is_set(file.as_fd()).unwrap());
        assert!(file.set_len(0).is_err() && std::fs::remove_file(&path).is_err());
        assert!(std::fs::rename(&path, dir.path().join("other")).is_err());
        assert!(OpenOptions::new().write(true).open(&path).is_err(), "only to append");
        set(file.as_fd(), false).unwrap();
        file.set_len(0).unwrap();
    }
}
