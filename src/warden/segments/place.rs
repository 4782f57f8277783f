//! Whether the names still lead to what was made: a directory that was moved away and a file that was removed or replaced
//! take records that nobody will find.

use nix::fcntl::AtFlags;
use nix::sys::stat::{FileStat, fstat, fstatat};

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
            let same = matches!((found, fstat(&segment.file)), (Ok(found), Ok(made)) if same(&found, &made));
            (!segment.finished && !same).then(|| name.clone())
        };
        Standing::But(self.live.iter().filter_map(lost).collect())
    }

    fn is_in_place(&self) -> bool {
        let path = self.directory.path();
        let Ok(there) = Directory::open(path) else { return false };
        matches!((fstat(&there), fstat(&self.directory)), (Ok(there), Ok(ours)) if same(&there, &ours))
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
