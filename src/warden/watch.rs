//! Once a second: whether what is written can still be found under its name. What can't is no record, so nobody is
//! served by it: another segment takes its place, and where the directory itself is gone nothing is served until there is
//! one again.

use std::io;
use std::rc::Rc;

use nix::errno::Errno;

use super::segments::Standing;
use super::{Due, RETRY, Vault, Warden};
use crate::audit::vault::{self, Store};
use crate::sys::trusted::Directory;

impl Warden {
    /// Looks at the names, and has the writers go on where they can be found.
    pub(super) fn watch_names(&mut self) {
        self.timers.after(RETRY, Due::NamesWatch);
        self.tell_of_journal();
        match self.segments.standing() {
            Standing::But(lost) => {
                self.be_at_home();
                lost.iter().for_each(|name| self.replace_lost(name));
            }
            Standing::Moved => self.move_in(),
        }
        let roster = &self.roster;
        for (segment, gate, at) in self.segments.written_after(|gate| roster.gate(gate).is_some()) {
            self.wrote_behind(&segment, gate, at);
        }
    }

    /// The directory is where it was: it was only away for a while.
    fn be_at_home(&mut self) {
        if std::mem::replace(&mut self.homeless, false) {
            tracing::warn!(directory = self.segments.path(""), "the audit directory is back in its place");
            self.tell_all_recordable();
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
        self.replace_segment(name, Errno::ENOENT);
    }

    /// The keys first: a directory without them is none to write to. Where it is another one, its chain begins behind
    /// the latest seal that is known, with a genesis of its own, which those who verify have to pin too.
    fn move_to(&mut self, directory: Directory) -> io::Result<()> {
        let readers = self.force.policy.audit.readers.map(|gid| gid.raw());
        vault::keep_hash_key(&directory, &self.hash_key)?;
        let genesis = match vault::look(&directory)? {
            Store::There(genesis) => genesis,
            Store::Absent => vault::make(&directory, readers, self.scribe.known())?,
            Store::Lost => {
                return Err(io::Error::other(
                    "`seal.key` is missing there, though there is a record that it sealed",
                ));
            }
        };
        let opened = vault::open(&directory, readers)?;
        self.segments.move_to(directory)?;
        let (store, epochs) = (Rc::new(opened.store), Rc::new(opened.epochs));
        let mut before = self.vault.before.take();
        let is_new = genesis.key != self.vault.genesis.key;
        if is_new {
            let old = self.vault.genesis.key;
            let last = match self.scribe.known() {
                Some((_, Some(hash))) => format!("its last known seal has the hash {hash}"),
                _ => "no seal of it is known".to_owned(),
            };
            before = Some(format!("{old}, {last}"));
        }
        self.vault = Vault { store, epochs, genesis, is_new, before, untold: is_new };
        Ok(())
    }

    /// Says that another chain has begun, once the scribe is there that writes it down: the one before may take a line
    /// along as it ends.
    pub(super) fn tell_new_chain(&mut self) {
        if !std::mem::take(&mut self.vault.untold) {
            return;
        }
        tracing::error!(
            directory = self.segments.path(""),
            genesis = %self.vault.genesis.key,
            before = self.vault.before.as_deref(),
            "the audit directory was replaced, and another chain of seals begins there: find the old one, verify it by \
             the old key, and pin the new one"
        );
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
        let moved = match self.segments.there_now() {
            // Put back while we looked: its segments are still ours to write.
            Ok(directory) if self.segments.is_same(&directory) => return self.be_at_home(),
            there => there.and_then(|directory| self.move_to(directory)),
        };
        if let Err(error) = moved {
            tracing::error!(%error, directory = self.segments.path(""), "there is no audit directory");
            return;
        }
        tracing::warn!(directory = self.segments.path(""), "the record goes on in another directory");
        self.homeless = false;
        // The scribe is shut into the old directory.
        self.scribe.kill();
        self.renew_failed_own_segment(Errno::ENOENT);
        for lane in self.roster.lanes() {
            self.replace_lane_segment(lane);
        }
        self.tell_all_recordable();
    }
}
