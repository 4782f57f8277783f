//! What is written about the project is so: links lead somewhere, commands exist, the ledger's tests are there.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]
#![allow(clippy::disallowed_methods, reason = "asks the programs for their help")]

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(file: &str) -> String {
    std::fs::read_to_string(root().join(file)).unwrap_or_else(|why| panic!("{file}: {why}"))
}

/// Every Markdown file that people read.
fn papers() -> Vec<String> {
    let mut papers: Vec<String> =
        ["README.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md", "fuzz/README.md"]
            .map(str::to_owned)
            .to_vec();
    let manual = std::fs::read_dir(root().join("src/manual")).unwrap();
    papers.extend(["deploy/README.md", "deploy/fleet/README.md"].map(str::to_owned));
    papers.extend(manual.map(|entry| format!("src/manual/{}", entry.unwrap().file_name().to_string_lossy())));
    papers
}

#[test]
fn links_lead_to_files_that_are_there() {
    let mut wrong = Vec::new();
    for paper in papers() {
        let text = read(&paper);
        for target in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let file = target.split('#').next().unwrap();
            if target.starts_with("http") || file.is_empty() {
                continue;
            }
            if !root().join(&paper).parent().unwrap().join(file).exists() {
                wrong.push(format!("{paper}: {target}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// The lines of the README's shell examples.
fn commands() -> Vec<String> {
    let text = read("README.md");
    let examples = text.split("```sh\n").skip(1).filter_map(|rest| rest.split("```").next());
    examples.flat_map(str::lines).map(str::to_owned).collect()
}

#[test]
fn readme_commands_exist() {
    let commands = commands();
    assert!(commands.iter().any(|command| command == "cargo run --release --bin peergated -- --demo"));
    assert!(commands.iter().any(|command| command == "./tests/run"));
    let help = |program: &str, words: &[&str]| {
        let output = Command::new(program).args(words).arg("--help").output().unwrap();
        assert!(output.status.success(), "{program} {words:?} --help");
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    for command in &commands {
        let words: Vec<&str> = command.split_whitespace().collect();
        let (help, words) = match words[..] {
            ["cargo", "run" | "build", ref rest @ ..] => {
                let binary = rest.iter().skip_while(|word| **word != "--bin").nth(1).unwrap();
                assert!(root().join(format!("src/bin/{binary}.rs")).exists(), "{command}");
                let ours: Vec<&str> = rest.iter().skip_while(|word| **word != "--").copied().collect();
                (help(env!("CARGO_BIN_EXE_peergated"), &[]), ours)
            }
            ["peergated", ref rest @ ..] => (help(env!("CARGO_BIN_EXE_peergated"), &[]), rest.to_vec()),
            #[cfg(feature = "cli")]
            ["peergate", verb] => (help(env!("CARGO_BIN_EXE_peergate"), &[verb]), Vec::new()),
            #[cfg(feature = "cli")]
            ["peergate", group, verb, ref rest @ ..] => {
                (help(env!("CARGO_BIN_EXE_peergate"), &[group, verb]), rest.to_vec())
            }
            [script, ..] if script.starts_with("./") => {
                let mode = std::fs::metadata(root().join(script)).unwrap().permissions().mode();
                assert!(mode & 0o111 != 0, "{script} can't be run");
                continue;
            }
            _ => panic!("who runs `{command}`?"),
        };
        for option in words.iter().filter(|word| word.starts_with("--") && word.len() > 2) {
            assert!(help.contains(option), "{command}: {option} is not in the help:\n{help}");
        }
    }
}

#[test]
fn readme_policy_is_part_of_the_sample() {
    let text = read("README.md");
    let policy = text.split("```toml\n").nth(1).unwrap().split("```").next().unwrap();
    let sample = read("policy/docker-readonly.toml");
    for line in policy.lines().filter(|line| !line.is_empty()) {
        assert!(sample.lines().any(|there| there == line), "not in policy/docker-readonly.toml: {line}");
    }
}

#[test]
fn readme_records_are_spelt_as_ours() {
    let text = read("README.md");
    let records: Vec<&str> = text.lines().filter(|line| line.starts_with("{\"v\":1")).collect();
    assert_eq!(records.len(), 2);
    for record in records {
        assert!(peergate::audit::plain::Record::parse(record.as_bytes()).is_some(), "{record}");
    }
}

#[test]
fn ledger_names_tests_that_are_there() {
    let (mut rows, mut wrong) = (0, Vec::new());
    for line in read("src/manual/attacks.md").lines().filter(|line| line.starts_with("| ")) {
        let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
        let [what, answer, held] = cells[..] else { panic!("not three cells: {line}") };
        if what == "elsewhere" {
            continue;
        }
        rows += 1;
        if held == "later" {
            if !answer.contains("*later*") {
                wrong.push(format!("nothing holds it, and it does not say *later*: {what}"));
            }
            continue;
        }
        for test in held.split('`').skip(1).step_by(2) {
            let (file, function) = test.split_once("::").unwrap_or((test, ""));
            let there = std::fs::read_to_string(root().join(file)).unwrap_or_default();
            if function.is_empty() || !there.contains(&format!("fn {function}(")) {
                wrong.push(format!("no such test: {test}"));
            }
        }
    }
    assert!(rows >= 40, "{rows} rows");
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn licences_are_there_and_named() {
    let manifest = read("Cargo.toml");
    assert!(manifest.contains("license = \"MIT OR Apache-2.0\""));
    assert!(read("LICENSE-MIT").contains("Permission is hereby granted, free of charge"));
    assert!(read("LICENSE-APACHE").contains("Apache License"));
    assert!(root().join("Cargo.lock").exists());
}

#[test]
fn policies_carry_tests_and_are_loaded_by_some() {
    let loaded = read("src/policy/tests/samples.rs");
    let policies: Vec<PathBuf> =
        std::fs::read_dir(root().join("policy")).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert!(!policies.is_empty());
    for policy in policies {
        let name = policy.file_name().unwrap().to_string_lossy().into_owned();
        let text = std::fs::read_to_string(&policy).unwrap();
        assert!(text.contains("[[test]]"), "{name} has no test of its own");
        assert!(loaded.contains(&name), "src/policy/tests/samples.rs does not load {name}");
    }
}
