//! A policy's file, any bytes of it: taken or refused without a panic, and carried whole from process to process. Where
//! the first byte is above ASCII, the rest makes rules and requests, and a slow second judge has to agree.
#![no_main]

#[path = "../../tests/support/slow_rules.rs"]
mod slow_rules;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    match data.split_first() {
        Some((128.., rules)) => slow_rules::check_rules(rules),
        _ => slow_rules::check_file(data),
    }
});
