//! Waiting for the write that puts a record into the file.

use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use nix::errno::Errno;

use super::round::{Fate, Round};
use super::{Receipt, Unwritable};

/// The future of [`Log::written`](super::Log::written).
pub(super) struct Written<T> {
    value: Option<T>,
    round: Rc<Round>,
    slot: Option<usize>,
}

impl<T> Written<T> {
    pub(super) fn new(value: T, round: Rc<Round>) -> Written<T> {
        Written { value: Some(value), round, slot: None }
    }
}

// The value is never pinned: it only passes through.
impl<T> Unpin for Written<T> {}

impl<T> Future for Written<T> {
    type Output = Result<Receipt<T>, Unwritable>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        match this.round.fate() {
            Fate::Pending => {
                this.slot = Some(this.round.wait(this.slot, context.waker()));
                Poll::Pending
            }
            Fate::Lost(why) => Poll::Ready(Err(why)),
            Fate::Written(position) => match this.value.take() {
                Some(value) => Poll::Ready(Ok(Receipt { value, position })),
                // Polled again after it was ready.
                None => Poll::Ready(Err(Errno::EINVAL.into())),
            },
        }
    }
}

impl<T> Drop for Written<T> {
    fn drop(&mut self) {
        if let Some(slot) = self.slot {
            self.round.leave(slot);
        }
    }
}
