use super::*;
use proptest::prelude::*;

const HOUR: u64 = DAY / 24;

/// A segment of `writer` that was made at hour `made` and ended at hour `ended`.
fn segment(writer: &str, made: u64, ended: u64, bytes: u64) -> Stored {
    Stored {
        name: format!("{made:05}-{writer}"),
        made: Timestamp::from_micros(made * HOUR),
        ended: Timestamp::from_micros(ended * HOUR),
        bytes,
        seals: writer == "scribe",
        settled: true,
    }
}

fn going(stored: &[Stored], keep: &Keep, now: u64, free: u64) -> Vec<(String, Pruned)> {
    let now = Timestamp::from_micros(now * HOUR);
    let terms = Terms { keep, now, free, whole: 1 << 40, shipped: None, ripe: None };
    plan(stored, &terms).going.into_iter().map(|going| (going.name, going.why)).collect()
}

fn all() -> Keep {
    Keep { days: 36_500, bytes: u64::MAX, count: None, free: 0 }
}

fn names(of: &[(&str, Pruned)]) -> Vec<(String, Pruned)> {
    of.iter().map(|(name, why)| ((*name).to_owned(), *why)).collect()
}

#[test]
fn nothing_goes_while_nothing_is_exceeded() {
    let stored = [segment("gate", 1, 2, 100), segment("scribe", 0, 3, 10)];
    assert_eq!(going(&stored, &all(), 1_000, 0), []);
}

#[test]
fn older_than_days_goes() {
    let stored = [segment("a", 1, 2, 1), segment("b", 1, 40, 1)];
    let keep = Keep { days: 1, ..all() };
    assert_eq!(going(&stored, &keep, 2 + 24, 0), [], "a day old is not older than a day");
    assert_eq!(going(&stored, &keep, 2 + 25, 0), names(&[("00001-a", Pruned::Age)]));
}

#[test]
fn oldest_go_until_bytes_and_count_fit() {
    let stored: Vec<Stored> = (1..=5).map(|hour| segment("a", hour, hour, 10)).collect();
    let keep = Keep { bytes: 35, ..all() };
    assert_eq!(going(&stored, &keep, 9, 0), names(&[("00001-a", Pruned::Bytes), ("00002-a", Pruned::Bytes)]));
    let keep = Keep { count: Some(4), ..all() };
    assert_eq!(going(&stored, &keep, 9, 0), names(&[("00001-a", Pruned::Count)]));
}

#[test]
fn scarce_space_takes_the_oldest_and_never_asks_for_more_than_a_tenth() {
    let stored: Vec<Stored> = (1..=3).map(|hour| segment("a", hour, hour, 10)).collect();
    let keep = Keep { free: 115, ..all() };
    assert_eq!(
        going(&stored, &keep, 9, 100),
        names(&[("00001-a", Pruned::Space), ("00002-a", Pruned::Space)])
    );
    let now = Timestamp::from_micros(9 * HOUR);
    let terms = Terms { keep: &keep, now, free: 100, whole: 900, shipped: None, ripe: None };
    assert_eq!(plan(&stored, &terms), Plan::default());
}

#[test]
fn unsettled_and_unshipped_stay_and_say_why() {
    let mut stored = vec![segment("a", 1, 1, 10), segment("b", 2, 2, 10), segment("c", 3, 3, 10)];
    stored[0].settled = false;
    let shipped = BTreeSet::from(["00003-c".to_owned()]);
    let keep = Keep { count: Some(0), ..all() };
    let now = Timestamp::from_micros(9 * HOUR);
    let plan =
        plan(&stored, &Terms { keep: &keep, now, free: 0, whole: 0, shipped: Some(&shipped), ripe: None });
    assert_eq!(plan.going.iter().map(|going| going.name.as_str()).collect::<Vec<_>>(), ["00003-c"]);
    let held = [("00001-a".to_owned(), Held::Unsettled), ("00002-b".to_owned(), Held::Unshipped)];
    assert_eq!(plan.held, held);
}

#[test]
fn count_spares_writers_for_what_scribes_seal_of_them() {
    // Four starts, each with a scribe's; each seals what was written in its time.
    let mut stored: Vec<Stored> =
        (0..4).map(|start| segment("scribe", start * 10, start * 10 + 5, 1)).collect();
    stored.extend((0..4).map(|start| segment("gate", start * 10 + 1, start * 10 + 4, 10)));
    let keep = |count| Keep { count: Some(count), ..all() };
    assert_eq!(going(&stored, &keep(4), 90, 0), [], "four are kept, and what seals them");
    let first = [("00001-gate", Pruned::Count), ("00000-scribe", Pruned::Count)];
    assert_eq!(going(&stored, &keep(3), 90, 0), names(&first), "one's scribe goes with it");
    assert_eq!(going(&stored, &keep(0), 90, 0).len(), 8);
    // Nothing that was sealed is left: they are all there is to count.
    let alone = [("00000-scribe", Pruned::Count), ("00010-scribe", Pruned::Count)];
    assert_eq!(going(&stored[..4], &keep(2), 90, 0), names(&alone));
}

#[test]
fn old_ones_wait_until_they_are_ripe() {
    let stored = [segment("a", 1, 2, 1), segment("b", 1, 40, 1)];
    let keep = Keep { days: 1, bytes: 1, ..all() };
    let (now, ripe) = (Timestamp::from_micros(900 * HOUR), Some(Timestamp::from_micros(2 * HOUR)));
    let terms = |keep| Terms { keep, now, free: 0, whole: 0, shipped: None, ripe };
    let roomy = Keep { bytes: 9, ..keep.clone() };
    let going = plan(&stored, &terms(&roomy)).going;
    assert_eq!(going.iter().map(|one| one.name.as_str()).collect::<Vec<_>>(), ["00001-a"]);
    let keep = Keep { bytes: 0, ..keep };
    assert_eq!(plan(&stored, &terms(&keep)).going[1].why, Pruned::Bytes, "other reasons wait for nothing");
}

#[test]
fn scribe_goes_only_after_all_that_it_seals() {
    // The first scribe's time touches both gates', the second's only the later one's.
    let stored = [
        segment("scribe", 0, 10, 1),
        segment("gate", 1, 5, 10),
        segment("gate", 2, 30, 10),
        segment("scribe", 11, 31, 1),
    ];
    let keep = Keep { days: 1, ..all() };
    assert_eq!(going(&stored, &keep, 40, 0), names(&[("00001-gate", Pruned::Age)]));
    let ages = [("00001-gate", Pruned::Age), ("00002-gate", Pruned::Age), ("00000-scribe", Pruned::Age)];
    assert_eq!(going(&stored, &keep, 55, 0), names(&ages));
}

proptest! {
    #[test]
    fn plan_takes_no_more_than_it_must_and_leaves_no_seal_behind(
        parts in prop::collection::vec((0..200_u64, 0..50_u64, 1..100_u64, any::<bool>(), any::<bool>()), 0..24),
        bytes in 0..1_000_u64,
        days in 1..9_u32,
    ) {
        let stored: Vec<Stored> = parts
            .iter()
            .enumerate()
            .map(|(number, (made, long, size, seals, settled))| {
                let writer = if *seals { "scribe" } else { "gate" };
                let mut one = segment(writer, *made, made + long, *size);
                one.name = format!("{}-{number}", one.name);
                one.settled = *settled;
                one
            })
            .collect();
        let keep = Keep { days, bytes, count: None, free: 0 };
        let now = Timestamp::from_micros(260 * HOUR);
        let plan = plan(&stored, &Terms { keep: &keep, now, free: 0, whole: 0, shipped: None, ripe: None });
        let goes = |name: &str| plan.going.iter().any(|going| going.name == name);
        for going in &plan.going {
            let one = stored.iter().find(|one| one.name == going.name).unwrap();
            prop_assert!(one.settled);
            if one.seals {
                for other in stored.iter().filter(|other| !other.seals && !goes(&other.name)) {
                    prop_assert!(other.made > one.ended || other.ended < one.made, "{} seals {}", one.name, other.name);
                }
            }
        }
        // Without the last one that goes for its bytes, they would not fit.
        let left: u64 = stored.iter().filter(|one| one.settled && !goes(&one.name)).map(|one| one.bytes).sum();
        if let Some(last) = plan.going.last().filter(|last| last.why == Pruned::Bytes) {
            prop_assert!(left + last.bytes > bytes);
        }
    }
}
