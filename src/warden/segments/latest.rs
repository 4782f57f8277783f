//! The latest instant that the record knows of: no expired grant comes back by a clock that was set back while nobody
//! looked.

use std::io;

use nix::dir::Dir;
use nix::fcntl::AtFlags;
use nix::sys::stat::fstatat;

use super::Segments;
use crate::audit::segment;
use crate::audit::segment::SegmentName;
use crate::model::time::Timestamp;

impl Segments {
    /// When the last segment was made or last written to, by the clock of then; the present start's own are left out.
    ///
    /// # Errors
    ///
    /// The directory can't be listed.
    pub(in crate::warden) fn latest_on_record(&self) -> io::Result<Timestamp> {
        let mut latest = Timestamp::from_micros(0);
        let mut directory = Dir::from_fd(self.readable_directory()?)?;
        for entry in directory.iter() {
            let entry = entry?;
            let name = entry.file_name().to_str().unwrap_or_default();
            let Some((plain, _packed)) = segment::of_file(name) else { continue };
            let Some(parsed) = SegmentName::parse(plain).filter(|parsed| parsed.boot != self.boot) else {
                continue;
            };
            latest = latest.max(parsed.made());
            // One that goes meanwhile has told by its name.
            if let Ok(found) = fstatat(&self.directory, name, AtFlags::AT_SYMLINK_NOFOLLOW) {
                let seconds = u64::try_from(found.st_mtime).unwrap_or(0);
                latest = latest.max(Timestamp::from_micros(seconds.saturating_mul(1_000_000)));
            }
        }
        Ok(latest)
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{Place, segments};
    use crate::model::time::Timestamp;

    #[test]
    fn latest_is_what_names_and_files_of_earlier_starts_say() {
        let dir = Place::make();
        let mut ours = segments(&dir, 1 << 20);
        ours.create(super::super::Writer::Warden).unwrap();
        assert_eq!(ours.latest_on_record().unwrap(), Timestamp::from_micros(0), "its own say nothing new");
        let name = "20990101T000000.000000Z-7k3qze-warden-1.ndjson";
        std::fs::write(dir.0.path().join(name), "").unwrap();
        std::fs::write(dir.0.path().join("20991231T000000.000000Z-other"), "").unwrap();
        assert_eq!(ours.latest_on_record().unwrap(), "2099-01-01T00:00:00Z".parse().unwrap());
    }
}
