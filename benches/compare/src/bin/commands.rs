//! `commands ROUNDS [SOCKET [SOCKET-IN-MEMORY]] [-- NAME PROGRAM ARGUMENT… [++ BEFORE ARGUMENT…]]…`: how long each takes,
//! from its start to its end, one after the other in each round; medians, the slowest tenth, and ratios to `sudo -n true`.
//! What stands behind `++` is run before each time, and does not count.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

enum Contestant {
    Program { words: Vec<String>, before: Vec<String> },
    Kept(BufReader<UnixStream>),
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let mut groups = arguments.split(|argument| argument == "--");
    let Some([rounds, sockets @ ..]) = groups.next() else { return usage() };
    let Ok(rounds) = rounds.parse::<usize>() else { return usage() };
    let mut field: Vec<(String, Contestant)> = Vec::new();
    for (socket, name) in sockets.iter().zip(["HTTP, kept connection", "HTTP, record in memory"]) {
        field.push((name.to_owned(), Contestant::Kept(BufReader::new(reached(socket)))));
    }
    for group in groups {
        let [name, words @ ..] = group else { continue };
        let mut parts = words.split(|word| word == "++").map(<[String]>::to_vec);
        let (words, before) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
        field.push((name.clone(), Contestant::Program { words, before }));
    }
    let mut took: Vec<Vec<f64>> = vec![Vec::new(); field.len()];
    for round in 0..rounds + 5 {
        // Turned by one each round, so that nobody always comes after the same neighbour.
        for place in 0..field.len() {
            let at = (place + round) % field.len();
            if let Contestant::Program { before, .. } = &field[at].1
                && !before.is_empty()
            {
                run(before);
            }
            let began = Instant::now();
            once(&mut field[at].1);
            // The first rounds are for caches to be filled.
            if round >= 5 {
                took[at].push(began.elapsed().as_secs_f64() * 1e3);
            }
        }
    }
    let at = |values: &[f64], part: usize| {
        let mut sorted = values.to_vec();
        sorted.sort_by(f64::total_cmp);
        sorted[(sorted.len() - 1) * part / 10]
    };
    let sudo = field.iter().position(|(name, _)| name.starts_with("sudo")).map(|place| at(&took[place], 5));
    println!("| {:<36} | {:>9} | {:>12} | {:>12} |", "", "median ms", "slow tenth", "to sudo -n");
    println!("|{:-<38}|----------:|-------------:|-------------:|", "");
    for ((name, _), values) in field.iter().zip(&took) {
        let middle = at(values, 5);
        let ratio = sudo.map_or_else(|| "no sudo".to_owned(), |sudo| format!("{:.2}", middle / sudo));
        println!("| {name:<36} | {middle:>9.2} | {:>12.2} | {ratio:>12} |", at(values, 9));
    }
}

fn usage() {
    eprintln!(
        "usage: commands ROUNDS [SOCKET [SOCKET-IN-MEMORY]] [-- NAME PROGRAM ARGUMENT… [++ BEFORE ARGUMENT…]]…"
    );
    std::process::exit(2);
}

/// The socket is there a moment before anybody listens on it.
fn reached(socket: &str) -> UnixStream {
    let until = Instant::now() + Duration::from_secs(10);
    loop {
        match UnixStream::connect(socket) {
            Ok(stream) => return stream,
            Err(error) => assert!(Instant::now() < until, "{socket}: {error}"),
        }
    }
}

fn run(words: &[String]) {
    let status = Command::new(&words[0]).args(&words[1..]).stdin(Stdio::null()).status();
    assert!(status.expect("it can be started").success(), "{words:?}");
}

fn once(contestant: &mut Contestant) {
    match contestant {
        Contestant::Program { words, .. } => run(words),
        Contestant::Kept(daemon) => {
            let request = b"POST /true HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n";
            daemon.get_mut().write_all(request).expect("the daemon is there");
            let (mut length, mut line) = (0, String::new());
            daemon.read_line(&mut line).expect("an answer");
            assert!(line.starts_with("HTTP/1.1 200 "), "{line}");
            while line != "\r\n" {
                line.clear();
                daemon.read_line(&mut line).expect("a head");
                if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                    length = value.trim().parse().expect("a length");
                }
            }
            let mut body = vec![0; length];
            daemon.read_exact(&mut body).expect("a body");
        }
    }
}
