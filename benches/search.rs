//! How fast a search looks through the record: GB of plain bytes a second of CPU time, of plain segments and of
//! compressed ones. `cargo bench --bench search`. The log is made first, in a directory of its own; the first round
//! over it is not counted. Compares; asserts nothing.

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::Path;

use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeVal;
use peergate::audit::query::filter::Verdict;
use peergate::audit::query::search::{self, Question};
use peergate::audit::query::{Filter, Join};
use peergate::audit::reader::Reader;
use peergate::model::time::Timestamp;

/// Requests in the log: about 600 MB.
const REQUESTS: u64 = 1_200_000;
const SEGMENT: u64 = 60_000;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut out = std::io::stdout();
    let directory = tempfile::tempdir()?;
    let bytes = write_log(directory.path())?;
    writeln!(out, "{} MB in {} requests", bytes / 1_000_000, REQUESTS)?;
    let asked = |texts: &[&str], filter: Filter| Question {
        texts: texts.iter().map(|text| (*text).to_owned()).collect(),
        filter,
    };
    let plain = Filter::default();
    let questions = [
        ("a text of one request", asked(&["/containers/needle"], plain.clone())),
        ("a text that is nowhere", asked(&["no such text"], plain.clone())),
        ("--req 7k3qzd-500-3", asked(&[], Filter { req: vec!["7k3qzd-500-3".parse()?], ..plain.clone() })),
        ("--user rare (of 99 accesses)", asked(&[], Filter { user: vec!["rare".parse()?], ..plain.clone() })),
        ("--status 502 (of 12)", asked(&[], Filter { status: vec!["502".parse()?], ..plain.clone() })),
        ("--decision deny (1 %)", asked(&[], Filter { decision: Some(Verdict::Deny), ..plain.clone() })),
        ("--route list (half of all)", asked(&[], Filter { route: vec!["list".parse()?], ..plain.clone() })),
    ];
    for form in ["plain", "compressed"] {
        if form == "compressed" {
            compress(directory.path())?;
        }
        for (name, question) in &questions {
            run(directory.path(), question)?;
            let begun = cpu()?;
            let found = run(directory.path(), question)?;
            let spent = cpu()? - begun;
            let speed = bytes as f64 / spent / 1e9;
            writeln!(out, "{form:<10} {name:<28} {found:>7} found   {speed:>6.2} GB/s")?;
        }
        let begun = cpu()?;
        let mut join = Join::new(Reader::open(directory.path())?);
        let mut all = 0;
        while join.next_item()?.is_some() {
            all += 1;
        }
        let speed = bytes as f64 / (cpu()? - begun) / 1e9;
        writeln!(out, "{form:<10} {:<28} {all:>7} read    {speed:>6.2} GB/s", "everything, joined")?;
    }
    Ok(())
}

/// Seconds that this process has computed, in the kernel too: other processes don't count.
fn cpu() -> std::io::Result<f64> {
    let usage = getrusage(UsageWho::RUSAGE_SELF)?;
    let seconds = |time: TimeVal| time.tv_sec() as f64 + time.tv_usec() as f64 / 1e6;
    Ok(seconds(usage.user_time()) + seconds(usage.system_time()))
}

fn run(directory: &Path, question: &Question) -> Result<u64, Box<dyn std::error::Error>> {
    let mut join = search::open(directory, question, drop, |_| ())?;
    let mut found = 0;
    while let Some(item) = join.next_item()? {
        found += u64::from(question.covers(&item));
    }
    Ok(found)
}

fn write_log(directory: &Path) -> std::io::Result<u64> {
    let create = |writer: &str, made: u64| -> std::io::Result<BufWriter<File>> {
        let (minute, second) = (made / 60 % 60, made % 60);
        let name = format!("20261123T00{minute:02}{second:02}.000000Z-7k3qzd-{writer}-{made}.ndjson");
        Ok(BufWriter::new(File::create(directory.join(name))?))
    };
    let start = 1_795_392_000_000_000;
    let mut bytes = 0;
    let (mut warden, mut gate) = (create("warden", 0)?, create("gate-1001-0", 0)?);
    for request in 0..REQUESTS {
        let ts = Timestamp::from_micros(start + request * 100);
        if request > 0 && request % SEGMENT == 0 {
            let made = request * 100 / 1_000_000;
            (warden, gate) = (create("warden", made)?, create("gate-1001-0", made)?);
        }
        let (connection, number) = (1 + request / 100, 1 + request % 100);
        let mut line = |to: &mut BufWriter<File>, kind: &str, rest: String| {
            let text = format!("{{\"v\":1,\"t\":\"{kind}\",\"n\":{request},\"ts\":\"{ts}\",{rest}}}\n");
            bytes += text.len() as u64;
            to.write_all(text.as_bytes())
        };
        if number == 1 {
            let user = if connection == 6_000 { "rare" } else { "deploy" };
            line(
                &mut warden,
                "conn",
                format!(
                    "\"id\":\"7k3qzd-{connection}\",\"on\":\"docker\",\"uid\":1001,\"gid\":1001,\"groups\":[1001,998],\"user\":\"{user}\",\"pid\":48213,\"ns\":\"host\",\"exe\":\"/usr/bin/docker\",\"unit\":\"ci.service\""
                ),
            )?;
        }
        let id = format!("7k3qzd-{connection}-{number}");
        let target =
            if request == REQUESTS / 2 { "/v1.41/containers/needle" } else { "/v1.41/containers/json?all=1" };
        let asks = format!(
            "\"id\":\"{id}\",\"uid\":1001,\"pid\":48213,\"method\":\"GET\",\"target\":\"{target}\",\"route\":\"{}\"",
            if request % 2 == 0 { "list" } else { "inspect" }
        );
        if request % 100 == 99 {
            line(
                &mut gate,
                "decision",
                format!(
                    "{asks},\"decision\":\"deny\",\"refusal\":\"not-allowed\",\"policy\":\"9f2c1e77\",\"status\":403,\"us\":12"
                ),
            )?;
            continue;
        }
        line(
            &mut gate,
            "decision",
            format!(
                "{asks},\"decision\":\"allow\",\"by\":\"who.ci\",\"at\":\"policy.toml:42\",\"policy\":\"9f2c1e77\""
            ),
        )?;
        line(
            &mut warden,
            "grant",
            format!("\"id\":\"{id}\",\"uid\":1001,\"backend\":\"docker\",\"policy\":\"9f2c1e77\""),
        )?;
        let (status, result) =
            if request % 100_000 == 7 { (502, "backend-died") } else { (200, "completed") };
        line(
            &mut gate,
            "outcome",
            format!(
                "\"id\":\"{id}\",\"status\":{status},\"result\":\"{result}\",\"in\":0,\"out\":5120,\"us\":7456"
            ),
        )?;
    }
    Ok(bytes)
}

fn compress(directory: &Path) -> std::io::Result<()> {
    let names: Vec<_> = fs::read_dir(directory)?.collect::<Result<_, _>>()?;
    for path in names.into_iter().map(|entry| entry.path()) {
        let mut to = path.clone().into_os_string();
        to.push(".zst");
        zstd::stream::copy_encode(File::open(&path)?, File::create(to)?, 3)?;
        fs::remove_file(path)?;
    }
    Ok(())
}
