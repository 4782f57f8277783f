//! What a shipper says that it has.

use std::collections::BTreeSet;
use std::io::{self, Read};
use std::path::Path;

use nix::fcntl::OFlag;

use crate::sys::trusted;

/// The longest list of what was shipped.
const LONGEST: u64 = 64 << 20;

/// The names that stand in the shipper's file, one a line, without the ending of compression.
///
/// # Errors
///
/// It can't be read, or somebody else could have written it.
pub fn shipped(path: &str) -> io::Result<BTreeSet<String>> {
    let file = trusted::open_file(Path::new(path), OFlag::O_RDONLY).map_err(io::Error::other)?;
    let mut text = String::new();
    std::fs::File::from(file).take(LONGEST).read_to_string(&mut text)?;
    Ok(text.lines().map(|line| line.trim_end_matches(".zst").to_owned()).collect())
}
