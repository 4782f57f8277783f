//! What confines a process, as the kernel says it: plain values that travel between the roles and are shown.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A layer of confinement, by the name under which it can be missed, accepted and shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Layer {
    /// User, group and supplementary groups of the role's own.
    Identity,
    /// No capability beyond the plan's, in any of the five sets (`capabilities(7)`).
    Capabilities,
    /// `PR_SET_NO_NEW_PRIVS(2const)`.
    NoNewPrivs,
    /// Nobody of the same user may look into it (`PR_SET_DUMPABLE(2const)`).
    Dumpable,
    /// No core file, and the plan's other limits (`getrlimit(2)`).
    Limits,
    /// `landlock(7)`.
    Landlock,
    /// `seccomp(2)`.
    Seccomp,
}

impl Layer {
    /// All of them, in the order in which they are applied.
    pub const ALL: [Layer; 7] = [
        Layer::Identity,
        Layer::Capabilities,
        Layer::NoNewPrivs,
        Layer::Dumpable,
        Layer::Limits,
        Layer::Landlock,
        Layer::Seccomp,
    ];

    /// Its name on the command line, in records and in what is shown.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Layer::Identity => "identity",
            Layer::Capabilities => "capabilities",
            Layer::NoNewPrivs => "no-new-privs",
            Layer::Dumpable => "dumpable",
            Layer::Limits => "limits",
            Layer::Landlock => "landlock",
            Layer::Seccomp => "seccomp",
        }
    }

    /// The layer of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Layer> {
        Layer::ALL.into_iter().find(|layer| layer.name() == name)
    }
}

impl fmt::Display for Layer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What `/proc/PID/status` says of a process (`proc_pid_status(5)`).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcStatus {
    /// Real, effective, saved and file-system uid.
    pub uids: [u32; 4],
    /// Likewise the gids.
    pub gids: [u32; 4],
    /// Supplementary groups.
    pub groups: Vec<u32>,
    /// Its capability sets.
    pub capabilities: CapabilitySets,
    /// It can gain nothing by an exec.
    pub no_new_privs: bool,
    /// 0: none, 1: strict, 2: filters.
    pub seccomp_mode: u8,
    /// How many filters; 0 where the kernel does not say (before 5.9).
    pub seccomp_filters: u32,
    /// Threads.
    pub threads: u32,
}

/// The five sets as bit masks; bit n is capability n of `linux/capability.h`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CapabilitySets {
    /// CapInh
    pub inheritable: u64,
    /// CapPrm
    pub permitted: u64,
    /// CapEff
    pub effective: u64,
    /// CapBnd
    pub bounding: u64,
    /// CapAmb
    pub ambient: u64,
}

impl ProcStatus {
    /// The uid that counts.
    #[must_use]
    pub fn effective_uid(&self) -> u32 {
        let [_real, effective, ..] = self.uids;
        effective
    }

    /// Reads the kernel's text. `None` where a line that every kernel since 4.10 has is not there or not as it
    /// should be: what can't be read is not taken for good.
    #[must_use]
    pub fn parse(text: &str) -> Option<ProcStatus> {
        let line = |name: &str| {
            text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).map(str::trim)
        };
        let numbers = |name: &str| -> Option<Vec<u32>> {
            line(name)?.split_whitespace().map(|number| number.parse().ok()).collect()
        };
        let mask = |name: &str| u64::from_str_radix(line(name)?, 16).ok();
        let small = |name: &str| line(name)?.parse::<u32>().ok();
        Some(ProcStatus {
            uids: numbers("Uid")?.try_into().ok()?,
            gids: numbers("Gid")?.try_into().ok()?,
            groups: numbers("Groups")?,
            capabilities: CapabilitySets {
                inheritable: mask("CapInh")?,
                permitted: mask("CapPrm")?,
                effective: mask("CapEff")?,
                bounding: mask("CapBnd")?,
                ambient: mask("CapAmb")?,
            },
            no_new_privs: small("NoNewPrivs")? == 1,
            seccomp_mode: u8::try_from(small("Seccomp")?).ok()?,
            seccomp_filters: small("Seccomp_filters").unwrap_or(0),
            threads: small("Threads")?,
        })
    }
}

/// What a role found when it read itself back, after all of it was applied.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Confinement {
    /// The kernel's text.
    pub status: ProcStatus,
    /// `PR_GET_SECUREBITS(2const)`.
    pub securebits: u32,
    /// `PR_GET_DUMPABLE(2const)`.
    pub dumpable: bool,
    /// RLIMIT_CORE, RLIMIT_FSIZE and RLIMIT_NOFILE; `u64::MAX` is unlimited.
    pub limits: LimitsHeld,
    /// What Landlock holds; `None` where the role's plan has none, or it is missing and accepted.
    pub landlock: Option<LandlockHeld>,
    /// Rows of the role's table that may be called, and that answer ENOSYS; 0 where seccomp is missing.
    pub seccomp_rows: (u16, u16),
    /// A violation is only logged.
    pub seccomp_logs: bool,
    /// Layers that could not be applied and were accepted by name.
    pub missing: Vec<Layer>,
}

/// Limits that were read back, soft ones.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LimitsHeld {
    /// RLIMIT_CORE, bytes.
    pub core: u64,
    /// RLIMIT_FSIZE, bytes.
    pub file_size: u64,
    /// RLIMIT_NOFILE.
    pub open_files: u64,
}

/// What of Landlock is in force.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LandlockHeld {
    /// The running kernel's ABI.
    pub abi: u32,
    /// Errata that the running kernel has mended, as bits (ABI 7 and later say them).
    pub errata: u32,
    /// File system rights that are handled, so that they are gone but where a rule gives them; as bits.
    pub fs: u64,
    /// Likewise for the network.
    pub net: u64,
    /// Scopes.
    pub scopes: u64,
    /// How many rules give something back.
    pub rules: u16,
}

/// How a layer stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Grade {
    /// As planned.
    Green,
    /// Less than this machine could give, by the operator's word or for want of rights.
    Amber,
    /// What is promised is not there.
    Red,
}

/// One layer's verdict.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// Which.
    pub layer: Layer,
    /// How it stands.
    pub grade: Grade,
    /// What was found, and where it is not green, why that matters.
    pub what: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "Name:\tpeergated\nUid:\t1\t2\t3\t4\nGid:\t5\t6\t7\t8\nGroups:\t9 10 \nThreads:\t2\n\
        CapInh:\t0000000000000000\nCapPrm:\t0000000000000001\nCapEff:\t0000000000000002\n\
        CapBnd:\t000001ffffffffff\nCapAmb:\t0000000000000004\nNoNewPrivs:\t1\nSeccomp:\t2\nSeccomp_filters:\t3\n";

    #[test]
    fn status_is_read_from_the_kernels_text() {
        let status = ProcStatus::parse(TEXT).unwrap();
        assert_eq!(
            (status.uids, status.gids, &status.groups[..]),
            ([1, 2, 3, 4], [5, 6, 7, 8], &[9, 10][..])
        );
        let sets = CapabilitySets {
            inheritable: 0,
            permitted: 1,
            effective: 2,
            bounding: 0x1ff_ffff_ffff,
            ambient: 4,
        };
        assert_eq!((status.capabilities, status.no_new_privs), (sets, true));
        assert_eq!((status.seccomp_mode, status.seccomp_filters, status.threads), (2, 3, 2));
    }

    #[test]
    fn status_without_one_of_its_lines_is_none() {
        for line in TEXT.lines().filter(|line| !line.starts_with("Name") && !line.starts_with("Seccomp_f")) {
            assert_eq!(ProcStatus::parse(&TEXT.replace(line, "")), None, "{line}");
        }
        assert_eq!(ProcStatus::parse(&TEXT.replace("Seccomp_filters:\t3\n", "")).unwrap().seccomp_filters, 0);
    }

    #[test]
    fn layer_names_lead_back() {
        assert!(Layer::ALL.into_iter().all(|layer| Layer::named(layer.name()) == Some(layer)));
        assert_eq!(Layer::named("everything"), None);
    }
}
