//! How fast a record is verified on one core and on all: a record of half a gigabyte, its compressed form, and for
//! comparison nothing but SHA-256 over the same bytes. `cargo bench --bench verify`. Compares; asserts nothing.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a bench ends where its helpers fail"
)]
#![allow(clippy::disallowed_macros, reason = "prints what it measures")]

use std::fs;
use std::io::Write;
use std::path::Path;
use std::time::Instant;

use peergate::audit::chain::Digest;
use peergate::audit::verify::{Question, verify};

#[path = "../tests/support/sealed.rs"]
mod sealed;

use sealed::Record;

/// Bytes of each writer's segment.
const EACH: u64 = 128 << 20;

fn main() {
    let mut out = std::io::stdout();
    let directory = tempfile::tempdir().unwrap();
    let mut record = Record::begin(directory.path(), 1);
    let writers: Vec<String> = (0..4).map(|lane| record.writer(&format!("gate-1001-{lane}"))).collect();
    record.fill(&writers, EACH, 1 << 20);
    for name in &writers {
        record.close(name);
    }
    record.seal_own();
    let genesis = record.genesis();
    let question = |threads| Question { pins: vec![genesis], threads, ..Question::default() };
    let mut line = |what: &str, bytes: u64, began: Instant| {
        let took = began.elapsed().as_secs_f64();
        writeln!(out, "{what:<34} {:>7.0} MB/s", bytes as f64 / 1e6 / took).unwrap();
    };
    for round in 0..3 {
        let began = Instant::now();
        let bytes: u64 = writers.iter().map(|name| hash(&directory.path().join(name))).sum();
        line(&format!("{round}: SHA-256 alone, one core"), bytes, began);
        for threads in [1, 0] {
            let began = Instant::now();
            let report = verify(directory.path(), &question(threads), &mut |_, _| {}).unwrap();
            assert!(report.damages.is_empty(), "{:?}", report.damages);
            let cores = if threads == 1 { "one core" } else { "all cores" };
            line(&format!("{round}: verify, {cores}"), report.bytes, began);
        }
    }
    for name in &writers {
        record.pack(name);
    }
    let began = Instant::now();
    let report = verify(directory.path(), &question(1), &mut |_, _| {}).unwrap();
    assert!(report.damages.is_empty(), "{:?}", report.damages);
    line("verify, compressed, one core", report.bytes, began);
}

fn hash(path: &Path) -> u64 {
    let bytes = fs::read(path).unwrap();
    std::hint::black_box(Digest::of(&bytes));
    bytes.len() as u64
}
