//! A command as it is meant: which program, with which arguments, as whom, within which bounds.

use serde::{Deserialize, Serialize};

use super::super::value::Kind;
use crate::model::caller::{Gid, Uid};

/// `[backend.NAME] command = […]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Command {
    /// Absolute path of the program.
    pub program: String,
    /// What follows its name.
    pub arguments: Vec<Template>,
    /// What callers fill in; a [`Part::Parameter`] is a place in this list.
    pub parameters: Vec<Parameter>,
    /// Whom and where it runs as.
    pub cage: Cage,
    /// For how long, and how much it may say.
    pub bounds: Bounds,
    /// The most bytes of the request's body that it gets as its input; `None`: it gets none.
    pub stdin: Option<u64>,
    /// The status of an answer by exit code, where it is another than [`Command::status`] says.
    pub statuses: Vec<(u8, u16)>,
    /// So many may run at the same time.
    pub concurrent: u32,
    /// So many more may wait for their turn.
    pub queue: u32,
}

/// One argument.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Template(pub Vec<Part>);

/// A part of an argument.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Part {
    /// As it is written.
    Text(String),
    /// A place in [`Command::parameters`].
    Parameter(u16),
}

/// What a caller fills in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Parameter {
    /// Its name.
    pub name: String,
    /// Where it comes from.
    pub from: Origin,
    /// What it may be.
    pub kind: Wanted,
    /// It may be left out; an argument that holds it is left out then.
    pub optional: bool,
    /// Records have its hash.
    pub secret: bool,
    /// It may begin with `-`.
    pub dash: bool,
    /// It may be empty.
    pub empty: bool,
}

/// Where a parameter comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Origin {
    /// A capture of the route's pattern.
    Path,
    /// The query.
    Query,
    /// A member of the JSON body.
    Body,
}

/// What a parameter may be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Wanted {
    /// A value of this kind.
    Value(Kind),
    /// What lies below a directory, by its path from there.
    Below {
        /// The directory, absolute.
        directory: String,
        /// The program gets the path of an open descriptor of it, which leads nowhere else whatever its name leads to
        /// by then; otherwise the path as it was written.
        opened: bool,
    },
}

/// Whom and where a command runs as.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cage {
    /// The user's name, for records and in `USER` and `LOGNAME`.
    pub user: String,
    /// Its id.
    pub uid: Uid,
    /// Its group.
    pub gid: Gid,
    /// All its groups.
    pub groups: Vec<Gid>,
    /// The whole environment.
    pub environment: Vec<(String, String)>,
    /// Where it begins.
    pub directory: String,
    /// Bits that its new files don't get.
    pub umask: u32,
    /// Its limits, hard and soft alike.
    pub rlimits: Vec<(Rlimit, u64)>,
    /// Whether it may gain rights by what it executes (`sudo`, setuid programs).
    pub new_privileges: bool,
    /// What it may reach; `None`: whatever its user may.
    pub sandbox: Option<Sandbox>,
}

/// What a command may reach.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sandbox {
    /// Files and directories that it may read.
    pub read: Vec<String>,
    /// And write, make and remove.
    pub write: Vec<String>,
    /// And execute (and read).
    pub exec: Vec<String>,
    /// TCP ports that it may connect to; `None`: any.
    pub tcp: Option<Vec<u16>>,
}

/// For how long, and how much.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bounds {
    /// Milliseconds that it may run.
    pub timeout_ms: u64,
    /// Milliseconds between asking it to end and ending it.
    pub grace_ms: u64,
    /// The most bytes of its output.
    pub output: u64,
    /// What its caller's leaving means.
    pub on_leave: OnLeave,
}

/// What becomes of a command whose caller leaves, or whose daemon is restarted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum OnLeave {
    /// It is ended.
    Kill,
    /// It runs to its end.
    Finish,
}

/// A limit of `setrlimit(2)`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Rlimit {
    /// Bytes of address space.
    Memory,
    /// Seconds of processor time.
    Cpu,
    /// Bytes of a file.
    FileSize,
    /// Open descriptors.
    Files,
    /// Processes of its user.
    Processes,
    /// Bytes of a core file.
    Core,
}

impl Rlimit {
    /// Each as it is written.
    pub const NAMES: [(&'static str, Rlimit); 6] = [
        ("memory", Rlimit::Memory),
        ("cpu", Rlimit::Cpu),
        ("file_size", Rlimit::FileSize),
        ("files", Rlimit::Files),
        ("processes", Rlimit::Processes),
        ("core", Rlimit::Core),
    ];
}

impl Command {
    /// The status of an answer to a command that ended with this exit code, or by a signal.
    #[must_use]
    pub fn status(statuses: &[(u8, u16)], code: Option<u8>) -> u16 {
        let written = code.and_then(|code| statuses.iter().find(|(known, _)| *known == code));
        match (written, code) {
            (Some((_, status)), _) => *status,
            (None, Some(0)) => 200,
            (None, _) => 502,
        }
    }
}
