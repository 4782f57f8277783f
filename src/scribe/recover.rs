//! What is there from before: an earlier start that was killed, an earlier scribe of this start that died, or nothing.
//!
//! 1. The scribe's own segments are read from the newest backward ([`window`]).
//! 2. An epoch begins, so that there is a key to seal with.
//! 3. Each segment that is open is held against what is sealed of it, read on from there, told by `recover`, and goes
//!    the way of every segment whose writer is done: range, `close`, released. What the writers of earlier starts left
//!    without an outcome gets one.
//! 4. Once the warden has released them, `settled` says that nothing of before is open, and the scribe is there.
//!
//! It opens nothing by name: the warden is asked for names and files, and what it says meanwhile is kept for later.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::follow::{Followed, Trouble};
use super::window::{self, Damage, Known, Window};
use super::{LOOK, SIGN, Scribe, invalid};
use crate::audit::chain::is_scribes;
use crate::audit::entry::{Close, Entry, Interrupted, Recover, Seen};
use crate::audit::inspect::{Judged, Role};
use crate::audit::segment::SegmentName;
use crate::model::outcome::Outcome;
use crate::wire::channel::exactly;
use crate::wire::message::{Damage as OnDamage, Followed as Source, FromScribe, ToScribe};

/// The longest segment of its own that is read.
const LONGEST: u64 = 1 << 30;

/// How far it is.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Recovery {
    /// What was said before is known; an epoch has to begin.
    Read,
    /// These are being closed; so many were open.
    Closing { left: BTreeSet<Rc<str>>, open: u64 },
    /// The warden releases them.
    Releasing { open: u64 },
    /// `settled` is on record, and not sealed yet.
    Settled,
    /// Nothing is left of it.
    Over,
}

/// What was found at the start, until the epoch has begun.
#[derive(Debug, Default)]
pub(super) struct Past {
    window: Window,
    /// All segments' names, and from which of the scribe's own on they matter.
    names: Vec<String>,
    from: Option<String>,
    /// Damage to its own segments that was accepted.
    accepted: Vec<Damage>,
}

impl Scribe {
    /// The first step, before anything is written but the `open`.
    pub(super) fn read_past(&mut self) -> io::Result<()> {
        let names = self.ask_names()?;
        let own: Vec<String> = names
            .iter()
            .filter(|name| is_scribes(name) && name.as_str() != self.own.name())
            .cloned()
            .collect();
        let mut read = Vec::new();
        for name in own.iter().rev() {
            let Some(file) = self.ask_file(name)? else { continue };
            let bytes = whole(file)?;
            let last = window::settles(&bytes);
            read.push((name.clone(), bytes));
            if last {
                break;
            }
        }
        let (mut window, mut accepted) = (Window::default(), Vec::new());
        for (name, bytes) in read.iter().rev() {
            if let Err(damage) = window.take(name, bytes) {
                self.damaged(&damage)?;
                accepted.push(damage);
            }
        }
        let from = read.last().map(|(name, _)| name.clone());
        self.recorded = window.epoch.map(|(epoch, _)| epoch);
        self.prev = window.last;
        if let Some(keys) = &self.keys {
            let listed = keys.listed()?;
            let later = |epoch: u64| listed.is_none_or(|listed| epoch > listed);
            self.unlisted = window
                .lines
                .iter()
                .filter(|(epoch, _)| later(*epoch))
                .map(|(_, line)| line.clone())
                .collect();
            self.recorded = self.recorded.max(listed);
        }
        self.requests = std::mem::take(&mut window.requests);
        self.pruned = std::mem::take(&mut window.pruned);
        self.past = Past { window, names, from, accepted };
        self.begin_keys()
    }

    /// The third step, once there is a key.
    pub(super) fn recover(&mut self) -> io::Result<()> {
        let Past { window, names, from, accepted } = std::mem::take(&mut self.past);
        for damage in accepted {
            self.intrusion(&damage.segment, damage.at, Seen::Changed)?;
        }
        let followed: BTreeSet<String> = self
            .stash
            .iter()
            .filter_map(|(message, _)| match message {
                ToScribe::Follow { segment, .. } => Some(segment.clone()),
                _ => None,
            })
            .collect();
        // What was made before the oldest one that matters is closed, unless that says otherwise.
        let matters = |name: &String| from.as_ref().is_none_or(|from| name > from);
        let mut open: BTreeSet<String> = names.iter().filter(|name| matters(name)).cloned().collect();
        open.extend(window.segments.iter().filter(|(_, known)| !known.closed).map(|(name, _)| name.clone()));
        open.extend(from.iter().cloned());
        open.extend(followed.iter().filter(|name| window.segments.contains_key(*name)).cloned());
        let mut left = BTreeSet::new();
        let mut count = 0;
        for name in open {
            let known = window.known(&name);
            if name == self.own.name() {
                continue;
            }
            if followed.contains(&name) {
                self.known.insert(name, known);
                continue;
            }
            if known.closed {
                // It may be that its closing was not heard of any more.
                self.leaving.push_back(FromScribe::Released { segment: name, bytes: None, closed: true });
                continue;
            }
            count += 1;
            if let Some(name) = self.recover_segment(&name, known)? {
                left.insert(name);
            }
        }
        self.recovery = Recovery::Closing { left, open: count };
        let boot = self.start.boot;
        let gone = self.requests.take(|lane| !lane.is_of(boot));
        self.end_requests(gone, Outcome::KilledByRestart)?;
        // All that the warden said meanwhile.
        while let Some((message, descriptors)) = self.stash.pop_front() {
            if self.take(message, descriptors)? == super::Next::End {
                break;
            }
        }
        let orphans = self.requests.take(|lane| lane.gate.is_none());
        self.end_requests(orphans, Outcome::GateDied)?;
        self.wish = true;
        Ok(())
    }

    /// One that nobody writes to any more; its name, where it is still to be closed.
    fn recover_segment(&mut self, name: &str, known: Known) -> io::Result<Option<Rc<str>>> {
        let Some(parsed) = SegmentName::parse(name) else { return Ok(None) };
        let (boot, Some(role)) = (parsed.boot, Role::of_writer(parsed.writer)) else { return Ok(None) };
        let sealed = known.sealed();
        let Some(file) = self.ask_file(name)? else {
            let why = "it is gone, and nothing says that it was removed".to_owned();
            self.damaged(&Damage { segment: name.to_owned(), at: sealed, why })?;
            self.intrusion(name, sealed, Seen::Gone)?;
            // Nothing more will come of it, and no later start has to ask for it again.
            self.own.note(&Entry::Close(Close { segment: name, bytes: sealed, torn: false }))?;
            return Ok(None);
        };
        let name: Rc<str> = name.into();
        let segment = Followed::new(&name, file, Source { role, boot, gate: None });
        self.followed.insert(Rc::clone(&name), segment);
        if let Err(trouble) = self.resume(&name, known, true) {
            let (at, why) = match trouble {
                Trouble::Intruded { at, why } => (at, describe(why)),
                Trouble::Unreadable(errno) => (sealed, errno.desc()),
            };
            let why = format!("{why}; it was sealed up to byte {sealed}");
            self.damaged(&Damage { segment: name.to_string(), at, why })?;
            self.trouble(&name, trouble)?;
        }
        if let Some(segment) = self.followed.get_mut(&name) {
            segment.finish();
        }
        self.tell_recovered(&name, sealed)?;
        Ok(Some(name))
    }

    /// That a segment was found open, and is read from its last sealed byte on.
    pub(super) fn tell_recovered(&mut self, name: &str, from: u64) -> io::Result<()> {
        let Some(segment) = self.followed.get(name) else { return Ok(()) };
        let why = match segment.boot() == self.start.boot {
            true => Interrupted::Scribe,
            false => Interrupted::Restart,
        };
        let (to, torn) = (segment.length().max(from), segment.is_finished() && segment.is_unfinished());
        self.own.note(&Entry::Recover(Recover::Segment { segment: name, from, to, torn, why }))
    }

    /// Holds a segment against what is sealed of it, and reads on; `over`: nobody writes to it any more.
    pub(super) fn resume(&mut self, name: &Rc<str>, known: Known, over: bool) -> Result<(), Trouble> {
        let Some(segment) = self.followed.get_mut(name) else { return Ok(()) };
        let lane = segment.lane().cloned();
        let (requests, live, boot) = (&mut self.requests, &mut self.live, self.start.boot);
        let mut heed = |source: &Source, judged: &Judged<'_>| {
            // Counters are of this start; what an earlier scribe of it has seen is in them too.
            if source.boot == boot {
                live.note(judged, source);
            }
            if let (Some(lane), Some(progress)) = (&lane, judged.request) {
                // What was open later is open already, so there may be more of it than there ever were at a time.
                let _fits = requests.heed(lane, progress);
            }
            Ok(())
        };
        let sealed = known.sealed();
        let (channel, said) = (&self.channel, &mut self.said);
        let mut tick = || {
            if said.elapsed() >= SIGN {
                // Not one of the queue: it is a sign of life, and nothing is lost where there is no room for it.
                channel.send(&FromScribe::Reading, &[]).ok();
                *said = Instant::now();
            }
        };
        let mut held = segment.start_behind(known.base, &mut heed, &mut tick);
        for range in known.ranges {
            held = held.and_then(|()| segment.resume(range, &mut heed, &mut tick));
        }
        if let Err(trouble) = held {
            segment.is_sealed_to(sealed);
            return Err(trouble);
        }
        if over {
            segment.finish();
        }
        segment.look(&mut self.clock, &mut heed)?;
        if self.recovery == Recovery::Over {
            return Ok(());
        }
        // What there is by now, since it is told how far that is.
        let end = segment.end()?;
        while segment.is_unread() && segment.length() < end {
            tick();
            segment.look(&mut self.clock, &mut heed)?;
        }
        Ok(())
    }

    /// Damage ends a start, unless it was accepted.
    fn damaged(&mut self, damage: &Damage) -> io::Result<()> {
        tracing::error!(%damage, "the record of before is damaged");
        if self.on_damage == OnDamage::IsRecorded {
            return Ok(());
        }
        self.unsent.push_back(FromScribe::Damaged { what: damage.to_string() });
        self.flush()?;
        Err(io::Error::other("the record of before is damaged"))
    }

    /// After each round: how far the recovery is.
    pub(super) fn go_on_recovering(&mut self) -> io::Result<()> {
        match &mut self.recovery {
            Recovery::Closing { left, open } => {
                left.retain(|name| self.followed.contains_key(name));
                if left.is_empty() {
                    self.recovery = Recovery::Releasing { open: *open };
                    self.unsent.push_back(FromScribe::Recovered);
                }
            }
            Recovery::Settled if !self.own.is_unsealed() => {
                self.recovery = Recovery::Over;
                self.say_alive();
            }
            Recovery::Read | Recovery::Releasing { .. } | Recovery::Settled | Recovery::Over => {}
        }
        Ok(())
    }

    /// The warden has released them.
    pub(super) fn settle(&mut self) -> io::Result<()> {
        let Recovery::Releasing { open } = self.recovery else { return Ok(()) };
        self.recovery = Recovery::Settled;
        self.checkpoint(Interrupted::Carried, open)
    }

    fn ask_names(&mut self) -> io::Result<Vec<String>> {
        let mut all: Vec<String> = Vec::new();
        loop {
            let after = all.last().cloned().unwrap_or_default();
            let (answer, _none) = self.ask(FromScribe::Names { after })?;
            let ToScribe::Names { names, more } = answer else { return Err(invalid("no names")) };
            let none = names.is_empty();
            all.extend(names);
            if !more || none {
                return Ok(all);
            }
        }
    }

    fn ask_file(&mut self, name: &str) -> io::Result<Option<File>> {
        let (answer, descriptors) = self.ask(FromScribe::Show { segment: name.to_owned() })?;
        match answer {
            ToScribe::Shown { missing: None } => {
                let [file] = exactly(descriptors)?;
                Ok(Some(file.into()))
            }
            ToScribe::Shown { missing: Some(why) } => {
                tracing::warn!(segment = name, why, "a segment of before can't be had");
                Ok(None)
            }
            _ => Err(invalid("no file")),
        }
    }

    /// Asks the warden, and keeps what else it says for later.
    fn ask(&mut self, question: FromScribe) -> io::Result<(ToScribe, Vec<OwnedFd>)> {
        self.unsent.push_back(question);
        self.flush()?;
        loop {
            match self.channel.receive_waiting::<ToScribe>()? {
                Some((answer @ (ToScribe::Names { .. } | ToScribe::Shown { .. }), descriptors)) => {
                    return Ok((answer, descriptors));
                }
                Some(other) => self.stash.push_back(other),
                None => return Err(io::Error::new(io::ErrorKind::BrokenPipe, "the warden is gone")),
            }
        }
    }

    /// Sends all, waiting for room.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        loop {
            self.send();
            if self.unsent.is_empty() {
                return Ok(());
            }
            let mut fds = [PollFd::new(self.channel.as_fd(), PollFlags::POLLOUT)];
            poll(&mut fds, PollTimeout::try_from(LOOK).map_err(io::Error::other)?)?;
        }
    }
}

fn describe(why: Seen) -> &'static str {
    match why {
        Seen::Changed => "its bytes are not those that were sealed",
        Seen::Shrank => "it is shorter than what was sealed of it",
        Seen::Line => "a line that its writer does not write",
        Seen::Count => "its records do not count on",
        Seen::Foreign => "a file of somebody else",
        Seen::Gone => "it is gone",
    }
}

/// All of one of the scribe's own segments, made durable: what follows will name its last seal.
fn whole(file: File) -> io::Result<Vec<u8>> {
    let file = Arc::new(file);
    super::own::sync(&file)?;
    let mut bytes = Vec::new();
    (&*file).take(LONGEST).read_to_end(&mut bytes)?;
    Ok(bytes)
}
