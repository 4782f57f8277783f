//! A runner's plan by itself: what looking after a command needs goes through, all else that anybody tried elsewhere
//! does not.

use std::os::unix::net::UnixStream;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::super::probes::PROBES;
use super::*;
use crate::model::probe::{Found, Subject};
use crate::sys::attempt::Means;
use crate::sys::process::{Exit, fork_alone};
use crate::sys::testing::{STRANGER, become_user, is_root};

/// What a filter says to what libraries try.
const ABSENT: Found = Found::Errno(Errno::ENOSYS as i32);

fn plan() -> Plan {
    Plan::runner(nix::unistd::geteuid().is_root(), false)
}

/// Confines the process of a test as a runner.
fn confined(control: BorrowedFd<'_>) -> Confinement {
    let terms = Terms { root: nix::unistd::geteuid().is_root(), ..Terms::default() };
    enter(&plan(), &terms, &[control]).unwrap()
}

#[test]
fn runner_confined_ends_what_runs_as_others_and_has_no_other_capability() {
    if !is_root("running as somebody else") {
        return;
    }
    let control = directory("/").unwrap();
    let child = fork(&[control.as_fd()], || {
        let command = fork_alone(|| {
            become_user(STRANGER, &[]);
            nix::unistd::pause();
            None
        });
        let command = command.unwrap();
        let held = confined(control.as_fd());
        let kill_alone = caps::Capability::CAP_KILL.bitmask();
        let sets = &held.status.capabilities;
        assert_eq!([sets.permitted, sets.effective, sets.bounding], [kill_alone; 3]);
        assert!(held.status.no_new_privs && !held.dumpable);
        assert_eq!(held.landlock.unwrap().scopes & 2, 0, "it signals what is outside of its walls");
        command.signal(nix::libc::SIGKILL).unwrap();
        assert_eq!(command.wait_for_end().unwrap(), Exit::Signal(nix::libc::SIGKILL));
    });
    assert!(child.succeeded());
}

#[test]
fn runner_confined_signals_but_to_end() {
    let control = directory("/").unwrap();
    let child = fork(&[control.as_fd()], || {
        confined(control.as_fd());
        kill(Pid::from_raw(1), Signal::SIGHUP).unwrap();
    });
    assert_eq!(child.signal(), Some(nix::libc::SIGSYS));
}

#[test]
fn runner_confined_tries_what_the_probes_try_and_gets_nothing() {
    let control = directory("/").unwrap();
    let probes = PROBES.iter().filter(|probe| probe.is_for(Subject::Runner));
    for probe in probes {
        let expected = probe.expected(Subject::Runner, false, true);
        assert!([Found::KILLED, ABSENT].contains(&expected), "{}", probe.name);
        let (client, witness) = UnixStream::pair().unwrap();
        let log = tempfile::tempfile().unwrap();
        let (client, log) = (OwnedFd::from(client), OwnedFd::from(log));
        let other = std::process::id();
        let keep = [control.as_fd(), client.as_fd(), log.as_fd()];
        let child = fork(&keep, || {
            let (client, log) = (client.try_clone().unwrap(), log.try_clone().unwrap());
            let (segment, key) = (c"/none/segment".to_owned(), c"/none/key".to_owned());
            let means = Means { log, client, warden: other, other, segment, key };
            confined(control.as_fd());
            // The witness that it lived until then: what died before it could try would prove nothing.
            nix::unistd::write(&means.client, b"!").unwrap();
            // Nothing else comes back.
            assert_eq!(Found::of(probe.attempt.make(&means)), ABSENT, "{}", probe.name);
        });
        if expected == ABSENT {
            assert!(child.succeeded(), "{}", probe.name);
        } else {
            assert_eq!(child.signal(), Some(nix::libc::SIGSYS), "{}", probe.name);
        }
        let mut byte = [0];
        assert_eq!(nix::unistd::read(&witness, &mut byte), Ok(1), "{} was not tried", probe.name);
    }
}
