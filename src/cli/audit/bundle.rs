//! `peergate audit bundle`: the record as evidence, in one file that is the same whoever makes it.

mod tar;

use std::fs::{self, File};
use std::io::{self, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

use clap::Args;
use sha2::{Digest, Sha256};

use super::{Where, verify};
use crate::audit::chain::EPOCHS;
use crate::audit::reader::source;
use crate::audit::segment;
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

pub(super) fn run(arguments: &Arguments, term: &mut Term) -> Result<Answer, Failure> {
    let directory = arguments.place.directory();
    let files =
        files(arguments, &directory).map_err(Failure::at(format!("can't read {}", directory.display())))?;
    let verified =
        (!arguments.key.is_empty()).then(|| verify::report_of(&directory, &arguments.key)).transpose()?;
    let out = arguments.out.display().to_string();
    let unmade = || Failure::at(format!("can't make {out}"));
    if arguments.out.symlink_metadata().is_ok() {
        return Err(unmade()(io::ErrorKind::AlreadyExists.into()));
    }
    // Half an archive is no evidence.
    let whole = Whole::begin(&arguments.out).map_err(unmade())?;
    let file = whole.file().map_err(unmade())?;
    let bytes = write(&files, verified.as_deref(), BufWriter::with_capacity(1 << 20, file), term)?;
    whole.end_as_new().map_err(unmade())?;
    let count = files.len() + 2 + usize::from(verified.is_some());
    term.line(format_args!("{out}: {count} files, {bytes} bytes"))?;
    Ok(Answer::Yes)
}

/// What goes in: its name there, and where it lies. Sorted by name.
fn files(arguments: &Arguments, directory: &Path) -> io::Result<Vec<(String, PathBuf)>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(directory)? {
        let name = entry?.file_name();
        let Some(name) = name.to_str() else { continue };
        if segment::of_file(name).is_some() || PUBLIC.contains(&name) {
            files.push((format!("record/{name}"), directory.join(name)));
        }
    }
    for (folder, paths) in [("policy", &arguments.policy), ("with", &arguments.with)] {
        for (number, path) in paths.iter().enumerate() {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            files.push((format!("{folder}/{}-{name}", number + 1), path.clone()));
        }
    }
    files.sort();
    Ok(files)
}

fn write(
    files: &[(String, PathBuf)],
    verified: Option<&str>,
    out: BufWriter<File>,
    term: &mut Term,
) -> Result<u64, Failure> {
    let failed = || Failure::at("can't write the archive");
    let mut archive = tar::Archive::new(out);
    archive.add("README", README.len() as u64, &mut README.as_bytes()).map_err(failed())?;
    let mut manifest = line(&Sha256::digest(README), README.len() as u64, "README");
    if let Some(said) = verified {
        archive.add("verify.ndjson", said.len() as u64, &mut said.as_bytes()).map_err(failed())?;
        manifest.push_str(&line(&Sha256::digest(said), said.len() as u64, "verify.ndjson"));
    }
    for (name, path) in files {
        term.progress(format_args!("{name}"));
        let unreadable = || Failure::at(format!("can't read {}", path.display()));
        // Never by a link, which could lead to a key.
        let file = source::regular(path).map_err(unreadable())?;
        let found = file.metadata().map_err(unreadable())?;
        // A segment that grows meanwhile goes in as long as it was.
        let mut hashed = Hashed { inner: file.take(found.len()), hash: Sha256::new() };
        archive.add(name, found.len(), &mut hashed).map_err(unreadable())?;
        manifest.push_str(&line(&hashed.hash.finalize(), found.len(), name));
    }
    term.progress("");
    archive.add("MANIFEST", manifest.len() as u64, &mut manifest.as_bytes()).map_err(failed())?;
    archive.end().map_err(failed())
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
