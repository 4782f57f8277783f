//! The rest of a segment that could not be made durable. Nothing of it is sealed; what it says of requests counts all the
//! same, or one that has its outcome there would get another.

use super::{Followed, Heed, PIECE};
use crate::scribe::bytes::read_at;

impl Followed {
    /// Heeds the lines that came after the last look before it failed, as far as they can be read and are a writer's.
    pub(in crate::scribe) fn heed_rest(&mut self, heed: Heed<'_>) {
        let Some(mut at) = self.heeded.take() else { return };
        let (mut held, mut piece) = (Vec::new(), vec![0; PIECE]);
        while let Ok(read @ 1..) = read_at(&self.file, &mut piece, at) {
            at += read as u64;
            held.extend_from_slice(piece.get(..read).unwrap_or_default());
            let mut done = 0;
            while let Some(end) = memchr::memchr(b'\n', held.get(done..).unwrap_or_default()) {
                let line = held.get(done..done + end).unwrap_or_default();
                let Ok(judged) = self.inspector.judge(line) else { return };
                if heed(&self.source, &judged).is_err() {
                    return;
                }
                done += end + 1;
            }
            held.drain(..done);
            if held.len() > PIECE {
                return;
            }
        }
    }
}
