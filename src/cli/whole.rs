//! A file that is there as a whole or not at all: written beside its name, made durable, and only then named.
//!
//! What a review writes tells who did what, so nobody else may read it. It may be written by root into a directory where
//! others write too: no link is followed, neither by the name that it gets nor by the one that it has before, and what
//! is no file of data (`/dev/null`) is not replaced.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use nix::libc;

use crate::sys::limits::random;

/// A file on its way. Dropped before its end, it leaves nothing.
#[derive(Debug)]
pub struct Whole {
    name: PathBuf,
    written: PathBuf,
    file: File,
    named: bool,
}

impl Whole {
    /// Begins it, mode 0600, under a name that nobody can guess.
    ///
    /// # Errors
    ///
    /// It can't be made, or its final name is there and no regular file.
    pub fn begin(name: &Path) -> io::Result<Whole> {
        if fs::symlink_metadata(name).is_ok_and(|there| !there.is_file()) {
            let what = "that name is there already, and is a link or no regular file";
            return Err(io::Error::new(io::ErrorKind::AlreadyExists, what));
        }
        let file =
            name.file_name().ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "it has no name"))?;
        let mut beside = std::ffi::OsString::from(".");
        beside.push(file);
        beside.push(format!("-{:016x}.part", u64::from_ne_bytes(random()?)));
        let written = name.with_file_name(beside);
        let flags = libc::O_NOFOLLOW | libc::O_CLOEXEC;
        let file =
            OpenOptions::new().write(true).create_new(true).mode(0o600).custom_flags(flags).open(&written)?;
        Ok(Whole { name: name.to_owned(), written, file, named: false })
    }

    /// Where to write.
    ///
    /// # Errors
    ///
    /// There is no descriptor left.
    pub fn file(&self) -> io::Result<File> {
        self.file.try_clone()
    }

    /// Gives it its name, in the place of what has it.
    ///
    /// # Errors
    ///
    /// It can't be made durable, or not be named.
    pub fn end(mut self) -> io::Result<()> {
        self.file.sync_all()?;
        fs::rename(&self.written, &self.name)?;
        self.named = true;
        self.sync_folder()
    }

    /// Gives it its name, if nothing has that.
    ///
    /// # Errors
    ///
    /// As [`Whole::end`]; and something has it ([`io::ErrorKind::AlreadyExists`]).
    pub fn end_as_new(self) -> io::Result<()> {
        self.file.sync_all()?;
        // Unlike a rename it replaces nothing. The other name goes as this is dropped.
        fs::hard_link(&self.written, &self.name)?;
        self.sync_folder()
    }

    fn sync_folder(&self) -> io::Result<()> {
        let folder = self.name.parent().filter(|path| !path.as_os_str().is_empty());
        File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
    }
}

impl Drop for Whole {
    fn drop(&mut self) {
        if !self.named {
            // What can't be removed stays under its own name, which nobody takes for the other.
            fs::remove_file(&self.written).ok();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    fn names(directory: &Path) -> Vec<String> {
        let all = fs::read_dir(directory).unwrap();
        let mut names: Vec<String> = all.map(|it| it.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    fn write(name: &Path) -> io::Result<Whole> {
        let whole = Whole::begin(name)?;
        whole.file()?.write_all(b"new")?;
        Ok(whole)
    }

    #[test]
    fn file_has_its_name_when_it_is_whole_and_is_its_owners_alone() {
        let directory = tempfile::tempdir().unwrap();
        let name = directory.path().join("a");
        fs::write(&name, "old").unwrap();
        drop(write(&name).unwrap());
        assert_eq!(
            (fs::read(&name).unwrap(), names(directory.path())),
            (b"old".to_vec(), vec!["a".to_owned()])
        );
        let whole = write(&name).unwrap();
        assert_eq!(fs::read(&name).unwrap(), b"old");
        whole.end().unwrap();
        assert_eq!(
            (fs::read(&name).unwrap(), names(directory.path())),
            (b"new".to_vec(), vec!["a".to_owned()])
        );
        assert_eq!(fs::metadata(&name).unwrap().permissions().mode() & 0o7777, 0o600);
    }

    #[test]
    fn link_is_not_written_through_and_not_replaced() {
        let directory = tempfile::tempdir().unwrap();
        let [name, other] = ["a", "b"].map(|name| directory.path().join(name));
        fs::write(&other, "old").unwrap();
        for target in [other.as_path(), Path::new("nowhere"), Path::new("/dev/null")] {
            symlink(target, &name).unwrap();
            assert_eq!(Whole::begin(&name).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
            fs::remove_file(&name).unwrap();
        }
        // One that comes meanwhile gives way, and what it leads to stays.
        let whole = write(&name).unwrap();
        symlink(&other, &name).unwrap();
        whole.end().unwrap();
        assert_eq!((fs::read(&name).unwrap(), fs::read(&other).unwrap()), (b"new".to_vec(), b"old".to_vec()));
        assert!(Whole::begin(Path::new("/dev/null")).is_err());
        assert!(Whole::begin(Path::new("/")).is_err());
    }

    #[test]
    fn new_file_takes_no_name_that_is_there() {
        let directory = tempfile::tempdir().unwrap();
        let name = directory.path().join("a");
        write(&name).unwrap().end_as_new().unwrap();
        assert_eq!(names(directory.path()), ["a"]);
        fs::write(&name, "old").unwrap();
        assert_eq!(write(&name).unwrap().end_as_new().unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(
            (fs::read(&name).unwrap(), names(directory.path())),
            (b"old".to_vec(), vec!["a".to_owned()])
        );
    }
}
