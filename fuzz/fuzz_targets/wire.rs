//! What roles say to each other, in each direction: whatever bytes come, they are refused or are a message that is
//! encoded to the same bytes again.
#![no_main]

use peergate::wire::app::{FromApp, ToApp};
use peergate::wire::message::{ControlRequest, FromGate, FromScribe, ToGate, ToScribe};
use peergate::wire::runner::{FromRunner, ToLauncher, ToRunner};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// A message that is read is the one that its own bytes say.
fn check<M: Serialize + DeserializeOwned + PartialEq + std::fmt::Debug>(bytes: &[u8]) {
    let Ok((message, _rest)) = postcard::take_from_bytes::<M>(bytes) else { return };
    let written = postcard::to_stdvec(&message).expect("what was read can be written");
    let (again, rest) = postcard::take_from_bytes::<M>(&written).expect("what was written can be read");
    assert_eq!(again, message);
    assert!(rest.is_empty());
}

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let Some((kind, bytes)) = data.split_first() else { return };
    match kind % 10 {
        0 => check::<FromGate>(bytes),
        1 => check::<ToGate>(bytes),
        2 => check::<FromScribe>(bytes),
        3 => check::<ToScribe>(bytes),
        4 => check::<FromRunner>(bytes),
        5 => check::<ToRunner>(bytes),
        6 => check::<ToLauncher>(bytes),
        7 => check::<FromApp>(bytes),
        8 => check::<ToApp>(bytes),
        _ => check::<ControlRequest>(bytes),
    }
});
