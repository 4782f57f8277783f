//! What the roles run as, and what is missing from the full posture, each by name.

use nix::unistd::geteuid;

use super::commands::has_commands;
use super::{apps, loader, rights, segments};
use crate::confine::{Identity, Plan, Terms};
use crate::model::app::Declared;
use crate::policy::{BackendKind, Gates, Policy};
use crate::sys::process::Ids;

/// Whom the roles run as; `None`: as the warden itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Identities {
    /// Gates.
    pub(super) gate: Option<Ids>,
    /// The scribe.
    pub(super) scribe: Option<Ids>,
    /// A witness's command.
    pub(super) witness: Option<Ids>,
    /// Apps, in the order of the policy's backends: the policy's one user for all of them, else ids of nobody, of each its
    /// own.
    apps: Vec<Ids>,
    missing: Option<&'static str>,
}

impl Identities {
    /// Whom the app of this number runs as.
    pub(super) fn app(&self, number: u32) -> Option<&Ids> {
        self.apps.get(usize::try_from(number).ok()?)
    }

    /// The policy's users for the roles; else, as root, ids of nobody.
    ///
    /// # Errors
    ///
    /// Root, and neither users nor free ids.
    pub(super) fn choose(policy: &Policy, free: &[u32]) -> Result<Identities, String> {
        if !geteuid().is_root() {
            let (apps, missing) = (Vec::new(), Some("no-root"));
            return Ok(Identities { gate: None, scribe: None, witness: None, apps, missing });
        }
        let named = |user: Option<(crate::model::caller::Uid, crate::model::caller::Gid)>| {
            user.map(|(uid, gid)| Ids { uid: uid.raw(), gid: gid.raw(), groups: Vec::new() })
        };
        let bare = |place: usize| {
            let id = *free.get(place).ok_or(
                "there is no free id for a role; make the users `peergate-gate` and `peergate-scribe`",
            )?;
            Ok::<Ids, String>(Ids { uid: id, gid: id, groups: Vec::new() })
        };
        let (gate, scribe) = (named(policy.daemon.gate_user), named(policy.daemon.scribe_user));
        let app = named(policy.daemon.app_user);
        let has_witness = !policy.audit.witness.command.is_empty();
        let witness = policy.audit.witness.user.as_ref().map(|user| Ids {
            uid: user.uid.raw(),
            gid: user.gid.raw(),
            groups: user.groups.iter().map(|group| group.raw()).collect(),
        });
        let apps = apps_of(policy);
        let missing = (gate.is_none() || scribe.is_none() || apps > 0 && app.is_none()).then_some("bare-ids");
        let of_app = |number: usize| app.clone().map_or_else(|| bare(3 + number), Ok);
        Ok(Identities {
            gate: Some(gate.map_or_else(|| bare(0), Ok)?),
            scribe: Some(scribe.map_or_else(|| bare(1), Ok)?),
            witness: if has_witness { Some(witness.map_or_else(|| bare(2), Ok)?) } else { None },
            apps: (0..apps).map(of_app).collect::<Result<_, _>>()?,
            missing,
        })
    }
}

/// How many apps a policy leads to.
pub(super) fn apps_of(policy: &Policy) -> usize {
    policy.backends.iter().filter(|backend| matches!(backend.kind, BackendKind::App { .. })).count()
}

/// What each role would keep under this policy: printed before anything is applied.
///
/// # Errors
///
/// Root, and neither users nor free ids for the roles.
pub fn plans(policy: &Policy, declared: &[Declared], mut terms: Terms) -> Result<Vec<Plan>, String> {
    terms.root = geteuid().is_root();
    terms.file_size = Some(policy.audit.segment_bytes + segments::SLACK);
    let free = if terms.root { loader::free_ids(apps_of(policy)) } else { Vec::new() };
    let identities = Identities::choose(policy, &free)?;
    let sandboxes = apps::sandboxes(policy, declared);
    let app = |(number, sandbox)| Plan::app(identities.app(number).map(identity), sandbox);
    let witness = &policy.audit.witness;
    let keepers = [
        witness.file.is_some().then(Plan::file_keeper),
        (!witness.command.is_empty()).then(|| command_keeper(&identities)),
    ];
    let mut plans = vec![
        Plan::warden(rights::needed(policy, terms.root), !sandboxes.is_empty()),
        Plan::gate(identities.gate.as_ref().map(identity), &terms),
        Plan::scribe(identities.scribe.as_ref().map(identity), policy.diagnostics.directory.is_some()),
        Plan::loader(),
    ];
    plans.extend((0..).zip(&sandboxes).map(app));
    plans.extend(keepers.into_iter().flatten());
    if has_commands(policy) {
        // Where there is no control group of its own it reaches one place less.
        plans.push(Plan::runner(terms.root, true));
    }
    Ok(plans)
}

/// Of the process that feeds heads to a command.
pub(super) fn command_keeper(identities: &Identities) -> Plan {
    Plan::command_keeper(identities.witness.as_ref().map(identity))
}

/// Ids as a plan names them.
pub(super) fn identity(ids: &Ids) -> Identity {
    Identity { uid: ids.uid, gid: ids.gid, groups: Some(ids.groups.clone()) }
}

/// What is missing, in a fixed order.
pub(super) fn missing(identities: &Identities, policy: &Policy) -> Vec<String> {
    let release = nix::sys::utsname::uname()
        .ok()
        .and_then(|uname| version(&uname.release().to_string_lossy()))
        // A kernel that does not say its version is taken for the oldest.
        .unwrap_or((0, 0));
    let mut missing: Vec<&str> = identities.missing.into_iter().collect();
    if policy.daemon.gates == Gates::Shared {
        missing.push("own-gates");
    }
    missing.extend(KERNEL.iter().filter(|(since, _)| release < *since).map(|(_, what)| *what));
    missing.into_iter().map(str::to_owned).collect()
}

/// What kernels gained, and when.
const KERNEL: [((u32, u32), &str); 4] = [
    // Without it a caller's attributes are read by pid, and are unknown.
    ((6, 5), "peer-pidfd"),
    // Landlock rules for TCP.
    ((6, 7), "landlock-tcp"),
    // Namespaces through a pidfd; before it through /proc, checked for liveness.
    ((6, 11), "pidfd-namespaces"),
    // PIDFD_GET_INFO.
    ((6, 13), "pidfd-info"),
];

/// `6.18.44-generic` → (6, 18).
fn version(release: &str) -> Option<(u32, u32)> {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit());
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn version_is_read_from_a_release() {
        assert_eq!(version("6.18.44-fc-v595"), Some((6, 18)));
        assert_eq!(version("6.1.0-31-amd64"), Some((6, 1)));
        assert_eq!(version("strange"), None);
        let lacking = |release| KERNEL.iter().filter(|(since, _)| release < *since).count();
        assert_eq!([lacking((6, 18)), lacking((6, 12)), lacking((6, 1)), lacking((0, 0))], [0, 1, 4, 4]);
    }
}
