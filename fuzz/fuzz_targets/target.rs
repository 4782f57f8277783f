//! A request target: what is taken is canonical, is taken again as itself, and a slow second reader agrees.
#![no_main]
#![allow(dead_code, reason = "each target uses its own check")]

#[path = "../../tests/support/oracles.rs"]
mod oracles;

libfuzzer_sys::fuzz_target!(|data: &[u8]| oracles::check_target(data));
