//! What of the written records is on the disk, and who waits for that.
//!
//! The writer can't make its own records durable: the scribe does, and says how far it has come. Whoever needs more
//! than a [`Receipt`] waits for a [`Durable`]; all who wait while the disk works are served by its next turn.

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::ops::Deref;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use nix::errno::Errno;

use super::{Log, Receipt, Unwritable, keep};

/// Where a record ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Position {
    /// Which of the log's segments, in their order.
    segment: u32,
    /// So many bytes of it.
    end: u64,
}

/// A value whose record is on the disk. Only a [`Log`] makes one, of a [`Receipt`].
#[derive(Debug)]
pub struct Durable<T>(T);

impl<T> Durable<T> {
    /// The value; from here on nothing says that it was recorded.
    pub fn into_inner(self) -> T {
        self.0
    }
}

impl<T> Deref for Durable<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

/// All segments of which somebody wants to know.
#[derive(Debug, Default)]
pub(super) struct Syncs {
    present: u32,
    waiters: u64,
    progress: BTreeMap<u32, Progress>,
}

/// How far one segment is.
#[derive(Debug, Default)]
struct Progress {
    durable: u64,
    wanted: u64,
    lost: Option<Unwritable>,
    waiters: BTreeMap<(u64, u64), Waker>,
    /// Who asks the scribe.
    asker: Option<Waker>,
}

impl Syncs {
    /// Where the byte at `end` of the present segment is.
    pub(super) fn position(&self, end: u64) -> Position {
        Position { segment: self.present, end }
    }

    /// Another segment is the present one. Whoever asks for an earlier one has nothing more to wait for once that is
    /// served, and is to be woken to see it.
    pub(super) fn next_segment(&mut self) -> Vec<Waker> {
        self.present = self.present.wrapping_add(1);
        self.progress.values_mut().filter_map(|progress| progress.asker.take()).collect()
    }

    fn forget_if_over(&mut self, segment: u32) {
        let over = |progress: &Progress| segment != self.present && progress.waiters.is_empty();
        if self.progress.get(&segment).is_some_and(over) {
            self.progress.remove(&segment);
        }
    }
}

impl Log {
    /// The number of the present segment: counts how often [`Log::replace`] was called.
    pub fn present(&self) -> u32 {
        self.0.borrow().syncs.present
    }

    /// Waits until the record is on the disk.
    ///
    /// # Errors
    ///
    /// It can't be: its segment failed.
    pub fn durable<T>(
        &self,
        receipt: Receipt<T>,
    ) -> impl Future<Output = Result<Durable<T>, Unwritable>> + use<T> {
        let Receipt { value, position } = receipt;
        Syncing { value: Some(value), position, log: self.clone(), slot: None }
    }

    /// Waits until somebody wants more of `segment` on the disk than there is; how many bytes. `None` once it is no
    /// longer the present one and nobody waits for it any more.
    pub fn wanted(&self, segment: u32) -> impl Future<Output = Option<u64>> + use<> {
        let log = self.clone();
        poll_fn(move |context| {
            let syncs = &mut log.0.borrow_mut().syncs;
            let present = syncs.present;
            syncs.forget_if_over(segment);
            if segment != present && !syncs.progress.contains_key(&segment) {
                return Poll::Ready(None);
            }
            let progress = syncs.progress.entry(segment).or_default();
            if progress.lost.is_none() && progress.wanted > progress.durable && !progress.waiters.is_empty() {
                return Poll::Ready(Some(progress.wanted));
            }
            keep(&mut progress.asker, context);
            Poll::Pending
        })
    }

    /// The first `upto` bytes of `segment` are on the disk.
    pub fn synced(&self, segment: u32, upto: u64) {
        let mut served = Vec::new();
        if let Some(progress) = self.0.borrow_mut().syncs.progress.get_mut(&segment) {
            progress.durable = progress.durable.max(upto);
            let rest = progress.waiters.split_off(&(progress.durable.saturating_add(1), 0));
            served = std::mem::replace(&mut progress.waiters, rest).into_values().collect();
        }
        // Wakers are foreign code and may come back here: no borrow is held.
        served.into_iter().for_each(Waker::wake);
    }

    /// `segment` can't be made durable: a sync failed, and is never tried again. Where it is the present one nothing
    /// more is written to it.
    pub fn unsyncable(&self, segment: u32, errno: i32) {
        let why = Unwritable { errno };
        let (waiters, attendant) = {
            let mut state = self.0.borrow_mut();
            if state.syncs.present == segment && state.broken.is_none() {
                state.broken = Some(why);
                state.asked = false;
            }
            let progress = state.syncs.progress.entry(segment).or_default();
            progress.lost = Some(why);
            let waiters = std::mem::take(&mut progress.waiters);
            (waiters, state.attendant_if_wanted())
        };
        waiters.into_values().chain(attendant).for_each(Waker::wake);
    }
}

/// The future of [`Log::durable`].
struct Syncing<T> {
    value: Option<T>,
    position: Position,
    log: Log,
    slot: Option<u64>,
}

// The value is never pinned: it only passes through.
impl<T> Unpin for Syncing<T> {}

impl<T> Future for Syncing<T> {
    type Output = Result<Durable<T>, Unwritable>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        let Position { segment, end } = this.position;
        let asker = {
            let syncs = &mut this.log.0.borrow_mut().syncs;
            let slot = *this.slot.get_or_insert_with(|| {
                syncs.waiters += 1;
                syncs.waiters
            });
            let progress = syncs.progress.entry(segment).or_default();
            if let Some(why) = progress.lost {
                return Poll::Ready(Err(why));
            }
            if progress.durable >= end {
                // Polled again after it was ready.
                let value = this.value.take().ok_or_else(|| Errno::EINVAL.into());
                return Poll::Ready(value.map(Durable));
            }
            progress.waiters.insert((end, slot), context.waker().clone());
            progress.wanted = progress.wanted.max(end);
            progress.asker.take()
        };
        asker.into_iter().for_each(Waker::wake);
        Poll::Pending
    }
}

impl<T> Drop for Syncing<T> {
    fn drop(&mut self) {
        let Some(slot) = self.slot else { return };
        let syncs = &mut self.log.0.borrow_mut().syncs;
        if let Some(progress) = syncs.progress.get_mut(&self.position.segment) {
            progress.waiters.remove(&(self.position.end, slot));
        }
        syncs.forget_if_over(self.position.segment);
    }
}

#[cfg(test)]
mod tests;
