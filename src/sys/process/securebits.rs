//! The securebits of this process (`capabilities(7)`, "The securebits flags"): what being root is worth.

use std::io;

use nix::errno::Errno;
use nix::libc;

/// Being root gives no capability at an exec, none can be made ambient, and neither this nor the rest can be
/// changed back: NOROOT, NO_CAP_AMBIENT_RAISE, and the locks of all four flags. NO_SETUID_FIXUP and KEEP_CAPS stay
/// off, so that leaving root drops every capability.
pub const LOCKED: u32 = 0b1110_1011;

/// What they are.
///
/// # Errors
///
/// What the kernel answered.
pub fn read() -> io::Result<u32> {
    // SAFETY: PR_GET_SECUREBITS takes no argument and touches no memory.
    let bits = unsafe { libc::prctl(libc::PR_GET_SECUREBITS) };
    Ok(Errno::result(bits)?.cast_unsigned())
}

/// Makes them [`LOCKED`].
///
/// # Errors
///
/// EPERM without CAP_SETPCAP, or where a lock is in the way.
pub fn lock() -> io::Result<()> {
    // SAFETY: PR_SET_SECUREBITS takes one integer and touches no memory.
    let answer = unsafe { libc::prctl(libc::PR_SET_SECUREBITS, libc::c_ulong::from(LOCKED)) };
    Ok(Errno::result(answer).map(drop)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::testing::{fork, is_root};

    #[test]
    fn securebits_locked_stay_locked() {
        if !is_root("locking securebits") {
            return;
        }
        let child = fork(&[], || {
            lock().unwrap();
            assert_eq!(read().unwrap(), LOCKED);
            // SAFETY: as in `lock`.
            assert_eq!(unsafe { libc::prctl(libc::PR_SET_SECUREBITS, 0) }, -1);
        });
        assert!(child.succeeded());
    }
}
