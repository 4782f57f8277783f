//! How durable a record has to be, what happens where it can't be written, and how much of it is kept.

use serde::{Deserialize, Serialize};

/// Where a decision's record has to be before its effect. Ordered: more is greater.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Durability {
    /// In the kernel: it survives the end of every process.
    #[default]
    Write,
    /// On the disk (fdatasync(2)): it survives a power cut.
    Sync,
}

/// What happens to a request that is allowed and can't be recorded.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum OnFailure {
    /// It is refused.
    #[default]
    Deny,
    /// Its record goes to the journal, and it is refused where that fails too.
    Journal,
}

/// How much of the record is kept. Whatever is exceeded, the oldest segments go first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Keep {
    /// Days since a segment's last record.
    pub days: u32,
    /// Bytes that closed segments take on the disk.
    pub bytes: u64,
    /// Closed segments, not counting a scribe's that seals one of them; `None`: any number.
    pub count: Option<u32>,
    /// Bytes that are to stay free on the file system, but never more than a tenth of it.
    pub free: u64,
}

impl Default for Keep {
    fn default() -> Keep {
        Keep { days: 90, bytes: 20 << 30, count: None, free: 256 << 20 }
    }
}
