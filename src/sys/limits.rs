//! The process's own: its descriptor limit, its umask, random bytes, what its kernel can; the clock that all share.

use std::io;
use std::time::Duration;

use nix::errno::Errno;
use nix::libc;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::stat::Mode;
use nix::time::{ClockId, clock_gettime};

/// Raises the soft limit of open descriptors (RLIMIT_NOFILE, `getrlimit(2)`) to the hard one.
///
/// Returns what the limit is now.
///
/// # Errors
///
/// What the kernel answered; the limit is then unchanged.
pub fn raise_open_files() -> io::Result<u64> {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    if soft < hard {
        setrlimit(Resource::RLIMIT_NOFILE, hard, hard)?;
    }
    Ok(hard)
}

/// The running kernel's Landlock ABI (`landlock_create_ruleset(2)`, LANDLOCK_CREATE_RULESET_VERSION).
///
/// # Errors
///
/// ENOSYS: not built in, or hidden by a filter; EOPNOTSUPP: not enabled at boot.
pub fn landlock_abi() -> Result<i32, Errno> {
    const VERSION: libc::c_uint = 1;
    let none = std::ptr::null::<libc::c_void>();
    // SAFETY: with the version flag the attribute is null and its size 0, as landlock_create_ruleset(2) wants it.
    let answer = unsafe { libc::syscall(libc::SYS_landlock_create_ruleset, none, 0_usize, VERSION) };
    Errno::result(answer).map(|version| i32::try_from(version).unwrap_or(i32::MAX))
}

/// Sets the process's umask (`umask(2)`), which all its threads share, and returns the one before.
///
/// The roles call it once, before anything is created: nothing in this house relies on a umask to narrow a
/// mode, and everything that is created is narrow at creation, so that a wide umask does no harm either.
pub fn umask(mask: u32) -> u32 {
    nix::sys::stat::umask(Mode::from_bits_truncate(mask)).bits()
}

/// The time since some moment before all processes of this machine (CLOCK_MONOTONIC, `clock_gettime(2)`): the same in each
/// of them.
#[must_use]
pub fn monotonic() -> Duration {
    let now = clock_gettime(ClockId::CLOCK_MONOTONIC);
    // The kernel always has this clock.
    now.map(Duration::from).unwrap_or_default()
}

/// `N` bytes from the kernel's random generator (`getrandom(2)`).
///
/// # Errors
///
/// What the kernel answered: ENOSYS or EPERM under a foreign seccomp filter.
pub fn random<const N: usize>() -> io::Result<[u8; N]> {
    let mut bytes = [0_u8; N];
    let mut filled = 0;
    while let Some(rest) = bytes.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        // SAFETY: `rest` is a live, exclusively borrowed byte slice, and the kernel writes at most `rest.len()`
        // bytes to its start.
        let got = unsafe { libc::getrandom(rest.as_mut_ptr().cast(), rest.len(), 0) };
        match Errno::result(got) {
            Ok(got) => filled += usize::try_from(got).unwrap_or(0),
            Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn random_two_draws_differ() {
        assert_ne!(random::<32>().unwrap(), random::<32>().unwrap());
        assert_eq!(random::<0>().unwrap(), [0u8; 0]);
    }

    #[test]
    fn open_files_raised_is_the_hard_limit() {
        let raised = raise_open_files().unwrap();
        assert_eq!(getrlimit(Resource::RLIMIT_NOFILE).unwrap(), (raised, raised));
    }
}
