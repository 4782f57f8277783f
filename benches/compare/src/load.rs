//! Load: h2load for connections that stay, a few blocking threads for a connection a request.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Requests a second over so many connections, by h2load; one that fails a request fails the run.
pub fn h2load(socket: &Path, target: &str, connections: u32, time: Duration) -> f64 {
    let mut h2load = Command::new("h2load");
    h2load.args(["--h1", "--threads=1", "--warm-up-time=300ms"]);
    h2load.arg(format!("--clients={connections}")).arg(format!("--duration={}", time.as_secs()));
    h2load
        .arg("--base-uri")
        .arg(format!("unix:{}", socket.display()))
        .arg(format!("http://localhost{target}"));
    let output = h2load.output().expect("h2load runs");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "h2load: {said}");
    let statuses = said.lines().find(|line| line.starts_with("status codes:")).unwrap_or_default();
    assert!(statuses.contains(" 0 3xx, 0 4xx, 0 5xx"), "{}: {statuses}", socket.display());
    let finished = said.lines().find(|line| line.starts_with("finished in")).unwrap_or_default();
    let rate = finished.split(", ").find_map(|part| part.strip_suffix(" req/s"));
    rate.and_then(|rate| rate.parse().ok()).unwrap_or_else(|| panic!("h2load said: {said}"))
}

/// Clients that connect, ask once and read to the end.
const THREADS: usize = 8;

/// Requests a second, each on a connection of its own.
pub fn fresh(socket: &Path, target: &str, time: Duration) -> f64 {
    let count = AtomicU64::new(0);
    let began = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                let request =
                    format!("GET {target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
                let mut answer = Vec::with_capacity(4096);
                while began.elapsed() < time {
                    let mut stream = UnixStream::connect(socket).expect("connect");
                    stream.write_all(request.as_bytes()).expect("write");
                    answer.clear();
                    stream.read_to_end(&mut answer).expect("read");
                    assert!(answer.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&answer));
                    count.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
    });
    count.into_inner() as f64 / began.elapsed().as_secs_f64()
}
