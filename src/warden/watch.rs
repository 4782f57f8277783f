//! Once a second: whether what is written can still be found under its name. What can't is no record, so nobody is
//! served by it: another segment takes its place, and where the directory itself is gone nothing is served until there is
//! one again.

use super::segments::Names;
use super::{Due, RETRY, Warden};

impl Warden {
    /// Looks at the names, and has the writers go on where they can be found.
    pub(super) fn watch_names(&mut self) {
        self.timers.after(RETRY, Due::NamesWatch);
        match self.segments.names() {
            Names::But(lost) => lost.iter().for_each(|name| self.replace_lost(name)),
            Names::Moved => self.move_in(),
        }
    }

    fn replace_lost(&mut self, name: &str) {
        tracing::error!(
            segment = self.segments.path(name),
            "a segment was removed or replaced while it was written"
        );
        if self.scribe.writes(name) {
            // It begins another one with its next life.
            self.scribe.kill();
        }
        self.replace_segment(name);
    }

    /// The directory is not where it was: what is written there is lost to whoever looks for it.
    fn move_in(&mut self) {
        if !std::mem::replace(&mut self.homeless, true) {
            tracing::error!(
                directory = self.segments.path(""),
                "the audit directory was moved or removed: no request is served"
            );
            self.tell_all_recordable();
        }
        if let Err(error) = self.segments.move_in(&self.hash_key) {
            tracing::error!(%error, directory = self.segments.path(""), "there is no audit directory");
            return;
        }
        tracing::warn!(directory = self.segments.path(""), "the record goes on in another directory");
        self.homeless = false;
        // The scribe is shut into the old directory.
        self.scribe.kill();
        self.renew_failed_own_segment();
        for lane in self.roster.lanes() {
            self.replace_lane_segment(lane);
        }
        self.tell_all_recordable();
    }
}
