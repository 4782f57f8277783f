//! Durability on demand: lanes say how many bytes of their segment must be on the disk before an effect, and one
//! `fdatasync(2)` serves all who asked by then. In a thread of its own, so that whoever waits does not wait for the
//! reading and hashing of others' segments.
//!
//! It trusts nothing that a lane says but that it wants a sync, and syncs only what has grown. Its descriptors are of an
//! open file of its own: the kernel tells a failed write-back once to each, so neither thread takes the other's news.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::unistd::{Whence, fdatasync, lseek, pipe2, read, write};

use super::Scribe;
use super::follow::Trouble;
use crate::sys::datagram;
use crate::wire::durable::{Said, WORD};

/// What the thread is told.
enum Order {
    /// Serve this segment from now on.
    Serve(String, Box<Segment>),
    /// Its writer is done with it: say the last word.
    Finish(String),
    /// It failed elsewhere.
    Fail(String),
}

/// The thread and what leads to it.
pub(super) struct Durables {
    orders: Sender<Order>,
    wake: OwnedFd,
    failed: Receiver<(String, Errno)>,
    /// Its end is heard by its orders.
    _thread: JoinHandle<()>,
}

/// One segment, and who wants it on the disk.
struct Segment {
    file: File,
    lane: OwnedFd,
    synced: u64,
    /// Its name is on the disk as well.
    named: bool,
}

impl Durables {
    /// Starts the thread. `directory` is where the segments lie.
    pub(super) fn start(directory: Arc<File>) -> io::Result<Durables> {
        let (orders, given) = channel();
        let (tell, failed) = channel();
        let (woken, wake) = pipe2(OFlag::O_CLOEXEC | OFlag::O_NONBLOCK)?;
        let mut work = Work { directory, segments: BTreeMap::new(), orders: given, failed: tell, woken };
        let thread = std::thread::Builder::new().name("durable".to_owned()).spawn(move || work.run())?;
        Ok(Durables { orders, wake, failed, _thread: thread })
    }

    /// Has a lane's wishes for a segment heard: `file` is the segment, opened for this alone.
    pub(super) fn serve(&self, name: &str, file: OwnedFd, lane: OwnedFd) -> io::Result<()> {
        let segment = Segment { file: file.into(), lane, synced: 0, named: false };
        self.order(Order::Serve(name.to_owned(), Box::new(segment)))
    }

    /// Nothing more will be written to it.
    pub(super) fn finish(&self, name: &str) -> io::Result<()> {
        self.order(Order::Finish(name.to_owned()))
    }

    /// It could not be read or synced.
    pub(super) fn fail(&self, name: &str) -> io::Result<()> {
        self.order(Order::Fail(name.to_owned()))
    }

    /// Segments that could not be synced since the last time.
    pub(super) fn failed(&self) -> impl Iterator<Item = (String, Errno)> + '_ {
        self.failed.try_iter()
    }

    fn order(&self, order: Order) -> io::Result<()> {
        self.orders.send(order).map_err(|_gone| io::Error::other("the thread that syncs is gone"))?;
        match write(&self.wake, b"!") {
            // A full pipe wakes it too.
            Ok(_) | Err(Errno::EAGAIN) => Ok(()),
            Err(errno) => Err(errno.into()),
        }
    }
}

impl Scribe {
    /// Segments that could not be synced for those who can't wait.
    pub(super) fn hear_failures(&mut self) -> io::Result<()> {
        let failed: Vec<_> = self.durables.failed().collect();
        failed.into_iter().try_for_each(|(name, errno)| self.trouble(&name, Trouble::Unreadable(errno)))
    }
}

struct Work {
    directory: Arc<File>,
    segments: BTreeMap<String, Segment>,
    orders: Receiver<Order>,
    failed: Sender<(String, Errno)>,
    woken: OwnedFd,
}

impl Work {
    /// Until nobody gives orders any more.
    fn run(&mut self) {
        while self.turn() {}
    }

    fn turn(&mut self) -> bool {
        let mut fds = vec![PollFd::new(self.woken.as_fd(), PollFlags::POLLIN)];
        fds.extend(
            self.segments.values().map(|segment| PollFd::new(segment.lane.as_fd(), PollFlags::POLLIN)),
        );
        match poll(&mut fds, PollTimeout::NONE) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(error) => {
                tracing::error!(%error, "there is no waiting for who wants a sync");
                return false;
            }
        }
        let heard = |fd: &PollFd<'_>| fd.revents().is_some_and(|events| !events.is_empty());
        let (ordered, asked) = match fds.split_first() {
            Some((woken, lanes)) => (heard(woken), lanes.iter().map(heard).collect::<Vec<_>>()),
            None => return false,
        };
        drop(fds);
        let names: Vec<String> = self
            .segments
            .keys()
            .zip(asked)
            .filter(|(_, asked)| *asked)
            .map(|(name, _)| name.clone())
            .collect();
        names.iter().for_each(|name| self.serve(name));
        if !ordered {
            return true;
        }
        let mut bytes = [0; 64];
        match read(&self.woken, &mut bytes) {
            Ok(0) => return false,
            Ok(_) | Err(_) => {}
        }
        while let Ok(order) = self.orders.try_recv() {
            self.obey(order);
        }
        true
    }

    fn obey(&mut self, order: Order) {
        match order {
            Order::Serve(name, segment) => {
                self.segments.insert(name, *segment);
            }
            Order::Finish(name) => {
                self.answer(&name, true);
                self.segments.remove(&name);
            }
            Order::Fail(name) => {
                if let Some(segment) = self.segments.remove(&name) {
                    say(&segment, Said::Lost);
                }
            }
        }
    }

    /// Takes all that a lane has said, and answers once.
    fn serve(&mut self, name: &str) {
        let Some(segment) = self.segments.get(name) else { return };
        let mut word = [0; WORD];
        let mut wanted = None;
        loop {
            match read(&segment.lane, &mut word) {
                Ok(WORD) => wanted = wanted.max(Some(u64::from_le_bytes(word))),
                Err(Errno::EINTR) => {}
                Err(Errno::EAGAIN) => break,
                // Its lane is gone, or says what no lane says.
                _ => {
                    self.segments.remove(name);
                    return;
                }
            }
        }
        if let Some(wanted) = wanted {
            let sync = wanted > segment.synced;
            self.answer(name, sync);
        }
    }

    fn answer(&mut self, name: &str, sync: bool) {
        let Some(segment) = self.segments.get_mut(name) else { return };
        let synced = if sync { segment.sync(&self.directory) } else { Ok(()) };
        match synced {
            Ok(()) => say(segment, Said::Durable(segment.synced)),
            Err(errno) => {
                // Never tried again: a second sync may succeed over pages that the first one dropped. The scribe knows
                // before the lane, or it might take the segment for a good one that is finished. Where nobody listens
                // any more it ends anyway.
                self.failed.send((name.to_owned(), errno)).ok();
                say(segment, Said::Lost);
                self.segments.remove(name);
            }
        }
    }
}

impl Segment {
    /// Makes all that is written by now durable, its name included.
    fn sync(&mut self, directory: &File) -> Result<(), Errno> {
        let length = u64::try_from(lseek(&self.file, 0, Whence::SeekEnd)?).map_err(|_| Errno::ESTALE)?;
        if length < self.synced {
            return Err(Errno::ESTALE);
        }
        if !self.named {
            nix::unistd::fsync(directory)?;
            self.named = true;
        }
        if length > self.synced {
            fdatasync(&self.file)?;
            self.synced = length;
        }
        Ok(())
    }
}

/// A lane that has no room for an answer has more than it asked for.
fn say(segment: &Segment, said: Said) {
    if let Err(error) = datagram::transmit(segment.lane.as_fd(), &said.word(), &[]) {
        tracing::debug!(%error, "a lane can't be told how far the disk is");
    }
}

#[cfg(test)]
mod tests;
