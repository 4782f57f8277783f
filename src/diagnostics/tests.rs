use super::collect::{Collector, Sink};
use super::*;
use std::fs;
use std::io::Write;

/// The line that an event becomes, without its instant and level.
fn said(json: bool, event: impl FnOnce()) -> String {
    struct Capture(std::sync::Arc<std::sync::Mutex<Vec<u8>>>, bool);
    impl<S: Subscriber> Layer<S> for Capture {
        fn on_event(&self, event: &Event<'_>, _context: Context<'_, S>) {
            *self.0.lock().unwrap() = line::of(event, "gate", self.1);
        }
    }
    let captured = std::sync::Arc::default();
    let subscriber = Registry::default().with(Capture(std::sync::Arc::clone(&captured), json));
    tracing::subscriber::with_default(subscriber, event);
    let line = captured.lock().unwrap().clone();
    String::from_utf8(line).unwrap()
}

#[test]
fn line_readable_says_message_first_and_escapes() {
    let line = said(false, || tracing::warn!(path = "a b", n = 3, ok = true, "can't \x1b[2J open"));
    let (_, rest) = line.split_once(' ').unwrap();
    let pid = std::process::id();
    let escape = "\\u001b";
    assert_eq!(rest, format!("WARN  gate[{pid}] can't {escape}[2J open path=\"a b\" n=3 ok=true\n"));
}

#[test]
fn line_json_is_json() {
    let line = said(true, || tracing::info!(error = %"é\n\"x\"", n = -3i64, "up"));
    let value: serde_json::Value = serde_json::from_str(&line).unwrap();
    assert_eq!(
        (&value["message"], &value["error"], &value["n"]),
        (&"up".into(), &"é\n\"x\"".into(), &(-3).into())
    );
    assert_eq!((&value["role"], &value["level"]), (&"gate".into(), &"INFO".into()));
}

#[test]
fn line_too_long_is_cut_and_stays_whole() {
    for json in [false, true] {
        let long = "\u{e9}".repeat(3_000);
        let line = said(json, || tracing::info!(a = long, b = "never seen", "up"));
        assert!(line.len() <= LINE_MAX && line.ends_with('\n') && line.is_ascii(), "{} bytes", line.len());
        assert!(line.contains(if json { "\"cut\":true" } else { "[cut]" }) && !line.contains("never"));
        assert!(!json || serde_json::from_str::<serde_json::Value>(&line).is_ok(), "{line}");
    }
}

fn pipe() -> (OwnedFd, OwnedFd) {
    let (read, write) = nix::unistd::pipe2(OFlag::O_CLOEXEC).unwrap();
    never_block(&write).unwrap();
    (read, write)
}

#[test]
fn full_pipe_counts_and_tells_what_was_lost() {
    let directory = tempfile::tempdir().unwrap();
    let (read, write) = pipe();
    let voice = Voice { role: "gate".into(), pipe: Some(write), json: false };
    let mut line = vec![b'x'; LINE_MAX];
    line[LINE_MAX - 1] = b'\n';
    while UNTOLD.load(Ordering::Relaxed) < 3 {
        voice.say(&line);
    }
    let collector = Collector::start(read, Sink::rolling(directory.path()).unwrap()).unwrap();
    // The collector empties the pipe; then there is room again.
    while UNTOLD.load(Ordering::Relaxed) > 0 {
        voice.say(b"after\n");
        std::thread::yield_now();
    }
    drop(voice);
    let lost = collector.finish();
    let text = rolled(directory.path());
    assert!(lost >= 3);
    assert!(text.contains("gate: ") && text.contains(" diagnostic lines were lost"), "{text:.200}");
    assert!(text.ends_with("after\n"));
}

fn rolled(directory: &std::path::Path) -> String {
    let file = fs::read_dir(directory).unwrap().next().unwrap().unwrap();
    fs::read_to_string(file.path()).unwrap()
}

#[test]
fn collector_finish_writes_what_is_in_the_pipe_though_writers_live() {
    let directory = tempfile::tempdir().unwrap();
    let (read, write) = pipe();
    let mut writer = fs::File::from(write);
    let collector = Collector::start(read, Sink::rolling(directory.path()).unwrap()).unwrap();
    for number in 0..100 {
        writeln!(writer, "line {number}").unwrap();
    }
    collector.finish();
    assert_eq!(rolled(directory.path()).lines().count(), 100);
}

#[test]
fn collector_hostile_writer_can_neither_draw_nor_grow() {
    let directory = tempfile::tempdir().unwrap();
    let (read, write) = pipe();
    let mut writer = fs::File::from(write);
    let collector = Collector::start(read, Sink::rolling(directory.path()).unwrap()).unwrap();
    writer.write_all(b"\x1b[2J\xff\rx\n").unwrap();
    writer.write_all(&[b'y'; 10_000]).unwrap();
    writer.write_all(b"\nz\n").unwrap();
    drop(writer);
    collector.finish();
    let text = rolled(directory.path());
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines[0], "\\u001b[2J\\xff\\u000dx");
    assert!(lines[1].len() < LINE_MAX + 10 && lines[1].ends_with(" [cut]"));
    assert_eq!(lines[2], "z");
}

#[test]
fn start_unknown_level_is_refused() {
    assert!(matches!(start("gate", None, "loud", false), Err(Unstartable::Level(_))));
}
