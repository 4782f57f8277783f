use super::*;
use std::fs::File;
use std::os::unix::fs::{MetadataExt, PermissionsExt};

/// A directory that can be removed with the segments that are in it.
pub(in crate::warden) struct Place(pub(in crate::warden) tempfile::TempDir);

impl Place {
    pub(in crate::warden) fn make() -> Place {
        Place(tempfile::tempdir().unwrap())
    }

    pub(in crate::warden) fn unmark(&self) {
        for entry in std::fs::read_dir(self.0.path()).unwrap() {
            let file = File::open(entry.unwrap().path()).unwrap();
            append_only::set(file.as_fd(), false).ok();
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.unmark();
    }
}

pub(in crate::warden) fn segments(dir: &Place, size: u64) -> Segments {
    Segments::new(Directory::open(dir.0.path()).unwrap(), BootId::from_random(1), None, size).unwrap()
}

#[test]
fn segment_name_says_when_and_whose() {
    let at = Timestamp::from_micros(1_795_405_589_123_456);
    let boot = BootId::from_random(0);
    let lane = |uid| Writer::Lane { uid, gate: 9, lane: 2 };
    for (writer, text) in [
        (Writer::Warden, "20261123T034629.123456Z-000000-warden-1.ndjson"),
        (lane(Some(1001)), "20261123T034629.123456Z-000000-gate-1001-2-1.ndjson"),
        (lane(None), "20261123T034629.123456Z-000000-gate-shared-2-1.ndjson"),
    ] {
        assert_eq!(name(at, boot, writer, 1), text);
    }
}

#[test]
fn segment_is_readable_by_its_group_and_space_is_ahead_of_it() {
    let dir = Place::make();
    let mut segments = segments(&dir, 3 << 20);
    let made = segments.create(Writer::Warden).unwrap();
    let found = std::fs::metadata(dir.0.path().join(&made.name)).unwrap();
    assert_eq!((found.permissions().mode() & 0o7777, found.len()), (0o640, 0));
    assert_eq!(made.reserved, 1 << 20);
    let upto = segments.reserve(&made.name, 600 << 10).unwrap();
    assert!(upto > 2 << 20, "used up at once, it gets more: {upto}");
    assert_eq!(segments.reserve(&made.name, 2 << 20).unwrap(), 3 << 20);
    assert_eq!(segments.reserve(&made.name, 3 << 20).unwrap(), 3 << 20, "at its size it gets no more");
}

#[test]
fn segment_is_used_when_its_file_says_so() {
    let dir = Place::make();
    let mut segments = segments(&dir, 3 << 20);
    let made = segments.create(Writer::Warden).unwrap();
    assert!(!segments.is_used(&made.name), "whatever its writer says");
    nix::unistd::write(&made.file, &vec![b'x'; 512 << 10]).unwrap();
    assert!(segments.is_used(&made.name));
    assert!(!segments.is_used("another"));
}

#[test]
fn release_needs_a_finished_segment_and_its_true_length() {
    let dir = Place::make();
    let mut segments = segments(&dir, 1 << 20);
    let made = segments.create(Writer::Scribe).unwrap();
    nix::unistd::write(&made.file, b"four").unwrap();
    assert!(segments.release(&made.name, Some(4)).is_err());
    segments.finish(&made.name);
    assert!(segments.release(&made.name, Some(3)).is_err());
    assert_eq!(segments.live().count(), 1);
    segments.release(&made.name, Some(4)).unwrap();
    assert_eq!(segments.live().count(), 0);
    let found = std::fs::metadata(dir.0.path().join(&made.name)).unwrap();
    assert_eq!(found.len(), 4);
    assert!(found.blocks() * 512 <= 8192, "the reservation is gone");
}

#[test]
fn reader_of_a_replaced_name_is_refused() {
    let dir = Place::make();
    let mut segments = segments(&dir, 1 << 20);
    let made = segments.create(Writer::Warden).unwrap();
    segments.reader(&made.name).unwrap();
    dir.unmark();
    std::fs::rename(dir.0.path().join(&made.name), dir.0.path().join("kept")).unwrap();
    std::fs::write(dir.0.path().join(&made.name), "forged").unwrap();
    assert!(segments.reader(&made.name).is_err());
}
