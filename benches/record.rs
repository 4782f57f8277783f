//! What a record costs its writer: nanoseconds to encode it, and to note, write and acknowledge it by rounds of
//! different sizes. Of CPU time, the kernel's included: other work on the machine does not count. `cargo bench --bench
//! record`. Compares; asserts nothing.

use std::hint::black_box;
use std::io::Write;
use std::os::fd::OwnedFd;
use std::time::Duration;

use nix::time::{ClockId, clock_gettime};

use peergate::audit::chain::Digest;
use peergate::audit::encode;
use peergate::audit::entry::{Decided, Decision, Entry, OutcomeOf};
use peergate::audit::inspect::{Inspector, Role};
use peergate::audit::log::Log;
use peergate::audit::secret::Secrets;
use peergate::model::ids::{BootId, ConnectionId, RequestId};
use peergate::model::outcome::Outcome;
use peergate::model::time::Timestamp;

const RECORDS: u32 = 1_000_000;

fn main() -> std::io::Result<()> {
    let mut out = std::io::stdout();
    let id =
        RequestId { connection: ConnectionId { boot: BootId::from_random(7), number: 4_711 }, number: 12 };
    let decision = Entry::Decision(Decision {
        id,
        uid: 1001,
        pid: 48213,
        method: b"GET",
        target: b"/v1.41/containers/json?all=1",
        route: Some("containers-list"),
        verdict: Decided::Allow,
        by: Some("who.ci"),
        at: Some("policy.toml:42"),
        policy: "9f2c1e77",
        shadow: None,
        part: None,
        fields: &[],
        status: None,
        us: None,
    });
    let outcome = Entry::Outcome(OutcomeOf {
        id,
        status: Some(200),
        result: Outcome::Completed,
        bytes_in: 0,
        bytes_out: 5120,
        us: 7456,
    });
    for (name, entry) in [("decision", &decision), ("outcome", &outcome)] {
        let mut line = Vec::with_capacity(1 << 10);
        let spent = each(|n| {
            line.clear();
            encode::line(black_box(entry), n.into(), Timestamp::now(), &mut line);
            black_box(&line);
        });
        writeln!(out, "encode {name:<10} {:>4} bytes   {spent:>7.1} ns a record", line.len())?;
    }
    judge(&mut out, &[("decision", &decision), ("outcome", &outcome)])?;
    let secrets = Secrets::new(&[7; 32]);
    for target in [&b"/v1.41/containers/json?all=1"[..], b"/v1.41/images/create?token=abcdef"] {
        let spent = each(|_| {
            black_box(secrets.cleaned(black_box(target), &[]));
        });
        writeln!(out, "clean  {:<32} {spent:>7.1} ns", String::from_utf8_lossy(target))?;
    }
    for (round, place) in [(1, "a file"), (8, "a file"), (32, "a file"), (256, "a file"), (32, "/dev/null")] {
        let directory = tempfile::tempdir()?;
        let segment: OwnedFd = if place == "a file" {
            std::fs::OpenOptions::new().append(true).create(true).open(directory.path().join("s"))?.into()
        } else {
            std::fs::OpenOptions::new().write(true).open(place)?.into()
        };
        let log = Log::new(segment, u64::MAX);
        let mut noted = Vec::with_capacity(round);
        let mut failed = 0_u64;
        let spent = each(|n| {
            noted.extend(log.note((), if n % 2 == 0 { &decision } else { &outcome }));
            if noted.len() == round {
                failed += u64::from(log.flush().is_err());
                failed += noted.drain(..).filter_map(|noted| log.receipt(noted).err()).count() as u64;
            }
        });
        writeln!(out, "append {round:>3} a write to {place:<12} {spent:>7.1} ns a record, {failed} failed")?;
    }
    Ok(())
}

/// What the scribe does for each line beside reading it: it judges, and hashes once as it seals and once at the close.
fn judge(out: &mut impl Write, entries: &[(&str, &Entry<'_>)]) -> std::io::Result<()> {
    for (name, entry) in entries {
        let mut line = Vec::new();
        encode::line(entry, 1, Timestamp::now(), &mut line);
        let line = line.strip_suffix(b"\n").unwrap_or(&line);
        let mut wrong = 0_u64;
        let spent = each(|_| {
            let mut inspector = Inspector::resumed(Role::Gate, BootId::from_random(7), 1);
            wrong += u64::from(inspector.judge(black_box(line)).is_err());
        });
        writeln!(out, "judge  {name:<10} {:>4} bytes   {spent:>7.1} ns a record, {wrong} wrong", line.len())?;
    }
    let block = vec![b'x'; 1 << 20];
    let start = cpu();
    (0..256).for_each(|_| {
        black_box(Digest::of(black_box(&block)));
    });
    let spent = (cpu() - start).as_secs_f64() * 1e9 / f64::from(256 << 20);
    writeln!(out, "hash   {spent:>7.3} ns a byte")
}

fn each(mut work: impl FnMut(u32)) -> f64 {
    let start = cpu();
    (0..RECORDS).for_each(&mut work);
    (cpu() - start).as_secs_f64() * 1e9 / f64::from(RECORDS)
}

/// What the process has used of all cores.
fn cpu() -> Duration {
    clock_gettime(ClockId::CLOCK_PROCESS_CPUTIME_ID).map_or(Duration::ZERO, Duration::from)
}
