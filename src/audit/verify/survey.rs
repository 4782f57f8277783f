//! What lies in the audit directory.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;

use super::kind::{Damage, Kind};
use crate::audit::chain::EPOCHS;
use crate::audit::segment::{UNFINISHED, of_file};
use crate::model::escape::Escaped;

/// Files of the daemon's that are no segments.
const OURS: [&str; 4] = ["hash.key", "seal.key", "genesis.pub", EPOCHS];

/// The forms in which a segment is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Forms {
    /// Length of the plain file.
    pub(super) plain: Option<u64>,
    /// Length of the compressed file, compressed.
    pub(super) packed: Option<u64>,
}

/// All segments by name, and what does not belong there.
pub(super) struct Survey {
    pub(super) segments: BTreeMap<String, Forms>,
    pub(super) strangers: Vec<Damage>,
}

pub(super) fn survey(directory: &Path) -> io::Result<Survey> {
    let mut segments: BTreeMap<String, Forms> = BTreeMap::new();
    let mut strangers = Vec::new();
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let name = entry.file_name();
        let kind = entry.file_type()?;
        let stranger =
            |what: &str| Damage::of(Kind::ForeignFile, Escaped(name.as_encoded_bytes()).to_string(), what);
        match name.to_str().map(|name| (name, of_file(name))) {
            _ if !kind.is_file() => strangers.push(stranger("it is no regular file")),
            Some((_, Some((segment, packed)))) => {
                let length = match entry.metadata() {
                    Ok(found) => found.len(),
                    // It was compressed or removed while we looked.
                    Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                    Err(error) => return Err(error),
                };
                let forms = segments.entry(segment.to_owned()).or_default();
                *(if packed { &mut forms.packed } else { &mut forms.plain }) = Some(length);
            }
            Some((name, None)) if OURS.contains(&name) || is_temporary(name) => {}
            _ => strangers.push(stranger("nothing of that name belongs here")),
        }
    }
    strangers.sort_by(|one, other| one.file.cmp(&other.file));
    Ok(Survey { segments, strangers })
}

/// What the daemon is making, or was when it was interrupted: one of its own names, behind a dot and before 16 hex
/// digits; or a segment that is being compressed.
fn is_temporary(name: &str) -> bool {
    if name.strip_suffix(UNFINISHED).is_some_and(|name| matches!(of_file(name), Some((_, false)))) {
        return true;
    }
    let Some((made, random)) = name.strip_prefix('.').and_then(|name| name.rsplit_once('-')) else {
        return false;
    };
    let hex = random.len() == 16 && random.bytes().all(|byte| byte.is_ascii_hexdigit());
    hex && (OURS.contains(&made) || of_file(made).is_some())
}
