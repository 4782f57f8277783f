//! The programs of others that read our exports. `tests/run` installs them below `target/tools`.

use std::path::{Path, PathBuf};
use std::process::Command;

/// Where they are.
fn tools() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("target/tools")
}

/// A Python that has the packages of `tests/readers.txt`, where they are installed.
pub fn python() -> Option<PathBuf> {
    Some(tools().join("readers/bin/python")).filter(|python| python.is_file())
}

/// The folder of the package `@elastic/ecs`, where it is installed.
pub fn ecs() -> Option<PathBuf> {
    Some(tools().join("ecs/package")).filter(|folder| folder.join("package.json").is_file())
}

/// A script of ours for one of them.
pub fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/readers").join(name)
}

/// What a script of ours says, run by that Python.
pub fn told(python: &Path, name: &str, arguments: &[&Path]) -> String {
    super::out(&super::run(Command::new(python).arg(script(name)).args(arguments)))
}
