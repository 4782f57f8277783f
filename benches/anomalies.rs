//! How good `peergate audit anomalies` is on months that a program made up, and how fast.
//!
//! `cargo bench --bench anomalies -- FIRST LAST [look]`: the seeds; `look` prints what was missed and what was
//! wrong, `small` asks for months with less monitoring.
//! `cargo bench --bench anomalies -- speed DIRECTORY`: writes about five million records there and times the detector.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "measures"
)]
#![allow(clippy::disallowed_macros, reason = "prints figures")]

#[path = "../tests/anomalies/world.rs"]
mod world;

use std::time::Instant;

use peergate::audit::anomalies::THRESHOLD;
use world::score::{self, Alarm, Score};
use world::{SECOND, Scale};

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|it| it != "--bench").collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["speed", directory] => speed(directory),
        [first, last, ref how @ ..] => {
            let scale = if how.contains(&"small") { Scale::SMALL } else { Scale::FULL };
            quality(first.parse().unwrap(), last.parse().unwrap(), scale, how.contains(&"look"));
        }
        _ => quality(101, 110, Scale::FULL, false),
    }
}

fn quality(first: u64, last: u64, scale: Scale, look: bool) {
    let thresholds = [4.0, 5.0, 6.0, 6.5, 7.0, 8.0, 9.0, 10.0];
    let mut sweep: Vec<Score> = vec![Score::default(); thresholds.len()];
    let names = ["threshold", "top 20", "top 50", "baseline", "baseline top 20", "baseline top 50"];
    let mut sums: Vec<Score> = vec![Score::default(); names.len()];
    for seed in first..=last {
        let month = world::month(seed, scale);
        let recorded = score::record_of(&month);
        let report = score::report(recorded.directory.path());
        let alarms = score::alarms(&report);
        let over = alarms.iter().take_while(|alarm| alarm.score >= THRESHOLD).count();
        for (sum, threshold) in sweep.iter_mut().zip(thresholds) {
            let over = alarms.iter().filter(|alarm| alarm.score >= threshold);
            sum.add(&score::score(over, &month, &recorded.labels));
        }
        let baseline = score::baseline(&month);
        let of =
            |alarms: &[Alarm], most: usize| score::score(alarms.iter().take(most), &month, &recorded.labels);
        let scores = [
            of(&alarms, over),
            of(&alarms, 20),
            of(&alarms, 50),
            of(&baseline, usize::MAX),
            of(&baseline, 20),
            of(&baseline, 50),
        ];
        if look {
            println!("--- seed {seed}: {} records, {} findings", recorded.records, alarms.len());
            scores[0].wrong.iter().for_each(|alarm| {
                println!("wrong  {:5.1} {} {}", alarm.score, world::days::said(alarm.from), alarm.words)
            });
            missed(&month, &alarms, &recorded);
        }
        sums.iter_mut().zip(&scores).for_each(|(sum, score)| sum.add(score));
    }
    println!("{:<18} {:>9} {:>9} {:>8}", "", "precision", "recall", "alarms");
    for (name, sum) in names.iter().zip(&sums) {
        println!("{name:<18} {:>9.2} {:>9.2} {:>8}", sum.precision(), sum.recall(), sum.alarms);
    }
    for (threshold, sum) in thresholds.iter().zip(&sweep) {
        println!("{threshold:<18} {:>9.2} {:>9.2} {:>8}", sum.precision(), sum.recall(), sum.alarms);
    }
    println!("\n{:<24} {:>8} {:>8} {:>8} {:>8}", "kind", "planted", "found", "top 50", "baseline");
    for (kind, (found, planted)) in &sums[0].kinds {
        println!(
            "{kind:<24} {planted:>8} {found:>8} {:>8} {:>8}",
            sums[2].kinds[kind].0, sums[3].kinds[kind].0
        );
    }
}

fn missed(month: &world::Month, alarms: &[Alarm], recorded: &score::Recorded) {
    for (number, case) in month.cases.iter().enumerate() {
        let best = alarms.iter().find(|alarm| score::about(alarm, month, &recorded.labels) == Some(number));
        let who = month.people[case.who].name;
        let when = world::days::said(case.from);
        match best {
            Some(best) if best.score >= THRESHOLD => {}
            Some(best) => println!("missed {:5.1} {} {when} {}", best.score, case.kind, best.words),
            None => println!("missed   --- {} {when} {who}", case.kind),
        }
    }
}

fn speed(directory: &str) {
    let month = world::month(1, Scale { monitor: 2 * SECOND, ..Scale::FULL });
    std::fs::create_dir_all(directory).unwrap();
    let (records, _) = world::record::write(&month, directory.as_ref());
    println!("{records} records in {directory}");
    drop(month);
    // The peak from here on (`proc_pid_clear_refs(5)`).
    std::fs::write("/proc/self/clear_refs", "5").unwrap();
    let before = peak();
    let start = Instant::now();
    let report = score::report(directory.as_ref());
    println!("{:.2} s, {} findings", start.elapsed().as_secs_f64(), report.findings.len());
    println!("peak resident: {} MiB, {} MiB of it before", peak() / 1024, before / 1024);
}

/// The most that was resident, in KiB.
fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}
