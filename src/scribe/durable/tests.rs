use super::*;
use std::io::Write;

/// A thread on a directory of its own.
struct Stage {
    directory: tempfile::TempDir,
    durables: Durables,
}

impl Stage {
    fn new() -> Stage {
        let directory = tempfile::tempdir().unwrap();
        let durables = Durables::start(Arc::new(File::open(directory.path()).unwrap())).unwrap();
        Stage { directory, durables }
    }

    /// A segment of so many bytes, its writer, and the lane's end of its socket.
    fn segment(&self, name: &str, bytes: usize) -> (File, OwnedFd) {
        let path = self.directory.path().join(name);
        let mut writer = File::create_new(&path).unwrap();
        writer.write_all(&vec![b'x'; bytes]).unwrap();
        let (ours, theirs) = datagram::pair().unwrap();
        self.durables.serve(name, File::open(&path).unwrap().into(), theirs).unwrap();
        (writer, ours)
    }
}

fn ask(lane: &OwnedFd, wanted: u64) {
    datagram::transmit(lane.as_fd(), &wanted.to_le_bytes(), &[]).unwrap();
}

/// What is said next; `None` where the socket was closed.
fn said(lane: &OwnedFd) -> Option<Said> {
    datagram::wait(lane.as_fd()).unwrap();
    let mut word = [0; WORD];
    match read(lane, &mut word).unwrap() {
        WORD => Some(Said::read(word)),
        _ => None,
    }
}

#[test]
fn lane_that_asks_is_told_all_that_is_on_the_disk() {
    let stage = Stage::new();
    let (mut writer, lane) = stage.segment("a", 100);
    ask(&lane, 40);
    assert_eq!(said(&lane), Some(Said::Durable(100)));
    writer.write_all(b"more").unwrap();
    ask(&lane, 104);
    assert_eq!(said(&lane), Some(Said::Durable(104)));
    ask(&lane, 1 << 40);
    assert_eq!(said(&lane), Some(Said::Durable(104)), "what is not written is not promised");
}

#[test]
fn finished_segment_says_its_last_word_unasked() {
    let stage = Stage::new();
    let (_writer, lane) = stage.segment("a", 7);
    stage.durables.finish("a").unwrap();
    assert_eq!((said(&lane), said(&lane)), (Some(Said::Durable(7)), None));
}

#[test]
fn segment_that_shrank_is_lost_once_and_reported() {
    let stage = Stage::new();
    let (writer, lane) = stage.segment("a", 100);
    ask(&lane, 100);
    assert_eq!(said(&lane), Some(Said::Durable(100)));
    writer.set_len(50).unwrap();
    ask(&lane, 101);
    assert_eq!(said(&lane), Some(Said::Lost));
    assert_eq!(stage.durables.failed().collect::<Vec<_>>(), [("a".to_owned(), Errno::ESTALE)]);
    assert_eq!(said(&lane), None);
}

#[test]
fn segment_that_failed_elsewhere_is_lost() {
    let stage = Stage::new();
    let (_writer, lane) = stage.segment("a", 1);
    stage.durables.fail("a").unwrap();
    assert_eq!(said(&lane), Some(Said::Lost));
}

#[test]
fn lane_that_is_gone_or_babbles_disturbs_no_other() {
    let stage = Stage::new();
    let (_writer, gone) = stage.segment("a", 1);
    let (_second, babbles) = stage.segment("b", 1);
    let (_third, well) = stage.segment("c", 3);
    drop(gone);
    datagram::transmit(babbles.as_fd(), b"abc", &[]).unwrap();
    assert_eq!(said(&babbles), None);
    ask(&well, 3);
    assert_eq!(said(&well), Some(Said::Durable(3)));
}
