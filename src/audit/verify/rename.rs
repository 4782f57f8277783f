//! A file whose first bytes are not its own may be another segment's: under a wrong name, or in its place.

use std::collections::BTreeMap;
use std::io::{self, Read};
use std::path::Path;

use sha2::{Digest as _, Sha256};

use super::bytes::{Checked, Expected};
use super::kind::{Damage, Kind};
use crate::audit::chain::Digest;
use crate::audit::reader::source::Source;

/// So many strange files are looked at.
const MOST: usize = 64;

/// A file and what came of it.
type Result = ((String, String, bool), io::Result<Checked>);

/// Looks for whose bytes the strange files have, and says that instead.
pub(super) fn find(directory: &Path, results: &mut [Result], expected: &BTreeMap<String, Expected>) {
    // By the length of the first range.
    let mut beginnings: BTreeMap<u64, Vec<(Digest, &str)>> = BTreeMap::new();
    for (name, expected) in expected {
        if let Some((part, false)) = expected.parts.first()
            && part.from == 0
        {
            beginnings.entry(part.to).or_default().push((part.hash, name));
        }
    }
    let strange = results.iter_mut().filter_map(|((segment, file, packed), checked)| match checked {
        Ok(checked) if checked.strange => Some((segment, file, *packed, checked)),
        _ => None,
    });
    for (segment, file, packed, checked) in strange.take(MOST) {
        let Some(name) = whose(directory, segment, packed, &beginnings) else { continue };
        if name != segment {
            let what = format!("its bytes are those of {name}");
            checked.damages = vec![Damage::of(Kind::Renamed, &**file, what)];
        }
    }
}

fn whose<'n>(
    directory: &Path,
    segment: &str,
    packed: bool,
    beginnings: &BTreeMap<u64, Vec<(Digest, &'n str)>>,
) -> Option<&'n str> {
    let source =
        if packed { Source::open_packed(directory, segment) } else { Source::open(directory, segment, 0) };
    let mut source = source.ok()?;
    let mut hash = Sha256::new();
    let mut at = 0;
    for (end, candidates) in beginnings {
        let length = end - at;
        let read = io::copy(&mut source.by_ref().take(length), &mut Hashed(&mut hash)).ok()?;
        if read < length {
            return None;
        }
        at = *end;
        let found = Digest(hash.clone().finalize().into());
        if let Some((_, name)) = candidates.iter().find(|(hash, _)| *hash == found) {
            return Some(name);
        }
    }
    None
}

struct Hashed<'h>(&'h mut Sha256);

impl io::Write for Hashed<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
