//! `peergate audit bundle`: the record as evidence, in one file that is the same whoever makes it.

mod tar;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

use clap::Args;
use sha2::{Digest, Sha256};

use super::{Where, verify};
use crate::audit::chain::{EPOCHS, is_scribes};
use crate::audit::reader::source;
use crate::audit::segment::{self, PACKED};
use crate::cli::term::Term;
use crate::cli::whole::Whole;
use crate::cli::{Answer, Failure};

#[derive(Debug, Args)]
pub(in crate::cli) struct Arguments {
    #[command(flatten)]
    place: Where,
    /// The pinned public key, as for `verify`: what that finds in the record goes in too
    #[arg(long, value_name = "HEX|FILE")]
    key: Vec<String>,
    /// A policy's text to put beside it; may be given several times
    #[arg(long, value_name = "FILE")]
    policy: Vec<PathBuf>,
    /// A file to put beside it, such as what `peergate audit verify` said or a witness's heads
    #[arg(long, value_name = "FILE")]
    with: Vec<PathBuf>,
    /// The archive to make; it must not be there yet
    out: PathBuf,
}

/// What the archive says of itself.
const README: &str = "\
This is a record of accesses made by peergated, as it lay in its directory.

record/      segments (NDJSON, or compressed by zstd), the chain's epochs, and the public key that it begins with
policy/      texts of policies that were in force, as whoever made this says
verify.ndjson  what `peergate audit verify` found when this was made, where a key was given
with/        what whoever made this put beside it
MANIFEST     SHA-256, size and name of every other file here

Check the files by       sha256sum --check < MANIFEST   (after the sizes are cut off: `cut -d' ' -f1,3-`)
Check the record by      peergate audit verify record --key KEY
Read it by               peergate audit report --dir record

KEY is the public key that was written down when the record began. The one in record/genesis.pub proves nothing by
itself: who forges a record can put another one there. No secret key is in here.
";

/// Files of the audit directory that go in, segments aside. Nothing else does: keys lie beside them.
const PUBLIC: [&str; 2] = [EPOCHS, "genesis.pub"];

/// So often it is begun anew where retention takes away what is to go in.
const TRIES: u32 = 5;

pub(super) fn run(arguments: &Arguments, term: &mut Term) -> Result<Answer, Failure> {
    let directory = arguments.place.directory();
    let unreadable = || Failure::at(format!("can't read {}", directory.display()));
    let verified =
        (!arguments.key.is_empty()).then(|| verify::report_of(&directory, &arguments.key)).transpose()?;
    let out = arguments.out.display().to_string();
    let unmade = || Failure::at(format!("can't make {out}"));
    if arguments.out.symlink_metadata().is_ok() {
        return Err(unmade()(io::ErrorKind::AlreadyExists.into()));
    }
    let mut tries = 1;
    loop {
        let files = files(arguments, &directory).map_err(unreadable())?;
        // Half an archive is no evidence.
        let whole = Whole::begin(&arguments.out).map_err(unmade())?;
        let file = BufWriter::with_capacity(1 << 20, whole.file().map_err(unmade())?);
        match write(&files, verified.as_deref(), file, term)? {
            Written::All(bytes) => {
                whole.end_as_new().map_err(unmade())?;
                let count = files.len() + 2 + usize::from(verified.is_some());
                term.line(format_args!("{out}: {count} files, {bytes} bytes"))?;
                return Ok(Answer::Yes);
            }
            // Retention was faster, and the seals that say so came after those that are in it.
            Written::Gone(_) if tries < TRIES => tries += 1,
            Written::Gone(path) => {
                return Err(Failure::Because(format!("{} was removed while it was packed", path.display())));
            }
        }
    }
}

/// What goes in.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Part {
    /// Its name there.
    name: String,
    /// Where it lies.
    path: PathBuf,
    /// So much of it; all that is there, where nothing is said.
    upto: Option<u64>,
}

/// What goes in, by name. What the scribe said is taken first, and no further than that: the seals in an archive cover
/// nothing that is not in it, though the record goes on meanwhile.
fn files(arguments: &Arguments, directory: &Path) -> io::Result<Vec<Part>> {
    let length = |name: &str| Ok(fs::symlink_metadata(directory.join(name))?.len());
    let mut said: BTreeMap<String, u64> = BTreeMap::new();
    match length(EPOCHS) {
        Ok(length) => _ = said.insert(EPOCHS.to_owned(), length),
        Err(error) if io::Error::kind(&error) == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    for name in names(directory)?.into_iter().filter(|name| is_scribes(name)) {
        match length(&name) {
            Ok(length) => _ = said.insert(name, length),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    let mut files: Vec<Part> = names(directory)?
        .into_iter()
        // A segment of the scribe's that has begun since is none of what was said.
        .filter(|name| said.contains_key(name) || name != EPOCHS && !is_scribes(name))
        .map(|name| Part {
            path: directory.join(&name),
            upto: said.get(&name).copied(),
            name: format!("record/{name}"),
        })
        .collect();
    for (folder, paths) in [("policy", &arguments.policy), ("with", &arguments.with)] {
        for (number, path) in paths.iter().enumerate() {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            let name = format!("{folder}/{}-{name}", number + 1);
            files.push(Part { name, path: path.clone(), upto: None });
        }
    }
    files.sort();
    Ok(files)
}

/// The files of the audit directory that may go in.
fn names(directory: &Path) -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(directory)? {
        let name = entry?.file_name();
        let Some(name) = name.to_str() else { continue };
        if segment::of_file(name).is_some() || PUBLIC.contains(&name) {
            names.push(name.to_owned());
        }
    }
    Ok(names)
}

/// What became of an archive.
enum Written {
    /// It is whole: its bytes.
    All(u64),
    /// This was removed before its turn came.
    Gone(PathBuf),
}

fn write(
    files: &[Part],
    verified: Option<&str>,
    out: BufWriter<File>,
    term: &mut Term,
) -> Result<Written, Failure> {
    let failed = || Failure::at("can't write the archive");
    let mut archive = tar::Archive::new(out);
    archive.add("README", README.len() as u64, &mut README.as_bytes()).map_err(failed())?;
    let mut manifest = line(&Sha256::digest(README), README.len() as u64, "README");
    if let Some(said) = verified {
        archive.add("verify.ndjson", said.len() as u64, &mut said.as_bytes()).map_err(failed())?;
        manifest.push_str(&line(&Sha256::digest(said), said.len() as u64, "verify.ndjson"));
    }
    for Part { name, path, upto } in files {
        term.progress(format_args!("{name}"));
        let unreadable = || Failure::at(format!("can't read {}", path.display()));
        let mut packed = path.as_os_str().to_owned();
        packed.push(PACKED);
        let packed = PathBuf::from(packed);
        let twice = files.iter().any(|other| other.path == packed);
        // Never by a link, which could lead to a key.
        let (name, file) = match source::regular(path) {
            Ok(file) => (name.clone(), file),
            Err(error) if error.kind() == io::ErrorKind::NotFound && name.starts_with("record/") => {
                // It was compressed meanwhile, or is gone.
                match source::regular(&packed) {
                    Ok(_) if twice => continue,
                    Ok(file) => (format!("{name}{PACKED}"), file),
                    Err(_gone) => return Ok(Written::Gone(path.clone())),
                }
            }
            Err(error) => return Err(unreadable()(error)),
        };
        let found = file.metadata().map_err(unreadable())?;
        // One that grows meanwhile goes in as long as it was.
        let length = upto.map_or(found.len(), |upto| upto.min(found.len()));
        let mut hashed = Hashed { inner: file.take(length), hash: Sha256::new() };
        archive.add(&name, length, &mut hashed).map_err(unreadable())?;
        manifest.push_str(&line(&hashed.hash.finalize(), length, &name));
    }
    term.progress("");
    archive.add("MANIFEST", manifest.len() as u64, &mut manifest.as_bytes()).map_err(failed())?;
    archive.end().map(Written::All).map_err(failed())
}

fn line(hash: &[u8], bytes: u64, name: &str) -> String {
    let hex: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{hex} {bytes} {name}\n")
}

/// Hashes what is read through it.
struct Hashed<R> {
    inner: R,
    hash: Sha256,
}

impl<R: Read> Read for Hashed<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.hash.update(buffer.get(..read).unwrap_or_default());
        Ok(read)
    }
}

/// Ends an archive on the disk.
fn sync(mut out: BufWriter<File>) -> io::Result<()> {
    out.flush()?;
    out.get_ref().sync_all()
}

#[cfg(test)]
mod tests {
    use std::fs::OpenOptions;
    use std::io::{Seek, Write as _};

    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        arguments: Arguments,
    }

    const GATE: &str = "20261123T034629.123456Z-7k3qzd-gate-1001-0-2.ndjson";
    const GONE: &str = "20261123T034629.123456Z-7k3qzd-gate-1001-0-3.ndjson";
    const SCRIBE: &str = "20261123T034629.123457Z-7k3qzd-scribe-9.ndjson";
    const NEXT: &str = "20261123T034629.123458Z-7k3qzd-scribe-10.ndjson";

    /// Names and sizes of what is in an archive.
    fn listed(archive: &[u8]) -> Vec<(String, u64)> {
        let (mut all, mut rest) = (Vec::new(), archive);
        while rest.first().is_some_and(|byte| *byte != 0) {
            let text = |from: usize, to: usize| {
                String::from_utf8_lossy(&rest[from..to]).trim_end_matches('\0').trim().to_owned()
            };
            let size = u64::from_str_radix(&text(124, 136), 8).unwrap();
            all.push((text(0, 100).trim_start_matches("record/").to_owned(), size));
            rest = &rest[512 + size.div_ceil(512) as usize * 512..];
        }
        all
    }

    #[test]
    fn seals_in_an_archive_cover_nothing_that_is_not_in_it_whatever_is_written_meanwhile() {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        let append = |name: &str| {
            let mut file = OpenOptions::new().create(true).append(true).open(path(name)).unwrap();
            file.write_all(b"line\n").unwrap();
        };
        [GATE, GONE, SCRIBE, EPOCHS].into_iter().for_each(append);
        let arguments = Line::parse_from(["bundle", "out.tar"]).arguments;
        let files = files(&arguments, directory.path()).unwrap();
        [GATE, GATE, SCRIBE, EPOCHS, NEXT].into_iter().for_each(append);
        fs::rename(path(GONE), path(&format!("{GONE}{PACKED}"))).unwrap();
        let mut out = tempfile::tempfile().unwrap();
        let mut term = Term::new();
        let written = write(&files, None, BufWriter::new(out.try_clone().unwrap()), &mut term).unwrap();
        assert!(matches!(written, Written::All(_)));
        out.rewind().unwrap();
        let mut archive = Vec::new();
        out.read_to_end(&mut archive).unwrap();
        let listed: BTreeMap<String, u64> = listed(&archive).into_iter().collect();
        let packed = format!("{GONE}{PACKED}");
        let sizes = [GATE, &packed, SCRIBE, EPOCHS].map(|name| listed.get(name).copied());
        assert_eq!(sizes, [Some(15), Some(5), Some(5), Some(5)], "{listed:?}");
        assert!(!listed.contains_key(NEXT) && !listed.contains_key(GONE), "{listed:?}");
        // What is gone altogether is not left out.
        fs::remove_file(path(GATE)).unwrap();
        let written = write(&files, None, BufWriter::new(out), &mut term).unwrap();
        assert!(matches!(written, Written::Gone(gone) if gone == path(GATE)));
    }
}
