//! What the kernel says of this process, asked after everything was applied.

use std::fs::File;
use std::os::unix::fs::FileExt;

use nix::sys::prctl;
use nix::sys::resource::{Resource, getrlimit};

use crate::model::posture::{Confinement, LimitsHeld, ProcStatus};
use crate::sys::process::securebits;

/// /proc/self/status, opened while that still works: a descriptor outlives the right to open.
pub(super) struct Mirror(File);

impl Mirror {
    /// Opens it.
    pub(super) fn open() -> Result<Mirror, String> {
        File::open("/proc/self/status")
            .map(Mirror)
            .map_err(|error| format!("opening /proc/self/status: {error}"))
    }

    /// What it says now.
    pub(super) fn status(&self) -> Result<ProcStatus, String> {
        // A user may have 65,536 groups, and all of them stand in it.
        let mut text = vec![0; 1 << 20];
        let length =
            self.0.read_at(&mut text, 0).map_err(|error| format!("reading /proc/self/status: {error}"))?;
        text.truncate(length);
        ProcStatus::parse(&String::from_utf8_lossy(&text))
            .ok_or_else(|| "/proc/self/status lacks what every kernel says".to_owned())
    }
}

/// What seccomp will not let us ask any more, and does not change.
pub(super) fn before_seccomp() -> Result<Confinement, String> {
    let soft =
        |resource| getrlimit(resource).map(|(soft, _hard)| soft).map_err(|errno| errno.desc().to_owned());
    Ok(Confinement {
        securebits: securebits::read().map_err(|error| format!("reading securebits: {error}"))?,
        dumpable: prctl::get_dumpable().map_err(|errno| errno.desc().to_owned())?,
        limits: LimitsHeld {
            core: soft(Resource::RLIMIT_CORE)?,
            file_size: soft(Resource::RLIMIT_FSIZE)?,
            open_files: soft(Resource::RLIMIT_NOFILE)?,
        },
        ..Confinement::default()
    })
}
