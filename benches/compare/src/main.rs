//! `compare PEERGATED UNGUARDED [ROUNDS] [SECONDS]`: measures the daemon beside an unguarded server, nginx and
//! HAProxy, alternating within each round, and prints medians and the ratios that the design asks for.

mod contestants;
mod load;

use std::collections::BTreeMap;
use std::time::Duration;

use contestants::{Contestant, Field};

/// How a contestant is asked.
const LOADS: [(&str, Load); 4] =
    [("1", Load::Kept(1)), ("32", Load::Kept(32)), ("256", Load::Kept(256)), ("one a request", Load::Fresh)];

#[derive(Clone, Copy)]
enum Load {
    /// So many connections that stay.
    Kept(u32),
    /// A new connection for each request.
    Fresh,
}

/// What is compared with what, and the ratio that is the goal; one goal for each of [`LOADS`].
const GOALS: [(&str, &str, &str, [Option<f64>; 4]); 8] = [
    ("builtin / unguarded axum", "peergate builtin", "axum", [Some(0.9), Some(0.9), Some(0.9), None]),
    ("proxy / HAProxy (ACL, log)", "peergate proxy", "haproxy", [Some(1.0), Some(1.0), Some(1.0), Some(0.8)]),
    ("proxy / nginx (access log)", "peergate proxy", "nginx", [Some(1.0), Some(1.0), Some(1.0), None]),
    ("builtin / without seccomp, Landlock", "peergate builtin", "bare builtin", [None; 4]),
    ("proxy / without seccomp, Landlock", "peergate proxy", "bare proxy", [None; 4]),
    ("builtin, sync / write", "builtin, sync", "peergate builtin", [None; 4]),
    ("proxy, sync / write", "proxy, sync", "peergate proxy", [None; 4]),
    ("proxy / unguarded axum", "peergate proxy", "axum", [None; 4]),
];

fn main() {
    let mut arguments = std::env::args().skip(1);
    let (Some(peergated), Some(unguarded)) = (arguments.next(), arguments.next()) else {
        eprintln!("usage: compare PEERGATED UNGUARDED [ROUNDS] [SECONDS]");
        std::process::exit(2);
    };
    let mut number = |default: u64| arguments.next().and_then(|text| text.parse().ok()).unwrap_or(default);
    let (rounds, time) = (number(5), Duration::from_secs(number(2)));

    let field = Field::start(&peergated, &unguarded);
    let mut rates: BTreeMap<(&str, usize), Vec<f64>> = BTreeMap::new();
    for round in 1..=rounds {
        for (at, (_, load)) in LOADS.iter().enumerate() {
            // Turned by one each round, so that nobody always comes after the same neighbour.
            let turn = usize::try_from(round).unwrap_or(0) % field.contestants.len();
            for contestant in field.contestants[turn..].iter().chain(&field.contestants[..turn]) {
                let rate = measure(contestant, *load, time);
                rates.entry((contestant.name, at)).or_default().push(rate);
            }
        }
        eprintln!("round {round} of {rounds}");
    }
    print(&field, &rates);
}

fn measure(contestant: &Contestant, load: Load, time: Duration) -> f64 {
    match load {
        Load::Kept(connections) => load::h2load(&contestant.socket, contestant.target, connections, time),
        Load::Fresh => load::fresh(&contestant.socket, contestant.target, time),
    }
}

fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or(f64::NAN)
}

fn print(field: &Field, rates: &BTreeMap<(&str, usize), Vec<f64>>) {
    println!("\nRequests a second, medians; connections:\n");
    println!(
        "| {:<36} | {:>8} | {:>8} | {:>8} | {:>13} |",
        "", LOADS[0].0, LOADS[1].0, LOADS[2].0, LOADS[3].0
    );
    println!("|{:-<38}|---------:|---------:|---------:|--------------:|", "");
    let of = |name: &'static str, at: usize| rates.get(&(name, at)).map_or(f64::NAN, |values| median(values));
    for contestant in &field.contestants {
        print!("| {:<36} |", contestant.name);
        for at in 0..LOADS.len() {
            print!(" {:>width$.0} |", of(contestant.name, at), width = if at == 3 { 13 } else { 8 });
        }
        println!();
    }
    println!("\nRatios of medians (goal):\n");
    println!(
        "| {:<36} | {:>12} | {:>12} | {:>12} | {:>13} |",
        "", LOADS[0].0, LOADS[1].0, LOADS[2].0, LOADS[3].0
    );
    println!("|{:-<38}|-------------:|-------------:|-------------:|--------------:|", "");
    for (what, ours, theirs, goals) in GOALS {
        if !field.contestants.iter().any(|contestant| contestant.name == theirs) {
            println!("| {what:<36} | not installed |");
            continue;
        }
        print!("| {what:<36} |");
        for (at, goal) in goals.iter().enumerate() {
            let goal = goal.map_or(String::new(), |goal| format!(" (≥ {goal:.1})"));
            let cell = format!("{:.2}{goal}", of(ours, at) / of(theirs, at));
            print!(" {cell:>width$} |", width = if at == 3 { 13 } else { 12 });
        }
        println!();
    }
    println!("\n{}", field.footprint());
}
