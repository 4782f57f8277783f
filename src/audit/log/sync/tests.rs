use super::*;
use crate::audit::entry::{Entry, OutcomeOf};
use crate::model::ids::{BootId, ConnectionId, RequestId};
use crate::model::outcome::Outcome;
use std::os::fd::OwnedFd;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::Wake;

fn entry() -> Entry<'static> {
    let connection = ConnectionId { boot: BootId::from_random(1), number: 7 };
    let (bytes_in, bytes_out, us) = (0, 0, 0);
    let id = RequestId { connection, number: 1 };
    Entry::Outcome(OutcomeOf { id, status: None, result: Outcome::Completed, bytes_in, bytes_out, us })
}

fn segment() -> OwnedFd {
    tempfile::tempfile().unwrap().into()
}

fn log() -> Log {
    Log::new(segment(), 1 << 20)
}

/// One value that is in the file.
fn written(log: &Log, value: u32) -> Receipt<u32> {
    log.receipt(log.note(value, &entry()).unwrap()).unwrap()
}

/// Counts how often it is woken.
#[derive(Default)]
struct Counted(AtomicU32);

impl Wake for Counted {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

fn poll_once<F: Future>(future: Pin<&mut F>, counted: &Arc<Counted>) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(&Arc::clone(counted).into()))
}

#[test]
fn durable_is_had_only_once_the_disk_has_come_so_far() {
    let log = log();
    let (first, second) = (written(&log, 1), written(&log, 2));
    let half = first.position.end;
    let woken = Arc::default();
    let mut first = pin!(log.durable(first));
    let mut second = pin!(log.durable(second));
    assert!(poll_once(first.as_mut(), &woken).is_pending());
    assert!(poll_once(second.as_mut(), &woken).is_pending());
    let mut wanted = pin!(log.wanted(0));
    assert!(
        matches!(poll_once(wanted.as_mut(), &woken), Poll::Ready(Some(all)) if all == log.written_bytes())
    );
    log.synced(0, half);
    assert_eq!(woken.0.load(Ordering::Relaxed), 1, "only who is served is woken");
    assert!(matches!(poll_once(first.as_mut(), &woken), Poll::Ready(Ok(value)) if *value == 1));
    assert!(poll_once(second.as_mut(), &woken).is_pending());
    log.synced(0, log.written_bytes());
    assert!(matches!(poll_once(second.as_mut(), &woken), Poll::Ready(Ok(value)) if *value == 2));
}

#[test]
fn durable_of_what_the_disk_has_already_waits_for_nothing() {
    let log = log();
    let (first, second) = (written(&log, 1), written(&log, 2));
    let woken = Arc::default();
    let mut second = pin!(log.durable(second));
    assert!(poll_once(second.as_mut(), &woken).is_pending());
    log.synced(0, log.written_bytes());
    assert!(poll_once(pin!(log.durable(first)).as_mut(), &woken).is_ready());
}

#[test]
fn sync_that_failed_fails_who_waits_and_breaks_the_log() {
    let log = log();
    let woken = Arc::default();
    let mut waiting = pin!(log.durable(written(&log, 1)));
    assert!(poll_once(waiting.as_mut(), &woken).is_pending());
    let pending = log.note(2, &entry()).unwrap();
    log.unsyncable(0, Errno::EIO as i32);
    assert!(
        matches!(poll_once(waiting.as_mut(), &woken), Poll::Ready(Err(why)) if why.errno == Errno::EIO as i32)
    );
    assert!(log.receipt(pending).is_err(), "nothing more is written behind it");
    assert!(log.note(3, &entry()).is_err());
    log.replace(segment(), 1 << 20);
    assert!(log.broken().is_none());
    let mut next = pin!(log.durable(written(&log, 4)));
    assert!(poll_once(next.as_mut(), &woken).is_pending());
    log.synced(0, u64::MAX - 1);
    assert!(poll_once(next.as_mut(), &woken).is_pending(), "that was another segment");
    log.synced(1, log.written_bytes());
    assert!(poll_once(next.as_mut(), &woken).is_ready());
}

#[test]
fn asker_of_a_past_segment_stays_until_its_last_waiter_is_served() {
    let log = log();
    let woken = Arc::default();
    let mut waiting = pin!(log.durable(written(&log, 1)));
    assert!(poll_once(waiting.as_mut(), &woken).is_pending());
    let length = log.written_bytes();
    log.replace(segment(), 1 << 20);
    assert!(
        matches!(poll_once(pin!(log.wanted(0)).as_mut(), &woken), Poll::Ready(Some(all)) if all == length)
    );
    log.synced(0, length);
    assert!(poll_once(waiting.as_mut(), &woken).is_ready());
    assert!(matches!(poll_once(pin!(log.wanted(0)).as_mut(), &woken), Poll::Ready(None)));
    assert!(poll_once(pin!(log.wanted(1)).as_mut(), &woken).is_pending());
}

#[test]
fn waiter_that_gives_up_is_forgotten() {
    let log = log();
    let woken = Arc::default();
    {
        let mut waiting = pin!(log.durable(written(&log, 1)));
        assert!(poll_once(waiting.as_mut(), &woken).is_pending());
    }
    assert!(poll_once(pin!(log.wanted(0)).as_mut(), &woken).is_pending(), "nobody wants it any more");
    log.replace(segment(), 1 << 20);
    assert!(
        log.0.borrow().syncs.progress.is_empty()
            || poll_once(pin!(log.wanted(0)).as_mut(), &woken).is_ready()
    );
}
