use super::*;
use crate::audit::entry::OutcomeOf;
use crate::model::ids::{BootId, ConnectionId, RequestId};
use crate::model::outcome::Outcome;
use std::fs::{File, OpenOptions};
use std::io::Read;
use std::path::{Path, PathBuf};
use tokio::task::LocalSet;

const PLENTY: u64 = 1 << 30;

fn outcome(number: u32) -> Entry<'static> {
    let connection = ConnectionId { boot: BootId::from_random(7), number: 1 };
    Entry::Outcome(OutcomeOf {
        id: RequestId { connection, number },
        status: Some(200),
        result: Outcome::Completed,
        bytes_in: 0,
        bytes_out: 1,
        us: 2,
    })
}

struct Segments(tempfile::TempDir);

impl Segments {
    fn new() -> Segments {
        Segments(tempfile::tempdir().unwrap())
    }

    fn segment(&self, name: &str) -> (PathBuf, OwnedFd) {
        let path = self.0.path().join(name);
        let file = OpenOptions::new().append(true).create_new(true).open(&path).unwrap();
        (path, file.into())
    }
}

fn numbers(path: &Path) -> Vec<u64> {
    let text = std::fs::read_to_string(path).unwrap();
    let number = |line: &str| serde_json::from_str::<serde_json::Value>(line).unwrap()["n"].as_u64().unwrap();
    text.lines().map(number).collect()
}

fn full() -> OwnedFd {
    OpenOptions::new().write(true).open("/dev/full").unwrap().into()
}

fn run<T>(task: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    LocalSet::new().block_on(&runtime, task)
}

#[test]
fn receipt_is_had_only_with_the_bytes_in_the_file() {
    let segments = Segments::new();
    let (path, segment) = segments.segment("a");
    let log = Log::new(segment, PLENTY);
    let noted = log.note("permit", &outcome(1)).unwrap();
    assert_eq!(numbers(&path), [0; 0], "a note alone writes nothing");
    log.flush().unwrap();
    assert_eq!(numbers(&path), [0]);
    assert_eq!(*log.receipt(noted).unwrap(), "permit");

    let noted = log.note((), &outcome(2)).unwrap();
    log.receipt(noted).unwrap();
    assert_eq!(numbers(&path), [0, 1], "asked for early, a receipt flushes first");
}

#[test]
fn flush_writes_a_round_at_once_and_counts_without_gaps() {
    let segments = Segments::new();
    let (path, segment) = segments.segment("a");
    let log = Log::new(segment, PLENTY);
    for number in 1..=5 {
        drop(log.note((), &outcome(number)).unwrap());
    }
    assert_eq!(numbers(&path), [0; 0]);
    log.flush().unwrap();
    log.flush().unwrap();
    assert_eq!(numbers(&path), [0, 1, 2, 3, 4]);
    assert_eq!(log.written_bytes(), std::fs::metadata(&path).unwrap().len());
}

#[test]
fn written_two_waiters_share_one_write_after_what_is_ready() {
    // In packet mode (pipe(7)) one read gives what one write put in.
    let (read, segment) = nix::unistd::pipe2(nix::fcntl::OFlag::O_DIRECT).unwrap();
    let mut read = File::from(read);
    let log = Log::new(segment, PLENTY);
    run(async {
        let flusher = tokio::task::spawn_local(log.flusher());
        tokio::task::yield_now().await;
        let waiter = |number| {
            let log = log.clone();
            tokio::task::spawn_local(async move {
                let noted = log.note(number, &outcome(number)).unwrap();
                log.written(noted).await.map(Receipt::into_inner)
            })
        };
        let (one, two) = (waiter(1), waiter(2));
        assert_eq!((one.await.unwrap(), two.await.unwrap()), (Ok(1), Ok(2)));
        flusher.abort();
    });
    let mut text = vec![0; 4096];
    let length = read.read(&mut text).unwrap();
    assert_eq!(text[..length].iter().filter(|byte| **byte == b'\n').count(), 2);
}

#[test]
fn written_before_the_write_is_pending() {
    let segments = Segments::new();
    let (path, segment) = segments.segment("a");
    let log = Log::new(segment, PLENTY);
    let noted = log.note(7, &outcome(1)).unwrap();
    let mut waiting = std::pin::pin!(log.written(noted));
    let mut context = Context::from_waker(Waker::noop());
    assert!(waiting.as_mut().poll(&mut context).is_pending());
    assert_eq!(numbers(&path), [0; 0]);
    log.flush().unwrap();
    assert!(matches!(waiting.poll(&mut context), Poll::Ready(Ok(receipt)) if *receipt == 7));
}

#[test]
fn written_dropped_waiter_loses_nothing_of_the_others() {
    let segments = Segments::new();
    let (path, segment) = segments.segment("a");
    let log = Log::new(segment, PLENTY);
    run(async {
        let (leaves, stays) = (log.note(1, &outcome(1)).unwrap(), log.note(2, &outcome(2)).unwrap());
        {
            let mut leaves = std::pin::pin!(log.written(leaves));
            poll_fn(|context| {
                assert!(leaves.as_mut().poll(context).is_pending());
                Poll::Ready(())
            })
            .await;
        }
        let flusher = tokio::task::spawn_local(log.flusher());
        assert_eq!(log.written(stays).await.map(Receipt::into_inner), Ok(2));
        flusher.abort();
    });
    assert_eq!(numbers(&path), [0, 1]);
}

#[test]
fn full_disk_fails_all_that_was_pending_until_replaced() {
    let segments = Segments::new();
    let log = Log::new(full(), PLENTY);
    let first = log.note((), &outcome(1)).unwrap();
    let second = log.note((), &outcome(2)).unwrap();
    let no_space = Unwritable { errno: Errno::ENOSPC as i32 };
    assert_eq!(log.flush(), Err(no_space));
    assert_eq!(log.broken(), Some(no_space));
    assert_eq!(log.note((), &outcome(3)).unwrap_err(), no_space);

    let (path, segment) = segments.segment("b");
    log.replace(segment, PLENTY);
    let third = log.note((), &outcome(4)).unwrap();
    log.flush().unwrap();
    assert_eq!(log.receipt(first).unwrap_err(), no_space, "healed, the lost stay lost");
    assert_eq!(run(log.written(second)).unwrap_err(), no_space);
    assert!(log.receipt(third).is_ok());
    assert_eq!(numbers(&path), [0], "a segment begins at 0");
}

#[test]
fn short_write_breaks_the_log() {
    use nix::fcntl::{FcntlArg, fcntl};
    let (read, write) = nix::unistd::pipe2(nix::fcntl::OFlag::O_NONBLOCK).unwrap();
    let size = fcntl(&write, FcntlArg::F_SETPIPE_SZ(4096)).unwrap();
    let log = Log::new(write, PLENTY);
    let noted: Vec<_> = (0..200).map(|number| log.note((), &outcome(number)).unwrap()).collect();
    let short = Unwritable { errno: Errno::EIO as i32 };
    assert_eq!(log.flush(), Err(short));
    for noted in noted {
        assert_eq!(log.receipt(noted).unwrap_err(), short);
    }
    let mut text = vec![0; 1 << 16];
    assert_eq!(File::from(read).read(&mut text).unwrap(), usize::try_from(size).unwrap());
}

#[test]
fn replace_sends_what_is_pending_to_the_old_segment() {
    let segments = Segments::new();
    let ((old, segment), (new, next)) = (segments.segment("a"), segments.segment("b"));
    let log = Log::new(segment, PLENTY);
    let noted = log.note((), &outcome(1)).unwrap();
    log.replace(next, PLENTY);
    assert!(log.receipt(noted).is_ok());
    drop(log.note((), &outcome(2)).unwrap());
    log.flush().unwrap();
    assert_eq!((numbers(&old), numbers(&new)), (vec![0], vec![0]));
}

#[test]
fn note_beyond_the_reservation_fails_and_leaves_the_log_whole() {
    let segments = Segments::new();
    let (path, segment) = segments.segment("a");
    let log = Log::new(segment, 300);
    let kept = log.note((), &outcome(1)).unwrap();
    let mut refused = 0;
    while log.note((), &outcome(2)).map(drop).is_ok() {
        refused += 1;
        assert!(refused < 10);
    }
    assert_eq!(log.note((), &outcome(3)).unwrap_err().errno, Errno::ENOSPC as i32);
    assert!(log.receipt(kept).is_ok());
    assert!(std::fs::metadata(&path).unwrap().len() <= 300);
    log.reserve(600);
    drop(log.note((), &outcome(4)).unwrap());
    log.flush().unwrap();
    let numbers = numbers(&path);
    assert!(numbers.iter().enumerate().all(|(i, n)| i as u64 == *n), "{numbers:?}");
}

#[test]
fn wants_space_asks_once_a_reservation() {
    let segments = Segments::new();
    let (_, segment) = segments.segment("a");
    let log = Log::new(segment, 1_000);
    assert_eq!(log.wants_space(), None);
    while log.0.borrow().used() < 500 {
        drop(log.note((), &outcome(1)).unwrap());
    }
    let used = log.0.borrow().used();
    assert_eq!((log.wants_space(), log.wants_space()), (Some(used), None));
    log.reserve(2_000);
    assert_eq!(log.wants_space(), None);
}

#[test]
fn wants_space_on_a_full_disk_asks_again_only_for_a_note_that_did_not_fit() {
    let segments = Segments::new();
    let log = Log::new(segments.segment("a").1, 0);
    assert_eq!(log.wants_space(), Some(0));
    log.reserve(0);
    assert_eq!(log.wants_space(), None);
    assert!(log.note((), &outcome(1)).is_err());
    assert_eq!((log.wants_space(), log.wants_space()), (Some(0), None));
}

#[test]
fn attention_tells_of_a_broken_segment() {
    let log = Log::new(full(), PLENTY);
    run(async {
        let attended = log.clone();
        let attendant = tokio::task::spawn_local(async move { attended.attention().await });
        tokio::task::yield_now().await;
        let noted = log.note((), &outcome(1)).unwrap();
        let flusher = tokio::task::spawn_local(log.flusher());
        assert!(log.written(noted).await.is_err());
        let no_space = Unwritable { errno: Errno::ENOSPC as i32 };
        assert_eq!(attendant.await.unwrap(), Want::Segment(no_space));
        flusher.abort();
    });
}

#[test]
fn receipt_another_logs_note_is_refused() {
    let segments = Segments::new();
    let log = Log::new(segments.segment("a").1, PLENTY);
    let other = Log::new(segments.segment("b").1, PLENTY);
    let noted = log.note((), &outcome(1)).unwrap();
    assert_eq!(other.receipt(noted).unwrap_err().errno, Errno::EINVAL as i32);
}

#[test]
fn dropped_log_leaves_nobody_waiting() {
    let segments = Segments::new();
    let log = Log::new(segments.segment("a").1, PLENTY);
    let noted = log.note((), &outcome(1)).unwrap();
    let waiting = log.written(noted);
    drop(log);
    assert_eq!(run(waiting).unwrap_err().errno, Errno::EPIPE as i32);
}

#[test]
fn held_space_is_there_for_the_record_that_was_promised() {
    let segments = Segments::new();
    let (path, segment) = segments.segment("a");
    let log = Log::new(segment, 4096);
    log.hold(320);
    let mut fitted = 0;
    while log.note((), &outcome(1)).is_ok() {
        fitted += 1;
    }
    log.release(320);
    drop(log.note((), &outcome(2)).expect("it was promised"));
    log.flush().unwrap();
    assert_eq!(numbers(&path).len(), fitted + 1);
}

fn outcome_of(number: u32) -> OutcomeOf {
    let Entry::Outcome(outcome) = outcome(number) else { panic!("it is made as one") };
    outcome
}

#[test]
fn outcome_that_a_segment_did_not_take_goes_to_the_next() {
    let segments = Segments::new();
    let log = Log::new(full(), 1 << 20);
    log.note_outcome(outcome_of(1)).unwrap();
    assert!(log.flush().is_err());
    assert!(log.note_outcome(outcome_of(2)).is_err(), "the log is broken");
    assert!(log.owes());
    let (path, segment) = segments.segment("b");
    log.replace(segment, 1 << 20);
    log.pay();
    log.flush().unwrap();
    assert!(!log.owes());
    assert_eq!(numbers(&path), [0, 1]);
    log.pay();
    log.flush().unwrap();
    assert_eq!(numbers(&path).len(), 2, "each once");
}

#[test]
fn segment_that_was_cut_is_broken_at_the_next_write() {
    let segments = Segments::new();
    let (path, segment) = segments.segment("a");
    let log = Log::new(segment, 1 << 20);
    let first = log.note(1, &outcome(1)).unwrap();
    log.receipt(first).unwrap();
    OpenOptions::new().write(true).open(&path).unwrap().set_len(0).unwrap();
    let second = log.note(2, &outcome(2)).unwrap();
    assert_eq!(log.receipt(second).unwrap_err().errno, Errno::ESTALE as i32);
    assert!(log.broken().is_some());
}
