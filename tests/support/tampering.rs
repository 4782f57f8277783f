//! An oracle for the verifier: whatever is done to the files of a sealed record, either damage is found, or all that
//! is said to be sealed is what it was.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use peergate::audit::chain::{self, Head, Public};
use peergate::audit::verify::{Question, verify};

use super::sealed::Record;

/// A record in a directory of its own, as it was written, and what its seals vouch for.
pub(crate) struct Stage {
    directory: PathBuf,
    genesis: Public,
    whole: BTreeMap<String, Vec<u8>>,
    /// After each seal: its epoch and number, and how much of each file was there.
    seals: Vec<((u64, u64), BTreeMap<String, usize>)>,
}

impl Stage {
    /// Several writers, two starts, a rotation, a torn line.
    pub(crate) fn new(directory: &Path) -> Stage {
        let mut record = Record::begin(directory, 3);
        let mut seals = Vec::new();
        let mut note = |record: &Record| {
            let head = record.head();
            let lengths = read_all(directory).into_iter().map(|(name, bytes)| (name, bytes.len())).collect();
            seals.push(((head.epoch, head.i), lengths));
        };
        let warden = record.writer("warden");
        let gate = record.writer("gate-1001-0");
        record.access(&gate, 1, "/things");
        record.seal();
        note(&record);
        record.rotate();
        record.access(&gate, 2, "/more");
        record.seal();
        note(&record);
        record.tear(&warden);
        record.restart();
        note(&record);
        let genesis = record.genesis();
        Stage { directory: directory.to_owned(), genesis, whole: read_all(directory), seals }
    }

    /// Does to the files what `edits` say, and asks the verifier.
    pub(crate) fn tamper(&self, edits: &[u8]) {
        let names: Vec<&String> = self.whole.keys().collect();
        let mut files = self.whole.clone();
        for edit in edits.chunks(6) {
            let [what, file, high, low, length, byte] = edit else { break };
            let Some(name) = names.get(usize::from(*file) % names.len()) else { break };
            let other = names.get(usize::from(*length) % names.len()).copied().cloned().unwrap_or_default();
            let Some(mut bytes) = files.remove(*name) else { continue };
            let at = usize::from(u16::from_be_bytes([*high, *low])) % (bytes.len() + 1);
            let end = (at + usize::from(*length)).min(bytes.len());
            match what % 8 {
                0 => bytes.iter_mut().skip(at).take(1).for_each(|there| *there ^= byte),
                1 => bytes.truncate(at),
                2 => drop(bytes.drain(at..end)),
                3 => bytes.insert(at, *byte),
                4 => {
                    let copy: Vec<u8> = bytes.get(at..end).unwrap_or_default().to_vec();
                    let to = usize::from(*byte) * 16 % (bytes.len() + 1);
                    bytes.splice(to..to, copy);
                }
                // A line less, and two that change places.
                5 => bytes = without_line(&bytes, usize::from(*byte)),
                6 => {
                    if let Some(theirs) = files.get_mut(&other) {
                        std::mem::swap(theirs, &mut bytes);
                    }
                }
                _ => continue,
            }
            files.insert((*name).clone(), bytes);
        }
        self.judge(&files);
    }

    fn judge(&self, files: &BTreeMap<String, Vec<u8>>) {
        for (name, bytes) in &self.whole {
            let path = self.directory.join(name);
            match files.get(name) {
                Some(now) if now == bytes => {}
                Some(now) => fs::write(path, now).unwrap(),
                None => fs::remove_file(path).unwrap(),
            }
        }
        let question = Question { pins: vec![self.genesis], threads: 1, ..Question::default() };
        let report = verify(&self.directory, &question, &mut |_, _| {}).unwrap();
        for (name, bytes) in &self.whole {
            if files.get(name) != Some(bytes) {
                fs::write(self.directory.join(name), bytes).unwrap();
            }
        }
        if !report.damages.is_empty() {
            return;
        }
        let Some((epoch, i, _)) = report.trusted else { panic!("nothing is wrong, and nothing is trusted") };
        let sealed = self.seals.iter().rev().find(|(seal, _)| *seal <= (epoch, i));
        // All of a file that the trusted seal can vouch for is there, and as it was.
        for (name, length) in sealed.map(|(_, lengths)| lengths).into_iter().flatten() {
            let (was, now) = (&self.whole[name], files.get(name).map(Vec::as_slice).unwrap_or_default());
            let length = sealed_length(was, *length, name);
            assert!(
                now.get(..length) == was.get(..length),
                "{name} was changed below byte {length}, and nothing was found; trusted: seal {i} of epoch {epoch}"
            );
        }
    }
}

/// What of a file a seal vouches for: whole lines; of the list of epochs nothing that another file does not say too.
fn sealed_length(bytes: &[u8], length: usize, name: &str) -> usize {
    if name == chain::EPOCHS {
        return 0;
    }
    let there = bytes.get(..length).unwrap_or_default();
    there.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1)
}

fn without_line(bytes: &[u8], number: usize) -> Vec<u8> {
    let lines: Vec<&[u8]> = bytes.split_inclusive(|byte| *byte == b'\n').collect();
    let gone = number % lines.len().max(1);
    lines
        .iter()
        .enumerate()
        .filter(|(at, _)| *at != gone)
        .flat_map(|(_, line)| line.iter().copied())
        .collect()
}

fn read_all(directory: &Path) -> BTreeMap<String, Vec<u8>> {
    let files = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap());
    let named = files.map(|file| (file.file_name().into_string().unwrap(), fs::read(file.path()).unwrap()));
    named.filter(|(name, _)| name.contains(".ndjson")).collect()
}

/// A line that reads as the scribe's is spelt in one way; a head that is found is found again as it is printed.
pub(crate) fn check_line(bytes: &[u8]) {
    if let Some(line) = chain::read(bytes) {
        assert!(bytes.iter().all(|byte| (0x20..0x7f).contains(byte)) || bytes.ends_with(b"\n"));
        assert!(line.ts.len() < bytes.len());
    }
    let text = String::from_utf8_lossy(bytes);
    if let Some(head) = Head::find(&text) {
        assert_eq!(Head::find(&head.to_string()), Some(head));
    }
}
