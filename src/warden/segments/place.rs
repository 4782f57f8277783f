//! Whether the names still lead to what was made: a directory that was moved away and a file that was removed or replaced
//! take records that nobody will find.

use nix::errno::Errno;
use nix::fcntl::AtFlags;
use nix::sys::stat::{FileStat, fstat, fstatat, lstat};

use super::{Segments, plain};
use crate::sys::trusted::{self, Directory};

/// How the names stand.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::warden) enum Standing {
    /// All lead where they should, but for these segments, which are still written.
    But(Vec<String>),
    /// The audit directory's own name leads elsewhere, or nowhere.
    Moved,
}

impl Segments {
    /// Looks at all of them.
    pub(in crate::warden) fn standing(&self) -> Standing {
        if !self.is_in_place() {
            return Standing::Moved;
        }
        let lost = |(name, segment): (&String, &super::Segment)| {
            let found = fstatat(&self.directory, name.as_str(), AtFlags::AT_SYMLINK_NOFOLLOW);
            let gone = leads_elsewhere(found, fstat(&segment.file));
            (!segment.finished && gone).then(|| name.clone())
        };
        Standing::But(self.live.iter().filter_map(lost).collect())
    }

    fn is_in_place(&self) -> bool {
        !leads_elsewhere(lstat(self.directory.path()), fstat(&self.directory))
    }

    /// Whether this is the directory that is written to.
    pub(in crate::warden) fn is_same(&self, directory: &Directory) -> bool {
        matches!((fstat(directory), fstat(&self.directory)), (Ok(there), Ok(ours)) if same(&there, &ours))
    }

    /// Its device and inode.
    pub(in crate::warden) fn identity(&self) -> Option<(u64, u64)> {
        fstat(&self.directory).ok().map(|found| (found.st_dev, found.st_ino))
    }

    /// The directory that is at the path now; made where there is none.
    ///
    /// # Errors
    ///
    /// The path is not good.
    pub(in crate::warden) fn there_now(&self) -> std::io::Result<Directory> {
        let path = self.directory.path();
        trusted::ensure_directory(path, super::DIRECTORY_MODE, None, self.readers).map_err(plain)
    }

    /// Goes on in another directory. What was made in the one before is no longer ours to give back.
    ///
    /// # Errors
    ///
    /// It can't be listed.
    pub(in crate::warden) fn move_to(&mut self, directory: Directory) -> std::io::Result<()> {
        let fresh = Segments::new(directory, self.boot, self.readers, self.size)?;
        // Names go on being later than all that were made.
        let (made, latest) = (self.made, self.latest);
        *self = fresh;
        self.made = made;
        self.latest = self.latest.max(latest);
        Ok(())
    }
}

/// Whether a name that should lead to `ours` is gone or another's. A look that fails for want of memory or by a disk that
/// does not answer says nothing of it.
fn leads_elsewhere(found: nix::Result<FileStat>, ours: nix::Result<FileStat>) -> bool {
    match (found, ours) {
        (Ok(found), Ok(ours)) => !same(&found, &ours),
        (Err(errno), _) => matches!(errno, Errno::ENOENT | Errno::ENOTDIR),
        (Ok(_), Err(_)) => false,
    }
}

fn same(a: &FileStat, b: &FileStat) -> bool {
    (a.st_dev, a.st_ino) == (b.st_dev, b.st_ino)
}

#[cfg(test)]
mod tests {
    use super::super::tests::{Place, segments};
    use super::*;
    use crate::warden::segments::Writer;

    #[test]
    fn names_that_lead_elsewhere_are_found() {
        let dir = Place::make();
        let mut segments = segments(&dir, 1 << 20);
        let made: Vec<String> = (0..3).map(|_| segments.create(Writer::Warden).unwrap().name).collect();
        assert_eq!(segments.standing(), Standing::But(Vec::new()));
        dir.unmark();
        std::fs::remove_file(dir.0.path().join(&made[0])).unwrap();
        std::fs::remove_file(dir.0.path().join(&made[1])).unwrap();
        std::fs::write(dir.0.path().join(&made[1]), "another").unwrap();
        assert_eq!(segments.standing(), Standing::But(made[..2].to_vec()));
        segments.finish(&made[0]);
        assert_eq!(
            segments.standing(),
            Standing::But(made[1..2].to_vec()),
            "one that is finished is no writer's"
        );
    }

    #[test]
    fn look_that_fails_says_nothing_of_a_name() {
        let here = || lstat("/");
        for errno in [Errno::EMFILE, Errno::ENOMEM, Errno::EIO, Errno::EACCES] {
            assert!(!leads_elsewhere(Err(errno), here()), "{errno}");
        }
        for errno in [Errno::ENOENT, Errno::ENOTDIR] {
            assert!(leads_elsewhere(Err(errno), here()), "{errno}");
        }
        assert!(leads_elsewhere(lstat("/proc"), here()));
        assert!(!leads_elsewhere(here(), here()));
    }

    #[test]
    fn directory_put_back_is_the_same_and_in_its_place() {
        let dir = Place::make();
        let (path, away) = (dir.0.path().join("audit"), dir.0.path().join("away"));
        std::fs::create_dir(&path).unwrap();
        let boot = crate::model::ids::BootId::from_random(1);
        let segments = Segments::new(Directory::open(&path).unwrap(), boot, None, 1 << 20).unwrap();
        std::fs::rename(&path, &away).unwrap();
        std::os::unix::fs::symlink(&away, &path).unwrap();
        assert_eq!(segments.standing(), Standing::Moved, "a link is not the directory");
        std::fs::remove_file(&path).unwrap();
        assert_eq!(segments.standing(), Standing::Moved);
        std::fs::rename(&away, &path).unwrap();
        assert!(segments.is_same(&segments.there_now().unwrap()));
        assert_eq!(segments.standing(), Standing::But(Vec::new()));
    }

    #[test]
    fn moved_directory_is_found_and_another_one_is_gone_on_in() {
        let dir = Place::make();
        let path = dir.0.path().join("audit");
        std::fs::create_dir(&path).unwrap();
        let directory = Directory::open(&path).unwrap();
        let boot = crate::model::ids::BootId::from_random(1);
        let mut segments = Segments::new(directory, boot, None, 1 << 20).unwrap();
        std::fs::rename(&path, dir.0.path().join("away")).unwrap();
        assert_eq!(segments.standing(), Standing::Moved);
        let there = segments.there_now().unwrap();
        segments.move_to(there).unwrap();
        assert_eq!(segments.standing(), Standing::But(Vec::new()));
        std::fs::rename(&path, dir.0.path().join("away too")).unwrap();
        std::fs::write(&path, "a file").unwrap();
        assert!(segments.there_now().is_err());
    }
}
