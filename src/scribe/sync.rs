//! What waits for a disk, in a thread of its own: the scribe goes on to read, to judge and to say that it is there
//! while a sync takes its time.

use std::io::{self, PipeReader, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use nix::errno::Errno;

/// What is done there.
type Work = Box<dyn FnOnce() -> Result<(), Errno> + Send>;

/// What was waited for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Task {
    /// The names in the audit directory.
    Directory,
    /// A segment that is followed, up to this byte.
    Segment(String, u64),
    /// The scribe's own segment.
    Own(u64),
    /// A step of an epoch's beginning.
    Keys,
}

/// A task that is over.
#[derive(Debug)]
pub(super) struct Done {
    pub(super) task: Task,
    pub(super) result: Result<(), Errno>,
    /// How long the disk took.
    pub(super) took: Duration,
}

/// The thread's other side.
#[derive(Debug)]
pub(super) struct Syncer {
    tasks: Sender<(Task, Work)>,
    done: Receiver<Done>,
    /// Readable while something is done.
    wake: PipeReader,
    /// Tasks that are not over.
    waiting: usize,
    /// When the first of them was given.
    since: Instant,
}

impl Syncer {
    /// Starts the thread. Its rights are those that this one has left.
    pub(super) fn start() -> io::Result<Syncer> {
        let (tasks, work) = channel::<(Task, Work)>();
        let (report, done) = channel();
        let (wake, mut ring) = io::pipe()?;
        std::thread::Builder::new().name("sync".to_owned()).spawn(move || {
            for (task, work) in work {
                let begun = Instant::now();
                let result = work();
                let done = Done { task, result, took: begun.elapsed() };
                if report.send(done).is_err() || ring.write_all(&[0]).is_err() {
                    // Nobody waits for it any more.
                    return;
                }
            }
        })?;
        Ok(Syncer { tasks, done, wake, waiting: 0, since: Instant::now() })
    }

    /// Has something done behind what was given before.
    ///
    /// # Errors
    ///
    /// The thread is gone.
    pub(super) fn give(
        &mut self,
        task: Task,
        work: impl FnOnce() -> Result<(), Errno> + Send + 'static,
    ) -> io::Result<()> {
        if self.waiting == 0 {
            self.since = Instant::now();
        }
        self.waiting += 1;
        self.tasks.send((task, Box::new(work))).map_err(|_gone| gone())
    }

    /// What is done by now.
    ///
    /// # Errors
    ///
    /// The thread is gone.
    pub(super) fn take(&mut self) -> io::Result<Option<Done>> {
        use std::sync::mpsc::TryRecvError;
        match self.done.try_recv() {
            Ok(done) => {
                // One byte for each, sent right behind it.
                self.wake.read_exact(&mut [0])?;
                self.waiting -= 1;
                self.since = Instant::now();
                Ok(Some(done))
            }
            Err(TryRecvError::Empty) => Ok(None),
            Err(TryRecvError::Disconnected) => Err(gone()),
        }
    }

    /// Whether nothing is waited for.
    pub(super) fn is_idle(&self) -> bool {
        self.waiting == 0
    }

    /// For how long the disk has been at the present task.
    pub(super) fn waiting_for(&self) -> Duration {
        if self.is_idle() { Duration::ZERO } else { self.since.elapsed() }
    }
}

impl AsFd for Syncer {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.wake.as_fd()
    }
}

fn gone() -> io::Error {
    io::Error::new(io::ErrorKind::BrokenPipe, "the thread that syncs is gone")
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

    fn wait(syncer: &Syncer) {
        poll(&mut [PollFd::new(syncer.as_fd(), PollFlags::POLLIN)], PollTimeout::NONE).unwrap();
    }

    #[test]
    fn syncer_does_tasks_in_order_and_rings() {
        let mut syncer = Syncer::start().unwrap();
        assert!(syncer.is_idle() && syncer.waiting_for().is_zero());
        syncer.give(Task::Directory, || Ok(())).unwrap();
        syncer.give(Task::Own(7), || Err(Errno::EIO)).unwrap();
        let mut done = Vec::new();
        while !syncer.is_idle() {
            wait(&syncer);
            done.extend(syncer.take().unwrap().map(|done| (done.task, done.result)));
        }
        assert_eq!(done, [(Task::Directory, Ok(())), (Task::Own(7), Err(Errno::EIO))]);
        assert!(syncer.take().unwrap().is_none());
    }

    #[test]
    fn syncer_that_waits_says_for_how_long() {
        let mut syncer = Syncer::start().unwrap();
        let (go, told) = channel::<()>();
        let hangs = move || {
            told.recv().ok();
            Ok(())
        };
        syncer.give(Task::Keys, hangs).unwrap();
        while syncer.waiting_for().is_zero() {}
        assert!(!syncer.is_idle() && syncer.take().unwrap().is_none());
        drop(go);
        wait(&syncer);
        assert_eq!(syncer.take().unwrap().unwrap().task, Task::Keys);
    }
}
