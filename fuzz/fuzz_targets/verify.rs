//! The verifier: whatever is done to the files of a sealed record, damage is found, or what is said to be sealed is
//! what it was. The first byte says whether the rest is edits or a line.
#![no_main]
#![allow(unexpected_cfgs, reason = "the tests that share these files have a feature that this crate lacks")]

#[path = "../../tests/support/sealed.rs"]
mod sealed;
#[path = "../../tests/support/tampering.rs"]
mod tampering;

use std::sync::OnceLock;

use tampering::Stage;

/// The record, and the directory that is removed with it.
static STAGE: OnceLock<(tempfile::TempDir, Stage)> = OnceLock::new();

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let (_directory, stage) = STAGE.get_or_init(|| {
        let directory = tempfile::tempdir().expect("a directory");
        let stage = Stage::new(directory.path());
        (directory, stage)
    });
    match data.split_first() {
        Some((0..128, edits)) => stage.tamper(edits),
        Some((_, line)) => tampering::check_line(line),
        None => {}
    }
});
