//! A plan held against what the kernel says: layer by layer, good, weaker than it could be, or broken.

use super::plan::{Plan, Walls};
use crate::model::posture::{Confinement, Finding, Grade, LandlockHeld, Layer, ProcStatus};
use crate::sys::process::securebits;

/// The lowest ABI that stops TCP and the one that has scopes (`landlock(7)`).
const TCP: u32 = 4;
const SCOPES: u32 = 6;

impl Plan {
    /// What the kernel says of a process of this role, whoever asked it.
    #[must_use]
    pub fn judge_status(&self, status: &ProcStatus, as_root: bool) -> Vec<Finding> {
        vec![
            self.identity_of(status),
            self.capabilities_of(status, as_root),
            no_new_privs(status),
            self.seccomp_of(status),
        ]
    }

    /// What a role found when it read itself back.
    #[must_use]
    pub fn judge(&self, held: &Confinement, as_root: bool) -> Vec<Finding> {
        let mut findings = self.judge_status(&held.status, as_root);
        if held.seccomp_rows == (0, 0) && !self.table.is_empty() {
            // What it inherited is no filter of its own.
            findings.retain(|finding| finding.layer != Layer::Seccomp);
            findings.push(red(Layer::Seccomp, "no filter of its own".to_owned()));
        }
        if held.seccomp_logs {
            findings.push(amber(Layer::Seccomp, "violations are only logged (--seccomp=log)".to_owned()));
        }
        findings.push(if held.dumpable {
            red(Layer::Dumpable, "processes of the same user may look into it".to_owned())
        } else {
            green(Layer::Dumpable, "not dumpable".to_owned())
        });
        findings.push(self.limits_of(held));
        findings.extend(self.landlock_of(held));
        if as_root && held.securebits & 0xff != securebits::LOCKED {
            findings.push(red(Layer::Capabilities, format!("securebits are {:#x}", held.securebits)));
        }
        // What was accepted by name is known to be missing, whatever it looks like.
        for finding in findings.iter_mut().filter(|finding| held.missing.contains(&finding.layer)) {
            if finding.grade == Grade::Red {
                *finding = amber(finding.layer, format!("missing, and accepted: {}", finding.what));
            }
        }
        findings.sort_by_key(|finding| finding.layer);
        findings
    }

    fn seccomp_of(&self, status: &ProcStatus) -> Finding {
        if self.table.is_empty() {
            return amber(
                Layer::Seccomp,
                "none is planned: it may make any call that its ids allow".to_owned(),
            );
        }
        seccomp(status)
    }

    fn identity_of(&self, status: &ProcStatus) -> Finding {
        let ([uid, others @ ..], [gid, other_gids @ ..]) = (status.uids, status.gids);
        let found = format!("uid {uid}, gid {gid}, {} supplementary groups", status.groups.len());
        if others.iter().any(|other| *other != uid) || other_gids.iter().any(|other| *other != gid) {
            return red(Layer::Identity, format!("its ids differ: {:?} {:?}", status.uids, status.gids));
        }
        match &self.identity {
            Some(wanted) if wanted.uid != uid || wanted.gid != gid => red(
                Layer::Identity,
                format!("{found}; uid {} and gid {} are planned", wanted.uid, wanted.gid),
            ),
            Some(wanted) if wanted.groups.as_ref().is_some_and(|groups| *groups != status.groups) => {
                red(Layer::Identity, format!("{found}; other groups are planned"))
            }
            _ => green(Layer::Identity, found),
        }
    }

    fn capabilities_of(&self, status: &ProcStatus, as_root: bool) -> Finding {
        let (sets, keep) = (&status.capabilities, self.mask());
        let beyond = (sets.inheritable | sets.ambient) | ((sets.permitted | sets.effective) & !keep);
        let found = if keep == 0 { "none".to_owned() } else { format!("{} kept", keep.count_ones()) };
        if beyond != 0 {
            red(Layer::Capabilities, format!("more than planned: {beyond:#x}"))
        } else if as_root && self.required() & !sets.effective != 0 {
            let missing = self.named(self.required() & !sets.effective);
            red(Layer::Capabilities, format!("less than planned, {missing}"))
        } else if as_root && keep & !sets.effective != 0 {
            amber(Layer::Capabilities, format!("{found}; without {}", self.named(keep & !sets.effective)))
        } else if sets.bounding & !keep == 0 {
            green(Layer::Capabilities, found)
        } else if as_root {
            red(
                Layer::Capabilities,
                format!("the bounding set holds {:#x} beyond the plan", sets.bounding & !keep),
            )
        } else {
            amber(Layer::Capabilities, format!("{found}; an ordinary user can't empty the bounding set"))
        }
    }

    /// Capabilities of the plan with what each is for.
    fn named(&self, mask: u64) -> String {
        let named = self.capabilities.iter().filter(|kept| kept.capability.bitmask() & mask != 0);
        let words: Vec<String> = named.map(|kept| format!("{}: {}", kept.capability, kept.why)).collect();
        words.join("; ")
    }

    fn limits_of(&self, held: &Confinement) -> Finding {
        let limits = &held.limits;
        if limits.core != 0 {
            return red(Layer::Limits, format!("a core file of {} bytes may be written", limits.core));
        }
        match self.file_size {
            Some(most) if limits.file_size > most => red(
                Layer::Limits,
                format!("files may grow to {} bytes; {most} are planned", limits.file_size),
            ),
            _ => green(Layer::Limits, format!("no core file, {} descriptors", limits.open_files)),
        }
    }

    fn landlock_of(&self, held: &Confinement) -> Option<Finding> {
        Some(match (&self.walls, &held.landlock) {
            (Walls::None(_), None) => return None,
            (Walls::None(_), Some(_)) => {
                red(Layer::Landlock, "there are walls where none are planned".to_owned())
            }
            (Walls::AllBut { .. }, None) => red(Layer::Landlock, "no walls".to_owned()),
            (Walls::AllBut { .. }, Some(walls)) => {
                let but =
                    if walls.rules == 0 { String::new() } else { format!(", but by {} rules", walls.rules) };
                let found = format!("ABI {}: no {}{but}", walls.abi, forbidden(walls));
                if walls.rules != self.rules() || walls.fs == 0 {
                    red(Layer::Landlock, format!("{found}; {} rules are planned", self.rules()))
                } else if walls.abi < TCP {
                    amber(Layer::Landlock, format!("{found}; Linux 6.7 is needed to forbid TCP"))
                } else if walls.abi < SCOPES {
                    amber(
                        Layer::Landlock,
                        format!("{found}; Linux 6.12 is needed to forbid abstract sockets and signals"),
                    )
                } else {
                    green(Layer::Landlock, found)
                }
            }
        })
    }
}

/// What the walls keep out, in words.
fn forbidden(walls: &LandlockHeld) -> String {
    // LANDLOCK_ACCESS_NET_BIND_TCP and _CONNECT_TCP; LANDLOCK_SCOPE_ABSTRACT_UNIX_SOCKET and _SIGNAL (`landlock.h`).
    let words = [
        (walls.fs != 0, "files"),
        (walls.net & 1 != 0, "TCP listening"),
        (walls.net & 2 != 0, "TCP connections"),
        (walls.scopes & 1 != 0, "abstract sockets"),
        (walls.scopes & 2 != 0, "signals"),
    ];
    words.into_iter().filter(|(held, _)| *held).map(|(_, word)| word).collect::<Vec<_>>().join(", ")
}

fn no_new_privs(status: &ProcStatus) -> Finding {
    if status.no_new_privs {
        green(Layer::NoNewPrivs, "set".to_owned())
    } else {
        red(Layer::NoNewPrivs, "an exec could gain rights".to_owned())
    }
}

fn seccomp(status: &ProcStatus) -> Finding {
    const FILTERS: u8 = 2;
    match (status.seccomp_mode, status.seccomp_filters) {
        // The kernel says how many since 5.9; ours are two.
        (FILTERS, filters) if filters != 1 => green(Layer::Seccomp, format!("{filters} filters")),
        (mode, filters) => red(Layer::Seccomp, format!("mode {mode}, {filters} filters")),
    }
}

fn green(layer: Layer, what: String) -> Finding {
    Finding { layer, grade: Grade::Green, what }
}

fn amber(layer: Layer, what: String) -> Finding {
    Finding { layer, grade: Grade::Amber, what }
}

fn red(layer: Layer, what: String) -> Finding {
    Finding { layer, grade: Grade::Red, what }
}
