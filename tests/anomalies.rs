//! What `peergate audit anomalies` finds in months that it was not tuned on, and what it leaves alone.
#![cfg(feature = "cli")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

#[path = "anomalies/world.rs"]
mod world;

use std::collections::BTreeSet;

use world::{BEGIN, DAY, LEARNED, Scale};

#[test]
fn month_is_in_order_and_the_same_for_the_same_seed() {
    let (one, two, other) =
        (world::month(1, Scale::SMALL), world::month(1, Scale::SMALL), world::month(2, Scale::SMALL));
    let story = |month: &world::Month| format!("{:?}", &month.asked);
    assert!(story(&one) == story(&two));
    assert!(story(&one) != story(&other));
    assert!(one.asked.is_sorted_by_key(|asked| asked.at));
}

#[test]
fn month_every_kind_is_planted_after_what_can_be_learned() {
    let kinds: BTreeSet<&str> = (1..5)
        .flat_map(|seed| world::month(seed, Scale::SMALL).cases)
        .map(|case| {
            assert!(case.from >= BEGIN + LEARNED * DAY, "{case:?}");
            case.kind
        })
        .collect();
    assert_eq!(kinds, world::planted::KINDS.into_iter().collect());
}
