//! What the audit directory holds beside segments: the key that hashes secrets, the store of the next epoch's key, the
//! genesis's public key, the file of all epochs. Each is there whole or not at all: written under another name, made
//! durable, and only then named.
//!
//! | file | mode | |
//! |---|---|---|
//! | `hash.key` | 0600 | 32 bytes |
//! | `seal.key` | 0600 | two slots ([`store`]) |
//! | `genesis.pub` | 0644 | a line for each genesis: 64 hex digits, and when it was made; the latest is the last |
//! | `epochs.ndjson` | 0640 | every epoch's line; only appended to |

use std::ffi::OsStr;
use std::fmt;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};

use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, RenameFlags, renameat2};
use nix::sys::stat::fstat;
use nix::unistd::{UnlinkatFlags, fsync, linkat, unlinkat};
use zeroize::Zeroizing;

use super::chain::store::{self, Found, OFFSETS, Origin, SLOT, Slot};
use super::chain::{self, Digest, EPOCHS, Public, Said, Secret};
use super::segment::SegmentName;
use crate::model::time::Timestamp;
use crate::sys::append_only;
use crate::sys::trusted::{Directory, Judged};

const HASH_KEY: &str = "hash.key";
const STORE: &str = "seal.key";
const GENESIS: &str = "genesis.pub";

/// A genesis as `genesis.pub` tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Genesis {
    /// What who verifies pins.
    pub key: Public,
    /// When it was made, as records spell it.
    pub made: String,
}

impl fmt::Display for Genesis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.key, self.made)
    }
}

/// The files that a scribe gets.
#[derive(Debug)]
pub struct Opened {
    /// `seal.key`, O_RDWR.
    pub store: OwnedFd,
    /// `epochs.ndjson`, O_RDWR and O_APPEND.
    pub epochs: OwnedFd,
}

/// What there is of a store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Store {
    /// None, and no record either.
    Absent,
    /// None, though there is a record that was sealed.
    Lost,
    /// One, and the latest genesis.
    There(Genesis),
}

/// The key for hashing secrets in records, made at the first start.
///
/// # Errors
///
/// It can't be made or read, or it is not a plain file of 32 bytes that only its owner, root or us, can read.
pub fn hash_key(directory: &Directory) -> io::Result<[u8; 32]> {
    let key: [u8; 32] = crate::sys::random()?;
    match file(directory, HASH_KEY, OFlag::O_RDONLY) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            // Somebody else was faster, where it is there by now.
            match name_new(directory, HASH_KEY, 0o600, None, &key) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => hash_key(directory),
                made => made.map(|()| key),
            }
        }
        Err(error) => Err(error),
        Ok(mut file) => {
            private(&file, HASH_KEY)?;
            let length = file.metadata()?.len();
            if length != 32 {
                return Err(io::Error::other(format!("it must be 32 bytes long and is {length}")));
            }
            let mut key = [0; 32];
            file.read_exact(&mut key)?;
            Ok(key)
        }
    }
}

/// Puts the key that records are hashed with by now into a directory that has none yet.
///
/// # Errors
///
/// It can't be made.
pub fn keep_hash_key(directory: &Directory, key: &[u8; 32]) -> io::Result<()> {
    match name_new(directory, HASH_KEY, 0o600, None, key) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => Ok(()),
    }
}

/// Looks what there is of a store.
///
/// # Errors
///
/// The directory or a file can't be read.
pub fn look(directory: &Directory) -> io::Result<Store> {
    match file(directory, STORE, OFlag::O_RDONLY) {
        Ok(store) => {
            private(&store, STORE)?;
            latest(directory, &store).map(Store::There)
        }
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        Err(_absent) if has_record(directory)? => Ok(Store::Lost),
        Err(_absent) => Ok(Store::Absent),
    }
}

/// Every genesis that there was, the latest last.
///
/// # Errors
///
/// `genesis.pub` can't be read, or holds something else.
pub fn geneses(directory: &Directory) -> io::Result<Vec<Genesis>> {
    let mut text = String::new();
    file(directory, GENESIS, OFlag::O_RDONLY)?.take(1 << 20).read_to_string(&mut text)?;
    let line = |line: &str| {
        let (key, made) = line.split_once(' ')?;
        Some(Genesis { key: key.parse().ok()?, made: made.to_owned() })
    };
    let all: Option<Vec<Genesis>> = text.lines().map(line).collect();
    all.filter(|all| !all.is_empty()).ok_or_else(|| io::Error::other("`genesis.pub` holds no key"))
}

/// The latest; where a crash came before `genesis.pub` was there, from the store.
fn latest(directory: &Directory, store: &File) -> io::Result<Genesis> {
    let listed = match geneses(directory) {
        Ok(all) => all,
        Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
        Err(error) => return Err(error),
    };
    let slots = [read_slot(store, 0)?, read_slot(store, 1)?];
    let made = slots.into_iter().find_map(|found| match found {
        Found::Key(slot) if !matches!(slot.origin, Origin::Before(_)) => Some(slot.secret.public()),
        _ => None,
    });
    match (made, listed.last()) {
        (Some(key), Some(last)) if last.key == key => Ok(last.clone()),
        (Some(key), _) => tell_genesis(directory, key, &listed),
        (None, Some(last)) => Ok(last.clone()),
        (None, None) => Err(io::Error::other("`genesis.pub` is missing")),
    }
}

/// Makes a store, and the first genesis or, `again`, another: then with the number that its epoch has, and the hash of
/// the latest seal's line that is known. The old store, if there is one, is replaced.
///
/// # Errors
///
/// A file can't be made.
pub fn make(
    directory: &Directory,
    readers: Option<u32>,
    again: Option<(u64, Option<Digest>)>,
) -> io::Result<Genesis> {
    let (epoch, origin) = again.map_or((0, Origin::Genesis), |(epoch, known)| (epoch, Origin::Again(known)));
    let slot = Slot { epoch, secret: Secret::random()?, origin };
    let key = slot.secret.public();
    let mut bytes = Zeroizing::new(vec![0; usize::try_from(OFFSETS[1]).unwrap_or_default() + SLOT]);
    for (place, byte) in bytes.iter_mut().zip(slot.encode().iter()) {
        *place = *byte;
    }
    if again.is_some() {
        name_over(directory, STORE, 0o600, None, &bytes)?;
    } else {
        name_new(directory, STORE, 0o600, None, &bytes)?;
    }
    let listed = match geneses(directory) {
        Ok(all) => all,
        Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
        Err(error) => return Err(error),
    };
    let genesis = tell_genesis(directory, key, &listed)?;
    match name_new(directory, EPOCHS, 0o640, readers, b"") {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => Ok(genesis),
    }
}

fn tell_genesis(directory: &Directory, key: Public, listed: &[Genesis]) -> io::Result<Genesis> {
    let genesis = Genesis { key, made: Timestamp::now().to_string() };
    let all: String = listed.iter().chain([&genesis]).map(|genesis| format!("{genesis}\n")).collect();
    name_over(directory, GENESIS, 0o644, None, all.as_bytes())?;
    Ok(genesis)
}

/// Opens the files for a scribe. The file of all epochs is made where it is missing, and append-only where the file
/// system can do that.
///
/// # Errors
///
/// One is not there, or not as it has to be.
pub fn open(directory: &Directory, readers: Option<u32>) -> io::Result<Opened> {
    let store = file(directory, STORE, OFlag::O_RDWR)?;
    private(&store, STORE)?;
    let flags = OFlag::O_RDWR | OFlag::O_APPEND;
    let epochs = match file(directory, EPOCHS, flags) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            name_new(directory, EPOCHS, 0o640, readers, b"")?;
            file(directory, EPOCHS, flags)?
        }
        opened => opened?,
    };
    if let Err(error) = append_only::set(epochs.as_fd(), true) {
        tracing::debug!(%error, "the file of all epochs is not append-only");
    }
    Ok(Opened { store: store.into(), epochs: epochs.into() })
}

/// What is known of the latest epoch and seal, for a genesis that begins behind them: the next epoch's number, and the
/// hash of the latest seal's line. From the file of all epochs and the scribe's segments, as far as they can be read.
///
/// # Errors
///
/// The directory can't be listed.
pub fn known(directory: &Directory) -> io::Result<(u64, Option<Digest>)> {
    let (mut epoch, mut seal) = (None, None);
    let mut names: Vec<String> =
        names(directory)?.into_iter().filter(|name| chain::is_scribes(name)).collect();
    names.sort_unstable();
    names.push(EPOCHS.to_owned());
    for name in names {
        let mut bytes = Vec::new();
        match file(directory, &name, OFlag::O_RDONLY) {
            Ok(mut file) => file.read_to_end(&mut bytes)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(error),
        };
        for line in bytes.split(|byte| *byte == b'\n') {
            match chain::read(line).map(|line| line.said) {
                Some(Said::Epoch(said, _)) => epoch = epoch.max(Some(said.epoch)),
                Some(Said::Seal(..)) => seal = Some(Digest::of(line)),
                _ => {}
            }
        }
    }
    Ok((epoch.map_or(0, |epoch| epoch + 1), seal))
}

fn names(directory: &Directory) -> io::Result<Vec<String>> {
    let mut listing = nix::dir::Dir::from_fd(directory.readable().map_err(plain)?)?;
    let mut names = Vec::new();
    for entry in listing.iter() {
        names.extend(entry?.file_name().to_str().map(str::to_owned).ok());
    }
    Ok(names)
}

/// Whether anything was written here that a lost store has sealed, or should have.
fn has_record(directory: &Directory) -> io::Result<bool> {
    Ok(names(directory)?.iter().any(|name| name == EPOCHS || SegmentName::parse(name).is_some()))
}

fn read_slot(store: &File, place: usize) -> io::Result<Found> {
    use std::os::unix::fs::FileExt;
    let mut bytes = Zeroizing::new([0; SLOT]);
    let offset = OFFSETS.get(place).copied().unwrap_or_default();
    let read = store.read_at(&mut *bytes, offset)?;
    Ok(store::decode(bytes.get(..read).unwrap_or_default()))
}

fn private(file: &File, name: &str) -> io::Result<()> {
    let mode = fstat(file)?.st_mode & 0o7777;
    if mode & 0o077 == 0 {
        return Ok(());
    }
    Err(io::Error::other(format!("`{name}` must have mode 0600, and has {mode:04o}: others could read it")))
}

fn file(directory: &Directory, name: &str, flags: OFlag) -> io::Result<File> {
    directory.open_file(OsStr::new(name), flags).map(File::from).map_err(plain)
}

/// A whole file of this name, where there is none.
fn name_new(directory: &Directory, name: &str, mode: u32, gid: Option<u32>, bytes: &[u8]) -> io::Result<()> {
    let made = write_aside(directory, name, mode, gid, bytes)?;
    let (from, to) = (made.as_str(), name);
    let named = match renameat2(directory, from, directory, to, RenameFlags::RENAME_NOREPLACE) {
        // Not every file system knows the flag.
        Err(Errno::EINVAL) => linkat(directory, from, directory, to, AtFlags::empty()),
        named => named,
    };
    // It is gone already, unless it was linked or could not be named.
    unlinkat(directory, from, UnlinkatFlags::NoRemoveDir).ok();
    named?;
    settle(directory)
}

/// A whole file of this name, in place of what is there.
fn name_over(directory: &Directory, name: &str, mode: u32, gid: Option<u32>, bytes: &[u8]) -> io::Result<()> {
    let made = write_aside(directory, name, mode, gid, bytes)?;
    renameat2(directory, made.as_str(), directory, name, RenameFlags::empty())?;
    settle(directory)
}

fn write_aside(
    directory: &Directory,
    name: &str,
    mode: u32,
    gid: Option<u32>,
    bytes: &[u8],
) -> io::Result<String> {
    let random = u64::from_ne_bytes(crate::sys::random()?);
    let aside = format!(".{name}-{random:016x}");
    let made = directory.create_file(OsStr::new(&aside), OFlag::O_WRONLY, mode, None, gid).map_err(plain)?;
    let mut file = File::from(made);
    file.write_all(bytes)?;
    file.sync_all()?;
    Ok(aside)
}

fn settle(directory: &Directory) -> io::Result<()> {
    Ok(fsync(directory.readable().map_err(plain)?)?)
}

/// A judgement where only its text, or the kernel's answer, counts.
fn plain(judged: Judged) -> io::Error {
    match judged.errno() {
        Some(errno) => io::Error::from_raw_os_error(errno),
        None => io::Error::other(judged),
    }
}

#[cfg(test)]
mod tests;
