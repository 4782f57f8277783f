//! Signals, read from a descriptor like everything else.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};

/// What a signal asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Asked {
    /// SIGTERM, SIGINT: finish and go.
    Stop,
    /// SIGHUP: load the policy again.
    Reload,
}

/// The blocked signals' descriptor.
pub(super) struct Signals(SignalFd);

impl Signals {
    /// Blocks SIGTERM, SIGINT and SIGHUP and reads them from now on; children get a fresh mask.
    pub(super) fn take() -> io::Result<Signals> {
        // A record that grows beyond RLIMIT_FSIZE fails (EFBIG) and is followed by another segment; it must not end us.
        let mut too_long = SigSet::empty();
        too_long.add(Signal::SIGXFSZ);
        too_long.thread_block()?;
        let mut set = SigSet::empty();
        for signal in [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP] {
            set.add(signal);
        }
        set.thread_block()?;
        Ok(Signals(SignalFd::with_flags(&set, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC)?))
    }

    /// The next one that came, if any.
    pub(super) fn next(&self) -> io::Result<Option<Asked>> {
        let Some(info) = self.0.read_signal()? else { return Ok(None) };
        let hangup = i64::from(info.ssi_signo) == i64::from(Signal::SIGHUP as i32);
        Ok(Some(if hangup { Asked::Reload } else { Asked::Stop }))
    }
}

impl AsFd for Signals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
