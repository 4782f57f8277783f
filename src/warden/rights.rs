//! What the warden keeps of root's capabilities, each with its reason, as far as the policy in force needs it.

use caps::Capability;

use crate::confine::Kept;
use crate::policy::{Address, Backend, BackendKind, Policy};

/// The capabilities that looking at callers, starting roles and this policy need; none where the daemon is not
/// root. What is given up does not come back, so a policy that needs another one needs a restart.
pub(super) fn needed(policy: &Policy, root: bool) -> Vec<Kept> {
    if !root {
        return Vec::new();
    }
    let mut kept = vec![
        Kept {
            capability: Capability::CAP_SYS_PTRACE,
            why: "looks at callers: their program and namespaces",
        },
        Kept { capability: Capability::CAP_SETUID, why: "starts gates and scribe as their own users" },
        Kept { capability: Capability::CAP_SETGID, why: "and with their own groups" },
        Kept { capability: Capability::CAP_SETPCAP, why: "empties their bounding sets" },
        Kept {
            capability: Capability::CAP_KILL,
            why: "ends a gate or the scribe that does not end by itself",
        },
        Kept { capability: Capability::CAP_LINUX_IMMUTABLE, why: "marks segments append-only" },
    ];
    if policy.audit.readers.is_some() {
        kept.push(Kept { capability: Capability::CAP_CHOWN, why: "gives segments to `[audit] readers`" });
    }
    // A socket's mode lets its owner in, and `owner = "root"` says that this is us.
    let may_be_anothers = |backend: &Backend| {
        let BackendKind::Proxy { address: Address::Unix(_), owner, .. } = &backend.kind else { return false };
        owner.is_none_or(|owner| owner.raw() != 0)
    };
    if policy.backends.iter().any(may_be_anothers) {
        kept.push(Kept {
            capability: Capability::CAP_DAC_OVERRIDE,
            why: "connects to a backend's socket that may be another user's (`owner = \"root\"` does without)",
        });
    }
    kept
}
