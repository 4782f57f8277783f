//! What the tests share: the real daemon in a directory of its own, people who call it, the service behind it,
//! and its records.
//!
//! Each test file says `#[path = "support/support.rs"] mod support;`.

#![allow(dead_code, unreachable_pub, reason = "each test file uses a part of it")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]
#![allow(clippy::disallowed_methods, clippy::disallowed_macros, reason = "tests start processes and print")]

pub mod browser;
pub mod client;
pub mod daemon;
pub mod disk;
pub mod docker;
pub mod heads;
pub mod http;
pub mod people;
#[cfg(feature = "cli")]
pub mod pty;
pub mod readers;
pub mod records;
#[cfg(feature = "cli")]
pub mod reviewed;
pub mod seals;
#[cfg(feature = "cli")]
pub mod stage;
pub mod strace;
pub mod upstream;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;
use std::time::Duration;

/// Longer than anything here takes; what is not there by then is a failure, never a pass.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// A program of the package as it was built for the tests, or what `PEERGATE_PROGRAMS` holds in its place: the release
/// build has no assertions and asks the kernel for less.
pub fn program(name: &str) -> PathBuf {
    let built = match name {
        "peergated" => env!("CARGO_BIN_EXE_peergated"),
        // Not there without the feature `cli`.
        _ => option_env!("CARGO_BIN_EXE_peergate").unwrap_or(name),
    };
    std::env::var_os("PEERGATE_PROGRAMS").map_or_else(|| built.into(), |folder| Path::new(&folder).join(name))
}

/// One of the package's examples. A test binary that is run by itself may find them not built yet.
pub fn example(name: &str) -> PathBuf {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    let folder = FOLDER.get_or_init(|| {
        let deps = std::env::current_exe().unwrap().parent().unwrap().to_owned();
        let folder = deps.parent().unwrap().join("examples");
        let mut build = Command::new(env!("CARGO"));
        build.current_dir(env!("CARGO_MANIFEST_DIR")).args(["build", "--examples", "--locked", "--offline"]);
        if deps.parent().unwrap().ends_with("release") {
            build.arg("--release");
        }
        run(&mut build);
        folder
    });
    folder.join(name)
}

/// Ends the test as skipped, which `tests/run` counts and lists.
#[macro_export]
macro_rules! skip {
    ($($why:tt)*) => {{
        let test = std::thread::current().name().unwrap_or("?").to_owned();
        println!("SKIP {test}: {}", format_args!($($why)*));
        return;
    }};
}

/// Skips unless root: users are created, and processes change who they are.
#[macro_export]
macro_rules! need_root {
    () => {
        if !nix::unistd::geteuid().is_root() {
            $crate::skip!("needs root, to act as several users");
        }
    };
}

/// Skips unless each of these programs can be found.
#[macro_export]
macro_rules! need_programs {
    ($($program:literal),+) => {
        $(if !$crate::support::have($program) {
            $crate::skip!("`{}` is not installed", $program);
        })+
    };
}

/// Whether a program can be found.
pub fn have(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(program).is_file())
}

/// A Python that every user can run; root's own may lie where others can't go.
pub fn python() -> &'static str {
    if Path::new("/usr/bin/python3").exists() { "/usr/bin/python3" } else { "python3" }
}

/// Runs a command to its end; what it said goes into the panic if it fails.
pub fn run(command: &mut Command) -> Output {
    let output = command.output().unwrap_or_else(|why| panic!("{command:?}: {why}"));
    assert!(output.status.success(), "{command:?}: {}\n{}", output.status, said(&output));
    output
}

/// A copy of a program where everybody can run it: the build's folder may be closed to others.
///
/// Another process writes it. A descriptor of ours that is open for writing would be inherited by whatever another
/// test starts in that moment, and the copy could not be run until that one has let go of it (ETXTBSY, `execve(2)`).
pub fn copy_for_all(program: &str, into: &Path) -> PathBuf {
    let copy = into.join(Path::new(program).file_name().unwrap());
    run(Command::new("install").args(["-m", "755", program]).arg(&copy));
    copy
}

/// Both streams of a command, for messages.
pub fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// What a command printed on stdout.
pub fn out(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}
