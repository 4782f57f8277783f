//! What the warden and the runner of one command say to each other; the same whether the service manager started the
//! runner or a launcher of our own.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::model::ids::RequestId;
use crate::model::posture::Confinement;
use crate::model::probe::{Found, Trial};
use crate::policy::{Argument, Bounds, Cage};

/// So long after the warden gave a job to a runner its program may begin: less than the warden waits for, and more than
/// anything needs but a file system that somebody holds up on the way to what lies below a directory.
pub const BEGIN: Duration = Duration::from_secs(15);

/// The warden to a runner.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ToRunner {
    /// First message: run this. Descriptor: the link to the gate, a stream socket.
    Run(Box<Job>),
    /// First message in place of that: try something instead. Descriptor: what might be a client's connection.
    Try {
        /// What.
        trial: Box<Trial>,
        /// The terms of its confinement, as in a [`Job`].
        terms: String,
        /// The daemon's control socket.
        control: String,
        /// As whom its control group is named, where it has one.
        id: RequestId,
    },
    /// The caller is gone.
    CallerLeft,
    /// The end that it told of is noted: nobody else needs to hear of it.
    Noted,
}

/// The warden to the launcher.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ToLauncher {
    /// Start a runner. Descriptor: its channel.
    Start,
}

/// All that a runner has to know.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Job {
    /// The request, as records name it.
    pub id: RequestId,
    /// The daemon's control socket: where a runner tells of the end whose warden is gone.
    pub control: String,
    /// Absolute path of the program.
    pub program: String,
    /// What follows its name.
    pub arguments: Vec<Argument>,
    /// Whom and where it runs as.
    pub cage: Cage,
    /// For how long, and how much it may say.
    pub bounds: Bounds,
    /// Whether the link brings it input.
    pub stdin: bool,
    /// How the answer looks.
    pub form: Form,
    /// The status of the answer by exit code, as in the policy.
    pub statuses: Vec<(u8, u16)>,
    /// The terms under which the runner confines itself, as [`Terms`](crate::confine::Terms) prints them.
    pub terms: String,
    /// Until when its program may begin, by the machine's monotonic clock, in milliseconds: [`BEGIN`] after it was given
    /// away. Later it may have been put down as not started.
    pub until: u64,
}

/// How an answer looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Form {
    /// Plain text, whole, once the command has ended; its status says how.
    Whole,
    /// Plain text as it comes; an end that is no success cuts the answer.
    Live,
    /// A JSON object a line, as it comes, the last one with the end.
    Lines,
    /// Server-sent events, as they come, the last one with the end.
    Events,
}

/// A runner to the warden.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum FromRunner {
    /// It runs.
    Started {
        /// Its process.
        pid: u32,
        /// The runner's own.
        runner: u32,
        /// What the runner found when it read its own confinement back, before the command began.
        confined: Box<Confinement>,
        /// Whether the command has a control group of its own.
        has_group: bool,
    },
    /// It could not be started.
    NotStarted {
        /// Why, in words for people.
        why: String,
    },
    /// It ended, and everything that it had started.
    Ended(Box<Ended>),
    /// What came of a try.
    Tried(Found),
    /// The process that tried is gone.
    TryEnded {
        /// Its pid.
        pid: u32,
        /// How.
        how: How,
    },
}

/// How a command ended, and what it used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ended {
    /// The request.
    pub id: RequestId,
    /// Its exit code, or the signal that it died of.
    pub how: How,
    /// Whether it was made to end, and why.
    pub why: Why,
    /// Bytes on stdout.
    pub out: u64,
    /// Bytes on stderr.
    pub err: u64,
    /// From start to end, in microseconds.
    pub us: u64,
    /// Processor time, in microseconds.
    pub cpu_us: u64,
    /// The largest resident set of one of its processes, in KiB.
    pub rss_kib: u64,
}

/// Exit code or signal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum How {
    /// It ended by itself, with this code.
    Code(u8),
    /// By this signal.
    Signal(i32),
}

/// Why a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Why {
    /// It was done.
    Done,
    /// Its time was over.
    Timeout,
    /// Its caller left.
    CallerLeft,
    /// It said too much.
    Output,
}

impl Why {
    /// Its word, in records and answers.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Why::Done => "done",
            Why::Timeout => "timeout",
            Why::CallerLeft => "caller-left",
            Why::Output => "output",
        }
    }
}
