//! The rules of the house that a compiler does not check: floors, file sizes, where `unsafe` lives, tests that
//! wait for things instead of sleeping.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

const LINES: usize = 500;

/// Every file below `folder` whose name ends in one of `endings`, build output left out.
fn files(folder: &str, endings: &[&str]) -> Vec<PathBuf> {
    fn walk(folder: &Path, endings: &[&str], found: &mut Vec<PathBuf>) {
        let Ok(entries) = std::fs::read_dir(folder) else { return };
        for path in entries.map(|entry| entry.unwrap().path()) {
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            if path.is_dir() {
                if name != "target" {
                    walk(&path, endings, found);
                }
            } else if endings.iter().any(|ending| name.ends_with(ending)) {
                found.push(path);
            }
        }
    }
    let mut found = Vec::new();
    walk(&Path::new(env!("CARGO_MANIFEST_DIR")).join(folder), endings, &mut found);
    found.sort();
    found
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|why| panic!("{}: {why}", path.display()))
}

fn short(path: &Path) -> String {
    path.strip_prefix(env!("CARGO_MANIFEST_DIR")).unwrap().display().to_string()
}

/// A source line without its comment. A `//` inside a string is cut too, which hides nothing that these tests
/// look for.
fn code(line: &str) -> &str {
    line.find("//").map_or(line, |at| &line[..at])
}

/// The places where `word` stands as a whole word.
fn words<'a>(text: &'a str, word: &'a str) -> impl Iterator<Item = usize> + 'a {
    let part_of_word = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_');
    text.match_indices(word).map(|(at, _)| at).filter(move |at| {
        !part_of_word(text[..*at].chars().next_back())
            && !part_of_word(text[at + word.len()..].chars().next())
    })
}

fn leading_word(text: &str) -> &str {
    text.find(|c: char| !c.is_alphanumeric() && c != '_').map_or(text, |end| &text[..end])
}

/// Which floor each module is on, from the table in `src/lib.rs`.
fn floors() -> BTreeMap<String, u32> {
    let map = read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src/lib.rs"));
    let rows = map.lines().filter_map(|line| line.strip_prefix("//! | "));
    let mut floors = BTreeMap::new();
    for row in rows {
        let mut cells = row.split('|');
        let Ok(floor) = cells.next().unwrap_or("").trim().parse() else { continue };
        for name in cells.next().unwrap_or("").split('`').skip(1).step_by(2) {
            floors.insert(name.to_owned(), floor);
        }
    }
    floors
}

/// The modules of our own that a piece of code names by `crate::`, groups in braces included.
fn named(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for at in words(text, "crate") {
        let Some(rest) = text[at + "crate".len()..].strip_prefix("::") else { continue };
        let Some(group) = rest.strip_prefix('{') else {
            found.push(leading_word(rest).to_owned());
            continue;
        };
        // The first word of each part of the outermost braces.
        let (mut depth, mut first) = (1, true);
        for (at, letter) in group.char_indices() {
            match letter {
                '{' => depth += 1,
                '}' => depth -= 1,
                ',' if depth == 1 => first = true,
                letter if first && depth == 1 && !letter.is_whitespace() => {
                    found.push(leading_word(&group[at..]).to_owned());
                    first = false;
                }
                _ => {}
            }
            if depth == 0 {
                break;
            }
        }
    }
    found
}

#[test]
fn named_modules_are_found_in_groups_and_paths() {
    assert_eq!(named("use crate::model::caller::Caller;"), ["model"]);
    assert_eq!(named("use crate::{audit::{a, b}, sys, policy::Permit};"), ["audit", "sys", "policy"]);
    assert_eq!(named("fn x(y: crate::wire::Z) -> pub(crate) A { crate::gate::b() }"), ["wire", "gate"]);
}

#[test]
fn lib_every_module_has_a_floor() {
    let map = read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src/lib.rs"));
    let floors = floors();
    let homeless: Vec<_> = map
        .lines()
        .filter_map(|line| line.trim().strip_prefix("pub mod ")?.strip_suffix(';'))
        .filter(|module| !floors.contains_key(*module) && *module != "manual")
        .collect();
    assert!(homeless.is_empty(), "give these a row in the table of floors of src/lib.rs: {homeless:?}");
    assert!(floors.len() >= 9, "the table of floors in src/lib.rs could not be read: {floors:?}");
}

#[test]
fn modules_import_downward_only() {
    let floors = floors();
    let mut wrong = Vec::new();
    for path in files("src", &[".rs"]) {
        let place = short(&path);
        let inner = place.trim_start_matches("src/").trim_end_matches(".rs");
        let own = leading_word(inner);
        // `lib.rs` is the map itself; the binaries stand above all floors.
        let Some(floor) = floors.get(own) else { continue };
        let text: String = read(&path).lines().flat_map(|line| [code(line), "\n"]).collect();
        for other in named(&text) {
            match floors.get(&other) {
                _ if other == own => {}
                Some(below) if below < floor => {}
                Some(floor_there) => {
                    wrong.push(format!(
                        "{place}: `{own}` (floor {floor}) imports `{other}` (floor {floor_there})"
                    ));
                }
                None => wrong.push(format!("{place}: `crate::{other}` is on no floor")),
            }
        }
        let depth = inner.split('/').count();
        let climbs = "super::".repeat(depth.max(2));
        if text.contains(&climbs) || (depth == 1 && text.lines().any(|line| line.starts_with("use super::")))
        {
            wrong.push(format!(
                "{place}: climbs to the root by `super::`; write `crate::`, so that floors can be read"
            ));
        }
    }
    assert!(wrong.is_empty(), "imports go downward only:\n{}", wrong.join("\n"));
}

#[test]
fn files_stay_below_500_lines() {
    let mut long = Vec::new();
    for path in ["src", "tests", "fuzz", "benches"].iter().flat_map(|folder| files(folder, &[".rs"])) {
        let lines = read(&path).lines().count();
        if lines > LINES {
            long.push(format!("{}: {lines}", short(&path)));
        }
    }
    assert!(long.is_empty(), "a file has one thing to say; these have more:\n{}", long.join("\n"));
}

#[test]
fn modules_are_never_called_mod() {
    let named: Vec<_> = ["src", "tests", "benches"]
        .iter()
        .flat_map(|folder| files(folder, &["mod.rs"]))
        .filter(|path| path.ends_with("mod.rs"))
        .map(|path| short(&path))
        .collect();
    assert!(named.is_empty(), "`foo.rs` beside `foo/`, not `foo/mod.rs`: {named:?}");
}

#[test]
fn unsafe_lives_in_sys_alone() {
    let mut wrong = Vec::new();
    for path in files("src", &[".rs"]) {
        let place = short(&path);
        if place == "src/sys.rs" || place.starts_with("src/sys/") {
            continue;
        }
        for (number, line) in read(&path).lines().enumerate() {
            if words(code(line), "unsafe").next().is_some() || code(line).contains("allow(unsafe_code") {
                wrong.push(format!("{place}:{}: {}", number + 1, line.trim()));
            }
        }
    }
    assert!(wrong.is_empty(), "`unsafe` has one address, src/sys:\n{}", wrong.join("\n"));
}

#[test]
fn tests_wait_for_things_and_never_sleep() {
    let mut wrong = Vec::new();
    let banned = ["thread::sleep", "time::sleep", "time.sleep", "tokio::time::sleep"];
    for path in files("tests", &[".rs", ".py"]) {
        if path.ends_with("house.rs") {
            continue;
        }
        let text = read(&path);
        let lines = text.lines().enumerate();
        wrong.extend(
            lines
                .filter(|(_, line)| banned.iter().any(|word| code(line).contains(word)))
                .map(|(number, _)| format!("{}:{}", short(&path), number + 1)),
        );
    }
    for path in files("src", &[".rs"]) {
        let text = read(&path);
        let Some(at) = text.find("#[cfg(test)]\nmod ") else { continue };
        if text[at..].lines().any(|line| banned.iter().any(|word| code(line).contains(word))) {
            wrong.push(short(&path));
        }
    }
    assert!(wrong.is_empty(), "wait for the thing itself instead of sleeping:\n{}", wrong.join("\n"));
}

#[test]
fn product_code_leaves_nothing_open_and_has_no_test_doubles() {
    let mut wrong = Vec::new();
    for path in files("src", &[".rs"]) {
        for (number, line) in read(&path).lines().enumerate() {
            let open = ["TODO", "FIXME", "XXX", "HACK"].iter().any(|word| words(line, word).next().is_some());
            let double = line.contains("cfg!(test)") || line.contains("cfg(not(test))");
            if open || double {
                wrong.push(format!("{}:{}: {}", short(&path), number + 1, line.trim()));
            }
        }
    }
    assert!(wrong.is_empty(), "left open, or chosen by whether it is a test:\n{}", wrong.join("\n"));
}

#[test]
fn imports_are_by_name() {
    let mut wrong = Vec::new();
    for path in files("src", &[".rs"]) {
        for (number, line) in read(&path).lines().enumerate() {
            let line = code(line).trim();
            if line.starts_with("use ")
                && line.contains("::*")
                && !["use super::*;", "use proptest::prelude::*;"].contains(&line)
            {
                wrong.push(format!("{}:{}: {line}", short(&path), number + 1));
            }
        }
    }
    assert!(wrong.is_empty(), "glob imports hide where a name comes from:\n{}", wrong.join("\n"));
}
