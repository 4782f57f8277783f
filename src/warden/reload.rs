//! Another policy: loaded aside by a loader process, put in force all at once, or not at all. What is in force
//! stays so on any error.

use std::collections::HashSet;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::rc::Rc;
use std::time::Duration;

use super::drain::Phase;
use super::loader::{self, Loaded, Loading};
use super::poll::{Interest, LaneId, Source};
use super::{Due, RETRY, Warden, rights};
use crate::audit::entry::{Entry, PolicyEvent};
use crate::confine::Kept;
use crate::model::ids::Generation;
use crate::policy::{BackendKind, Policy};
use crate::sys::process::Child;
use crate::wire::message::{ControlReply, ToGate, ToScribe};

/// Lanes get this long to take another policy.
const ADOPT: Duration = Duration::from_secs(5);

/// What is going on.
#[derive(Default)]
pub(super) struct Reload {
    run: u32,
    loading: Option<Loading>,
    /// Clients of the control socket that wait for the present run.
    askers: Vec<u32>,
    /// Somebody asked after the present run had begun; the file may have changed since, so it needs another one.
    again: Option<Vec<u32>>,
    /// The present run only tries the file, for somebody who wants to know.
    trying: bool,
    /// Who else wants that.
    tries: Vec<u32>,
    /// A policy that is in force here and not yet in every lane.
    adopting: Option<Adopting>,
    /// Processes that were put down and are not reaped yet.
    ending: Vec<Child>,
}

/// Who still has to say that it judges by the new policy.
struct Adopting {
    generation: Generation,
    lanes: HashSet<LaneId>,
    reply: ControlReply,
    memories: Memories,
}

/// What was in force and what is, in sealed memory: who asked can see what changed.
type Memories = [Rc<OwnedFd>; 2];

impl Reload {
    fn is_busy(&self) -> bool {
        self.loading.is_some() || self.adopting.is_some()
    }
}

impl Warden {
    /// Loads the policy's file again; `asker` is told how it ended.
    pub(super) fn reload(&mut self, asker: Option<u32>) {
        if self.phase != Phase::Serving {
            let reply = ControlReply::Refused { why: "the daemon is stopping".to_owned() };
            return asker.into_iter().for_each(|asker| self.reply_control(asker, &reply));
        }
        if self.reload.is_busy() {
            self.reload.again.get_or_insert_default().extend(asker);
            return;
        }
        self.reload.askers.extend(asker);
        self.notify.reloading();
        self.begin_run(false);
    }

    /// Loads the policy's file and judges it as for a reload, and leaves it at that; `asker` is told what would change.
    pub(super) fn try_reload(&mut self, asker: u32) {
        if self.phase != Phase::Serving {
            let reply = ControlReply::Refused { why: "the daemon is stopping".to_owned() };
            return self.reply_control(asker, &reply);
        }
        if self.reload.is_busy() {
            return self.reload.tries.push(asker);
        }
        self.reload.askers.push(asker);
        self.begin_run(true);
    }

    fn begin_run(&mut self, trying: bool) {
        self.reload.trying = trying;
        self.reload.run = self.reload.run.wrapping_add(1);
        let run = self.reload.run;
        let begun = self.begin_loading().and_then(|loading| {
            self.poll.watch(&loading.channel, Source::Loader(run), Interest::Read)?;
            Ok(loading)
        });
        match begun {
            Ok(loading) => {
                self.reload.loading = Some(loading);
                self.timers.after(loader::LIMIT, Due::LoaderLimit(run));
            }
            Err(error) => self.run_failed(&format!("the loader can't be started: {error}")),
        }
    }

    /// The loader answered, or ended.
    pub(super) fn hear_loader(&mut self, run: u32) {
        if run != self.reload.run {
            return;
        }
        let Some(loading) = self.reload.loading.take() else { return };
        let received = loading.channel.receive();
        if received.as_ref().is_err_and(|error| error.kind() == std::io::ErrorKind::WouldBlock) {
            self.reload.loading = Some(loading);
            return;
        }
        self.poll.forget(&loading.channel);
        self.put_down(loading.child);
        let loaded = loader::answer(received).map_err(|why| why.to_string());
        match loaded.and_then(|loaded| self.check_unchanged(loaded)) {
            Ok(loaded) if self.reload.trying => self.tried(loaded),
            Ok(loaded) => self.put_in_force(loaded),
            Err(why) => self.run_failed(&why),
        }
    }

    /// It could be put in force, and is not.
    fn tried(&mut self, loaded: Loaded) {
        let (old, new) = (self.force.short.clone(), loaded.policy.short_hash());
        let memories = [Rc::clone(&self.force.memory), Rc::new(loaded.memory)];
        self.answer_askers(&ControlReply::Tried { old, new }, &memories);
        self.next_run();
    }

    fn run_failed(&mut self, why: &str) {
        if !self.reload.trying {
            return self.keep_old(why);
        }
        self.answer_askers(&ControlReply::Refused { why: why.to_owned() }, &[]);
        self.next_run();
    }

    /// The daemon stops: nothing is loaded any more, and who asked is told.
    pub(super) fn end_reload(&mut self) {
        if let Some(loading) = self.reload.loading.take() {
            self.poll.forget(&loading.channel);
            self.put_down(loading.child);
        }
        self.reload.adopting = None;
        let again = self.reload.again.take().unwrap_or_default();
        let tries = std::mem::take(&mut self.reload.tries);
        let askers = std::mem::take(&mut self.reload.askers);
        let reply = ControlReply::Refused { why: "the daemon is stopping".to_owned() };
        askers.into_iter().chain(again).chain(tries).for_each(|asker| self.reply_control(asker, &reply));
    }

    /// The loader had its time.
    pub(super) fn loader_timed_out(&mut self, run: u32) {
        if run != self.reload.run {
            return;
        }
        let Some(loading) = self.reload.loading.take() else { return };
        self.poll.forget(&loading.channel);
        self.put_down(loading.child);
        self.run_failed(loader::SILENT);
    }

    /// Ends a process that nobody needs any more. It is not waited for: what it hangs on, a network file system
    /// perhaps, may hold it for long.
    pub(super) fn put_down(&mut self, child: Child) {
        if let Err(error) = child.signal(nix::libc::SIGKILL) {
            tracing::debug!(%error, "a process was gone already");
        }
        self.reload.ending.push(child);
        self.reap_ending();
    }

    /// Reaps those that are gone.
    pub(super) fn reap_ending(&mut self) {
        self.reload.ending.retain(|child| matches!(child.reap(), Ok(None)));
        if !self.reload.ending.is_empty() {
            self.timers.after(RETRY, Due::Ending);
        }
    }

    fn check_unchanged(&self, loaded: Loaded) -> Result<Loaded, String> {
        // What the service manager never gave is not given up by us, and no restart brings it back.
        let given_up = self.given & !self.confined.status.capabilities.permitted;
        let mut needed = rights::needed(&loaded.policy, self.options.terms.root).into_iter();
        let lost = |kept: &Kept| given_up & kept.capability.bitmask() != 0;
        if let Some(Kept { capability, why, .. }) = needed.find(lost) {
            return Err(format!(
                "it needs {capability} ({why}), which the daemon gave up when it started; only a restart brings it \
                 back; the old policy stays in force"
            ));
        }
        if let Some(why) = self.lacks_starter(&loaded.policy) {
            return Err(why.to_owned());
        }
        match only_a_restart(&self.force.policy, &loaded.policy) {
            None => Ok(loaded),
            Some(what) => {
                Err(format!("{what} can only be changed by a restart; the old policy stays in force"))
            }
        }
    }

    fn put_in_force(&mut self, loaded: Loaded) {
        let old = self.force.short.clone();
        let before = Rc::clone(&self.force.memory);
        self.force.replace(loaded.policy, loaded.memory);
        self.note_policy(Some(&old), None);
        // On record, and soon sealed.
        self.settle();
        self.tell_scribe(ToScribe::Seal, Vec::new());
        tracing::info!(old, new = self.force.short, "another policy is in force");
        let generation = self.force.generation;
        let lanes = self.roster.lanes();
        for lane in &lanes {
            let memory = Rc::clone(&self.force.memory);
            self.tell_lane(*lane, ToGate::Policy { generation }, vec![memory]);
        }
        self.judge_connects_again();
        self.tell_scribe_policy();
        self.have_a_runner_wait();
        let reply = ControlReply::Reloaded { old, new: self.force.short.clone() };
        let (lanes, memories) = (lanes.into_iter().collect(), [before, Rc::clone(&self.force.memory)]);
        self.reload.adopting = Some(Adopting { generation, lanes, reply, memories });
        self.timers.after(ADOPT, Due::AdoptLimit(generation));
        self.end_when_adopted();
    }

    /// A lane judges nothing by an older policy any more.
    pub(super) fn lane_adopted(&mut self, lane: LaneId, generation: Generation) {
        if let Some(adopting) = self.reload.adopting.as_mut().filter(|new| new.generation == generation) {
            adopting.lanes.remove(&lane);
            self.end_when_adopted();
        }
    }

    /// A gate that is gone judges nothing at all.
    pub(super) fn gate_adopts_no_more(&mut self, gate: u32) {
        if let Some(adopting) = &mut self.reload.adopting {
            adopting.lanes.retain(|lane| lane.gate != gate);
            self.end_when_adopted();
        }
    }

    /// A gate that does not take a policy may not go on by the old one.
    pub(super) fn adopt_timed_out(&mut self, generation: Generation) {
        let Some(adopting) = self.reload.adopting.as_ref().filter(|new| new.generation == generation) else {
            return;
        };
        let late: HashSet<u32> = adopting.lanes.iter().map(|lane| lane.gate).collect();
        for gate in late {
            tracing::error!(gate, "a gate does not take the new policy and is ended");
            self.kill_gate(gate);
        }
    }

    /// The reload is over once every lane judges by the new policy.
    fn end_when_adopted(&mut self) {
        if let Some(adopting) = self.reload.adopting.take_if(|new| new.lanes.is_empty()) {
            self.reload_ended(&adopting.reply, &adopting.memories);
        }
    }

    fn keep_old(&mut self, why: &str) {
        tracing::error!(why, "the old policy stays in force");
        let old = self.force.short.clone();
        self.note_policy(Some(&old), Some(why));
        self.reload_ended(&ControlReply::Refused { why: why.to_owned() }, &[]);
    }

    fn reload_ended(&mut self, reply: &ControlReply, memories: &[Rc<OwnedFd>]) {
        self.answer_askers(reply, memories);
        self.notify.ready();
        self.next_run();
    }

    fn answer_askers(&mut self, reply: &ControlReply, memories: &[Rc<OwnedFd>]) {
        let descriptors: Vec<BorrowedFd<'_>> = memories.iter().map(|memory| memory.as_fd()).collect();
        for asker in std::mem::take(&mut self.reload.askers) {
            self.reply_control_with(asker, reply, &descriptors);
        }
    }

    /// Somebody asked meanwhile.
    fn next_run(&mut self) {
        if let Some(askers) = self.reload.again.take() {
            self.reload.askers = askers;
            self.reload(None);
        } else if let Some(asker) = self.reload.tries.pop() {
            self.try_reload(asker);
        }
    }

    /// The record of what came into force, or did not.
    pub(super) fn note_policy(&mut self, old: Option<&str>, refused: Option<&str>) {
        let new = refused.is_none().then_some(self.force.short.as_str());
        let file = self.force.policy.file.as_str();
        self.record.note(&Entry::Policy(PolicyEvent { old, new, file, refused }));
    }
}

/// What two policies differ in that only a restart can change.
fn only_a_restart(old: &Policy, new: &Policy) -> Option<&'static str> {
    let places = |policy: &Policy| -> Vec<_> {
        let place =
            |l: &crate::policy::Listener| (l.name.clone(), l.path.clone(), l.owner_uid, l.owner_gid, l.mode);
        policy.listeners.iter().map(place).collect()
    };
    let audit = |policy: &Policy| {
        let audit = &policy.audit;
        (audit.directory.clone(), audit.readers, audit.segment_bytes, audit.witness.clone())
    };
    if audit(old) != audit(new) {
        return Some("the audit directory, its readers, the size of segments and the witnesses");
    }
    if places(old) != places(new) {
        return Some("which listeners there are, and their paths, owners and modes,");
    }
    let daemon = |policy: &Policy| {
        let daemon = &policy.daemon;
        (daemon.control.clone(), daemon.gates, daemon.gate_user, daemon.scribe_user, daemon.app_user)
    };
    if daemon(old) != daemon(new) {
        return Some("the control socket, how gates are shared and whom the roles run as");
    }
    let apps = |policy: &Policy| -> Vec<_> {
        let kinds = policy.backends.iter().map(|backend| backend.kind.clone());
        kinds.filter(|kind| matches!(kind, BackendKind::App { .. })).collect()
    };
    if apps(old) != apps(new) {
        return Some("which apps there are, and where their directories lie,");
    }
    (old.diagnostics != new.diagnostics).then_some("`[diagnostics]`")
}
