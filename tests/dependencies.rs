//! The daemon's dependencies are few and known: a new one is a decision, not an accident.

#![allow(clippy::disallowed_methods, reason = "asks cargo")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

const LIST: &str = "tests/daemon-dependencies.txt";

#[test]
fn daemon_dependencies_are_those_of_the_list() {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let tree = Command::new(env!("CARGO"))
        .current_dir(here)
        .args(["tree", "--no-default-features", "--edges", "normal", "--prefix", "none", "--format", "{p}"])
        .args(["--locked", "--offline"])
        .output()
        .expect("cargo runs");
    assert!(tree.status.success(), "cargo tree: {}", String::from_utf8_lossy(&tree.stderr));
    let now = names(&String::from_utf8_lossy(&tree.stdout));
    let listed = names(&std::fs::read_to_string(here.join(LIST)).expect("the list is there"));

    let added: Vec<_> = now.difference(&listed).cloned().collect();
    let gone: Vec<_> = listed.difference(&now).cloned().collect();
    assert!(
        added.is_empty() && gone.is_empty(),
        "the daemon's dependencies changed.\n  new: {added:?}\n  gone: {gone:?}\nWhoever adds one says in the \
         commit what it is for and why nothing that is here does it, and writes it into {LIST}; what only the \
         operator's tool needs goes behind the feature `cli`."
    );
}

/// The first word of each line, comments and ourselves left out.
fn names(text: &str) -> BTreeSet<String> {
    text.lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| line.split_whitespace().next())
        .filter(|name| *name != env!("CARGO_PKG_NAME"))
        .map(str::to_owned)
        .collect()
}
