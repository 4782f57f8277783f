//! What each role keeps, as one value: printed before anything is applied, applied, and compared with what the
//! kernel says afterwards.

use std::borrow::Cow;
use std::fmt;

use caps::Capability;

use super::seccomp::{self, Row, Table};
use super::terms::Terms;
use crate::model::app::{self, Sandbox};

/// A process of the daemon.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Accepts, names, connects, starts the others.
    Warden,
    /// Reads requests.
    Gate,
    /// Follows the record.
    Scribe,
    /// Reads the policy's file.
    Loader,
    /// Runs an embedding program's handlers.
    App,
    /// Looks after a command that runs.
    Runner,
    /// Keeps heads of the seals in a file.
    FileKeeper,
    /// Feeds heads of the seals to a command.
    CommandKeeper,
}

impl Role {
    /// All of them.
    pub const ALL: [Role; 8] = [
        Role::Warden,
        Role::Gate,
        Role::Scribe,
        Role::Loader,
        Role::App,
        Role::Runner,
        Role::FileKeeper,
        Role::CommandKeeper,
    ];

    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Role::Warden => "warden",
            Role::Gate => "gate",
            Role::Scribe => "scribe",
            Role::Loader => "loader",
            Role::App => "app",
            Role::Runner => "runner",
            Role::FileKeeper => "file-keeper",
            Role::CommandKeeper => "command-keeper",
        }
    }
}

/// Whom a role runs as.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// Real, effective and saved.
    pub uid: u32,
    /// Likewise.
    pub gid: u32,
    /// Supplementary groups. `None`: those that the daemon was started with.
    pub groups: Option<Vec<u32>>,
}

/// A capability that is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kept {
    /// Which.
    pub capability: Capability,
    /// What for.
    pub why: &'static str,
    /// Without it the role can't do its work; otherwise something may turn out not to be reachable.
    pub required: bool,
}

/// What a role may still reach by name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reach {
    /// What it is called here.
    pub what: Cow<'static, str>,
    /// To do what.
    pub access: Access,
    /// What for.
    pub why: &'static str,
}

/// To do what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Read files and directories; connect to named sockets.
    Read,
    /// And make, write, truncate and remove regular files.
    Write,
    /// And make and remove directories, and rename from one to another.
    Tree,
    /// Remove directories and nothing else.
    Clear,
    /// Connect to named sockets and nothing else; kernels before Linux 7.1 forbid that nowhere.
    Connect,
}

/// Landlock in a plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Walls {
    /// None, and why.
    None(&'static str),
    /// All that the running kernel knows is forbidden but this.
    AllBut {
        /// Files.
        files: Vec<Reach>,
        /// Which TCP connections are left.
        connects: Connects,
        /// Why signals are left, where they are.
        signals: Option<&'static str>,
    },
}

/// TCP connections in a plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Connects {
    /// None.
    Nowhere,
    /// Any, and why.
    Anywhere(&'static str),
    /// To these ports.
    Ports(Vec<u16>),
}

/// A role's plan.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Whose.
    pub role: Role,
    /// Whom it runs as; `None`: it keeps what it was started with.
    pub identity: Option<Identity>,
    /// What stays in the permitted, effective and bounding set; nothing in the others.
    pub capabilities: Vec<Kept>,
    /// Landlock.
    pub walls: Walls,
    /// seccomp; none where it is empty.
    pub table: Table,
    /// RLIMIT_FSIZE; RLIMIT_CORE is 0 for all.
    pub file_size: Option<u64>,
}

impl Plan {
    /// A gate's: nothing at all.
    #[must_use]
    pub fn gate(identity: Option<Identity>, terms: &Terms) -> Plan {
        Plan {
            role: Role::Gate,
            identity,
            capabilities: Vec::new(),
            walls: sealed_but(Vec::new()),
            table: [seccomp::COMMON, seccomp::NO_FILES, seccomp::GATE].concat(),
            file_size: terms.file_size,
        }
    }

    /// The scribe's: its directories.
    #[must_use]
    pub fn scribe(identity: Option<Identity>, rolling: bool) -> Plan {
        let mut files = vec![Reach {
            what: Cow::Borrowed(AUDIT),
            access: Access::Read,
            why: "which segments there are; all that it writes comes as a descriptor",
        }];
        let mut table = [seccomp::COMMON, seccomp::SCRIBE].concat();
        if rolling {
            files.push(Reach {
                what: Cow::Borrowed(DIAGNOSTICS),
                access: Access::Write,
                why: "the day's file of all roles' diagnostics",
            });
            table.extend(seccomp::SCRIBE_ROLLING);
        } else {
            table.extend(seccomp::NO_FILES);
        }
        Plan {
            role: Role::Scribe,
            identity,
            capabilities: Vec::new(),
            walls: sealed_but(files),
            table,
            // It writes the diagnostics, which have no bound of ours: to stderr, which may be a file, or to rolling ones.
            file_size: None,
        }
    }

    /// The loader's: it may read, and ask name services.
    #[must_use]
    pub fn loader() -> Plan {
        Plan {
            role: Role::Loader,
            identity: None,
            capabilities: Vec::new(),
            walls: Walls::AllBut {
                files: vec![Reach {
                    what: Cow::Borrowed(EVERYTHING),
                    access: Access::Read,
                    why: "the policy's file; what name services read",
                }],
                connects: Connects::Anywhere("a name service may be another machine's"),
                signals: None,
            },
            table: seccomp::LOADER.to_vec(),
            file_size: None,
        }
    }

    /// Of the process that keeps heads in a file: that file's directory.
    #[must_use]
    pub fn file_keeper() -> Plan {
        Plan {
            role: Role::FileKeeper,
            identity: None,
            capabilities: Vec::new(),
            walls: sealed_but(vec![Reach {
                what: Cow::Borrowed(WITNESS),
                access: Access::Write,
                why: "the file that heads go into, which may be moved away and made again",
            }]),
            table: [seccomp::perhaps(seccomp::COMMON).as_slice(), seccomp::KEEPER].concat(),
            file_size: None,
        }
    }

    /// Of the process that feeds heads to a command, and of the command.
    #[must_use]
    pub fn command_keeper(identity: Option<Identity>) -> Plan {
        Plan {
            role: Role::CommandKeeper,
            identity,
            capabilities: Vec::new(),
            walls: Walls::None(UNKNOWN),
            table: Vec::new(),
            file_size: None,
        }
    }

    /// An app's: what the embedding program declared, in the places that the policy gives it.
    #[must_use]
    pub fn app(identity: Option<Identity>, sandbox: &Sandbox) -> Plan {
        let reach = |placed: &app::Placed| Reach {
            what: Cow::Owned(placed.path.clone()),
            access: match placed.directory.access {
                app::Access::Read => Access::Read,
                app::Access::Write => Access::Tree,
            },
            why: "the program declares it",
        };
        let mut table = [seccomp::COMMON, seccomp::APP].concat();
        let connects = if sandbox.ports.is_empty() {
            Connects::Nowhere
        } else {
            table.extend(seccomp::APP_TCP);
            Connects::Ports(sandbox.ports.clone())
        };
        Plan {
            role: Role::App,
            identity,
            capabilities: Vec::new(),
            walls: Walls::AllBut {
                files: sandbox.directories.iter().map(reach).collect(),
                connects,
                signals: None,
            },
            table,
            file_size: None,
        }
    }

    /// Of a runner once its command waits to begin, which was forked before and has none of this. `has_group`: the command
    /// has a control group of its own. As root it has to end what runs as others.
    #[must_use]
    pub fn runner(root: bool, has_group: bool) -> Plan {
        let kill =
            Kept { capability: Capability::CAP_KILL, why: "ends what runs as other users", required: true };
        let group = Reach {
            what: Cow::Borrowed(GROUP),
            access: Access::Clear,
            why: "the command's own group goes once it is empty",
        };
        let control = Reach {
            what: Cow::Borrowed(CONTROL),
            access: Access::Connect,
            why: "the next daemon is told how a command ended whose daemon is gone",
        };
        Plan {
            role: Role::Runner,
            identity: None,
            capabilities: root.then_some(kill).into_iter().collect(),
            walls: Walls::AllBut {
                files: has_group.then_some(group).into_iter().chain([control]).collect(),
                connects: Connects::Nowhere,
                signals: Some("the command is outside of these walls, and has to be ended"),
            },
            table: [seccomp::COMMON, seccomp::NO_FILES, seccomp::RUNNER].concat(),
            file_size: None,
        }
    }

    /// The warden's: what looking at callers, starting roles and this policy need. Apps need calls of their own, which
    /// its filters have to let pass where there are any.
    #[must_use]
    pub fn warden(capabilities: Vec<Kept>, apps: bool) -> Plan {
        let apps: &[&[Row]] = if apps { &[seccomp::APP, seccomp::APP_TCP] } else { &[] };
        let all = [
            seccomp::START,
            seccomp::COMMON,
            seccomp::GATE,
            seccomp::SCRIBE,
            seccomp::SCRIBE_ROLLING,
            seccomp::LOADER,
        ];
        Plan {
            role: Role::Warden,
            identity: None,
            capabilities,
            walls: Walls::None(
                "a process that Landlock holds may not look at others (their /proc/PID/exe and namespaces), and \
                 looking at callers is the warden's work",
            ),
            table: seccomp::and_what_it_starts(seccomp::WARDEN, &[&all, apps].concat()),
            file_size: None,
        }
    }

    /// The mask of the capabilities that are kept.
    #[must_use]
    pub fn mask(&self) -> u64 {
        self.capabilities.iter().fold(0, |mask, kept| mask | kept.capability.bitmask())
    }

    /// The mask of those without which the role can't do its work.
    #[must_use]
    pub fn required(&self) -> u64 {
        let required = self.capabilities.iter().filter(|kept| kept.required);
        required.fold(0, |mask, kept| mask | kept.capability.bitmask())
    }

    /// The rows that may be called, and those that answer ENOSYS.
    #[must_use]
    pub fn rows(&self) -> (u16, u16) {
        seccomp::counts(&self.table)
    }

    /// How many rules of Landlock give something back.
    #[must_use]
    pub fn rules(&self) -> u16 {
        match &self.walls {
            Walls::None(_) => 0,
            Walls::AllBut { files, connects, .. } => {
                let ports = if let Connects::Ports(ports) = connects { ports.len() } else { 0 };
                u16::try_from(files.len() + ports).unwrap_or(u16::MAX)
            }
        }
    }
}

/// All is forbidden but these files.
fn sealed_but(files: Vec<Reach>) -> Walls {
    Walls::AllBut { files, connects: Connects::Nowhere, signals: None }
}

/// The audit directory.
pub const AUDIT: &str = "the audit directory";
/// The directory of rolling diagnostics.
pub const DIAGNOSTICS: &str = "the diagnostics directory";
/// The directory of the witness's file.
pub const WITNESS: &str = "the witness's directory";
/// The directory of a runner's own control group.
pub const GROUP: &str = "its control group";
/// The directory of the daemon's control socket.
pub const CONTROL: &str = "the directory of the control socket";
/// Why there is less for a command that the policy names.
const UNKNOWN: &str = "nobody knows what a command of the policy's needs";
/// The root directory.
pub const EVERYTHING: &str = "/";

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.role.name())?;
        match &self.identity {
            None => writeln!(f, "  runs as       whom the daemon was started as")?,
            Some(Identity { uid, gid, groups }) => {
                let groups = match groups.as_deref() {
                    Some([]) => "none".to_owned(),
                    Some(groups) => groups.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "),
                    None => "the daemon's".to_owned(),
                };
                writeln!(f, "  runs as       uid {uid}, gid {gid}, supplementary groups: {groups}")?;
            }
        }
        if self.capabilities.is_empty() {
            writeln!(f, "  capabilities  none, in any set")?;
        }
        for (place, Kept { capability, why, .. }) in self.capabilities.iter().enumerate() {
            let label = if place == 0 { "capabilities" } else { "" };
            writeln!(f, "  {label:<12}  {capability}: {why}")?;
        }
        writeln!(
            f,
            "  no_new_privs  set; not dumpable; securebits: no rights by being root, no ambient ones"
        )?;
        let size = self.file_size.map_or_else(|| "unlimited".to_owned(), |bytes| format!("{bytes} bytes"));
        writeln!(f, "  limits        core 0, file size {size}")?;
        match &self.walls {
            Walls::None(why) => writeln!(f, "  Landlock      none: {why}")?,
            Walls::AllBut { files, connects, signals } => {
                let more = if signals.is_some() { "" } else { ", signals" };
                writeln!(
                    f,
                    "  Landlock      all rights that the kernel knows are gone: files, TCP, abstract sockets{more}"
                )?;
                if let Some(why) = signals {
                    writeln!(f, "                but signals: {why}")?;
                }
                for Reach { what, access, why } in files {
                    let access = match access {
                        Access::Read => "to read",
                        Access::Write => "to write",
                        Access::Tree => "to write, directories too",
                        Access::Clear => "to remove directories",
                        Access::Connect => "to connect to sockets",
                    };
                    writeln!(f, "                but {what}, {access}: {why}")?;
                }
                match connects {
                    Connects::Nowhere => {}
                    Connects::Anywhere(why) => writeln!(f, "                but TCP connections: {why}")?,
                    Connects::Ports(ports) => {
                        let ports: Vec<String> = ports.iter().map(ToString::to_string).collect();
                        let ports = ports.join(", ");
                        writeln!(
                            f,
                            "                but TCP connections to {ports}: the program declares them"
                        )?;
                    }
                }
            }
        }
        if self.table.is_empty() {
            return writeln!(f, "  seccomp       none: {UNKNOWN}");
        }
        let (allowed, absent) = self.rows();
        writeln!(f, "  seccomp       {allowed} calls, {absent} that answer ENOSYS; any other kills")?;
        self.table.iter().try_for_each(|row: &Row| writeln!(f, "                {row}: {}", row.why))
    }
}
