use super::*;
use std::fs::OpenOptions;
use std::io::Write;

struct Directory(tempfile::TempDir);

impl Directory {
    fn new() -> Directory {
        Directory(tempfile::tempdir().unwrap())
    }

    fn append(&self, segment: &str, text: &str) {
        let path = self.0.path().join(segment);
        let mut file = OpenOptions::new().append(true).create(true).open(path).unwrap();
        file.write_all(text.as_bytes()).unwrap();
    }

    fn reader(&self) -> Reader {
        Reader::open(self.0.path()).unwrap()
    }
}

const A: &str = "20261123T000001.000000Z-7k3qzd-gate-0-0-1.ndjson";
const B: &str = "20261123T000001.500000Z-7k3qzd-warden-2.ndjson";
const C: &str = "20261123T000009.000000Z-7k3qze-warden-1.ndjson";

/// A record of second `at` with this uid.
fn record(at: u64, uid: u64) -> String {
    format!("{{\"v\":1,\"t\":\"gate\",\"n\":0,\"ts\":\"2026-11-23T00:00:{at:02}.000000Z\",\"uid\":{uid}}}\n")
}

fn uids(reader: &mut Reader) -> Vec<String> {
    let mut uids = Vec::new();
    while let Some(line) = reader.next_line().unwrap() {
        uids.push(line.record().map_or("?".to_owned(), |record| record.text("uid").to_owned()));
    }
    uids
}

#[test]
fn lines_of_all_segments_come_in_the_order_of_time() {
    let directory = Directory::new();
    directory.append(C, &(record(9, 5) + &record(11, 7)));
    directory.append(A, &(record(1, 1) + &record(3, 3) + &record(10, 6)));
    directory.append(B, &(record(2, 2) + &record(4, 4)));
    directory.append("hash.key", "secret\n");
    let mut reader = directory.reader();
    assert_eq!(uids(&mut reader), ["1", "2", "3", "4", "5", "6", "7"]);
    let mut reader = Reader::open_boot(directory.0.path(), "7k3qze".parse().unwrap()).unwrap();
    assert_eq!(uids(&mut reader), ["5", "7"]);
}

#[test]
fn torn_tail_is_passed_over_told_and_read_when_it_is_whole() {
    let directory = Directory::new();
    let (begin, end) = (&record(2, 2)[..30], &record(2, 2)[30..]);
    directory.append(A, &(record(1, 1) + begin));
    let mut reader = directory.reader();
    assert_eq!(uids(&mut reader), ["1"]);
    let torn: Vec<Torn> = reader.torn().collect();
    assert_eq!(torn, [Torn { segment: A.into(), bytes: 30 }]);
    directory.append(A, end);
    reader.rescan().unwrap();
    assert_eq!(uids(&mut reader), ["2"]);
    assert_eq!(reader.torn().count(), 0);
}

#[test]
fn rescan_finds_new_segments_and_what_was_appended() {
    let directory = Directory::new();
    directory.append(A, &record(1, 1));
    let mut reader = directory.reader();
    assert_eq!(uids(&mut reader), ["1"]);
    reader.rescan().unwrap();
    assert_eq!(uids(&mut reader), [""; 0]);
    directory.append(C, &record(9, 3));
    directory.append(A, &record(2, 2));
    reader.rescan().unwrap();
    assert_eq!(uids(&mut reader), ["2", "3"]);
    fs::remove_file(directory.0.path().join(A)).unwrap();
    directory.append(C, &record(10, 4));
    reader.rescan().unwrap();
    assert_eq!(uids(&mut reader), ["4"]);
}

#[test]
fn skip_to_end_reads_only_what_comes() {
    let directory = Directory::new();
    directory.append(A, &(record(1, 1) + &record(2, 2)));
    let mut reader = directory.reader();
    reader.skip_to_end().unwrap();
    directory.append(A, &record(3, 3));
    reader.rescan().unwrap();
    assert_eq!(uids(&mut reader), ["3"]);
}

#[test]
fn lines_that_are_no_records_keep_their_place() {
    let directory = Directory::new();
    let long = "x".repeat(100_000);
    directory.append(A, &format!("{}nonsense\n{long}\n{}", record(1, 1), record(3, 3)));
    directory.append(B, &record(2, 2));
    let mut reader = directory.reader();
    assert_eq!(uids(&mut reader), ["1", "?", "?", "2", "3"]);
}

#[test]
fn segment_that_is_a_link_is_an_error() {
    let directory = Directory::new();
    std::os::unix::fs::symlink("/etc/passwd", directory.0.path().join(A)).unwrap();
    assert!(directory.reader().next_line().is_err());
}

#[cfg(feature = "cli")]
impl Directory {
    /// As the daemon does it: the compressed form is made, then the plain one removed.
    fn pack(&self, segment: &str) {
        let path = self.0.path().join(segment);
        let packed = zstd::encode_all(fs::File::open(&path).unwrap(), 3).unwrap();
        fs::write(self.0.path().join(format!("{segment}.zst")), packed).unwrap();
        fs::remove_file(path).unwrap();
    }
}

#[cfg(feature = "cli")]
#[test]
fn compressed_segment_is_read_as_itself() {
    let directory = Directory::new();
    directory.append(A, &(record(1, 1) + &record(3, 3)));
    directory.append(B, &record(2, 2));
    directory.pack(A);
    let mut reader = directory.reader();
    let first = reader.next_line().unwrap().unwrap();
    assert_eq!((&*first.segment, first.at), (A, 0));
    assert_eq!(uids(&mut reader), ["2", "3"]);
    reader.rescan().unwrap();
    assert_eq!(uids(&mut reader), [""; 0]);
}

#[cfg(feature = "cli")]
#[test]
fn segment_compressed_while_it_is_read_goes_on_where_it_was() {
    let directory = Directory::new();
    directory.append(A, &record(1, 1));
    let mut reader = directory.reader();
    assert_eq!(uids(&mut reader), ["1"]);
    directory.append(A, &(record(2, 2) + &record(3, 3)));
    directory.pack(A);
    reader.rescan().unwrap();
    assert_eq!(uids(&mut reader), ["2", "3"]);
    // Both forms are there for a moment.
    directory.append(C, &record(9, 9));
    directory.pack(C);
    directory.append(C, &record(9, 9));
    reader.rescan().unwrap();
    assert_eq!(uids(&mut reader), ["9"]);
    fs::remove_file(directory.0.path().join(format!("{A}.zst"))).unwrap();
    reader.rescan().unwrap();
    assert_eq!(uids(&mut reader), [""; 0]);
}

#[cfg(feature = "cli")]
#[test]
fn damaged_compressed_segment_is_an_error_and_the_rest_is_read() {
    let directory = Directory::new();
    directory.append(A, &record(1, 1));
    directory.append(B, &record(2, 2));
    directory.pack(A);
    directory.append(&format!("{A}.zst"), "garbage");
    let mut reader = directory.reader();
    assert_eq!(reader.next_line().unwrap().unwrap().record().unwrap().text("uid"), "1");
    assert!(reader.next_line().is_err());
    assert_eq!(uids(&mut reader), ["2"]);
    // It is told once, and holds up nothing that comes elsewhere.
    directory.append(B, &record(3, 3));
    reader.rescan().unwrap();
    assert_eq!((uids(&mut reader), reader.unreadable()), (vec!["3".to_owned()], 1));
}
