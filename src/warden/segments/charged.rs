//! What a gate's segments take on the disk, for its uid's account.

use nix::sys::stat::fstat;

use super::Segments;
use crate::warden::roster::Whose;

impl Segments {
    /// What a lane's segment takes by now beyond what its gate was charged with, and whose gate that is; less than
    /// nothing where some of that was not used. A gate that was taken over may write past what is reserved, so what is
    /// there counts.
    pub(in crate::warden) fn uncharged(&mut self, name: &str) -> Option<(Whose, i64)> {
        let segment = self.live.get_mut(name)?;
        let whose = segment.whose?;
        let length = u64::try_from(fstat(&segment.file).ok()?.st_size).unwrap_or(0);
        let takes = if segment.finished { length } else { length.max(segment.reserved) };
        let charged = std::mem::replace(&mut segment.charged, takes);
        Some((whose, i64::try_from(takes).ok()?.saturating_sub(i64::try_from(charged).ok()?)))
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{Place, segments};
    use crate::warden::segments::Writer;

    #[test]
    fn segment_is_charged_with_what_is_reserved_and_written_and_at_its_end_with_its_length() {
        let dir = Place::make();
        let mut segments = segments(&dir, 4 << 20);
        let made = segments.create(Writer::Lane { uid: Some(7), gate: 1, lane: 0 }).unwrap();
        assert_eq!(segments.uncharged(&made.name), Some((Some(7), 1 << 20)));
        assert_eq!(segments.uncharged(&made.name), Some((Some(7), 0)));
        nix::unistd::write(&made.file, &vec![b'x'; 3 << 20]).unwrap();
        assert_eq!(segments.uncharged(&made.name), Some((Some(7), 2 << 20)), "past what is reserved");
        segments.reserve(&made.name, 1 << 20).unwrap();
        assert_eq!(segments.uncharged(&made.name), Some((Some(7), 0)));
        let rest = segments.create(Writer::Lane { uid: None, gate: 2, lane: 0 }).unwrap();
        assert_eq!(segments.uncharged(&rest.name), Some((None, 1 << 20)));
        segments.finish(&rest.name);
        assert_eq!(segments.uncharged(&rest.name), Some((None, -(1 << 20))), "it was not used");
        let own = segments.create(Writer::Warden).unwrap();
        assert_eq!(segments.uncharged(&own.name), None);
    }
}
