//! A backend's bytes: any split gives the same verdict, and an answer's head that was written anew reads as itself. The
//! first byte says what was asked, and seeds the splits.
#![no_main]
#![allow(dead_code, reason = "each target uses its own check")]

#[path = "../../tests/support/oracles.rs"]
mod oracles;

use peergate::gate::head::Expected;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    if let Some((seed, bytes)) = data.split_first() {
        let expected = Expected { head: seed & 1 == 1, upgrade: seed & 2 == 2 };
        oracles::check_answers(bytes, expected, u64::from(*seed) << 1 | 0x1_0001);
    }
});
