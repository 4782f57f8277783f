//! What becomes of closed and sealed segments: they are compressed, and once they may go they are weighed for the record
//! that says so. Each in a thread of its own: compressing is slow, comes behind everything else on the machine, and
//! nothing waits for it; what is to go must go as fast as new records come. The warden makes and removes the names.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};

use nix::unistd::{fdatasync, fsync};
use ruzstd::decoding::StreamingDecoder;
use ruzstd::encoding::{CompressionLevel, compress};
use sha2::{Digest as _, Sha256};

use super::Scribe;
use crate::audit::chain::{self, Digest, Said};
use crate::audit::entry::{Ended, Entry, Prune, Pruned};
use crate::sys::process;
use crate::wire::message::FromScribe;

/// Bytes of a longest line, with room.
const LINE: usize = 64 << 10;

/// Segments of which it is remembered that they go; the oldest names are forgotten first.
const REMEMBERED: usize = 4096;

/// What the thread is given.
enum Chore {
    /// Compress the first into the second.
    Pack { segment: String, plain: File, packed: File },
    /// Say what this one holds; it is compressed where the flag says so.
    Weigh { segment: String, file: File, packed: bool, why: String },
    /// Make the directory's names durable.
    Names { segment: String, directory: Arc<File> },
}

/// What came of it.
#[derive(Debug)]
pub(super) enum Done {
    /// It is compressed, checked and on the disk, or why not.
    Packed { segment: String, result: Result<(), String> },
    /// It was weighed, or why not.
    Weighed { segment: String, why: String, result: Result<Weight, String> },
    /// The names are durable, or why not.
    Named { segment: String, result: Result<(), String> },
}

/// What a segment holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Weight {
    /// Bytes of its plain form.
    pub(super) bytes: u64,
    /// SHA-256 of them.
    pub(super) hash: Digest,
    /// Of one of the scribe's own: what its chain came to.
    pub(super) ended: Option<Ended>,
}

/// The threads.
pub(super) struct Keeper {
    /// For the one that compresses.
    slow: Sender<Chore>,
    /// For the other.
    soon: Sender<Chore>,
    done: Receiver<Done>,
}

impl Keeper {
    /// Starts them.
    pub(super) fn start() -> io::Result<Keeper> {
        let (slow, to_compress) = channel();
        let (soon, to_weigh) = channel();
        let (report, done) = channel();
        let reports = report.clone();
        let thread = |name: &str| std::thread::Builder::new().name(name.to_owned());
        thread("pack").spawn(move || {
            if let Err(error) = process::go_last() {
                tracing::warn!(%error, "segments are compressed at the priority of everything else");
            }
            work(&to_compress, &reports);
        })?;
        thread("keep").spawn(move || work(&to_weigh, &report))?;
        Ok(Keeper { slow, soon, done })
    }

    /// Has a segment compressed.
    pub(super) fn pack(&self, segment: String, plain: OwnedFd, packed: OwnedFd) -> io::Result<()> {
        give(&self.slow, Chore::Pack { segment, plain: plain.into(), packed: packed.into() })
    }

    /// Has a segment weighed.
    pub(super) fn weigh(&self, segment: String, file: OwnedFd, packed: bool, why: String) -> io::Result<()> {
        give(&self.soon, Chore::Weigh { segment, file: file.into(), packed, why })
    }

    /// What is done by now.
    pub(super) fn done(&self) -> impl Iterator<Item = Done> + '_ {
        self.done.try_iter()
    }

    /// Has the names in the directory made durable.
    pub(super) fn sync_names(&self, segment: String, directory: &Arc<File>) -> io::Result<()> {
        give(&self.soon, Chore::Names { segment, directory: Arc::clone(directory) })
    }
}

fn give(thread: &Sender<Chore>, chore: Chore) -> io::Result<()> {
    thread.send(chore).map_err(|_gone| io::Error::other("a thread that keeps segments is gone"))
}

impl Scribe {
    /// A segment is to go: weighed first, unless it is on record already that it goes and only its name is still there.
    pub(super) fn prune(
        &mut self,
        segment: String,
        file: OwnedFd,
        packed: bool,
        why: String,
    ) -> io::Result<()> {
        if self.pruned.contains(&segment) {
            self.unsent.push_back(FromScribe::Pruned { segment, failed: None });
            return Ok(());
        }
        self.keeper.weigh(segment, file, packed, why)
    }

    /// What the thread has done: told, or on record first.
    pub(super) fn hear_keeper(&mut self) -> io::Result<()> {
        let done: Vec<Done> = self.keeper.done().collect();
        for done in done {
            match done {
                Done::Packed { segment, result } => {
                    self.unsent.push_back(FromScribe::Packed { segment, failed: result.err() });
                }
                Done::Named { segment, result } => {
                    self.unsent.push_back(FromScribe::NamesSynced { segment, failed: result.err() });
                }
                Done::Weighed { segment, why, result } => match result {
                    Ok(weight) => self.put_prune(segment, &why, weight)?,
                    Err(why) => self.unsent.push_back(FromScribe::Pruned { segment, failed: Some(why) }),
                },
            }
        }
        Ok(())
    }

    /// On record, and told once that is sealed and durable.
    fn put_prune(&mut self, segment: String, why: &str, weight: Weight) -> io::Result<()> {
        let Some(why) = Pruned::ALL.into_iter().find(|known| known.code() == why) else {
            let failed = Some("there is no such reason".to_owned());
            self.unsent.push_back(FromScribe::Pruned { segment, failed });
            return Ok(());
        };
        let Weight { bytes, hash, ended } = weight;
        self.own.note(&Entry::Prune(Prune { segment: &segment, bytes, hash: Some(hash), why, ended }))?;
        self.wish = true;
        self.pruned.insert(segment.clone());
        if self.pruned.len() > REMEMBERED {
            self.pruned.pop_first();
        }
        self.leaving.push_back(FromScribe::Pruned { segment, failed: None });
        Ok(())
    }
}

fn work(given: &Receiver<Chore>, report: &Sender<Done>) {
    for chore in given {
        let done = match chore {
            Chore::Pack { segment, plain, packed } => {
                let result = pack(&plain, &packed).map_err(|error| error.to_string());
                Done::Packed { segment, result }
            }
            Chore::Weigh { segment, file, packed, why } => {
                let seals = chain::is_scribes(&segment);
                let result = weigh(&file, packed, seals).map_err(|error| error.to_string());
                Done::Weighed { segment, why, result }
            }
            Chore::Names { segment, directory } => {
                let result = fsync(&*directory).map_err(|errno| errno.desc().to_owned());
                Done::Named { segment, result }
            }
        };
        if report.send(done).is_err() {
            return;
        }
    }
}

/// Compresses, reads back what was written, and has it on the disk.
fn pack(plain: &File, packed: &File) -> io::Result<()> {
    let mut source = Source { file: plain, at: 0, failed: None };
    let mut sink = Sink { file: packed, failed: None };
    compress(&mut source, &mut sink, CompressionLevel::Fastest);
    // The encoder takes no error, so each side keeps its own until it is through.
    source.failed.or(sink.failed).map_or(Ok(()), Err)?;
    fdatasync(packed)?;
    let (mut original, mut alike) = (BufReader::with_capacity(LINE, From(plain, 0)), true);
    let mut expected = vec![0; LINE];
    each_piece(unpacked(packed)?, |piece| {
        let expected = expected.get_mut(..piece.len()).unwrap_or_default();
        alike &= original.read_exact(expected).is_ok() && expected == piece;
    })?;
    if !alike || !original.fill_buf()?.is_empty() {
        return Err(io::Error::other("what was compressed does not come back as it was"));
    }
    Ok(())
}

fn weigh(file: &File, packed: bool, seals: bool) -> io::Result<Weight> {
    if packed { weigh_bytes(unpacked(file)?, seals) } else { weigh_bytes(From(file, 0), seals) }
}

fn weigh_bytes(from: impl Read, seals: bool) -> io::Result<Weight> {
    let mut hash = Sha256::new();
    let mut bytes = 0;
    if !seals {
        each_piece(from, |piece| {
            hash.update(piece);
            bytes += piece.len() as u64;
        })?;
        return Ok(Weight { bytes, hash: Digest(hash.finalize().into()), ended: None });
    }
    let mut ended = Ended { epoch: 0, seals: 0, last: None };
    let mut lines = BufReader::with_capacity(LINE, from);
    let mut line = Vec::new();
    while lines.read_until(b'\n', &mut line)? > 0 {
        hash.update(&line);
        bytes += line.len() as u64;
        let body = line.strip_suffix(b"\n").unwrap_or(&line);
        match chain::read(body).map(|line| line.said) {
            Some(Said::Epoch(epoch, _)) => ended.epoch = epoch.epoch,
            Some(Said::Seal(..)) => {
                ended.seals += 1;
                ended.last = Some(Digest::of(body));
            }
            _ => {}
        }
        line.clear();
    }
    Ok(Weight { bytes, hash: Digest(hash.finalize().into()), ended: Some(ended) })
}

fn each_piece(mut from: impl Read, mut take: impl FnMut(&[u8])) -> io::Result<()> {
    let mut piece = vec![0; LINE];
    loop {
        match from.read(&mut piece) {
            Ok(0) => return Ok(()),
            Ok(read) => take(piece.get(..read).unwrap_or_default()),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

fn unpacked(file: &File) -> io::Result<impl Read + '_> {
    StreamingDecoder::new(BufReader::with_capacity(LINE, From(file, 0))).map_err(io::Error::other)
}

/// A file from a byte on, whatever its position is.
struct From<'f>(&'f File, u64);

impl Read for From<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let read = self.0.read_at(into, self.1)?;
        self.1 += read as u64;
        Ok(read)
    }
}

/// What is compressed.
struct Source<'f> {
    file: &'f File,
    at: u64,
    failed: Option<io::Error>,
}

impl Read for Source<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        match From(self.file, self.at).read(into) {
            Ok(read) => {
                self.at += read as u64;
                Ok(read)
            }
            Err(error) => {
                self.failed = Some(error);
                Ok(0)
            }
        }
    }
}

/// Where it goes.
struct Sink<'f> {
    file: &'f File,
    failed: Option<io::Error>,
}

impl Write for Sink<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.failed.is_none()
            && let Err(error) = self.file.write_all(bytes)
        {
            self.failed = Some(error);
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsRawFd;

    fn file(bytes: &[u8]) -> File {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        file
    }

    fn reopened(file: &File) -> File {
        File::options().read(true).write(true).open(format!("/proc/self/fd/{}", file.as_raw_fd())).unwrap()
    }

    #[test]
    fn packed_segment_comes_back_and_weighs_the_same() {
        let text: String =
            (0..20_000).map(|n| format!("{{\"v\":1,\"t\":\"outcome\",\"n\":{n}}}\n")).collect();
        for text in ["", "one\n", text.as_str()] {
            let (plain, packed) = (file(text.as_bytes()), file(b""));
            pack(&plain, &packed).unwrap();
            let weight = weigh(&packed, true, false).unwrap();
            assert_eq!(weight, weigh(&plain, false, false).unwrap());
            assert_eq!((weight.bytes, weight.hash), (text.len() as u64, Digest::of(text.as_bytes())));
        }
        let (plain, packed) = (file(text.as_bytes()), file(b""));
        pack(&plain, &packed).unwrap();
        assert!(packed.metadata().unwrap().len() * 5 < text.len() as u64);
        // Another program's reading of the same.
        #[cfg(feature = "cli")]
        {
            let mut read = Vec::new();
            zstd::stream::copy_decode(&mut From(&packed, 0), &mut read).unwrap();
            assert_eq!(read, text.as_bytes());
        }
    }

    #[test]
    fn pack_that_cannot_be_read_or_written_is_an_error() {
        let full = File::options().write(true).open("/dev/full").unwrap();
        assert!(pack(&file(b"text\n"), &full).is_err());
        assert!(pack(&File::open("/").unwrap(), &file(b"")).is_err());
        assert!(weigh(&file(b"no frame"), true, false).is_err());
    }

    #[test]
    fn keeper_weighs_what_goes_while_it_compresses() {
        let keeper = Keeper::start().unwrap();
        let (large, packed) = (file(b""), file(b""));
        large.set_len(32 << 20).unwrap();
        keeper.pack("a".to_owned(), large.into(), reopened(&packed).into()).unwrap();
        keeper.weigh("b".to_owned(), file(b"text\n").into(), false, "bytes".to_owned()).unwrap();
        let directory = tempfile::tempdir().unwrap();
        let directory = Arc::new(File::open(directory.path()).unwrap());
        keeper.sync_names("c".to_owned(), &directory).unwrap();
        let mut done = Vec::new();
        while done.len() < 2 {
            done.extend(keeper.done());
        }
        assert!(
            matches!(&done[0], Done::Weighed { result: Ok(weight), .. } if weight.bytes == 5),
            "{done:?}"
        );
        assert!(matches!(&done[1], Done::Named { result: Ok(()), .. }), "{done:?}");
    }
}
