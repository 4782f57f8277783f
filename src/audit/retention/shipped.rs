//! What a shipper says that it has.

use std::collections::BTreeSet;
use std::io::{self, Read};
use std::path::Path;

use nix::fcntl::OFlag;

use crate::sys::trusted;

/// The longest list of what was shipped, 16,000 names: the warden reads it and serves nobody meanwhile.
const LONGEST: u64 = 1 << 20;

/// The names that stand in the shipper's file, one a line, without the ending of compression.
///
/// # Errors
///
/// It can't be read, is longer than 1 MiB, or somebody else could have written it.
pub fn shipped(path: &str) -> io::Result<BTreeSet<String>> {
    let file = trusted::open_file(Path::new(path), OFlag::O_RDONLY).map_err(io::Error::other)?;
    let mut text = String::new();
    std::fs::File::from(file).take(LONGEST + 1).read_to_string(&mut text)?;
    if text.len() as u64 > LONGEST {
        let why = "the list is longer than 1 MiB: take out what is gone from the directory";
        return Err(io::Error::other(why));
    }
    Ok(text.lines().map(|line| line.trim_end_matches(".zst").to_owned()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn list_of_what_was_shipped_is_read_up_to_its_bound() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("shipped");
        let read = |text: &str| {
            std::fs::write(&path, text).unwrap();
            shipped(path.to_str().unwrap())
        };
        let names = read("a.ndjson.zst\nb.ndjson\n").unwrap();
        assert_eq!(names.into_iter().collect::<Vec<_>>(), ["a.ndjson", "b.ndjson"]);
        let line = "a.ndjson\n";
        let most = usize::try_from(LONGEST).unwrap() / line.len();
        assert!(read(&line.repeat(most)).is_ok());
        assert!(read(&line.repeat(most + 1)).is_err());
    }
}
