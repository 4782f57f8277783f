//! Time zones by name, from the system's own data base. Asked by the loader alone; a policy carries what it needs.

use std::fs::{self, File};
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};

use super::names::Unanswered;

/// Where it lies (`tzset(3)`).
const DIRECTORY: &str = "/usr/share/zoneinfo";
/// Many times what the longest one has.
const LONGEST: u64 = 64 << 10;

/// The rules of a zone (TZif, RFC 9636); `None` where there is none of that name.
pub(super) fn rules(name: &str) -> Result<Option<Vec<u8>>, Unanswered> {
    let Some(path) = path(name) else { return Ok(None) };
    let mut bytes = Vec::new();
    let read = File::open(&path).and_then(|file| file.take(LONGEST + 1).read_to_end(&mut bytes));
    match read {
        Ok(length) if length as u64 > LONGEST || !bytes.starts_with(b"TZif") => Ok(None),
        Ok(_) => Ok(Some(bytes)),
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::IsADirectory) => Ok(None),
        Err(error) if error.kind() == ErrorKind::NotADirectory => Ok(None),
        Err(error) => Err(Unanswered(format!("{}: {error}", path.display()))),
    }
}

/// Names that lie where this one would, for suggestions.
pub(super) fn beside(name: &str) -> Vec<String> {
    let region = name.rsplit_once('/').map_or("", |(region, _)| region);
    let Some(directory) = (if region.is_empty() { Some(DIRECTORY.into()) } else { path(region) }) else {
        return Vec::new();
    };
    let names = fs::read_dir(directory).into_iter().flatten().flatten().filter_map(|entry| {
        let own = entry.file_name().into_string().ok()?;
        Some(if region.is_empty() { own } else { format!("{region}/{own}") })
    });
    names.take(4096).collect()
}

/// Whether the system has any.
pub(super) fn installed() -> bool {
    Path::new(DIRECTORY).is_dir()
}

/// Where a zone would lie. No name leads out of the directory.
fn path(name: &str) -> Option<PathBuf> {
    let plain = |part: &str| {
        let letter = |byte: u8| byte.is_ascii_alphanumeric() || b"_+-".contains(&byte);
        !part.is_empty() && part.bytes().all(letter)
    };
    (name.len() <= 64 && name.split('/').all(plain)).then(|| Path::new(DIRECTORY).join(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_are_of_a_zone_and_of_nothing_else() {
        assert!(rules("Europe/Berlin").unwrap().is_some_and(|rules| rules.starts_with(b"TZif2")));
        for none in ["Europe", "Europe/", "/Europe/Berlin", "Europe/../Europe/Berlin", "", "Nowhere", "UTC/x"]
        {
            assert_eq!(rules(none), Ok(None), "{none}");
        }
        assert!(beside("Europe/Berlim").contains(&"Europe/Berlin".to_owned()));
    }
}
