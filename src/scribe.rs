//! The scribe: reads behind the writers, judges what they wrote, makes it durable, and seals it. Off the path of every
//! request; while it does not say [`FromScribe::Alive`], or says that its seals are seconds behind, the warden lets no
//! request through.
//!
//! | file | what it says |
//! |---|---|
//! | [`begin`] | what it is given, and what it gives up before it begins |
//! | [`follow`] | one segment: lines judged, ranges cut |
//! | [`bytes`] | what was read and sealed before, looked at again |
//! | [`clock`] | when what it reads can have been written |
//! | [`requests`] | what was let go on and has no outcome yet |
//! | [`round`] | sync, ranges and a seal, sync: each step with its place in the order |
//! | [`sync`] | the thread that waits for the disk |
//! | [`durable`] | syncs for whose effects wait for them, in a thread of its own |
//! | [`keep`] | closed segments: compressed, and weighed before they go |
//! | [`own`] | its own segment, one an epoch, and the seals in it |
//! | [`keys`] | the store of the next epoch's key |
//! | [`recover`], [`window`] | what is there from before |
//! | [`feed`], [`live`], [`metrics`] | what callers are told: counters, decisions as they are written |
//!
//! Every line of every writer passes [`Scribe::look_at`], judged by [`audit::inspect`](crate::audit::inspect): who
//! wants to count or to show what goes by does it there, from the [`Judged`] line. Files come by
//! [`ToScribe::Follow`] with whose they are ([`Followed`](crate::wire::message::Followed)), or, from earlier times, by
//! asking ([`FromScribe::Names`], [`FromScribe::Show`]); it opens none by name. What has to wait for a disk goes to
//! [`Syncer::give`](sync::Syncer::give) and comes back in [`Scribe::turn`].
//!
//! One thread follows, one syncs; another, for the diagnostics of all roles, writes stderr or rolling files.
#![doc = include_str!("manual/seals.md")]

mod begin;
mod bytes;
mod clock;
mod durable;
mod feed;
mod follow;
mod keep;
mod keys;
mod live;
mod metrics;
mod own;
mod recover;
mod requests;
mod round;
mod sync;
mod window;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::audit::chain::{Digest, Sealed};
use crate::audit::inspect::{Fault, Judged};
use crate::confine;
use crate::model::probe::{Found, Place, Trial};
use crate::wire::channel::{Channel, exactly};
use crate::wire::message::{Damage, Followed as Source, FromScribe, LastSeal, ToScribe};
pub use begin::run;
use clock::Clock;
use durable::Durables;
use follow::Followed;
use keep::Keeper;
use keys::Keys;
use live::Live;
use own::{Own, Start};
use recover::{Past, Recovery};
use requests::{Lane, Requests};
use round::Round;
use sync::Syncer;
use window::Known;

/// Writers are looked at this often.
const LOOK: Duration = Duration::from_millis(250);
/// The warden is told that all is well this often.
const SIGN: Duration = Duration::from_secs(1);

/// Whether to go on.
#[must_use]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Next {
    GoOn,
    End,
}

/// The segment to go on in.
struct NextOwn {
    name: String,
    segment: OwnedFd,
    reserved: u64,
}

struct Scribe {
    channel: Channel,
    /// What its segments begin with.
    start: Start,
    own: Own,
    /// It goes on in another one from this size on, for which it has asked.
    size: u64,
    /// So much of it says again what was open before: that is not counted, or one that is full of it were followed by
    /// another at once.
    carried: u64,
    asked: Option<Instant>,
    next_own: Option<NextOwn>,
    /// The one before, and its length, until the next epoch has begun.
    old: Option<(String, u64)>,
    /// `None` in one that was only started to try something.
    keys: Option<Keys>,
    on_damage: Damage,
    /// The last epoch on record, and the latest seal before this epoch.
    recorded: Option<u64>,
    prev: Option<Digest>,
    /// Epochs' lines that are missing in the file of all epochs.
    unlisted: Vec<Vec<u8>>,
    began: Option<(u64, [u8; 32])>,
    /// The audit directory: its entries are synced too, or a new segment may be nameless after a power cut.
    directory: Arc<File>,
    /// A segment was added since the directory was synced.
    directory_changed: bool,
    followed: BTreeMap<Rc<str>, Followed>,
    /// Segments that the disk failed under, and up to where they are sealed.
    abandoned: BTreeMap<String, u64>,
    requests: Requests,
    clock: Clock,
    /// What is counted, and who is told.
    live: Live,
    /// Gates that are gone, until the last of their segments is read to its end.
    gone: BTreeSet<u32>,
    /// What earlier scribes said of segments that the warden still has to name.
    known: BTreeMap<String, Known>,
    /// Those which such a scribe had closed, until the warden says that they are finished.
    closed_before: BTreeSet<Rc<str>>,
    past: Past,
    recovery: Recovery,
    syncer: Syncer,
    /// Who can't wait for the next round.
    durables: Durables,
    keeper: Keeper,
    round: Round,
    /// A round is wanted, though nothing is due.
    wish: bool,
    sealed: Option<Sealed>,
    sealed_at: Instant,
    closing: bool,
    /// What the warden had no room for yet, and what it is told once a seal over it is durable.
    unsent: VecDeque<FromScribe>,
    leaving: VecDeque<FromScribe>,
    /// The part of that which the seal covers that is on its way to the disk.
    sealed_leaving: VecDeque<FromScribe>,
    /// Segments that are on record as removed, whether or not their names are gone.
    pruned: BTreeSet<String>,
    /// What the warden said while it was asked something else.
    stash: VecDeque<(ToScribe, Vec<OwnedFd>)>,
    lost_lines: u64,
    said: Instant,
}

impl Scribe {
    fn new(channel: Channel, own: Own, directory: OwnedFd, start: Start, size: u64) -> io::Result<Scribe> {
        let directory = Arc::new(File::from(directory));
        Ok(Scribe {
            channel,
            start,
            own,
            size,
            carried: 0,
            asked: None,
            next_own: None,
            old: None,
            keys: None,
            on_damage: Damage::IsRecorded,
            recorded: None,
            prev: None,
            unlisted: Vec::new(),
            began: None,
            durables: Durables::start(Arc::clone(&directory))?,
            keeper: Keeper::start()?,
            directory,
            directory_changed: true,
            followed: BTreeMap::new(),
            abandoned: BTreeMap::new(),
            requests: Requests::default(),
            clock: Clock::new(),
            live: Live::new(),
            gone: BTreeSet::new(),
            known: BTreeMap::new(),
            closed_before: BTreeSet::new(),
            past: Past::default(),
            recovery: Recovery::Over,
            syncer: Syncer::start()?,
            round: Round::Idle,
            wish: true,
            sealed: None,
            sealed_at: Instant::now(),
            closing: false,
            unsent: VecDeque::new(),
            leaving: VecDeque::new(),
            sealed_leaving: VecDeque::new(),
            pruned: BTreeSet::new(),
            stash: VecDeque::new(),
            lost_lines: 0,
            said: Instant::now(),
        })
    }

    /// As one that seals: with what was before.
    fn begin(&mut self, keys: Keys, on_damage: Damage) -> io::Result<()> {
        self.keys = Some(keys);
        self.on_damage = on_damage;
        self.recovery = Recovery::Read;
        self.read_past()
    }

    /// Until the warden says close, or is gone.
    fn serve(&mut self, lost_lines: impl Fn() -> u64) -> io::Result<()> {
        self.say_alive();
        loop {
            self.send();
            self.wait()?;
            if self.obey()? == Next::End {
                return Ok(());
            }
            self.look()?;
            self.hear_keeper()?;
            self.turn()?;
            self.live.push();
            if self.said.elapsed() >= SIGN {
                self.lost_lines = lost_lines();
                self.say_alive();
            }
            if self.is_closed() {
                // Its last seal is what witnesses have to know.
                self.say_alive();
                self.unsent.push_back(FromScribe::Closed);
                return self.flush();
            }
        }
    }

    /// Sleeps until the next look, a message, or what the disk has done; not where a look has left something.
    fn wait(&mut self) -> io::Result<()> {
        let unread = self.followed.values().any(Followed::is_unread);
        let longest = if unread { Duration::ZERO } else { LOOK };
        Ok(self.live.wait(&[self.channel.as_fd(), self.syncer.as_fd()], longest)?)
    }

    /// Takes all messages that are there.
    fn obey(&mut self) -> io::Result<Next> {
        loop {
            match self.channel.receive::<ToScribe>() {
                // Before there is a key nothing can be begun with.
                Ok(Some(said)) if self.recovery == Recovery::Read => self.stash.push_back(said),
                Ok(Some((message, descriptors))) => {
                    if self.take(message, descriptors)? == Next::End {
                        return Ok(Next::End);
                    }
                }
                Ok(None) => {
                    self.look()?;
                    self.wish = true;
                    self.turn()?;
                    return Err(io::Error::new(io::ErrorKind::BrokenPipe, "the warden is gone"));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(Next::GoOn),
                Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                    tracing::error!(%error, "a message from the warden makes no sense");
                }
                Err(error) => return Err(error),
            }
        }
    }

    fn take(&mut self, message: ToScribe, descriptors: Vec<OwnedFd>) -> io::Result<Next> {
        match message {
            ToScribe::Start { .. } | ToScribe::Names { .. } | ToScribe::Shown { .. } => {
                tracing::error!("the warden says what it was not asked");
            }
            ToScribe::Follow { segment, writer } => {
                let mut descriptors = descriptors.into_iter();
                match (descriptors.next(), descriptors.next(), descriptors.next()) {
                    (Some(file), None, None) => self.follow(&segment, file, writer)?,
                    (Some(file), Some(synced), Some(lane)) => {
                        self.durables.serve(&segment, synced, lane)?;
                        self.follow(&segment, file, writer)?;
                    }
                    _ => tracing::error!(segment, "there is no following a segment without its descriptors"),
                }
            }
            ToScribe::Finished { segment } => self.finish(&segment)?,
            ToScribe::GateGone { gate } => {
                self.gone.insert(gate);
                self.wish = true;
            }
            ToScribe::Settle => self.settle()?,
            ToScribe::Own { segment, reserved, policy } => match exactly(descriptors) {
                Ok([file]) => {
                    self.start.policy = policy;
                    self.next_own = Some(NextOwn { name: segment, segment: file, reserved });
                }
                Err(error) => tracing::error!(%error, segment, "there is no going on in a segment"),
            },
            ToScribe::Seal => self.wish = true,
            ToScribe::Policy => self.know(descriptors),
            ToScribe::Serve(serve) => self.answer(*serve, descriptors),
            ToScribe::Pack { segment } => match exactly(descriptors) {
                Ok([plain, packed]) => self.keeper.pack(segment, plain, packed)?,
                Err(error) => tracing::error!(%error, segment, "there is no compressing a segment"),
            },
            ToScribe::SyncNames { segment } => self.keeper.sync_names(segment, &self.directory)?,
            ToScribe::Prune { segment, packed, why } => match exactly(descriptors) {
                Ok([file]) => self.prune(segment, file, packed, why)?,
                Err(error) => tracing::error!(%error, segment, "there is no weighing a segment"),
            },
            ToScribe::Try(trial) => self.attempt(trial, descriptors)?,
            ToScribe::Close => self.close(),
        }
        Ok(Next::GoOn)
    }

    fn follow(&mut self, name: &str, file: OwnedFd, writer: Source) -> io::Result<()> {
        self.directory_changed = true;
        let name: Rc<str> = name.into();
        if let Some(lane) = Lane::of(&name, writer.gate) {
            self.requests.adopt(&lane);
        }
        let segment = Followed::new(&name, file.into(), writer);
        let known = self.known.remove(&*name);
        if let Some(known) = known.as_ref().filter(|known| known.closed) {
            // An earlier scribe's last word on it, which the warden has not heard. It is given back, and not closed twice.
            let bytes = segment.end().ok().filter(|end| *end == known.sealed());
            self.leaving.push_back(FromScribe::Released { segment: name.to_string(), bytes, closed: true });
            self.closed_before.insert(name);
            self.wish = true;
            return Ok(());
        }
        self.followed.insert(Rc::clone(&name), segment);
        let before = known.as_ref().map(Known::sealed);
        if let Err(trouble) = self.resume(&name, known.unwrap_or_default(), false) {
            self.trouble(&name, trouble)?;
        }
        match before {
            Some(from) => self.tell_recovered(&name, from),
            None => Ok(()),
        }
    }

    /// Reads what was written since the last look.
    fn look(&mut self) -> io::Result<()> {
        self.hear_failures()?;
        self.clock.look();
        let names: Vec<Rc<str>> = self.followed.keys().cloned().collect();
        for name in names {
            self.look_at(&name)?;
            self.sign();
        }
        Ok(())
    }

    /// The same of one segment: where every line of every writer passes.
    fn look_at(&mut self, name: &Rc<str>) -> io::Result<()> {
        let Some(segment) = self.followed.get_mut(name) else { return Ok(()) };
        let lane = segment.lane().cloned();
        let (requests, live) = (&mut self.requests, &mut self.live);
        let looked = segment.look(&mut self.clock, &mut |source: &Source, judged: &Judged<'_>| {
            live.note(judged, source);
            match (&lane, judged.request) {
                // No gate writes so many.
                (Some(lane), Some(progress)) if !requests.heed(lane, progress) => Err(Fault::Kind),
                _ => Ok(()),
            }
        });
        if let Some(at) = segment.take_doubt() {
            tracing::warn!(segment = &**name, at, "a line says that it was written long before it was");
            self.unsent.push_back(FromScribe::Doubted { segment: name.to_string(), at });
        }
        match looked {
            Ok(()) => Ok(()),
            Err(trouble) => self.trouble(name, trouble),
        }
    }

    /// The last look at a segment whose writer is done with it; the next round closes it.
    fn finish(&mut self, name: &str) -> io::Result<()> {
        self.hear_failures()?;
        self.durables.finish(name)?;
        match self.followed.get_mut(name) {
            Some(segment) => segment.finish(),
            None if self.closed_before.remove(name) => {}
            None => tracing::error!(segment = name, "the warden finished a segment that nobody follows"),
        }
        Ok(())
    }

    fn close(&mut self) {
        self.closing = true;
        self.wish = true;
        self.followed.values_mut().for_each(Followed::finish);
    }

    /// Whether all is closed, sealed and durable.
    fn is_closed(&self) -> bool {
        self.closing
            && self.recovery == Recovery::Over
            && self.followed.is_empty()
            && matches!(self.round, Round::Idle)
            && self.syncer.is_idle()
            && !self.wish
            && !(self.own.is_unsealed() && self.keys.is_some())
    }

    /// Tries what it is asked to, here or in a thread that is started for it.
    fn attempt(&mut self, trial: Trial, descriptors: Vec<OwnedFd>) -> io::Result<()> {
        let [client] = exactly(descriptors)?;
        let place = trial.place;
        let attempt = confine::probes::prepare(trial, self.own.duplicate()?, client)?;
        let found = match place {
            Place::Thread => std::thread::Builder::new().spawn(attempt)?.join().unwrap_or(Found::Silent),
            _ => attempt(),
        };
        self.unsent.push_back(FromScribe::Tried(found));
        Ok(())
    }

    /// A sign of life, whether or not the disk gives one.
    fn say_alive(&mut self) {
        self.said = Instant::now();
        // One that waits to be sent says the same.
        self.unsent.retain(|said| !matches!(said, FromScribe::Alive { .. } | FromScribe::Reading));
        if self.recovery != Recovery::Over {
            return self.unsent.push_back(FromScribe::Reading);
        }
        let unsynced = self.followed.values().map(Followed::unsynced).sum();
        let oldest = self.followed.values().filter_map(Followed::unsealed_since).min();
        let behind = oldest.map_or(Duration::ZERO, |since| since.elapsed()).max(self.syncer.waiting_for());
        let sealed = self.sealed.map(|Sealed { epoch, i, ts, hash, next }| LastSeal {
            epoch,
            i,
            at: ts.micros(),
            hash: hash.0,
            next: next.0,
        });
        let behind_ms = u32::try_from(behind.as_millis()).unwrap_or(u32::MAX);
        let lost_lines = self.lost_lines;
        let lag = self.lag();
        self.unsent.push_back(FromScribe::Alive { unsynced, lost_lines, behind_ms, lag, sealed });
    }

    /// A sign of life where one is due, in the midst of what may take long.
    fn sign(&mut self) {
        if self.said.elapsed() >= SIGN {
            self.say_alive();
            self.send();
        }
    }

    /// Sends what the warden has room for.
    fn send(&mut self) {
        while let Some(message) = self.unsent.front() {
            match self.channel.send(message, &[]) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                // The next receive says that the warden is gone.
                Err(error) => tracing::error!(%error, "the warden can't be told"),
            }
            self.unsent.pop_front();
        }
    }
}

fn invalid(why: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why)
}

#[cfg(test)]
mod tests;
