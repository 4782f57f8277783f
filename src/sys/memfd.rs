//! Sealed memory: what one role hands to others and nobody, the maker included, can change afterwards
//! (`memfd_create(2)`, `F_ADD_SEALS` in `fcntl(2)`).

use std::io::{self, Write};
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, SealFlag, fcntl};
use nix::libc;
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::uio::pread;

/// All that can be sealed about the contents: no write, no growth, no cut, no seal less.
fn all_seals() -> SealFlag {
    SealFlag::F_SEAL_SEAL | SealFlag::F_SEAL_SHRINK | SealFlag::F_SEAL_GROW | SealFlag::F_SEAL_WRITE
}

/// A memory file with these bytes, sealed. `name` only shows in `/proc/PID/fd`.
///
/// # Errors
///
/// What the kernel answered at creating, writing or sealing.
pub fn sealed(name: &str, bytes: &[u8]) -> io::Result<OwnedFd> {
    let wanted = MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING;
    // Linux 6.3 has a seal against execution too; before it the flag is EINVAL.
    let noexec = MFdFlags::from_bits_retain(libc::MFD_NOEXEC_SEAL);
    let fd = match memfd_create(name, wanted | noexec) {
        Err(Errno::EINVAL) => memfd_create(name, wanted),
        made => made,
    }?;
    let mut file = std::fs::File::from(fd);
    file.write_all(bytes)?;
    fcntl(&file, FcntlArg::F_ADD_SEALS(all_seals()))?;
    Ok(file.into())
}

/// The bytes of a memory file that must be sealed against every change, at most `max` of them.
///
/// # Errors
///
/// `InvalidData` where it is not sealed, no memory file at all, or longer than `max`; else what the kernel
/// answered.
pub fn read_sealed(fd: BorrowedFd<'_>, max: usize) -> io::Result<Vec<u8>> {
    let seals = fcntl(fd, FcntlArg::F_GET_SEALS).map_err(|errno| match errno {
        // Every other kind of file answers EINVAL.
        Errno::EINVAL => io::Error::new(io::ErrorKind::InvalidData, "this is no sealed memory file"),
        errno => errno.into(),
    })?;
    if !SealFlag::from_bits_truncate(seals).contains(all_seals()) {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            "the memory file is not sealed against changes",
        ));
    }
    read(fd, max)
}

/// The bytes of a file from its start, at most `max` of them, by `pread(2)` alone: roles share one open file
/// description, so its offset says nothing and must not be moved.
///
/// # Errors
///
/// `InvalidData` where it is longer than `max`; else what the kernel answered.
pub fn read(fd: BorrowedFd<'_>, max: usize) -> io::Result<Vec<u8>> {
    const STEP: usize = 64 * 1024;
    let mut bytes = Vec::new();
    loop {
        let filled = bytes.len();
        bytes.resize(filled + STEP, 0);
        let rest = bytes.get_mut(filled..).unwrap_or_default();
        let offset = libc::off_t::try_from(filled).map_err(io::Error::other)?;
        let got = match pread(fd, rest, offset) {
            Err(Errno::EINTR) => 0,
            Ok(0) => {
                bytes.truncate(filled);
                return Ok(bytes);
            }
            got => got?,
        };
        bytes.truncate(filled + got);
        if bytes.len() > max {
            let why = format!("descriptor {} holds more than {max} bytes", fd.as_raw_fd());
            return Err(io::Error::new(io::ErrorKind::InvalidData, why));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;
    use std::os::fd::AsFd;

    #[test]
    fn sealed_memory_reads_back_whole_and_again() {
        let text = b"policy".repeat(30_000);
        let fd = sealed("policy", &text).unwrap();
        assert_eq!(read_sealed(fd.as_fd(), text.len()).unwrap(), text);
        assert_eq!(read_sealed(fd.as_fd(), text.len()).unwrap(), text);
    }

    #[test]
    fn sealed_memory_refuses_every_change() {
        let mut file = File::from(sealed("policy", b"deny").unwrap());
        assert_eq!(file.write(b"x").unwrap_err().raw_os_error(), Some(libc::EPERM));
        assert_eq!(file.set_len(1).unwrap_err().raw_os_error(), Some(libc::EPERM));
        assert_eq!(file.set_len(9).unwrap_err().raw_os_error(), Some(libc::EPERM));
        assert_eq!(fcntl(&file, FcntlArg::F_ADD_SEALS(SealFlag::F_SEAL_WRITE)), Err(Errno::EPERM));
    }

    #[test]
    fn read_sealed_unsealed_or_ordinary_file_is_refused() {
        let unsealed = memfd_create("x", MFdFlags::MFD_ALLOW_SEALING).unwrap();
        assert_eq!(read_sealed(unsealed.as_fd(), 9).unwrap_err().kind(), io::ErrorKind::InvalidData);
        let ordinary = File::open("/proc/self/exe").unwrap();
        assert_eq!(read_sealed(ordinary.as_fd(), 9).unwrap_err().kind(), io::ErrorKind::InvalidData);
    }

    #[test]
    fn read_sealed_longer_than_allowed_is_refused() {
        let fd = sealed("policy", b"12345").unwrap();
        assert_eq!(read_sealed(fd.as_fd(), 4).unwrap_err().kind(), io::ErrorKind::InvalidData);
    }
}
