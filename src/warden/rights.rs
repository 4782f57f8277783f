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
    let required = |capability, why| Kept { capability, why, required: true };
    let mut kept = vec![
        required(Capability::CAP_SYS_PTRACE, "looks at callers: their program and namespaces"),
        required(Capability::CAP_SETUID, "starts gates and scribe as their own users"),
        required(Capability::CAP_SETGID, "and with their own groups"),
        required(Capability::CAP_SETPCAP, "empties their bounding sets"),
        required(Capability::CAP_KILL, "ends a gate or the scribe that does not end by itself"),
        // Its absence is said by the posture (`append-only`), as where the file system has no such flag.
        Kept {
            capability: Capability::CAP_LINUX_IMMUTABLE,
            why: "marks segments append-only",
            required: false,
        },
    ];
    if policy.audit.readers.is_some() {
        kept.push(required(Capability::CAP_CHOWN, "gives segments to `[audit] readers`"));
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
            // Whether the socket lets us in without it is seen when it is connected to.
            required: false,
        });
    }
    kept
}
