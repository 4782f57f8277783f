//! Why a path was refused: which part of it, which rule, and what to do.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use nix::errno::Errno;

/// A path, or an ancestor of it, that was judged and refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Judged {
    /// The part that broke the rule: the path itself or one of its ancestors.
    pub path: PathBuf,
    /// The rule that it broke.
    pub rule: Rule,
}

/// What must hold of a path, and did not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rule {
    /// It must be absolute, with plain components only: no `.`, `..`, NUL, nor a slash at its end.
    Spelling,
    /// It must be no symbolic link, nor lie behind one.
    Link {
        /// Where the whole path leads now, if it leads anywhere.
        leads_to: Option<PathBuf>,
    },
    /// It must be of this kind: `directory`, `regular file`, `socket`.
    Kind {
        /// The kind that is needed.
        wanted: &'static str,
        /// The kind that it is.
        found: &'static str,
    },
    /// It must belong to one of these users.
    Owner {
        /// Its owner.
        found: u32,
        /// Who may own it.
        allowed: Vec<u32>,
    },
    /// It must belong to this group.
    Group {
        /// Its group.
        found: u32,
        /// The group that is needed.
        wanted: u32,
    },
    /// No one but its owner may write to it. (An ancestor that is root's and sticky, like /tmp, passes.)
    Writable {
        /// Its permission bits.
        mode: u32,
    },
    /// Its permission bits must be these.
    Mode {
        /// What they are.
        found: u32,
        /// What they must be.
        wanted: u32,
    },
    /// It must have one name only; another one (a hard link) can lie where others may write.
    Links {
        /// How many it has.
        found: u64,
    },
    /// It may be at most this long.
    TooLong {
        /// In bytes.
        max: u64,
    },
    /// It must be UTF-8 text.
    NotText,
    /// Who listens there must be this user.
    Listener {
        /// Who listens there, by its credentials.
        found: u32,
        /// Who must.
        wanted: u32,
    },
    /// The kernel refused a step.
    Kernel {
        /// The step, as a verb: `open`, `create`, `connect to`.
        step: &'static str,
        /// Its answer.
        errno: i32,
    },
}

impl Judged {
    /// A refusal of `path` by `rule`.
    pub(in crate::sys) fn new(path: &Path, rule: Rule) -> Judged {
        Judged { path: path.to_owned(), rule }
    }

    /// A refusal by the kernel.
    pub(in crate::sys) fn kernel(path: &Path, step: &'static str, errno: Errno) -> Judged {
        Judged::new(path, Rule::Kernel { step, errno: errno as i32 })
    }

    /// As [`Judged::kernel`], from what std makes of an errno.
    pub(in crate::sys) fn io(path: &Path, step: &'static str, error: &io::Error) -> Judged {
        Judged::new(path, Rule::Kernel { step, errno: error.raw_os_error().unwrap_or(Errno::EIO as i32) })
    }

    /// The kernel's errno, where it was the kernel that refused.
    #[must_use]
    pub fn errno(&self) -> Option<i32> {
        match self.rule {
            Rule::Kernel { errno, .. } => Some(errno),
            _ => None,
        }
    }
}

impl fmt::Display for Judged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Debug of a path escapes what would draw in a terminal.
        let path = &self.path;
        match &self.rule {
            Rule::Spelling => write!(
                f,
                "{path:?} is not spelt plainly: write an absolute path without `.`, `..`, and a slash at its end"
            ),
            Rule::Link { leads_to: Some(to) } => {
                write!(f, "{path:?} is a symbolic link, and none is followed: write {to:?} instead")
            }
            Rule::Link { leads_to: None } => write!(
                f,
                "{path:?} is a symbolic link, and none is followed: write the path that it stands for, or remove it"
            ),
            Rule::Kind { wanted, found } => {
                write!(f, "{path:?} is a {found}, and must be a {wanted}: remove it, or name another path")
            }
            Rule::Owner { found, allowed } => {
                write!(f, "{path:?} belongs to uid {found}, and must belong to ")?;
                for (i, uid) in allowed.iter().enumerate() {
                    let or = if i == 0 { "" } else { " or " };
                    write!(f, "{or}uid {uid}")?;
                }
                write!(f, ": `chown` it, or name another path")
            }
            Rule::Group { found, wanted } => {
                write!(f, "{path:?} belongs to gid {found}, and must belong to gid {wanted}: `chgrp` it")
            }
            Rule::Writable { mode } => write!(
                f,
                "{path:?} (mode {mode:04o}) can be written by others than its owner: `chmod go-w` it"
            ),
            Rule::Mode { found, wanted } => {
                write!(f, "{path:?} has mode {found:04o}, and must have {wanted:04o}: `chmod {wanted:o}` it")
            }
            Rule::Links { found } => write!(
                f,
                "{path:?} has {found} names (hard links), and must have one: replace it by a copy of its own"
            ),
            Rule::TooLong { max } => write!(f, "{path:?} is longer than {max} bytes"),
            Rule::NotText => write!(f, "{path:?} is not UTF-8 text"),
            Rule::Listener { found, wanted } => write!(
                f,
                "uid {found} listens at {path:?}, and uid {wanted} must: check which service runs there, or what \
                 the policy says of its owner"
            ),
            Rule::Kernel { step, errno } => {
                write!(f, "can't {step} {path:?}: {}", io::Error::from_raw_os_error(*errno))
            }
        }
    }
}

impl std::error::Error for Judged {}
