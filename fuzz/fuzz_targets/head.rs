//! A client's bytes: any split gives the same verdict, a head that was written anew reads as itself, and a slow second
//! reader finds the same requests. The first byte seeds the splits.
#![no_main]
#![allow(dead_code, reason = "each target uses its own check")]

#[path = "../../tests/support/oracles.rs"]
mod oracles;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    if let Some((seed, bytes)) = data.split_first() {
        oracles::check_requests(bytes, u64::from(*seed) << 1 | 0x1_0001);
    }
});
