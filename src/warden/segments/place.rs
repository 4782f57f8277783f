//! Whether the names still lead to what was made: a directory that was moved away and a file that was removed or replaced
//! take records that nobody will find.

use nix::fcntl::AtFlags;
use nix::sys::stat::{FileStat, fstat, fstatat};

use super::{Segments, plain};
use crate::sys::trusted::{self, Directory};

/// How the names stand.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::warden) enum Names {
    /// All lead where they should, but for these segments, which are still written.
    But(Vec<String>),
    /// The audit directory's own name leads elsewhere, or nowhere.
    Moved,
}

impl Segments {
    /// Looks at all of them.
    pub(in crate::warden) fn names(&self) -> Names {
        if !self.is_in_place() {
            return Names::Moved;
        }
        let lost = |(name, segment): (&String, &super::Segment)| {
            let found = fstatat(&self.directory, name.as_str(), AtFlags::AT_SYMLINK_NOFOLLOW);
            let same = matches!((found, fstat(&segment.file)), (Ok(found), Ok(made)) if same(&found, &made));
            (!segment.finished && !same).then(|| name.clone())
        };
        Names::But(self.live.iter().filter_map(lost).collect())
    }

    fn is_in_place(&self) -> bool {
        let path = self.directory.path();
        let Ok(there) = Directory::open(path) else { return false };
        matches!((fstat(&there), fstat(&self.directory)), (Ok(there), Ok(ours)) if same(&there, &ours))
    }

    /// Goes on in the directory that is at the path now, and makes one where there is none. What was made in the one
    /// before is no longer ours to give back.
    ///
    /// # Errors
    ///
    /// The path is not good, or nothing can be made there.
    pub(in crate::warden) fn move_in(&mut self, hash_key: &[u8; 32]) -> std::io::Result<()> {
        let path = self.directory.path().to_owned();
        let directory =
            trusted::ensure_directory(&path, super::DIRECTORY_MODE, None, self.readers).map_err(plain)?;
        super::keep_hash_key(&directory, hash_key)?;
        self.directory = directory;
        self.live.clear();
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
    use crate::warden::segments::{Writer, hash_key};

    #[test]
    fn names_that_lead_elsewhere_are_found() {
        let dir = Place::make();
        let mut segments = segments(&dir, 1 << 20);
        let made: Vec<String> = (0..3).map(|_| segments.create(Writer::Warden).unwrap().name).collect();
        assert_eq!(segments.names(), Names::But(Vec::new()));
        dir.unmark();
        std::fs::remove_file(dir.0.path().join(&made[0])).unwrap();
        std::fs::remove_file(dir.0.path().join(&made[1])).unwrap();
        std::fs::write(dir.0.path().join(&made[1]), "another").unwrap();
        assert_eq!(segments.names(), Names::But(made[..2].to_vec()));
        segments.finish(&made[0]);
        assert_eq!(segments.names(), Names::But(made[1..2].to_vec()), "one that is finished is no writer's");
    }

    #[test]
    fn moved_directory_is_found_and_the_new_one_gets_the_same_key() {
        let dir = Place::make();
        let path = dir.0.path().join("audit");
        std::fs::create_dir(&path).unwrap();
        let directory = Directory::open(&path).unwrap();
        let key = hash_key(&directory).unwrap();
        let mut segments = Segments::new(directory, crate::model::ids::BootId::from_random(1), None, 1 << 20);
        std::fs::rename(&path, dir.0.path().join("away")).unwrap();
        assert_eq!(segments.names(), Names::Moved);
        segments.move_in(&key).unwrap();
        assert_eq!(segments.names(), Names::But(Vec::new()));
        assert_eq!(hash_key(&Directory::open(&path).unwrap()).unwrap(), key);
        std::fs::rename(&path, dir.0.path().join("away too")).unwrap();
        std::fs::write(&path, "a file").unwrap();
        assert!(segments.move_in(&key).is_err());
    }
}
