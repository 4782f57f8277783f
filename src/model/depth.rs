//! How much of a caller is asked of the kernel. Credentials, groups, namespace and real uid always are; the rest
//! costs time, so only what a rule or the record wants is read.

/// What is read of a caller beside what authorises.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Depth {
    /// When its process started.
    pub start: bool,
    /// The program that it runs.
    pub program: bool,
    /// Its systemd unit.
    pub unit: bool,
    /// Its login uid.
    pub login_uid: bool,
    /// Its security label.
    pub label: bool,
}

impl Depth {
    /// Nothing more.
    pub const CHEAP: Depth =
        Depth { start: false, program: false, unit: false, login_uid: false, label: false };
    /// All there is.
    pub const FULL: Depth = Depth { start: true, program: true, unit: true, login_uid: true, label: true };

    /// What one of the two wants.
    #[must_use]
    pub fn and(self, other: Depth) -> Depth {
        Depth {
            start: self.start || other.start,
            program: self.program || other.program,
            unit: self.unit || other.unit,
            login_uid: self.login_uid || other.login_uid,
            label: self.label || other.label,
        }
    }

    /// Whether `/proc/PID` has to be asked.
    #[must_use]
    pub fn looks_at_the_process(self) -> bool {
        self.start || self.program || self.unit || self.login_uid
    }
}
